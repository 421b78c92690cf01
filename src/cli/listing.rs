//! `orcls cfi` and `orcls alternatives`: tables of one object, as text or JSON.
//!
//! In: an object, and which part of it to show.  Out: the state at each instruction, or each alternative flattened.

use std::io;
use std::iter::once;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::format::Format;
use super::inputs::Input;
use super::judge::{Judge, Judged, Object, Rules};
use super::output::{BOLD, CODE, DIM, ERROR};
use super::{Verdict, annotate, output, queue};
use crate::analysis::Policy;
use crate::build::{Foreign, Skip};
use crate::report::{self, CfiRow, CfiRows, Select};

/// Names that are like one that is not there.
const MAX_NEAR: usize = 5;

/// Arguments of `cfi`.
#[derive(Args)]
#[command(disable_help_flag = true, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cfi {
    #[command(subcommand)]
    unwind: Option<Unwind>,
    #[command(flatten)]
    part: Part,
    /// Only the code of this line; the end of the file's path is enough
    #[arg(long, value_name = "FILE:LINE", value_parser = file_and_line)]
    at: Option<(String, u32)>,
}

/// What is done with unwind tables, of any project.
#[derive(Subcommand)]
enum Unwind {
    /// Write the unwind directives (`.cfi_*`) of assembly, from the states that its code makes
    Annotate(annotate::Annotate),
    /// Show an object's unwind table beside the states that its code makes
    Diff(annotate::Diff),
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
    #[arg(value_name = "OBJ", required = true)]
    object: Option<PathBuf>,
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
    match &arguments.unwind {
        Some(Unwind::Annotate(arguments)) => return annotate::run(arguments),
        Some(Unwind::Diff(arguments)) => return annotate::diff(arguments),
        None => {}
    }
    let object = load(&arguments.part)?;
    let select = Select { function: arguments.part.function.clone(), at: arguments.at.clone() };
    let rows = CfiRows::new(&object.analysis, &object.lines, &select);
    let chosen = select.function.is_some() || select.at.is_some();
    if chosen && rows.len() == 0 {
        anyhow::bail!("{}: {}", object.name, nothing(&object, &select));
    }
    match arguments.part.format {
        Format::Json => output::print_parts(cfi_json(&object.name, rows))?,
        Format::Text => output::print_parts(cfi_text(rows))?,
    }
    Ok(Verdict::Clean)
}

/// Runs `alternatives`.
pub(crate) fn alternatives(arguments: &Alternatives) -> anyhow::Result<Verdict> {
    let object = load(&arguments.part)?;
    let select = Select { function: arguments.part.function.clone(), at: None };
    let table = report::alternatives(&object.name, &object.analysis, &object.lines, &select);
    if table.groups.is_empty() {
        let in_function = select.function.as_deref();
        match in_function.filter(|name| !functions(&object).iter().any(|function| function == name)) {
            Some(_) => anyhow::bail!("{}: {}", object.name, nothing(&object, &select)),
            // Not an error: most objects have none.
            None => output::complain(&format!("{}: there are no alternatives in it", object.name)),
        }
    }
    match arguments.part.format {
        Format::Json => output::print(&(serde_json::to_string(&table)? + "\n"))?,
        Format::Text => {
            let groups: Vec<String> =
                table.groups.iter().map(|group| heading(group) + &conflicts_marked(&group.to_text())).collect();
            output::print(&groups.join("\n"))?;
        }
    }
    Ok(Verdict::Clean)
}

/// Why nothing is there to be shown.
fn nothing(object: &Object, select: &Select) -> String {
    if let Some((file, line)) = &select.at {
        return format!("no code comes from line {line} of {file}");
    }
    let name = select.function.as_deref().unwrap_or_default();
    let all = functions(object);
    if all.is_empty() {
        return "it has no functions".to_owned();
    }
    let likeness = |other: &String| strsim::jaro_winkler(name, other);
    let mut near: Vec<(f64, &String)> = all.iter().map(|other| (likeness(other), other)).collect();
    near.retain(|(likeness, other)| *likeness > 0.8 || other.contains(name));
    near.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.cmp(other)));
    near.truncate(MAX_NEAR);
    match near.is_empty() {
        true => format!("there is no function `{name}` among its {} functions", all.len()),
        false => {
            let names: Vec<String> = near.iter().map(|(_, name)| format!("`{name}`")).collect();
            format!("there is no function `{name}`; there is {}", names.join(", "))
        }
    }
}

/// The names of the object's functions.
fn functions(object: &Object) -> Vec<String> {
    let all = report::function_summaries(&object.analysis, &object.lines);
    all.into_iter().map(|summary| summary.function).collect()
}

fn load(part: &Part) -> anyhow::Result<Box<Object>> {
    queue::set_jobs(part.rules.jobs);
    let path = part.object.clone().ok_or_else(|| anyhow::anyhow!("no object was named"))?;
    if let Some(what) = Foreign::of(&path) {
        anyhow::bail!("{}: not analysed, because {}", path.display(), Skip::Foreign(what).words());
    }
    // The state behind a finding is as interesting as the one before it.
    let judge = Judge::new(&part.rules, Policy::Everything);
    match judge.object(&Input { path, named: true }) {
        Judged::Analysed(object) => Ok(object),
        Judged::Failed(why) | Judged::Refused(why) => Err(anyhow::anyhow!(why)),
        Judged::Skipped(skip) => Err(anyhow::anyhow!("not analysed, because {}", skip.words())),
    }
}

/// One object with all rows, as [`report::CfiListing`] would be written.
fn cfi_json(name: &str, rows: CfiRows<'_>) -> impl Iterator<Item = serde_json::Result<String>> {
    let open = serde_json::to_string(name).map(|name| format!("{{\"object\":{name},\"instructions\":["));
    let rows = rows.enumerate().map(|(n, row)| {
        let comma = if n == 0 { "" } else { "," };
        Ok(format!("{comma}{}", serde_json::to_string(&row)?))
    });
    once(open).chain(rows).chain(once(Ok("]}\n".to_owned())))
}

/// What is not said again for the next row.
#[derive(Default)]
struct Above {
    heading: Option<(String, Option<String>)>,
    line: Option<(Arc<str>, u32)>,
}

/// A line per instruction, below a heading per function.
fn cfi_text(rows: CfiRows<'_>) -> impl Iterator<Item = io::Result<String>> {
    let head = (rows.len() > 0).then(|| {
        let (offset, bytes, insn, cfa, saved) = ("offset", "bytes", "instruction", "CFA", "saved");
        format!("{DIM}{offset:>6}  {bytes:<22} {insn:<40} {cfa:<10} {saved:<34} ORC{DIM:#}\n")
    });
    let mut above = Above::default();
    head.into_iter().chain(rows.map(move |row| cfi_line(row, &mut above))).map(Ok)
}

/// The line of a row, with the headings that it has not in common with the one above it.
fn cfi_line(row: CfiRow, above: &mut Above) -> String {
    let mut text = String::new();
    let heading = Some((row.section, row.function));
    if let Some((section, function)) = heading.as_ref().filter(|_| heading != above.heading) {
        let name = function.as_deref().unwrap_or("(no symbol)");
        let gap = if above.heading.is_some() { "\n" } else { "" };
        text.push_str(&format!("{gap}{BOLD}{name}{BOLD:#} {DIM}{section}{DIM:#}\n"));
    }
    above.heading = heading;
    let line = row.file.zip(row.line);
    if let Some((file, number)) = line.as_ref().filter(|_| line != above.line) {
        text.push_str(&format!("{DIM}{file}:{number}{DIM:#}\n"));
    }
    above.line = line.or(above.line.take());
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
    text
}

/// Where an alternative is: `f+0x12 .text+0x40 a.S:7`.
fn heading(group: &report::AlternativeGroup) -> String {
    let function = group.function.as_deref().unwrap_or("(no symbol)");
    let place = group.file.as_ref().zip(group.line).map_or(String::new(), |(file, line)| format!(" {file}:{line}"));
    format!("{BOLD}{function}{BOLD:#} {DIM}{}+{:#x}{place}{DIM:#}\n", group.section, group.offset)
}

/// The rows that the table marks as conflicts, in the colour of errors.
fn conflicts_marked(table: &str) -> String {
    let mark =
        |line: &str| if line.contains("conflict") { format!("{ERROR}{line}{ERROR:#}\n") } else { format!("{line}\n") };
    table.lines().map(mark).collect()
}
