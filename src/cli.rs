//! The command line: reads arguments, runs one command, says how it went by the exit status.
//!
//! In: the process's arguments.  Out: text or JSON on standard output, complaints on standard error, an [`ExitCode`].
//! Holds afterwards: no input file was changed but by `objtool`, in objtool's place; `orc write` writes only to the file
//! that `-o` names.

mod annotate;
mod archive;
mod baseline;
mod check;
mod compiling;
mod demo;
mod detail;
mod disassembly;
mod doctor;
mod explain;
mod format;
mod help;
mod inputs;
mod judge;
mod listing;
mod log;
mod markdown;
mod messages;
mod noreturn;
mod objtool;
mod orc;
mod output;
mod queue;
mod replace;
mod sarif;
mod shape;
mod sources;
mod text;
mod told;
mod uri;
mod user;
mod verify;
mod whereis;

use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

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
    /// Serve an editor on standard input and output
    Lsp(Lsp),
    /// Report what objtool would complain about, on the line that causes it
    Check(check::Arguments),
    /// Show, dump or compare ORC tables
    Orc(orc::Arguments),
    /// Print the CFI state at each instruction; write unwind directives, or compare them with the code
    Cfi(listing::Cfi),
    /// Print each alternative as a table: a row per byte offset, a column per arm
    Alternatives(listing::Alternatives),
    /// Say what a finding means, why it matters and how to fix it
    Explain(explain::Arguments),
    /// List what objects declare never to return and objtool does not know
    Noreturn(noreturn::Arguments),
    /// Take objtool's place in a build: same command line, same bytes, same lines, same exit status
    #[command(disable_help_flag = true)]
    Objtool {
        /// What the release's objtool takes
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
    /// Show a build's output, and under each line of objtool's where it is, why, and what to do
    Log(log::Arguments),
    /// Keep the list of findings that are known already
    Baseline(baseline::Arguments),
    /// Put SARIF documents of shards together into one
    Merge(sarif::merge::Arguments),
    /// Show the source line of a place in code, as stack traces and objtool name it
    Where(whereis::Arguments),
    /// Build an example that breaks the stack, and show what an editor would show
    Demo,
    /// Compare with the tree's own objtool, run on copies of objects
    Verify(verify::Arguments),
    /// Say which command, object, flags and kernel would be used for a file, and why
    Doctor(doctor::Arguments),
    /// Print what a shell needs to complete orcls's words
    Completions(help::Completions),
    /// Write manual pages
    Man(help::Man),
}

/// Arguments of `lsp`.
#[derive(clap::Args)]
struct Lsp {
    /// Speak on standard input and output, as always; clients pass it
    #[arg(long)]
    stdio: bool,
}

/// The command line, as it is parsed.
fn definition() -> clap::Command {
    CommandLine::command()
}

/// Runs the command that the process was asked for.
pub fn run() -> ExitCode {
    if let Some(status) = crate::compile::confine::hidden_mode(std::env::args_os()) {
        return status;
    }
    messages::show();
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if objtool::is_named(words.first()) {
        return objtool::run(words.get(1..).unwrap_or_default());
    }
    let (words, shown) = help::words(words, &definition());
    let line = help::with_help(definition(), shown).get_matches_from(words);
    let line = match CommandLine::from_arg_matches(&line) {
        Ok(line) => line,
        Err(error) => error.exit(),
    };
    output::set_colour(line.color);
    let result = match line.command {
        Command::Lsp(Lsp { .. }) => return crate::lsp::run(),
        Command::Check(arguments) => check::run(&arguments),
        Command::Orc(arguments) => orc::run(&arguments),
        Command::Cfi(arguments) => listing::cfi(&arguments),
        Command::Alternatives(arguments) => listing::alternatives(&arguments),
        Command::Noreturn(arguments) => noreturn::run(&arguments),
        Command::Objtool { words } => return objtool::run(&words),
        Command::Log(arguments) => log::run(&arguments),
        Command::Baseline(arguments) => baseline::run(&arguments),
        Command::Merge(arguments) => sarif::merge::run(&arguments),
        Command::Where(arguments) => whereis::run(&arguments),
        Command::Demo => demo::run(),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Completions(arguments) => help::completions(&arguments, definition()),
        Command::Man(arguments) => help::man(&arguments, definition()),
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
