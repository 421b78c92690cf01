//! Compiles a text that is not on disk, as the build would compile the file.
//!
//! In: a build's compile command, the text, other unsaved texts.  Out: [`Compiled`]: the object and what it was made from.
//! Holds afterwards: the code is the build's, byte for byte, when the text is; nothing outside a private folder was
//! written, that folder's contents are gone, and no process is left.
//!
//! The command's own arguments decide what code is generated. Added are: debug information with lines and inline chains
//! only (`-g1` with the lines of `-g`, which takes half its time), no warnings (`-w`: what is a warning to the build is none of ours),
//! and a list of the headers. None of these changes an instruction.

mod limits;
pub mod complaints;
pub mod refusal;
pub mod program;
pub mod arguments;
pub mod confine;
pub mod job;
pub mod farms;
pub mod process;
pub mod register;
pub mod scratch;
pub mod overlay;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::build::normal;
use crate::cancel::CancelToken;

pub use limits::Limits;
pub use overlay::{Unsaved, real_path};
pub use refusal::Refusal;
pub use scratch::Scratch;

use complaints::Complaint;
use confine::{Confinement, Toolchain};
use process::Outcome;
use program::Family;

/// Objects are refused above this size.
const MAX_OBJECT: u64 = 1 << 30;
/// What one compile may use besides its time.
const MAX_MEMORY: u64 = 8 << 30;

/// What to compile, and how.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The build's command.
    pub argv: &'a [String],
    /// The folder that it runs in.
    pub directory: &'a Path,
    /// The source file, and the text to compile in its place.
    pub source: Unsaved<'a>,
    /// Other texts that are not as on disk.
    pub others: &'a [Unsaved<'a>],
    /// The programs that may be run; empty for every compiler on `PATH`.
    pub compilers: &'a [String],
    /// How long it may take.
    pub time: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Compiled {
    /// The object.
    pub object: Vec<u8>,
    /// Every file that was read, absolute.
    pub files: Vec<PathBuf>,
    /// The compiler's own time.
    pub took: Duration,
    /// The build optimises at link time; its code will differ from this one.
    pub without_lto: bool,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Nobody waits for it any more.
    #[error("cancelled")]
    Cancelled,
    /// The command is not one that may be run.
    #[error("the compile command is not run: {0}")]
    Refused(#[from] Refusal),
    /// The compiler does not accept the text.
    #[error("{first}")]
    Rejected {
        /// The first error.
        first: String,
        /// The errors that have a place.
        complaints: Vec<Complaint>,
        /// All that it said.
        words: String,
    },
    /// It took too long.
    #[error("the compiler took longer than {0:?}")]
    TimedOut(Duration),
    /// Its object is too large.
    #[error("the object has {0} bytes, which is too large")]
    TooLarge(u64),
    /// A file could not be written or read, or the compiler not be started.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Compiles.
pub fn compile(request: &Request<'_>, scratch: &Scratch, cancel: &CancelToken) -> Result<Compiled, CompileError> {
    let (program, start) = program::find(request.argv, request.directory, request.compilers)?;
    let words = request.argv.get(start..).unwrap_or_default();
    let arguments = arguments::sort(words, program.family, request.directory, request.source.path)?;
    let job = scratch.job()?;
    let folder = job.path();
    let overlay = overlay::prepare(
        program.family,
        scratch,
        folder,
        request.directory,
        &arguments,
        request.source,
        request.others,
    )?;
    let (object, list) = (folder.join("out.o"), folder.join("out.d"));
    let limits = Limits { time: request.time, memory: MAX_MEMORY, file: MAX_OBJECT };
    let toolchain = Toolchain::of(&program.path, cancel);
    let confinement = Confinement {
        read: [vec![scratch.path().to_owned()], places(request, &arguments)].concat(),
        write: folder.to_owned(),
        execute: toolchain.programs.clone(),
        is_open: toolchain.is_script && program.named,
    };
    let mut command = scratch.command(&program.path, &confinement, limits)?;
    command.args(&overlay.arguments).args(additions(program.family, &arguments));
    command.args([
        "-MD".into(),
        "-MF".into(),
        OsString::from(&list),
        "-c".into(),
        "-o".into(),
        OsString::from(&object),
    ]);
    clean_environment(&mut command, request.directory, folder);
    let begin = Instant::now();
    let outcome = scratch.run(command, limits, cancel)?;
    let took = begin.elapsed();
    match outcome {
        Outcome::Cancelled => return Err(CompileError::Cancelled),
        Outcome::TimedOut => return Err(CompileError::TimedOut(request.time)),
        Outcome::Ended(status, words) if !status.success() => {
            let first = first_error(&words).unwrap_or_else(|| format!("the compiler ended with {status}"));
            let complaints = complaints::complaints(&words, request.directory);
            return Err(CompileError::Rejected { first, complaints, words });
        }
        Outcome::Ended(..) => {}
    }
    let size = fs::metadata(&object)?.len();
    if size > MAX_OBJECT {
        return Err(CompileError::TooLarge(size));
    }
    let rule = fs::read_to_string(&list).unwrap_or_default();
    let absolute = |name: PathBuf| normal(&request.directory.join(overlay.real_name(&name)));
    // The folder is spelled as it was handed out: what is below it is orcls's own.
    let read = dependencies(&rule).into_iter().map(absolute);
    let files = read.filter(|file| !file.starts_with(folder)).collect();
    Ok(Compiled { object: fs::read(&object)?, files, took, without_lto: arguments.without_lto })
}

/// Where the compiler may have to read: the build's folder, the source's, those of headers, and what surrounds them as
/// far as it is one project.
fn places(request: &Request<'_>, arguments: &arguments::Arguments) -> Vec<PathBuf> {
    let mut places = vec![request.directory.to_owned()];
    places.extend(arguments.search_folders().map(|folder| request.directory.join(folder)));
    let files = request.others.iter().map(|other| other.path).chain([request.source.path]);
    for folder in files.filter_map(Path::parent).chain([request.directory]) {
        places.push(folder.to_owned());
        places.extend(folder.ancestors().find(|root| root.join(".git").exists()).map(Path::to_owned));
    }
    places.sort();
    places.dedup();
    places
}

/// Arguments that give what orcls needs and change no code.
fn additions(family: Family, arguments: &arguments::Arguments) -> Vec<&'static str> {
    let mut list = vec!["-g1", "-w", "-fdiagnostics-color=never"];
    match family {
        Family::Gcc => list.extend([
            // The assembler reads what the compiler is still writing, where one begins when the other has ended otherwise.
            "-pipe",
            // Without these three, `-g1` gives statements other lines than `-g` does.
            "-gstatement-frontiers",
            "-gvariable-location-views",
            "-fvar-tracking-assignments",
            "-fmax-errors=1",
        ]),
        Family::Clang => list.push("-ferror-limit=1"),
    }
    if arguments.without_lto {
        list.push("-fno-lto");
    }
    list
}

/// Compilers take many wishes from the environment: programs to run, files to write, folders to search.
pub(crate) fn clean_environment(command: &mut Command, directory: &Path, folder: &Path) {
    let path = std::env::join_paths(program::search_path()).ok();
    let kept = [("PATH", path), ("SOURCE_DATE_EPOCH", std::env::var_os("SOURCE_DATE_EPOCH"))];
    command.env_clear().envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
    command.env("LC_ALL", "C").env("TMPDIR", folder).env("CCACHE_DISABLE", "1");
    // GCC takes the name of the compilation directory from here.
    command.env("PWD", directory).current_dir(directory);
}

/// The first line that reports an error, without escape sequences: a compiler's own before its assembler's, which may have
/// been given half of a text.
fn first_error(words: &str) -> Option<String> {
    let with = |mark: &str| words.lines().find(|line| line.contains(mark));
    let line =
        with("error:").or_else(|| with("Error:")).or_else(|| words.lines().find(|line| !line.trim().is_empty()))?;
    Some(line.chars().filter(|c| !c.is_control()).collect())
}

/// The files of a make rule: `target: file \ file`, spaces and backslashes in names escaped.
fn dependencies(rule: &str) -> Vec<PathBuf> {
    let Some((_, list)) = rule.split_once(": ") else {
        return Vec::new();
    };
    let mut files = Vec::new();
    let mut name = String::new();
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if matches!(chars.peek(), Some(' ' | '#' | '\\')) => name.extend(chars.next()),
            '\\' if chars.peek() == Some(&'\n') => {}
            '$' if chars.peek() == Some(&'$') => name.extend(chars.next()),
            _ if c.is_whitespace() => {
                if !name.is_empty() {
                    files.push(PathBuf::from(std::mem::take(&mut name)));
                }
                // Phony rules of headers follow the first one.
                if c == '\n' && !list_goes_on(&mut chars) {
                    break;
                }
            }
            _ => name.push(c),
        }
    }
    if !name.is_empty() {
        files.push(PathBuf::from(name));
    }
    files
}

fn list_goes_on(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    chars.peek() == Some(&' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_rule_are_read() {
        let rule = "out.o: /a/b.c \\\n /a/with\\ space.h x$$y.h \\\n c.h\n\n/a/b.h:\n";
        let names = ["/a/b.c", "/a/with space.h", "x$y.h", "c.h"].map(PathBuf::from);
        assert_eq!(dependencies(rule), names);
        assert_eq!(dependencies(""), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_first_error_is_found() {
        let words = "In file included from x.c:1:\nx.c:3:1: error: expected ';'\nx.c:4:1: error: more\n";
        assert_eq!(first_error(words).as_deref(), Some("x.c:3:1: error: expected ';'"));
        let assembler = "a.S: Assembler messages:\na.S:1: Error: no such instruction: `foo'\n";
        assert_eq!(first_error(assembler).as_deref(), Some("a.S:1: Error: no such instruction: `foo'"));
        let half = "a.S:4: Error: no such instruction: `foo'\ngcc: fatal error: Killed signal terminated program cc1\n";
        assert_eq!(first_error(half).as_deref(), Some("gcc: fatal error: Killed signal terminated program cc1"));
        assert_eq!(first_error(" \n"), None);
    }
}
