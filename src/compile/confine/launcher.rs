//! The hidden mode that locks itself in and becomes the program that it was asked to run.
//!
//! In: a policy and a command, as arguments.  Out: the program, in this process; an exit status when that fails.
//! Holds afterwards: what `confine` promises. A rule for a file that is not there is left out, which allows less.
//! Reads like: linux Documentation/userspace-api/landlock.rst, prctl(2), setrlimit(2).

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};

use super::{Policy, sockets};

/// As shells say it: there is no such program, or it can not be run.
const NOT_RUN: u8 = 127;
/// What the rules are written for; an older kernel enforces those of them that it knows.
const RULES: ABI = ABI::V7;
/// Folders at the top that hold no sources: processes, devices, sockets, other people's homes.
const NO_SOURCES: [&str; 7] = ["proc", "sys", "dev", "run", "boot", "root", "home"];
/// What compilers read there nevertheless: how large the machine is, and random numbers.
const FACTS: [&str; 6] =
    ["/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/null", "/dev/urandom", "/dev/zero"];
/// More processes and threads than these are not started beside those of the whole machine.
const MORE_TASKS: u64 = 64;

/// Locks this process in, and becomes the program.
pub(super) fn become_program(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let failed = |why: &str| {
        // Who started this process reads the compiler's words, and finds this among them.
        drop(std::io::Write::write_all(&mut std::io::stderr(), format!("orcls: error: {why}\n").as_bytes()));
        ExitCode::from(NOT_RUN)
    };
    let policy = arguments.next().and_then(|text| serde_json::from_str::<Policy>(text.to_str()?).ok());
    let (Some(policy), Some(program)) = (policy, arguments.next()) else {
        return failed("this mode is for orcls alone");
    };
    if let Err(why) = lock_in(&policy, Path::new(&program)) {
        return failed(&format!("the compiler could not be locked in, and was not run: {why}"));
    }
    let error = Command::new(&program).args(arguments).exec();
    failed(&format!("{}: {error}", PathBuf::from(program).display()))
}

fn lock_in(policy: &Policy, program: &Path) -> Result<(), String> {
    let said = |error: rustix::io::Errno| error.to_string();
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(said)?;
    // It may have died before it could be heard of.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != i32::try_from(policy.parent).ok() {
        return Err("who asked for it is gone".to_owned());
    }
    let limits = &policy.limits;
    let mut list = vec![
        (Resource::As, limits.memory),
        (Resource::Fsize, limits.file),
        (Resource::Cpu, limits.time.as_secs().max(1)),
        (Resource::Core, 0),
    ];
    list.extend(tasks().map(|n| (Resource::Nproc, n + MORE_TASKS)));
    for (resource, most) in list {
        // The system may allow less: then the smaller limit stays.
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).ok();
    }
    rustix::thread::set_no_new_privs(true).map_err(said)?;
    if policy.no_sockets {
        sockets::forbid(program);
    }
    if policy.landlock {
        let status = rules(policy).map_err(|error| error.to_string())?.restrict_self();
        if status.map_err(|error| error.to_string())?.ruleset == RulesetStatus::NotEnforced {
            return Err("the kernel does not enforce it".to_owned());
        }
    }
    Ok(())
}

/// How many processes and threads there are: what is behind the slash in proc_loadavg(5).
fn tasks() -> Option<u64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

fn rules(policy: &Policy) -> Result<RulesetCreated, landlock::RulesetError> {
    let write = AccessFs::from_all(RULES)
        & !(AccessFs::Execute
            | AccessFs::MakeChar
            | AccessFs::MakeBlock
            | AccessFs::MakeFifo
            | AccessFs::MakeSock
            | AccessFs::IoctlDev);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    for path in readable(policy) {
        rules = allow(rules, &path, read)?;
    }
    for path in &policy.execute {
        rules = allow(rules, path, AccessFs::Execute | AccessFs::ReadFile)?;
    }
    allow(rules, &policy.write, write)
}

/// Adds a rule. A file that can not be opened could not be used either.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(fd) = PathFd::new(path) else {
        return Ok(rules);
    };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(RULES) };
    rules.add_rule(PathBeneath::new(fd, access))
}

fn readable(policy: &Policy) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = children(Path::new("/"), |name| !NO_SOURCES.contains(&name));
    // A home at the top, or none, is no home.
    if let Some(home) = policy.home.as_deref().filter(|home| home.parent().is_some()) {
        paths.extend(children(home, |name| !name.starts_with('.')));
    }
    paths.extend(FACTS.map(PathBuf::from));
    paths.extend(policy.read.iter().cloned());
    paths
}

fn children(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_none_or(&wanted)).map(|entry| entry.path()).collect()
}
