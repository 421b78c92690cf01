//! `orcls verify`: lets the tree's own objtool judge copies of objects, and compares.
//!
//! In: objects or folders, an objtool.  Out: what differs, and a summary for a report of a bug.
//! Holds afterwards: no object was changed; objtool ran on private copies, locked in as a compiler is, and only because the
//! user asked for it by this command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::inputs::{self, Input};
use super::judge::{Judge, Judged, Object, Rules};
use super::{Verdict, output};
use crate::analysis::Policy;
use crate::build::{Foreign, ownership};
use crate::cancel::CancelToken;
use crate::compile::confine::{self, Confinement, Toolchain};
use crate::compile::process::{MAX_WORDS, Outcome};
use crate::compile::{Limits, Scratch, clean_environment};
use crate::image::FileStore;
use crate::verify::{self, Comparison};

/// What one run of objtool may use. A linked kernel takes a minute.
const LIMITS: Limits = Limits { time: Duration::from_secs(600), memory: 16 << 30, file: 4 << 30 };

/// Arguments of `verify`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Objects, or folders with objects
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The objtool to compare with [default: tools/objtool/objtool of the tree that an object lies in]
    #[arg(long, value_name = "PATH")]
    objtool: Option<PathBuf>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    rules: Rules,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One object.
#[derive(Serialize)]
struct Verified {
    object: String,
    kernel: &'static str,
    kernel_evidence: String,
    objtool: String,
    /// objtool's command line, without the object.
    flags: String,
    exact: bool,
    #[serde(flatten)]
    comparison: Comparison,
}

/// What was not compared, and why.
#[derive(Serialize)]
struct Skipped {
    object: String,
    why: String,
}

#[derive(Serialize, Default)]
struct Summary {
    orcls: &'static str,
    objects: usize,
    exact: usize,
    lines: usize,
    tables: usize,
    written: usize,
    differing: Vec<Verified>,
    skipped: Vec<Skipped>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let judge = Judge::new(&arguments.rules, Policy::Objtool).for_verification();
    let scratch = Scratch::new()?;
    let mut summary = Summary { orcls: env!("CARGO_PKG_VERSION"), ..Summary::default() };
    let found = inputs::collect(&arguments.paths, &arguments.rules.search());
    found.say_empty();
    let failed = found.failed || !found.empty.is_empty();
    let inputs = found.list;
    for input in inputs {
        if !input.named && Foreign::of(&input.path).is_some() {
            continue;
        }
        match fresh(&judge, &input) {
            Judged::Analysed(object) if !input.named && object.skip.is_some() => {}
            Judged::Analysed(object) => match verified(&judge, &object, arguments, &scratch) {
                Ok(verified) => summary.take(verified),
                Err(why) => summary.skip(&input, why),
            },
            Judged::Skipped(why) => summary.skip(&input, why.words()),
            Judged::Failed(why) | Judged::Refused(why) => summary.skip(&input, why),
        }
    }
    match arguments.format {
        Format::Json => output::print(&(serde_json::to_string(&summary)? + "\n"))?,
        Format::Text => output::print(&summary.text())?,
    }
    Ok(summary.verdict().max(if failed { Verdict::Incomplete } else { Verdict::Clean }))
}

/// The object; one that objtool has been at already is compiled anew, as otherwise there is little left to compare.
fn fresh(judge: &Judge<'_>, input: &Input) -> Judged {
    let judged = judge.object(input);
    let is_processed = |object: &Object| {
        let added = [".orc_unwind", ".static_call_sites", ".retpoline_sites", ".return_sites"];
        added.into_iter().any(|name| object.analysis.image.section_by_name(name).is_some())
    };
    match &judged {
        Judged::Analysed(object) if is_processed(object) && !input.is_source() => {
            let build = judge.finder().object(&input.path).ok();
            match build.and_then(|build| judge.compiled(input, &build).ok()) {
                Some(Judged::Analysed(mut compiled)) => {
                    compiled.name.clone_from(&object.name);
                    compiled.path.clone_from(&object.path);
                    Judged::Analysed(compiled)
                }
                _ => judged,
            }
        }
        _ => judged,
    }
}

/// The objtool of the tree that the object lies in, else of the one that it was built for: a module may lie anywhere.
fn objtool_of(judge: &Judge<'_>, object: &Path) -> Option<PathBuf> {
    let real = std::fs::canonicalize(object).ok()?;
    let of_folder = |folder: &Path| Some(folder.join("tools/objtool/objtool")).filter(|tool| tool.is_file());
    real.ancestors().find_map(of_folder).or_else(|| {
        let build = judge.finder().object(object).ok()?;
        of_folder(&build.flags.tree?.root)
    })
}

/// The objtool to ask about the object, if it may be run.
fn tool(judge: &Judge<'_>, object: &Object, arguments: &Arguments) -> Result<PathBuf, String> {
    let named = arguments.objtool.clone();
    let is_named = named.is_some();
    let tool = named.or_else(|| objtool_of(judge, &object.path));
    let tool =
        tool.ok_or("no tools/objtool/objtool above it, or in the tree that it was built for; name one by --objtool")?;
    let tool = std::fs::canonicalize(&tool).map_err(|error| format!("{}: {error}", tool.display()))?;
    if is_named || arguments.rules.trust {
        return Ok(tool);
    }
    if let Some(why) = ownership::complaint(&tool) {
        return Err(format!("its objtool is not run: {why}"));
    }
    match confine::missing() {
        Some(why) => Err(format!("{why}; --trust runs {} all the same", tool.display())),
        None => Ok(tool),
    }
}

fn verified(judge: &Judge<'_>, object: &Object, arguments: &Arguments, scratch: &Scratch) -> Result<Verified, String> {
    let tool = tool(judge, object, arguments)?;
    let said = |error: std::io::Error| error.to_string();
    let analysis = &object.analysis;
    let job = scratch.job().map_err(said)?;
    let copy = job.path().join("object.o");
    let bytes = object.store.read(0, object.store.size()).map_err(said)?;
    std::fs::write(&copy, bytes).map_err(said)?;
    let words = analysis.options.words(&analysis.rules);
    let execute = Toolchain::alone(&tool).programs;
    // Libraries lie beside the loader, which is not the system's where objtool was unpacked with its own. From 7.2 on
    // objtool looks up where its own stack is.
    let folders = execute.iter().chain([&tool]).filter_map(|program| program.parent()).map(Path::to_owned);
    let read = folders.chain([PathBuf::from("/proc/self")]).collect();
    let confinement = Confinement { read, write: job.path().to_owned(), execute, is_open: false };
    let mut command = scratch.command(&tool, &confinement, LIMITS).map_err(said)?;
    clean_environment(&mut command, job.path(), job.path());
    // A distribution's objtool asks for the architecture. Where its libraries are is the user's to say.
    command.args(&words).arg(&copy).env("SRCARCH", "x86");
    command.envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)));
    let (status, printed) = match scratch.run(command, LIMITS, &CancelToken::default()) {
        Ok(Outcome::Ended(status, _)) if status.code().is_none() => {
            return Err(format!("objtool was killed: {status}"));
        }
        // Usage, for flags that it does not know.
        Ok(Outcome::Ended(status, words)) if status.code() == Some(129) => {
            return Err(format!("objtool does not take these flags: {}", words.lines().next().unwrap_or("").trim()));
        }
        Ok(Outcome::Ended(_, words)) if words.len() >= MAX_WORDS => {
            return Err(format!("objtool said more than the {} KiB that are kept", MAX_WORDS >> 10));
        }
        Ok(Outcome::Ended(status, words)) => (status, words),
        Ok(Outcome::Cancelled | Outcome::TimedOut) => return Err("objtool took too long".to_owned()),
        Err(error) => return Err(format!("{}: {error}", tool.display())),
    };
    let lines = verify::lines(&printed, &copy.display().to_string());
    // What keeps it, or who loads it, from the work is said without the object's name. That is no answer.
    if !status.success() && lines.is_empty() {
        let why = printed.lines().find(|line| !line.trim().is_empty()).map_or(status.to_string(), str::to_owned);
        return Err(format!("objtool could not do its work: {why}"));
    }
    let after = FileStore::open(&copy).map_err(|error| error.to_string())?;
    let comparison = verify::compare(analysis, object.store.as_ref(), &lines, &after);
    Ok(Verified {
        object: object.name.clone(),
        kernel: analysis.kernel.name(),
        kernel_evidence: analysis.kernel_evidence.clone(),
        objtool: tool.display().to_string(),
        flags: words.join(" "),
        exact: comparison.is_exact(),
        comparison,
    })
}

impl Summary {
    fn take(&mut self, verified: Verified) {
        let Comparison { missing, surplus, rows, sections, unwritten, .. } = &verified.comparison;
        self.objects += 1;
        self.exact += usize::from(verified.exact);
        self.lines += usize::from(missing.is_empty() && surplus.is_empty());
        self.tables += usize::from(*rows == 0);
        self.written += usize::from(sections.is_empty() && unwritten.is_none());
        if !verified.exact || unwritten.is_some() {
            self.differing.push(verified);
        }
    }

    fn skip(&mut self, input: &Input, why: String) {
        self.skipped.push(Skipped { object: input.name(), why });
    }

    /// Nothing compared is nothing shown to be right.
    fn verdict(&self) -> Verdict {
        match () {
            () if self.exact != self.objects => Verdict::Found,
            () if self.objects == 0 || !self.skipped.is_empty() => Verdict::Incomplete,
            () => Verdict::Clean,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Verified { object, kernel, kernel_evidence, objtool, flags, comparison, .. } in &self.differing {
            text.push_str(&format!("{object}: rules of {kernel} ({kernel_evidence})\n  {objtool} {flags}\n"));
            let Comparison { missing, surplus, table, rows, sections, unwritten } = comparison;
            missing.iter().for_each(|line| text.push_str(&format!("  only objtool: {line}\n")));
            surplus.iter().for_each(|line| text.push_str(&format!("  only orcls: {line}\n")));
            if *rows != 0 {
                text.push_str(&format!("  {rows} rows of the table differ (-: objtool's)\n"));
            }
            table.iter().for_each(|row| text.push_str(&format!("    {row}\n")));
            sections.iter().for_each(|section| text.push_str(&format!("  written: {section}\n")));
            unwritten.iter().for_each(|why| text.push_str(&format!("  written: not compared: {why}\n")));
        }
        for Skipped { object, why } in &self.skipped {
            text.push_str(&format!("{object}: not compared: {why}\n"));
        }
        let Summary { orcls, objects, exact, lines, tables, written, .. } = self;
        text.push_str(&format!(
            "orcls {orcls}: {exact} of {objects} objects agree with objtool (lines {lines}, tables {tables}, written {written}), {} not compared\n",
            self.skipped.len()
        ));
        text
    }
}
