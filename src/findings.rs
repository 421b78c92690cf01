//! What can be found, and all that is said of it: the one home of each finding.
//!
//! Out: [`Fault`], one variant per entry of objtool's catalogue with the values that it is about; [`Told`], its code,
//! objtool's words in each release and the sentence for people; [`Code`], its stable name with severity, fixes and page;
//! [`Finding`], a fault at a place with the path that led there.
//! Holds afterwards: a fault without one of these does not compile.
//!
//! Two kinds are never mixed: a *contradiction* in the code is a [`Finding`], what orcls could not judge is an
//! [`Unjudged`].

mod code;
mod fault;
mod parts;
mod told;

mod annotations;
mod branch_tracking;
mod flags;
mod frame;
mod hints;
mod mitigations;
mod noinstr;
mod path;
mod reading;
mod sections;
mod special;

use std::fmt;

use crate::cfi::CfiState;
use crate::ids::{CodeLoc, FindingId, InsnId, SymbolId};

pub use code::{Code, Entry, Severity, Stake};
pub use fault::{Fault, Mismatch};
pub use parts::{Names, Origin, Scene, Sentence, Told, Words};

/// How objtool prints a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `warning: objtool: ...`
    Warning,
    /// `error: objtool: ...`
    Error,
}

/// One line that objtool prints, without the object's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjtoolLine {
    /// Warning or error.
    pub level: Level,
    /// The text behind `objtool: `.
    pub text: String,
}

impl fmt::Display for ObjtoolLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level}: objtool: {}", self.text)
    }
}

/// A line that objtool prints for an object, and the finding that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrintedLine {
    /// The line.
    pub line: ObjtoolLine,
    /// The finding; its steps of a backtrace have it too. `None` for what belongs to no finding.
    pub of: Option<FindingId>,
    /// Whether the object's name stands before it. What is wrong with the command line had none up to 6.12.
    pub named: bool,
}

impl PrintedLine {
    /// The line as objtool prints it for the object of this name.
    pub fn for_object(&self, name: &str) -> String {
        match self.named {
            true => format!("{name}: {}", self.line),
            false => self.line.to_string(),
        }
    }
}

/// Why a step stands on the way to a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// The way starts here: a function or a hint.
    Start,
    /// A conditional jump that was taken.
    Taken,
    /// A conditional jump that was not taken.
    NotTaken,
    /// An unconditional jump.
    Jump,
    /// An entry of a jump table.
    TableEntry,
    /// An arm of an alternative was entered.
    Arm,
    /// An instruction faulted and its fix-up was entered.
    Fixup,
    /// A static branch, in its other state.
    StaticBranch,
    /// A call that is followed into the callee.
    Call,
    /// A stack operation that nothing on the way takes back: the cause of a difference.
    Cause,
    /// Next to here a stack operation is missing: the other way has it, or what `to` takes was never put.
    Missing,
    /// A `pop` that takes the slot of another register.
    Misplaced,
    /// A stack operation on the way; nothing is known against it.
    Move,
}

/// A step of the way to a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What happens there.
    pub kind: StepKind,
    /// The instruction.
    pub insn: InsnId,
    /// Where the step leads, if not to the next instruction.
    pub to: Option<InsnId>,
    /// Bytes by which the stack grows there (`Cause`, `Missing`); negative where it shrinks.
    pub bytes: i32,
}

/// A state, and the instruction and the way at which it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct StateAt {
    /// The instruction before which the state holds.
    pub insn: InsnId,
    /// The state.
    pub state: CfiState,
    /// The branches taken from the start of the function to get there with this state.
    pub trail: Vec<Step>,
}

/// A contradiction in the code.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// What it is.
    pub fault: Fault,
    /// Where it is; `None` when it is about the object or about a symbol as a whole.
    pub at: Option<CodeLoc>,
    /// The instruction there, if there is one.
    pub insn: Option<InsnId>,
    /// The function or other symbol that the instruction belongs to.
    pub function: Option<SymbolId>,
    /// The states that the finding is about: one, or the two that disagree (the recorded one first).
    pub states: Vec<StateAt>,
    /// The stack operations that make up the difference, in path order.
    pub cause: Vec<Step>,
    /// What objtool prints for it; `None` where objtool has stopped before or stays silent.
    pub objtool: Option<ObjtoolLine>,
}

/// Something orcls could not judge, and why. Never an accusation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unjudged {
    /// The part of the object that was left out.
    pub what: String,
    /// The reason.
    pub why: String,
}
