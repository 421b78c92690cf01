//! Reads a fixture, builds it, and analyses it.
//!
//! In: a file below `fixtures/`.  Out: [`Fixture`]: its runs and what it expects; [`Built`]: the object.
//! Holds afterwards: every directive was understood; a misspelt one is an error, not a comment.

#![allow(dead_code, reason = "three test programs share this file, and none uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Parser;
use orcls::analysis::{Analysis, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::findings::Code;
use orcls::image::{FileStore, Store};
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::source_map::Lines;

/// What C files are built with, so that they are code as the kernel has it.
const C_FLAGS: &[&str] = &[
    "-O2",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-fno-stack-protector",
    "-fno-pie",
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-mno-sse",
];

/// A source file with what is expected of it.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The file.
    pub path: PathBuf,
    /// The file as it is named to people: relative to `fixtures/`.
    pub name: String,
    /// One analysis each.
    pub runs: Vec<Run>,
    /// More flags for the compiler.
    pub cc: Vec<String>,
    /// The ORC table is kept beside the file.
    pub golden: bool,
    /// The compiler's own unwind tables are compared with the states.
    pub oracle: bool,
    /// What is expected, in the order of the file.
    pub expectations: Vec<Expectation>,
}

/// One analysis of a fixture.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose rules.
    pub kernel: Kernel,
    /// objtool's flags, as the file spells them.
    pub words: Vec<String>,
    /// The same, understood.
    pub options: Options,
    /// Also what objtool does not print: it stops at a function's first finding.
    pub all: bool,
}

/// What a directive says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A finding stands here.
    Warn,
    /// A finding that objtool does not print stands here.
    Also,
    /// None stands here.
    Silent,
    /// A finding elsewhere names this as its cause.
    Cause,
}

/// One directive.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What it says.
    pub kind: Kind,
    /// The line that it is about; `None` for the object as a whole.
    pub line: Option<u32>,
    /// Some of these words must stand in the run's line (or, after a `!`, must not).
    pub selector: Vec<String>,
    /// The code that it is about.
    pub code: Code,
    /// Part of objtool's text.
    pub text: String,
}

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct RunLine {
    #[arg(long, value_delimiter = ',', required = true)]
    kernel: Vec<Kernel>,
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    options: Options,
}

impl Run {
    fn parse(line: &str) -> Result<Vec<Run>, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = RunLine::try_parse_from(&words).map_err(|error| error.to_string())?;
        let flags = || {
            let value = words.iter().position(|&word| word == "--kernel").map(|at| at + 1);
            let is_ours = move |at: usize, word: &str| word == "--kernel" || word == "--all" || Some(at) == value;
            words.iter().enumerate().filter(move |&(at, word)| !is_ours(at, word)).map(|(_, word)| word.to_string())
        };
        let run = |&kernel| Run { kernel, words: flags().collect(), options: parsed.options.clone(), all: parsed.all };
        Ok(parsed.kernel.iter().map(run).collect())
    }

    /// The run as people read it.
    pub fn title(&self) -> String {
        let all = if self.all { " --all" } else { "" };
        format!("{} {}{all}", self.kernel, self.words.join(" "))
    }

    fn has(&self, word: &str) -> bool {
        self.kernel.name() == word || self.words.iter().any(|w| w == word) || (self.all && word == "--all")
    }
}

impl Expectation {
    /// Whether it is about `run`.
    pub fn holds_for(&self, run: &Run) -> bool {
        let wanted = |word: &String| match word.strip_prefix('!') {
            Some(word) => !run.has(word),
            None => run.has(word),
        };
        self.selector.is_empty() || self.selector.iter().any(wanted)
    }
}

impl Fixture {
    /// Every fixture, in the order of names.
    pub fn all() -> Vec<Fixture> {
        let mut files = Vec::new();
        sources(&root(), &mut files);
        files.sort();
        files
            .iter()
            .map(|path| Fixture::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
            .collect()
    }

    fn read(path: &Path) -> Result<Fixture, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
        let mut fixture = Fixture {
            path: path.to_owned(),
            name,
            runs: Vec::new(),
            cc: Vec::new(),
            golden: false,
            oracle: false,
            expectations: Vec::new(),
        };
        let mut code_line = None;
        for (number, line) in (1..).zip(text.lines()) {
            let result = match line.strip_prefix("//!") {
                Some(directive) => fixture.header(directive.trim()),
                None => {
                    if !line.trim_start().starts_with("//") {
                        code_line = Some(number);
                    }
                    fixture.comments(line, code_line)
                }
            };
            result.map_err(|error| format!("line {number}: {error}"))?;
        }
        if fixture.runs.is_empty() {
            return Err("no `//! run:` line".to_owned());
        }
        Ok(fixture)
    }

    fn header(&mut self, directive: &str) -> Result<(), String> {
        match directive.split_once(": ") {
            Some(("run", line)) => self.runs.extend(Run::parse(line)?),
            Some(("cc", flags)) => self.cc.extend(flags.split_whitespace().map(str::to_owned)),
            Some(("golden", "orc")) => self.golden = true,
            Some(("oracle", "eh_frame")) => self.oracle = true,
            _ => match expectation(directive, None)? {
                Some(expectation) => self.expectations.push(expectation),
                None => return Err(format!("unknown directive `{directive}`")),
            },
        }
        Ok(())
    }

    fn comments(&mut self, line: &str, code_line: Option<u32>) -> Result<(), String> {
        for comment in line.split("//").skip(1) {
            self.expectations.extend(expectation(comment.trim(), code_line)?);
        }
        Ok(())
    }

    /// What is expected of `run`.
    pub fn expected(&self, run: &Run) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter().filter(move |expectation| expectation.holds_for(run))
    }

    /// Where the ORC table of `kernel` is kept.
    pub fn golden_path(&self, kernel: Kernel) -> PathBuf {
        self.path.with_extension(format!("{kernel}.orc"))
    }

    /// Builds the object for `kernel`, with `more` flags.
    pub fn build(&self, kernel: Kernel, more: &[&str]) -> Result<Built, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let object = folder.path().join("case.o");
        let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
        compiler.args(["-c", "-g", "-I"]).arg(root().join("include")).arg(format!("-DKERNEL={}", number(kernel)));
        if self.path.extension().is_some_and(|ext| ext == "c") {
            compiler.args(C_FLAGS);
        }
        compiler.args(&self.cc).args(more).arg("-o").arg(&object).arg(&self.path);
        let output = compiler.output().map_err(|error| format!("{compiler:?}: {error}; is a C compiler installed?"))?;
        if !output.status.success() {
            return Err(format!("{compiler:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Built { _folder: folder, object })
    }
}

/// A built object; it is gone when this is dropped.
pub struct Built {
    _folder: tempfile::TempDir,
    /// The file.
    pub object: PathBuf,
}

impl Built {
    /// Analyses the object with the flags of `run`.
    pub fn analyse(&self, run: &Run, policy: Policy) -> Result<(Analysis, Lines), String> {
        let store: Arc<dyn Store> = Arc::new(FileStore::open(&self.object).map_err(|error| error.to_string())?);
        let config = Config {
            options: run.options.clone(),
            kernel: KernelChoice::Fixed(run.kernel),
            policy,
            noreturn: Vec::new(),
        };
        let analysis = analyse(store.as_ref(), &config, &CancelToken::default()).map_err(|error| error.to_string())?;
        Ok((analysis, Lines::new(store)))
    }
}

/// The folder of all fixtures.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of fixtures").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "S" || ext == "c") {
            files.push(path);
        }
    }
}

/// The release as `KERNEL` has it in `orcls.h`.
fn number(kernel: Kernel) -> u32 {
    let (major, minor) = kernel.name().split_once('.').expect("two numbers");
    let numbers: [u32; 2] = [major, minor].map(|number| number.parse().expect("a number"));
    numbers[0] * 100 + numbers[1]
}

/// Reads `KIND[SELECTOR]: CODE "text"`; `None` where the words are just words.
fn expectation(directive: &str, line: Option<u32>) -> Result<Option<Expectation>, String> {
    let end = directive.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(directive.len());
    let (word, rest) = directive.split_at(end);
    let kind = match word {
        "warn" => Kind::Warn,
        "also" => Kind::Also,
        "silent" => Kind::Silent,
        "cause" => Kind::Cause,
        _ => return Ok(None),
    };
    let (selector, rest) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((selector, rest))) => (selector.split_whitespace().map(str::to_owned).collect(), rest),
        Some(None) => return Err(format!("`{directive}`: a `]` is missing")),
        None => (Vec::new(), rest),
    };
    let Some(rest) = rest.strip_prefix(": ") else {
        return Err(format!("`{directive}`: `{word}` stands at the start of a comment and is no directive"));
    };
    let (slug, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = Code::ALL.iter().copied().find(|code| code.slug() == slug);
    let code = code.ok_or_else(|| format!("`{slug}` is no code of a finding"))?;
    let text = match text {
        "" if kind != Kind::Warn => "",
        _ => text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .ok_or_else(|| format!("`{directive}`: behind the code stands a part of objtool's text, in quotes"))?,
    };
    Ok(Some(Expectation { kind, line, selector, code, text: text.to_owned() }))
}
