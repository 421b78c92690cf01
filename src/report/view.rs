//! What all parts of the report look up: lines, names, disassembly.
//!
//! In: [`Analysis`], [`Lines`].  Out: [`View`].
//! Holds afterwards: lines and names of code are read at the first question, and once.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::analysis::Analysis;
use crate::assembly::is_assembly_name;
use crate::decode::{Disassembler, bytes};
use crate::findings::Fault;
use crate::ids::{CodeLoc, GroupId, InsnId, SectionId, SymbolId};
use crate::image::STT_FUNC;
use crate::mangled;
use crate::report::alternative_lines::AlternativeLines;
use crate::report::data_lines::DataLines;
use crate::source_map::{FirstRow, Lines, NoSource, Place, SourceMap, is_rust_library};

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
    mangled::plain(symbol)
}

/// An analysis with its lines.
pub struct View<'a> {
    /// The analysis.
    pub analysis: &'a Analysis,
    pub(super) lines: &'a Lines,
    disassembler: OnceCell<Disassembler<'a>>,
    replacements: OnceCell<FxHashMap<GroupId, Vec<GroupId>>>,
    conflicts: OnceCell<FxHashMap<InsnId, usize>>,
    /// How many instructions and steps of ways may still be looked at.
    steps: Cell<usize>,
    shorter: OnceCell<ShortNames>,
    /// Whether places in Rust's library are those of the calls that brought them in.
    outside_library: bool,
    pub(super) alternative_lines: OnceCell<Arc<AlternativeLines>>,
    pub(super) data_lines: OnceCell<Arc<DataLines>>,
    pub(super) first_rows: OnceCell<Vec<FirstRow>>,
}

/// How often each short form of a function's name is used in the object, by the number of its form.
type ShortNames = FxHashMap<(usize, String), usize>;

/// Steps of ways that are told in all. Only objects made for it have more to tell.
const MOST_STEPS: usize = 1 << 20;

impl<'a> View<'a> {
    /// Looks nothing up yet.
    pub fn new(analysis: &'a Analysis, lines: &'a Lines) -> View<'a> {
        View {
            analysis,
            lines,
            disassembler: OnceCell::new(),
            replacements: OnceCell::new(),
            conflicts: OnceCell::new(),
            steps: Cell::new(MOST_STEPS),
            shorter: OnceCell::new(),
            outside_library: false,
            alternative_lines: OnceCell::new(),
            data_lines: OnceCell::new(),
            first_rows: OnceCell::new(),
        }
    }

    /// As [`View::new`]; what was inlined from Rust's library is at the line of the crate that it was inlined into.
    pub fn outside_library(analysis: &'a Analysis, lines: &'a Lines) -> View<'a> {
        View { outside_library: true, ..View::new(analysis, lines) }
    }

    /// Takes so many steps; whether there were as many.
    pub(super) fn steps(&self, n: usize) -> bool {
        let left = self.steps.get().checked_sub(n);
        self.steps.set(left.unwrap_or(0));
        left.is_some()
    }

    /// By instruction: the first finding that says that arms disagree there.
    pub(super) fn conflicts(&self) -> &FxHashMap<InsnId, usize> {
        self.conflicts.get_or_init(|| {
            let mut conflicts = FxHashMap::default();
            for (index, finding) in self.analysis.findings.iter().enumerate() {
                if let Fault::AlternativeStackConflict { insn, .. } = finding.fault {
                    conflicts.entry(insn).or_insert(index);
                }
            }
            conflicts
        })
    }

    /// The source map, if there is one.
    pub fn map(&self) -> Option<&'a SourceMap> {
        self.lines.map(&self.analysis.image).ok()
    }

    /// Why there are no lines, where some were wanted.
    pub fn no_source(&self) -> Option<String> {
        match self.lines.map(&self.analysis.image) {
            Ok(map) if map.is_cut() => Some(NoSource::Costly.to_string()),
            Ok(_) | Err(NoSource::NotWanted) => None,
            Err(why) => Some(why.to_string()),
        }
    }

    /// Where an instruction comes from.
    pub fn place(&self, at: CodeLoc) -> Option<Place> {
        let place = self.exact_place(at)?;
        if !self.outside_library || !is_rust_library(&place.file) {
            return Some(place);
        }
        Some(call_outside(&place, |file| !is_rust_library(file)).unwrap_or(place))
    }

    /// As [`View::place`]; code that the compiler gave no line gets that of the code before it in its function.
    pub fn nearest_place(&self, at: CodeLoc) -> Option<Place> {
        let own = self.place(at);
        // In assembly every statement is somebody's, and the one before is another.
        if own.as_ref().is_some_and(|place| place.line.is_some() || is_assembly_name(place.file.as_ref().as_ref())) {
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
    ///
    /// Of code from a header the line of the source that brought it in is named too: that is the one being edited.
    pub fn words(&self, insn: InsnId, spoken_of: Option<&str>) -> String {
        let at = self.analysis.insns.loc(insn);
        let Some(place) = self.place(at) else { return self.offset_words(at) };
        let call = place.inlined.iter().rfind(|frame| frame.file.as_ref() != Some(&place.file));
        let call = call.map(|frame| SourceLine { file: frame.file.clone(), line: frame.line });
        let call = call.and_then(|call| call.words(spoken_of));
        let own = SourceLine::from(Some(place)).words(spoken_of);
        match (own, call) {
            (Some(own), Some(call)) => format!("{own} (inlined at {call})"),
            (own, _) => own.unwrap_or_else(|| self.offset_words(at)),
        }
    }

    /// A place without a line for a sentence: `.text+0x1f`.
    pub fn offset_words(&self, at: CodeLoc) -> String {
        format!("{}+{:#x}", self.section_name(at.section), at.offset)
    }

    /// The section's name.
    pub fn section_name(&self, id: SectionId) -> &'a str {
        &self.analysis.image.section(id).name
    }

    /// The symbol's name as a person reads it: long ones in a shorter form that no other function of the object has.
    pub fn name(&self, id: SymbolId) -> String {
        let path = demangled(self.analysis.image.symbol_name(id));
        let forms = mangled::shorter(&path);
        if forms.is_empty() {
            return path;
        }
        let used = self.shorter.get_or_init(|| short_names(&self.analysis.image));
        let mut numbered = forms.into_iter().enumerate().rev();
        let unique = numbered.find(|(number, form)| used.get(&(*number, form.clone())).is_none_or(|&n| n == 1));
        unique.map_or(path, |(_, form)| form)
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
}

/// The innermost call that brought `place` in from a file that is `wanted`, as a place of its own.
pub(super) fn call_outside(place: &Place, wanted: impl Fn(&str) -> bool) -> Option<Place> {
    let at =
        place.inlined.iter().position(|frame| frame.line.is_some() && frame.file.as_deref().is_some_and(&wanted))?;
    let frame = place.inlined.get(at)?;
    let inlined = place.inlined.get(at + 1..).unwrap_or_default().to_vec();
    Some(Place { file: frame.file.clone()?, line: frame.line, column: None, inlined })
}

fn short_names(image: &crate::image::ElfImage) -> ShortNames {
    let mut used = ShortNames::default();
    let functions = image.symbols().filter(|(_, symbol)| symbol.kind == STT_FUNC);
    let paths: std::collections::BTreeSet<String> = functions.map(|(id, _)| demangled(image.symbol_name(id))).collect();
    for path in paths {
        for (number, form) in mangled::shorter(&path).into_iter().enumerate() {
            *used.entry((number, form)).or_default() += 1;
        }
    }
    used
}

/// How far to look for a line; a function without any is not walked for each of its findings.
const MAX_STEPS_BACK: usize = 64;
