//! Writes the unwind directives of hand-written assembly: all `.cfi_*` of a function from the states that its code makes.
//!
//! In: the text of an assembly file, and a way to assemble a text.  Out: [`Annotated`]: the text with directives, and the
//! functions that got none, with the reason.
//! Holds afterwards: nothing but directives was added; the code is the same byte for byte; each function that was written
//! has a table that is true at every instruction that a path leads to.
//!
//! ```text
//!  statements   what of the text may become code; each gets a label of its own in a copy, which is assembled
//!  unwind       what is true before each instruction (derive), and which of it is said (rows)
//!  directives   what leads from one row to the next
//!  macros       what belongs into a macro that changes the frame more than once
//!  assembled again: what can not be shown to be true is taken back
//! ```

mod directives;
mod macros;
mod statements;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::assembly::spelling::{Spelling, plain};
use crate::cancel::{CancelToken, Cancelled};
use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, STB_LOCAL};
use crate::unwind::{self, Derived, Range, RowTold as Told};
use directives::Style;
use macros::{Bodies, Need};
use statements::{Kind, Statement, label_of, statements, word};

/// What labels of statements start with.
const MARK: &str = "__orcls_at_";
/// How often functions are taken back before all are.
const MOST_ROUNDS: usize = 8;

/// A function that was written or refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its label, from 0, if the text has it.
    pub line: Option<usize>,
}

/// Why a function got no directives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which one.
    pub function: Function,
    /// The line that decides it, from 0.
    pub line: Option<usize>,
    /// The reason.
    pub why: String,
}

/// Text that is put in at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The offset in the text.
    pub at: usize,
    /// What is put there.
    pub text: String,
    /// The function that it is for, by position in [`Annotated::written`]; `None`: it is in a macro that several may use.
    pub function: Option<usize>,
}

/// What came of a text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Annotated {
    /// The text with its directives.
    pub text: String,
    /// What was put in, ascending.
    pub edits: Vec<Edit>,
    /// The functions that have directives now.
    pub written: Vec<Function>,
    /// Those that have none, and why.
    pub refused: Vec<Refusal>,
}

/// Why nothing was done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody waits any more.
    #[error("cancelled")]
    Cancelled,
    /// NASM and YASM.
    #[error(
        "this is assembly for NASM or YASM, which have no directives for unwind tables: nothing can be written here. What can be \
         done: keep a frame pointer (`push rbp`, `mov rbp, rsp`), which profilers and debuggers fall back to, or write the \
         functions that have a frame for the GNU assembler"
    )]
    Nasm,
    /// The assembler does not take it.
    #[error("it does not assemble: {0}")]
    NotAssembled(String),
    /// No function is without directives, or none of this name.
    #[error("{0}")]
    Nothing(String),
}

impl From<Cancelled> for Trouble {
    fn from(_: Cancelled) -> Trouble {
        Trouble::Cancelled
    }
}

/// What to do.
pub struct Question<'a> {
    /// The text.
    pub text: &'a str,
    /// Whether the C preprocessor comes before the assembler.
    pub preprocessed: bool,
    /// Only this function.
    pub only: Option<&'a str>,
    /// Assembles a text as the build assembles the file.
    pub assemble: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
}

/// Whether a text is for NASM or YASM.
pub fn is_nasm(text: &str) -> bool {
    let lines = text.lines().map(|line| line.trim_start().to_ascii_lowercase());
    lines.take(4000).any(|line| {
        let starts =
            ["%macro", "%include", "%define", "%ifdef", "%imacro", "section .", "bits 64", "default rel", "cglobal "];
        starts.iter().any(|start| line.starts_with(start)) || line.starts_with("global ") && !line.contains('%')
    })
}

/// Writes the directives.
pub fn annotate(question: &Question<'_>, cancel: &CancelToken) -> Result<Annotated, Trouble> {
    if is_nasm(question.text) {
        return Err(Trouble::Nasm);
    }
    let mut source = Source::read(question)?;
    let mut refused: BTreeMap<usize, Refusal> = BTreeMap::new();
    let mut plans: BTreeMap<usize, Plan> = BTreeMap::new();
    let ranges: Vec<Range> = source.functions.iter().map(|function| function.range).collect();
    let derived = unwind::derive(&source.object, &source.image, &ranges, cancel)?;
    source.open_macros(question, &derived);
    for (at, (candidate, derived)) in source.functions.iter().zip(&derived).enumerate() {
        match source.plan(candidate, derived) {
            Ok(plan) => {
                plans.insert(at, plan);
            }
            Err((line, why)) => {
                refused.insert(at, Refusal { function: candidate.function.clone(), line, why });
            }
        }
    }
    for _ in 0..MOST_ROUNDS {
        cancel.check()?;
        source.refuse_what_they_enter(&derived, &mut plans, &mut refused);
        let shared = source.inside_macros(&derived, &mut plans, &mut refused);
        let insertions = || {
            let numbered = plans.values().enumerate();
            let own =
                numbered.flat_map(|(number, plan)| plan.own.iter().map(move |insertion| (Some(number), insertion)));
            own.chain(shared.iter().map(|insertion| (None, insertion)))
        };
        let mut edits = source.edits(insertions());
        let mut text = put_in(question.text, &edits);
        // A project need not have a macro for each directive.
        while source.spelling.is_some() && (question.assemble)(&text).is_err() {
            source.spelling = source.spelling.take().and_then(Spelling::narrowed);
            edits = source.edits(insertions());
            text = put_in(question.text, &edits);
        }
        let taken_back = source.taken_back(question, &text, plans.keys().copied(), cancel)?;
        if taken_back.is_empty() {
            let name = |at: &usize| source.functions.get(*at).map(|candidate| candidate.function.clone());
            let written = plans.keys().filter_map(name).collect();
            return Ok(Annotated { text, edits, written, refused: refused.into_values().collect() });
        }
        for (at, line, why) in taken_back {
            plans.remove(&at);
            if let Some(candidate) = source.functions.get(at) {
                refused.insert(at, Refusal { function: candidate.function.clone(), line, why });
            }
        }
    }
    Err(Trouble::Nothing("nothing that could be written was true".to_owned()))
}

/// A function that may be written.
struct Candidate {
    function: Function,
    range: Range,
    /// Its directives begin and end already.
    is_opened: bool,
    exceptions: Option<Exceptions>,
}

/// The table of a function's landing pads.
#[derive(Clone)]
struct Exceptions {
    /// Where it is.
    at: CodeLoc,
    /// What names it and its personality routine, if that is known.
    directives: Option<Vec<String>>,
}

/// Where directives go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Spot {
    Before(usize),
    Behind(usize),
    /// Behind a statement inside a macro.
    Inside(usize),
}

struct Insertion {
    spot: Spot,
    directives: Vec<String>,
}

/// What a function needs: of its own, and inside macros that it uses.
#[derive(Default)]
struct Plan {
    own: Vec<Insertion>,
    inside: Vec<Need>,
}

/// A text with what its statements became.
struct Source<'a> {
    text: &'a str,
    statements: Vec<Statement>,
    object: Vec<u8>,
    image: ElfImage,
    /// Section, offset, statement; ascending.
    places: Vec<(SectionId, u64, usize)>,
    functions: Vec<Candidate>,
    style: Style,
    /// Its directives are macros.
    spelling: Option<Spelling>,
    /// What is inside macros, if anything there changes a frame before the macro's end.
    bodies: Bodies,
    /// The macros into which directives go.
    opened: FxHashSet<usize>,
}

type Refused = (Option<usize>, String);

impl<'a> Source<'a> {
    fn read(question: &Question<'a>) -> Result<Source<'a>, Trouble> {
        let text = question.text;
        let statements = statements(text, question.preprocessed);
        let labels = statements.iter().enumerate().filter(|(_, statement)| statement.kind != Kind::Directive);
        let labels: Vec<Edit> = labels
            .map(|(number, statement)| Edit {
                at: statement.bytes.start,
                text: format!("{MARK}{number}: "),
                function: None,
            })
            .collect();
        // What the file as it is says wrong is said in its own words.
        let assembled = (question.assemble)(&put_in(text, &labels));
        let object = match assembled {
            Ok(object) => object,
            Err(why) => return Err(Trouble::NotAssembled((question.assemble)(text).err().unwrap_or(why))),
        };
        let image = ElfImage::read(&object).map_err(|error| Trouble::NotAssembled(error.to_string()))?;
        let marks = image.symbols().filter_map(|(id, symbol)| {
            let number = image.symbol_name(id).strip_prefix(MARK)?.parse::<usize>().ok()?;
            Some((symbol.section, symbol.value, number))
        });
        let mut places: Vec<_> = marks.collect();
        places.sort_unstable();
        let style = Style::of(&text.lines().map(plain).collect::<Vec<_>>().join("\n"));
        let spelling = Spelling::of(text);
        let mut source = Source {
            text,
            statements,
            object,
            image,
            places,
            functions: Vec::new(),
            style,
            spelling,
            bodies: Bodies::default(),
            opened: FxHashSet::default(),
        };
        source.functions = source.candidates(question.only)?;
        Ok(source)
    }

    /// The labels of the text, each with the number of its statement.
    fn labels(&self) -> FxHashMap<&str, usize> {
        let statements = self.statements.iter().enumerate();
        statements.filter_map(|(number, statement)| Some((label_of(self.text, statement)?, number))).collect()
    }

    /// Functions without directives, or with none but those that begin and end them.
    fn candidates(&self, only: Option<&str>) -> Result<Vec<Candidate>, Trouble> {
        let image = &self.image;
        let (entry_only, told) = unwind::told_of_entry_only(&self.object, image);
        let exceptions = self.exceptions();
        let labels = self.labels();
        let mut starts: Vec<(SectionId, u64, u64, bool, &str)> = Vec::new();
        for (id, symbol) in image.symbols() {
            let name = image.symbol_name(id);
            let is_code = !symbol.is_undefined() && image.section(symbol.section).is_code();
            let is_function = symbol.is_function() || symbol.kind == 10;
            let is_global = symbol.kind == 0 && symbol.binding != STB_LOCAL;
            if is_code && !name.is_empty() && !name.starts_with(MARK) && (is_function || is_global) {
                starts.push((symbol.section, symbol.value, symbol.size, is_function, name));
            }
        }
        // Of several names at a place the one with a size, then the one that comes first in the text, speaks.
        let line = |name: &str| labels.get(name).copied().unwrap_or(usize::MAX);
        starts.sort_by(|a, b| {
            (a.0, a.1, std::cmp::Reverse(a.2), line(a.4)).cmp(&(b.0, b.1, std::cmp::Reverse(b.2), line(b.4)))
        });
        let aliases: FxHashSet<&str> = only.into_iter().collect();
        let (mut found, mut seen_only, mut reached) = (Vec::new(), false, (SectionId(0), 0u64));
        for (at, &(section, start, size, _, name)) in starts.iter().enumerate() {
            seen_only |= aliases.contains(name);
            if reached.0 == section && start < reached.1 {
                continue;
            }
            let next = starts.iter().skip(at + 1).find(|other| other.0 == section && other.1 > start);
            let limit = next.map_or(image.section(section).size, |next| next.1);
            let sized = if size > 0 { start.saturating_add(size) } else { limit };
            // A `.size` with another one's name: a function that has no size of its own begins where it begins.
            let inside = starts.iter().skip(at + 1).take_while(|other| other.0 == section && other.1 < sized);
            let inside = inside.filter(|other| other.1 > start && other.2 == 0 && other.3).map(|other| other.1).next();
            let end = inside.unwrap_or(sized).min(image.section(section).size);
            reached = (section, end);
            let same_place = |other: &&(SectionId, u64, u64, bool, &str)| (other.0, other.1) == (section, start);
            if only.is_some() && !starts.iter().filter(same_place).any(|other| aliases.contains(other.4)) {
                continue;
            }
            let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else { continue };
            let is_opened = entry_only.contains(&(section, start));
            let overlaps = |range: &Range| range.section == section && range.start < end && start < range.end;
            if end <= start || !is_opened && told.iter().any(overlaps) {
                continue;
            }
            let exceptions = exceptions.get(&(section, u64::from(start))).cloned().filter(|_| !is_opened);
            let landing = exceptions.as_ref().map(|table| table.at);
            let range = match told.iter().find(|range| is_opened && overlaps(range)) {
                Some(range) => *range,
                None => Range { section, start, end, exceptions: landing },
            };
            let line = labels.get(name).and_then(|&number| self.statements.get(number)).map(|label| label.line);
            found.push(Candidate { function: Function { name: name.to_owned(), line }, range, is_opened, exceptions });
        }
        match (found.is_empty(), only) {
            (true, Some(name)) if seen_only => Err(Trouble::Nothing(format!("{name} has its directives already"))),
            (true, Some(name)) => Err(Trouble::Nothing(format!("there is no function {name}"))),
            (true, None) if starts.is_empty() => Err(Trouble::Nothing("there is no function".to_owned())),
            _ => Ok(found),
        }
    }

    /// The tables of exceptions, by the start of the function that each counts from. Compilers name them so that they can be
    /// told from all else: GCC `.LLSDA7`, Clang `GCC_except_table7`.
    fn exceptions(&self) -> FxHashMap<(SectionId, u64), Exceptions> {
        let text = |statement: &Statement| self.text.get(statement.bytes.clone()).unwrap_or("");
        let by_number: FxHashMap<usize, CodeLoc> =
            self.places.iter().map(|&(section, offset, number)| (number, CodeLoc::new(section, offset))).collect();
        let names = |name: &str| {
            let numbered =
                |start| name.strip_prefix(start).is_some_and(|rest: &str| rest.bytes().all(|c| c.is_ascii_digit()));
            numbered(".LLSDA") || numbered(".LLSDAC") || numbered("GCC_except_table")
        };
        let labels = self.labels();
        let mut routines =
            labels.keys().filter_map(|name| name.strip_prefix("DW.ref.")).filter(|name| name.contains("personality"));
        let routine = routines.next().filter(|_| routines.next().is_none());
        let mut found = FxHashMap::default();
        for (number, statement) in self.statements.iter().enumerate() {
            let Some(name) = label_of(self.text, statement).filter(|name| names(name)) else { continue };
            let body = self.statements.iter().skip(number + 1).take_while(|other| {
                label_of(self.text, other).is_none_or(|label| !names(label)) && !text(other).starts_with(".section")
            });
            // A call site counts from the start of the function.
            let start = body.map(text).find_map(|text| {
                let (_, base) = text.strip_prefix(".uleb128")?.trim().split_once('-')?;
                let label = by_number.get(labels.get(base.trim())?).copied()?;
                Some(label).filter(|at| self.image.section(at.section).is_code())
            });
            let (Some(start), Some(&at)) = (start, by_number.get(&number)) else { continue };
            let directives = routine.map(|routine| {
                vec![format!(".cfi_personality 0x9b, DW.ref.{routine}"), format!(".cfi_lsda 0x1b, {name}")]
            });
            found.insert((start.section, start.offset), Exceptions { at, directives });
        }
        found
    }

    /// The statement that an offset of the code came from.
    fn statement_at(&self, section: SectionId, offset: u32) -> Option<usize> {
        let upto = self.places.partition_point(|&(s, o, _)| (s, o) <= (section, u64::from(offset)));
        let &(found, _, number) = self.places.get(upto.checked_sub(1)?)?;
        (found == section).then_some(number)
    }

    fn line_at(&self, at: CodeLoc) -> Option<usize> {
        let number = self.statement_at(at.section, u32::try_from(at.offset).ok()?)?;
        self.statements.get(number).map(|statement| statement.line)
    }

    fn quoted(&self, number: usize) -> String {
        let statement = self.statements.get(number);
        let text = statement.and_then(|statement| self.text.get(statement.bytes.clone())).unwrap_or("");
        format!("`{}`", word(text))
    }

    /// Code that a refused function jumps to: what holds there is not all known.
    fn refuse_what_they_enter(
        &self,
        derived: &[Derived],
        plans: &mut BTreeMap<usize, Plan>,
        refused: &mut BTreeMap<usize, Refusal>,
    ) {
        let mut todo: Vec<usize> = refused.keys().copied().collect();
        while let Some(from) = todo.pop() {
            let entered = derived.get(from).map(|derived| derived.enters.as_slice()).unwrap_or_default();
            for &at in entered.iter().filter(|at| plans.remove(at).is_some()).collect::<Vec<_>>() {
                let (Some(candidate), Some(origin)) = (self.functions.get(at), self.functions.get(from)) else {
                    continue;
                };
                let why = format!("{} jumps into it, of which not everything is known", origin.function.name);
                refused
                    .insert(at, Refusal { function: candidate.function.clone(), line: candidate.function.line, why });
                todo.push(at);
            }
        }
    }

    /// The directives of a function, and where they go.
    fn plan(&self, candidate: &Candidate, derived: &Derived) -> Result<Plan, Refused> {
        if let Some((at, why)) = &derived.refusal {
            return Err((self.line_at(*at), why.clone()));
        }
        // System V psABI §3.4.1: what linkers enter a program by has no return address at its first word.
        if candidate.function.name == "_start" {
            let why = "a program is entered by it, nobody calls it: `.cfi_undefined rip` says so, and nothing is above";
            return Err((candidate.function.line, why.to_owned()));
        }
        for &offset in &derived.unreached {
            // Words that are written as numbers and that nothing leads to are data.
            let number = self.statement_at(candidate.range.section, offset);
            let statement = number.and_then(|number| self.statements.get(number));
            if statement.is_some_and(|statement| statement.kind != Kind::Data) {
                let text = statement.and_then(|statement| self.text.get(statement.bytes.clone())).unwrap_or("");
                let why = format!("no path that can be followed leads to `{text}`: what holds there is unknown");
                return Err((statement.map(|statement| statement.line), why));
            }
        }
        let cannot = || (candidate.function.line, "no row that is true could be found".to_owned());
        let told = unwind::rows(derived).ok_or_else(cannot)?;
        let mut plan = Plan::default();
        if !candidate.is_opened {
            let spot = self.opening(candidate)?;
            let mut directives = vec![".cfi_startproc".to_owned()];
            if let Some(table) = &candidate.exceptions {
                directives.extend(table.directives.clone().ok_or_else(|| {
                    let why = "it has a table of exceptions, but its personality routine is unknown".to_owned();
                    (candidate.function.line, why)
                })?);
            }
            plan.own.push(Insertion { spot, directives });
        }
        let changes = changes(derived, &told);
        let inside = |at: usize| {
            let facts = derived.facts.get(at)?;
            let (inner, of) = self.inner_at(candidate.range.section, facts.offset)?;
            self.opened.contains(&of).then_some(inner)
        };
        let behind = |change: &Change| change.at.checked_sub(1).filter(|_| change.falls_in).and_then(inside);
        let offset = |at: usize| derived.facts.get(at).map(|facts| facts.offset);
        // The use of the macro that a row is left in, if that row holds from where it begins.
        let used_by = |change: &Change| {
            let number = self.statement_at(candidate.range.section, offset(change.at.checked_sub(1)?)?)?;
            let is_here =
                |at: &usize| offset(*at).and_then(|at| self.statement_at(candidate.range.section, at)) == Some(number);
            let first = (0..change.at).rev().take_while(is_here).last()?;
            let row = change.at.checked_sub(1).and_then(|at| told.get(at));
            (first..change.at).all(|at| told.get(at) == row).then_some(number)
        };
        let remembered = remembered(&changes, &|change| behind(change).is_some() && used_by(change).is_none());
        let mut needs: BTreeMap<usize, Need> = BTreeMap::new();
        for (at, inner) in (0..derived.facts.len()).filter_map(|at| Some((at, inside(at)?))) {
            needs.insert(at, Need { inner, ways: vec![Vec::new(); directives::WAYS] });
        }
        let mut above = Told::ENTRY;
        for (number, change) in changes.iter().enumerate() {
            if let Some(need) =
                change.at.checked_sub(1).filter(|_| behind(change).is_some()).and_then(|at| needs.get_mut(&at))
            {
                // What is remembered of a row that a macro leaves is remembered before it.
                let is_left = remembered.iter().any(|&(left, _)| left == number);
                if let Some(number) = used_by(change).filter(|_| is_left) {
                    let directives = vec![".cfi_remember_state".to_owned()];
                    plan.own.push(Insertion { spot: Spot::Before(number), directives });
                }
                let argument = self.bodies.argument(self.text, need.inner);
                need.ways = directives::inside(&above, &change.told, argument, self.style);
                above = change.told;
                continue;
            }
            let spot = self.spot(candidate, derived, change)?;
            let moved = change.falls_in.then(|| derived.facts.get(change.at.checked_sub(1)?)?.moves).flatten();
            let mut directives = if remembered.iter().any(|&(_, restored)| restored == number) {
                vec![".cfi_restore_state".to_owned()]
            } else {
                directives::between(&above, &change.told, moved.and_then(i32::checked_neg), self.style)
            };
            if remembered.iter().any(|&(left, _)| left == number) {
                directives.insert(0, ".cfi_remember_state".to_owned());
            }
            plan.own.push(Insertion { spot, directives });
            above = change.told;
        }
        plan.inside = needs.into_values().collect();
        if !candidate.is_opened {
            let spot = self.closing(candidate, derived)?;
            plan.own.push(Insertion { spot, directives: vec![".cfi_endproc".to_owned()] });
        }
        Ok(plan)
    }

    /// Where directives before an instruction go: right behind the one that falls into it, else before it.
    fn spot(&self, candidate: &Candidate, derived: &Derived, change: &Change) -> Result<Spot, Refused> {
        let offset = |at: usize| derived.facts.get(at).map(|facts| facts.offset);
        let number = |at: usize| self.statement_at(candidate.range.section, offset(at)?);
        let nowhere = || (candidate.function.line, "its code comes from no statement of the text".to_owned());
        let here = number(change.at).ok_or_else(nowhere)?;
        let starts_here =
            self.places.binary_search(&(candidate.range.section, u64::from(offset(change.at).unwrap_or(0)), here));
        if starts_here.is_err() {
            let line = self.statements.get(here).map(|statement| statement.line);
            let why = format!("{} changes the frame before its end: its directives belong into it", self.quoted(here));
            return Err((line, why));
        }
        match change.at.checked_sub(1).filter(|_| change.falls_in).and_then(number) {
            Some(before) => Ok(Spot::Behind(before)),
            None if change.at == 0 => Ok(Spot::Behind(self.label(candidate).ok_or_else(nowhere)?)),
            None => Ok(Spot::Before(here)),
        }
    }

    fn label(&self, candidate: &Candidate) -> Option<usize> {
        let is_it = |statement: &Statement| label_of(self.text, statement) == Some(candidate.function.name.as_str());
        self.statements.iter().position(is_it)
    }

    fn opening(&self, candidate: &Candidate) -> Result<Spot, Refused> {
        match self.label(candidate) {
            Some(label) if self.statements.get(label).is_some_and(|label| label.is_last) => Ok(Spot::Behind(label)),
            Some(label) => Ok(Spot::Before(label)),
            None => Err((None, "its label comes from a macro: `.cfi_startproc` belongs there".to_owned())),
        }
    }

    /// Before the directive that says the function's size, or behind its last instruction.
    fn closing(&self, candidate: &Candidate, derived: &Derived) -> Result<Spot, Refused> {
        let last = derived.facts.last().and_then(|last| self.statement_at(candidate.range.section, last.offset));
        let last =
            last.ok_or_else(|| (candidate.function.line, "its last instruction is in no statement".to_owned()))?;
        let text = |statement: &Statement| self.text.get(statement.bytes.clone()).unwrap_or("");
        for (number, statement) in self.statements.iter().enumerate().skip(last + 1) {
            let operands = text(statement).strip_prefix(".size").map(str::trim_start);
            let is_own =
                operands.and_then(|rest| rest.split(',').next()).map(str::trim) == Some(&candidate.function.name);
            if is_own {
                return Ok(Spot::Before(number));
            }
            let is_label = statement.kind == Kind::Label && !text(statement).starts_with(".L");
            let leaves =
                [".section", ".text", ".data", ".pushsection", ".previous", ".popsection", ".bss", ".subsection"];
            if is_label || leaves.contains(&word(text(statement))) || statement.kind >= Kind::Code {
                break;
            }
        }
        Ok(Spot::Behind(last))
    }

    /// The insertions as edits of the text.
    fn edits<'b>(&self, insertions: impl Iterator<Item = (Option<usize>, &'b Insertion)>) -> Vec<Edit> {
        let mut edits: Vec<Edit> = Vec::new();
        let mut ordered: Vec<(Option<usize>, &Insertion)> = insertions.collect();
        // What comes behind a statement comes before what comes before the next one; else in the order of the plan.
        ordered.sort_by_key(|(_, insertion)| match insertion.spot {
            Spot::Behind(number) => (number + 1, 0),
            Spot::Before(number) => (number, 1),
            Spot::Inside(number) => (number, 2),
        });
        let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        for (function, insertion) in ordered {
            let (statement, is_behind) = match insertion.spot {
                Spot::Behind(number) => (self.statements.get(number), true),
                Spot::Before(number) => (self.statements.get(number), false),
                Spot::Inside(number) => (self.bodies.inner.get(number).map(|inner| &inner.statement), true),
            };
            let Some(statement) = statement else { continue };
            let line_start = |at: usize| self.text.get(..at).and_then(|text| text.rfind('\n')).map_or(0, |end| end + 1);
            let line_end = |at: usize| self.text.get(at..).and_then(|rest| rest.find('\n')).map(|end| at + end + 1);
            let indent: String = {
                let line = self.text.get(line_start(statement.bytes.start)..).unwrap_or("");
                let space: String = line.chars().take_while(|c| *c == ' ' || *c == '\t').collect();
                if space.is_empty() { "\t".to_owned() } else { space }
            };
            let spell = |directive: &String| match &self.spelling {
                Some(spelling) => spelling.write(directive),
                None => directive.clone(),
            };
            let directives: Vec<String> = insertion.directives.iter().map(spell).collect();
            let lines = || {
                directives.iter().fold(String::new(), |mut lines, directive| {
                    let _ = write!(lines, "{indent}{directive}{newline}");
                    lines
                })
            };
            let inline = directives.join("; ");
            let (at, text) = match (is_behind, statement) {
                (true, statement) if statement.is_last => {
                    match self.behind_comment(statement, line_end(statement.bytes.end)) {
                        Some(at) => (at, lines()),
                        None => (self.text.len(), format!("{newline}{}", lines())),
                    }
                }
                (true, statement) if statement.kind == Kind::Label => (statement.bytes.end, format!(" {inline};")),
                (true, statement) => (statement.bytes.end, format!("; {inline}")),
                (false, statement) if statement.is_first => (line_start(statement.bytes.start), lines()),
                (false, statement) => (statement.bytes.start, format!("{inline}; ")),
            };
            edits.push(Edit { at, text, function });
        }
        edits.sort_by_key(|edit| edit.at);
        edits
    }

    /// The end of a line, or of the comment that begins on it.
    fn behind_comment(&self, statement: &Statement, end: Option<usize>) -> Option<usize> {
        let end = end?;
        let line = self.text.get(statement.bytes.end..end)?;
        match line.rfind("/*").filter(|&open| !line.get(open..).is_some_and(|rest| rest.contains("*/"))) {
            Some(open) => {
                let from = statement.bytes.end + open;
                let close = from + self.text.get(from..)?.find("*/")? + 2;
                Some(close + self.text.get(close..)?.find('\n')? + 1)
            }
            None => Some(end),
        }
    }

    /// Of the functions that were written those of which it can not be shown that their table is true.
    fn taken_back(
        &self,
        question: &Question<'_>,
        text: &str,
        written: impl Iterator<Item = usize>,
        cancel: &CancelToken,
    ) -> Result<Vec<(usize, Option<usize>, String)>, Trouble> {
        let written: Vec<usize> = written.collect();
        if written.is_empty() {
            return Ok(Vec::new());
        }
        let all = |why: &str| written.iter().map(|&at| (at, None, why.to_owned())).collect();
        let object = match (question.assemble)(text) {
            Ok(object) => object,
            Err(why) => return Ok(all(&format!("with its directives the file does not assemble: {why}"))),
        };
        let Ok(image) = ElfImage::read(&object) else {
            return Ok(all("with its directives the object can not be read"));
        };
        if machine_code(&image) != machine_code(&self.image) {
            return Ok(all("with its directives the code is not the same"));
        }
        // The same code sections in the same order; their numbers may differ.
        let numbers = |image: &ElfImage| -> Vec<SectionId> {
            image.sections().filter(|(_, section)| section.is_code()).map(|(id, _)| id).collect()
        };
        let renamed: FxHashMap<SectionId, SectionId> = numbers(&self.image).into_iter().zip(numbers(&image)).collect();
        let range = |at: &usize| {
            let own = self.functions.get(*at)?.range;
            Some(Range { section: *renamed.get(&own.section)?, ..own })
        };
        let ranges: Vec<Range> = written.iter().filter_map(range).collect();
        let untrue = unwind::untrue(&object, &image, &ranges, cancel)?;
        let back: FxHashMap<SectionId, SectionId> = renamed.iter().map(|(&from, &to)| (to, from)).collect();
        let line = |at: CodeLoc| self.line_at(CodeLoc::new(*back.get(&at.section)?, at.offset));
        let found =
            written.iter().zip(untrue).filter_map(|(&number, why)| why.map(|(at, why)| (number, line(at), why)));
        Ok(found.collect())
    }
}

/// The code of all sections.
fn machine_code(image: &ElfImage) -> Vec<(&str, &[u8])> {
    let sections = image.sections().filter(|(_, section)| section.is_code());
    sections.map(|(_, section)| (section.name.as_str(), &section.code[..])).collect()
}

/// A place where another row begins.
struct Change {
    /// The instruction, by position in the facts.
    at: usize,
    falls_in: bool,
    told: Told,
}

fn changes(derived: &Derived, told: &[Told]) -> Vec<Change> {
    let mut above = Told::ENTRY;
    let mut found = Vec::new();
    for (at, (facts, &told)) in derived.facts.iter().zip(told).enumerate() {
        if told != above {
            found.push(Change { at, falls_in: facts.falls_in, told });
            above = told;
        }
    }
    found
}

/// Which rows are remembered before they are left, and where they are restored: pairs of changes, well nested, and none that
/// is `inside` a macro.
fn remembered(changes: &[Change], inside: &dyn Fn(&Change) -> bool) -> Vec<(usize, usize)> {
    let row_before =
        |at: usize| at.checked_sub(1).and_then(|at| changes.get(at)).map_or(Told::ENTRY, |change| change.told);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (number, change) in changes.iter().enumerate().filter(|(_, change)| !change.falls_in) {
        // What one directive says needs no memory.
        if change.told == (Told { cfa: Told::ENTRY.cfa, ..row_before(number) }) {
            continue;
        }
        let nests = |left: &usize| !found.iter().any(|&(a, b)| a == *left || a < *left && *left <= b);
        let is_outside = |left: usize| changes.get(left).is_some_and(|left| !inside(left));
        let mut before = (0..number).rev().filter(|&left| row_before(left) == change.told && is_outside(left));
        if let Some(left) = before.find(nests) {
            found.push((left, number));
        }
    }
    found
}

/// The text with the edits.
fn put_in(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
    let mut from = 0;
    for edit in edits {
        out.push_str(text.get(from..edit.at).unwrap_or(""));
        out.push_str(&edit.text);
        from = edit.at.max(from);
    }
    out.push_str(text.get(from..).unwrap_or(""));
    out
}
