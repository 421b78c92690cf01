//! The private folder in which compiles take place.
//!
//! In: nothing.  Out: [`Scratch`], and a [`Job`] folder for each compile.
//! Holds afterwards: nobody else can read it; a job's folder is gone when the job is, and what a killed server left is
//! removed by the next one.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::Limits;
use super::confine::{self, Confinement, Helper, Keeper};
use super::farms::Farms;
use super::job::Job;
use super::process::{self, Outcome};
use super::register::{Entry, Register};
use crate::cancel::CancelToken;

const PREFIX: &str = "orcls-";

/// The folder of one server.
#[derive(Debug)]
pub struct Scratch {
    /// Gone when this value is dropped, before its entry.
    folder: Option<TempDir>,
    path: PathBuf,
    entry: Option<Entry>,
    count: AtomicU64,
    helper: Option<Helper>,
    keeper: OnceLock<Option<Keeper>>,
    farms: Farms,
}

impl Scratch {
    /// Makes a folder, and removes those whose processes are gone.
    pub fn new() -> io::Result<Scratch> {
        Scratch::below(&std::env::temp_dir(), Register::of_user(), Helper::of_process())
    }

    /// Makes a folder whose compiles are locked in by the program of another file than this process's.
    pub fn with_helper(helper: Helper) -> io::Result<Scratch> {
        Scratch::below(&std::env::temp_dir(), Register::of_user(), Some(helper))
    }

    fn below(parent: &Path, register: Option<Register>, helper: Option<Helper>) -> io::Result<Scratch> {
        if let Some(register) = &register {
            register.sweep();
        }
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
        let path = folder.path().canonicalize()?;
        let entry = register.and_then(|register| match register.enter(&path) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!("{} would stay if this process were killed: {error}", path.display());
                None
            }
        });
        Ok(Scratch {
            folder: Some(folder),
            path,
            entry,
            count: AtomicU64::new(0),
            helper,
            keeper: OnceLock::new(),
            farms: Farms::default(),
        })
    }

    /// A folder for one compile.
    pub fn job(&self) -> io::Result<Job> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Job::new(self.path.join(number.to_string()))
    }

    /// Folders that look like others.
    pub fn farms(&self) -> &Farms {
        &self.farms
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether programs are locked in.
    pub fn confines(&self) -> bool {
        self.helper.is_some() && confine::is_available()
    }

    /// A command that runs `program`, locked in as far as that can be done here.
    pub fn command(&self, program: &Path, confinement: &Confinement, limits: Limits) -> io::Result<Command> {
        match &self.helper {
            Some(helper) => helper.command(program, confinement, limits),
            None => Ok(Command::new(program)),
        }
    }

    /// Runs a command to its end, or until this process ends.
    pub fn run(&self, command: Command, limits: Limits, cancel: &CancelToken) -> io::Result<Outcome> {
        process::run_kept(command, limits, self.keeper(), cancel)
    }

    /// Who tidies up if this process is killed; started when it is first asked for.
    fn keeper(&self) -> Option<&Keeper> {
        let start = |helper: &Helper| match Keeper::start(helper, &self.path) {
            Ok(keeper) => Some(keeper),
            Err(error) => {
                tracing::warn!("compilers would go on if this process were killed: {error}");
                None
            }
        };
        self.keeper.get_or_init(|| self.helper.as_ref().and_then(start)).as_ref()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.farms));
        drop(self.folder.take());
        if let Some(entry) = self.entry.take() {
            entry.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folders(parent: &Path) -> usize {
        fs::read_dir(parent).map_or(0, |entries| entries.flatten().count())
    }

    #[test]
    fn a_folder_goes_with_its_process_and_a_killed_one_s_with_the_next_start() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let (parent, list) = (place.path().join("tmp"), place.path().join("list"));
        fs::create_dir(&parent).expect("a folder");
        let make = || Scratch::below(&parent, Register::in_folder(list.clone()), None).expect("a folder");
        let mut killed = make();
        std::mem::forget(killed.job().expect("a folder"));
        // What a killed process leaves: folder and entry stay, the lock does not.
        drop(killed.folder.take().map(TempDir::keep));
        killed.entry = None;
        drop(killed);
        fs::create_dir(parent.join("orcls-without-lock")).expect("a folder");
        assert_eq!((folders(&parent), folders(&list)), (2, 1));
        let next = make();
        assert_eq!((folders(&parent), folders(&list)), (2, 1));
        drop(next);
        assert_eq!((folders(&parent), folders(&list)), (1, 0));
    }

    #[test]
    fn a_job_s_folder_is_private_and_goes_with_it() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let scratch = Scratch::below(parent.path(), None, None).expect("a folder");
        let mode = fs::metadata(&scratch.path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let job = scratch.job().expect("a folder");
        fs::write(job.path().join("out.o"), "x").expect("a file");
        let path = job.path().to_owned();
        drop(job);
        assert!(!path.exists());
    }
}
