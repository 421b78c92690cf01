//! Changes of a text, line by line.
//!
//! In: the lines of a text.  Out: [`Fix`]es, and the text with them.
//! Holds afterwards: lines that no patch names are as they were.

/// A change at one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// The line, from 0.
    pub line: usize,
    /// Whether the line goes away; otherwise the new lines come before it.
    pub replaces: bool,
    /// What comes there.
    pub with: Vec<String>,
}

impl Patch {
    /// Lines before a line.
    pub fn insert(line: usize, with: Vec<String>) -> Patch {
        Patch { line, replaces: false, with }
    }

    /// No line where one was.
    pub fn delete(line: usize) -> Patch {
        Patch { line, replaces: true, with: Vec::new() }
    }

    /// Another line in its place.
    pub fn replace(line: usize, with: String) -> Patch {
        Patch { line, replaces: true, with: vec![with] }
    }

    /// The new text.
    pub fn inserted(&self) -> String {
        self.with.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// A change that may remove a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// What it does, for a menu.
    pub title: String,
    /// The changes, ascending.
    pub patches: Vec<Patch>,
    /// It silences instead of mending.
    pub last_resort: bool,
}

impl Fix {
    /// A mending change.
    pub fn new(title: impl Into<String>, patches: Vec<Patch>) -> Fix {
        let mut patches = patches;
        patches.sort_by_key(|patch| patch.line);
        Fix { title: title.into(), patches, last_resort: false }
    }

    /// A change that only tells the checks to look away.
    pub fn last_resort(title: impl Into<String>, patches: Vec<Patch>) -> Fix {
        Fix { last_resort: true, ..Fix::new(title, patches) }
    }
}

/// The text with the patches applied.
pub fn apply(text: &str, patches: &[Patch]) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let mut n_lines = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        n_lines = at + 1;
        let mut keep = true;
        for patch in patches.iter().filter(|patch| patch.line == at) {
            out.push_str(&patch.inserted());
            keep &= !patch.replaces;
        }
        if keep {
            out.push_str(line);
        }
    }
    for patch in patches.iter().filter(|patch| patch.line >= n_lines) {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&patch.inserted());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patch: Patch, expected: &str) {
        assert_eq!(apply("a\nb\nc\n", &[patch]), expected);
    }

    #[test]
    fn lines_are_inserted_replaced_and_deleted() {
        check(Patch::insert(1, vec!["x".to_owned(), "y".to_owned()]), "a\nx\ny\nb\nc\n");
        check(Patch::replace(1, "x".to_owned()), "a\nx\nc\n");
        check(Patch::delete(0), "b\nc\n");
        check(Patch::insert(3, vec!["x".to_owned()]), "a\nb\nc\nx\n");
    }
}
