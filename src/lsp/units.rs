//! The source files that are open, each with its last verdict and its next one.
//!
//! In: edits, verdicts, time.  Out: which files to judge next, and what is known about each.
//! Holds afterwards: a verdict never replaces one of a later start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tower_lsp::lsp_types::Url;

use crate::cancel::CancelToken;

use super::documents::Document;
use super::verdict::{Freshness, Trouble, Verdict};

/// An open source file.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The file.
    pub path: PathBuf,
    /// Its document.
    pub uri: Url,
    /// The last verdict, perhaps on an older text.
    pub last: Option<Arc<Verdict>>,
    /// Why there is no verdict on the text at hand.
    pub trouble: Option<Trouble>,
    /// When to judge it next.
    pub due: Option<Instant>,
    /// When to confirm that the last verdict holds for the text, whose lines have moved.
    pub confirm_due: Option<Instant>,
    /// The judgement that is under way confirms the last one.
    pub confirms: bool,
    /// What is under way or due is so because texts were edited, and for no other reason.
    pub typed: bool,
    /// When to judge `vmlinux.o` with it.
    pub whole_due: Option<Instant>,
    /// When to look for fixes of what the last verdict found.
    pub fixes_due: Option<Instant>,
    /// Ends the search for fixes.
    pub search: CancelToken,
    /// When to look again for what was not there.
    pub retry: Option<Instant>,
    /// How often was looked for it.
    pub n_tries: u32,
    /// The number of the judgement that is under way.
    pub running: Option<u64>,
    /// When it will have taken too long, if it has begun by now.
    pub deadline: Option<Instant>,
    /// It was stopped because it had.
    pub overdue: bool,
    /// The number of the judgement that `last` or `trouble` came from.
    pub settled: u64,
}

impl Unit {
    /// Whether its code is made from one of these headers, or may be: of a text that never compiled, and of one with an error
    /// in such a header, nobody has said what it reads.
    pub fn may_read(&self, headers: &BTreeSet<PathBuf>) -> bool {
        let reads = |verdict: &Arc<Verdict>| verdict.includes.iter().any(|file| headers.contains(file));
        let fails = match &self.trouble {
            Some(Trouble::NotCompiled { complaints, .. }) => {
                self.last.is_none() || complaints.iter().any(|complaint| headers.contains(&complaint.file))
            }
            _ => false,
        };
        fails || self.last.as_ref().is_some_and(reads)
    }

    /// Whether the last verdict is about the text at `version`.
    pub fn freshness(&self, version: i32) -> Freshness {
        match &self.last {
            None => Freshness::ObjectMissing,
            Some(verdict) if verdict.versions.get(&self.path) == Some(&version) && self.trouble.is_none() => {
                Freshness::Fresh
            }
            Some(_) => Freshness::SourceNewer,
        }
    }

    /// Has it judged, for another reason than that a text was edited.
    pub fn touch(&mut self, when: Instant) {
        (self.due, self.typed) = (Some(when), false);
    }

    /// Has it judged because a text was edited.
    pub fn retype(&mut self, when: Instant) {
        self.typed |= self.due.is_none() && (self.running.is_none() || self.confirms);
        (self.due, self.confirm_due) = (Some(when), None);
    }

    /// Whether what is known of the file is so of the document at hand, which may be the judged text with its lines moved.
    pub fn freshness_of(&self, document: &Document) -> Freshness {
        match &self.last {
            None => Freshness::ObjectMissing,
            Some(verdict)
                if self.trouble.is_none()
                    && verdict.versions.get(&self.path).is_some_and(|version| document.is_as_at(*version)) =>
            {
                Freshness::Fresh
            }
            Some(_) => Freshness::SourceNewer,
        }
    }

    /// Whether a judgement is under way or due, other than one that confirms what is known.
    pub fn is_busy(&self) -> bool {
        (self.running.is_some() && !self.confirms) || self.due.is_some() || self.whole_due.is_some()
    }
}

/// All open source files. A copy costs nothing, however many they are.
#[derive(Clone, Debug, Default)]
pub struct Units {
    by_path: Arc<BTreeMap<PathBuf, Unit>>,
}

impl Units {
    /// Adds a file, or takes its new name.
    pub fn open(&mut self, path: PathBuf, uri: Url) -> &mut Unit {
        let unit = Unit {
            path: path.clone(),
            uri,
            last: None,
            trouble: None,
            due: None,
            confirm_due: None,
            confirms: false,
            typed: true,
            whole_due: None,
            fixes_due: None,
            search: CancelToken::default(),
            retry: None,
            n_tries: 0,
            running: None,
            deadline: None,
            overdue: false,
            settled: 0,
        };
        Arc::make_mut(&mut self.by_path).entry(path).or_insert(unit)
    }

    /// Forgets a file.
    pub fn close(&mut self, path: &Path) -> Option<Unit> {
        Arc::make_mut(&mut self.by_path).remove(path)
    }

    /// The file's unit.
    pub fn get(&self, path: &Path) -> Option<&Unit> {
        self.by_path.get(path)
    }

    /// The file's unit, to change it.
    pub fn get_mut(&mut self, path: &Path) -> Option<&mut Unit> {
        if !self.by_path.contains_key(path) {
            return None;
        }
        Arc::make_mut(&mut self.by_path).get_mut(path)
    }

    /// All, ordered by path.
    pub fn iter(&self) -> impl Iterator<Item = &Unit> {
        self.by_path.values()
    }

    /// All, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Unit> {
        Arc::make_mut(&mut self.by_path).values_mut()
    }

    /// When the next file is due.
    pub fn next_due(&self) -> Option<Instant> {
        let all = |unit: &Unit| [unit.due, unit.retry, unit.whole_due, unit.deadline, unit.confirm_due];
        self.iter().flat_map(all).flatten().min()
    }

    /// When fixes are looked for next.
    pub fn next_fixes(&self) -> Option<Instant> {
        self.iter().filter_map(|unit| unit.fixes_due).min()
    }

    /// The files whose fixes are due at `now` and that are not about to be judged anew; they no longer are.
    pub fn take_due_fixes(&mut self, now: Instant) -> Vec<(Url, CancelToken)> {
        let is_due = |unit: &&Unit| unit.fixes_due.is_some_and(|due| due <= now);
        let due: Vec<PathBuf> = self.iter().filter(is_due).map(|unit| unit.path.clone()).collect();
        let taken = due.iter().filter_map(|path| {
            let unit = self.get_mut(path)?;
            unit.fixes_due = None;
            unit.search = CancelToken::default();
            (!unit.is_busy()).then(|| (unit.uri.clone(), unit.search.clone()))
        });
        taken.collect()
    }

    /// The files that are due at `now`; they no longer are.
    pub fn take_due(&mut self, now: Instant) -> Vec<PathBuf> {
        let is_due = |unit: &Unit| [unit.due, unit.retry, unit.confirm_due].into_iter().flatten().any(|due| due <= now);
        let due: Vec<PathBuf> = self.iter().filter(|unit| is_due(unit)).map(|unit| unit.path.clone()).collect();
        for path in &due {
            if let Some(unit) = self.get_mut(path) {
                unit.confirms = unit.due.is_none() && unit.retry.is_none();
                (unit.due, unit.retry, unit.whole_due, unit.confirm_due) = (None, None, None, None);
            }
        }
        due
    }

    /// The files of whose judgement it is to be looked at `now` whether it takes too long.
    pub fn take_deadlines(&mut self, now: Instant) -> Vec<PathBuf> {
        let is_over = |unit: &Unit| unit.deadline.is_some_and(|deadline| deadline <= now);
        let over: Vec<PathBuf> = self.iter().filter(|unit| is_over(unit)).map(|unit| unit.path.clone()).collect();
        for path in &over {
            if let Some(unit) = self.get_mut(path) {
                unit.deadline = None;
            }
        }
        over
    }

    /// The files with which `vmlinux.o` is due at `now`; they no longer are.
    pub fn take_whole_due(&mut self, now: Instant) -> Vec<PathBuf> {
        let is_due = |unit: &&Unit| unit.whole_due.is_some_and(|due| due <= now);
        let due: Vec<PathBuf> = self.iter().filter(is_due).map(|unit| unit.path.clone()).collect();
        for path in &due {
            if let Some(unit) = self.get_mut(path) {
                unit.whole_due = None;
                unit.confirms = false;
            }
        }
        due
    }
}
