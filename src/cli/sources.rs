//! Finds source files that debug info names, and cuts lines out of them.
//!
//! In: file names as DWARF has them, which may be relative to a folder that nobody remembers.  Out: lines and spans.
//! Holds afterwards: each file is read once; a span lies within its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file that takes longer to read than a person to wait is no source.
const MAX_SIZE: u64 = 64 << 20;

/// The sources of one object's findings.
pub(crate) struct Sources {
    files: BTreeMap<String, SourceFile>,
}

struct SourceFile {
    /// The path as a person here would write it.
    shown: String,
    text: String,
    /// Where each line starts, and the end of the text.
    starts: Vec<usize>,
}

impl Sources {
    /// Reads `files` as the debug info of `object` names them. Those that are not there are left out.
    pub fn read<'a>(object: &Path, files: impl IntoIterator<Item = &'a str>) -> Sources {
        let mut read = BTreeMap::new();
        for name in files {
            if !read.contains_key(name)
                && let Some(file) = SourceFile::read(object, name)
            {
                read.insert(name.to_owned(), file);
            }
        }
        Sources { files: read }
    }

    /// The text of a file that the debug info of `object` names.
    pub fn text(object: &Path, file: &str) -> Option<String> {
        SourceFile::read(object, file).map(|file| file.text)
    }

    /// The file on this machine that the debug info of `object` names.
    pub fn path(object: &Path, file: &str) -> Option<PathBuf> {
        find(object, Path::new(file))
    }

    /// Whether the line can be shown.
    pub fn has(&self, file: &str, line: u32) -> bool {
        self.files.get(file).is_some_and(|file| file.line(line).is_some())
    }

    /// The file as a person here would write it.
    pub fn shown<'a>(&'a self, file: &'a str) -> &'a str {
        self.files.get(file).map_or(file, |file| &file.shown)
    }

    /// The text from line `first` to line `last`, and where it starts in the file.
    pub fn lines(&self, file: &str, first: u32, last: u32) -> (&str, usize) {
        let range = self.files.get(file).and_then(|file| {
            let (start, end) = (file.line(first)?.start, file.line(last)?.end);
            Some((file.text.get(start..end)?, start))
        });
        range.unwrap_or(("", 0))
    }

    /// What to underline in a line: the word at the column, or all but blanks and a comment behind.
    pub fn span(&self, file: &str, line: u32, column: Option<u32>) -> Option<Range<usize>> {
        let file = self.files.get(file)?;
        let line = file.line(line)?;
        let text = file.text.get(line.clone())?;
        let span = column.and_then(|column| word(text, column)).unwrap_or_else(|| code(text));
        Some(line.start + span.start..line.start + span.end)
    }
}

impl SourceFile {
    fn read(object: &Path, name: &str) -> Option<SourceFile> {
        let path = find(object, Path::new(name))?;
        let text = String::from_utf8_lossy(&std::fs::read(&path).ok()?).into_owned();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let here = std::env::current_dir().ok();
        let short = here.and_then(|here| Some(path.strip_prefix(here).ok()?.display().to_string()));
        Some(SourceFile { shown: short.unwrap_or_else(|| path.display().to_string()), text, starts })
    }

    /// The line without its end.
    fn line(&self, number: u32) -> Option<Range<usize>> {
        let index = (number as usize).checked_sub(1)?;
        let start = *self.starts.get(index)?;
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        Some(start..end.max(start))
    }
}

/// The file on this machine. A relative name is tried from the object's folder upwards: a build names its files from
/// its own top folder.
fn find(object: &Path, name: &Path) -> Option<PathBuf> {
    let is_source = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SIZE);
    if name.is_absolute() {
        return Some(name.to_owned()).filter(is_source);
    }
    let object = std::path::absolute(object).ok()?;
    let mut folders = object.ancestors().skip(1);
    folders.find_map(|folder| [folder.join(name), folder.join("source").join(name)].into_iter().find(is_source))
}

/// The word that starts at the column, which counts bytes from 1.
fn word(line: &str, column: u32) -> Option<Range<usize>> {
    let start = (column as usize).checked_sub(1)?;
    let rest = line.get(start..)?;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = match rest.find(|c: char| !is_word(c)) {
        Some(0) => rest.chars().next().filter(|c| !c.is_whitespace())?.len_utf8(),
        Some(length) => length,
        None => rest.len(),
    };
    (length > 0).then_some(start..start + length)
}

/// The line without blanks around it and without a comment behind it.
fn code(line: &str) -> Range<usize> {
    let start = line.len() - line.trim_start().len();
    let comment = ["/*", "//", "# "].iter().filter_map(|mark| line.find(mark)).filter(|&at| at > start).min();
    let end = line.get(..comment.unwrap_or(line.len())).unwrap_or(line).trim_end().len();
    if end > start { start..end } else { start..line.trim_end().len().max(start) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, column: Option<u32>, underlined: &str) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.S"), format!("first\n{line}\nlast")).unwrap();
        let sources = Sources::read(&folder.path().join("sub/a.o"), ["a.S"]);
        let span = sources.span("a.S", 2, column).unwrap();
        let (text, start) = sources.lines("a.S", 2, 2);
        assert_eq!(text, line);
        assert_eq!(&text[span.start - start..span.end - start], underlined);
    }

    #[test]
    fn underlines_what_the_line_does() {
        check("\tpush %rbp /* why */", None, "push %rbp");
        check("  ret", None, "ret");
        check("/* only a comment */", None, "/* only a comment */");
        check("", None, "");
        check("\tfoo(bar);", Some(2), "foo");
        check("\tfoo(bar);", Some(5), "(");
        check("\tfoo(bar);", Some(99), "foo(bar);");
        check("\tµfoo();", Some(3), "µfoo();");
    }

    #[test]
    fn lines_that_are_not_there_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.S"), "one\ntwo\n").unwrap();
        let sources = Sources::read(&folder.path().join("a.o"), ["a.S", "b.S"]);
        assert!(sources.has("a.S", 2));
        assert!(!sources.has("a.S", 4) && !sources.has("a.S", 0) && !sources.has("b.S", 1));
    }
}
