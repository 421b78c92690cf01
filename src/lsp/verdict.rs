//! What is known about one source file: the result of one compile and analysis, or why there is none.
//!
//! In: a [`Task`].  Out: a [`Verdict`] or a [`Trouble`].
//! Holds afterwards: a verdict never changes; it names the text or the object that it is about.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustc_hash::FxHashMap;
use tower_lsp::lsp_types::Url;

use crate::analysis::Analysis;
use crate::annotate::Annotated;
use crate::build::{Build, NotFound, Search, normal};
use crate::cancel::{CancelToken, Cancelled};
use crate::compile::complaints::Complaint;
use crate::compile::real_path;
use crate::findings::Code;
use crate::image::Store;
use crate::report::calls::Calls;
use crate::report::{FunctionSummary, Report, ReportedFinding, function_summaries};
use crate::source_map::{Lines, SourceMap};
use crate::whole::{AtOnce, Elsewhere};

use super::config::Config;
use super::documents::Document;
use super::offers::Offers;
use super::position::Text;
use super::tables::Tables;

/// A request to judge a source file.
#[derive(Clone, Debug)]
pub struct Task {
    /// The source file.
    pub source: PathBuf,
    /// Its text.
    pub document: Arc<Document>,
    /// All open documents as the client has them, headers among them.
    pub open: Arc<[Arc<Document>]>,
    /// The settings.
    pub config: Arc<Config>,
    /// Where builds are looked for.
    pub search: Search,
    /// The last verdict on the file.
    pub previous: Option<Arc<Verdict>>,
}

impl Task {
    /// The open documents besides the one to be judged.
    pub fn others(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.open.iter().filter(|other| other.uri != self.document.uri)
    }
}

/// What a verdict is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// The texts of the open documents, compiled.
    Buffer,
    /// The object that the build left, as it was written at this time.
    Object(Option<SystemTime>),
}

/// A file, and when it was written last; `None` when it is not there. Another time is a reason to judge again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    file: PathBuf,
    time: Option<SystemTime>,
}

impl Stamp {
    /// The file as it is.
    pub fn of(file: &Path) -> Stamp {
        Stamp { file: file.to_owned(), time: written(file) }
    }

    /// Whether the file is another one by now.
    pub fn has_changed(&self) -> bool {
        written(&self.file) != self.time
    }
}

/// When a file was written last.
pub fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Whether what is shown belongs to what the user sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// It does.
    Fresh,
    /// The text has changed since.
    SourceNewer,
    /// There is no object, and nothing was compiled.
    ObjectMissing,
}

/// How long the parts of a verdict took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timing {
    /// The compiler's own time.
    pub compile: Duration,
    /// All that orcls did.
    pub own: Duration,
}

/// The insides of the object, for hovers and tables.
pub struct Anatomy {
    /// All that is known about the object.
    pub analysis: Analysis,
    /// Its lines.
    pub lines: Lines,
    /// Its bytes.
    pub object: Arc<dyn Store>,
    /// The files of the debug information: their paths without `.` and `..`, and their names.
    files: OnceLock<Vec<(PathBuf, Arc<str>)>>,
    functions: OnceLock<Vec<FunctionSummary>>,
    calls: OnceLock<Calls>,
}

impl Anatomy {
    /// The insides of an analysed object.
    pub fn new(analysis: Analysis, object: Arc<dyn Store>, lines: Lines) -> Anatomy {
        let (files, functions, calls) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Anatomy { analysis, lines, object, files, functions, calls }
    }

    /// Its source map, if it has debug information.
    pub fn map(&self) -> Option<&SourceMap> {
        self.lines.map(&self.analysis.image).ok()
    }

    /// Its functions in numbers. Counted at the first question.
    pub fn functions(&self) -> &[FunctionSummary] {
        self.functions.get_or_init(|| function_summaries(&self.analysis, &self.lines))
    }

    /// Its calls. Looked for at the first question.
    pub fn calls(&self) -> &Calls {
        self.calls.get_or_init(|| Calls::of(&self.analysis))
    }

    /// The name of the file at `path` in the debug information of a compile in `directory`. Read at the first question.
    pub fn name(&self, path: &Path, directory: &Path) -> Option<&Arc<str>> {
        let files = self.files.get_or_init(|| {
            let names = self.map().map(SourceMap::files).unwrap_or_default();
            names.into_iter().map(|name| (normal(&directory.join(&*name)), name)).collect()
        });
        let by_path = files.iter().find(|(file, _)| file == path);
        let by_link = || {
            let real = real_path(path);
            files.iter().find(|(file, _)| file.file_name() == path.file_name() && real_path(file) == real)
        };
        by_path.or_else(by_link).map(|(_, name)| name)
    }
}

impl fmt::Debug for Anatomy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anatomy").field("kernel", &self.analysis.kernel).finish_non_exhaustive()
    }
}

/// Whether a verdict is about the object alone or about `vmlinux.o` with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The object alone, which is all that the build checks.
    Alone,
    /// The object alone, so far.
    Pending,
    /// `vmlinux.o`, linked with the object.
    Whole,
    /// The object alone, though the build checks `vmlinux.o`; why.
    Unlinked(String),
}

/// What the index of the program's other objects added to a verdict.
#[derive(Debug)]
pub struct ByIndex {
    /// What was found.
    pub found: AtOnce,
    /// The findings of the object alone.
    pub alone: Vec<ReportedFinding>,
    /// What is said of the verdict, until a link has confirmed it.
    pub notes: Vec<String>,
}

/// What was found out about one source file.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The source file.
    pub source: PathBuf,
    /// How it is built.
    pub build: Option<Arc<Build>>,
    /// What the verdict is about.
    pub basis: Basis,
    /// The files of the build, as they were: its object, and where its command stands.
    pub stamps: Vec<Stamp>,
    /// The version of each open document that took part, by file.
    pub versions: FxHashMap<PathBuf, i32>,
    /// The text of each of these documents, by file.
    pub judged: FxHashMap<PathBuf, Arc<Text>>,
    /// The file that each name in the report means.
    pub files: FxHashMap<Arc<str>, PathBuf>,
    /// The page of each finding's code.
    pub pages: FxHashMap<Code, Url>,
    /// The text of files that findings name and that are not open.
    pub texts: FxHashMap<PathBuf, Arc<Text>>,
    /// The other files that its code was made from.
    pub includes: Vec<PathBuf>,
    /// The findings.
    pub report: Report,
    /// Whether `vmlinux.o` was judged.
    pub scope: Scope,
    /// What the index of the other objects has brought, while no link has confirmed it.
    pub by_index: Option<Arc<ByIndex>>,
    /// How many findings the index and the link did not agree on; `None` where only one of them was asked.
    pub differences: Option<usize>,
    /// What the file's code brings about in other objects.
    pub elsewhere: Vec<Elsewhere>,
    /// The insides.
    pub anatomy: Option<Arc<Anatomy>>,
    /// Its unwind table, where it was judged by the rules for user space.
    pub tables: Option<Arc<Tables>>,
    /// Directives that can be written, once somebody has asked; `None` in it where none can.
    pub directives: Arc<OnceLock<Option<Arc<Annotated>>>>,
    /// The fixes that were found for its findings.
    pub offers: Offers,
    /// How long it took.
    pub timing: Timing,
    /// What a person should know: what was chosen, what could not be done.
    pub notes: Vec<String>,
    /// Why the code is not checked, if it is not: it then has no findings, which says nothing about it.
    pub unchecked: Option<String>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody waits any more.
    #[error("cancelled")]
    Cancelled,
    /// No compile command is known.
    #[error("{0}")]
    NoCommand(NotFound),
    /// The compiler did not accept the text.
    #[error("the text does not compile: {first}")]
    NotCompiled {
        /// Its first error.
        first: String,
        /// Its errors that have a place; open files are named as their documents are.
        complaints: Arc<[Complaint]>,
        /// The version of the document that it was given.
        version: i32,
    },
    /// The command can not be run privately.
    #[error("the compile command is not run: {0}")]
    Refused(String),
    /// The build has left no object, and nothing may be compiled.
    #[error("{} has not been built", .0.display())]
    ObjectMissing(PathBuf),
    /// It is nothing that kernel rules are for, or that the build checks.
    #[error("not checked, because {0}")]
    NotChecked(String),
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

impl Verdict {
    /// A verdict of which nothing but its findings is known yet.
    pub fn new(source: PathBuf, basis: Basis, report: Report) -> Verdict {
        Verdict {
            source,
            build: None,
            basis,
            stamps: Vec::new(),
            versions: FxHashMap::default(),
            judged: FxHashMap::default(),
            files: FxHashMap::default(),
            pages: FxHashMap::default(),
            texts: FxHashMap::default(),
            includes: Vec::new(),
            report,
            scope: Scope::Alone,
            by_index: None,
            differences: None,
            elsewhere: Vec::new(),
            anatomy: None,
            tables: None,
            directives: Arc::default(),
            offers: Offers::default(),
            timing: Timing::default(),
            notes: Vec::new(),
            unchecked: None,
        }
    }
}

impl Verdict {
    /// Keeps the texts that it is about.
    pub fn keep_texts(&mut self, task: &Task) {
        let open = task.others().chain([&task.document]);
        let judged = open.filter_map(|document| {
            let path = document.path.as_ref()?;
            (self.versions.get(path) == Some(&document.version)).then(|| (path.clone(), Arc::clone(&document.text)))
        });
        self.judged = judged.collect();
    }

    /// Whether it is about the text that was asked about: compiled, or as the built object was made from it.
    pub fn is_of(&self, task: &Task) -> bool {
        self.versions.get(&task.source) == Some(&task.document.version)
    }

    /// The codes of its findings.
    pub fn codes(&self) -> impl Iterator<Item = Code> {
        let elsewhere = self.elsewhere.iter().map(|elsewhere| &elsewhere.finding);
        self.report.findings.iter().chain(elsewhere).map(|finding| finding.code)
    }

    /// The folder that the compiler ran in; names of the debug information may be relative to it.
    pub fn directory(&self) -> &Path {
        self.build.as_ref().map_or(Path::new("/"), |build| &build.directory)
    }

    /// The file that a name in the report or in the debug information means.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.get(name).cloned().unwrap_or_else(|| normal(&self.directory().join(name)))
    }
}

impl From<Cancelled> for Trouble {
    fn from(_: Cancelled) -> Trouble {
        Trouble::Cancelled
    }
}

/// Where a text compiles as fast as this, all of its fixes are known soon.
const QUICK_COMPILE: Duration = Duration::from_millis(200);
/// Elsewhere nobody waits for more of them when they were looked for as long as this.
const PATIENCE: Duration = Duration::from_secs(1);

/// Turns tasks into verdicts. The server's only way to compilers and analysis.
pub trait Engine: Send + Sync + 'static {
    /// Judges a source file. Called on a worker's thread.
    fn judge(&self, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble>;

    /// Judges the file of a verdict that is [`Scope::Pending`] as a part of `vmlinux.o`. Called on a worker's thread.
    fn judge_whole(&self, verdict: &Verdict, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble>;

    /// How a source file is compiled, as far as that is known without running anything. Called on a worker's thread.
    fn build(&self, source: &Path, search: &Search) -> Option<Arc<Build>> {
        let _ = (source, search);
        None
    }

    /// Writes the unwind directives of a file of assembly. Called on a worker's thread.
    fn annotate(&self, _task: &Task, _cancel: &CancelToken) -> Result<Annotated, Trouble> {
        Err(Trouble::NotChecked("no assembler can be run".to_owned()))
    }

    /// How long fixes are looked for until who asks is answered with those that are known by then: each costs a compile, and
    /// `compile` is how long one takes.
    fn patience(&self, compile: Duration) -> Duration {
        if compile < QUICK_COMPILE { Duration::MAX } else { PATIENCE }
    }

    /// Judges an object that the build has left. Called on a worker's thread.
    fn inspect(
        &self,
        object: &Path,
        config: &Config,
        search: &Search,
        cancel: &CancelToken,
    ) -> Result<Verdict, Trouble>;
}
