//! Names places for people: the line of an instruction, its function, its section.

use std::sync::Arc;

use crate::source_map::{InlineFrame, Place};

/// A function's name as a person reads it: Rust names demangled, all others as they are.
pub fn demangled(symbol: &str) -> String {
    match rustc_demangle::try_demangle(symbol) {
        Ok(name) => format!("{name:#}"),
        Err(_) => symbol.to_owned(),
    }
}

/// The parts of a [`Place`] as the JSON has them.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct SourceLine {
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
}

impl From<&Place> for SourceLine {
    fn from(place: &Place) -> Self {
        SourceLine { file: Some(place.file.clone()), line: place.line }
    }
}

/// Inlined functions at a place, innermost first.
pub type Inlined = Vec<InlineFrame>;
