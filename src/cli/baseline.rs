//! `orcls baseline`: keeps the list of findings that are known already.
//!
//! In: the list's file, objects.  Out: the file, written anew as a whole; what changed, on standard error.
//! Holds afterwards: what was not checked this time is in the list as it was; a run that could not check all says so by its
//! exit status; the file says the same for the same findings, in the order of the objects' names.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::inputs::{self, Input};
use super::judge::{Judge, Judged, Rules};
use super::replace::Replacement;
use super::{Verdict, output, queue};
use crate::analysis::Policy;
use crate::baseline::{Baseline, Kind};
use crate::files;
use crate::findings::Code;

/// A baseline of more is none.
const MAX_BASELINE: u64 = 1 << 28;

/// Arguments of `baseline`.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take what is found now into FILE; what is found no more is taken out of it
    #[command(disable_help_flag = true)]
    Update(Update),
}

#[derive(Args)]
struct Update {
    /// The baseline, which is made if it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Objects, sources, or folders of objects
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only take out what is found no more
    #[arg(long)]
    prune: bool,
    /// Take in what objtool would not print, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    rules: Rules,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let Command::Update(update) = &arguments.command;
    let file = &update.file;
    let mut baseline = match files::text(file, MAX_BASELINE) {
        Ok(text) => Baseline::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Baseline::default(),
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    let found = inputs::collect(&update.paths, &update.rules.search());
    queue::set_jobs(update.rules.jobs);
    let judge = Judge::new(&update.rules, Policy::Everything).for_check(found.found());
    let tally = Mutex::new((BTreeMap::new(), usize::from(found.failed)));
    queue::run(found.list.len(), |at| {
        if let Some(input) = found.list.get(at) {
            let counts = counts(&judge, input, update.all);
            let mut tally = tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match counts {
                Some(Ok(counts)) => drop(tally.0.insert(at, counts)),
                Some(Err(why)) => {
                    output::complain(&why);
                    tally.1 += 1;
                }
                None => {}
            }
        }
        String::new()
    })?;
    let (checked, n_failed) = tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (mut n_added, mut n_gone) = (0, 0);
    for (at, counts) in &checked {
        let Some(input) = found.list.get(*at) else { continue };
        let changed = baseline.update(&input.path, counts, update.prune);
        n_added += changed.added;
        n_gone += changed.gone;
    }
    put(file, &baseline.text())?;
    let n = baseline.len();
    let objects = checked.len();
    output::remark(&format!(
        "{}: {n} known findings, {n_added} added, {n_gone} taken out; {objects} objects checked, {n_failed} could not be",
        file.display()
    ));
    Ok(if n_failed > 0 || checked.is_empty() { Verdict::Incomplete } else { Verdict::Clean })
}

/// How many findings of each kind an object has; `None` where it is not checked.
fn counts(judge: &Judge<'_>, input: &Input, all: bool) -> Option<Result<BTreeMap<Kind, usize>, String>> {
    let object = match judge.object(input) {
        Judged::Analysed(object) => object,
        Judged::Skipped(skip) if input.named => {
            return Some(Err(format!("{}: not checked, because {}", input.name(), skip.words())));
        }
        Judged::Skipped(_) => return None,
        Judged::Failed(why) | Judged::Refused(why) => return Some(Err(why)),
    };
    let analysis = &object.analysis;
    let mut counts = BTreeMap::new();
    for finding in &analysis.findings {
        let code = finding.fault.code();
        if code != Code::AlreadyProcessed && (all || finding.objtool.is_some()) {
            let function = finding.function.map(|function| analysis.image.symbol_name(function));
            *counts.entry(crate::baseline::kind(code, function)).or_default() += 1;
        }
    }
    Some(Ok(counts))
}

/// Writes the file as a whole.
fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    let replacement = Replacement::of(file)?;
    replacement.file().write_all(text.as_bytes())?;
    // A file for everybody who works on the tree, as an editor would make it.
    use std::os::unix::fs::PermissionsExt;
    let mode =
        std::fs::metadata(file).map_or_else(|_| std::fs::Permissions::from_mode(0o644), |meta| meta.permissions());
    replacement.file().set_permissions(mode)?;
    Ok(replacement.publish()?)
}
