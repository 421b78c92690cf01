//! Why a compile command is not run, in words.

/// Why a command is not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The command is empty.
    #[error("the command is empty")]
    Empty,
    /// Its program has no compiler's name.
    #[error("`{0}` is not the name of a compiler")]
    NotCompiler(String),
    /// Its program may not be run.
    #[error("`{0}` is neither on PATH nor among orcls.compilers")]
    NotAllowed(String),
    /// Its program is not there.
    #[error("`{0}` is not on PATH")]
    NotFound(String),
    /// An option would run another program.
    #[error("`{0}` would run a program or code that is not the compiler's")]
    RunsOther(String),
    /// An option may name a file to write, in a way that is not told apart from harmless ones.
    #[error("`{0}` may write a file")]
    MayWrite(String),
    /// An option is not known to be harmless.
    #[error("`{0}` is not an option that is known to be harmless")]
    Unknown(String),
    /// An option has a value that may mean something else.
    #[error("`{0}` is not a value that is taken as it is")]
    BadValue(String),
    /// An option takes a value and none follows.
    #[error("`{0}` has no value")]
    NoValue(String),
    /// It does not compile to an object.
    #[error("it does not compile one file to an object (`{0}`)")]
    NoObject(String),
    /// The source file is not one of its arguments.
    #[error("it does not name the source file")]
    NoSource,
}
