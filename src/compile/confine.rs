//! Locks a program in: what it may read, write and run, decided before it starts.
//!
//! In: a program, and a [`Confinement`].  Out: a [`Command`] that starts orcls in a hidden mode, which locks itself in and
//! then becomes the program.
//! Holds afterwards, where the kernel has Landlock: the program and all that it starts run no other program than those
//! named, write nothing outside the folder named and signal nobody outside. On every kernel: it gains no privileges, makes
//! no sockets (`sockets.rs`), keeps to its limits, and ends when the thread that started it does.
//!
//! What may be read is not a short list: headers come from anywhere, and one that is hidden from a compiler would change
//! what `__has_include` says, and so the code. Kept from it are the folders that hold no sources but secrets: those of
//! other users, the hidden ones of the user's own, `/proc`, `/run`, devices.

mod keeper;
mod launcher;
mod sockets;
mod toolchain;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use serde::{Deserialize, Serialize};

pub use keeper::Keeper;
pub use toolchain::Toolchain;

use super::Limits;

/// Says that this process is the orcls program, whose hidden modes exist.
static IS_PROGRAM: OnceLock<()> = OnceLock::new();
/// The hidden modes, by their first argument.
const LAUNCH: &str = "__confined";
const KEEP: &str = "__keeper";
/// A user who wants to know what holds without Landlock sets this to `off`.
const SWITCH: &str = "ORCLS_LANDLOCK";

/// What a program may do.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Folders and files that it may read, besides those of the system and the user's visible ones.
    pub read: Vec<PathBuf>,
    /// The folder below which it may do as it likes; the only one in which it may write.
    pub write: PathBuf,
    /// The programs that it may run, itself included. A folder stands for all below it.
    pub execute: Vec<PathBuf>,
    /// It is the user's own script, of which nobody knows what it needs: only limits hold for it.
    pub is_open: bool,
}

/// What the launcher is told.
#[derive(Serialize, Deserialize)]
struct Policy {
    parent: u32,
    read: Vec<PathBuf>,
    write: PathBuf,
    execute: Vec<PathBuf>,
    home: Option<PathBuf>,
    limits: Limits,
    landlock: bool,
    no_sockets: bool,
}

/// The orcls program, which locks others in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Helper {
    program: PathBuf,
}

impl Helper {
    /// This process's own program, if it is orcls; there is none in a program that uses the library.
    pub fn of_process() -> Option<Helper> {
        // By this name it is found even when it has been replaced since it was started.
        IS_PROGRAM.get().map(|()| Helper { program: PathBuf::from("/proc/self/exe") })
    }

    /// The orcls program at this path.
    pub fn at(program: PathBuf) -> Helper {
        Helper { program }
    }

    /// A command that runs `program` locked in. Its arguments, environment and folder are the caller's to add.
    pub fn command(&self, program: &Path, confinement: &Confinement, limits: Limits) -> std::io::Result<Command> {
        let policy = Policy {
            parent: std::process::id(),
            read: confinement.read.clone(),
            write: confinement.write.clone(),
            execute: confinement.execute.clone(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            limits,
            landlock: is_available() && !confinement.is_open,
            no_sockets: !confinement.is_open,
        };
        let mut command = self.mode(LAUNCH);
        command.arg(serde_json::to_string(&policy)?).arg(program);
        Ok(command)
    }

    fn mode(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(mode);
        command
    }
}

/// The hidden modes. Called first thing by the program; returns when its arguments ask for none of them.
pub fn hidden_mode(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    IS_PROGRAM.set(()).ok();
    let mode = arguments.nth(1)?;
    match mode.to_str()? {
        LAUNCH => Some(launcher::become_program(arguments)),
        KEEP => Some(keeper::keep(arguments)),
        _ => None,
    }
}

/// Whether the kernel locks programs in.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let is_off = std::env::var_os(SWITCH).is_some_and(|value| value == "off");
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let ruleset = ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create);
        !is_off && ruleset.is_ok()
    })
}

/// Why programs are not locked in, for people; `None` when they are.
pub fn missing() -> Option<&'static str> {
    if !is_available() {
        Some("this kernel does not lock programs in (it has no Landlock, or it is switched off)")
    } else if Helper::of_process().is_none() {
        Some("only the orcls program locks programs in")
    } else {
        None
    }
}
