//! Statements inside macros, and the directives that belong there.
//!
//! In: the text of an assembly file.  Out: [`Bodies`]: the statements of macros' bodies, and marks that tell what each use of
//! them became; [`Needs`]: what uses need.
//! Holds afterwards: a directive is put into a body only if every use of it, wherever that is, needs the same one.
//! Reads like: binutils' `gas/doc/as.texi`, "Macro" (`\@` counts the macros that were executed); GCC's `cpp` manual,
//! `__COUNTER__`.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::statements::{Kind, Statement, statements, word};
use super::{Candidate, Change, Insertion, Plan, Question, Refusal, Source, Spot, changes, machine_code};
use crate::ids::SectionId;
use crate::image::ElfImage;
use crate::unwind::{self, Derived};

/// What labels inside macros start with.
const MARK: &str = "__orcls_in_";
/// A label in a macro of the preprocessor.
const PASTE: &str = "#define __ORCLS_IN3(a, b) __orcls_in_##a##_##b\n#define __ORCLS_IN2(a, b) __ORCLS_IN3(a, b)\n\
                     #define __ORCLS_IN(a) __ORCLS_IN2(a, __COUNTER__)\n";

/// A statement of a macro's body.
pub(super) struct Inner {
    pub statement: Statement,
    /// The macro, by position in [`Bodies::names`].
    pub of: usize,
    is_define: bool,
}

/// The bodies of a text's macros.
#[derive(Default)]
pub(super) struct Bodies {
    pub names: Vec<String>,
    /// The arguments of those of the preprocessor.
    arguments: Vec<Vec<String>>,
    pub inner: Vec<Inner>,
    /// What each use became: section, offset, position in `inner`; ascending.
    pub places: Vec<(SectionId, u64, usize)>,
}

/// What a use of a statement inside a macro needs behind it, in the ways in which that can be said; the best comes first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Need {
    /// Its position in [`Bodies::inner`].
    pub inner: usize,
    pub ways: Vec<Vec<String>>,
}

/// What goes behind which statement inside a macro.
type Agreed = Vec<(usize, Vec<String>)>;
/// The macros whose uses do not agree, with the reason.
type Disagreed = FxHashMap<usize, String>;

impl Bodies {
    /// The bodies of a text, without places.
    pub(super) fn of(text: &str, all: &[Statement], preprocessed: bool) -> Bodies {
        let mut bodies = Bodies::default();
        for statement in all.iter().filter(|statement| statement.kind == Kind::Directive) {
            let Some(whole) = text.get(statement.bytes.clone()) else { continue };
            if !word(whole).eq_ignore_ascii_case(".macro") {
                continue;
            }
            let (Some(head), Some(tail)) = (whole.find('\n'), whole.rfind('\n')) else { continue };
            let name = whole.get(".macro".len()..head).unwrap_or("").trim_start();
            let name = name.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or("").to_owned();
            let line = statement.line + 1;
            bodies.names.push(name);
            bodies.arguments.push(Vec::new());
            bodies.take(text, (statement.bytes.start + head + 1, statement.bytes.start + tail), line, false);
        }
        if preprocessed {
            bodies.defines(text);
        }
        bodies
    }

    /// Bodies that the preprocessor puts in.
    fn defines(&mut self, text: &str) {
        let (mut at, mut line) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let mut end = 0;
            let mut lines = 0;
            for piece in rest.split_inclusive('\n') {
                end += piece.len();
                lines += 1;
                if !piece.trim_end_matches(['\n', '\r']).ends_with('\\') {
                    break;
                }
            }
            let whole = rest.get(..end).unwrap_or("");
            let define =
                whole.trim_start().strip_prefix('#').map(str::trim_start).and_then(|s| s.strip_prefix("define"));
            if let Some(define) = define.map(str::trim_start) {
                let name_end = define.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(define.len());
                let (name, body) = define.split_at(name_end);
                let length = if body.starts_with('(') { body.find(')').map_or(body.len(), |end| end + 1) } else { 0 };
                let arguments = body.get(1..length.saturating_sub(1)).unwrap_or("").split(',');
                self.arguments.push(arguments.map(|argument| argument.trim().to_owned()).collect());
                self.names.push(name.to_owned());
                let start = at + (whole.len() - define.len()) + name_end + length;
                self.take(text, (start, at + whole.trim_end().len()), line, true);
            }
            at += end;
            line += lines;
        }
    }

    fn take(&mut self, text: &str, (start, end): (usize, usize), line: usize, is_define: bool) {
        let Some(body) = text.get(start..end.max(start)) else { return };
        // Lines that are continued are one.
        let joined = if is_define { body.replace("\\\n", "  ").replace("\\\r", "  ") } else { body.to_owned() };
        let of = self.names.len().saturating_sub(1);
        let found = statements(&joined, false).into_iter().filter(|statement| statement.kind == Kind::Code);
        self.inner.extend(found.map(|statement| Inner {
            statement: Statement {
                bytes: statement.bytes.start + start..statement.bytes.end + start,
                line: line + body.get(..statement.bytes.start).unwrap_or("").matches('\n').count(),
                is_first: statement.is_first && !is_define,
                is_last: statement.is_last && !is_define,
                ..statement
            },
            of,
            is_define,
        }));
    }

    /// The statement's text.
    pub(super) fn text<'a>(&self, text: &'a str, inner: usize) -> &'a str {
        self.inner.get(inner).and_then(|inner| text.get(inner.statement.bytes.clone())).unwrap_or("")
    }

    /// The macro of a statement.
    pub(super) fn name(&self, inner: usize) -> &str {
        self.inner.get(inner).and_then(|inner| self.names.get(inner.of)).map_or("", String::as_str)
    }

    /// What a statement pushes or pops, if that is an argument of its macro.
    pub(super) fn argument<'a>(&self, text: &'a str, number: usize) -> Option<&'a str> {
        let inner = self.inner.get(number)?;
        let mut words = self.text(text, number).split_whitespace();
        let (operation, operand) = (words.next()?, words.next()?);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        let is_argument = match operand.strip_prefix('\\') {
            Some(name) => !inner.is_define && is_name(name),
            None => is_name(operand) && self.arguments.get(inner.of)?.iter().any(|one| one == operand),
        };
        let moves = operation.starts_with("push") || operation.starts_with("pop");
        (moves && is_argument && words.next().is_none()).then_some(operand)
    }

    /// The text with a label before each statement inside a macro that is no use of a macro itself.
    pub(super) fn marked(&self, text: &str) -> String {
        let names: FxHashSet<&str> = self.names.iter().map(String::as_str).collect();
        let mut marks: Vec<(usize, String)> = Vec::new();
        for (number, inner) in self.inner.iter().enumerate() {
            let at = inner.statement.bytes.start;
            if names.contains(word(self.text(text, number))) {
                continue;
            }
            let mark =
                if inner.is_define { format!("__ORCLS_IN({number}): ") } else { format!("{MARK}{number}_\\@: ") };
            marks.push((at, mark));
        }
        marks.sort_by_key(|&(at, _)| at);
        let mut out = if self.inner.iter().any(|inner| inner.is_define) { PASTE.to_owned() } else { String::new() };
        let mut from = 0;
        for (at, mark) in marks {
            out.push_str(text.get(from..at).unwrap_or(""));
            out.push_str(&mark);
            from = at;
        }
        out.push_str(text.get(from..).unwrap_or(""));
        out
    }

    /// Finds in a marked text's object what the uses became.
    pub(super) fn find_places(&mut self, image: &ElfImage) {
        let found = image.symbols().filter_map(|(id, symbol)| {
            let (number, _) = image.symbol_name(id).strip_prefix(MARK)?.split_once('_')?;
            Some((symbol.section, symbol.value, number.parse::<usize>().ok()?))
        });
        self.places = found.collect();
        self.places.sort_unstable();
    }

    /// The statement inside a macro that an instruction came from; `used_at` is where the statement begins that uses the
    /// macro.
    pub(super) fn at(&self, section: SectionId, offset: u64, used_at: u64) -> Option<usize> {
        let upto = self.places.partition_point(|&(s, o, _)| (s, o) <= (section, offset));
        let &(found, start, inner) = self.places.get(upto.checked_sub(1)?)?;
        (found == section && start >= used_at).then_some(inner)
    }

    /// What goes behind each statement, if every use of it is among `needs` and they agree; else the macros whose uses do not,
    /// with the reason.
    pub(super) fn agreed(&self, needs: &[&Need]) -> Result<Agreed, Disagreed> {
        let mut by_inner: FxHashMap<usize, Vec<&Need>> = FxHashMap::default();
        needs.iter().for_each(|need| by_inner.entry(need.inner).or_default().push(need));
        let (mut found, mut wrong) = (Vec::new(), FxHashMap::default());
        for (&inner, needs) in &by_inner {
            let is_told = |need: &&&Need| need.ways.iter().any(|way| !way.is_empty());
            if needs.iter().all(|need| !is_told(&need)) {
                continue;
            }
            let uses = self.places.iter().filter(|&&(_, _, place)| place == inner).count();
            let Some(of) = self.inner.get(inner).map(|inner| inner.of) else { continue };
            let ways = needs.iter().map(|need| need.ways.len()).min().unwrap_or(0);
            let way = |number: usize| needs.first().and_then(|need| need.ways.get(number));
            let agrees = |number: &usize| needs.iter().all(|need| need.ways.get(*number) == way(*number));
            match (0..ways).find(agrees).and_then(way) {
                _ if needs.len() != uses => {
                    let why = "it is also used where no directives can be written or where there are some already";
                    wrong.insert(of, why.to_owned());
                }
                Some(directives) => found.push((inner, directives.clone())),
                None => {
                    wrong.insert(of, "what they have to say is not the same wherever it is used".to_owned());
                }
            }
        }
        found.sort();
        if wrong.is_empty() { Ok(found) } else { Err(wrong) }
    }
}

impl Source<'_> {
    /// Looks into macros that change the frame before their end.
    pub(super) fn open_macros(&mut self, question: &Question<'_>, derived: &[Derived]) {
        let inside = |(candidate, derived): (&Candidate, &Derived)| {
            let Some(told) = unwind::rows(derived).filter(|_| derived.refusal.is_none()) else { return Vec::new() };
            let changes = changes(derived, &told).into_iter();
            let lies_inside = |change: &Change| {
                let offset = derived.facts.get(change.at).map_or(0, |facts| facts.offset);
                let here = self.statement_at(candidate.range.section, offset);
                here.is_some_and(|here| {
                    self.places.binary_search(&(candidate.range.section, u64::from(offset), here)).is_err()
                })
            };
            let before = changes.filter(lies_inside).filter_map(|change| change.at.checked_sub(1));
            before.map(|at| (candidate.range.section, derived.facts.get(at).map_or(0, |facts| facts.offset))).collect()
        };
        let inside: Vec<(SectionId, u32)> = self.functions.iter().zip(derived).flat_map(inside).collect();
        if inside.is_empty() {
            return;
        }
        let mut bodies = Bodies::of(self.text, &self.statements, question.preprocessed);
        let Ok(object) = (question.assemble)(&bodies.marked(self.text)) else { return };
        let Ok(image) = ElfImage::read(&object) else { return };
        if machine_code(&image) != machine_code(&self.image) {
            return;
        }
        bodies.find_places(&image);
        self.bodies = bodies;
        let of = |&(section, offset): &(SectionId, u32)| self.inner_at(section, offset).map(|inner| inner.1);
        self.opened = inside.iter().filter_map(of).collect();
    }

    /// The statement inside a macro that an instruction came from, and the macro.
    pub(super) fn inner_at(&self, section: SectionId, offset: u32) -> Option<(usize, usize)> {
        let upto = self.places.partition_point(|&(s, o, _)| (s, o) <= (section, u64::from(offset)));
        let &(_, used_at, _) = self.places.get(upto.checked_sub(1)?).filter(|place| place.0 == section)?;
        let inner = self.bodies.at(section, u64::from(offset), used_at)?;
        Some((inner, self.bodies.inner.get(inner)?.of))
    }

    /// The directives that go into macros. Functions that use a macro whose uses do not agree are refused.
    pub(super) fn inside_macros(
        &self,
        derived: &[Derived],
        plans: &mut BTreeMap<usize, Plan>,
        refused: &mut BTreeMap<usize, Refusal>,
    ) -> Vec<Insertion> {
        loop {
            let needs: Vec<&Need> = plans.values().flat_map(|plan| &plan.inside).collect();
            let wrong = match self.bodies.agreed(&needs) {
                Ok(found) => {
                    let insertion = |(inner, directives)| Insertion { spot: Spot::Inside(inner), directives };
                    return found.into_iter().map(insertion).collect();
                }
                Err(wrong) => wrong,
            };
            let of = |need: &Need| self.bodies.inner.get(need.inner).map(|inner| inner.of);
            let users = plans.iter().filter_map(|(&at, plan)| {
                let mut macros = plan.inside.iter().filter_map(|need| Some((need.inner, wrong.get(&of(need)?)?)));
                macros.next().map(|(inner, why)| {
                    (
                        at,
                        format!(
                            "{} changes the frame before its end: its directives belong into it, but {why}",
                            self.bodies.name(inner)
                        ),
                    )
                })
            });
            let users: Vec<(usize, String)> = users.collect();
            if users.is_empty() {
                return Vec::new();
            }
            for (at, why) in users {
                plans.remove(&at);
                if let Some(candidate) = self.functions.get(at) {
                    let line = candidate.function.line;
                    refused.insert(at, Refusal { function: candidate.function.clone(), line, why });
                }
            }
            self.refuse_what_they_enter(derived, plans, refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_marked_where_they_begin() {
        let text = ".macro A r\n\tpush \\r\n\tB\n.endm\n#define C(x) push x; \\\n\tpop x\n\tA %rbx\n";
        let bodies = Bodies::of(text, &statements(text, true), true);
        assert_eq!(bodies.names, ["A", "C"]);
        let found: Vec<_> = (0..bodies.inner.len()).map(|at| (bodies.text(text, at), bodies.name(at))).collect();
        assert_eq!(found, [("push \\r", "A"), ("B", "A"), ("push x", "C"), ("pop x", "C")]);
        let lines: Vec<_> = bodies.inner.iter().map(|inner| inner.statement.line).collect();
        assert_eq!(lines, [1, 2, 4, 5]);
        let marked = bodies.marked(text);
        assert!(marked.contains("\t__orcls_in_0_\\@: push \\r\n"), "{marked}");
        assert!(marked.contains("__ORCLS_IN(2): push x; \\\n\t__ORCLS_IN(3): pop x\n"), "{marked}");
    }
}
