//! The names of a line: what a word under the cursor is, and where else it occurs.
//!
//! In: the code of a line.  Out: [`Name`]s with their columns.

/// A word of a line that may name something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name<'a> {
    /// The word.
    pub text: &'a str,
    /// Where in the line it begins, in bytes.
    pub column: usize,
    /// What it is by its looks.
    pub kind: NameKind,
}

/// What a word is by its looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameKind {
    /// A symbol, a macro, a mnemonic or a directive.
    Word,
    /// A parameter of a macro, `\reg`; the word has the backslash.
    Parameter,
    /// A register, `%rax`; the word is without the percent sign.
    Register,
    /// A numeric label: `1:`, `1f` or `1b`, without the colon.
    Numeric,
}

impl Name<'_> {
    /// The column after its last byte.
    pub fn end(&self) -> usize {
        self.column + self.text.len()
    }
}

fn starts(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.') || byte >= 0x80
}

fn goes_on(byte: u8) -> bool {
    starts(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// The names of a line without comments, also those within strings, which the kernel's alternatives are written in.
pub fn names(code: &str) -> Vec<Name<'_>> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let begin = at;
        if byte == b'\\' {
            at += 1 + word_length(&bytes[at + 1..]);
            // `\@` and `\()` name nothing; `\n` and `\t` are escapes of strings. What joins on is a name made of parts.
            if at == begin + 1 {
                at += 1;
                continue;
            }
            let end = name_end(bytes, at);
            let kind = if end == at { NameKind::Parameter } else { NameKind::Word };
            at = end;
            push(&mut found, code, begin, end, kind);
        } else if starts(byte) {
            at = name_end(bytes, at);
            let is_register = begin > 0 && bytes.get(begin - 1) == Some(&b'%');
            push(&mut found, code, begin, at, if is_register { NameKind::Register } else { NameKind::Word });
        } else if byte.is_ascii_digit() {
            at += bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            let digits = bytes[begin..at].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let is_reference = at - begin == digits + 1 && matches!(bytes.get(at - 1), Some(b'f' | b'b'));
            // `0b` alone would be a binary number without digits.
            let is_label = at - begin == digits && bytes.get(at) == Some(&b':');
            if is_reference || is_label {
                push(&mut found, code, begin, at, NameKind::Numeric);
            }
        } else {
            at += 1;
        }
    }
    found
}

fn push<'a>(found: &mut Vec<Name<'a>>, code: &'a str, begin: usize, end: usize, kind: NameKind) {
    if let Some(text) = code.get(begin..end).filter(|text| *text != ".") {
        found.push(Name { text, column: begin, kind });
    }
}

fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// The end of a name that has begun: parameters of macros may be parts of it.
fn name_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        if goes_on(byte) {
            at += 1;
        } else if byte == b'\\' && bytes.get(at + 1) == Some(&b'@') {
            at += 2;
        } else if byte == b'\\' && bytes.get(at + 1..at + 3) == Some(b"()") {
            at += 3;
        } else if byte == b'\\' && bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic) {
            at += 1 + word_length(&bytes[at + 1..]);
        } else {
            break;
        }
    }
    at
}

/// The name at a column, or the one that ends there.
pub fn name_at(code: &str, column: usize) -> Option<Name<'_>> {
    let all = names(code);
    let within = all.iter().find(|name| (name.column..name.end()).contains(&column));
    within.or_else(|| all.iter().find(|name| name.end() == column)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_by_their_looks() {
        use NameKind::{Numeric, Parameter, Register, Word};
        let found: Vec<(&str, NameKind)> =
            names("1:\tmovq $__USER_DS, \\reg\\()q; jmp .Lend_\\@; jz 2f; mov %cr3, \\r, 0x1f, sym@PLT")
                .into_iter()
                .map(|name| (name.text, name.kind))
                .collect();
        assert_eq!(
            found,
            [
                ("1", Numeric),
                ("movq", Word),
                ("__USER_DS", Word),
                ("\\reg\\()q", Word),
                ("jmp", Word),
                (".Lend_\\@", Word),
                ("jz", Word),
                ("2f", Numeric),
                ("mov", Word),
                ("cr3", Register),
                ("\\r", Parameter),
                ("sym", Word),
                ("PLT", Word),
            ]
        );
    }

    #[test]
    fn a_name_is_found_at_its_ends() {
        assert_eq!(name_at("call foo", 5).map(|name| name.text), Some("foo"));
        assert_eq!(name_at("call foo", 8).map(|name| name.text), Some("foo"));
        assert_eq!(name_at("call foo", 4).map(|name| name.text), Some("call"));
        assert_eq!(name_at("  ; foo", 2), None);
    }
}
