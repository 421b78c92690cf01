//! The indexes that the stages hand to each other.
//!
//! Out: one type per kind of thing, so that a section index can not be used as an instruction index.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the table that this id counts.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The id of position `index`. Positions above `u32::MAX` do not exist: the image loader refuses them.
            pub fn from_index(index: usize) -> Self {
                $name(index as u32)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", stringify!($name), self.0)
            }
        }
    };
}

id!(
    /// A section, by its index in the section header table.
    SectionId
);
id!(
    /// A symbol, by its index in `.symtab`.
    SymbolId
);
id!(
    /// A decoded instruction, in the order of sections and offsets.
    InsnId
);
id!(
    /// A stream of instructions of an alternative: the original code or one replacement.
    GroupId
);
id!(
    /// A finding, by its index in the findings of an analysis. Lines that objtool prints and what is reported of a finding
    /// refer to it by this, never by their own position or by equal text.
    FindingId
);
id!(
    /// An interned [`crate::cfi::CfiState`].
    CfiId
);

/// A byte of a section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CodeLoc {
    /// The section.
    pub section: SectionId,
    /// Offset in bytes from the start of the section.
    pub offset: u64,
}

impl CodeLoc {
    /// The byte at `offset` of `section`.
    pub fn new(section: SectionId, offset: u64) -> Self {
        CodeLoc { section, offset }
    }
}
