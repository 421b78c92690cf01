//! All instructions of an object, by number and by address.
//!
//! In: the instructions of one section after another.  Out: [`InsnTable`].
//! Holds afterwards: which instruction starts at an address is told by one word of a bitmap, and costs no search.

use rustc_hash::FxHashMap;

use super::Kind;
use super::interning::{Interner, OpList};
use crate::cfi::StackOp;
use crate::ids::{CodeLoc, InsnId, SectionId};
use crate::marks::{self, Marks};

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// Offset in the section, in bytes.
    pub offset: u32,
    /// Index into the table's distinct operation lists; see [`InsnTable::op_list`].
    ops: u16,
    /// Length in bytes.
    pub len: u8,
    /// What it is.
    pub kind: Kind,
}

/// Stands for an index that 16 bits do not hold. No compiler's output has that many different lists.
const FAR: u16 = u16::MAX;

impl Insn {
    /// An instruction without stack operations.
    pub(crate) fn new(offset: u32, len: u8, kind: Kind) -> Insn {
        Insn { offset, ops: 0, len, kind }
    }

    /// Offset of the byte behind the instruction.
    pub fn end(&self) -> u32 {
        self.offset.saturating_add(u32::from(self.len))
    }
}

/// The instructions of a section.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    /// Behind the last one.
    end: u32,
    /// The first of the section's words in [`InsnTable::starts`].
    word: u32,
}

/// All instructions of an object.
#[derive(Clone, Debug, Default)]
pub struct InsnTable {
    insns: Vec<Insn>,
    /// By section index.
    ranges: Vec<Range>,
    /// The words of all sections, each section's with one behind its end.
    starts: Vec<Marks>,
    /// The first word of the section that is being appended to.
    open: usize,
    /// Distinct lists of stack operations; the first is empty.
    pub(super) ops: Vec<OpList>,
    far_ops: FxHashMap<InsnId, u32>,
    /// Each `iret`; see [`super::settle_irets`].
    pub(super) irets: Vec<InsnId>,
    /// Where the padding instructions are that [`crate::flow`] appends behind all others.
    padding: Vec<Option<CodeLoc>>,
}

impl InsnTable {
    /// Empties the table of a piece, and keeps its room.
    pub(super) fn clear(&mut self) {
        self.insns.clear();
        self.starts.clear();
        self.far_ops.clear();
        self.irets.clear();
        self.open = 0;
    }

    /// Makes room for the instructions of `n_bytes` of code.
    pub(super) fn reserve(&mut self, n_bytes: usize) {
        // Compilers' code has about 3.5 bytes per instruction.
        self.insns.reserve_exact(n_bytes / 3);
    }

    /// Takes down that the next instruction is an `iret`.
    pub(super) fn note_iret(&mut self) {
        self.irets.push(InsnId::from_index(self.insns.len()));
    }

    /// Makes something else of an instruction.
    pub(super) fn change(&mut self, id: InsnId, kind: Kind, ops: &[StackOp]) {
        // The last change was most likely to the same.
        let last = self.ops.len().saturating_sub(1);
        let is_last = self.ops.last().is_some_and(|list| **list == *ops);
        let known = if is_last { Some(last) } else { self.ops.iter().position(|list| **list == *ops) };
        let position = known.unwrap_or_else(|| {
            self.ops.push(OpList::of(ops));
            self.ops.len() - 1
        });
        let Some(insn) = self.insns.get_mut(id.index()) else { return };
        (insn.kind, insn.ops) = (kind, u16::try_from(position).unwrap_or(FAR));
        if insn.ops == FAR {
            self.far_ops.insert(id, position as u32);
        }
    }

    /// Appends an instruction with its list of operations.
    pub(super) fn push(&mut self, insn: Insn, ops: u32) {
        let near = u16::try_from(ops).unwrap_or(FAR);
        if near == FAR {
            self.far_ops.insert(InsnId::from_index(self.insns.len()), ops);
        }
        self.insns.push(Insn { ops: near, ..insn });
    }

    /// Notes where the instructions start, for a table that is only to be appended to another.
    pub(super) fn note_starts(&mut self) {
        let Some((first, last)) = self.insns.first().zip(self.insns.last()) else { return };
        self.open = first.offset as usize / 64;
        self.starts.resize(last.offset as usize / 64 + 1 - self.open, Marks::default());
        mark_starts(&self.insns, self.open, &mut self.starts);
    }

    /// Notes where the instructions of the section start that is being appended to: those from number `first` on, which are
    /// all that it has.
    pub(super) fn note_starts_of_section(&mut self, first: usize) {
        let insns = self.insns.get(first..).unwrap_or(&[]);
        let Some(last) = insns.last() else { return };
        debug_assert_eq!(self.open, self.starts.len(), "nothing of the section is noted yet");
        self.starts.resize(self.open + last.offset as usize / 64 + 2, Marks::default());
        mark_starts(insns, 0, self.starts.get_mut(self.open..).unwrap_or(&mut []));
    }

    /// Appends the instructions of a piece of the section, whose lists of operations `interner` takes in.
    pub(super) fn append(&mut self, piece: &InsnTable, interner: &mut Interner) {
        let positions: Vec<u32> = piece.ops.iter().map(|list| interner.adopt(list)).collect();
        let near: Vec<u16> = positions.iter().filter_map(|&position| u16::try_from(position).ok()).collect();
        if piece.far_ops.is_empty() && near.len() == positions.len() && !near.contains(&FAR) {
            self.insns.extend(piece.insns.iter().map(|insn| Insn { ops: near[usize::from(insn.ops)], ..*insn }));
        } else {
            for (index, &insn) in piece.insns.iter().enumerate() {
                let list = piece.op_list(InsnId::from_index(index));
                self.push(insn, positions.get(list as usize).copied().unwrap_or(0));
            }
        }
        let before = self.insns.len() - piece.insns.len();
        self.irets.extend(piece.irets.iter().map(|id| InsnId::from_index(before + id.index())));
        let first = self.open + piece.open;
        let behind = first + piece.starts.len() + 1;
        if self.starts.len() < behind {
            self.starts.resize(behind, Marks::default());
        }
        self.starts[first..].iter_mut().zip(&piece.starts).for_each(|(word, more)| word.mark_all(more.bits()));
    }

    /// Makes sections of what was appended, up to `section`: what comes next belongs to it.
    pub(super) fn end_sections_before(&mut self, section: SectionId) {
        while self.ranges.len() < section.index() {
            self.end_section();
        }
    }

    fn end_section(&mut self) {
        let first = self.ranges.last().map_or(0, |range| range.end);
        marks::number(self.starts.get_mut(self.open..).unwrap_or(&mut []), first);
        self.ranges.push(Range { first, end: self.insns.len() as u32, word: self.open as u32 });
        self.open = self.starts.len();
    }

    /// The instruction.
    pub fn get(&self, id: InsnId) -> &Insn {
        &self.insns[id.index()]
    }

    /// What the instruction does to the stack, in order.
    pub fn ops(&self, id: InsnId) -> &[StackOp] {
        &self.ops[self.op_list(id) as usize]
    }

    /// All lists of operations, by number.
    pub(crate) fn op_lists(&self) -> impl Iterator<Item = &[StackOp]> {
        self.ops.iter().map(|ops| &**ops)
    }

    /// The number of the instruction's list of operations: equal numbers, equal lists. The empty list has number 0.
    pub(crate) fn op_list(&self, id: InsnId) -> u32 {
        match self.get(id).ops {
            FAR => self.far_ops.get(&id).copied().unwrap_or(0),
            near => u32::from(near),
        }
    }

    /// The instructions of a section, in order.
    pub fn of_section(&self, section: SectionId) -> impl DoubleEndedIterator<Item = InsnId> + use<> {
        let range = self.ranges.get(section.index()).copied();
        range.map_or(0..0, |range| range.first..range.end).map(InsnId)
    }

    /// The instruction that starts exactly at `at`.
    pub fn at(&self, at: CodeLoc) -> Option<InsnId> {
        let (start, bit) = self.starts_around(at)?;
        start.number_of(bit).map(InsnId::from_index)
    }

    /// The instruction that contains the byte at `at`.
    pub fn containing(&self, at: CodeLoc) -> Option<InsnId> {
        let range = self.ranges.get(at.section.index())?;
        let (start, bit) = self.starts_around(at)?;
        let id = InsnId(start.through(bit).checked_sub(1).filter(|&index| index >= range.first)?);
        (at.offset < u64::from(self.get(id).end())).then_some(id)
    }

    /// The instructions that start in `start..end` of a section.
    pub(crate) fn between(&self, section: SectionId, start: u64, end: u64) -> std::ops::Range<usize> {
        let Some(range) = self.ranges.get(section.index()) else { return 0..0 };
        let from = |offset| {
            let found = self.starts_around(CodeLoc::new(section, offset));
            found.map_or(range.end, |(start, bit)| start.before(bit)) as usize
        };
        from(start)..from(end.max(start))
    }

    /// The word that tells of `at`, with the bit that is about it.
    fn starts_around(&self, at: CodeLoc) -> Option<(Marks, usize)> {
        let index = at.section.index();
        let word = u64::from(self.ranges.get(index)?.word) + at.offset / 64;
        let behind = self.ranges.get(index + 1).map_or(self.starts.len(), |next| next.word as usize);
        let word = usize::try_from(word).ok().filter(|&word| word < behind)?;
        Some((*self.starts.get(word)?, (at.offset % 64) as usize))
    }

    /// What the instruction is; behind [`crate::flow`] thunks are resolved: a jump to a return thunk is a return.
    pub fn kind(&self, id: InsnId) -> Kind {
        self.insns[id.index()].kind
    }

    /// Makes an instruction one of another kind.
    pub(crate) fn set_kind(&mut self, id: InsnId, kind: Kind) {
        self.insns[id.index()].kind = kind;
    }

    /// How many instructions there are, padding included.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// All, in order.
    pub fn as_slice(&self) -> &[Insn] {
        &self.insns
    }

    /// How many of them stand in the object; those behind are padding.
    pub fn n_real(&self) -> usize {
        self.insns.len() - self.padding.len()
    }

    /// Whether the instruction is padding that stands in no section.
    pub fn is_padding(&self, id: InsnId) -> bool {
        id.index() >= self.n_real()
    }

    /// Appends padding, which is found at no address.
    pub(crate) fn push_padding(&mut self, insn: Insn, at: Option<CodeLoc>) -> InsnId {
        self.insns.push(insn);
        self.padding.push(at);
        InsnId::from_index(self.insns.len() - 1)
    }

    /// The instruction behind this one in its section.
    pub fn next_in_section(&self, id: InsnId) -> Option<InsnId> {
        let next = id.index() + 1;
        // A section has no gaps, and the next one starts at offset 0.
        let adjacent = next < self.n_real() && self.insns[next].offset == self.insns[id.index()].end();
        adjacent.then_some(InsnId(id.0 + 1))
    }

    /// The instruction before this one in its section.
    pub fn prev_in_section(&self, id: InsnId) -> Option<InsnId> {
        let insn = self.get(id);
        (insn.offset != 0 && !self.is_padding(id)).then(|| InsnId(id.0 - 1))
    }

    /// The section of an instruction.
    pub fn section_of(&self, id: InsnId) -> SectionId {
        if self.is_padding(id) {
            return self.padding[id.index() - self.n_real()].map_or(SectionId(0), |at| at.section);
        }
        // Sections without instructions have empty ranges at the position where theirs would be.
        let index = self.ranges.partition_point(|range| range.end <= id.0);
        SectionId::from_index(index)
    }

    /// Whether the instruction is one of the section's.
    pub(crate) fn contains(&self, section: SectionId, id: InsnId) -> bool {
        self.ranges.get(section.index()).is_some_and(|range| (range.first..range.end).contains(&id.0))
    }

    /// Where instructions are of which most are in the same section as the one before.
    pub(crate) fn locs(&self, ids: impl Iterator<Item = InsnId>) -> impl Iterator<Item = CodeLoc> {
        let mut section = SectionId(0);
        ids.map(move |id| {
            if !self.contains(section, id) {
                section = self.section_of(id);
            }
            CodeLoc::new(section, u64::from(self.get(id).offset))
        })
    }

    /// Where an instruction is.
    pub fn loc(&self, id: InsnId) -> CodeLoc {
        CodeLoc::new(self.section_of(id), u64::from(self.get(id).offset))
    }
}

/// Marks where instructions start in words of which the first is word `before` of the section.
fn mark_starts(insns: &[Insn], before: usize, words: &mut [Marks]) {
    // A word is written once, when all its bits are known.
    let (mut word, mut bits) = (0, 0);
    for insn in insns {
        let next = insn.offset as usize / 64 - before;
        if next != word {
            words[word] = Marks::new(bits);
            (word, bits) = (next, 0);
        }
        bits |= 1 << (insn.offset % 64);
    }
    words[word] = Marks::new(bits);
}
