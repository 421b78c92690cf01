//! Reads what a compiler or assembler has against a text.
//!
//! In: its words, and the folder that its names are relative to.  Out: [`Complaint`]s.
//! Holds afterwards: there are few of them, each is one line, and each has a place; what has none is left to the first error
//! as it stands.
//!
//! GCC and Clang write `FILE:LINE:COLUMN: error: WORDS`, the GNU assembler `FILE:LINE: Error: WORDS`.

use std::path::{Path, PathBuf};

use crate::build::normal;
use crate::clean;

/// More of them help nobody: the first one is often the cause of all.
const MOST: usize = 50;

/// An error of a compiler's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// Absolute.
    pub file: PathBuf,
    /// From 1.
    pub line: u32,
    /// From 1, in bytes of the line; 0 where it is not said.
    pub column: u32,
    /// What is wrong.
    pub words: String,
}

/// How errors begin, behind their place.
const MARKS: &[&str] = &[": error: ", ": fatal error: ", ": Error: ", ": Fatal error: "];

/// The errors among the lines of `words`, in their order.
pub(super) fn complaints(words: &str, directory: &Path) -> Vec<Complaint> {
    words.lines().filter_map(|line| complaint(line, directory)).take(MOST).collect()
}

fn complaint(line: &str, directory: &Path) -> Option<Complaint> {
    let (at, mark) = MARKS.iter().filter_map(|mark| Some((line.find(mark)?, mark))).min()?;
    let (place, words) = (line.get(..at)?, line.get(at + mark.len()..)?);
    // A name may have colons, numbers have none.
    let mut numbers = Vec::new();
    let mut file = place;
    while let Some((before, last)) = file.rsplit_once(':')
        && numbers.len() < 2
        && let Ok(number) = last.parse::<u32>()
    {
        numbers.push(number);
        file = before;
    }
    let (line, column) = match *numbers.as_slice() {
        [line] => (line, 0),
        [column, line] => (line, column),
        _ => return None,
    };
    // `<command-line>`, `{standard input}`: nothing that anybody could open.
    let is_file = line > 0 && !file.is_empty() && !file.starts_with(['<', '{']);
    let words = clean::line(words).into_owned();
    is_file.then(|| Complaint { file: normal(&directory.join(file)), line, column, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_compilers_and_assemblers_are_read() {
        let words = "a.S: Assembler messages:\n\
                     arch/x86/a.S:12: Error: no such instruction: `pushx %rbx'\n\
                     /usr/include/b:1.h:3:9: fatal error: c.h: No such file or directory\n\
                     \u{1b}[31ma.c:4:2: warning: unused [-Wunused]\n\
                     a.c:7: error: expected ': error: '\u{1b}[0m\n\
                     <command-line>:0:1: error: macro names must be identifiers\n\
                     {standard input}:3: Error: junk at end of line\n\
                     cc1: error: unrecognized option\n\
                     a.c:0: error: no line\n";
        let found = complaints(words, Path::new("/b"));
        let found: Vec<_> =
            found.iter().map(|c| (c.file.to_str().unwrap(), c.line, c.column, c.words.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/b/arch/x86/a.S", 12, 0, "no such instruction: `pushx %rbx'"),
                ("/usr/include/b:1.h", 3, 9, "c.h: No such file or directory"),
                ("/b/a.c", 7, 0, "expected ': error: '?[0m"),
            ]
        );
    }

    #[test]
    fn a_flood_of_errors_is_cut() {
        let words = "a.S:1: Error: no\n".repeat(1000);
        assert_eq!(complaints(&words, Path::new("/")).len(), MOST);
    }
}
