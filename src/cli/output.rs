//! Standard output and standard error: colours only where they are wanted, one write per object.
//!
//! In: text.  Out: the process's streams.
//! Holds afterwards: nothing of orcls prints in any other way, and nothing but colours acts on a terminal.

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

use crate::clean;

/// The style of a word like `error`.
pub(crate) const ERROR: Style = AnsiColor::BrightRed.on_default().bold();
/// What stands out.
pub(crate) const BOLD: Style = Style::new().bold();
/// What may be overlooked.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Code and names in running text.
pub(crate) const CODE: Style = AnsiColor::Cyan.on_default();

/// Sets for the whole process whether colours are used.
pub(crate) fn set_colour(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Whether standard output takes colours.
pub(crate) fn stdout_is_coloured() -> bool {
    AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Writes all of `text` to standard output. Colours are taken out where they are not wanted.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = AutoStream::auto(io::stdout().lock());
    out.write_all(clean::printed(text).as_bytes())?;
    out.flush()
}

/// Writes text that is made piece by piece, as it may be far larger than what it is made of.
pub(crate) fn print_parts<E>(parts: impl Iterator<Item = Result<String, E>>) -> anyhow::Result<()>
where
    anyhow::Error: From<E>,
{
    let mut out = io::BufWriter::new(AutoStream::auto(io::stdout().lock()));
    for part in parts {
        out.write_all(clean::printed(&part?).as_bytes())?;
    }
    Ok(out.flush()?)
}

/// Writes a file's bytes as they are; on a terminal without what would be taken for commands.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    if io::stdout().is_terminal() {
        return print(&String::from_utf8_lossy(bytes));
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Says on standard error that something went wrong.
pub(crate) fn complain(text: &str) {
    let mut out = AutoStream::auto(io::stderr().lock());
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(out, "orcls: {ERROR}error{ERROR:#}: {}", clean::printed(text));
}

/// Says something on standard error that is no result.
pub(crate) fn remark(text: &str) {
    let mut out = AutoStream::auto(io::stderr().lock());
    let _ = writeln!(out, "{}", clean::printed(text));
}

/// Whether the reader of standard output went away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
