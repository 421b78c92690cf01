//! The ORC table: one entry wherever the way to unwind changes.
//!
//! In: the flattened states.  Out: [`OrcTable`], its bytes and its text, in each release's layout.

use crate::ids::CodeLoc;

/// One ORC entry, in the release's own numbers (`arch/x86/include/asm/orc_types.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct OrcEntry {
    /// Offset from `sp_reg` to the CFA, in bytes.
    pub sp_offset: i16,
    /// Offset from `bp_reg` to the saved frame pointer, in bytes.
    pub bp_offset: i16,
    /// What the CFA is computed from.
    pub sp_reg: u8,
    /// What the saved frame pointer is found from.
    pub bp_reg: u8,
    /// The kind of frame.
    pub kind: u8,
    /// `signal` (6.12 and later) or `end` (6.1).
    pub flag: bool,
}

/// The table of an object: entries with the places where they begin to hold, section by section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrcTable {
    /// Ascending within a section.
    pub rows: Vec<(CodeLoc, OrcEntry)>,
}
