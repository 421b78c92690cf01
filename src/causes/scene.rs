//! What finders look things up in: a finding, its object, its sources.
//!
//! In: an analysis with its lines, the sources.  Out: [`Scene`], [`Suspect`].
//! Holds afterwards: each text is read once, and only when somebody asks for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Sources;
use crate::analysis::Analysis;
use crate::assembly::text::{AsmText, Statement};
use crate::decode::{InsnTable, Kind, Usage};
use crate::findings::{Finding, StepKind};
use crate::flow::FlowGraph;
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::image::{ElfImage, Reloc};
use crate::report::findings::{PathKind, PathStep, ReportedFinding};
use crate::report::path;
use crate::report::view::View;
use crate::source_map::{Declaration, Lines};

/// So many instructions of an asm statement are looked at, on either side of one.
const MOST_OF_STATEMENT: usize = 64;

/// A line of a file, from 1.
pub(super) type Line = (Arc<str>, u32);

/// A text, read.
pub(super) struct Text {
    pub lines: Vec<String>,
    pub asm: AsmText,
}

/// An object with its sources.
pub(super) struct Scene<'a> {
    pub view: View<'a>,
    pub sources: &'a Sources<'a>,
    /// The source file, as the debug info names it.
    pub main: Option<Arc<str>>,
    texts: RefCell<FxHashMap<Arc<str>, Option<Rc<Text>>>>,
    /// How many more instructions of ways are looked at: only objects made for it have more.
    left: Cell<usize>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(analysis: &'a Analysis, lines: &'a Lines, sources: &'a Sources<'a>) -> Scene<'a> {
        let view = View::new(analysis, lines);
        let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let named = sources.main.and_then(|main| {
            let files = view.map().map(|map| map.files()).unwrap_or_default();
            let exact = files.iter().find(|file| &***file == main);
            exact.or_else(|| files.iter().find(|file| base(file) == base(main))).cloned()
        });
        let only = || {
            let files = view.map().map(|map| map.files()).unwrap_or_default();
            let is_source = |file: &&Arc<str>| [".c", ".S", ".s"].iter().any(|ending| file.ends_with(ending));
            let sources: Vec<&Arc<str>> = files.iter().filter(is_source).collect();
            match sources.as_slice() {
                [only] => Some(Arc::clone(only)),
                _ => None,
            }
        };
        let main = named.or_else(|| sources.main.map(Arc::from)).or_else(only);
        Scene { view, sources, main, texts: RefCell::default(), left: Cell::new(1 << 20) }
    }

    pub(super) fn text(&self, file: &str) -> Option<Rc<Text>> {
        if let Some(known) = self.texts.borrow().get(file) {
            return known.clone();
        }
        let read = (self.sources.text_of)(file).map(|text| {
            Rc::new(Text { lines: text.lines().map(str::to_owned).collect(), asm: AsmText::of_file(file, &text) })
        });
        self.texts.borrow_mut().insert(Arc::from(file), read.clone());
        read
    }
}

/// Where a finding is shown.
pub(super) struct Shown {
    pub file: Option<Arc<str>>,
    pub line: Option<u32>,
    pub section: Option<String>,
    pub offset: Option<u64>,
}

impl Shown {
    pub(super) fn of(finding: &ReportedFinding) -> Shown {
        let (file, section) = (finding.file.clone(), finding.section.clone());
        Shown { file, line: finding.line, section, offset: finding.offset }
    }
}

/// A finding whose cause is looked for.
pub(super) struct Suspect<'a> {
    pub scene: &'a Scene<'a>,
    pub finding: &'a Finding,
    pub reported: Shown,
}

impl<'a> Suspect<'a> {
    pub(super) fn view(&self) -> &'a View<'a> {
        &self.scene.view
    }

    pub(super) fn image(&self) -> &'a ElfImage {
        &self.view().analysis.image
    }

    pub(super) fn insns(&self) -> &'a InsnTable {
        &self.view().analysis.insns
    }

    pub(super) fn flow(&self) -> &'a FlowGraph {
        &self.view().analysis.flow
    }

    pub(super) fn kind(&self, insn: InsnId) -> Kind {
        self.insns().kind(insn)
    }

    pub(super) fn usage(&self, insn: InsnId) -> Usage {
        Usage::of(self.image(), self.insns(), insn)
    }

    pub(super) fn words(&self, insn: InsnId) -> String {
        self.view().text(insn)
    }

    /// The line of an instruction, that of the code before it where it has none.
    pub(super) fn line(&self, insn: InsnId) -> Option<Line> {
        let place = self.view().nearest_place(self.insns().loc(insn))?;
        Some((place.file, place.line?))
    }

    /// The line on which an instruction of an asm statement is written. The debug info of C gives all instructions of the
    /// statement its first line. `None` where that is as good, or where it cannot be told.
    pub(super) fn written_line(&self, insn: InsnId) -> Option<Line> {
        let line = self.line(insn)?;
        let text = self.text(&line).filter(|text| !text.asm.assembly)?;
        let (number, block) = text.asm.block_at(line.1 as usize - 1)?;
        if block.top_level || block.first == block.last || line.1 as usize - 1 != block.first {
            return None;
        }
        let own = text.asm.statements.iter().filter(|one| one.block == number && &*one.section == ".text");
        let statements: Vec<&Statement> = own.filter(|one| one.is_instruction() && one.in_macro.is_none()).collect();
        let is_same = |at: &InsnId| self.line(*at).as_ref() == Some(&line);
        let back = std::iter::successors(Some(insn), |&at| self.insns().prev_in_section(at));
        let first = back.take_while(is_same).take(MOST_OF_STATEMENT).last()?;
        let run = std::iter::successors(Some(first), |&at| self.insns().next_in_section(at));
        let run: Vec<InsnId> = run.take_while(is_same).take(2 * MOST_OF_STATEMENT).collect();
        let shown: Vec<String> = run.iter().map(|&at| self.words(at)).collect();
        let fits = |statement: &&Statement, shown: &String| statement.may_be(shown);
        let begins = |at: &usize| {
            let rest = shown.get(*at..).filter(|rest| rest.len() >= statements.len());
            rest.is_some_and(|rest| statements.iter().zip(rest).all(|(statement, shown)| fits(statement, shown)))
        };
        let at = run.iter().position(|&other| other == insn)?;
        let starts: Vec<usize> = (0..run.len()).filter(begins).collect();
        let aligned = match starts.as_slice() {
            [start] => at.checked_sub(*start).and_then(|at| statements.get(at).copied()),
            _ => None,
        };
        let only = || {
            let same: Vec<_> = statements.iter().filter(|one| fits(one, &shown[at])).collect();
            let alike = shown.iter().filter(|other| same.iter().any(|one| fits(one, other))).count();
            match same.as_slice() {
                [only] if alike == 1 => Some(**only),
                _ => None,
            }
        };
        let statement = aligned.or_else(only)?;
        Some((line.0, statement.line as u32 + 1))
    }

    /// The line of an instruction in the source file: where it is written, or where the call is that brought it in.
    pub(super) fn line_in_source(&self, insn: InsnId) -> Option<Line> {
        let place = self.view().nearest_place(self.insns().loc(insn))?;
        let main = self.scene.main.as_ref();
        if main.is_none_or(|main| *main == place.file) {
            return Some((place.file, place.line?));
        }
        let call = place.inlined.iter().find(|frame| frame.file.as_ref() == main);
        call.and_then(|frame| Some((frame.file.clone()?, frame.line?))).or(Some((place.file, place.line?)))
    }

    /// `line 41`, or `list.h:41` for another file than the finding's.
    pub(super) fn place(&self, line: &Line) -> String {
        let own = self.reported.file.as_deref().or(self.scene.main.as_deref());
        if own == Some(&*line.0) {
            return format!("line {}", line.1);
        }
        format!("{}:{}", line.0.rsplit('/').next().unwrap_or(&line.0), line.1)
    }

    /// Whether the finding's code was made by a compiler from C, not written.
    pub(super) fn is_compiled(&self, insn: InsnId) -> bool {
        let Some((file, line)) = self.line(insn) else { return false };
        let is_c = file.ends_with(".c") || file.ends_with(".h");
        let text = self.scene.text(&file);
        let block = text.and_then(|text| text.asm.block_at(line as usize - 1).map(|(_, block)| block.top_level));
        is_c && block.is_none()
    }

    /// The asm statement in a function of C that an instruction comes from: the text, and its number among the text's blocks.
    pub(super) fn asm_statement(&self, insn: InsnId) -> Option<(Line, Rc<Text>, usize)> {
        let line = self.line(insn)?;
        let text = self.text(&line).filter(|text| !text.asm.assembly)?;
        let (number, _) = text.asm.block_at(line.1 as usize - 1).filter(|(_, block)| !block.top_level)?;
        Some((line, text, number))
    }

    /// The text of a file.
    pub(super) fn text(&self, line: &Line) -> Option<Rc<Text>> {
        self.scene.text(&line.0)
    }

    /// The source file's text.
    pub(super) fn main_text(&self) -> Option<(Arc<str>, Rc<Text>)> {
        let main = self.scene.main.clone()?;
        let text = self.scene.text(&main)?;
        Some((main, text))
    }

    /// What is written on a line, from 1.
    pub(super) fn written(&self, line: &Line) -> Option<String> {
        Some(self.text(line)?.lines.get(line.1 as usize - 1)?.trim().to_owned())
    }

    /// The statement of assembly that became an instruction, as it is written.
    pub(super) fn statement(&self, insn: InsnId) -> Option<Statement> {
        let line = self.line(insn)?;
        let text = self.text(&line)?;
        let mut on_line: Vec<&Statement> =
            text.asm.on_line(line.1 as usize - 1).filter(|statement| statement.is_instruction()).collect();
        let shown = self.words(insn);
        let mnemonic = shown.split_whitespace().next().unwrap_or("").to_owned();
        on_line.sort_by_key(|statement| !statement.word().starts_with(mnemonic.trim_end_matches(['q', 'l', 'w', 'b'])));
        on_line.first().map(|statement| (*statement).clone())
    }

    /// A remark on an instruction's line.
    pub(super) fn step(&self, insn: InsnId, text: impl Into<String>) -> PathStep {
        let at = self.insns().loc(insn);
        let (file, line) = self.line(insn).map_or((None, None), |(file, line)| (Some(file), Some(line)));
        PathStep {
            kind: PathKind::Cause,
            section: self.view().section_name(at.section).to_owned(),
            offset: at.offset,
            file,
            line,
            instruction: self.words(insn),
            text: text.into(),
        }
    }

    /// A remark on a line.
    pub(super) fn remark(&self, line: &Line, text: impl Into<String>) -> PathStep {
        PathStep {
            kind: PathKind::Cause,
            section: self.reported.section.clone().unwrap_or_default(),
            offset: self.reported.offset.unwrap_or_default(),
            file: Some(Arc::clone(&line.0)),
            line: Some(line.1),
            instruction: String::new(),
            text: text.into(),
        }
    }

    /// The instructions on the way of one of the finding's states, with the last.
    pub(super) fn way(&self, state: usize) -> Vec<InsnId> {
        let Some(state) = self.finding.states.get(state) else { return Vec::new() };
        if self.scene.left.get() == 0 {
            return Vec::new();
        }
        let mut way = path::passed(self.view(), state);
        way.push(state.insn);
        self.scene.left.set(self.scene.left.get().saturating_sub(way.len()));
        way
    }

    /// The instruction before the finding's state: the branch that led there, or the one before it.
    pub(super) fn came_from(&self, state: usize) -> Option<InsnId> {
        let state = self.finding.states.get(state)?;
        let last = state.trail.last();
        let jumped = last
            .filter(|step| step.kind != StepKind::Start && step.to.is_some_and(|to| self.only_padding(to, state.insn)));
        jumped.map(|step| step.insn).or_else(|| self.before(state.insn))
    }

    /// Whether nothing but padding is between two places.
    fn only_padding(&self, from: InsnId, to: InsnId) -> bool {
        let mut between = std::iter::successors(Some(from), |&insn| self.insns().next_in_section(insn)).take(64);
        let end = between.find(|&insn| insn == to || !matches!(self.kind(insn), Kind::Nop | Kind::Trap));
        end == Some(to)
    }

    /// The instruction before one in the section, without padding.
    pub(super) fn before(&self, insn: InsnId) -> Option<InsnId> {
        let is_code = |&insn: &InsnId| !matches!(self.kind(insn), Kind::Nop | Kind::Trap);
        std::iter::successors(self.insns().prev_in_section(insn), |&insn| self.insns().prev_in_section(insn))
            .take(64)
            .find(is_code)
    }

    /// The relocation within an instruction.
    pub(super) fn reloc(&self, insn: InsnId) -> Option<Reloc> {
        let (at, code) = (self.insns().loc(insn), self.insns().get(insn));
        self.image().section(at.section).relocs.first_in(u64::from(code.offset), u64::from(code.end()))
    }

    /// The name of what a call or jump leads to, or what the pointer is called that it goes through.
    pub(super) fn callee(&self, insn: InsnId) -> Option<String> {
        if let Some(callee) = self.flow().callee(insn).filter(|&id| !self.image().symbol(id).is_section()) {
            return Some(self.view().name(callee));
        }
        let text = self.words(insn);
        let operand = text.split_whitespace().nth(1)?.trim_start_matches('*');
        let name = operand.split(['(', '+', '-']).next()?;
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        is_name.then(|| name.to_owned())
    }

    /// The function that an instruction belongs to.
    pub(super) fn owner(&self, insn: InsnId) -> Option<SymbolId> {
        self.flow().function(&self.view().analysis.symbols, insn)
    }

    /// The function's name with its parentheses.
    pub(super) fn in_function(&self) -> String {
        match self.finding.function {
            Some(function) => format!("{}()", self.view().name(function)),
            None => "this code".to_owned(),
        }
    }

    /// Where a name is declared, by the debug info.
    pub(super) fn declarations(&self, name: &str) -> Vec<Declaration> {
        self.view().map().map(|map| map.declarations(name)).unwrap_or_default()
    }

    /// The instructions of a function, in the order of the section.
    pub(super) fn body(&self, function: SymbolId) -> impl Iterator<Item = InsnId> + use<'a> {
        let symbol = self.image().symbol(function);
        let (insns, size) = (self.insns(), self.view().analysis.symbols.size(function));
        let first = insns.at(CodeLoc::new(symbol.section, symbol.value));
        let end = symbol.value.saturating_add(size);
        std::iter::successors(first, |&insn| insns.next_in_section(insn))
            .take_while(move |&insn| insns.loc(insn).offset < end)
    }
}
