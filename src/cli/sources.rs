//! Finds source files that debug info names, and cuts lines out of them.
//!
//! In: file names as DWARF has them, which may be relative to a folder that nobody remembers.  Out: lines and spans.
//! Holds afterwards: each file is read once; a span lies within its line. An object may name any file of this machine: only
//! sources of the tree that it is in, of the folder that the user is in, of a kernel and of the system are read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::clean;
use crate::files;

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
    pub(super) fn read<'a>(object: &Path, files: impl IntoIterator<Item = &'a str>) -> Sources {
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
    pub(super) fn text(object: &Path, file: &str) -> Option<String> {
        SourceFile::read(object, file).map(|file| file.text)
    }

    /// The file on this machine that the debug info of `object` names.
    pub(super) fn path(object: &Path, file: &str) -> Option<PathBuf> {
        find(object, Path::new(file))
    }

    /// Whether the line can be shown.
    pub(super) fn has(&self, file: &str, line: u32) -> bool {
        self.files.get(file).is_some_and(|file| file.line(line).is_some())
    }

    /// The file as a person here would write it.
    pub(super) fn shown<'a>(&'a self, file: &'a str) -> &'a str {
        self.files.get(file).map_or(file, |file| &file.shown)
    }

    /// The text from line `first` to line `last`, and where it starts in the file.
    pub(super) fn lines(&self, file: &str, first: u32, last: u32) -> (&str, usize) {
        let range = self.files.get(file).and_then(|file| {
            let (start, end) = (file.line(first)?.start, file.line(last)?.end);
            Some((file.text.get(start..end)?, start))
        });
        range.unwrap_or(("", 0))
    }

    /// Where a line's code begins, in bytes from 1.
    pub(super) fn first_column(&self, file: &str, line: u32) -> Option<u32> {
        let range = self.files.get(file)?.line(line)?;
        let span = self.span(file, line, None)?;
        u32::try_from(span.start.checked_sub(range.start)? + 1).ok()
    }

    /// What to underline in a line, as columns in UTF-16 code units from 1; the second one is behind the last.
    pub(super) fn utf16_columns(&self, file: &str, line: u32, column: Option<u32>) -> Option<(u32, u32)> {
        let start = self.files.get(file)?.line(line)?.start;
        let span = self.span(file, line, column)?;
        let text = &self.files.get(file)?.text;
        let units = |to: usize| u32::try_from(text.get(start..to)?.encode_utf16().count() + 1).ok();
        Some((units(span.start)?, units(span.end)?))
    }

    /// What to underline in a line: the word at the column, or all but blanks and a comment behind.
    pub(super) fn span(&self, file: &str, line: u32, column: Option<u32>) -> Option<Range<usize>> {
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
        let text = clean::source(files::text(&path, files::SOURCE).ok()?);
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let here = std::env::current_dir().ok();
        let short = here.and_then(|here| Some(path.strip_prefix(here).ok()?.display().to_string()));
        Some(SourceFile {
            shown: clean::line(&short.unwrap_or_else(|| path.display().to_string())).into_owned(),
            text,
            starts,
        })
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
    let object = std::path::absolute(object).ok()?;
    let tree = object.parent().and_then(tree_of);
    let is_source = |path: &PathBuf, below: Option<&Path>| {
        let roots = [tree.as_deref(), below.filter(|_| tree.is_none())];
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) && is_shown(path, roots.into_iter().flatten())
    };
    if name.is_absolute() {
        return Some(name.to_owned()).filter(|path| is_source(path, object.parent()));
    }
    let mut folders = object.ancestors().skip(1);
    folders.find_map(|folder| {
        let places = [folder.join(name), folder.join("source").join(name)];
        places.into_iter().find(|path| is_source(path, Some(folder)))
    })
}

/// Whether a file that an object names may be shown: what it says is wherever the object's maker wanted it to be.
fn is_shown<'r>(file: &Path, mut roots: impl Iterator<Item = &'r Path>) -> bool {
    const SYSTEM: [&str; 4] = ["/usr/include", "/usr/lib", "/usr/src", "/lib/modules"];
    // Links are followed: they may be the object's maker's as well.
    let Ok(file) = file.canonicalize() else { return false };
    let has_extension = |known: &[&str]| file.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e));
    let below = |root: &Path| root.canonicalize().is_ok_and(|root| file.starts_with(root));
    has_extension(&SOURCES)
        && (SYSTEM.iter().any(|root| file.starts_with(root))
            || roots.any(below)
            || std::env::current_dir().is_ok_and(|here| below(&here))
            || file.ancestors().skip(1).any(is_kernel))
}

/// What sources are called.
const SOURCES: [&str; 16] =
    ["c", "h", "S", "s", "rs", "cc", "cpp", "cxx", "hh", "hpp", "inc", "asm", "inl", "i", "ii", "def"];

/// The project that a folder belongs to: the nearest folder above that has its version control or its database.
fn tree_of(folder: &Path) -> Option<PathBuf> {
    let is_top = |at: &&Path| [".git", "compile_commands.json", "Cargo.toml"].iter().any(|of| at.join(of).exists());
    folder.ancestors().find(|at| is_top(at) || is_kernel(at)).map(Path::to_owned)
}

/// Whether a folder is the top of a kernel's sources, which are no secret.
fn is_kernel(folder: &Path) -> bool {
    ["Kbuild", "MAINTAINERS", "scripts/Kbuild.include"].iter().all(|of| folder.join(of).exists())
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
    fn a_file_outside_the_tree_of_the_object_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "secret\n").unwrap();
            path
        };
        let object = folder.path().join("clone/lib/a.o");
        let outside = write("private/keys.h");
        let own = write("clone/lib/key");
        write("clone/lib/a.c");
        write("clone/.git/HEAD");
        std::os::unix::fs::symlink(&outside, folder.path().join("clone/lib/link.h")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("clone/source")).unwrap();
        let names =
            [outside.to_str().unwrap(), "../../private/keys.h", "private/keys.h", "link.h", own.to_str().unwrap()];
        let sources = Sources::read(&object, names.into_iter().chain(["lib/a.c"]));
        assert!(sources.has("lib/a.c", 1));
        names.iter().for_each(|name| assert!(!sources.has(name, 1), "{name}"));
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
