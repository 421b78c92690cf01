//! `orcls explain`: what a finding means, why it matters and how to fix it.
//!
//! In: a code, or none.  Out: its page, or the list of all codes.

use clap::Args;

use super::output::{BOLD, CODE};
use super::{Verdict, markdown, output};
use crate::findings::Code;
use crate::findings::Severity;

/// Arguments of `explain`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A finding's code, as `check` prints it, or a line of objtool's; all codes without it
    #[arg(value_name = "CODE or WORDS")]
    words: Vec<String>,
    /// How a page is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// How a page is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// As it is written, for an editor that draws it itself
    Markdown,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    if arguments.words.is_empty() {
        output::print(&list())?;
        return Ok(Verdict::Clean);
    }
    let slug = arguments.words.join(" ");
    let Some(code) = Code::find(&slug).or_else(|| Code::of_line(&slug)) else {
        let similar: Vec<&str> = Code::similar(&slug).into_iter().map(Code::slug).collect();
        let hint = match similar.as_slice() {
            [] => "`orcls explain` lists all".to_owned(),
            some => format!("did you mean {}?", some.join(", ")),
        };
        anyhow::bail!("no finding is called `{slug}`; {hint}");
    };
    match arguments.format {
        Format::Text => output::print(&markdown::styled(code.entry().page))?,
        Format::Markdown => output::print(code.entry().page)?,
    }
    Ok(Verdict::Clean)
}

fn list() -> String {
    let mut text = String::new();
    for (severity, heading) in [(Severity::Error, "Something will break"), (Severity::Warning, "Something may break")] {
        text.push_str(&format!("{BOLD}{heading}{BOLD:#}\n"));
        for &code in Code::ALL {
            let entry = code.entry();
            if entry.severity == severity {
                let slug = code.slug();
                text.push_str(&format!("  {CODE}{slug:<41}{CODE:#} {}\n", entry.title()));
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("{CODE}orcls explain CODE{CODE:#} says more.\n"));
    text
}
