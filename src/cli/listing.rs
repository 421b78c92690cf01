//! `orcls cfi` and `orcls alternatives`: tables of one object, as text or JSON.
//!
//! In: an object, and which part of it to show.  Out: the state at each instruction, or each alternative flattened.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::inputs::Input;
use super::judge::{Judge, Judged, Object, Rules};
use super::output::{BOLD, CODE, DIM, ERROR};
use super::{Verdict, output, queue};
use crate::analysis::Policy;
use crate::report::{self, CfiRow, Select};

/// How tables are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Arguments of `cfi`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Cfi {
    #[command(flatten)]
    part: Part,
    /// Only the code of this line; the end of the file's path is enough
    #[arg(long, value_name = "FILE:LINE", value_parser = file_and_line)]
    at: Option<(String, u32)>,
}

/// Arguments of `alternatives`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Alternatives {
    #[command(flatten)]
    part: Part,
}

#[derive(Args)]
struct Part {
    /// The object
    #[arg(value_name = "OBJ")]
    object: PathBuf,
    /// Only this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// How to print the table
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    rules: Rules,
}

fn file_and_line(text: &str) -> Result<(String, u32), String> {
    let (file, line) = text.rsplit_once(':').ok_or("expected FILE:LINE")?;
    let line = line.parse().map_err(|_| format!("`{line}` is no line number"))?;
    Ok((file.to_owned(), line))
}

/// Runs `cfi`.
pub(crate) fn cfi(arguments: &Cfi) -> anyhow::Result<Verdict> {
    let object = load(&arguments.part)?;
    let select = Select { function: arguments.part.function.clone(), at: arguments.at.clone() };
    let listing = report::cfi_listing(&object.name, &object.analysis, &object.lines, &select);
    let chosen = select.function.is_some() || select.at.is_some();
    if chosen && listing.instructions.is_empty() {
        anyhow::bail!("{}: no instruction is there", object.name);
    }
    match arguments.part.format {
        Format::Json => output::print(&(serde_json::to_string(&listing)? + "\n"))?,
        Format::Text => output::print(&cfi_text(&listing.instructions))?,
    }
    Ok(Verdict::Clean)
}

/// Runs `alternatives`.
pub(crate) fn alternatives(arguments: &Alternatives) -> anyhow::Result<Verdict> {
    let object = load(&arguments.part)?;
    let select = Select { function: arguments.part.function.clone(), at: None };
    let table = report::alternatives(&object.name, &object.analysis, &object.lines, &select);
    match arguments.part.format {
        Format::Json => output::print(&(serde_json::to_string(&table)? + "\n"))?,
        Format::Text => {
            let groups: Vec<String> = table.groups.iter().map(|group| conflicts_marked(&group.to_text())).collect();
            output::print(&groups.join("\n"))?;
        }
    }
    Ok(Verdict::Clean)
}

fn load(part: &Part) -> anyhow::Result<Box<Object>> {
    queue::set_jobs(part.rules.jobs);
    // The state behind a finding is as interesting as the one before it.
    let judge = Judge::new(&part.rules, Policy::Everything);
    match judge.object(&Input { path: part.object.clone(), named: true }) {
        Judged::Analysed(object) => Ok(object),
        Judged::Failed(why) | Judged::Refused(why) => Err(anyhow::anyhow!(why)),
        Judged::Skipped(skip) => Err(anyhow::anyhow!("not analysed, because {}", skip.words())),
    }
}

/// A line per instruction, below a heading per function.
fn cfi_text(rows: &[CfiRow]) -> String {
    let mut text = String::new();
    let mut heading = (None, None);
    let mut line = None;
    for row in rows {
        if heading != (Some(&row.section), Some(&row.function)) {
            heading = (Some(&row.section), Some(&row.function));
            let name = row.function.as_deref().unwrap_or("(no symbol)");
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{BOLD}{name}{BOLD:#} {DIM}{}{DIM:#}\n", row.section));
        }
        if let (Some(file), Some(number)) = (&row.file, row.line)
            && line != Some((file, number))
        {
            line = Some((file, number));
            text.push_str(&format!("{DIM}{file}:{number}{DIM:#}\n"));
        }
        let cfa = row.cfa.as_ref().map_or_else(|| "?".to_owned(), |cfa| format!("{}{:+}", cfa.base, cfa.offset));
        let saved: Vec<String> = row.saved.iter().map(|(register, offset)| format!("{register}@{offset:+}")).collect();
        let orc = row.orc.as_deref().unwrap_or("");
        text.push_str(&format!(
            "{:>6x}  {DIM}{:<22}{DIM:#} {:<40} {CODE}{cfa:<10}{CODE:#} {:<34} {DIM}{orc}{DIM:#}\n",
            row.offset,
            row.bytes,
            row.text,
            saved.join(" "),
        ));
    }
    text
}

/// The rows that the table marks as conflicts, in the colour of errors.
fn conflicts_marked(table: &str) -> String {
    let mark =
        |line: &str| if line.contains("conflict") { format!("{ERROR}{line}{ERROR:#}\n") } else { format!("{line}\n") };
    table.lines().map(mark).collect()
}
