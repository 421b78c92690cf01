//! Files of assembly on disk, as they were read last, and the lists of files of a workspace.
//!
//! In: paths.  Out: texts, and what is written in them.
//! Holds afterwards: a file is read again when its time or size has changed; at most `MAX_KEPT` bytes of text are kept,
//! and no file of more than `MAX_FILE` is read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;

use crate::assembly::preprocess::{Options, Parsed, Preprocessed};
use crate::cancel::{CancelToken, Cancelled};

use super::super::documents::Documents;
use super::super::position::Text;
use super::index::Index;
use super::list::{ASSEMBLY, walk};

/// Bytes of text that are kept.
const MAX_KEPT: u64 = 64 << 20;
/// Larger files are not read.
const MAX_FILE: u64 = 4 << 20;
/// Texts whose preprocessing is kept.
const MAX_RUNS: usize = 32;
/// How long a list of files holds.
const LIST_AGE: Duration = Duration::from_secs(60);

type Stamp = (Option<SystemTime>, u64);

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Kept {
    stamp: Stamp,
    /// Its text.
    pub text: Arc<Text>,
    /// What is written in it.
    pub parsed: Arc<Parsed>,
}

/// A text after the preprocessor, and what that was made from.
#[derive(Debug)]
pub struct Run {
    /// The directives of the text.
    pub fingerprint: u64,
    /// The compiler's options.
    pub options: (Options, Vec<PathBuf>),
    /// The result.
    pub done: Arc<Preprocessed>,
}

#[derive(Debug, Default)]
struct Shared {
    files: FxHashMap<PathBuf, Kept>,
    n_bytes: u64,
    runs: Vec<(PathBuf, Run)>,
    lists: Vec<(PathBuf, Instant, Arc<Vec<PathBuf>>)>,
}

/// What was read. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Files {
    shared: Arc<Mutex<Shared>>,
    index: Index,
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    // Devices and pipes have no end.
    meta.is_file().then(|| (meta.modified().ok(), meta.len()))
}

impl Files {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing under the lock may panic half way.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the files of the workspace define and name.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The files of assembly below a folder of the workspace, in order.
    pub fn assembly_below(&self, root: &Path, cancel: &CancelToken) -> Result<Vec<PathBuf>, Cancelled> {
        match self.index.assembly() {
            Some(all) => Ok(all.iter().filter(|path| path.starts_with(root)).cloned().collect()),
            None => Ok(self.below(root, &ASSEMBLY, cancel)?.to_vec()),
        }
    }

    /// A file as it is on disk.
    pub fn read(&self, path: &Path) -> Option<Kept> {
        let now = stamp(path)?;
        if let Some(kept) = self.lock().files.get(path).filter(|kept| kept.stamp == now) {
            return Some(kept.clone());
        }
        if now.1 > MAX_FILE {
            return None;
        }
        let content = crate::files::text(path, MAX_FILE).ok()?;
        let parsed = Arc::new(Parsed::read(&content));
        let kept = Kept { stamp: now, text: Arc::new(Text::new(content)), parsed };
        let mut shared = self.lock();
        if shared.n_bytes + now.1 > MAX_KEPT {
            shared.files.clear();
            shared.n_bytes = 0;
        }
        if let Some(old) = shared.files.insert(path.to_owned(), kept.clone()) {
            shared.n_bytes = shared.n_bytes.saturating_sub(old.stamp.1);
        }
        shared.n_bytes += now.1;
        Some(kept)
    }

    /// Whether a text occurs in a file, comments included. What is not kept is read for this and forgotten.
    pub fn mentions(&self, documents: &Documents, path: &Path, text: &str) -> bool {
        if let Some(document) = documents.of_path(path) {
            return document.text.as_str().contains(text);
        }
        let kept = self.lock().files.get(path).cloned();
        match kept.filter(|kept| stamp(path) == Some(kept.stamp)) {
            Some(kept) => kept.text.as_str().contains(text),
            None => crate::files::text(path, MAX_FILE).is_ok_and(|content| content.contains(text)),
        }
    }

    /// The text of a file on disk.
    pub fn text(&self, path: &Path) -> Option<Arc<Text>> {
        self.read(path).map(|kept| kept.text)
    }

    /// What is written in a file: in its document, if it is open.
    pub fn parsed(&self, documents: &Documents, path: &Path) -> Option<Arc<Parsed>> {
        match documents.of_path(path) {
            Some(document) => Some(document.parsed()),
            None => self.read(path).map(|kept| kept.parsed),
        }
    }

    /// Whether what was read of a file is still what it holds.
    pub fn is_current(&self, path: &Path, parsed: &Arc<Parsed>) -> bool {
        let now = stamp(path);
        let shared = self.lock();
        shared.files.get(path).is_some_and(|kept| Some(kept.stamp) == now && Arc::ptr_eq(&kept.parsed, parsed))
    }

    /// What the preprocessor made of a text the last time.
    pub fn last_run(
        &self,
        path: &Path,
        fingerprint: u64,
        options: &(Options, Vec<PathBuf>),
    ) -> Option<Arc<Preprocessed>> {
        let shared = self.lock();
        let (_, run) = shared.runs.iter().find(|(own, _)| own == path)?;
        (run.fingerprint == fingerprint && run.options == *options).then(|| Arc::clone(&run.done))
    }

    /// Keeps what the preprocessor made of a text.
    pub fn keep_run(&self, path: &Path, run: Run) {
        let mut shared = self.lock();
        shared.runs.retain(|(own, _)| own != path);
        if shared.runs.len() >= MAX_RUNS {
            shared.runs.remove(0);
        }
        shared.runs.push((path.to_owned(), run));
    }

    /// The files below `root` whose names end with one of `endings`, in order of their paths. Of a kernel tree, the parts of
    /// other architectures are left out.
    pub fn below(&self, root: &Path, endings: &[&str], cancel: &CancelToken) -> Result<Arc<Vec<PathBuf>>, Cancelled> {
        let key = root.join(endings.join(","));
        if let Some((_, _, list)) =
            self.lock().lists.iter().find(|(own, when, _)| *own == key && when.elapsed() < LIST_AGE)
        {
            return Ok(Arc::clone(list));
        }
        let list = Arc::new(walk(root, endings, cancel)?);
        let mut shared = self.lock();
        shared.lists.retain(|(own, when, _)| *own != key && when.elapsed() < LIST_AGE);
        shared.lists.push((key, Instant::now(), Arc::clone(&list)));
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.S");
        std::fs::write(&path, "f:\n").expect("written");
        let files = Files::default();
        let first = files.read(&path).expect("read");
        assert!(files.is_current(&path, &first.parsed));
        assert!(Arc::ptr_eq(&first.parsed, &files.read(&path).expect("read").parsed));
        std::fs::write(&path, "f:\ng:\n").expect("written");
        assert!(!files.is_current(&path, &first.parsed));
        assert_eq!(files.read(&path).expect("read").parsed.outline.definitions.len(), 2);
        assert!(files.read(folder.path()).is_none());
    }
}
