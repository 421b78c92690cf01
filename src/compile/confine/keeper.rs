//! A process that outlives orcls by a moment, and tidies up after it however it ended.
//!
//! In: which programs run, and the private folder.  Out: nothing.
//! Holds afterwards: when orcls is gone (by a key, a signal or a crash), the programs that it had started are killed with
//! all that they started, and its folder is removed.
//!
//! The keeper reads a pipe of which orcls alone holds the other end. The kernel closes that end whatever orcls dies of.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group, setsid};

use super::super::register::remove_jobs;
use super::{Helper, KEEP};

/// The keeper of this process.
#[derive(Debug)]
pub struct Keeper {
    pipe: Mutex<Option<ChildStdin>>,
    child: Mutex<Child>,
}

impl Keeper {
    /// Starts one, for this private folder.
    pub fn start(helper: &Helper, folder: &Path) -> io::Result<Keeper> {
        let meta = fs::symlink_metadata(folder)?;
        let mut command = helper.mode(KEEP);
        command.arg(folder).args([meta.dev(), meta.ino()].map(|number| number.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        Ok(Keeper { pipe: Mutex::new(pipe), child: Mutex::new(child) })
    }

    /// Has the group of this process killed when orcls ends before the answer is dropped.
    pub fn watch(&self, group: Pid) -> Watched<'_> {
        self.say('+', group);
        Watched { keeper: self, group }
    }

    fn say(&self, sign: char, group: Pid) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a keeper the folder is removed at the next start, and the program ends by its limits.
        if let Some(pipe) = &mut *pipe
            && let Err(error) = pipe.write_all(format!("{sign}{}\n", group.as_raw_nonzero()).as_bytes())
        {
            tracing::debug!("the keeper is gone: {error}");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.child.lock().unwrap_or_else(PoisonError::into_inner).wait());
    }
}

/// A group that is killed when orcls ends; not any more when this value is dropped.
#[derive(Debug)]
pub struct Watched<'a> {
    keeper: &'a Keeper,
    group: Pid,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.keeper.say('-', self.group);
    }
}

/// The hidden mode.
pub(super) fn keep(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let folder = arguments.next().map(PathBuf::from);
    let mut number = || arguments.next().and_then(|word| word.to_str()?.parse().ok());
    let (Some(folder), Some(device), Some(inode)) = (folder, number(), number()) else {
        return ExitCode::FAILURE;
    };
    // Keys and hang-ups go to the terminal's group, and who ends orcls by its name does not mean this one.
    setsid().ok();
    rustix::thread::set_name(c"keeper").ok();
    let mut groups = BTreeSet::new();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let (sign, number) = line.split_at(line.len().min(1));
        match (sign, number.parse::<i32>()) {
            ("+", Ok(group)) if group > 1 => drop(groups.insert(group)),
            ("-", Ok(group)) => drop(groups.remove(&group)),
            _ => {}
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        kill_process_group(group, Signal::KILL).ok();
    }
    remove_jobs(&folder, device, inode);
    ExitCode::SUCCESS
}
