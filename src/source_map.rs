//! Says which line of which file an instruction comes from, and which instructions a line became.
//!
//! In: an [`ElfImage`] and its [`Store`].  Out: [`SourceMap`].
//! Holds afterwards: places are those that `addr2line -j SECTION` of binutils prints, file names joined in the same way;
//! DWARF is read only when a line is asked for, and a unit's tables only when it is asked about one of its addresses; work
//! and memory are a small multiple of the object's size.

mod budget;
mod stab;
mod sections;
mod units;
mod rows;
mod inlines;
mod functions;
mod file_symbols;
mod declarations;
mod late;

use std::any::Any;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::clean;
use crate::ids::CodeLoc;
use crate::image::{ElfImage, LoadError, Store};
use budget::{Budget, LONGEST_NAME};
use file_symbols::FileSymbols;
pub use functions::Function;
use inlines::{Call, Inlines};
pub use late::FirstRow;
use rows::LineRows;
use sections::{DebugSections, Slice};
use stab::{Cover, Span};
use units::{Units, Unreadable};

/// Why an object has no lines.
#[derive(Debug, thiserror::Error)]
pub enum NoSource {
    /// Nobody asked for lines.
    #[error("no lines wanted")]
    NotWanted,
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
    Broken(#[from] gimli::Error),
    /// Reading it would take far more work than its size justifies.
    #[error("the debug info refers to the same bytes too often to be read")]
    Costly,
}

impl From<Unreadable> for NoSource {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Broken(error) => NoSource::Broken(error),
            Unreadable::Costly => NoSource::Costly,
        }
    }
}

/// Whether a file belongs to Rust's own library, which nobody who writes a driver can change.
pub fn is_rust_library(file: &str) -> bool {
    const CRATES: [&str; 8] =
        ["core", "alloc", "std", "compiler-builtins", "compiler_builtins", "stdarch", "portable-simd", "proc_macro"];
    let mut parts = file.split('/').skip_while(|part| *part != "library").skip(1);
    parts.next().is_some_and(|part| CRATES.contains(&part)) && parts.next().is_some()
}

/// A place in the sources.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file, as the debug info names it: joined with the directory of the compilation, not normalised. Where only
    /// the symbol table names one, its bare name, and no line.
    pub file: Arc<str>,
    /// The line, from 1. `None` for code that no line of the file stands for.
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
    pub function: Arc<str>,
    /// The file of the call.
    pub file: Option<Arc<str>>,
    /// The line of the call, from 1.
    pub line: Option<u32>,
}

/// An instruction whose line was found in the text of a file, because no debug info has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextRow {
    /// The first byte.
    pub start: CodeLoc,
    /// Offset of the byte after the last.
    pub end: u64,
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl TextRow {
    fn contains(&self, at: CodeLoc) -> bool {
        self.start.section == at.section && (self.start.offset..self.end).contains(&at.offset)
    }
}

/// Where a function or variable is declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declaration {
    /// The file, as the debug info names it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// It is a function that never returns, for the compiler.
    pub noreturn: bool,
    /// It is a function.
    pub function: bool,
}

/// Bytes of a section that belong to one line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CodeRange {
    /// The first byte.
    pub start: CodeLoc,
    /// Offset of the byte behind the last.
    pub end: u64,
}

/// The lines of an object.
pub struct SourceMap {
    sections: DebugSections,
    units: Units,
    file_symbols: FileSymbols,
    /// By line table.
    names: Vec<OnceLock<FileNames>>,
    /// By line table.
    rows: Vec<OnceLock<LineRows>>,
    /// By unit.
    inlines: Vec<OnceLock<Inlines>>,
    /// By unit.
    functions: Vec<OnceLock<Vec<Function>>>,
    /// By unit, of the first few.
    declared: Vec<OnceLock<declarations::ByName>>,
    /// Lines that were found in the texts, by their start.
    by_text: Vec<TextRow>,
    /// By address: the first of the units without claims that has a line there.
    vague: OnceLock<Cover>,
    budget: Budget,
}

/// Declarations are looked for in no more units: an object of one source file has few.
const MOST_UNITS: usize = 16;

/// The files of a line table, by their numbers.
type FileNames = Vec<Option<Arc<str>>>;

fn unread<T>(count: usize) -> Vec<OnceLock<T>> {
    std::iter::repeat_with(OnceLock::new).take(count).collect()
}

impl SourceMap {
    /// Reads the debug sections of `image` and finds its units.
    pub fn load(store: &dyn Store, image: &ElfImage) -> Result<SourceMap, NoSource> {
        let has = |name| image.sections().any(|(_, s)| s.name == name && s.size > 0);
        if !has(".debug_info") || !has(".debug_line") {
            return Err(NoSource::NoDebugInfo);
        }
        let sections = DebugSections::load(store, image)?;
        let budget = Budget::of(store.size());
        let units = Units::read(&sections.dwarf(), &budget)?;
        let (n_tables, n_units) = (units.tables.len(), units.units.len());
        Ok(SourceMap {
            sections,
            units,
            file_symbols: FileSymbols::read(image),
            names: unread(n_tables),
            rows: unread(n_tables),
            inlines: unread(n_units),
            functions: unread(n_units),
            declared: unread(n_units.min(MOST_UNITS)),
            by_text: Vec::new(),
            vague: OnceLock::new(),
            budget,
        })
    }

    /// The map of an object without debug info, whose lines are those that were found in texts.
    fn of_text(image: &ElfImage, rows: Vec<TextRow>) -> SourceMap {
        SourceMap {
            sections: DebugSections::none(),
            units: Units::default(),
            file_symbols: FileSymbols::read(image),
            names: Vec::new(),
            rows: Vec::new(),
            inlines: Vec::new(),
            functions: Vec::new(),
            declared: Vec::new(),
            by_text: rows,
            vague: OnceLock::new(),
            budget: Budget::of(0),
        }
    }

    /// Whether some lines are not known because finding them would have taken more than the object's size justifies.
    pub fn is_cut(&self) -> bool {
        self.budget.is_spent()
    }

    /// Where the byte at `at` comes from.
    pub fn place(&self, at: CodeLoc) -> Option<Place> {
        if let Some(row) = self.text_row(at) {
            return Some(Place {
                file: Arc::clone(&row.file),
                line: Some(row.line),
                column: None,
                inlined: Vec::new(),
            });
        }
        let address = self.sections.address(at);
        let place = address.and_then(|address| {
            let vague = std::iter::once_with(|| self.vague(address)).flatten();
            self.units.of(address).chain(vague).find_map(|unit| {
                let table = self.units.units.get(unit)?.table?;
                let row = self.rows(table)?.at(address)?;
                Some(Place {
                    file: self.file(table, row.file.into())?,
                    line: (row.line != 0).then_some(row.line),
                    column: (row.column != 0).then_some(row.column),
                    inlined: self.inlines(unit)?.at(address).into_iter().map(|call| self.frame(table, call)).collect(),
                })
            })
        });
        let by_symbol =
            || Some(Place { file: self.file_symbols.at(at)?, line: None, column: None, inlined: Vec::new() });
        place.or_else(by_symbol)
    }

    fn text_row(&self, at: CodeLoc) -> Option<&TextRow> {
        let behind = self.by_text.partition_point(|row| row.start <= at);
        self.by_text.get(behind.checked_sub(1)?).filter(|row| row.contains(at))
    }

    /// The main source file of the unit that the code at `at` belongs to, as the debug info names it.
    pub fn main_file(&self, at: CodeLoc) -> Option<String> {
        let unit = self.units.of(self.sections.address(at)?).next()?;
        self.with_unit(unit, |unit| {
            let text = |text: Option<Slice<'_>>| {
                let text = text.filter(|text| text.len() <= LONGEST_NAME)?;
                Some(clean::names(text.to_string_lossy().into_owned()))
            };
            let (name, folder) = (text(unit.name)?, text(unit.comp_dir));
            Some(rows::join_path(folder.as_deref(), None, &name))
        })?
    }

    /// Whether a row begins with the code at `at`.
    pub fn has_row(&self, at: CodeLoc) -> bool {
        self.row_start(at) == Some(at)
    }

    /// Where the row starts that holds at `at`: code after that start has no row of its own.
    pub fn row_start(&self, at: CodeLoc) -> Option<CodeLoc> {
        if self.text_row(at).is_some() {
            return Some(at);
        }
        let address = self.sections.address(at)?;
        let vague = std::iter::once_with(|| self.vague(address)).flatten();
        let start = self.units.of(address).chain(vague).find_map(|unit| {
            let table = self.units.units.get(unit)?.table?;
            Some(self.rows(table)?.at(address)?.address)
        });
        self.sections.loc(start?).filter(|start| start.section == at.section)
    }

    /// The functions that were inlined at `at`, innermost first.
    pub fn inlined(&self, at: CodeLoc) -> Vec<InlineFrame> {
        let frames = || {
            let address = self.sections.address(at)?;
            let of_unit = |unit: usize| {
                let table = self.units.units.get(unit)?.table?;
                let calls = self.inlines(unit)?.at(address);
                Some(calls.into_iter().map(|call| self.frame(table, call)).collect::<Vec<_>>())
            };
            let vague = std::iter::once_with(|| self.vague(address)).flatten();
            self.units.of(address).chain(vague).find_map(of_unit)
        };
        frames().unwrap_or_default()
    }

    /// Of the units that do not say what they claim the first one with a line at the address.
    fn vague(&self, address: u64) -> Option<usize> {
        let cover = self.vague.get_or_init(|| {
            let mut spans: Vec<Span> = Vec::new();
            let mut tables = FxHashSet::default();
            for (value, &unit) in self.units.vague.iter().enumerate() {
                let table = self.units.units.get(unit).and_then(|unit| unit.table);
                let Some(table) = table.filter(|&table| tables.insert(table)) else { continue };
                for (row, end) in self.rows(table).into_iter().flat_map(LineRows::iter) {
                    match spans.last_mut() {
                        Some(last) if (last.value, last.end) == (value, row.address) => last.end = end,
                        _ if self.budget.room(2 * size_of::<Span>()).is_err() => return Cover::default(),
                        _ => spans.push(Span { begin: row.address, end, value }),
                    }
                }
            }
            Cover::new(spans)
        });
        self.units.vague.get(cover.at(address)?).copied()
    }

    /// The code of a line, ascending. `file` is spelled as in [`SourceMap::files`].
    pub fn locations(&self, file: &str, line: u32) -> Vec<CodeRange> {
        let of_table = |(table, numbers): (usize, Vec<u64>)| {
            let rows = self.rows(table).into_iter().flat_map(LineRows::iter);
            rows.filter(move |(row, _)| row.line == line && numbers.binary_search(&u64::from(row.file)).is_ok())
                .map(|(row, end)| (row.address, end))
        };
        let mut found = self.ranges(self.mentions(file).flat_map(of_table));
        let by_text = self.by_text.iter().filter(|row| *row.file == *file && row.line == line);
        found.extend(by_text.map(|row| CodeRange { start: row.start, end: row.end }));
        found.sort_unstable();
        found
    }

    /// The code of functions that were inlined at a line, ascending. `file` is spelled as in [`SourceMap::files`].
    pub fn inlined_at(&self, file: &str, line: u32) -> Vec<CodeRange> {
        let mentions: FxHashMap<usize, Vec<u64>> = self.mentions(file).collect();
        let of_unit = |(unit, table): (usize, Option<usize>)| {
            let numbers = mentions.get(&table?)?;
            let calls = self.inlines(unit)?.iter();
            let here = calls.filter(move |(call, ..)| {
                call.line == Some(line) && call.file.is_some_and(|file| numbers.binary_search(&file).is_ok())
            });
            Some(here.map(|(_, start, end)| (start, end)))
        };
        let units = self.units.units.iter().map(|unit| unit.table).enumerate();
        self.ranges(units.filter_map(of_unit).flatten())
    }

    /// Where functions and variables of a name are declared, and what of them is known. The first call reads all entries of
    /// the object: for one of a few units only.
    pub fn declarations(&self, name: &str) -> Vec<Declaration> {
        let mut found = Vec::new();
        for (index, unit) in self.units.units.iter().enumerate().take(MOST_UNITS) {
            let Some(table) = unit.table else { continue };
            for declared in self.declared(index).and_then(|all| all.get(name)).into_iter().flatten() {
                let file = declared.file.and_then(|number| self.file(table, number));
                if let (Some(file), Some(line)) = (file, declared.line) {
                    found.push(Declaration { file, line, noreturn: declared.noreturn, function: declared.function });
                }
            }
        }
        found
    }

    /// The files that line tables mention, each once, sorted. A header without code is among them too.
    pub fn files(&self) -> Vec<Arc<str>> {
        let tables = (0..self.names.len()).filter_map(|table| self.file_names(table));
        let mut files: Vec<Arc<str>> = tables.flatten().flatten().cloned().collect();
        files.extend(self.by_text.iter().map(|row| Arc::clone(&row.file)));
        files.sort_unstable();
        files.dedup();
        files
    }

    fn ranges(&self, addresses: impl Iterator<Item = (u64, u64)>) -> Vec<CodeRange> {
        let range = |(start, end)| {
            let loc = self.sections.loc(start)?;
            Some(CodeRange { start: loc, end: loc.offset.saturating_add(end - start) })
        };
        let mut ranges: Vec<CodeRange> = addresses.filter_map(range).collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    /// The line tables that know `file`, each with the numbers by which it does, ascending.
    fn mentions<'a>(&'a self, file: &'a str) -> impl Iterator<Item = (usize, Vec<u64>)> {
        (0..self.names.len()).filter_map(move |table| {
            let names = self.file_names(table)?.iter().zip(0..);
            let numbers: Vec<u64> = names.filter(|(name, _)| name.as_deref() == Some(file)).map(|(_, n)| n).collect();
            (!numbers.is_empty()).then_some((table, numbers))
        })
    }

    fn frame(&self, table: usize, call: &Call) -> InlineFrame {
        let file = call.file.and_then(|number| self.file(table, number));
        InlineFrame { function: call.function.clone(), file, line: call.line }
    }

    fn file(&self, table: usize, number: u64) -> Option<Arc<str>> {
        self.file_names(table)?.get(usize::try_from(number).ok()?)?.clone()
    }

    fn file_names(&self, table: usize) -> Option<&FileNames> {
        let read = |unit: gimli::UnitRef<'_, Slice<'_>>| {
            let header = unit.line_program.as_ref().map(gimli::IncompleteLineProgram::header);
            header.map(|header| rows::file_names(unit, header, &self.budget)).unwrap_or_default()
        };
        Some(self.names.get(table)?.get_or_init(|| self.with_table(table, read).unwrap_or_default()))
    }

    fn rows(&self, table: usize) -> Option<&LineRows> {
        let read = |unit: gimli::UnitRef<'_, Slice<'_>>| {
            let program = unit.line_program.clone();
            program.map(|program| LineRows::read(program, &self.budget)).unwrap_or_default()
        };
        Some(self.rows.get(table)?.get_or_init(|| self.with_table(table, read).unwrap_or_default()))
    }

    fn inlines(&self, unit: usize) -> Option<&Inlines> {
        let read = |unit: gimli::UnitRef<'_, Slice<'_>>| Inlines::read(&self.units, unit, &self.budget);
        Some(self.inlines.get(unit)?.get_or_init(|| self.with_unit(unit, read).unwrap_or_default()))
    }

    fn declared(&self, unit: usize) -> Option<&declarations::ByName> {
        let read = |unit: gimli::UnitRef<'_, Slice<'_>>| declarations::read(unit, &self.budget);
        Some(self.declared.get(unit)?.get_or_init(|| self.with_unit(unit, read).unwrap_or_default()))
    }

    fn with_table<T>(&self, table: usize, read: impl FnOnce(gimli::UnitRef<'_, Slice<'_>>) -> T) -> Option<T> {
        self.with_unit(self.units.tables.get(table)?.unit, read)
    }

    fn with_unit<T>(&self, unit: usize, read: impl FnOnce(gimli::UnitRef<'_, Slice<'_>>) -> T) -> Option<T> {
        let dwarf = self.sections.dwarf();
        let header = dwarf.unit_header(self.units.units.get(unit)?.offset).ok()?;
        let unit = self.units.open(&dwarf, header, &self.budget).ok()?;
        Some(read(unit.unit_ref(&dwarf)))
    }
}

/// What knows places of code that has no debug information of its own, such as an object that was linked without.
pub trait Places: Send + Sync {
    /// Where the byte at `at` comes from.
    fn place(&self, at: CodeLoc) -> Option<Place>;
}

/// What gives the text of a file that debug information names, as it was compiled.
pub type TextOf = dyn Fn(&str) -> Option<Arc<str>> + Send + Sync;

/// The lines of an object, read when the first is asked for.
pub struct Lines {
    source: Source,
    /// Says what no debug information does.
    texts: Option<Arc<TextOf>>,
    map: OnceLock<Result<SourceMap, NoSource>>,
    kept: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// Where lines are looked up.
enum Source {
    /// In the object's own debug information.
    Own(Arc<dyn Store>),
    /// Elsewhere.
    Elsewhere(Arc<dyn Places>),
    /// Nowhere.
    Unwanted,
}

impl Lines {
    fn of(source: Source) -> Lines {
        Lines { source, texts: None, map: OnceLock::new(), kept: Mutex::default() }
    }

    /// What was made of the lines and of the analysis that they belong to, kept as long as they are; one of each type.
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        // Nothing under the lock may panic half way.
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().iter().find_map(|one| Arc::clone(one).downcast::<T>().ok());
        found.unwrap_or_else(|| {
            let made = Arc::new(make());
            lock().push(Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
            made
        })
    }

    /// Lines of the object in `store`.
    pub fn new(store: Arc<dyn Store>) -> Lines {
        Lines::of(Source::Own(store))
    }

    /// Lines that something else knows.
    pub fn elsewhere(places: Arc<dyn Places>) -> Lines {
        Lines::of(Source::Elsewhere(places))
    }

    /// No lines at all, for who wants none.
    pub fn none() -> Lines {
        Lines::of(Source::Unwanted)
    }

    /// The same lines, and others that were found in the texts of `image`'s sources.
    pub fn with_text_rows(mut self, image: &ElfImage, mut rows: Vec<TextRow>) -> Lines {
        if rows.is_empty() {
            return self;
        }
        rows.sort_by_key(|row| row.start);
        let map = match (self.map(image).is_ok(), self.map.take()) {
            (true, Some(Ok(map))) => SourceMap { by_text: rows, ..map },
            _ => SourceMap::of_text(image, rows),
        };
        Lines { map: OnceLock::from(Ok(map)), ..self }
    }

    /// The same lines, with the texts of the files that they are of.
    pub fn with_texts(self, text_of: Box<TextOf>) -> Lines {
        Lines { texts: Some(text_of.into()), ..self }
    }

    /// The text of a file, as it was compiled.
    pub fn text(&self, file: &str) -> Option<Arc<str>> {
        self.texts.as_ref()?(file)
    }

    /// What gives the texts.
    pub fn texts(&self) -> Option<&Arc<TextOf>> {
        self.texts.as_ref()
    }

    /// The source map of `image`, which is the image of this store.
    pub fn map(&self, image: &ElfImage) -> Result<&SourceMap, &NoSource> {
        let load = || match &self.source {
            Source::Own(store) => SourceMap::load(store.as_ref(), image),
            Source::Elsewhere(_) | Source::Unwanted => Err(NoSource::NotWanted),
        };
        self.map.get_or_init(load).as_ref()
    }

    /// Where the byte at `at` of `image` comes from.
    pub fn place(&self, image: &ElfImage, at: CodeLoc) -> Option<Place> {
        match &self.source {
            Source::Elsewhere(places) => places.place(at),
            Source::Own(_) | Source::Unwanted => self.map(image).ok()?.place(at),
        }
    }
}
