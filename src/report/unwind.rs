//! Findings about unwind tables, with their message and their lines, directives found in the text.
//!
//! In: a [`Judgement`], the lines of its object, the texts of its sources.  Out: [`ReportedFinding`]s.
//! Holds afterwards: a directive is named only where the text has one between the two instructions; else the instruction is.

use std::sync::Arc;

use serde::Serialize;

use crate::assembly::spelling::plain;
use crate::cancel::{CancelToken, Cancelled};
use crate::findings::{Code, Severity};
use crate::ids::CodeLoc;
use crate::image::{ElfImage, Store};
use crate::report::cause::Cause;
use crate::report::findings::{ReportedFinding, ReportedState};
use crate::report::path::{PathKind, PathStep};
use crate::report::view::demangled;
use crate::report::words::Cfa;
use crate::source_map::{Lines, Place};
use crate::unwind::{Class, Finding, Frame, Judgement, Names, RowWords, Side, Subject, register_name, text};

/// An instruction with its row, and what the code makes true.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The section.
    pub section: String,
    /// The offset in the section.
    pub offset: u64,
    /// The disassembly.
    pub text: String,
    /// The function, as the symbol table spells it.
    pub function: Option<String>,
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// What the table says.
    pub table: String,
    /// What the code makes true.
    pub code: String,
    /// Whether the table is wrong here.
    pub differs: bool,
    /// Whether it was judged.
    pub judged: bool,
}

/// A row in words: the CFA, and the registers that are elsewhere.
pub fn row_words(row: &RowWords) -> String {
    let saved = row.saved.iter().map(|(reg, place)| format!(" {}@{place}", register_name(*reg)));
    std::iter::once(row.cfa.clone()).chain(saved).collect()
}

/// Every instruction that has a row, with both sides in words.
pub fn compared(
    store: &dyn Store,
    image: &ElfImage,
    lines: &Lines,
    cancel: &CancelToken,
) -> Result<Vec<Compared>, Cancelled> {
    let map = lines.map(image).ok();
    let sides = crate::unwind::sides(store, image, cancel)?;
    let one = |side: &Side| {
        let place = map.and_then(|map| map.place(side.at));
        let no_path = if side.is_padding { "(padding)" } else { "(no path leads here)" };
        Compared {
            section: image.section(side.at.section).name.clone(),
            offset: side.at.offset,
            text: text(image, side.at),
            function: side.function.map(|id| image.symbol_name(id).to_owned()),
            line: place.as_ref().and_then(|place| place.line),
            file: place.map(|place| place.file),
            table: side.table.as_ref().map_or("(cannot be read)".to_owned(), row_words),
            code: side.code.as_ref().map_or(no_path.to_owned(), row_words),
            differs: side.differs(),
            judged: side.code.is_some() && side.table.is_some() && !side.is_unknown,
        }
    };
    Ok(sides.iter().map(one).collect())
}

/// The text of a file that the debug information names.
pub type TextOf<'a> = dyn Fn(&str) -> Option<Arc<str>> + 'a;

/// Words the findings of an object.
pub fn findings(image: &ElfImage, judgement: &Judgement, lines: &Lines, text_of: &TextOf<'_>) -> Vec<ReportedFinding> {
    findings_by(image, image, judgement, lines, text_of)
}

/// The same of a file whose names and lines are in another one, which has the same sections.
pub fn findings_by(
    image: &ElfImage,
    debug: &ElfImage,
    judgement: &Judgement,
    lines: &Lines,
    text_of: &TextOf<'_>,
) -> Vec<ReportedFinding> {
    let names = Names::of(debug);
    let words = Words { image, debug, names: &names, lines, text_of };
    // Who writes assembly with a frame pointer may know what a push writes over; of a compiler's variables nobody does.
    let is_known = |finding: &&Finding| {
        let framed = matches!(finding.subject, Subject::RedZone { framed: true });
        framed && !words.nearest(finding.told.culprit).as_ref().is_some_and(is_c)
    };
    let shown = judgement.findings.iter().filter(|finding| !is_known(finding));
    let mut found: Vec<ReportedFinding> = shown.map(|finding| words.finding(finding)).collect();
    found.extend(words.without_table(judgement));
    found
}

struct Words<'a> {
    image: &'a ElfImage,
    debug: &'a ElfImage,
    names: &'a Names,
    lines: &'a Lines,
    text_of: &'a TextOf<'a>,
}

fn code(class: Class) -> Code {
    match class {
        Class::StackUntold => Code::UnwindStackUntold,
        Class::RegisterWrong => Code::UnwindRegisterWrong,
        Class::BehindReturn => Code::UnwindRowsBehindReturn,
        Class::WrongNumber => Code::UnwindWrongNumber,
        Class::Misplaced => Code::UnwindRowMisplaced,
        Class::AdjustedElsewhere => Code::UnwindAdjustedElsewhere,
        Class::CfaLost => Code::UnwindCfaLost,
        Class::ExpressionLost => Code::UnwindExpressionLost,
        Class::Malformed => Code::UnwindMalformed,
        Class::NoTable => Code::UnwindTableMissing,
        Class::NotGivenBack => Code::NotGivenBack,
        Class::RedZone => Code::RedZoneOverwritten,
    }
}

/// Who suffers decides: a program that does not work and broken exceptions are errors, profiles that are off a warning.
fn severity(finding: &Finding) -> Severity {
    match finding.told.class {
        Class::NotGivenBack | Class::RedZone => Severity::Error,
        Class::NoTable => Severity::Information,
        _ if finding.over_a_call => Severity::Error,
        _ => Severity::Warning,
    }
}

impl Words<'_> {
    fn place(&self, at: CodeLoc) -> Option<Place> {
        self.lines.map(self.debug).ok()?.place(at)
    }

    /// As [`Words::place`]; an instruction without a line has that of the one before it.
    fn nearest(&self, at: CodeLoc) -> Option<Place> {
        let own = self.place(at);
        if own.as_ref().is_some_and(|place| place.line.is_some()) {
            return own;
        }
        let before = (at.offset.saturating_sub(256)..at.offset).rev().map(|offset| CodeLoc::new(at.section, offset));
        let mut found = before.filter_map(|at| self.place(at)).filter(|place| place.line.is_some());
        found.next().or(own)
    }

    fn finding(&self, finding: &Finding) -> ReportedFinding {
        let told = &finding.told;
        let mut place = self.nearest(told.culprit);
        // The closing brace of C is innocent: `std` in inline assembly is what a person wrote.
        if let Subject::DirectionFlag(setter) = finding.subject
            && place.as_ref().is_some_and(is_c)
        {
            place = self.nearest(setter);
        }
        let directive = told.directive_behind.and_then(|behind| self.directive(behind, told.culprit, finding.subject));
        let instruction = text(self.image, told.culprit);
        let in_text =
            directive.as_ref().map(|(line, _)| *line).or_else(|| self.in_statement(place.as_ref()?, &instruction));
        if let (Some(place), Some(line)) = (&mut place, in_text) {
            (place.line, place.column) = (Some(line), None);
        }
        let mut message = told.words.clone();
        if let Some((_, directive)) = &directive {
            message = message.replacen("the directive", &format!("`{directive}`"), 1);
        }
        if let Some(generator) = place.as_ref().and_then(|place| generator_of(&(self.text_of)(&place.file)?)) {
            message.push_str(&format!("; the file is generated by {generator}, where a change belongs"));
        }
        let branches = finding.way.iter().map(|branch| {
            let name = text(self.image, branch.at);
            let is_taken = if branch.taken { "is taken" } else { "is not taken" };
            let step = self.step(branch.at, self.nearest(branch.at), format!("the branch {is_taken} (`{name}`)"));
            PathStep { kind: PathKind::Branch, ..step }
        });
        let steps = told.remarks.iter().map(|remark| {
            let mut place = self.nearest(remark.at);
            let line = place.as_ref().and_then(|place| self.in_statement(place, &text(self.image, remark.at)));
            if let (Some(place), Some(line)) = (&mut place, line) {
                place.line = Some(line);
            }
            self.step(remark.at, place, remark.words.clone())
        });
        let path = branches.chain(steps).collect();
        let place = place.unwrap_or(Place { file: Arc::from(""), line: None, column: None, inlined: Vec::new() });
        ReportedFinding {
            id: None,
            code: code(told.class),
            severity: severity(finding),
            message,
            objtool: None,
            objtool_level: None,
            function: self.function(finding).map(str::to_owned),
            section: Some(self.image.section(told.culprit.section).name.clone()),
            offset: Some(finding.at.offset),
            line: place.line,
            column: place.column,
            file: Some(place.file).filter(|file| !file.is_empty()),
            instruction,
            inlined: place.inlined,
            path,
            states: self.states(finding),
            function_name: self.function(finding).map(demangled),
            never_returns: None,
            module: None,
            cause: Cause::of(code(told.class)),
        }
    }

    fn function(&self, finding: &Finding) -> Option<&str> {
        let own = finding.function.map(|id| self.image.symbol_name(id));
        own.or_else(|| self.names.at(finding.at).map(|id| self.debug.symbol_name(id)))
    }

    /// What the table says, and what the code makes true.
    fn states(&self, finding: &Finding) -> Vec<ReportedState> {
        let told = &finding.told;
        if told.derived == Frame::default() && told.claimed == Frame::default() {
            return Vec::new();
        }
        let place = self.nearest(finding.at);
        let state = |frame: &Frame, whose: &str| {
            let cfa = frame.cfa.map(|(reg, offset)| Cfa { base: register_name(reg), offset });
            let words = cfa.as_ref().map_or("not known".to_owned(), |cfa| format!("{}{:+}", cfa.base, cfa.offset));
            ReportedState {
                section: self.image.section(finding.at.section).name.clone(),
                offset: finding.at.offset,
                file: place.as_ref().map(|place| Arc::clone(&place.file)),
                line: place.as_ref().and_then(|place| place.line),
                text: format!("{whose}: CFA = {words}"),
                cfa,
                saved: frame.saved.iter().map(|&(reg, offset)| (register_name(reg), offset)).collect(),
            }
        };
        vec![state(&told.claimed, "the table"), state(&told.derived, "the code")]
    }

    fn step(&self, at: CodeLoc, place: Option<Place>, words: String) -> PathStep {
        PathStep {
            kind: PathKind::Cause,
            section: self.image.section(at.section).name.clone(),
            offset: at.offset,
            line: place.as_ref().and_then(|place| place.line),
            file: place.map(|place| place.file),
            instruction: text(self.image, at),
            text: words,
        }
    }

    /// The last directive about the subject between two instructions, which have lines of their own in one file.
    fn directive(&self, behind: CodeLoc, before: CodeLoc, subject: Subject) -> Option<(u32, String)> {
        let (first, last) = (self.place(behind)?, self.place(before)?);
        if first.file != last.file {
            return None;
        }
        let text = (self.text_of)(&last.file)?;
        let (first, last) = (first.line?, last.line?);
        // Code that is written as data, as generators do, has the line of the instruction before it.
        let last = if last > first { last } else { end_of_directives(&text, first) };
        let between = text.lines().zip(1u32..).skip(first as usize).take_while(|(_, line)| *line < last);
        let told = between.filter_map(|(text, line)| Some((line, directive_of(text)?)));
        let fits = |directive: &str| match subject {
            Subject::Register(reg) => {
                let name = register_name(reg);
                let words = directive.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let number = reg.to_string();
                directive.starts_with(".cfi_restore_state") || words.skip(2).any(|word| word == name || word == number)
            }
            _ => [".cfi_def_cfa", ".cfi_adjust_cfa", ".cfi_escape", ".cfi_restore_state"]
                .iter()
                .any(|start| directive.starts_with(start)),
        };
        told.filter(|(_, directive)| fits(directive)).last()
    }

    /// All of an `asm` statement in C has one line; the string that holds the instruction is on it or below.
    fn in_statement(&self, place: &Place, instruction: &str) -> Option<u32> {
        let line = place.line.filter(|_| is_c(place))?;
        let text = (self.text_of)(&place.file)?;
        let mnemonic = instruction.split_whitespace().next()?;
        let statement = text.lines().zip(1u32..).skip(line.saturating_sub(1) as usize).take(64);
        let mut inside = false;
        for (text, line) in statement {
            inside |= text.contains("asm");
            if !inside {
                return None;
            }
            let quoted = text.split('"').skip(1).step_by(2);
            if quoted.flat_map(str::split_whitespace).any(|word| word.starts_with(mnemonic)) {
                return Some(line);
            }
            if text.trim_end().ends_with(");") {
                return None;
            }
        }
        None
    }

    /// Functions without a table in a file that has tables for others, where the file is known.
    fn without_table(&self, judgement: &Judgement) -> Vec<ReportedFinding> {
        let bare = judgement.without_table.iter();
        let found = bare.filter_map(|bare| {
            let place = self.place(bare.at).filter(|place| place.line.is_some())?;
            let name = self.image.symbol_name(bare.function);
            let message = format!(
                "{name} has no unwind table: {} instructions without one, and `{}` moves the stack; \
                 `.cfi_startproc` and `.cfi_endproc` are missing",
                bare.instructions,
                text(self.image, bare.moves)
            );
            let moves = self.step(bare.moves, self.place(bare.moves), "the stack is moved here".to_owned());
            Some(ReportedFinding {
                id: None,
                code: Code::UnwindTableMissing,
                severity: Severity::Information,
                message,
                objtool: None,
                objtool_level: None,
                function: Some(name.to_owned()),
                section: Some(self.image.section(bare.at.section).name.clone()),
                offset: Some(bare.at.offset),
                file: Some(place.file),
                line: place.line,
                column: None,
                instruction: text(self.image, bare.at),
                inlined: Vec::new(),
                path: vec![moves],
                states: Vec::new(),
                function_name: Some(demangled(name)),
                never_returns: None,
                module: None,
                cause: Cause::of(Code::UnwindTableMissing),
            })
        });
        // Once for a file is enough.
        found.take(1).collect()
    }
}

fn is_c(place: &Place) -> bool {
    [".c", ".h", ".cc", ".cpp", ".cxx", ".hpp"].iter().any(|end| place.file.ends_with(end))
}

/// What a generated file names as its generator, in a comment near its start.
fn generator_of(text: &str) -> Option<String> {
    const MOST_LINES: usize = 40;
    let comments = text.lines().take(MOST_LINES).filter_map(|line| {
        let line = line.trim();
        let marks = ["#", "//", "/*", "*", ";", "dnl"];
        marks.iter().find_map(|mark| line.strip_prefix(mark))
    });
    comments.into_iter().find_map(|comment| {
        let at = ["generated", "Generated"].iter().find_map(|word| Some(comment.find(word)? + word.len()))?;
        let rest = comment.get(at..)?.trim_start();
        let rest = rest.strip_prefix("automatically").unwrap_or(rest).trim_start();
        let rest = ["by ", "from ", "with ", "using "].iter().find_map(|word| rest.strip_prefix(word))?;
        let clean = |word: &str| {
            let ends = ['.', ',', ';', ':', ')', '(', '"', '\'', '`', '*', '/', '#'];
            word.trim_end_matches(ends).trim_start_matches(['(', '"', '\'', '`']).to_owned()
        };
        // A file's name, if there is one; else the words up to the end of the sentence.
        let is_file = |word: &String| {
            let ending = word.rsplit_once('.').map(|(stem, ending)| (stem.len(), ending));
            ending.is_some_and(|(stem, ending)| {
                stem > 0 && (1..=5).contains(&ending.len()) && ending.bytes().all(|c| c.is_ascii_alphanumeric())
            })
        };
        let sentence = rest.split(". ").next().unwrap_or(rest);
        let named = sentence.split_whitespace().map(clean).find(is_file);
        let words = || Some(clean(sentence.trim())).filter(|words| (1..=80).contains(&words.len()));
        named.or_else(words)
    })
}

/// The line of the first statement behind a line that is neither a label nor a directive, or is data.
fn end_of_directives(text: &str, line: u32) -> u32 {
    const MOST_LINES: usize = 16;
    let is_between = |text: &str| {
        let text = text.trim();
        let data = [".byte", ".long", ".quad", ".value", ".word"].iter().any(|data| text.starts_with(data));
        text.is_empty() || text.ends_with(':') || text.starts_with(['#', '/']) || text.starts_with('.') && !data
    };
    let behind = text.lines().zip(1u32..).skip(line as usize).take(MOST_LINES);
    behind.into_iter().find(|(text, _)| !is_between(text)).map_or(line, |(_, line)| line)
}

/// The directive of a line, comments and white space aside.
fn directive_of(line: &str) -> Option<String> {
    let line = &*plain(line);
    let start = line.find(".cfi_")?;
    let rest = line.get(start..)?;
    let end =
        rest.find([';', '#', '"', '\\']).or_else(|| rest.find("/*")).or_else(|| rest.find("//")).unwrap_or(rest.len());
    Some(rest.get(..end)?.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_what_a_comment_near_the_start_names() {
        let found = |text| generator_of(text);
        for (text, wanted) in [
            ("# Do not edit. This file is generated by aesni-x86_64.pl.\n\t.text\n", Some("aesni-x86_64.pl")),
            ("/* Generated from mul.m4 by m4 */\n", Some("mul.m4")),
            (
                "// This file is generated from a similarly-named Perl script in the tree. Do not edit.\n",
                Some("a similarly-named Perl script in the tree"),
            ),
            ("# auto-generated by `cfify`\n", Some("cfify")),
            ("# code that was generated\n", None),
            ("\t.asciz \"generated by foo.pl\"\n", None),
            ("", None),
        ] {
            assert_eq!(found(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn directives_are_cut_out_of_their_line() {
        let found = |line| directive_of(line);
        assert_eq!(found("\t.cfi_offset %rbx, -16 # saved").as_deref(), Some(".cfi_offset %rbx, -16"));
        assert_eq!(found("push %rbx; .cfi_adjust_cfa_offset 8; nop").as_deref(), Some(".cfi_adjust_cfa_offset 8"));
        assert_eq!(found("\tcfi_rel_offset (%rbx, 0)").as_deref(), Some(".cfi_rel_offset %rbx, 0"));
        assert_eq!(found("\tpushq %rbx"), None);
    }
}
