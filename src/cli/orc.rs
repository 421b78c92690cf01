//! `orcls orc`: the ORC table that an object needs, the one that it has, and how they differ.
//!
//! In: objects.  Out: tables in the text of `objtool --dump=orc`, or JSON.
//! Holds afterwards: only `write` has written, and only to the file that `-o` names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::{Args, Subcommand};

use super::inputs::{self, Input};
use super::judge::{Judge, Judged, Object, Opened, Rules};
use super::listing::Format;
use super::{Verdict, output, queue};
use crate::analysis::{Analysis, Policy};
use crate::ids::CodeLoc;
use crate::kernel::Kernel;
use crate::orc::{self, OrcEntry, OrcTable, StoredTable};
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
            each(&tables.objects, &tables.rules, |input, several| {
                let Some(object) = judged(&judge, input)? else { return Ok(None) };
                let analysis = &object.analysis;
                let listing = match tables.format {
                    Format::Json => report::orc_listing(&object.name, analysis, &object.lines, &Select::default()),
                    _ => OrcListing { object: object.name.clone(), kernel: analysis.kernel, rows: computed(analysis) },
                };
                Ok(Some((print(&listing, tables.format, several), Verdict::Clean)))
            })
        }
        Action::Dump(tables) => {
            let judge = Judge::new(&tables.rules, Policy::Objtool);
            each(&tables.objects, &tables.rules, |input, several| {
                let opened = judge.open(input)?;
                let kernel = judge.kernel(&opened);
                let rows = stored(&opened, kernel)?;
                let listing = OrcListing { object: opened.name.clone(), kernel, rows };
                Ok(Some((print(&listing, tables.format, several), Verdict::Clean)))
            })
        }
        Action::Diff(compared) => {
            let judge = Judge::new(&compared.rules, Policy::Objtool).for_orc();
            each(&compared.objects, &compared.rules, |input, _| {
                let opened = judge.open(input)?;
                let Some(rows) = stored(&opened, judge.kernel(&opened))? else {
                    // In a folder there are objects without code, and such as the build does not check.
                    let said = input.named.then(|| format!("{}: it has no stored table", opened.name));
                    return said.map_or(Ok(None), Err);
                };
                let Some(object) = judged(&judge, input)? else { return Ok(None) };
                Ok(Some(diff(&object.name, &rows, &computed(&object.analysis).unwrap_or_default())))
            })
        }
    }
}

/// What an object came to: its text, nothing where it was skipped, or why it could not be done.
type Outcome = Result<Option<(String, Verdict)>, String>;

/// Does `work` for each object, in parallel, and prints in order.
fn each(paths: &[PathBuf], rules: &Rules, work: impl Fn(&Input, bool) -> Outcome + Sync) -> anyhow::Result<Verdict> {
    let (inputs, failed) = inputs::collect(paths);
    queue::set_jobs(rules.jobs);
    let verdict = Mutex::new(if failed { Verdict::Incomplete } else { Verdict::Clean });
    let several = inputs.len() > 1;
    let one = |input: &Input| {
        if !input.named && inputs::is_foreign(&input.path) {
            return String::new();
        }
        let (text, outcome) = match work(input, several) {
            Ok(done) => done.unwrap_or_default(),
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
    Ok(verdict.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

fn judged(judge: &Judge<'_>, input: &Input) -> Result<Option<Box<Object>>, String> {
    match judge.object(input) {
        Judged::Analysed(object) => Ok(Some(object)),
        Judged::Skipped => Ok(None),
        Judged::Failed(why) => Err(why),
    }
}

/// The computed table, without functions and lines: only JSON has them.
fn computed(analysis: &Analysis) -> Option<Vec<OrcRow>> {
    let OrcTable { rows } = analysis.orc.as_ref()?;
    let row = |(at, entry): &(CodeLoc, OrcEntry)| {
        let place = format!("{}+{:x}", analysis.image.section(at.section).name, at.offset);
        OrcRow::new(&analysis.image, analysis.kernel, place, Some(*at), entry)
    };
    Some(rows.iter().map(row).collect())
}

/// The stored table, if there is one.
fn stored(object: &Opened, kernel: Kernel) -> Result<Option<Vec<OrcRow>>, String> {
    if object.image.section_by_name(".orc_unwind").is_none() {
        return Ok(None);
    }
    let table = orc::stored(object.store.as_ref(), &object.image, kernel.rules());
    let StoredTable { rows } = table.map_err(|error| format!("{}: {error}", object.name))?;
    Ok(Some(rows.into_iter().map(|row| OrcRow::new(&object.image, kernel, row.place, row.at, &row.entry)).collect()))
}

fn print(listing: &OrcListing, format: Format, several: bool) -> String {
    if format == Format::Json {
        return serde_json::to_string(listing).unwrap_or_default() + "\n";
    }
    let mut text = if several { format!("==> {} <==\n", listing.object) } else { String::new() };
    for row in listing.rows.iter().flatten() {
        text.push_str(&row.place);
        text.push(':');
        text.push_str(&row.text);
        text.push('\n');
    }
    text
}

/// The rows that differ: what is stored and what is computed for each place, in the order of the stored table.
fn diff(object: &str, stored: &[OrcRow], computed: &[OrcRow]) -> (String, Verdict) {
    let by_place = |rows: &[OrcRow]| -> BTreeMap<String, Vec<String>> {
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            places.entry(row.place.clone()).or_default().push(row.text.clone());
        }
        places
    };
    let (ours, theirs) = (by_place(computed), by_place(stored));
    let none = Vec::new();
    let mut text = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for place in stored.iter().chain(computed).map(|row| &row.place) {
        let (old, new) = (theirs.get(place).unwrap_or(&none), ours.get(place).unwrap_or(&none));
        if old == new || !seen.insert(place) {
            continue;
        }
        old.iter().for_each(|entry| text.push_str(&format!("-{place}:{entry}\n")));
        new.iter().for_each(|entry| text.push_str(&format!("+{place}:{entry}\n")));
    }
    if text.is_empty() {
        return (text, Verdict::Clean);
    }
    (format!("--- {object} (stored)\n+++ {object} (computed)\n{text}"), Verdict::Found)
}
