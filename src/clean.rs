//! Makes text that comes from a workspace or an object harmless where it is shown.
//!
//! In: names, paths, words of others.  Out: the same for a terminal, a line of a log, a notification, Markdown.
//! Holds afterwards: nothing moves a cursor, forges a line, turns the direction of reading or becomes a link, a picture or
//! markup; what a person reads is otherwise unchanged.
//!
//! | shown | by |
//! |---|---|
//! | names of an object, wherever they go later | [`names`], when they are read |
//! | paths and words in one line | [`line()`] |
//! | everything that is printed | [`printed`], at the end |
//! | notifications, log messages and states of an editor | [`notification`] |
//! | text and code in Markdown | [`markdown`], [`code`], [`block`] |

use std::borrow::Cow;

/// Whether a character does something instead of being seen: control characters (Unicode, general category Cc), and those
/// that change the direction of what is behind them (Unicode Standard Annex #9, table 3; "Trojan Source").
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing but ASCII, and no byte below a space and no DEL but what is kept: true of nearly every text, and told fast.
fn is_plain(bytes: &[u8], keep: impl Fn(char) -> bool) -> bool {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) | (byte.is_ascii() & keep(char::from(byte)));
    bytes.iter().fold(true, |all, &byte| all & plain(byte))
}

fn replaced(text: &str, keep: impl Fn(char) -> bool, with: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if is_plain(text.as_bytes(), &keep) || !text.chars().any(|c| acts(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) && !keep(c) { with(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Names of an object or of its debug info, or a table of them that NUL bytes divide. Every byte stays in its place.
pub fn names(text: String) -> String {
    same_length(text, |c| c == '\0')
}

/// A text of a source file: lines and columns stay as they are.
pub fn source(text: String) -> String {
    same_length(text, |c| matches!(c, '\n' | '\t' | '\r'))
}

fn same_length(text: String, keep: impl Fn(char) -> bool) -> String {
    let fill = |c: char, out: &mut String| out.extend(std::iter::repeat_n('?', c.len_utf8()));
    match replaced(&text, keep, fill) {
        Cow::Borrowed(_) => text,
        Cow::Owned(text) => text,
    }
}

/// One line, for a log that is read line by line.
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, |_| false, |_, out| out.push('?'))
}

/// What is printed: lines, tabs, and the sequences that set colours (ECMA-48, SGR), which do nothing else.
pub fn printed(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut out = String::new();
    let acting = |c: char| acts(c) && !matches!(c, '\n' | '\t');
    while let Some(at) = rest.find(acting) {
        let (before, from) = rest.split_at(at);
        let colour = colour_len(from);
        let taken = if colour > 0 { colour } else { from.chars().next().map_or(0, char::len_utf8) };
        out.push_str(before);
        match (colour, from.get(..colour)) {
            (1.., Some(sequence)) => out.push_str(sequence),
            // A line that ends as on another system is a line.
            _ if from.starts_with("\r\n") => {}
            _ => out.push('?'),
        }
        rest = from.get(taken..).unwrap_or("");
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The length of the sequence that sets a colour, if there is one at the start.
fn colour_len(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let n = parameters.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if parameters.as_bytes().get(n) == Some(&b'm') { n + 3 } else { 0 }
}

/// A message for an editor, which may make links of what looks like Markdown's.
pub fn notification(text: &str) -> String {
    let text = replaced(text, |c| matches!(c, '\n' | '\t'), |_, out| out.push('?'));
    // A space keeps the parts apart; a person reads the same.
    text.replace("](", "] (").replace("][", "] [").replace("<", "\u{2039}").replace(">", "\u{203a}")
}

/// Text in Markdown, which means nothing but itself (CommonMark 0.31, "Backslash escapes").
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in line(text).chars() {
        if c.is_ascii_punctuation() && !matches!(c, ',' | '.' | ';' | ' ' | '/' | '%' | '\'' | '"' | '?' | '@' | '^') {
            out.push('\\');
        }
        out.push(c);
    }
    // Some editors make links of bare addresses.
    out.replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.")
}

/// Code within a line of Markdown (CommonMark 0.31, "Code spans").
pub fn code(text: &str) -> String {
    let text = line(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A block of plain text in Markdown (CommonMark 0.31, "Fenced code blocks").
pub fn block(text: &str) -> String {
    let text = replaced(text, |c| matches!(c, '\n' | '\t'), |_, out| out.push('?'));
    let fence = "`".repeat((longest_run(&text) + 1).max(3));
    // With a language, lest an editor colours a drawing as if it were the file's.
    format!("{fence}text\n{text}\n{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_places() {
        assert_eq!(names("a\0b\x1b[2J\nc\0".to_owned()), "a\0b?[2J?c\0");
        assert_eq!(names("µ\u{202e}x\u{9b}".to_owned()), "µ???x??");
        assert_eq!(source("a\tb\n\x1b]0;x\x07\r\n".to_owned()), "a\tb\n?]0;x?\r\n");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line("a\nb.o: warning: objtool: forged\r"), "a?b.o: warning: objtool: forged?");
        assert_eq!(line("plain name.c"), "plain name.c");
    }

    #[test]
    fn only_colours_reach_a_terminal() {
        assert_eq!(printed("\x1b[1;31mred\x1b[0m\n\tx"), "\x1b[1;31mred\x1b[0m\n\tx");
        assert_eq!(printed("\x1b]0;title\x07\x1b[2Jx\r\n\u{9b}2J\x1b[31"), "?]0;title??[2Jx\n?2J?[31");
        assert_eq!(printed("x\x1b"), "x?");
    }

    #[test]
    fn notifications_have_no_links() {
        let told = notification("no command for [Repair](command:run?%5B%22x%22%5D).c <b>\x1b");
        assert!(!told.contains("](") && !told.contains('<') && !told.contains('\x1b'), "{told}");
    }

    #[test]
    fn markdown_means_itself() {
        let told = markdown("![x](https://evil/x.png) `a` <img src=x>\n# *b*");
        for forbidden in ["![", "](", "://", " <", "\n"] {
            assert!(!told.contains(forbidden), "{forbidden}: {told}");
        }
        assert!(told.contains("\\*b\\*") && told.contains("\\`a\\`"), "{told}");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(block("a\n```\nb"), "````text\na\n```\nb\n````\n");
    }
}
