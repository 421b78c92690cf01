//! What all parts of the report look up: lines, names, disassembly.
//!
//! In: [`Analysis`], [`Lines`].  Out: [`View`].
//! Holds afterwards: lines and names of code are read at the first question, and once.

use std::cell::OnceCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::analysis::Analysis;
use crate::decode::{Disassembler, bytes};
use crate::ids::{CodeLoc, GroupId, InsnId, SectionId, SymbolId};
use crate::source_map::{Lines, NoSource, Place, SourceMap};

/// A line of a file, as the JSON has it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SourceLine {
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
}

impl SourceLine {
    /// For a sentence: `line 41`, or `list.h:41` where another file is spoken of.
    pub fn words(&self, spoken_of: Option<&str>) -> Option<String> {
        let (file, line) = (self.file.as_deref()?, self.line?);
        if spoken_of == Some(file) {
            return Some(format!("line {line}"));
        }
        let base = file.rsplit('/').next().unwrap_or(file);
        Some(format!("{base}:{line}"))
    }
}

impl From<Option<Place>> for SourceLine {
    fn from(place: Option<Place>) -> Self {
        place.map_or_else(SourceLine::default, |place| SourceLine { file: Some(place.file), line: place.line })
    }
}

/// A function's name as a person reads it: Rust names demangled, all others as they are.
pub fn demangled(symbol: &str) -> String {
    match rustc_demangle::try_demangle(symbol) {
        Ok(name) => format!("{name:#}"),
        Err(_) => symbol.to_owned(),
    }
}

/// An analysis with its lines.
pub struct View<'a> {
    /// The analysis.
    pub analysis: &'a Analysis,
    lines: &'a Lines,
    disassembler: OnceCell<Disassembler<'a>>,
    replacements: OnceCell<FxHashMap<GroupId, Vec<GroupId>>>,
}

impl<'a> View<'a> {
    /// Looks nothing up yet.
    pub fn new(analysis: &'a Analysis, lines: &'a Lines) -> View<'a> {
        View { analysis, lines, disassembler: OnceCell::new(), replacements: OnceCell::new() }
    }

    /// The source map, if there is one.
    pub fn map(&self) -> Option<&'a SourceMap> {
        self.lines.map(&self.analysis.image).ok()
    }

    /// Why there are no lines, where some were wanted.
    pub fn no_source(&self) -> Option<String> {
        match self.lines.map(&self.analysis.image) {
            Ok(_) | Err(NoSource::NotWanted) => None,
            Err(why) => Some(why.to_string()),
        }
    }

    /// Where an instruction comes from. Code of a replacement without a line of its own comes from where the code that
    /// it replaces does.
    pub fn place(&self, at: CodeLoc) -> Option<Place> {
        let map = self.map()?;
        let own = map.place(at);
        if own.as_ref().is_some_and(|place| place.line.is_some()) {
            return own;
        }
        let replaced = self.group_at(at).and_then(|group| self.replaced(group));
        replaced.and_then(|at| map.place(at)).or(own)
    }

    /// As [`View::place`]; code that the compiler gave no line gets that of the code before it in its function.
    pub fn nearest_place(&self, at: CodeLoc) -> Option<Place> {
        let own = self.place(at);
        if own.as_ref().is_some_and(|place| place.line.is_some()) {
            return own;
        }
        let (insns, flow) = (&self.analysis.insns, &self.analysis.flow);
        let here = insns.containing(at).filter(|&insn| flow.owner(insn).is_some());
        let before = std::iter::successors(here, |&insn| insns.prev_in_section(insn)).skip(1);
        let same_function = before.take_while(|&insn| here.is_some_and(|here| flow.owner(insn) == flow.owner(here)));
        let with_line = |insn| self.place(insns.loc(insn)).filter(|place| place.line.is_some());
        same_function.take(MAX_STEPS_BACK).find_map(with_line).or(own)
    }

    /// The line of an instruction.
    pub fn source_line(&self, insn: InsnId) -> SourceLine {
        self.place(self.analysis.insns.loc(insn)).into()
    }

    /// An instruction's place for a sentence: its line, else its offset.
    pub fn words(&self, insn: InsnId, spoken_of: Option<&str>) -> String {
        let offset = || self.offset_words(self.analysis.insns.loc(insn));
        self.source_line(insn).words(spoken_of).unwrap_or_else(offset)
    }

    /// A place without a line for a sentence: `.text+0x1f`.
    pub fn offset_words(&self, at: CodeLoc) -> String {
        format!("{}+{:#x}", self.section_name(at.section), at.offset)
    }

    /// The section's name.
    pub fn section_name(&self, id: SectionId) -> &'a str {
        &self.analysis.image.section(id).name
    }

    /// The symbol's name as a person reads it.
    pub fn name(&self, id: SymbolId) -> String {
        demangled(self.analysis.image.symbol_name(id))
    }

    /// The symbol that an instruction belongs to, as the symbol table spells it.
    pub fn function(&self, insn: InsnId) -> Option<String> {
        let owner = self.analysis.flow.owner(insn)?;
        Some(self.analysis.image.symbol_name(owner).to_owned())
    }

    /// The disassembly.
    pub fn text(&self, insn: InsnId) -> String {
        let disassembler = self.disassembler.get_or_init(|| Disassembler::new(&self.analysis.image));
        disassembler.text(&self.analysis.insns, insn)
    }

    /// The bytes in hexadecimal.
    pub fn hex(&self, insn: InsnId) -> String {
        let bytes = bytes(&self.analysis.image, &self.analysis.insns, insn);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }

    /// The arm of an alternative that contains `at`.
    pub fn group_at(&self, at: CodeLoc) -> Option<GroupId> {
        self.analysis.flow.group_of(self.analysis.insns.containing(at)?)
    }

    /// The replacements of each original code, in the order of the table.
    pub(super) fn replacements(&self) -> &FxHashMap<GroupId, Vec<GroupId>> {
        self.replacements.get_or_init(|| {
            let mut by_original: FxHashMap<GroupId, Vec<GroupId>> = FxHashMap::default();
            for (id, group) in self.analysis.flow.groups() {
                if let Some(original) = group.original {
                    by_original.entry(original).or_default().push(id);
                }
            }
            by_original
        })
    }

    /// Where the code that a replacement replaces starts.
    fn replaced(&self, group: GroupId) -> Option<CodeLoc> {
        let group = self.analysis.flow.group(group);
        self.analysis.flow.group(group.original?).start
    }
}

/// How far to look for a line; a function without any is not walked for each of its findings.
const MAX_STEPS_BACK: usize = 64;
