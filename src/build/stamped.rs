//! Keeps what was read from a file until the file is another one.
//!
//! In: a path, the files that its value depends on, and how to read it.  Out: what was read.
//! Holds afterwards: when one of the files was changed, removed or made since, the value is read again at the next
//! question.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustc_hash::FxHashMap;

/// A file's time and size, by which another content is told; `None` while it does not exist.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()))
}

/// Values read from files, by path.
#[derive(Debug)]
pub(super) struct Stamped<T>(Mutex<FxHashMap<PathBuf, (Vec<Stamp>, T)>>);

impl<T> Default for Stamped<T> {
    fn default() -> Self {
        Stamped(Mutex::default())
    }
}

impl<T: Clone> Stamped<T> {
    /// What `read` makes of `path`, which depends on the `watched` files.
    pub(super) fn get(&self, path: &Path, watched: &[PathBuf], read: impl FnOnce() -> T) -> T {
        let current: Vec<Stamp> = watched.iter().map(|file| stamp(file)).collect();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some((stamp, value)) = known
            && stamp == current
        {
            return value;
        }
        // Not under the lock: others may ask for other files meanwhile.
        let value = read();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_owned(), (current, value.clone()));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let values = Stamped::default();
        let get = || values.get(&path, std::slice::from_ref(&path), || std::fs::read_to_string(&path).ok());
        assert_eq!(get(), None);
        std::fs::write(&path, "one").unwrap();
        assert_eq!(get().as_deref(), Some("one"));
        std::fs::write(&path, "three").unwrap();
        assert_eq!(get().as_deref(), Some("three"));
    }
}
