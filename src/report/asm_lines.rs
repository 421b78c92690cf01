//! Labels and statements of assembly, in a file of their own or in the strings of C.
//!
//! In: a text, a line of it.  Out: where a function's label is, the statements of the line.
//! Holds afterwards: comments are no part of a statement, and labels none of the one behind them.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::source_map::Lines;

/// The line, from 0, in which `function` is a label: `f:`, `SYM_FUNC_START(f)`.
pub(super) fn label_of(text: &str, function: &str) -> Option<usize> {
    text.lines().position(|line| {
        line.match_indices(function).any(|(at, name)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_word = !before.ends_with(is_name) && !after.starts_with(is_name);
            is_word && is_label(before, after)
        })
    })
}

/// A text whose lines and labels are asked for again and again.
pub(super) struct Indexed {
    text: Arc<str>,
    /// Where each line begins and ends.
    lines: Vec<Range<usize>>,
    /// The first line in which each name is a label; of C nobody asks.
    labels: OnceCell<FxHashMap<Box<str>, usize>>,
}

impl Indexed {
    pub(super) fn new(text: Arc<str>) -> Indexed {
        let place = |line: &str| {
            let start = line.as_ptr() as usize - text.as_ptr() as usize;
            start..start + line.len()
        };
        let lines = text.lines().map(place).collect();
        Indexed { text, lines, labels: OnceCell::new() }
    }

    fn labels(&self) -> FxHashMap<Box<str>, usize> {
        let mut labels = FxHashMap::default();
        for (number, line) in self.lines_from(0).enumerate() {
            let mut at = 0;
            while let Some(begin) = line.get(at..).and_then(|rest| rest.find(is_name)).map(|begin| at + begin) {
                let end = line[begin..].find(|c| !is_name(c)).map_or(line.len(), |length| begin + length);
                if is_label(&line[..begin], &line[end..]) {
                    labels.entry(line[begin..end].into()).or_insert(number);
                }
                at = end;
            }
        }
        labels
    }

    /// A line, from 0.
    pub(super) fn line(&self, number: usize) -> Option<&str> {
        self.text.get(self.lines.get(number)?.clone())
    }

    /// The lines from one on.
    pub(super) fn lines_from(&self, number: usize) -> impl Iterator<Item = &str> {
        self.lines.iter().skip(number).filter_map(|line| self.text.get(line.clone()))
    }

    /// As [`label_of`].
    pub(super) fn label_of(&self, function: &str) -> Option<usize> {
        match function.chars().all(is_name) {
            true => self.labels.get_or_init(|| self.labels()).get(function).copied(),
            false => label_of(&self.text, function),
        }
    }
}

/// Texts whose lines are asked for, each read and indexed once.
pub(super) struct Texts<'a> {
    lines: &'a Lines,
    read: FxHashMap<Arc<str>, Option<Rc<Indexed>>>,
}

impl<'a> Texts<'a> {
    pub(super) fn of(lines: &'a Lines) -> Texts<'a> {
        Texts { lines, read: FxHashMap::default() }
    }

    /// The text of a file of the debug information.
    pub(super) fn get(&mut self, file: &Arc<str>) -> Option<Rc<Indexed>> {
        let read = || self.lines.text(file).map(|text| Rc::new(Indexed::new(text)));
        self.read.entry(Arc::clone(file)).or_insert_with(read).clone()
    }
}

/// Whether a name is a label between what is before and behind it in its line.
fn is_label(before: &str, after: &str) -> bool {
    let opened = before.trim_end();
    let is_started = opened.ends_with('(') && (opened.contains("START") || opened.contains("ENTRY"));
    after.starts_with(':') || is_started
}

pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.' || c == '$'
}

/// The assembler's statements of a line, be it assembly or a string of C.
pub(super) fn statements(line: &str) -> impl Iterator<Item = String> + use<> {
    let strings = line.contains('"').then(|| line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(""));
    let text = strings.unwrap_or_else(|| line.to_owned());
    let text = text.replace("\\n", ";").replace("\\t", " ").replace("%%", "%");
    let code = without_comments(text.split("//").next().unwrap_or_default());
    let bare = |statement: &str| {
        let statement = statement.split('#').next().unwrap_or_default().trim();
        match statement.split_once(':') {
            Some((label, rest)) if label.chars().all(is_name) => rest.trim().to_owned(),
            _ => statement.to_owned(),
        }
    };
    let all: Vec<String> = code.split(';').map(bare).filter(|statement| !statement.is_empty()).collect();
    all.into_iter()
}

/// The line without its comments; one that does not end in it goes on to its end.
fn without_comments(line: &str) -> String {
    let mut code = String::new();
    let mut left = line;
    while let Some((before, comment)) = left.split_once("/*") {
        code.push_str(before);
        code.push(' ');
        left = comment.split_once("*/").map_or("", |(_, behind)| behind);
    }
    code + left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indexed_text_answers_as_the_text() {
        let text = "int f(void);\r\n\tcall f\nff: g: h:\nSYM_FUNC_START( f)\nf:\nasm(\"g: ret\");\nENTRY(x.y$z) é:\n\n\ta\\@b:\nlast";
        let indexed = Indexed::new(text.into());
        for name in ["f", "ff", "g", "h", "x.y$z", "y", "é", "b", "a\\@b", "last", "nobody", ""] {
            assert_eq!(indexed.label_of(name), label_of(text, name).filter(|_| !name.is_empty()), "{name}");
        }
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(indexed.lines_from(0).collect::<Vec<_>>(), lines);
        assert_eq!(indexed.lines_from(4).next(), Some(lines[4]));
        assert_eq!((indexed.line(9), indexed.line(10)), (Some("last"), None));
    }

    #[test]
    fn labels_are_told_from_uses() {
        let text = "int f(void);\n\tcall f\nff:\nSYM_FUNC_START(f)\nf:\n";
        assert_eq!(label_of(text, "f"), Some(3));
        assert_eq!(label_of("asm(\"g: ret\");\n", "g"), Some(0));
        assert_eq!(label_of("\tcall f\n", "f"), None);
    }

    #[test]
    fn statements_of_assembly_and_of_strings() {
        let all = |line: &str| statements(line).collect::<Vec<_>>();
        assert_eq!(all("1:\tpush %rbx; nop\t# why"), ["push %rbx", "nop"]);
        assert_eq!(all("\t\"f:\\n\\tpush %%rbx\\n\\t\""), ["push %rbx"]);
        assert_eq!(all("\t.byte 0x0f, 0x0b // ud2"), [".byte 0x0f, 0x0b"]);
        assert!(all("/* nothing */").is_empty());
        assert_eq!(all("push %rbx /* a; b */ ; ret /* to be"), ["push %rbx", "ret"]);
    }
}
