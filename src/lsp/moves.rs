//! Whether two texts are the same to a compiler but for where their lines are, and where each line went.
//!
//! In: the text that was compiled, the text at hand.  Out: [`Moves`], or nothing where a compiler could tell them apart.
//! Holds afterwards: of both texts, the lines with code are the same ones in the same order, blank for blank, comments and
//! the width of blanks aside. What depends on a line's number itself (`__LINE__`) may differ.

use std::ops::Range;
use std::path::Path;

use crate::assembly::{LineKind, Source, is_assembly_name};

/// Where the lines of one text are in another that is the same but for comments, blanks and empty lines.
#[derive(Debug)]
pub struct Moves {
    /// Of each line with code where it is now, in order.
    pairs: Vec<(u32, u32)>,
    old: Code,
    new: Code,
}

impl Moves {
    /// Compares two texts of the file at `path`.
    pub fn between(path: &Path, old: &str, new: &str) -> Option<Moves> {
        let read = |text| if is_assembly_name(path) { Some(Code::of_assembly(text)) } else { Code::of_c(text) };
        let (old, new) = (read(old)?, read(new)?);
        let mut pairs = Vec::new();
        let mut lines = old.with_code();
        let mut others = new.with_code();
        loop {
            match (lines.next(), others.next()) {
                (None, None) => break,
                (Some((line, code, joined)), Some((other, same, also)))
                    if joined == also && code.split_ascii_whitespace().eq(same.split_ascii_whitespace()) =>
                {
                    // Strings are compared as they are written.
                    if code.contains(['"', '\'']) && squeezed(code) != squeezed(same) {
                        return None;
                    }
                    pairs.push((line, other));
                }
                _ => return None,
            }
        }
        drop((lines, others));
        Some(Moves { pairs, old, new })
    }

    /// Where a line of the old text is. One without code is as far from the code before it as it was.
    pub fn forward(&self, line: u32) -> u32 {
        let after = self.pairs.partition_point(|(old, _)| *old <= line);
        match after.checked_sub(1).and_then(|at| self.pairs.get(at)) {
            Some((old, new)) => new + (line - old),
            None => line,
        }
    }

    /// The old line that a line with code came from.
    pub fn backward(&self, line: u32) -> Option<u32> {
        let at = self.pairs.binary_search_by(|(_, new)| new.cmp(&line)).ok()?;
        self.pairs.get(at).map(|(old, _)| *old)
    }

    /// Where the byte of an old line is in its new one; both count from 0.
    pub fn column(&self, line: u32, column: usize) -> Option<usize> {
        let new = self.forward(line);
        let (old, new) = (self.old.line(line as usize), self.new.line(new as usize));
        let is_code = |byte: &u8| !byte.is_ascii_whitespace();
        let before = old.as_bytes().get(..column)?.iter().filter(|byte| is_code(byte)).count();
        let mut at = new.bytes().enumerate().filter(|(_, byte)| is_code(byte));
        at.nth(before).map(|(at, _)| at)
    }

    /// A sentence in which lines of the file are named by number, with the numbers that they have now: `line 12`, where the
    /// sentence is about this file, and `name.c:12`, where `name` is the file's name.
    pub fn reworded(&self, text: &str, name: &str, is_about: bool) -> String {
        let by_name = format!("{name}:");
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let marks = [(is_about, "line "), (true, by_name.as_str())];
            let next =
                marks.iter().filter(|(counts, _)| *counts).filter_map(|(_, mark)| Some((rest.find(mark)?, *mark)));
            let Some((at, mark)) = next.min() else { break };
            let is_own = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
            out.push_str(&rest[..at + mark.len()]);
            rest = &rest[at + mark.len()..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if let Ok(number) = rest[..digits].parse::<u32>()
                && is_own
                && number > 0
            {
                out.push_str(&(self.forward(number - 1) + 1).to_string());
                rest = &rest[digits..];
            }
        }
        out.push_str(rest);
        out
    }
}

/// A line with one blank for each run of blanks outside of quotes, and none at its ends.
fn squeezed(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut quote = None;
    let mut chars = line.trim().chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        if quote.is_some() || !c.is_whitespace() {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

/// A text whose comments are blanks.
#[derive(Debug)]
struct Code {
    text: String,
    /// Each line, and whether it continues the one before.
    lines: Vec<(Range<usize>, bool)>,
}

impl Code {
    fn line(&self, line: usize) -> &str {
        self.lines.get(line).and_then(|(range, _)| self.text.get(range.clone())).unwrap_or_default()
    }

    /// The lines with code: number, code, whether the line continues the one before.
    fn with_code(&self) -> impl Iterator<Item = (u32, &str, bool)> {
        let all = (0_u32..).zip(&self.lines);
        all.filter_map(|(number, (range, joined))| {
            let code = self.text.get(range.clone())?;
            (!code.trim().is_empty()).then_some((number, code, *joined))
        })
    }

    fn of_assembly(text: &str) -> Code {
        let source = Source::read(text);
        let mut code = Code { text: String::with_capacity(text.len()), lines: Vec::new() };
        for line in 0..source.n_lines() {
            let start = code.text.len();
            code.text.push_str(source.line(line));
            let joined = matches!(source.kind(line), LineKind::Joined | LineKind::DirectiveMore);
            code.lines.push((start..code.text.len(), joined));
        }
        code
    }

    /// `None` for a text with raw strings, which end by a rule of their own.
    fn of_c(text: &str) -> Option<Code> {
        if text.contains("R\"") {
            return None;
        }
        let mut bytes = text.as_bytes().to_vec();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let next = bytes.get(at + 1).copied();
            match (byte, next) {
                (b'/', Some(b'*')) => {
                    let end = find(&bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2);
                    blank(&mut bytes, at..end);
                    at = end;
                }
                (b'/', Some(b'/')) => {
                    let mut end = at;
                    // A comment that ends with a backslash goes on in the next line.
                    while let Some(&byte) = bytes.get(end) {
                        let spliced = end > 0 && bytes[..end].trim_ascii_end().last() == Some(&b'\\');
                        if byte == b'\n' && !spliced {
                            break;
                        }
                        end += 1;
                    }
                    blank(&mut bytes, at..end);
                    at = end;
                }
                (b'"' | b'\'', _) => {
                    at += 1;
                    while let Some(&inner) = bytes.get(at) {
                        at += if inner == b'\\' { 2 } else { 1 };
                        if inner == byte || inner == b'\n' {
                            break;
                        }
                    }
                }
                _ => at += 1,
            }
        }
        let text = String::from_utf8(bytes).ok()?;
        let mut lines = Vec::new();
        let (mut start, mut joined) = (0, false);
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches(['\n', '\r']);
            lines.push((start..start + body.len(), joined));
            joined = body.ends_with('\\');
            start += line.len();
        }
        // Editors count lines that end otherwise, and a compiler does not.
        (!text.replace("\r\n", "").contains('\r')).then_some(Code { text, lines })
    }
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// Puts blanks in the place of all but the ends of lines.
fn blank(bytes: &mut [u8], range: Range<usize>) {
    let inside = bytes.get_mut(range).into_iter().flatten();
    inside.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn moves(name: &str, old: &str, new: &str) -> Option<Vec<(u32, u32)>> {
        Moves::between(Path::new(name), old, new).map(|moves| moves.pairs)
    }

    #[test]
    fn comments_and_blanks_move_lines() {
        let old = "int f(void)\n{\n\treturn 1; /* one */\n}\n";
        let new = "// first\n\nint f(void) /* a\n b */\n{\n    return  1; // two\n\n}\n";
        assert_eq!(moves("a.c", old, new), Some(vec![(0, 2), (1, 4), (2, 5), (3, 7)]));
        let found = Moves::between(Path::new("a.c"), old, new).expect("the same");
        assert_eq!((found.backward(5), found.backward(6)), (Some(2), None));
        assert_eq!(found.column(2, 8), Some(12));
        assert_eq!(
            found.reworded("at line 3, b.c:3, a.c:4 and xa.c:4", "a.c", true),
            "at line 6, b.c:3, a.c:8 and xa.c:4"
        );
        assert_eq!(found.reworded("at line 3", "a.c", false), "at line 3");
    }

    #[test]
    fn other_tokens_are_another_text() {
        for (old, new) in [
            ("a b", "ab"),
            ("a+b", "a + b"),
            ("f(a, b)", "f(a,\nb)"),
            ("\"a  b\"", "\"a b\""),
            ("\"/* a */\"", "\"/* b */\""),
            ("#define X(a) a", "#define X (a) a"),
            ("#define X a \\\n b", "#define X a\n b"),
            ("x // a \\\ny", "x // a\ny"),
            ("a", "a\nb"),
            ("char *s = R\"(/* a */)\";", "char *s = R\"(/* b */)\";"),
        ] {
            assert_eq!(moves("a.c", old, new), None, "{old} | {new}");
        }
    }

    #[test]
    fn assembly_has_comments_of_its_own() {
        assert_eq!(moves("a.S", "f:\tret # a\n", "# b\nf:\tret\n"), Some(vec![(0, 1)]));
        assert_eq!(moves("a.S", "\tM 1 -2\n", "\tM 1-2\n"), None);
        assert_eq!(moves("a.S", "#ifdef X\n\tret\n#endif\n", "#ifdef Y\n\tret\n#endif\n"), None);
    }
}
