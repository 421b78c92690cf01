//! C in pieces, as far as declarations outside of functions need it.
//!
//! In: a text.  Out: [`Token`]s; parentheses are one token, bodies are passed over.
//! Holds afterwards: comments, strings, and lines of the preprocessor are no code; every byte is looked at a bounded number
//! of times.

use rustc_hash::FxHashMap;

/// Longer texts of macros are not kept.
const MAX_MACRO: usize = 16 << 10;
/// More macros of one text are not kept.
const MAX_MACROS: usize = 1000;

/// A piece of C.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// From the first byte to behind the last.
    Word(usize, usize),
    /// Parentheses: where they open, and where they close.
    Group(usize, usize),
    /// Brackets.
    Index,
    /// A string.
    Text,
    /// A brace that opens; what is inside comes next.
    Open(usize),
    /// One that closes what was not opened.
    Close,
    /// Braces with what was between them.
    Body(usize),
    /// Another character.
    Punct(u8, usize),
    /// `#if` and the like.
    If,
    /// `#else` and `#elif`.
    Else,
    /// `#endif`
    Endif,
}

pub(super) fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Macros with parameters that a text defines.
#[derive(Clone, Debug, Default)]
pub(super) struct Macros<'a>(FxHashMap<&'a str, (&'a str, &'a str)>);

impl<'a> Macros<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The text of a macro with these arguments, if it has no more than `most` bytes.
    pub(super) fn expand(&self, name: &str, arguments: &[(&str, usize)], most: usize) -> Option<String> {
        let (parameters, body) = self.0.get(name)?;
        let parameters: Vec<&str> = parameters.split(',').map(str::trim).collect();
        let value = |word: &str| {
            let at = parameters.iter().position(|parameter| *parameter == word)?;
            arguments.get(at).map(|(text, _)| *text)
        };
        let mut text = String::new();
        let bytes = body.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if text.len() > most {
                return None;
            }
            let from = at;
            if is_of_word(byte) {
                at += bytes[at..].iter().take_while(|byte| is_of_word(**byte)).count();
                let word = &body[from..at];
                text.push_str(value(word).unwrap_or(word));
            } else if byte == b'\\' {
                at += 1;
                text.push(' ');
            } else if bytes[at..].starts_with(b"##") {
                at += 2;
                text.truncate(text.trim_end().len());
                at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b'\\').count();
            } else if byte == b'#' {
                // A string of what follows.
                at += 1;
                at += bytes[at..].iter().take_while(|byte| is_of_word(**byte)).count();
                text.push_str("\"\"");
            } else {
                at += body[at..].chars().next().map_or(1, char::len_utf8);
                text.push_str(&body[from..at]);
            }
        }
        Some(text)
    }

    fn define(&mut self, line: &'a str) {
        let line = line.trim_start();
        let end = line.bytes().take_while(|byte| is_of_word(*byte)).count();
        let (name, rest) = line.split_at(end);
        // Parameters follow at once.
        let Some((parameters, body)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) else { return };
        if body.len() <= MAX_MACRO && self.0.len() < MAX_MACROS {
            self.0.insert(name, (parameters, body));
        }
    }
}

/// What a byte is for who looks for the end of braces.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    let special = b"{}()[]\"'/#\n";
    while at < special.len() {
        table[special[at] as usize] = true;
        at += 1;
    }
    table
};

/// Goes through a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Nothing but blanks came before in the line.
    at_line_start: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0, at_line_start: true }
    }

    pub(super) fn text(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The words of a text without comments.
    pub(super) fn words(text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut macros = Macros::default();
        let mut lexer = Lexer::new(text);
        while let Some(token) = lexer.next(&mut macros) {
            if let Token::Word(from, to) = token {
                found.push((from, to));
            }
        }
        found
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn byte(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    /// The next piece outside of all braces.
    pub(super) fn next(&mut self, macros: &mut Macros<'a>) -> Option<Token> {
        loop {
            let byte = self.byte()?;
            let at = self.at;
            match byte {
                b'\n' => {
                    self.at_line_start = true;
                    self.at += 1;
                    continue;
                }
                byte if byte.is_ascii_whitespace() || byte == b'\\' => {
                    self.at += 1;
                    continue;
                }
                b'/' if self.comment() => continue,
                b'#' if self.at_line_start => match self.directive(macros) {
                    Some(token) => return Some(token),
                    None => continue,
                },
                _ => {}
            }
            self.at_line_start = false;
            self.at += 1;
            return Some(match byte {
                byte if is_of_word(byte) => {
                    self.at = at + self.bytes()[at..].iter().take_while(|byte| is_of_word(**byte)).count();
                    Token::Word(at, self.at)
                }
                b'"' | b'\'' => {
                    self.quoted(byte);
                    Token::Text
                }
                b'(' => {
                    self.skip(b'(', b')', false, macros);
                    Token::Group(at, self.at.saturating_sub(1))
                }
                b'[' => {
                    self.skip(b'[', b']', false, macros);
                    Token::Index
                }
                b'{' => Token::Open(at),
                b'}' => Token::Close,
                other => Token::Punct(other, at),
            });
        }
    }

    /// Passes over what is between braces; the one that opens was read. A function ends at the latest with a brace that is
    /// alone at the margin, as it does where branches of a condition open more braces than they close.
    pub(super) fn skip_braces(&mut self, is_function: bool, macros: &mut Macros<'a>) {
        self.skip(b'{', b'}', is_function, macros);
    }

    fn skip(&mut self, open: u8, close: u8, is_function: bool, macros: &mut Macros<'a>) {
        let mut depth = 1_usize;
        let mut conditions: Vec<usize> = Vec::new();
        loop {
            let rest = self.bytes().get(self.at..).unwrap_or_default();
            match rest.iter().position(|byte| SPECIAL[usize::from(*byte)]) {
                Some(0) => {}
                Some(n) => {
                    self.at_line_start &= rest[..n].iter().all(u8::is_ascii_whitespace);
                    self.at += n;
                }
                None => {
                    self.at = self.text.len();
                    return;
                }
            }
            let Some(byte) = self.byte() else { return };
            match byte {
                b'\n' => self.at_line_start = true,
                b'/' => {
                    if self.comment() {
                        continue;
                    }
                    self.at_line_start = false;
                }
                b'#' if self.at_line_start => {
                    let before = self.at;
                    match self.directive(macros) {
                        Some(Token::If) => conditions.push(depth),
                        Some(Token::Else) => match conditions.last() {
                            Some(outer) => depth = *outer,
                            // The other branch has a beginning of its own.
                            None => {
                                self.at = before;
                                self.at_line_start = true;
                                return;
                            }
                        },
                        Some(Token::Endif) => drop(conditions.pop()),
                        _ => {}
                    }
                    continue;
                }
                b'"' | b'\'' => {
                    self.at += 1;
                    self.at_line_start = false;
                    self.quoted(byte);
                    continue;
                }
                byte if byte == open => {
                    depth += 1;
                    self.at_line_start = false;
                }
                byte if byte == close => {
                    depth -= 1;
                    let at_margin = is_function
                        && self.at.checked_sub(1).is_none_or(|before| self.bytes().get(before) == Some(&b'\n'))
                        && self.bytes().get(self.at + 1).is_none_or(|next| matches!(next, b'\n' | b'\r'));
                    self.at_line_start = false;
                    if depth == 0 || at_margin {
                        self.at += 1;
                        return;
                    }
                }
                _ => self.at_line_start = false,
            }
            self.at += 1;
        }
    }

    /// Passes over a comment, if one begins here.
    fn comment(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = if rest.starts_with("/*") {
            rest.get(2..).and_then(|rest| rest.find("*/")).map_or(rest.len(), |end| end + 4)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            return false;
        };
        self.at += length;
        true
    }

    /// Passes over a string or a character; its quote was read. It ends with its line at the latest.
    fn quoted(&mut self, quote: u8) {
        while let Some(byte) = self.byte() {
            match byte {
                b'\\' => self.at += 1,
                b'\n' => return,
                _ => {}
            }
            self.at += 1;
            if byte == quote {
                return;
            }
        }
    }

    /// Passes over a line of the preprocessor.
    fn directive(&mut self, macros: &mut Macros<'a>) -> Option<Token> {
        let begin = self.at + 1;
        self.at = begin;
        while let Some(byte) = self.byte() {
            match byte {
                b'\n' if self.bytes()[..self.at].ends_with(b"\\") || self.bytes()[..self.at].ends_with(b"\\\r") => {}
                b'\n' => break,
                b'/' if self.text.get(self.at..).is_some_and(|rest| rest.starts_with("/*")) => {
                    self.comment();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.text.len());
        self.at_line_start = true;
        let line = self.text(begin, self.at).trim_start();
        let (word, rest) = line.split_at(line.bytes().take_while(|byte| is_of_word(*byte)).count());
        match word {
            "if" | "ifdef" | "ifndef" => Some(Token::If),
            "else" | "elif" | "elifdef" | "elifndef" => Some(Token::Else),
            "endif" => Some(Token::Endif),
            "define" => {
                macros.define(rest);
                None
            }
            _ => None,
        }
    }
}

/// The strings of a text, without their quotes, and where they begin.
pub(super) fn strings(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut lexer = Lexer::new(text);
    while let Some(byte) = lexer.byte() {
        match byte {
            b'/' if lexer.comment() => continue,
            b'"' => {
                let begin = lexer.at + 1;
                lexer.at = begin;
                lexer.quoted(b'"');
                found.push((lexer.text(begin, lexer.at.saturating_sub(1)), begin));
            }
            _ => lexer.at += 1,
        }
    }
    found
}

/// The statements of a string of assembly, without blanks around them, and where they begin.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut begin = 0;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let rest = text.get(begin..)?;
        let end = [rest.find("\\n"), rest.find("\\t"), rest.find(';')].into_iter().flatten().min();
        let length = end.unwrap_or(rest.len());
        let piece = rest.get(..length)?;
        let at = begin + (piece.len() - piece.trim_start().len());
        let skip = if rest[length..].starts_with(';') { 1 } else { 2 };
        done = end.is_none();
        begin += length + skip;
        Some((piece.trim(), at))
    })
}
