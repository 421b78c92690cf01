//! Tells whether a file is still the one that was read.
//!
//! In: a path.  Out: [`Stamp`].
//! Holds afterwards: who writes to a file, or puts another one in its place, changes its stamp: one of the times in it is
//! the file system's own, which nobody can set back.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What tells that a file is another one than before: device, inode, size, when it was written and when it was put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Stamp(u64, u64, u64, i64, i64, i64, i64);

impl Stamp {
    /// The stamp of a file that can be read.
    pub(super) fn of(path: &Path) -> Option<Stamp> {
        let meta = std::fs::metadata(path).ok()?;
        let (changed, written) = ((meta.ctime(), meta.ctime_nsec()), (meta.mtime(), meta.mtime_nsec()));
        Some(Stamp(meta.dev(), meta.ino(), meta.size(), written.0, written.1, changed.0, changed.1))
    }
}
