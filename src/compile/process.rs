//! Runs one compiler: alone in its process group, within limits, stopped at once when nobody waits for it.
//!
//! In: a [`Command`].  Out: whether it succeeded, and what it complained about.
//! Holds afterwards: no process of its group is left, whatever became of it.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, prlimit, waitid};

use super::Limits;
use super::confine::Keeper;
use crate::cancel::CancelToken;

/// How often a running compiler's caller looks whether it is still wanted.
const TICK: Duration = Duration::from_millis(5);
/// More of a program's words than this are not kept.
pub const MAX_WORDS: usize = 256 << 10;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// By itself, with these words on standard error.
    Ended(ExitStatus, String),
    /// It was stopped because nobody waits for it.
    Cancelled,
    /// It was stopped because its time was over.
    TimedOut,
}

/// Runs `command` to its end.
pub fn run(command: Command, limits: Limits, cancel: &CancelToken) -> io::Result<Outcome> {
    run_kept(command, limits, None, cancel)
}

/// Runs `command` to its end. The keeper ends it if this process is gone before.
pub fn run_kept(
    mut command: Command,
    limits: Limits,
    keeper: Option<&Keeper>,
    cancel: &CancelToken,
) -> io::Result<Outcome> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut group = Group::new(command.spawn()?);
    let watched = keeper.zip(group.pid).map(|(keeper, pid)| keeper.watch(pid));
    group.limit(limits);
    let deadline = Instant::now() + limits.time;
    let mut words = Vec::new();
    let stderr = group.child.stderr.take();
    if let Some(mut stderr) = stderr
        && let Some(stopped) = collect(&mut stderr, &mut words, deadline, cancel)?
    {
        return Ok(stopped);
    }
    // Standard error is closed when all who had it have ended, which a compiler's driver does last.
    while !group.has_ended()? {
        if cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        if Instant::now() >= deadline {
            return Ok(Outcome::TimedOut);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    // Its number is its own until it is waited for, and the keeper must not know it for longer.
    group.kill();
    drop(watched);
    let status = group.child.wait()?;
    Ok(Outcome::Ended(status, String::from_utf8_lossy(&words).into_owned()))
}

/// Runs `command` to its end, and also returns what it printed.
pub fn output(mut command: Command, limits: Limits, cancel: &CancelToken) -> io::Result<(Outcome, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut group = Group::new(command.spawn()?);
    group.limit(limits);
    let deadline = Instant::now() + limits.time;
    let mut words = Vec::new();
    let stdout = group.child.stdout.take();
    if let Some(mut stdout) = stdout
        && let Some(stopped) = collect(&mut stdout, &mut words, deadline, cancel)?
    {
        return Ok((stopped, String::new()));
    }
    let status = group.end()?;
    Ok((Outcome::Ended(status, String::new()), String::from_utf8_lossy(&words).into_owned()))
}

/// Reads until the other end is closed; how the run ends, when that is too late.
fn collect(
    pipe: &mut (impl Read + AsFd),
    words: &mut Vec<u8>,
    deadline: Instant,
    cancel: &CancelToken,
) -> io::Result<Option<Outcome>> {
    while !drained(pipe, words)? {
        if cancel.is_cancelled() {
            return Ok(Some(Outcome::Cancelled));
        }
        if Instant::now() >= deadline {
            return Ok(Some(Outcome::TimedOut));
        }
    }
    Ok(None)
}

/// Takes what has been written, or waits a tick; whether the other end is closed.
fn drained(pipe: &mut (impl Read + AsFd), words: &mut Vec<u8>) -> io::Result<bool> {
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos() as i64 };
    let mut fds = [PollFd::new(&*pipe, PollFlags::IN)];
    match poll(&mut fds, Some(&tick)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut chunk = [0; 4096];
    let n = pipe.read(&mut chunk)?;
    let room = MAX_WORDS.saturating_sub(words.len()).min(n);
    words.extend_from_slice(chunk.get(..room).unwrap_or_default());
    Ok(n == 0)
}

/// A process and those that it has started. Dropped, all of them are killed.
struct Group {
    child: Child,
    pid: Option<Pid>,
}

impl Group {
    fn new(child: Child) -> Group {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Group { child, pid }
    }

    /// Sets the limits from outside: the compiler proper is started by the driver, and inherits them.
    fn limit(&self, limits: Limits) {
        let seconds = limits.time.as_secs().max(1);
        let list = [
            (Resource::As, limits.memory),
            (Resource::Fsize, limits.file),
            (Resource::Cpu, seconds),
            (Resource::Core, 0),
        ];
        for (resource, most) in list {
            // It may have ended already, or the system may allow less: then the smaller limit stays.
            prlimit(self.pid, resource, Rlimit { current: Some(most), maximum: Some(most) }).ok();
        }
    }

    /// Whether the process has ended. It is not reaped, so that its number still means its group.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.pid else {
            return Ok(true);
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        Ok(waitid(WaitId::Pid(pid), options)?.is_some())
    }

    fn kill(&mut self) {
        if let Some(pid) = self.pid.take() {
            // There may be nobody left.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.pid.is_some() {
            drop(self.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const LIMITS: Limits = Limits { time: Duration::from_secs(20), memory: 1 << 30, file: 1 << 20 };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// Whether a process goes on that has `mark` among its arguments. A kill takes effect after the call.
    fn runs(mark: &str) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !is_there(mark) {
                return false;
            }
        }
        true
    }

    fn is_there(mark: &str) -> bool {
        let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
        entries.map(|entry| entry.path().join("cmdline")).any(|file| {
            let line = fs::read(file).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
        })
    }

    #[test]
    fn words_and_status_come_back() {
        let outcome = run(shell("echo out; echo err >&2; exit 3"), LIMITS, &CancelToken::default());
        match outcome.expect("the shell runs") {
            Outcome::Ended(status, words) => assert_eq!((status.code(), words.as_str()), (Some(3), "err\n")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cancelled_group_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let started = folder.path().join("started");
        let script = format!("sleep 7777.25 & touch {}; wait", started.display());
        let cancel = CancelToken::default();
        let other = cancel.clone();
        let waiting = std::thread::spawn(move || {
            while !Path::new(&started).exists() {
                std::thread::yield_now();
            }
            other.cancel();
        });
        let outcome = run(shell(&script), LIMITS, &cancel).expect("the shell runs");
        assert!(matches!(outcome, Outcome::Cancelled));
        assert!(waiting.join().is_ok());
        assert!(!runs("7777.25"));
    }

    #[test]
    fn children_do_not_outlive_their_parent() {
        let outcome = run(shell("sleep 7777.75 2>/dev/null & exit 0"), LIMITS, &CancelToken::default());
        assert!(matches!(outcome.expect("the shell runs"), Outcome::Ended(status, _) if status.success()));
        assert!(!runs("7777.75"));
    }

    #[test]
    fn time_is_limited() {
        let limits = Limits { time: Duration::from_millis(30), ..LIMITS };
        let outcome = run(shell("sleep 7777.5"), limits, &CancelToken::default()).expect("the shell runs");
        assert!(matches!(outcome, Outcome::TimedOut));
        assert!(!runs("7777.5"));
    }

    #[test]
    fn files_are_limited() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let limited = "until [ \"$(ulimit -f)\" != unlimited ]; do :; done";
        let script = format!("{limited}; head -c 9000000 /dev/zero > {}/big", folder.path().display());
        let outcome = run(shell(&script), LIMITS, &CancelToken::default()).expect("the shell runs");
        assert!(matches!(outcome, Outcome::Ended(status, _) if !status.success()));
        assert!(fs::metadata(folder.path().join("big")).map_or(0, |meta| meta.len()) <= LIMITS.file);
    }
}
