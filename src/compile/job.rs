//! The folder of one compile.
//!
//! Holds afterwards: it is gone with the value that stands for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of one compile; it goes with this value.
#[derive(Debug)]
pub struct Job {
    folder: PathBuf,
}

impl Job {
    /// Makes the folder.
    pub fn new(folder: PathBuf) -> io::Result<Job> {
        fs::create_dir(&folder)?;
        Ok(Job { folder })
    }

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
