//! Compiles a source as its build does, for commands that need nothing but the object.
//!
//! In: a source, or a text in its place.  Out: an object.
//! Holds afterwards: programs run locked in, unless the user trusts them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::{Build, Finder, ownership};
use crate::cancel::CancelToken;
use crate::compile::{CompileError, Request, Scratch, Unsaved, compile, confine};
use crate::files;

/// A compiler that takes longer has gone astray.
const COMPILE_TIME: Duration = Duration::from_secs(300);

/// A way to compile one source.
pub(crate) struct Compiler {
    argv: Vec<String>,
    directory: PathBuf,
    /// The source that the command names.
    pub source: PathBuf,
    /// The object that the build leaves.
    pub object: PathBuf,
    scratch: Scratch,
}

impl Compiler {
    /// By a build's own command.
    pub(super) fn by_build(build: &Build, trust: bool) -> Result<Compiler, String> {
        let source = build.source.clone().ok_or("its build names no source")?;
        let refusal = ownership::complaint(build.origin.path()).filter(|_| !trust);
        if let Some(why) = refusal {
            return Err(format!("the compile command is not run: {why}"));
        }
        Compiler::new(build.argv.clone(), build.directory.clone(), source, build.object.clone(), trust)
    }

    /// By the command that the source is known to be compiled with.
    pub(super) fn of(finder: &Finder, path: &Path, trust: bool) -> Result<Compiler, String> {
        match finder.source(path) {
            Ok(build) => Compiler::by_build(&build, trust),
            Err(error) => Err(format!("no compile command is known. {}", error.advice())),
        }
    }

    fn new(
        argv: Vec<String>,
        directory: PathBuf,
        source: PathBuf,
        object: PathBuf,
        trust: bool,
    ) -> Result<Compiler, String> {
        if let Some(why) = confine::missing().filter(|_| !trust) {
            let command = argv.join(" ");
            return Err(format!(
                "{why}. This would be run in {}, and only its options are checked:\n{command}\n--trust runs it",
                directory.display()
            ));
        }
        let scratch = Scratch::new().map_err(|error| error.to_string())?;
        Ok(Compiler { argv, directory, source, object, scratch })
    }

    /// The text that is on disk.
    pub(super) fn text(&self) -> Result<String, String> {
        files::text(&self.source, files::SOURCE).map_err(|error| format!("{}: {error}", self.source.display()))
    }

    /// Compiles a text in the source's place.
    pub(super) fn compile(&self, text: &str) -> Result<Vec<u8>, String> {
        let request = Request {
            argv: &self.argv,
            directory: &self.directory,
            source: Unsaved { path: &self.source, text },
            others: &[],
            compilers: &[],
            time: COMPILE_TIME,
        };
        match compile(&request, &self.scratch, &CancelToken::default()) {
            Ok(compiled) => Ok(compiled.object),
            Err(CompileError::Rejected { words, .. }) => Err(format!("it does not compile\n{}", words.trim_end())),
            Err(error) => Err(error.to_string()),
        }
    }
}
