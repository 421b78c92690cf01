//! Compares what orcls says of an object with what an objtool has said and done.
//!
//! In: an [`Analysis`], the lines that objtool printed, the object as it left it.  Out: [`Comparison`].
//! Holds afterwards: lines are compared as a multiset, tables as text, written sections by name with contents and
//! relocations; two objects that are laid out otherwise but say the same do not differ.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::findings::{Level, ObjtoolLine};
use crate::image::{ElfImage, Reloc, RelocKind, Store};
use crate::orc;
use crate::write::{WriteError, write};

/// More differences than this are counted, not kept.
const SHOWN: usize = 20;

/// What differs between orcls and an objtool, for one object.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Comparison {
    /// Lines that only objtool prints.
    pub missing: Vec<String>,
    /// Lines that only orcls has.
    pub surplus: Vec<String>,
    /// Rows of the table: objtool's behind `-`, orcls's behind `+`.
    pub table: Vec<String>,
    /// How many rows differ.
    pub rows: usize,
    /// Sections that are not the same in the objects that both would leave.
    pub sections: Vec<String>,
    /// Why the objects could not be compared.
    pub unwritten: Option<String>,
}

impl Comparison {
    /// Whether nothing differs.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.rows == 0 && self.sections.is_empty()
    }
}

/// objtool's lines out of what it printed for the object that it was given as `name`; what people are told besides, such
/// as statistics and a disassembly, is none.
pub fn lines(printed: &str, name: &str) -> Vec<ObjtoolLine> {
    let line = |line: &str| {
        // What is wrong with the command line names no object up to 6.12.
        let named = || line.strip_prefix(name)?.strip_prefix(": ");
        let rest = if line.starts_with("error: objtool: ") { line } else { named()? };
        let (word, text) = rest.split_once(": objtool: ")?;
        let level = match word {
            "warning" => Level::Warning,
            "error" => Level::Error,
            _ => return None,
        };
        Some(ObjtoolLine { level, text: text.trim_end().to_owned() })
    };
    printed.lines().filter_map(line).collect()
}

/// Compares. `after` is the object as objtool left it.
pub fn compare(analysis: &Analysis, before: &dyn Store, printed: &[ObjtoolLine], after: &dyn Store) -> Comparison {
    let mut found = Comparison::default();
    let shown = |line: &ObjtoolLine| {
        format!("{}: {}", if line.level == Level::Error { "error" } else { "warning" }, line.text.trim_end())
    };
    (found.missing, found.surplus) =
        differing(printed.iter().map(shown), analysis.lines.iter().map(|printed| &printed.line).map(shown));
    let theirs = match ElfImage::read(after) {
        Ok(image) => image,
        Err(error) => {
            found.unwritten = Some(format!("what objtool left cannot be read: {error}"));
            return found;
        }
    };
    compare_tables(analysis, after, &theirs, &mut found);
    let mut bytes = Vec::new();
    match write(analysis, before, &mut bytes) {
        Ok(()) => match ElfImage::read(&bytes) {
            Ok(ours) => found.sections = differing_sections((&bytes, &ours), (after, &theirs)),
            Err(error) => found.unwritten = Some(format!("what orcls would leave cannot be read: {error}")),
        },
        Err(WriteError::GivenUp(_)) => {
            // Then objtool leaves the object as it was.
            if let Ok(ours) = ElfImage::read(before) {
                found.sections = differing_sections((before, &ours), (after, &theirs));
            }
        }
        Err(error) => found.unwritten = Some(error.to_string()),
    }
    found
}

/// What is in one multiset and not in the other, in order.
fn differing(theirs: impl Iterator<Item = String>, ours: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let mut counts: FxHashMap<String, usize> = FxHashMap::default();
    let (theirs, mut surplus): (Vec<String>, Vec<String>) = (theirs.collect(), Vec::new());
    for line in &theirs {
        *counts.entry(line.clone()).or_default() += 1;
    }
    for line in ours {
        match counts.get_mut(&line).filter(|count| **count != 0) {
            Some(count) => *count -= 1,
            None => surplus.push(line),
        }
    }
    let left = |line: &String| match counts.get_mut(line).filter(|count| **count != 0) {
        Some(count) => {
            *count -= 1;
            true
        }
        None => false,
    };
    (
        theirs
            .into_iter()
            .filter({
                let mut left = left;
                move |line| left(line)
            })
            .collect(),
        surplus,
    )
}

fn compare_tables(analysis: &Analysis, after: &dyn Store, theirs: &ElfImage, found: &mut Comparison) {
    let rules = &analysis.rules;
    // The object may have had a table before, which orcls does not add to.
    if !analysis.options.orc || analysis.image.section_by_name(".orc_unwind").is_some() {
        return;
    }
    let stored = match orc::stored(after, theirs, rules) {
        Ok(table) => table.text(rules),
        Err(error) => {
            found.unwritten = Some(format!("the table that objtool left cannot be read: {error}"));
            return;
        }
    };
    let kept = analysis.counted == 0 || !analysis.options.werror;
    let computed = analysis.orc().filter(|_| kept).map_or_else(String::new, |table| table.text(&analysis.image, rules));
    let (missing, surplus) = differing(stored.lines().map(str::to_owned), computed.lines().map(str::to_owned));
    found.rows = missing.len().max(surplus.len());
    found.table.extend(missing.into_iter().take(SHOWN).map(|row| format!("- {row}")));
    found.table.extend(surplus.into_iter().take(SHOWN).map(|row| format!("+ {row}")));
}

/// A relocation without what depends on the layout.
type Led = (u64, RelocKind, String, i64);

/// Sections by name, those of one name in order, with their bytes and relocations. What only says how the object is laid
/// out is left out: the tables of names, symbols and relocations themselves.
fn contents(store: &dyn Store, image: &ElfImage) -> BTreeMap<(String, usize), (Vec<u8>, Vec<Led>)> {
    let mut out = BTreeMap::new();
    let mut seen: FxHashMap<&str, usize> = FxHashMap::default();
    for (id, section) in image.sections() {
        let name = section.name.as_str();
        if name.is_empty()
            || name.starts_with(".rela")
            || matches!(name, ".symtab" | ".strtab" | ".shstrtab" | ".symtab_shndx" | ".group")
        {
            continue;
        }
        let nth = seen.entry(name).or_default();
        *nth += 1;
        let bytes =
            if section.is_code() { section.code.clone() } else { image.read_section(store, id).unwrap_or_default() };
        let led = |reloc: Reloc| (reloc.offset, reloc.kind, image.symbol_name(reloc.symbol).to_owned(), reloc.addend);
        let mut relocs: Vec<Led> = section.relocs.iter().map(led).collect();
        relocs.sort();
        out.insert((name.to_owned(), *nth), (bytes.to_vec(), relocs));
    }
    out
}

fn differing_sections(ours: (&dyn Store, &ElfImage), theirs: (&dyn Store, &ElfImage)) -> Vec<String> {
    let (ours, theirs) = (contents(ours.0, ours.1), contents(theirs.0, theirs.1));
    let mut out = Vec::new();
    for (key, content) in &theirs {
        match ours.get(key) {
            None => out.push(format!("{}: only objtool has it", key.0)),
            Some((bytes, _)) if *bytes != content.0 => out.push(format!("{}: other contents", key.0)),
            Some((_, relocs)) if *relocs != content.1 => out.push(format!("{}: other relocations", key.0)),
            Some(_) => {}
        }
    }
    out.extend(ours.keys().filter(|key| !theirs.contains_key(key)).map(|key| format!("{}: only orcls has it", key.0)));
    out.truncate(SHOWN);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_object() {
        let printed = "/t/a.o: warning: objtool: f+0x1: odd\nnr_cfi: 3\n/t/b.o: warning: objtool: other\n/t/a.o: error: objtool: no\nerror: objtool: without a name\n";
        let found = lines(printed, "/t/a.o");
        let texts: Vec<_> = found.iter().map(|line| (line.level, line.text.as_str())).collect();
        assert_eq!(texts, [(Level::Warning, "f+0x1: odd"), (Level::Error, "no"), (Level::Error, "without a name")]);
    }

    #[test]
    fn what_is_there_twice_has_to_be_there_twice() {
        let strings = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter();
        let (missing, surplus) = differing(strings("a b a c"), strings("c a d"));
        assert_eq!((missing, surplus), (vec!["a".to_owned(), "b".to_owned()], vec!["d".to_owned()]));
    }
}
