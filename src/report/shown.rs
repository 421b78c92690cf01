//! What says the line of code that has no row of its own.
//!
//! In: a row of other code, or a line of a text.  Out: a place.
//! Holds afterwards: a line that is not known is none.

use std::sync::Arc;

use crate::ids::CodeLoc;
use crate::source_map::{FirstRow, Lines, Place, SourceMap};

/// What lines are told by.
pub(super) struct Rows<'a> {
    pub(super) map: &'a SourceMap,
    pub(super) texts: &'a Lines,
    /// The first rows of units whose rows can be late.
    pub(super) first: &'a [FirstRow],
}

/// What says a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// A row of the debug information.
    Row(CodeLoc),
    /// A line of a text; `None` where it could be one of several.
    Text { file: Arc<str>, line: Option<u32> },
}

impl Shown {
    pub(super) fn place(&self, map: &SourceMap) -> Option<Place> {
        match self {
            Shown::Row(row) => map.place(*row),
            Shown::Text { file, line } => {
                Some(Place { file: Arc::clone(file), line: *line, column: None, inlined: Vec::new() })
            }
        }
    }
}
