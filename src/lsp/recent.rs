//! Verdicts on texts that were judged lately: undoing, closing and opening, and switching branches bring them back.
//!
//! In: a [`Task`] and how its file is built.  Out: the [`Verdict`] on the very same texts, if it is kept.
//! Holds afterwards: a verdict that is given back is the one that a compile would lead to: the text, every file it includes,
//! the command, the settings and the build's own files are the same; at most [`MAX_VERDICTS`] are kept, on objects of
//! [`MAX_BYTES`] in all.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::build::Build;

use super::position::Text;
use super::verdict::{Basis, Stamp, Task, Verdict, written};

/// Verdicts that are kept.
const MAX_VERDICTS: usize = 16;
/// Bytes of their objects. What is known of an object takes several times as much.
const MAX_BYTES: u64 = 64 << 20;

/// A file that took part: in the client's text, or as it was on disk.
enum Included {
    Open(PathBuf, Arc<Text>),
    Closed(PathBuf, Stamp),
}

struct Entry {
    task: Task,
    build: Arc<Build>,
    includes: Vec<Included>,
    verdict: Verdict,
    n_bytes: u64,
}

/// The verdicts, the latest last.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Entry>>);

impl Recent {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // Nothing that may panic half way is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict on this task's texts.
    pub(super) fn find(&self, task: &Task, build: &Build) -> Option<Verdict> {
        let mut entries = self.lock();
        let at = entries.iter().rposition(|entry| entry.is_for(task, build))?;
        let entry = entries.remove(at)?;
        let mut verdict = entry.verdict.clone();
        entries.push_back(entry);
        drop(entries);
        let is_part = |path: &PathBuf| *path == task.source || verdict.includes.contains(path);
        let parts = task.open.iter().filter_map(|document| Some((document.path.clone()?, document.version)));
        verdict.versions = match verdict.basis {
            Basis::Buffer => parts.collect(),
            Basis::Object(_) => parts.filter(|(path, _)| is_part(path)).collect(),
        };
        verdict.versions.insert(task.source.clone(), task.document.version);
        Some(verdict)
    }

    /// Keeps a verdict on the task's texts, the judgement of which began at `begin`.
    pub(super) fn keep(&self, task: &Task, build: &Arc<Build>, verdict: &Verdict, begin: SystemTime) {
        let n_bytes = verdict.anatomy.as_ref().map_or(0, |anatomy| anatomy.object.size());
        if !verdict.is_of(task) || n_bytes > MAX_BYTES {
            return;
        }
        let open = |path: &PathBuf| task.open.iter().find(|document| document.path.as_ref() == Some(path));
        let include = |path: &PathBuf| match open(path) {
            Some(document) => Some(Included::Open(path.clone(), Arc::clone(&document.text))),
            // A file that was written meanwhile may have been read before or after.
            None => (written(path)? < begin).then(|| Included::Closed(path.clone(), Stamp::of(path))),
        };
        let Some(includes) = verdict.includes.iter().map(include).collect::<Option<Vec<_>>>() else { return };
        // The verdict before is of no use, and would keep the one before it.
        let task = Task { previous: None, ..task.clone() };
        let entry = Entry { task, build: Arc::clone(build), includes, verdict: verdict.clone(), n_bytes };
        let mut entries = self.lock();
        entries.push_back(entry);
        while entries.len() > MAX_VERDICTS || entries.iter().map(|entry| entry.n_bytes).sum::<u64>() > MAX_BYTES {
            entries.pop_front();
        }
    }
}

impl Entry {
    fn is_for(&self, task: &Task, build: &Build) -> bool {
        let text = |own: &Text, other: &Text| own.as_str() == other.as_str();
        let same_build = || {
            (&self.build.argv, &self.build.directory, &self.build.object, &self.build.flags)
                == (&build.argv, &build.directory, &build.object, &build.flags)
        };
        let open = |path: &PathBuf| task.open.iter().find(|document| document.path.as_ref() == Some(path));
        let same_file = |include: &Included| match include {
            Included::Open(path, was) => open(path).is_some_and(|document| text(was, &document.text)),
            Included::Closed(path, stamp) => {
                !stamp.has_changed()
                    && open(path).is_none_or(|document| {
                        std::fs::metadata(path).is_ok_and(|meta| meta.len() == document.text.as_str().len() as u64)
                            && crate::files::read(path, crate::files::SOURCE)
                                .is_ok_and(|bytes| bytes == document.text.as_str().as_bytes())
                    })
            }
        };
        self.task.source == task.source
            && text(&self.task.document.text, &task.document.text)
            && self.task.config == task.config
            && self.task.search == task.search
            && same_build()
            && self.verdict.stamps.iter().all(|stamp| !stamp.has_changed())
            && self.includes.iter().all(same_file)
    }
}
