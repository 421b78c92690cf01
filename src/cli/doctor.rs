//! `orcls doctor`: what orcls would do with a file, and why.
//!
//! In: a source or an object.  Out: its compile command, its object, objtool's flags and the kernel release, each with
//! where it was taken from.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::format::Format;
use super::inputs::Input;
use super::judge::{Judge, Judged, Rules};
use super::output::{BOLD, CODE, DIM};
use super::{Verdict, output};
use crate::analysis::Policy;
use crate::build::{Build, NotFound, Skip};
use crate::kernel::tree::TreeFacts;
use crate::source_map::NoSource;

/// Arguments of `doctor`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// A source file or an object
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to print what was found
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    rules: Rules,
}

/// What is known about a file.
#[derive(Serialize)]
struct Diagnosis {
    file: String,
    /// How it is built; `None` where no command was found.
    build: Option<BuildFacts>,
    /// Where a command was looked for, when none was found.
    tried: Vec<Tried>,
    /// How to get a command, when none was found.
    advice: Option<&'static str>,
    /// The object; `None` where it does not exist or cannot be read.
    object: Option<ObjectFacts>,
    /// Why there is nothing to say about the object.
    object_problem: Option<String>,
}

#[derive(Serialize)]
struct BuildFacts {
    object: String,
    source: Option<String>,
    directory: String,
    command: Vec<String>,
    #[serde(skip)]
    command_line: String,
    from: String,
    others: Vec<String>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Tried {
    path: String,
    outcome: String,
}

#[derive(Serialize)]
struct ObjectFacts {
    path: String,
    /// The source was changed after the object was built.
    older_than_source: bool,
    kernel: String,
    kernel_evidence: String,
    flags: String,
    flags_from: String,
    undecided: Vec<String>,
    /// Why `check` does not check it, if it does not.
    not_checked: Option<String>,
    /// Facts of objtool, and where each comes from.
    facts: Vec<String>,
    /// What is wrong with the tree's files.
    fact_problems: Vec<String>,
    debug_info: String,
    instructions: usize,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let input = Input { path: arguments.file.clone(), named: true };
    std::fs::metadata(&input.path).map_err(|error| anyhow::anyhow!("{}: {error}", input.name()))?;
    let judge = Judge::new(&arguments.rules, Policy::Objtool);
    let found = if input.is_source() { judge.finder().source(&input.path) } else { judge.finder().object(&input.path) };
    let diagnosis = diagnose(&input, &judge, found);
    match arguments.format {
        Format::Json => output::print(&(serde_json::to_string(&diagnosis)? + "\n"))?,
        Format::Text => output::print(&text(&diagnosis))?,
    }
    let incomplete = diagnosis.object.is_none();
    Ok(if incomplete { Verdict::Incomplete } else { Verdict::Clean })
}

fn diagnose(input: &Input, judge: &Judge<'_>, found: Result<Build, NotFound>) -> Diagnosis {
    let mut diagnosis = Diagnosis {
        file: input.name(),
        build: None,
        tried: Vec::new(),
        advice: None,
        object: None,
        object_problem: None,
    };
    let mut object = (!input.is_source()).then(|| input.path.clone());
    match found {
        Ok(build) => {
            object.get_or_insert_with(|| build.object.clone());
            diagnosis.build = Some(BuildFacts {
                object: shown(&build.object),
                source: build.source.as_deref().map(shown),
                directory: shown(&build.directory),
                command_line: build.command_line(),
                command: build.argv,
                from: shown(build.origin.path()),
                others: build.others.iter().map(|path| shown(path)).collect(),
                notes: build.notes,
            });
        }
        Err(error) => {
            diagnosis.advice = Some(error.advice());
            diagnosis.tried =
                error.tried.into_iter().map(|(path, outcome)| Tried { path: shown(&path), outcome }).collect();
        }
    }
    match object.map(|path| examine(&path, input, judge)) {
        Some(Ok(facts)) => diagnosis.object = Some(facts),
        Some(Err(problem)) => diagnosis.object_problem = Some(problem),
        None => diagnosis.object_problem = Some("without a compile command the object is not known".to_owned()),
    }
    diagnosis
}

fn examine(path: &Path, source: &Input, judge: &Judge<'_>) -> Result<ObjectFacts, String> {
    let missing = !path.exists();
    // What has not been built is compiled, as `check` and the server do.
    let input =
        if missing && source.is_source() { source.clone() } else { Input { path: path.to_owned(), named: true } };
    let object = match judge.object(&input) {
        Judged::Analysed(object) => object,
        Judged::Failed(why) | Judged::Refused(why) => return Err(why),
        Judged::Skipped(skip) => return Err(format!("{}: not analysed, because {}", input.name(), skip.words())),
    };
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let analysis = &object.analysis;
    Ok(ObjectFacts {
        path: if missing { format!("{}, compiled: its object does not exist", input.name()) } else { input.name() },
        older_than_source: source.is_source() && !missing && changed(path) < changed(&source.path),
        kernel: analysis.kernel.name().to_owned(),
        kernel_evidence: analysis.kernel_evidence.clone(),
        flags: analysis.options.to_string(),
        flags_from: object.flags_from.clone(),
        undecided: object.undecided.clone(),
        not_checked: object.skip.as_ref().map(Skip::words),
        facts: facts(object.tree.as_deref()),
        fact_problems: object.tree.as_deref().map_or_else(Vec::new, |tree| tree.problems.clone()),
        debug_info: match object.lines.map(&analysis.image) {
            Ok(map) => format!("lines of {} files", map.files().len()),
            Err(why @ NoSource::NoDebugInfo) => format!("none: {why}"),
            Err(why) => format!("unusable: {why}"),
        },
        instructions: analysis.image.sections().map(|(id, _)| analysis.insns.of_section(id).count()).sum(),
    })
}

/// Where each of objtool's facts comes from. What has no file of its own in a tree is compiled in.
fn facts(tree: Option<&TreeFacts>) -> Vec<String> {
    let Some(tree) = tree else { return vec!["all: compiled in (the tree's sources are not known)".to_owned()] };
    let from = |file: &Option<PathBuf>| file.as_deref().map_or_else(|| "compiled in".to_owned(), shown);
    let read = tree.facts.iter().map(|fact| format!("{}: {}", fact.what, from(&fact.file)));
    read.chain(["all others: compiled in".to_owned()]).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| text.push_str(&format!("{BOLD}{name:>12}{BOLD:#}  {value}\n"));
    row("file", &diagnosis.file);
    match &diagnosis.build {
        Some(build) => {
            row("command from", &build.from);
            row("directory", &build.directory);
            row("command", &format!("{CODE}{}{CODE:#}", build.command_line));
            row("object", &build.object);
            if let Some(source) = &build.source {
                row("source", source);
            }
            for other in &build.others {
                row("also built", other);
            }
            for note in &build.notes {
                row("note", note);
            }
        }
        None => {
            row("command", "not found");
            for tried in &diagnosis.tried {
                row("tried", &format!("{} {DIM}({}){DIM:#}", tried.path, tried.outcome));
            }
            row("advice", diagnosis.advice.unwrap_or_default());
        }
    }
    match (&diagnosis.object, &diagnosis.object_problem) {
        (Some(object), _) => {
            let stale = if object.older_than_source { " (older than the source: build it again)" } else { "" };
            row("analysed", &format!("{}, {} instructions{stale}", object.path, object.instructions));
            row("kernel", &format!("{} {DIM}({}){DIM:#}", object.kernel, object.kernel_evidence));
            if let Some(why) = &object.not_checked {
                row("not checked", &format!("because {why}"));
            }
            row("flags", &format!("{CODE}{}{CODE:#}", object.flags));
            row("flags from", &object.flags_from);
            for fact in &object.facts {
                row("facts", fact);
            }
            for problem in &object.fact_problems {
                row("problem", problem);
            }
            for undecided in &object.undecided {
                row("undecided", undecided);
            }
            row("debug info", &object.debug_info);
        }
        (None, Some(problem)) => row("object", problem),
        (None, None) => {}
    }
    text
}
