//! Finds objtool's lines in a build's output.
//!
//! In: a line of a log, as a terminal, a CI service or a mail has left it.  Out: [`Said`]; the folders that make works in.
//! Holds afterwards: what stands in front of the object's name (a time, a quotation, a colour) is no part of it.

use std::path::{Path, PathBuf};

use crate::findings::Level;

/// A line of objtool's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// What stands before objtool's word: the object's name, and in front of it whatever others have put there.
    head: String,
    /// Its severity.
    pub level: Level,
    /// What it says of the object.
    pub text: String,
}

/// objtool's line in `line`, colours taken out; `None` where it is none, or only the way to a finding.
pub fn parse(line: &str) -> Option<Said> {
    let (at, marker, level) = [("warning: objtool: ", Level::Warning), ("error: objtool: ", Level::Error)]
        .into_iter()
        .filter_map(|(marker, level)| Some((line.find(marker)?, marker, level)))
        .min_by_key(|(at, ..)| *at)?;
    let head = line.get(..at)?.trim_end().strip_suffix(':')?;
    let text = line.get(at + marker.len()..)?;
    // `--backtrace` indents the way.
    if text.starts_with(' ') || head.is_empty() {
        return None;
    }
    let text = without_sections(text.trim_end());
    Some(Said { head: head.to_owned(), level, text })
}

impl Said {
    /// The object's name: what is behind the last blank, or more where a name with blanks exists.
    pub fn object(&self, exists: impl Fn(&str) -> bool) -> &str {
        let starts = std::iter::once(0).chain(self.head.match_indices([' ', '\t', '>']).map(|(at, _)| at + 1));
        let names = starts.filter_map(|at| self.head.get(at..)).map(|name| name.trim_start_matches([' ', '\t', '>']));
        let last = self.head.rsplit([' ', '\t', '>']).next().unwrap_or(&self.head);
        let mut names = names.filter(|name| !name.is_empty());
        names.find(|name| exists(name)).unwrap_or(last)
    }
}

/// The text without what `--sec-address` adds: ` (.text+0x1c3)`.
fn without_sections(text: &str) -> String {
    let mut left = text;
    let mut out = String::new();
    while let Some(at) = left.find(" (.") {
        let (before, rest) = left.split_at(at);
        let inner = rest.find(')').and_then(|end| Some((rest.get(2..end)?, rest.get(end + 1..)?)));
        out.push_str(before);
        match inner {
            Some((inner, behind)) if is_address(inner) => left = behind,
            _ => {
                out.push_str(" (.");
                left = rest.get(3..).unwrap_or_default();
            }
        }
    }
    out.push_str(left);
    out
}

fn is_address(text: &str) -> bool {
    let Some((_, offset)) = text.rsplit_once("+0x") else { return false };
    !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_hexdigit()) && !text.contains(' ')
}

/// More folders are not remembered; make does not nest as deep.
const MAX_FOLDERS: usize = 64;

/// The folders that make has said it works in.
#[derive(Debug, Default)]
pub struct Folders {
    entered: Vec<PathBuf>,
}

impl Folders {
    /// Takes note of a folder that make enters.
    pub fn hear(&mut self, line: &str) {
        let Some((_, quoted)) = line.split_once(": Entering directory ") else { return };
        let name = quoted.trim().trim_start_matches(['`', '\'', '"', '\u{2018}']);
        let name = Path::new(name.trim_end_matches(['\'', '"', '\u{2019}']));
        if name.is_absolute() {
            self.entered.retain(|known| known != name);
            if self.entered.len() == MAX_FOLDERS {
                self.entered.remove(0);
            }
            self.entered.push(name.to_owned());
        }
    }

    /// The folders, the last one that was entered first.
    pub fn nearest_first(&self) -> impl Iterator<Item = &Path> {
        self.entered.iter().rev().map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: Option<(&str, Level, &str)>) {
        let said = parse(line);
        let got = said.as_ref().map(|said| (said.object(|_| false), said.level, said.text.as_str()));
        assert_eq!(got, expect, "{line}");
    }

    #[test]
    fn what_others_put_in_front_is_no_part_of_the_name() {
        let expect = Some(("net/a.o", Level::Warning, "f+0x1: x y"));
        for front in ["", ">> ", "> > ", "2026-01-01T10:00:00Z ", "[  3s] ", ">>", "\t"] {
            check(&format!("{front}net/a.o: warning: objtool: f+0x1: x y\r"), expect);
        }
        check("vmlinux.o: error: objtool: f+0x1: y", Some(("vmlinux.o", Level::Error, "f+0x1: y")));
        check("a.o: warning: objtool:   f+0x1: (branch)", None);
        check("a.o: warning: something else", None);
        check("error: objtool: --ibt requires --link", None);
        let said = parse("[1] my dir/a.o: warning: objtool: f: x").unwrap();
        assert_eq!(said.object(|name| name == "my dir/a.o"), "my dir/a.o");
    }

    #[test]
    fn addresses_of_sections_are_taken_out() {
        check(
            "a.o: warning: objtool: f+0x1 (.text+0x11): call to g() (.noinstr.text) leaves x",
            Some(("a.o", Level::Warning, "f+0x1: call to g() (.noinstr.text) leaves x")),
        );
    }

    #[test]
    fn folders_are_told_by_make() {
        let mut folders = Folders::default();
        folders.hear("make[1]: Entering directory '/b/one'");
        folders.hear("make: Entering directory `/b/two'");
        folders.hear("make[1]: Entering directory '/b/one'");
        folders.hear("make[1]: Leaving directory '/b/one'");
        let all: Vec<&Path> = folders.nearest_first().collect();
        assert_eq!(all, [Path::new("/b/one"), Path::new("/b/two")]);
    }
}
