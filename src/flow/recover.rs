//! Gets back what linking a module threw away, as far as the module still tells it.
//!
//! In: `__bug_table`, the stored ORC table.  Out: warnings that go on, functions without frames, calls that are jumps.
//! Holds afterwards: what can not be got back is left as it is; the findings that hang on it are for
//! [`crate::analysis`] to withhold.
//! Reads like: `scripts/module.lds.S` (what is discarded), `struct bug_entry` in `include/asm-generic/bug.h`.

use rustc_hash::FxHashSet;

use crate::decode::Kind;
use crate::ids::{CodeLoc, InsnId};

use super::Flags;
use super::builder::Builder;

/// `BUGFLAG_WARNING`: execution goes on behind the `ud2`.
const WARNING: u8 = 1;
/// Size of a place in an entry: of the bug, of its format, of its file.
const PLACE: usize = 4;
/// Size of the line, and of the flags.
const NUMBER: usize = 2;

/// An entry of a stored table, as it is stored.
pub(super) type Frame = [u8; 6];

/// What the stored table says of each place.
pub(super) struct Frames(Vec<(CodeLoc, Frame)>);

impl Frames {
    /// How to unwind at the place, if that is known.
    pub(super) fn at(&self, at: CodeLoc) -> Option<Frame> {
        let behind = self.0.partition_point(|(row, _)| *row <= at);
        let (row, frame) = self.0[..behind].last()?;
        (row.section == at.section && is_known(frame)).then_some(*frame)
    }
}

/// The register that the CFA is computed from is the low half of an entry's fifth byte in every release.
fn is_known(frame: &Frame) -> bool {
    frame[4] & 15 != 0
}

impl Builder<'_> {
    /// A `ud2` of a warning is no dead end, whatever said so is gone.
    pub(super) fn recover_warnings(&mut self) {
        let Some(id) = self.image.section_by_name("__bug_table") else { return };
        let Ok(bytes) = self.image.read_section(self.store, id) else { return };
        let relocs = &self.image.section(id).relocs;
        let placed = |at: usize| relocs.at(at as u64).is_some();
        // Each place of an entry has a relocation, and the last one is followed by numbers; only the file has a line.
        let places = (0..bytes.len()).step_by(PLACE).take_while(|&at| placed(at)).count();
        let without_file = if self.rules.layout.bug_has_format { 2 } else { 1 };
        let line = if places > without_file { NUMBER } else { 0 };
        let flags_at = places * PLACE + line;
        let size = (flags_at + NUMBER).next_multiple_of(PLACE);
        for reloc in relocs.iter().filter(|reloc| (reloc.offset as usize).is_multiple_of(size)) {
            let flags = bytes.get(reloc.offset as usize + flags_at).copied().unwrap_or(0);
            if flags & WARNING != 0
                && let Some(bug) = self.insns.at(self.image.destination(&reloc))
            {
                self.graph.clear(bug, Flags::DEAD_END);
            }
        }
    }

    /// A function whose stored table begins without a frame was not validated.
    pub(super) fn recover_ignored(&mut self, frames: &Frames) {
        let functions: Vec<_> =
            self.image.symbols().map(|(id, _)| id).filter(|&id| self.symbols.is_function(id)).collect();
        let mut met = FxHashSet::default();
        for function in functions {
            let symbol = self.image.symbol(function);
            let at = CodeLoc::new(symbol.section, symbol.value);
            if symbol.is_undefined() || frames.at(at).is_some() {
                continue;
            }
            self.symbols.mark(function, |traits| traits.ignore = true);
            for id in self.insns_of_until(function, |id| met.contains(&id)) {
                met.insert(id);
                self.graph.set(id, Flags::IGNORE);
            }
        }
    }

    pub(super) fn stored_frames(&self) -> Frames {
        let (Some(orc), Some(ip)) =
            (self.image.section_by_name(".orc_unwind"), self.image.section_by_name(".orc_unwind_ip"))
        else {
            return Frames(Vec::new());
        };
        let Ok(bytes) = self.image.read_section(self.store, orc) else { return Frames(Vec::new()) };
        let relocs = self.image.section(ip).relocs.iter();
        let places = relocs.map(|reloc| self.image.destination(&reloc));
        let entries = bytes.chunks_exact(size_of::<Frame>()).filter_map(|entry| entry.try_into().ok());
        let mut rows: Vec<(CodeLoc, Frame)> = places.zip(entries).collect();
        // Where one object's table ends another's may begin.
        rows.sort_by_key(|&(at, frame)| (at, is_known(&frame)));
        Frames(rows)
    }

    /// A call into its own function pushes an address and jumps.
    pub(super) fn recover_intra_call(&mut self, id: InsnId, target: InsnId) {
        self.set_kind(id, Kind::JumpUnconditional);
        self.graph.branches.set(id, target.0 + 1);
    }
}
