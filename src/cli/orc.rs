//! `orcls orc`: the ORC table that an object needs, the one that it has, and how they differ.
//!
//! In: objects.  Out: tables in the text of `objtool --dump=orc`, or JSON.
//! Holds afterwards: only `write` has written, and only to the file that `-o` names.

mod write;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand};
use rustc_hash::{FxHashMap, FxHashSet};

use super::format::Format;
use super::inputs::{self, Input};
use super::judge::{Judge, Judged, Object, Opened, Rules};
use super::{Verdict, output, queue};
use crate::analysis::{Analysis, Policy};
use crate::build::{Finder, FlagSource, Foreign};
use crate::kernel::Kernel;
use crate::orc::{self, StoredRow, StoredTable};
use crate::report::{self, OrcListing, OrcRow, Select};

/// Arguments of `orc`.
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the table computed for an object
    Show(Tables),
    /// Print the table stored in an object
    Dump(Tables),
    /// Compare the stored table with the computed one; exit status 1 where they differ
    Diff(Compared),
    /// Write a copy of an object with what objtool would add to it
    Write(write::Copied),
}

#[derive(Args)]
#[command(disable_help_flag = true)]
struct Tables {
    /// Objects, or folders of objects
    #[arg(required = true, value_name = "OBJ")]
    objects: Vec<PathBuf>,
    /// How to print the table
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    rules: Rules,
}

#[derive(Args)]
#[command(disable_help_flag = true)]
struct Compared {
    /// Objects, or folders of objects
    #[arg(required = true, value_name = "OBJ")]
    objects: Vec<PathBuf>,
    #[command(flatten)]
    rules: Rules,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    match &arguments.action {
        Action::Show(tables) => {
            let judge = Judge::new(&tables.rules, Policy::Objtool).for_orc();
            each(&tables.objects, &tables.rules, "shown", |input, several| {
                let Some(object) = judged(&judge, input)? else { return Ok(None) };
                let text = match tables.format {
                    Format::Json => {
                        json(&report::orc_listing(&object.name, &object.analysis, &object.lines, &Select::default()))
                    }
                    Format::Text => headed(&object.name, several, computed(&object.analysis)),
                };
                Ok(Some((text, Verdict::Clean)))
            })
        }
        Action::Dump(tables) => {
            let judge = Judge::new(&tables.rules, Policy::Objtool);
            each(&tables.objects, &tables.rules, "shown", |input, several| {
                let opened = judge.open(input)?;
                let kernel = judge.kernel(input, &opened);
                let table = stored(&opened, kernel)?;
                let text = match tables.format {
                    Format::Json => json(&listing(&opened, kernel, table)),
                    Format::Text => headed(
                        &opened.name,
                        several,
                        table.map_or_else(String::new, |table| table.text(kernel.rules())),
                    ),
                };
                Ok(Some((text, Verdict::Clean)))
            })
        }
        Action::Write(copied) => write::run(copied),
        Action::Diff(compared) => {
            let judge = Judge::new(&compared.rules, Policy::Objtool).for_comparison();
            each(&compared.objects, &compared.rules, "compared", |input, _| {
                let opened = judge.open(input)?;
                let kernel = judge.kernel(input, &opened);
                let Some(table) = stored(&opened, kernel)? else {
                    // In a folder there are objects without code, and such as the build does not check.
                    let said = input.named.then(|| format!("{}: it has no stored table", opened.name));
                    return said.map_or(Ok(None), Err);
                };
                if !compared.rules.options.any_action() && is_of_parts(judge.finder(), input) {
                    let name = &opened.name;
                    let said =
                        || format!("{name}: its table is those of its parts: the build makes none for the whole");
                    return if input.named { Err(said()) } else { Ok(None) };
                }
                let Some(object) = judged(&judge, input)? else { return Ok(None) };
                Ok(Some(compared_with(&object, table)))
            })
        }
    }
}

/// Whether the linker has put an object's table together: the build does not run objtool on the linked object, or not for
/// its table.
fn is_of_parts(finder: &Finder, input: &Input) -> bool {
    let flags = finder.flags(&input.path);
    let is_whole = input.path.file_name().is_some_and(|name| name == "vmlinux.o") && flags.tree.is_some();
    match flags.source {
        FlagSource::Own(_) => flags.options.is_some_and(|options| options.link && !options.orc),
        // Up to 5.17 no recipe keeps the call.
        _ => is_whole && flags.options.is_none_or(|options| !options.orc),
    }
}

/// What an object came to: its text, nothing where it was skipped, or why it could not be done.
type Outcome = Result<Option<(String, Verdict)>, String>;

/// Does `work` for each object, in parallel, and prints in order. `what` is done to an object: where it is done to none, that
/// is no success.
fn each(
    paths: &[PathBuf],
    rules: &Rules,
    what: &str,
    work: impl Fn(&Input, bool) -> Outcome + Sync,
) -> anyhow::Result<Verdict> {
    let found = inputs::collect(paths, &rules.search());
    found.say_empty();
    let failed = found.failed || !found.empty.is_empty();
    let inputs = found.list;
    queue::set_jobs(rules.jobs);
    let verdict = Mutex::new(if failed { Verdict::Incomplete } else { Verdict::Clean });
    let several = inputs.len() > 1;
    let n_done = AtomicUsize::new(0);
    let one = |input: &Input| {
        if !input.named && Foreign::of(&input.path).is_some() {
            return String::new();
        }
        let (text, outcome) = match work(input, several) {
            Ok(done) => {
                n_done.fetch_add(usize::from(done.is_some()), Ordering::Relaxed);
                done.unwrap_or_default()
            }
            Err(why) => {
                output::complain(&why);
                (String::new(), Verdict::Incomplete)
            }
        };
        let mut verdict = verdict.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *verdict = outcome.max(*verdict);
        text
    };
    queue::run(inputs.len(), |at| inputs.get(at).map(one).unwrap_or_default())?;
    let verdict = verdict.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if n_done.into_inner() == 0 && verdict == Verdict::Clean {
        output::complain(&format!("nothing was {what}: no object here has a table, or none that its build makes"));
        return Ok(Verdict::Incomplete);
    }
    Ok(verdict)
}

fn judged(judge: &Judge<'_>, input: &Input) -> Result<Option<Box<Object>>, String> {
    match judge.object(input) {
        Judged::Analysed(object) => Ok(Some(object)),
        Judged::Skipped(_) => Ok(None),
        Judged::Failed(why) | Judged::Refused(why) => Err(why),
    }
}

/// The computed table as text.
fn computed(analysis: &Analysis) -> String {
    analysis.orc().map_or_else(String::new, |table| table.text(&analysis.image, &analysis.rules))
}

/// The stored table, if there is one.
fn stored(object: &Opened, kernel: Kernel) -> Result<Option<StoredTable>, String> {
    if object.image.section_by_name(".orc_unwind").is_none() {
        return Ok(None);
    }
    let table = orc::stored(object.store.as_ref(), &object.image, kernel.rules());
    table.map(Some).map_err(|error| format!("{}: {error}", object.name))
}

/// The stored table as the JSON has it.
fn listing(object: &Opened, kernel: Kernel, table: Option<StoredTable>) -> OrcListing {
    let row = |row: StoredRow| OrcRow::new(&object.image, kernel, row.place, row.at, &row.entry);
    let rows = table.map(|table| table.rows.into_iter().map(row).collect());
    OrcListing { object: object.name.clone(), kernel, rows }
}

fn json(listing: &OrcListing) -> String {
    serde_json::to_string(listing).unwrap_or_default() + "\n"
}

fn headed(object: &str, several: bool, table: String) -> String {
    if several { format!("==> {object} <==\n{table}") } else { table }
}

/// How the tables differ. In an object that was linked from others the stored table may be those of the others, one behind
/// the other, each with an end of its own.
fn compared_with(object: &Object, stored: StoredTable) -> (String, Verdict) {
    let Analysis { image, rules, options, .. } = &object.analysis;
    let computed = object.analysis.orc().cloned().unwrap_or_default();
    let linked = options.link || image.is_finished_module();
    let (stored, computed) = if linked { (stored.seamless(), computed.seamless()) } else { (stored, computed) };
    diff(&object.name, &stored.text(rules), &computed.text(image, rules))
}

/// The lines that differ: what is stored and what is computed for each place, in the order of the stored table.
fn diff(object: &str, stored: &str, computed: &str) -> (String, Verdict) {
    let (old, new) = (by_place(stored), by_place(computed));
    let mut text = String::new();
    let mut seen = FxHashSet::default();
    for place in stored.lines().chain(computed.lines()).map(place_of) {
        let (old, new) = (old.get(place).map_or(&[][..], Vec::as_slice), new.get(place).map_or(&[][..], Vec::as_slice));
        if old != new && seen.insert(place) {
            old.iter().for_each(|line| text.push_str(&format!("-{line}\n")));
            new.iter().for_each(|line| text.push_str(&format!("+{line}\n")));
        }
    }
    if text.is_empty() {
        return (text, Verdict::Clean);
    }
    (format!("--- {object} (stored)\n+++ {object} (computed)\n{text}"), Verdict::Found)
}

fn by_place(table: &str) -> FxHashMap<&str, Vec<&str>> {
    let mut places: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
    for line in table.lines() {
        places.entry(place_of(line)).or_default().push(line);
    }
    places
}

/// What stands before the first colon.
fn place_of(line: &str) -> &str {
    line.split_once(':').map_or(line, |(place, _)| place)
}
