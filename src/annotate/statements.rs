//! The statements of an assembly file, with their places in the text.
//!
//! In: a text for the GNU assembler, before or after the C preprocessor.  Out: [`Statement`]s.
//! Holds afterwards: statements ascend and do not overlap; nothing of a comment, of a preprocessor line or of a macro's
//! definition is a statement of its own.
//! Reads like: binutils' `gas/doc/as.texi`, "Syntax" and "Statements".

use std::ops::Range;

/// What a statement is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// A name and a colon.
    Label,
    /// A directive that puts nothing where it is, or the definition of a macro.
    Directive,
    /// A directive that may.
    Data,
    /// An instruction, or the use of a macro.
    Code,
    /// What is repeated, from `.rept` to `.endr`.
    Repeated,
}

/// A statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Statement {
    /// Its bytes in the text, without space around it.
    pub bytes: Range<usize>,
    /// The line that it starts on, from 0.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
    /// Whether nothing but labels comes before it on its line.
    pub is_first: bool,
    /// Whether nothing comes behind it on its line.
    pub is_last: bool,
}

/// Directives that may put bytes where they are.
const DATA: [&str; 27] = [
    ".byte", ".value", ".word", ".short", ".hword", ".2byte", ".long", ".int", ".4byte", ".quad", ".8byte", ".octa",
    ".p2align", ".align", ".balign", ".nops", ".nop", ".skip", ".space", ".zero", ".fill", ".org", ".incbin", ".insn",
    ".include", ".uleb128", ".sleb128",
];

/// The first word of a statement.
pub(super) fn word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| c.is_whitespace() || c == '(' || c == ',').unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// What a label is called.
pub(super) fn label_of<'a>(text: &'a str, statement: &Statement) -> Option<&'a str> {
    let text = text.get(statement.bytes.clone())?;
    (statement.kind == Kind::Label).then(|| text.trim_end_matches(':').trim_end())
}

fn kind_of(text: &str) -> Kind {
    let word = word(text);
    if text.ends_with(':') {
        return Kind::Label;
    }
    if DATA.iter().any(|data| word.eq_ignore_ascii_case(data))
        || word.starts_with(".p2align")
        || word.starts_with(".balign")
    {
        return Kind::Data;
    }
    let is_assignment = text.get(word.len()..).is_some_and(|rest| {
        let rest = rest.trim_start();
        rest.starts_with('=') && !rest.starts_with("==")
    });
    if word.starts_with('.') || is_assignment { Kind::Directive } else { Kind::Code }
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: usize,
    /// The C preprocessor comes first.
    preprocessed: bool,
    found: Vec<Statement>,
    /// Where the statement at hand starts, its line, and where its last visible byte ends.
    open: Option<(usize, usize, usize)>,
    depth: usize,
}

/// The statements of a text.
pub(super) fn statements(text: &str, preprocessed: bool) -> Vec<Statement> {
    let mut scan =
        Scan { text, bytes: text.as_bytes(), at: 0, line: 0, preprocessed, found: Vec::new(), open: None, depth: 0 };
    scan.run();
    joined(text, mark_lines(text, scan.found))
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            match byte {
                b'\n' => {
                    if self.depth == 0 || !self.preprocessed {
                        self.close();
                    }
                    self.at += 1;
                    self.line += 1;
                }
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                b'/' if self.peek(1) == b'/' => self.skip_line(false),
                b'/' if self.is_line_start() => self.skip_line(false),
                b'#' if self.is_line_start() => self.skip_line(self.preprocessed),
                b'#' => self.skip_line(false),
                b';' => {
                    self.close();
                    self.at += 1;
                }
                b'"' => self.string(),
                b'\'' => {
                    let length = if self.peek(1) == b'\\' { 3 } else { 2 };
                    // A character's own quote may be closed or not.
                    (0..length).for_each(|_| self.take());
                }
                b':' => {
                    self.take();
                    self.close_label();
                }
                b'(' => {
                    self.depth += 1;
                    self.take();
                }
                b')' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.take();
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => self.take(),
            }
        }
        self.close();
    }

    /// Takes a byte into the statement at hand.
    fn take(&mut self) {
        if self.at >= self.bytes.len() {
            return;
        }
        if self.peek(0) == b'\n' {
            self.line += 1;
        }
        let (start, line, _) = self.open.unwrap_or((self.at, self.line, self.at));
        self.at += 1;
        self.open = Some((start, line, self.at));
    }

    fn close(&mut self) {
        self.depth = 0;
        let Some((start, line, end)) = self.open.take() else { return };
        let Some(text) = self.text.get(start..end) else { return };
        self.found.push(Statement { bytes: start..end, line, kind: kind_of(text), is_first: true, is_last: true });
    }

    /// Ends the statement at hand if it is a name and a colon.
    fn close_label(&mut self) {
        let Some((start, _, end)) = self.open else { return };
        let name = self.text.get(start..end).unwrap_or("").trim_end_matches(':').trim_end();
        let is_name = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@' | '\\'))
            || name.starts_with('"') && name.ends_with('"');
        // `movq %fs:0, %rax` is none.
        if is_name && self.depth == 0 {
            self.close();
        }
    }

    fn is_line_start(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or("");
        before.rsplit('\n').next().is_some_and(|line| line.trim().is_empty())
    }

    fn block_comment(&mut self) {
        let rest = self.text.get(self.at + 2..).unwrap_or("");
        let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
        self.line += rest.get(..length).unwrap_or("").matches('\n').count();
        self.at = (self.at + 2 + length).min(self.bytes.len());
    }

    /// To the end of the line, or of those that a backslash continues it on.
    fn skip_line(&mut self, continued: bool) {
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\n' => return,
                b'\\' if continued && self.peek(1) == b'\n' => {
                    self.at += 2;
                    self.line += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    fn string(&mut self) {
        self.take();
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\\' => {
                    self.take();
                    self.take();
                }
                b'"' => return self.take(),
                b'\n' => return,
                _ => self.take(),
            }
        }
    }
}

/// Says of each statement what else is on its line.
fn mark_lines(text: &str, mut found: Vec<Statement>) -> Vec<Statement> {
    for at in 0..found.len() {
        let (before, rest) = found.split_at_mut(at);
        let [here, after @ ..] = rest else { break };
        let on_line = before.iter().rev().take_while(|other| other.line == here.line);
        here.is_first = on_line.into_iter().all(|other| other.kind == Kind::Label);
        let between = after.first().and_then(|next| text.get(here.bytes.end..next.bytes.start));
        here.is_last = between.is_none_or(|between| between.contains('\n'));
    }
    found
}

/// Macros' definitions, and what is repeated, as one statement each.
fn joined(text: &str, found: Vec<Statement>) -> Vec<Statement> {
    let mut out: Vec<Statement> = Vec::with_capacity(found.len());
    let mut open: Option<(Statement, usize)> = None;
    for statement in found {
        let word = word(text.get(statement.bytes.clone()).unwrap_or("")).to_ascii_lowercase();
        let opens = match word.as_str() {
            ".macro" => Some(Kind::Directive),
            ".rept" | ".irp" | ".irpc" | ".rep" => Some(Kind::Repeated),
            _ => None,
        };
        let closes = matches!(word.as_str(), ".endm" | ".endmacro" | ".endr");
        match &mut open {
            Some((outer, depth)) => {
                *depth += usize::from(opens.is_some());
                *depth -= usize::from(closes);
                outer.bytes.end = statement.bytes.end;
                outer.is_last = statement.is_last;
                if *depth == 0 {
                    out.extend(open.take().map(|(outer, _)| outer));
                }
            }
            None => match opens {
                Some(kind) => open = Some((Statement { kind, ..statement }, 1)),
                None => out.push(statement),
            },
        }
    }
    out.extend(open.map(|(outer, _)| outer));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &[(&str, Kind)]) {
        let found = statements(text, true);
        let found: Vec<_> = found.iter().map(|found| (&text[found.bytes.clone()], found.kind)).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn statements_are_cut_at_ends_of_lines_semicolons_and_labels() {
        check(
            "f: push %rbx; pop %rbx # a; b\n\tmov %fs:0, %rax /* x\n; */\n1:\n",
            &[
                ("f:", Kind::Label),
                ("push %rbx", Kind::Code),
                ("pop %rbx", Kind::Code),
                ("mov %fs:0, %rax", Kind::Code),
                ("1:", Kind::Label),
            ],
        );
        check(
            "\t.string \"a;\\\"b\"\n\t.byte ';, 1; nop",
            &[("\t.string \"a;\\\"b\"".trim(), Kind::Directive), (".byte ';, 1", Kind::Data), ("nop", Kind::Code)],
        );
    }

    #[test]
    fn definitions_and_lines_of_the_preprocessor_are_no_statements() {
        check(
            "#define P(x) push x; \\\n nop\n.macro M\n\tpush %rbx\n.endm\nP(a,\n b)\nx = 1\n",
            &[(".macro M\n\tpush %rbx\n.endm", Kind::Directive), ("P(a,\n b)", Kind::Code), ("x = 1", Kind::Directive)],
        );
    }

    #[test]
    fn what_is_repeated_is_one_statement() {
        check(".rept 3\nnop\n.endr\nret\n", &[(".rept 3\nnop\n.endr", Kind::Repeated), ("ret", Kind::Code)]);
    }
}
