//! `orcls cfi annotate` and `orcls cfi diff`: directives written for a file of assembly, and an object's table beside the
//! states of its code.
//!
//! In: a file of assembly, or an object.  Out: the text with its directives; or a line for each instruction.
//! Holds afterwards: no file was changed.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::compiling::Compiler;
use super::format::Format;
use super::output::{BOLD, CODE, DIM, ERROR};
use super::{Verdict, output};
use crate::annotate::{Question, annotate};
use crate::build::{Finder, Search};
use crate::cancel::CancelToken;
use crate::files;
use crate::image::{ElfImage, FileStore, Store};
use crate::report::unwind::{Compared, compared};
use crate::source_map::Lines;

/// Arguments of `cfi annotate`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Annotate {
    /// The file of assembly, for the GNU assembler
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// The build directory, where the build of the file is looked for
    #[arg(long, short = 'p', value_name = "DIR")]
    build_dir: Option<PathBuf>,
    /// Assemble where the kernel does not lock programs in (no Landlock)
    #[arg(long)]
    trust: bool,
    /// Print help
    #[arg(long, short = 'h', action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Arguments of `cfi diff`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Diff {
    /// The object
    #[arg(value_name = "OBJECT")]
    object: PathBuf,
    /// Only this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Every instruction, not only those around a difference
    #[arg(long)]
    all: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Print help
    #[arg(long, short = 'h', action = clap::ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Serialize)]
struct Refused<'a> {
    function: &'a str,
    line: Option<usize>,
    why: &'a str,
}

#[derive(Serialize)]
struct Answer<'a> {
    file: String,
    written: Vec<&'a str>,
    refused: Vec<Refused<'a>>,
    text: &'a str,
}

/// Runs `cfi annotate`.
pub(crate) fn run(arguments: &Annotate) -> anyhow::Result<Verdict> {
    let file = arguments.file.display().to_string();
    let bytes = files::read(&arguments.file, files::SOURCE).with_context(|| file.clone())?;
    // Comments in an old encoding come out as they are: each byte is taken for a character.
    let (text, is_utf8) = match String::from_utf8(bytes) {
        Ok(text) => (text, true),
        Err(error) => (error.as_bytes().iter().map(|&byte| char::from(byte)).collect(), false),
    };
    let only = arguments.function.as_deref();
    let preprocessed = arguments.file.extension().is_some_and(|extension| extension == "S" || extension == "sx");
    if crate::annotate::is_nasm(&text) {
        anyhow::bail!("{file}: {}", crate::annotate::Trouble::Nasm);
    }
    let finder = Finder::new(Search { build_dir: arguments.build_dir.clone(), roots: Vec::new() });
    let compiler =
        Compiler::of(&finder, &arguments.file, arguments.trust).map_err(|why| anyhow::anyhow!("{file}: {why}"))?;
    let question = Question { text: &text, preprocessed, only, assemble: &|text| compiler.compile(text) };
    let done = annotate(&question, &CancelToken::default()).map_err(|trouble| anyhow::anyhow!("{file}: {trouble}"))?;
    match arguments.format {
        Format::Text if is_utf8 => output::print_bytes(done.text.as_bytes())?,
        Format::Text => output::print_bytes(&done.text.chars().map(|c| c as u8).collect::<Vec<_>>())?,
        Format::Json => {
            let refused = done.refused.iter().map(|refusal| Refused {
                function: &refusal.function.name,
                line: refusal.line.map(|line| line + 1),
                why: &refusal.why,
            });
            let written = done.written.iter().map(|function| function.name.as_str()).collect();
            let answer = Answer { file: file.clone(), written, refused: refused.collect(), text: &done.text };
            output::print(&(serde_json::to_string(&answer)? + "\n"))?;
        }
    }
    for refusal in &done.refused {
        let line = refusal.line.map(|line| format!(":{}", line + 1)).unwrap_or_default();
        let name = &refusal.function.name;
        output::remark(&format!("{BOLD}{file}{line}{BOLD:#}: {name} is left as it is: {}", refusal.why));
    }
    Ok(if done.refused.is_empty() { Verdict::Clean } else { Verdict::Incomplete })
}

/// How many instructions around a difference are shown.
const AROUND: usize = 2;

/// Runs `cfi diff`.
pub(crate) fn diff(arguments: &Diff) -> anyhow::Result<Verdict> {
    let name = arguments.object.display().to_string();
    let store = FileStore::open(&arguments.object).with_context(|| name.clone())?;
    let store: Arc<dyn Store> = Arc::new(store);
    let image = ElfImage::read(store.as_ref()).with_context(|| name.clone())?;
    let lines = Lines::new(Arc::clone(&store));
    let mut rows = compared(store.as_ref(), &image, &lines, &CancelToken::default())?;
    if let Some(function) = &arguments.function {
        rows.retain(|row| row.function.as_ref() == Some(function));
    }
    if rows.is_empty() {
        anyhow::bail!("{name}: no instruction has a row in an unwind table");
    }
    let differ = rows.iter().filter(|row| row.differs).count();
    match arguments.format {
        Format::Json => {
            let answer = serde_json::json!({ "object": name, "instructions": rows });
            output::print(&(serde_json::to_string(&answer)? + "\n"))?;
        }
        Format::Text => {
            output::print(&text(&rows, arguments.all || arguments.function.is_some()))?;
            output::remark(&format!("{name}: {} instructions, {differ} with a row that is not true", rows.len()));
        }
    }
    Ok(if differ > 0 { Verdict::Found } else { Verdict::Clean })
}

/// A line per instruction, below a heading per function.
fn text(rows: &[Compared], all: bool) -> String {
    let mut text = String::new();
    let mut heading = None;
    let mut shown_upto = 0;
    for (at, row) in rows.iter().enumerate() {
        let near = rows.get(at.saturating_sub(AROUND)..(at + AROUND + 1).min(rows.len())).unwrap_or(&[]);
        let same = |other: &&Compared| other.function == row.function && other.section == row.section;
        if !all && !near.iter().filter(same).any(|near| near.differs) {
            continue;
        }
        if heading != Some((&row.section, &row.function)) {
            heading = Some((&row.section, &row.function));
            let gap = if text.is_empty() { "" } else { "\n" };
            let name = row.function.as_deref().unwrap_or("(no symbol)");
            text.push_str(&format!("{gap}{BOLD}{name}{BOLD:#} {DIM}{}{DIM:#}\n", row.section));
            text.push_str(&format!("{DIM}{:>6}  {:<40} {:<44} the code{DIM:#}\n", "", "", "the table"));
        } else if shown_upto != at {
            text.push_str(&format!("{DIM}   ...{DIM:#}\n"));
        }
        shown_upto = at + 1;
        let mark = if row.differs { format!("{ERROR}!{ERROR:#}") } else { " ".to_owned() };
        let line = row.line.map(|line| format!("  {DIM}:{line}{DIM:#}")).unwrap_or_default();
        text.push_str(&format!(
            "{:>6x} {mark}{:<40} {CODE}{:<44}{CODE:#} {}{line}\n",
            row.offset, row.text, row.table, row.code
        ));
    }
    text
}
