//! `orcls.server.checkWorkspace`: judges every object that the build has left, with progress, until it is cancelled.
//!
//! In: folders, an [`Engine`].  Out: the verdicts with findings, and numbers for whoever asked.
//! Holds afterwards: the insides of an object are dropped before the next one is read; what is checked, and what is not and
//! why, is what `orcls check` says of the same folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use serde_json::{Value, json};
use tower_lsp::lsp_types::{
    ProgressToken, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport,
};

use crate::build::{Finder, Objects, Search, Skip, Unchecked, discover};
use crate::cancel::{CancelToken, Cancelled};

use super::super::config::Config;
use super::super::outbox::Outbox;
use super::super::verdict::{Engine, Trouble, Verdict};

/// The command.
pub const COMMAND: &str = "orcls.server.checkWorkspace";

/// A check of everything.
pub struct Check<'a> {
    /// What judges objects.
    pub engine: &'a dyn Engine,
    /// The settings.
    pub config: &'a Config,
    /// Where objects are.
    pub search: &'a Search,
    /// Where progress is told.
    pub progress: Progress<'a>,
}

impl Check<'_> {
    /// Judges every object. The verdicts with findings, and the numbers.
    pub fn run(&self, cancel: &CancelToken) -> Result<(Vec<Verdict>, Value), Cancelled> {
        self.progress.begin();
        let result = self.judge(cancel);
        self.progress.end(match &result {
            Ok((_, numbers)) if numbers["objects"] == 0 => "nothing was checked".to_owned(),
            Ok((_, numbers)) => format!("{} findings in {} objects", numbers["findings"], numbers["objects"]),
            Err(Cancelled) => "cancelled".to_owned(),
        });
        result
    }

    fn judge(&self, cancel: &CancelToken) -> Result<(Vec<Verdict>, Value), Cancelled> {
        let Objects { files, unreadable } = self.objects(cancel)?;
        let finder = Finder::once(self.search.clone());
        let all: FxHashSet<PathBuf> = files.iter().cloned().collect();
        let n_done = AtomicUsize::new(0);
        let tally = Mutex::new(Tally::default());
        let one = |object: &PathBuf| -> Result<Option<Verdict>, Cancelled> {
            cancel.check()?;
            let flags = finder.flags(object);
            // What the object shows decides over its command.
            let skip = Skip::of(object, &flags, &all).filter(|skip| *skip != Skip::Unchecked(Unchecked::NotKernel));
            let judged = match skip {
                Some(skip) => Err(Trouble::NotChecked(skip.words())),
                None => self.engine.inspect(object, self.config, self.search, cancel),
            };
            let caution = judged.is_ok().then(|| flags.caution()).flatten();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.cautions.extend(caution);
            let verdict = match judged {
                Ok(Verdict { unchecked: Some(why), .. }) | Err(Trouble::NotChecked(why)) => {
                    *tally.skipped.entry(why).or_default() += 1;
                    None
                }
                Ok(mut verdict) => {
                    tally.checked += 1;
                    let open = verdict.anatomy.as_ref().map_or(&[][..], |anatomy| &anatomy.analysis.open);
                    let gaps = flags
                        .undecided
                        .iter()
                        .filter(|gap| gap.is_open(open) && !gap.is_closed_by(object, &all))
                        .map(|gap| format!("not judged: {gap}"));
                    tally.gaps.extend(gaps);
                    let unjudged = verdict.report.unjudged.iter();
                    tally.gaps.extend(
                        unjudged.map(|gap| format!("not judged: {}: {}: {}", object.display(), gap.what, gap.why)),
                    );
                    verdict.anatomy = None;
                    Some(verdict).filter(|verdict| !verdict.report.findings.is_empty())
                }
                Err(Trouble::Cancelled) => return Err(Cancelled),
                Err(trouble) => {
                    tracing::info!("{}: {trouble}", object.display());
                    tally.failed.push(format!("{}: {trouble}", object.display()));
                    None
                }
            };
            drop(tally);
            self.progress.step(n_done.fetch_add(1, Ordering::Relaxed) + 1, files.len());
            Ok(verdict)
        };
        let verdicts: Vec<Option<Verdict>> = files.par_iter().map(one).collect::<Result<_, _>>()?;
        let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
        let findings: usize = verdicts.iter().map(|verdict| verdict.report.findings.len()).sum();
        let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        tally.failed.sort();
        let unreadable: Vec<String> =
            unreadable.iter().map(|(path, error)| format!("{}: {error}", path.display())).collect();
        let numbers = json!({
            "objects": tally.checked,
            "findings": findings,
            "withFindings": verdicts.len(),
            "failed": tally.failed.len() + unreadable.len(),
            "skipped": tally.skipped,
            "notRead": unreadable.iter().chain(&tally.failed).take(MAX_NAMED).collect::<Vec<_>>(),
            "notes": tally.cautions.iter().chain(tally.gaps.iter().take(MAX_NAMED)).collect::<Vec<_>>(),
        });
        Ok((verdicts, numbers))
    }

    /// The objects of the build directory, or of the workspace folders where none is named.
    fn objects(&self, cancel: &CancelToken) -> Result<Objects, Cancelled> {
        let folders = match &self.search.build_dir {
            Some(folder) => std::slice::from_ref(folder),
            None => self.search.roots.as_slice(),
        };
        let mut objects = Objects::default();
        for folder in folders {
            let found = discover(folder, self.search, &|| cancel.is_cancelled());
            objects.files.extend(found.files);
            objects.unreadable.extend(found.unreadable);
            cancel.check()?;
        }
        objects.files.sort();
        objects.files.dedup();
        objects.unreadable.dedup();
        Ok(objects)
    }
}

/// What the objects came to, besides findings.
#[derive(Default)]
struct Tally {
    checked: usize,
    /// By the reason in words.
    skipped: BTreeMap<String, usize>,
    /// What could not be analysed, and why.
    failed: Vec<String>,
    /// Releases that are judged by other ones' rules.
    cautions: BTreeSet<String>,
    /// What was left open.
    gaps: BTreeSet<String>,
}

/// So many files that could not be read, or things that were left open, are named; of more there is the number.
const MAX_NAMED: usize = 20;

/// A progress indicator, if the client shows one.
pub struct Progress<'a> {
    /// Where its steps go.
    pub outbox: &'a Outbox,
    /// Its name; `None` where there is none.
    pub token: Option<ProgressToken>,
    /// When the next step may be told.
    pub pace: Pace,
}

/// Lets through what comes at most ten times a second.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Option<Instant>>);

/// Ten times a second.
const STEP: Duration = Duration::from_millis(100);

impl Pace {
    /// Whether something may be told at `now`; if so, nothing more for a while.
    fn admits(&self, now: Instant) -> bool {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = next.is_none_or(|next| next <= now);
        if admitted {
            *next = Some(now + STEP);
        }
        admitted
    }
}

impl Progress<'_> {
    fn begin(&self) {
        self.tell(WorkDoneProgress::Begin(WorkDoneProgressBegin {
            title: "orcls: checking objects".to_owned(),
            cancellable: Some(true),
            message: None,
            percentage: Some(0),
        }));
    }

    fn step(&self, n_done: usize, n_all: usize) {
        if !self.pace.admits(Instant::now()) {
            return;
        }
        self.tell(WorkDoneProgress::Report(WorkDoneProgressReport {
            cancellable: Some(true),
            message: Some(format!("{n_done}/{n_all}")),
            percentage: Some(u32::try_from(n_done * 100 / n_all.max(1)).unwrap_or(100)),
        }));
    }

    fn end(&self, message: String) {
        self.tell(WorkDoneProgress::End(WorkDoneProgressEnd { message: Some(message) }));
    }

    fn tell(&self, step: WorkDoneProgress) {
        if let Some(token) = &self.token {
            self.outbox.progress(token.clone(), step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_at_most_ten_times_a_second() {
        let (pace, start) = (Pace::default(), Instant::now());
        let told = (0..1000).filter(|at| pace.admits(start + Duration::from_millis(*at))).count();
        assert_eq!(told, 10);
    }
}
