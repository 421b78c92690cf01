//! `orcls log`: a build's output, and under each of objtool's lines where it is, why, and what to do.
//!
//! In: a log or a pipe, and the objects that are there.  Out: the log with what is known of its lines; or only that, in a
//! format for an editor, a script or a code hosting site.
//! Holds afterwards: lines that are not objtool's are passed through; a line whose object is gone, cannot be read, or has no
//! such finding (any more) says so, and is given no place.

mod answers;
mod formats;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use rustc_hash::FxHashSet;

use super::judge::{Judge, Rules};
use super::{Verdict, output, queue, sarif};
use crate::analysis::Policy;
use crate::wording::said;
use answers::{Answers, Collected};

/// Arguments of `log`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// The build's output; standard input without it
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to print what is known
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    style: sarif::Style,
    #[command(flatten)]
    rules: Rules,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The log, and under each line of objtool's the source line, the reason and the remedy
    Text,
    /// The log, with FILE:LINE:COLUMN: MESSAGE in place of objtool's lines, for quickfix lists and problem matchers
    Errorfile,
    /// One JSON object per line of objtool's
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// The log, with an annotation for GitHub Actions under each line of objtool's
    Github,
}

impl Format {
    /// Whether lines of others are shown.
    fn passes_through(self) -> bool {
        matches!(self, Format::Text | Format::Errorfile | Format::Github)
    }
}

/// A longer line is none of objtool's; it is passed through in pieces.
const MAX_LINE: u64 = 1 << 16;

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    queue::set_jobs(arguments.rules.jobs);
    let judge = Judge::new(&arguments.rules, Policy::Everything).for_check(FxHashSet::default()).by_kernel_rules();
    let (input, written): (Box<dyn BufRead>, _) = match &arguments.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            let written = file.metadata().and_then(|meta| meta.modified()).ok();
            (Box::new(BufReader::new(file)), written)
        }
        _ => (Box::new(BufReader::new(io::stdin())), None),
    };
    let is_live = written.is_none();
    let mut log = Log { input, number: 0, is_begun: false };
    let mut answers = Answers::new(&judge, arguments.rules.build_dir.clone(), is_live, written);
    let mut collected = Collected::default();
    let mut verdict = Verdict::Clean;
    while let Some(line) = log.next()? {
        let plain = anstream::adapter::strip_str(&line.text).to_string();
        let plain = plain.trim_end_matches(['\n', '\r']);
        answers.hear(plain);
        let said = if line.is_whole { said::parse(plain) } else { None };
        let Some(said) = said else {
            if arguments.format.passes_through() {
                output::print(&line.text)?;
            }
            continue;
        };
        if arguments.format == Format::Text || arguments.format == Format::Github {
            // Before the object is looked at, which may take a while.
            output::print(&line.text)?;
        }
        let answer = answers.answer(&said, log.number);
        verdict = verdict.max(answer.verdict());
        match arguments.format {
            Format::Text => output::print(&formats::text(&answer))?,
            Format::Errorfile => output::print(&formats::errorfile(&answer, &line.text))?,
            Format::Github => output::print(&formats::github(&answer))?,
            Format::Json => output::print(&(serde_json::to_string(&answer)? + "\n"))?,
            Format::Sarif => collected.take(answer),
        }
    }
    if arguments.format == Format::Sarif {
        output::print(&sarif::document(collected.entries().iter(), &arguments.style.naming(None)))?;
    }
    Ok(verdict)
}

/// A log that is being read.
struct Log {
    input: Box<dyn BufRead>,
    /// The number of the line that was read last.
    number: usize,
    /// The last piece has not ended its line.
    is_begun: bool,
}

/// A line, or a piece of a long one.
struct Line {
    text: String,
    is_whole: bool,
}

impl Log {
    fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let continues = self.is_begun;
        self.is_begun = bytes.len() as u64 == MAX_LINE && !bytes.ends_with(b"\n");
        self.number += usize::from(!continues);
        let is_whole = !continues && !self.is_begun;
        Ok(Some(Line { text: String::from_utf8_lossy(&bytes).into_owned(), is_whole }))
    }
}
