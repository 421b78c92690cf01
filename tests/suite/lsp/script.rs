//! An engine that does what a test says: the server's behaviour without compilers and objects.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orcls::build::Search;
use orcls::cancel::CancelToken;
use orcls::findings::Code;
use orcls::kernel::Kernel;
use orcls::lsp::config::Config;
use orcls::lsp::verdict::{Basis, Engine, Scope, Task, Trouble, Verdict};
use orcls::report::findings::{ReportedFinding, Severity};
use orcls::report::{Cause, Report};

type Judge = dyn Fn(&Task, &CancelToken) -> Result<Verdict, Trouble> + Send + Sync;
type Inspect = dyn Fn(&Path, &CancelToken) -> Result<Verdict, Trouble> + Send + Sync;

/// The engine.
#[derive(Clone)]
pub struct Script {
    judge: Arc<Judge>,
    inspect: Arc<Inspect>,
    /// How many judgements were begun.
    pub begun: Arc<AtomicUsize>,
}

impl Script {
    /// Judges by `judge`.
    pub fn new(judge: impl Fn(&Task, &CancelToken) -> Result<Verdict, Trouble> + Send + Sync + 'static) -> Script {
        let inspect = |_: &Path, _: &CancelToken| Err(Trouble::Failed("no object".to_owned()));
        Script { judge: Arc::new(judge), inspect: Arc::new(inspect), begun: Arc::default() }
    }

    /// Inspects objects by `inspect`.
    pub fn inspecting(
        self,
        inspect: impl Fn(&Path, &CancelToken) -> Result<Verdict, Trouble> + Send + Sync + 'static,
    ) -> Script {
        Script { inspect: Arc::new(inspect), ..self }
    }

    /// Finds a fault at each line that contains `BAD`.
    pub fn finding_bad() -> Script {
        Script::new(|task, _| Ok(bad_lines(task)))
    }
}

impl Engine for Script {
    fn judge(&self, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        (self.judge)(task, cancel)
    }

    fn judge_whole(&self, verdict: &Verdict, _: &Task, _: &CancelToken) -> Result<Verdict, Trouble> {
        Ok(Verdict { scope: Scope::Whole, ..verdict.clone() })
    }

    fn inspect(&self, object: &Path, _: &Config, _: &Search, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        (self.inspect)(object, cancel)
    }
}

/// A verdict with a finding at each line that contains `BAD`.
pub fn bad_lines(task: &Task) -> Verdict {
    let text = task.document.text.as_str();
    let bad = text.lines().enumerate().filter(|(_, line)| line.contains("BAD"));
    verdict(task, bad.map(|(i, line)| finding(i as u32 + 1, line.trim())).collect())
}

/// A verdict with these findings.
pub fn verdict(task: &Task, mut findings: Vec<ReportedFinding>) -> Verdict {
    let name: Arc<str> = task.source.display().to_string().into();
    for finding in &mut findings {
        finding.file.get_or_insert_with(|| Arc::clone(&name));
    }
    let document = &task.document;
    let open = task.others().chain([document]);
    let mut files: rustc_hash::FxHashMap<Arc<str>, std::path::PathBuf> = Default::default();
    for finding in &findings {
        files.extend(finding.file.iter().map(|file| (Arc::clone(file), std::path::PathBuf::from(&**file))));
    }
    let report = Report {
        object: "a.o".to_owned(),
        kernel: Some(Kernel::V6_12),
        findings,
        unjudged: Vec::new(),
        no_source: None,
    };
    let mut verdict = Verdict::new(task.source.clone(), Basis::Buffer, report);
    verdict.versions = open.filter_map(|document| Some((document.path.clone()?, document.version))).collect();
    verdict.includes = files.values().filter(|file| **file != task.source).cloned().collect();
    verdict.files = files;
    verdict
}

/// A finding at a line of the source file.
pub fn finding(line: u32, message: &str) -> ReportedFinding {
    ReportedFinding {
        id: None,
        code: Code::ReturnWithModifiedFrame,
        severity: Severity::Error,
        message: message.to_owned(),
        objtool: Some(format!("f+0x{line:x}: return with modified stack frame")),
        objtool_level: None,
        function: Some("f".to_owned()),
        section: Some(".text".to_owned()),
        offset: Some(u64::from(line)),
        file: None,
        line: Some(line),
        column: None,
        instruction: String::new(),
        inlined: Vec::new(),
        path: Vec::new(),
        states: Vec::new(),
        function_name: None,
        never_returns: None,
        module: None,
        cause: Cause::of(Code::ReturnWithModifiedFrame),
    }
}
