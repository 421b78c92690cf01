//! `orcls where`: the source line of a place in code, as traces and objtool name it.
//!
//! In: `foo+0x1c3/0x200 [module]`, objects or folders.  Out: the line, and what was inlined there, per object that has it.
//! Holds afterwards: a function of another size than the one named is not it; no object is judged.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use anyhow::bail;
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde::Serialize;

use super::inputs;
use super::sources::Sources;
use super::{Verdict, output};
use crate::build::Search;
use crate::ids::CodeLoc;
use crate::image::{ElfImage, FileStore, Store};
use crate::source_map::{InlineFrame, Lines};

/// Arguments of `where`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A place as in a stack trace (foo+0x1c3/0x200 [module]) or as in a line of objtool's (foo+0x1c3)
    #[arg(value_name = "PLACE")]
    place: Spelled,
    /// Objects, or folders of objects [default: the current folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The place is where a call returns to, as all of a trace are but the first: show the call
    #[arg(long)]
    call: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A place by name.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Spelled {
    function: String,
    offset: u64,
    size: Option<u64>,
    module: Option<String>,
}

impl FromStr for Spelled {
    type Err = String;

    fn from_str(text: &str) -> Result<Spelled, String> {
        let wrong = || "a place is FUNCTION+0xOFFSET, with /0xSIZE and [MODULE] behind it in a trace".to_owned();
        let (place, module) = match text.trim().split_once(char::is_whitespace) {
            Some((place, module)) => {
                let module = module.trim().strip_prefix('[').and_then(|module| module.split([']', ' ']).next());
                (place, Some(module.ok_or_else(wrong)?.to_owned()))
            }
            None => (text.trim(), None),
        };
        let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
        let (function, numbers) = place.rsplit_once('+').ok_or_else(wrong)?;
        let (offset, size) = match numbers.split_once('/') {
            Some((offset, size)) => (offset, Some(number(size).ok_or_else(wrong)?)),
            None => (numbers, None),
        };
        let offset = number(offset.trim_end_matches(':')).ok_or_else(wrong)?;
        if function.is_empty() {
            return Err(wrong());
        }
        // Up to 5.15 objtool writes the name with parentheses.
        Ok(Spelled { function: function.trim_end_matches("()").to_owned(), offset, size, module })
    }
}

impl Spelled {
    /// Whether an object may be the module that is named; the kernel writes `_` for `-`.
    fn may_be_in(&self, object: &std::path::Path) -> bool {
        let Some(module) = &self.module else { return true };
        let stem = object.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().replace('-', "_");
        stem == *module || stem == format!("{module}.mod")
    }
}

/// Where the place is in one object.
#[derive(Serialize)]
struct Found {
    object: String,
    section: String,
    offset: u64,
    file: Option<String>,
    line: Option<u32>,
    /// In bytes, from 1.
    column: Option<u32>,
    inlined: Vec<InlineFrame>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let here = [PathBuf::from(".")];
    let paths = if arguments.paths.is_empty() { &here[..] } else { &arguments.paths };
    let found = inputs::collect(paths, &Search::default());
    let inputs: Vec<_> = found.list.iter().filter(|input| !input.is_source()).collect();
    // The parts of a module are objects of other names.
    let is_named = |input: &&&inputs::Input| arguments.place.may_be_in(&input.path);
    let named: Vec<_> = inputs.iter().filter(is_named).copied().collect();
    let inputs = if named.is_empty() { inputs } else { named };
    let all = Mutex::new(Vec::new());
    inputs.par_iter().enumerate().for_each(|(at, input)| {
        let found = look(arguments, input);
        if !found.is_empty() {
            all.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((at, found));
        }
    });
    let mut all = all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    all.sort_by_key(|(at, _)| *at);
    let mut all: Vec<Found> = all.into_iter().flat_map(|(_, found)| found).collect();
    // What has a line says more than what was linked from it without one.
    if all.iter().any(|found| found.line.is_some()) {
        all.retain(|found| found.line.is_some());
    }
    let place = |found: &Found| (found.file.clone(), found.line, found.inlined.clone());
    let mut seen = Vec::new();
    all.retain(|found| {
        let place = place(found);
        let is_other = found.line.is_none() || !seen.contains(&place);
        seen.push(place);
        is_other
    });
    if all.is_empty() {
        let Spelled { function, size, .. } = &arguments.place;
        let size = size.map(|size| format!(" of {size:#x} bytes")).unwrap_or_default();
        bail!("no object here has a function {function}{size} that reaches as far");
    }
    for found in &all {
        output::print(&match arguments.format {
            Format::Json => serde_json::to_string(found)? + "\n",
            Format::Text => text(found),
        })?;
    }
    Ok(Verdict::Clean)
}

fn text(found: &Found) -> String {
    let at = format!("{}: {}+{:#x}", found.object, found.section, found.offset);
    let mut text = match (&found.file, found.line) {
        (Some(file), Some(line)) => format!("{file}:{line}:{} ({at})\n", found.column.unwrap_or(1)),
        _ => format!("{at}: no line is known\n"),
    };
    for frame in &found.inlined {
        let call = match (&frame.file, frame.line) {
            (Some(file), Some(line)) => format!(" at {file}:{line}"),
            _ => String::new(),
        };
        text.push_str(&format!("    inlined: {}() called{call}\n", frame.function));
    }
    text
}

/// The places in one object; several where it has several functions of the name.
fn look(arguments: &Arguments, input: &inputs::Input) -> Vec<Found> {
    let Spelled { function, offset, size, .. } = &arguments.place;
    let Ok(store) = FileStore::open(&input.path) else { return Vec::new() };
    let store: Arc<dyn Store> = Arc::new(store);
    let Ok(image) = ElfImage::read(store.as_ref()) else { return Vec::new() };
    let is_it = |symbol: &crate::image::Symbol| {
        // The kernel's symbol table has no sizes; it counts to the next symbol, padding included.
        symbol.is_function()
            && *offset <= symbol.size
            && size.is_none_or(|size| symbol.size <= size && size - symbol.size < 64)
    };
    let symbols = image.symbols().filter(|(id, symbol)| is_it(symbol) && image.symbol_name(*id) == function);
    let starts: Vec<CodeLoc> = symbols.filter_map(|(_, symbol)| symbol.place()).collect();
    if starts.is_empty() {
        return Vec::new();
    }
    let lines = Lines::new(Arc::clone(&store));
    let back = u64::from(arguments.call && *offset > 0);
    let place = |start: CodeLoc| {
        let at = CodeLoc { offset: start.offset.saturating_add(*offset - back), ..start };
        let place = lines.place(&image, at);
        let source = place.as_ref().map(|place| {
            let path = Sources::path(&input.path, &place.file);
            path.map_or_else(|| place.file.to_string(), |path| path.display().to_string())
        });
        Found {
            object: input.name(),
            section: image.section(at.section).name.to_string(),
            offset: at.offset,
            file: source,
            line: place.as_ref().and_then(|place| place.line),
            column: place.as_ref().and_then(|place| place.column),
            inlined: place.map(|place| place.inlined).unwrap_or_default(),
        }
    };
    starts.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<(&str, u64, Option<u64>, Option<&str>)>) {
        let got = text.parse::<Spelled>().ok();
        let expect = expect.map(|(function, offset, size, module)| Spelled {
            function: function.to_owned(),
            offset,
            size,
            module: module.map(str::to_owned),
        });
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn places_are_read_as_traces_and_objtool_write_them() {
        check("foo+0x1c3/0x200", Some(("foo", 0x1c3, Some(0x200), None)));
        check(" foo.part.0+0x1/0x2 [my_mod]", Some(("foo.part.0", 1, Some(2), Some("my_mod"))));
        check("foo+0x1/0x2 [mod 0123abcd]", Some(("foo", 1, Some(2), Some("mod"))));
        check("foo()+0x1c3", Some(("foo", 0x1c3, None, None)));
        check("foo+0x1c3:", Some(("foo", 0x1c3, None, None)));
        for wrong in ["foo", "+0x1", "foo+bar", "foo+0x1 mod"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_module_is_an_object_of_its_name() {
        let place: Spelled = "f+0x1/0x2 [snd_hda]".parse().unwrap();
        assert!(place.may_be_in("x/snd-hda.ko".as_ref()) && place.may_be_in("snd_hda.o".as_ref()));
        assert!(!place.may_be_in("snd.o".as_ref()));
    }
}
