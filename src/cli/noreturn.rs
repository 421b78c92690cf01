//! `orcls noreturn`: what objects declare never to return, and the release's objtool does not know.
//!
//! In: objects, folders of objects.  Out: a table, lines for objtool's lists, or JSON; the exit status says whether
//! something is missing in the lists.
//! Holds afterwards: an object without debug info is said to be one, and counts as not looked at.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::judge::{Judge, Rules};
use super::output::{BOLD, DIM};
use super::{Verdict, inputs, output};
use crate::analysis::Policy;
use crate::build::Foreign;
use crate::kernel::Kernel;
use crate::report::noreturn::{self, Declared, Unlisted};
use crate::source_map::{Lines, NoSource};

/// How functions are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// A table for people
    Text,
    /// Lines for objtool's lists, each once
    List,
    /// One JSON object per line and object file
    Json,
}

/// Arguments of `noreturn`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Objects with debug info, or folders of objects
    #[arg(required = true, value_name = "OBJ")]
    paths: Vec<PathBuf>,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    rules: Rules,
}

/// What one object has, as JSON.
#[derive(Serialize)]
struct Row<'a> {
    object: &'a str,
    kernel: Kernel,
    /// How many functions it declares never to return.
    declared: usize,
    unlisted: &'a [Unlisted],
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let found = inputs::collect(&arguments.paths, &arguments.rules.search());
    let (inputs, failed) = (found.list, found.failed);
    let judge = Judge::new(&arguments.rules, Policy::Objtool);
    let mut verdict = if failed { Verdict::Incomplete } else { Verdict::Clean };
    let mut looked_at = 0;
    let mut lines: BTreeSet<(&str, String)> = BTreeSet::new();
    for input in inputs.iter().filter(|input| input.named || Foreign::of(&input.path).is_none()) {
        let object = match judge.open(input) {
            Ok(object) => object,
            Err(why) => {
                output::complain(&why);
                verdict = Verdict::Incomplete;
                continue;
            }
        };
        let kernel = judge.kernel(input, &object);
        let source = Lines::new(object.store.clone());
        let map = match source.map(&object.image) {
            Ok(map) => map,
            // A folder holds assembly and linked objects as well.
            Err(NoSource::NoDebugInfo) if !input.named => continue,
            Err(why) => {
                output::complain(&format!("{}: what never returns is in the debug info: {why}", object.name));
                verdict = Verdict::Incomplete;
                continue;
            }
        };
        looked_at += 1;
        let found = noreturn::declared(&object.image, map, kernel);
        if !found.unlisted.is_empty() {
            verdict = verdict.max(Verdict::Found);
        }
        match arguments.format {
            Format::Text => output::print(&text(&object.name, kernel, &found, input.named))?,
            Format::List => lines.extend(
                found
                    .unlisted
                    .iter()
                    .filter_map(|one| one.entry.as_ref())
                    .map(|entry| (entry.file, entry.text.clone())),
            ),
            Format::Json => {
                let row = Row { object: &object.name, kernel, declared: found.n_all, unlisted: &found.unlisted };
                output::print(&(serde_json::to_string(&row)? + "\n"))?;
            }
        }
    }
    if looked_at == 0 && verdict != Verdict::Incomplete {
        output::complain("nothing was looked at: no object with debug info is there");
        return Ok(Verdict::Incomplete);
    }
    output::print(&lists(&lines))?;
    Ok(verdict)
}

fn text(object: &str, kernel: Kernel, found: &Declared, named: bool) -> String {
    if found.unlisted.is_empty() {
        let n_all = found.n_all;
        return if named {
            format!("{object}: objtool {kernel} knows all of {n_all} that never return\n")
        } else {
            String::new()
        };
    }
    let n = found.unlisted.len();
    let what = if n == 1 { "1 function never returns" } else { &format!("{n} functions never return") };
    let mut out = format!("{BOLD}{object}{BOLD:#}: {what}, and objtool {kernel} does not know\n");
    for one in &found.unlisted {
        let place = match (&one.file, one.line) {
            (Some(file), Some(line)) => format!("  {DIM}{file}:{line}{DIM:#}"),
            _ => String::new(),
        };
        let called = if one.defined { "" } else { " (called, not defined here)" };
        out.push_str(&format!("  {}(){called}{place}\n", one.path));
    }
    let no_list = found.unlisted.iter().any(|one| one.entry.is_none());
    if no_list {
        out.push_str(&format!("  objtool {kernel} has no list of Rust functions\n"));
    }
    out
}

fn lists(lines: &BTreeSet<(&str, String)>) -> String {
    let mut out = String::new();
    let mut file = "";
    for (of, line) in lines {
        if file != *of {
            out.push_str(&format!("# {of}\n"));
            file = of;
        }
        out.push_str(&format!("{line}\n"));
    }
    out
}
