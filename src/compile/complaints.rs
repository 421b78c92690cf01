//! Reads what a compiler or assembler has against a text.
//!
//! In: its words, and the folder that its names are relative to.  Out: [`Complaint`]s.
//! Holds afterwards: there are few of them, each is one line, and each has a place; what has none is left to the first error
//! as it stands.
//!
//! GCC and Clang write `FILE:LINE:COLUMN: error: WORDS`, the GNU assembler `FILE:LINE: Error: WORDS`. By `-pipe` the assembler
//! is given what a preprocessor has written before it failed: what it has against half a text is nothing that anybody wrote.

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

/// How a compiler's errors begin, behind their place.
const COMPILERS: &[&str] = &[": error: ", ": fatal error: ", ": internal compiler error: "];
/// How the assembler's do.
const ASSEMBLERS: &[&str] = &[": Error: ", ": Fatal error: "];

/// The errors among the lines of `words`, in their order.
pub(super) fn complaints(words: &str, directory: &Path) -> Vec<Complaint> {
    let is_half = words.lines().any(|line| mark(line).is_some_and(|(_, mark)| COMPILERS.contains(&mark)));
    let list = words.lines().filter_map(|line| {
        let (at, mark) = mark(line)?;
        let is_of_half = is_half && ASSEMBLERS.contains(&mark);
        if is_of_half { None } else { complaint(line.get(..at)?, line.get(at + mark.len()..)?, directory) }
    });
    list.take(MOST).collect()
}

/// Where the first mark of a line is, and which.
fn mark(line: &str) -> Option<(usize, &'static str)> {
    COMPILERS.iter().chain(ASSEMBLERS).filter_map(|mark| Some((line.find(mark)?, *mark))).min()
}

fn complaint(place: &str, words: &str, directory: &Path) -> Option<Complaint> {
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
        let words = "/usr/include/b:1.h:3:9: fatal error: c.h: No such file or directory\n\
                     \u{1b}[31ma.c:4:2: warning: unused [-Wunused]\n\
                     a.c:7: error: expected ': error: '\u{1b}[0m\n\
                     <command-line>:0:1: error: macro names must be identifiers\n\
                     cc1: error: unrecognized option\n\
                     a.c:0: error: no line\n";
        let found = complaints(words, Path::new("/b"));
        let found: Vec<_> =
            found.iter().map(|c| (c.file.to_str().unwrap(), c.line, c.column, c.words.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/usr/include/b:1.h", 3, 9, "c.h: No such file or directory"),
                ("/b/a.c", 7, 0, "expected ': error: '?[0m"),
            ]
        );
    }

    #[test]
    fn the_assembler_is_heard_where_it_had_the_whole_text() {
        let assembler = "a.S: Assembler messages:\n\
                         arch/x86/a.S:12: Error: no such instruction: `pushx %rbx'\n\
                         {standard input}:3: Error: junk at end of line\n\
                         arch/x86/a.S:14: Error: an error: of the text's own\n";
        let lines = |words: &str| complaints(words, Path::new("/b")).iter().map(|c| c.line).collect::<Vec<_>>();
        assert_eq!(lines(assembler), [12, 14]);
        assert_eq!(lines(&format!("{assembler}a.S:20:10: fatal error: c.h: No such file or directory\n")), [20]);
        let killed = "gcc: internal compiler error: Killed signal terminated program cc1\n";
        assert_eq!(lines(&format!("{assembler}{killed}")), [0; 0]);
    }

    #[test]
    fn a_flood_of_errors_is_cut() {
        let words = "a.S:1: Error: no\n".repeat(1000);
        assert_eq!(complaints(&words, Path::new("/")).len(), MOST);
    }
}
