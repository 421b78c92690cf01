//! Joins the verdict on an object with that on the `vmlinux.o` that it is a part of.
//!
//! In: a [`Verdict`] on the object, what [`Whole`] found.  Out: the verdict on both.
//! Holds afterwards: objtool's text stands only beside what it prints in the build, of the object or of `vmlinux.o`; the
//! object's own findings keep their words, paths and causes.
//!
//! Where the build has objtool look at the object alone, too (no IBT, no LTO: `vmlinux.o` is then looked at for little more
//! than noinstr code), all that was found of the object alone is shown as it is, and `vmlinux.o` adds case 2. Where it
//! leaves the object to `vmlinux.o`:
//!
//! | case | of the object alone | of `vmlinux.o` | shown |
//! |---|---|---|---|
//! | 1 | found | printed | the object's words, `vmlinux.o`'s text |
//! | 2 | not found | printed | `vmlinux.o`'s words and text |
//! | 3 | found, though objtool prints nothing | not printed | as of the object alone |
//! | 4 | found by a search that objtool makes only where nothing else was found | not printed, other findings are | without objtool's text |
//! | 5 | printed | not printed | not at all: the build would not say it |

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::build::{Build, Finder};
use crate::findings::Code;
use crate::report::ReportedFinding;
use crate::whole::{AtOnce, Elsewhere, Judged, Unavailable, Whole};

use super::names::Names;
use super::verdict::{ByIndex, Scope, Verdict};

/// Whether the build also checks the `vmlinux.o` that the object becomes a part of.
pub fn scope(build: &Build, finder: &Finder, whole: &Whole) -> Scope {
    let is_part = || build.flags.options.as_ref().is_some_and(|options| options.part);
    match whole.is_part(&build.directory, &build.object, finder) {
        Ok(()) => Scope::Pending,
        // Nothing names the objects that it is linked with.
        Err(why @ Unavailable::NoProgram(_)) if is_part() => Scope::Unlinked(why.to_string()),
        // A module of one object, a host program, or a tree in which each object is checked by itself.
        Err(Unavailable::NoProgram(_) | Unavailable::NotMember(_)) => Scope::Alone,
        Err(why) => Scope::Unlinked(why.to_string()),
    }
}

/// The verdict on the object, with what the index of the other objects tells at once.
pub fn at_once(mut verdict: Verdict, found: AtOnce, names: &Names) -> Verdict {
    let alone = verdict.report.findings.clone();
    with(&mut verdict, found.judged.clone(), names);
    drop_gaps(&mut verdict);
    let notes = notes(&found, &linked_name(&verdict));
    verdict.notes.extend(notes.iter().cloned());
    verdict.by_index = Some(Arc::new(ByIndex { found, alone, notes }));
    verdict
}

/// The verdict on the object and on the program.
pub fn joined(verdict: Verdict, judged: Result<Judged, Unavailable>, names: &Names) -> Verdict {
    let judged = match judged {
        Ok(judged) => judged,
        Err(why) => {
            // What the index has told stays, and that it is not confirmed.
            let mut verdict = Verdict { scope: Scope::Unlinked(why.to_string()), ..verdict };
            let what = if verdict.by_index.is_some() { "not linked into" } else { "not judged as part of" };
            verdict.notes.push(format!("{what} {}: {why}", linked_name(&verdict)));
            return verdict;
        }
    };
    let mut verdict = verdict;
    if let Some(by_index) = verdict.by_index.take() {
        verdict.report.findings = by_index.alone.clone();
        verdict.notes.retain(|note| !by_index.notes.contains(note));
        let differences = differences(&by_index.found.judged, &judged);
        for difference in &differences {
            tracing::warn!("{}: {difference}", verdict.source.display());
        }
        verdict.differences = Some(differences.len());
    }
    drop_gaps(&mut verdict);
    with(&mut verdict, judged, names);
    verdict.scope = Scope::Whole;
    verdict
}

/// The linked object that the verdict's becomes a part of.
pub fn linked_name(verdict: &Verdict) -> String {
    let whole = verdict.build.as_ref().and_then(|build| build.flags.source.whole());
    let name = whole.and_then(Path::file_name).and_then(|name| name.to_str());
    name.unwrap_or("vmlinux.o").to_owned()
}

/// So many functions are named in a note.
const MOST_NAMES: usize = 5;

/// What is said of a verdict of the index.
fn notes(found: &AtOnce, linked: &str) -> Vec<String> {
    let AtOnce { n_objects, n_left, unknown, .. } = found;
    let mut notes = vec![format!(
        "judged as part of {linked} by what is known of its {n_objects} objects; a link of them has not confirmed it yet"
    )];
    if *n_left > 0 {
        notes.push(format!("{n_left} more objects that the text concerns were not looked into"));
    }
    if !unknown.is_empty() {
        let names = unknown.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = unknown.len().saturating_sub(MOST_NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!("not judged: calls of {names}{more}, which no object that was built defines"));
    }
    notes
}

/// What the object alone could not decide is decided.
fn drop_gaps(verdict: &mut Verdict) {
    if let Some(build) = &verdict.build {
        let gaps: Vec<String> = build.flags.undecided.iter().map(ToString::to_string).collect();
        verdict.notes.retain(|note| !gaps.contains(note));
    }
}

/// Puts what was found of the program into a verdict on the object.
fn with(verdict: &mut Verdict, judged: Judged, names: &Names) {
    let is_clean = judged.own.is_empty() && judged.elsewhere.is_empty();
    let flags = verdict.build.as_ref().and_then(|build| build.flags.options.as_ref());
    let by_itself = flags.is_some_and(|options| !options.part);
    verdict.report.findings = merged(std::mem::take(&mut verdict.report.findings), judged.own, is_clean, by_itself);
    let findings = verdict.report.findings.iter().chain(judged.elsewhere.iter().map(|elsewhere| &elsewhere.finding));
    let files = names.of_findings(findings, verdict.directory());
    verdict.texts = names.texts(files.values());
    verdict.files = files;
    verdict.elsewhere = judged.elsewhere;
}

/// What the index and the link did not agree on, in words.
fn differences(index: &Judged, link: &Judged) -> Vec<String> {
    let own = |finding: &ReportedFinding| {
        let section = finding.section.as_deref().unwrap_or_default();
        format!("{} at {section}+{:#x}", finding.code, finding.offset.unwrap_or(0))
    };
    let other = |other: &Elsewhere| match &other.cause {
        Some((symbol, line)) => {
            format!("{} because of {symbol}(), line {}", other.finding.code, line.line.unwrap_or(0))
        }
        None => format!("{} in {}: {}", other.finding.code, other.object, own(&other.finding)),
    };
    let all = |judged: &Judged| -> BTreeSet<String> {
        judged.own.iter().map(own).chain(judged.elsewhere.iter().map(other)).collect()
    };
    let (by_index, by_link) = (all(index), all(link));
    let only_index = by_index.difference(&by_link).map(|told| format!("only the index says {told}"));
    only_index.chain(by_link.difference(&by_index).map(|told| format!("only the link says {told}"))).collect()
}

/// Where a finding is, whichever link it comes from.
type Key = (Code, Option<String>, Option<u64>);

fn key(finding: &ReportedFinding) -> Key {
    (finding.code, finding.section.clone(), finding.offset)
}

/// `is_clean`: nothing is printed of `vmlinux.o`. `by_itself`: the object is checked alone, too.
fn merged(
    alone: Vec<ReportedFinding>,
    whole: Vec<ReportedFinding>,
    is_clean: bool,
    by_itself: bool,
) -> Vec<ReportedFinding> {
    let mut by_key: FxHashMap<Key, ReportedFinding> = FxHashMap::default();
    for finding in alone {
        by_key.entry(key(&finding)).or_insert(finding);
    }
    let mut merged = Vec::new();
    for finding in whole {
        merged.push(match by_key.entry(key(&finding)) {
            Entry::Occupied(same) if by_itself && same.get().objtool.is_some() => same.remove(),
            // Case 1.
            Entry::Occupied(same) => {
                ReportedFinding { objtool: finding.objtool, objtool_level: finding.objtool_level, ..same.remove() }
            }
            // Case 2.
            Entry::Vacant(_) => finding,
        });
    }
    let searched_last = |code: Code| matches!(code, Code::UnreachableInstruction | Code::MissingNoreturn);
    let mut rest: Vec<ReportedFinding> = by_key
        .into_values()
        // Cases 3 and 4; all others are case 5.
        .filter(|finding| by_itself || finding.objtool.is_none() || (searched_last(finding.code) && !is_clean))
        .map(|finding| match by_itself {
            true => finding,
            false => ReportedFinding { objtool: None, objtool_level: None, ..finding },
        })
        .collect();
    rest.sort_by_key(key);
    merged.extend(rest);
    merged
}

/// Findings elsewhere that have one cause, in the order in which they came. What is shown in the edited file itself is
/// not among them.
pub fn by_cause(verdict: &Verdict) -> Vec<Cause<'_>> {
    let mut causes: Vec<Cause<'_>> = Vec::new();
    let linked = linked_name(verdict);
    for elsewhere in &verdict.elsewhere {
        let Some((symbol, line)) = &elsewhere.cause else { continue };
        let (Some(file), Some(line)) = (&line.file, line.line) else { continue };
        if elsewhere.finding.file.as_deref().is_some_and(|file| verdict.file(file) == verdict.source) {
            continue;
        }
        match causes.iter_mut().find(|cause| cause.symbol == symbol && cause.line == line) {
            Some(cause) => cause.findings.push(elsewhere),
            None => {
                let code = elsewhere.finding.code;
                let linked = linked.clone();
                causes.push(Cause { code, symbol, file, line, linked, findings: vec![elsewhere] });
            }
        }
    }
    causes
}

/// What of the edited file brings about findings in other objects.
pub struct Cause<'a> {
    /// The code of the first.
    pub code: Code,
    /// The function that they are about.
    pub symbol: &'a str,
    /// The file that it is defined in, as the report names it.
    pub file: &'a Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// What they were found in.
    linked: String,
    /// The findings.
    pub findings: Vec<&'a Elsewhere>,
}

impl Cause<'_> {
    /// The sentence for the cause.
    pub fn message(&self) -> String {
        let Some(first) = self.findings.first() else { return String::new() };
        // A finding without a place says less than one with.
        let finding = self
            .findings
            .iter()
            .find(|other| other.finding.file.is_some())
            .map_or(&first.finding, |other| &other.finding);
        let at = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => {
                let name = Path::new(&**file).file_name().and_then(|name| name.to_str()).unwrap_or(file);
                format!("{name}:{line}")
            }
            _ if first.object.is_empty() => finding.function.clone().unwrap_or_default(),
            _ => first.object.clone(),
        };
        let more = match self.findings.len() {
            0 | 1 => String::new(),
            2 => ", and in 1 other place".to_owned(),
            n => format!(", and in {} other places", n - 1),
        };
        format!("because of {}(), in {} at {at}{more}: {}", self.symbol, self.linked, finding.message)
    }
}
