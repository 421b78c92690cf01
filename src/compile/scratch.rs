//! The private folder in which compiles take place.
//!
//! In: nothing.  Out: [`Scratch`], and a [`Job`] folder for each compile.
//! Holds afterwards: nobody else can read it; a job's folder is gone when the job is, and what a killed server left is
//! removed by the next one.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const PREFIX: &str = "orcls-";
/// Locked by the server that uses the folder, for as long as it lives.
const LOCK: &str = "lock";

/// The folder of one server.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
    count: AtomicU64,
}

impl Scratch {
    /// Makes a folder, and removes those whose servers are gone.
    pub fn new() -> io::Result<Scratch> {
        Scratch::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> io::Result<Scratch> {
        remove_abandoned(parent);
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Scratch { folder, _lock: lock, count: AtomicU64::new(0) })
    }

    /// A folder for one compile.
    pub fn job(&self) -> io::Result<Job> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        fs::create_dir(&folder)?;
        Ok(Job { folder })
    }
}

/// The folder of one compile; it goes with this value.
#[derive(Debug)]
pub struct Job {
    folder: PathBuf,
}

impl Job {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!("{} can not be removed: {error}", self.folder.display());
        }
    }
}

/// Removes the folders of this user that no living server has locked.
fn remove_abandoned(parent: &Path) {
    let me = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        if !is_ours {
            continue;
        }
        // A folder without a lock is one that another server is just making.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(parent: &Path) -> usize {
        fs::read_dir(parent).map_or(0, |entries| entries.flatten().count())
    }

    #[test]
    fn abandoned_folders_are_removed_and_used_ones_stay() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let used = Scratch::below(parent.path()).expect("a folder");
        let killed = Scratch::below(parent.path()).expect("a folder");
        fs::write(killed.job().expect("a folder").path().with_file_name("left"), "x").expect("a file");
        // What a killed process leaves: the folder stays, the lock does not.
        let Scratch { folder, _lock, .. } = killed;
        let left = folder.keep();
        drop(_lock);
        fs::create_dir(parent.path().join("orcls-without-lock")).expect("a folder");
        fs::create_dir(parent.path().join("other")).expect("a folder");
        let next = Scratch::below(parent.path()).expect("a folder");
        assert!(!left.exists());
        assert_eq!(folders(parent.path()), 4);
        drop((used, next));
        assert_eq!(folders(parent.path()), 2);
    }

    #[test]
    fn a_job_s_folder_is_private_and_goes_with_it() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let scratch = Scratch::below(parent.path()).expect("a folder");
        let mode = fs::metadata(scratch.folder.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let job = scratch.job().expect("a folder");
        fs::write(job.path().join("out.o"), "x").expect("a file");
        let path = job.path().to_owned();
        drop(job);
        assert!(!path.exists());
    }
}
