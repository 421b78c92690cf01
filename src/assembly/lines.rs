//! The lines of a text of assembly: which are code, which belong to the preprocessor, and what of them is no comment.
//!
//! In: a text.  Out: [`Source`].
//! Holds afterwards: the code has as many bytes as the text, so that a column of one is a column of the other.

use std::ops::Range;

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineKind {
    /// Statements.
    Code,
    /// The continuation of a statement: the line before ends with a backslash.
    Joined,
    /// A line of the preprocessor.
    Directive,
    /// Its continuation.
    DirectiveMore,
}

impl LineKind {
    /// Whether it is the preprocessor's.
    pub fn is_directive(self) -> bool {
        matches!(self, LineKind::Directive | LineKind::DirectiveMore)
    }
}

/// A text without its comments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source {
    code: String,
    lines: Vec<(Range<usize>, LineKind)>,
    comments: Vec<Range<usize>>,
}

/// A label, or a statement of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// Its text; a label ends with its colon.
    pub text: &'a str,
    /// Where in the line it begins.
    pub column: usize,
    /// Whether it is a label.
    pub is_label: bool,
}

/// The words that make a line that begins with `#` one of the preprocessor.
const DIRECTIVES: [&str; 16] = [
    "if",
    "ifdef",
    "ifndef",
    "elif",
    "elifdef",
    "elifndef",
    "else",
    "endif",
    "include",
    "include_next",
    "define",
    "undef",
    "error",
    "warning",
    "pragma",
    "line",
];

impl Source {
    /// Reads a text. Lines end as they do for an editor: with `\n`, `\r\n` or `\r`.
    pub fn read(text: &str) -> Source {
        let mut source = Source { code: String::with_capacity(text.len()), ..Source::default() };
        let mut code = text.as_bytes().to_vec();
        let mut in_comment: Option<usize> = None;
        let mut continues = None;
        for (number, line) in line_ranges(text).enumerate() {
            let is_directive = in_comment.is_none() && is_directive(&text[line.clone()]);
            let kind = match continues {
                Some(true) => LineKind::DirectiveMore,
                Some(false) => LineKind::Joined,
                None if is_directive => LineKind::Directive,
                None => LineKind::Code,
            };
            if let Some(comment) = blank_comments(&mut code[line.clone()], &mut in_comment, number, kind) {
                source.comments.push(comment);
            }
            let goes_on = text[line.clone()].trim_end().ends_with('\\');
            if goes_on && in_comment.is_none() {
                let trimmed = text[line.clone()].trim_end().len();
                if let Some(last) = code[line.clone()].get_mut(..trimmed).and_then(<[u8]>::last_mut) {
                    *last = b' ';
                }
            }
            continues = goes_on.then_some(kind.is_directive());
            source.lines.push((line, kind));
        }
        if let Some(first) = in_comment.filter(|first| first + 1 < source.lines.len()) {
            source.comments.push(first..source.lines.len());
        }
        // Whole characters were blanked, byte by byte.
        source.code = String::from_utf8(code).unwrap_or_default();
        source
    }

    /// How many lines there are.
    pub fn n_lines(&self) -> usize {
        self.lines.len()
    }

    /// The code of a line, from 0: blanks stand for comments and for the backslash that continues it.
    pub fn line(&self, line: usize) -> &str {
        self.lines.get(line).and_then(|(range, _)| self.code.get(range.clone())).unwrap_or_default()
    }

    /// Whether a text occurs outside of comments.
    pub fn contains(&self, text: &str) -> bool {
        self.code.contains(text)
    }

    /// The lines in which a text occurs outside of comments, in order.
    pub fn lines_with(&self, text: &str) -> Vec<usize> {
        let line_of = |(at, _): (usize, &str)| self.lines.partition_point(|(range, _)| range.end < at);
        let mut lines: Vec<usize> = self.code.match_indices(text).map(line_of).collect();
        lines.dedup();
        lines
    }

    /// What a line is.
    pub fn kind(&self, line: usize) -> LineKind {
        self.lines.get(line).map_or(LineKind::Code, |(_, kind)| *kind)
    }

    /// The comments of several lines, by their lines.
    pub fn comments(&self) -> &[Range<usize>] {
        &self.comments
    }

    /// The last line of the statement or directive that begins at `line`.
    pub fn last_of(&self, line: usize) -> usize {
        let more = self.lines.iter().skip(line + 1);
        line + more.take_while(|(_, kind)| matches!(kind, LineKind::Joined | LineKind::DirectiveMore)).count()
    }

    /// The first line of the statement or directive that `line` is part of.
    pub fn first_of(&self, line: usize) -> usize {
        let before = self.lines.get(..=line).unwrap_or(&self.lines);
        let more = before.iter().rev();
        line - more.take_while(|(_, kind)| matches!(kind, LineKind::Joined | LineKind::DirectiveMore)).count().min(line)
    }

    /// The statement or directive that begins at `line`, its lines put together.
    pub fn joined(&self, line: usize) -> String {
        let lines: Vec<&str> = (line..=self.last_of(line)).map(|line| self.line(line)).collect();
        lines.join(" ")
    }

    /// The labels and statements of a line of code. Those of its continuations are pieces of their own.
    pub fn pieces(&self, line: usize) -> Vec<Piece<'_>> {
        if self.kind(line).is_directive() { Vec::new() } else { pieces(self.line(line)) }
    }

    /// The word that a directive of the preprocessor begins with, and what follows it, its lines put together.
    pub fn directive(&self, line: usize) -> Option<(String, String)> {
        if self.kind(line) != LineKind::Directive {
            return None;
        }
        let joined = self.joined(line);
        let rest = joined.trim_start().strip_prefix('#')?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(rest.len());
        Some((rest[..end].to_owned(), rest[end..].trim().to_owned()))
    }
}

/// The lines of a text, without their ends.
fn line_ranges(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let start = at?;
        let end = bytes[start..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|n| start + n);
        at = end.map(|end| if bytes[end] == b'\r' && bytes.get(end + 1) == Some(&b'\n') { end + 2 } else { end + 1 });
        Some(start..end.unwrap_or(bytes.len()))
    })
}

fn is_directive(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix('#') else { return false };
    let word = rest.trim_start().split(|c: char| !c.is_ascii_alphabetic() && c != '_').next().unwrap_or_default();
    DIRECTIVES.contains(&word)
}

/// Puts blanks in the place of comments; returns the lines of one of several lines that ends here.
fn blank_comments(
    line: &mut [u8],
    in_comment: &mut Option<usize>,
    number: usize,
    kind: LineKind,
) -> Option<Range<usize>> {
    let mut ended = None;
    let mut quoted = false;
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        let next = line.get(at + 1).copied();
        if let Some(first) = *in_comment {
            let ends = byte == b'*' && next == Some(b'/');
            blank(line, at..at + if ends { 2 } else { 1 });
            at += if ends { 2 } else { 1 };
            if ends {
                *in_comment = None;
                if first < number {
                    ended = Some(first..number + 1);
                }
            }
            continue;
        }
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            // A character: `$'#'`, or `$'#` alone, as the assembler has it.
            b'\'' if !quoted && !kind.is_directive() && next.is_some_and(|next| next.is_ascii_graphic()) => at += 1,
            b'/' if !quoted && next == Some(b'*') => {
                *in_comment = Some(number);
                blank(line, at..at + 2);
                at += 1;
            }
            b'/' if !quoted && next == Some(b'/') => return blank_rest(line, at, ended),
            b'#' if !quoted && !kind.is_directive() => return blank_rest(line, at, ended),
            _ => {}
        }
        at += 1;
    }
    ended
}

fn blank(line: &mut [u8], range: Range<usize>) {
    let end = range.end.min(line.len());
    if let Some(bytes) = line.get_mut(range.start..end) {
        bytes.fill(b' ');
    }
}

fn blank_rest(line: &mut [u8], at: usize, ended: Option<Range<usize>>) -> Option<Range<usize>> {
    let end = line.len();
    blank(line, at..end);
    ended
}

/// The labels and statements of a line without comments, be it of a file or of a string of C.
pub fn pieces(code: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    for part in split_outside_quotes(code) {
        let mut rest = part.trim_start();
        while let Some(label) = leading_label(rest) {
            found.push(Piece { text: label, column: column(code, label), is_label: true });
            rest = rest[label.len()..].trim_start();
        }
        let rest = rest.trim_end();
        if !rest.is_empty() {
            found.push(Piece { text: rest, column: column(code, rest), is_label: false });
        }
    }
    found
}

/// Where in `code` the slice `part` of it begins.
fn column(code: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(code.as_ptr() as usize)
}

fn split_outside_quotes(code: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(&code[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&code[from..]);
    parts
}

/// The label that a statement begins with, with its colon.
fn leading_label(part: &str) -> Option<&str> {
    // `%fs:(%rax)` is a segment. `\()` separates a parameter of a macro from what follows it.
    if part.starts_with('%') {
        return None;
    }
    let mut end = 0;
    while let Some(c) = part[end..].chars().next() {
        if part[end..].starts_with("\\()") {
            end += 3;
        } else if c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '@' | '\\' | '%') {
            end += c.len_utf8();
        } else {
            break;
        }
    }
    (end > 0 && part[end..].starts_with(':')).then(|| &part[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(LineKind, &str)]) {
        let source = Source::read(text);
        let found: Vec<(LineKind, &str)> =
            (0..source.n_lines()).map(|line| (source.kind(line), source.line(line).trim())).collect();
        assert_eq!(found, expected);
        let n_bytes: usize = (0..source.n_lines()).map(|line| source.line(line).len()).sum();
        assert_eq!(n_bytes, text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).count());
    }

    #[test]
    fn comments_become_blanks() {
        use LineKind::{Code, Directive};
        check(
            "/* é\n * two */ nop # three\n# four\n#ifdef X // five\n\tmov $'#', %al\n\t.ascii \"/* # */\"",
            &[
                (Code, ""),
                (Code, "nop"),
                (Code, ""),
                (Directive, "#ifdef X"),
                (Code, "mov $'#', %al"),
                (Code, ".ascii \"/* # */\""),
            ],
        );
        assert_eq!(Source::read("/* a\nb */\n").comments(), vec![0..2]);
    }

    #[test]
    fn continued_lines_are_told_from_others() {
        use LineKind::{Code, Directive, DirectiveMore, Joined};
        check(
            "#define F(x) \\\r\n\tpush x; \\\n\tpop x\n\tALTERNATIVE \"\", \\\n\t\t\"nop\", 1\n",
            &[
                (Directive, "#define F(x)"),
                (DirectiveMore, "push x;"),
                (DirectiveMore, "pop x"),
                (Code, "ALTERNATIVE \"\","),
                (Joined, "\"nop\", 1"),
                (Code, ""),
            ],
        );
        let source = Source::read("a \\\nb \\\nc\nd");
        assert_eq!((source.last_of(0), source.first_of(2), source.first_of(3)), (2, 0, 3));
        assert_eq!(source.joined(0), "a   b   c");
    }

    #[test]
    fn labels_and_statements_have_columns() {
        let found: Vec<(&str, usize, bool)> = pieces("1: .Lx_\\@:  push %rax; mov %fs:(%rdi), \\r\\()l ; \"a;b\"")
            .into_iter()
            .map(|piece| (piece.text, piece.column, piece.is_label))
            .collect();
        assert_eq!(
            found,
            [
                ("1:", 0, true),
                (".Lx_\\@:", 3, true),
                ("push %rax", 12, false),
                ("mov %fs:(%rdi), \\r\\()l", 23, false),
                ("\"a;b\"", 48, false)
            ]
        );
    }
}
