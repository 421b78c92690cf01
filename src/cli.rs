//! The command line: reads arguments, runs one command, says how it went by the exit status.
//!
//! In: the process's arguments.  Out: text or JSON on standard output, complaints on standard error, an [`ExitCode`].
//! Holds afterwards: no input file was changed; only `orc write` writes, and only to the file that `-o` names.

mod check;
mod inputs;
mod judge;
mod output;
mod queue;
mod sarif;
mod sources;
mod text;

use std::process::ExitCode;

use clap::{ColorChoice, Parser, Subcommand};

/// What a command found, as the exit status says it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Verdict {
    /// 0: nothing found.
    #[default]
    Clean,
    /// 1: findings, or tables that differ.
    Found,
    /// 2: something could not be analysed; it was said on standard error and the rest was done.
    Incomplete,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        ExitCode::from(verdict as u8)
    }
}

#[derive(Parser)]
#[command(
    name = "orcls",
    version,
    about,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

#[derive(Subcommand)]
enum Command {
    /// Report what objtool would complain about, on the line that causes it
    Check(check::Arguments),
}

/// Runs the command that the process was asked for.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    output::set_colour(line.color);
    let result = match line.command {
        Command::Check(arguments) => check::run(&arguments),
    };
    match result {
        Ok(verdict) => verdict.into(),
        // Whoever reads has seen enough.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            Verdict::Incomplete.into()
        }
    }
}
