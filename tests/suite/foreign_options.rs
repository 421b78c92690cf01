//! Hostile options: by the hundreds, in every spelling, against the list of options alone and against the sandbox alone.
//!
//! In: the names of all options that the compilers of this machine list.  Out: nothing was written outside the private
//! folder, and nothing was run that the workspace brought along.
//! Holds afterwards: each of the two holds without the other. `ORCLS_ALL_OPTIONS=1` takes every name in every spelling where
//! otherwise a part is taken, which is seconds instead of hours, `=9` one spelling of nine; `ORCLS_OPTIONS_OF=gcc-12` names the
//! compiler to take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use orcls::cancel::CancelToken;
use orcls::compile::Limits;
use orcls::compile::arguments::{self, Argument};
use orcls::compile::confine::{self, Confinement, Helper, Toolchain};
use orcls::compile::program::{self, Family};
use orcls::compile::{Request, Scratch, Unsaved, compile};

const TEXT: &str = "int f(int a) { return a + 1; }\n";
const TIME: Duration = Duration::from_secs(60);

/// Names that no `--help` shows, or that matter most.
const MORE: &[&str] = &[
    "--plugin=",
    "-fplugin=",
    "--module-mapper=",
    "-fmodules-ts",
    "-D",
    "-I",
    "-iprefix",
    "-Tbss",
    "-Tdata",
    "-Ttext",
    "-F",
    "-R",
    "-J",
    "-h",
    "-Hd",
    "-Hf",
    "-Xf",
    "-gnatO",
    "--include",
    "--imacros",
    "--assert",
    "--define-macro",
    "--output-pch=",
    "-include-pch",
    "--encoding",
    "--extdirs",
    "--resource",
    "-iframework",
    "-Xanalyzer",
    "-rpath",
    "-mllvm",
    "-exec-on-ir-change=",
    "--ptxas-path=",
    "--cuda-path=",
    "--amdgpu-arch-tool=",
    "--nvptx-arch-tool=",
    "-x",
    "-fopenmp-targets=",
    "-aux-info",
    "--opt-info-all=",
    "--coverage",
    "--profile-note=",
    "-fixit",
    "-fixit-recompile",
    "-fmodules-cache-path=",
    "-module-dependency-dir",
    "-emit-symbol-graph",
    "-Dalh=",
    "-wrapper",
    "-specs=",
    "--specs=",
    "-B",
    "--prefix=",
    "-load",
    "-fdump-tree-all=",
    "-fdump-ada-spec",
    "-frepo",
    "-save-temps",
    "-fcallgraph-info",
    "-ftest-coverage",
    "-MD",
    "-MMD",
    "-MF",
    "-MJ",
    "-o",
    "--output=",
    "-dumpdir",
    "-T",
    "-u",
    "-z",
    "-e",
    "-L",
    "-l",
    "-fstack-usage",
    "-ftime-trace=",
    "-serialize-diagnostics",
    "-index-store-path",
    "-fcrash-diagnostics-dir=",
    "-fsave-optimization-record=",
    "-time=",
    "-fdiagnostics-add-output=",
    "-fdiagnostics-set-output=",
    "-fcompare-debug=",
    "-fuse-ld=",
    "--ld-path=",
    "-fself-test=",
];

/// A workspace with everything that an option could lead to, and a source.
struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    fn new() -> Workspace {
        // Where clones are: for root in a folder that nobody else can write, other than the system's temporary one.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.c"), TEXT).expect("a file");
        // Whoever runs it leaves a mark where even a locked-in compiler may write.
        fs::write(at("evil"), format!("#!/bin/sh\n: > \"$TMPDIR/ran\"\n: > {}\n", at("ran").display()))
            .expect("a file");
        fs::set_permissions(at("evil"), fs::Permissions::from_mode(0o755)).expect("the mode can be set");
        for name in ["as", "cc1", "ld", "collect2", "ptxas"] {
            fs::copy(at("evil"), at(name)).expect("a file");
        }
        fs::write(at("args"), format!("-wrapper {},x -fplugin={}\n", at("evil").display(), at("evil.so").display()))
            .expect("a file");
        fs::write(at("specs"), format!("*cc1:\n{} %(cc1)\n", at("evil").display())).expect("a file");
        let plugin = format!(
            "#include <stdio.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void run(void)\n\
             {{ fopen(\"{0}/written\", \"w\"); system(\": > '{0}/ran'\"); system(\"{0}/evil\"); }}\n",
            folder.path().display()
        );
        fs::write(at("evil.c"), plugin).expect("a file");
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-o", "evil.so", "evil.c"])
            .current_dir(folder.path())
            .status();
        assert!(status.expect("gcc runs").success());
        Workspace { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Every file and what is in it.
    fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true => folders.push(entry.path()),
                    false => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap_or_default())),
                }
            }
        }
        files
    }
}

fn compilers() -> Vec<&'static str> {
    let names = ["gcc", "gcc-14", "gcc-15", "clang-14", "clang-16", "clang-19", "clang"];
    let only = std::env::var("ORCLS_OPTIONS_OF").ok();
    let is_there =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let wanted = |name: &&str| only.as_ref().is_none_or(|only| only == name);
    names.into_iter().filter(wanted).filter(is_there).collect()
}

fn family(compiler: &str) -> Family {
    if compiler.starts_with("clang") { Family::Clang } else { Family::Gcc }
}

/// The names of a compiler's options, as it lists them.
fn names(compiler: &str) -> BTreeSet<String> {
    let lists: &[&[&str]] = match family(compiler) {
        Family::Gcc => &[
            &["--help=common"],
            &["--help=optimizers"],
            &["--help=target"],
            &["--help=params"],
            &["--help=c"],
            &["--help=c++"],
            &["--help=undocumented"],
            &["--help=warnings"],
            &["-v", "--help"],
        ],
        Family::Clang => &[&["--autocomplete=-"], &["--help-hidden"], &["-cc1", "--help"], &["-cc1as", "--help"]],
    };
    let mut names: BTreeSet<String> = MORE.iter().map(|&name| name.to_owned()).collect();
    for list in lists {
        let output = Command::new(compiler).args(*list).output().expect("the compiler lists its options");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let word = line.split_whitespace().next().unwrap_or_default();
            let end = word.find(['<', '[', '{', ',']).unwrap_or(word.len());
            if word.starts_with('-') && end > 1 {
                names.insert(word[..end].to_owned());
            }
        }
    }
    names
}

/// The spellings of an option with a hostile value, and with one that hides what follows.
fn spellings(name: &str, at: &Path) -> Vec<Vec<String>> {
    let bare = name.trim_end_matches('=');
    let value = |file: &str| at.join(file).display().to_string();
    let (evil, out, plugin) = (value("evil"), value("out"), format!("-fplugin={}", value("evil.so")));
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut all = vec![words(&[name]), words(&[bare, &plugin]), words(&[name, &format!("@{}", value("args"))])];
    for target in [&evil, &out, &value("evil.so"), &at.display().to_string()] {
        all.push(words(&[&format!("{bare}={target}")]));
        all.push(words(&[&format!("{bare}{target}")]));
        all.push(words(&[bare, target]));
    }
    let joined = format!("{bare}={out}");
    for pass in ["-Wp,", "-Wa,"] {
        all.push(words(&[&format!("{pass}{joined}")]));
        all.push(words(&[&format!("{pass}{bare},{out}")]));
        all.push(words(&[&format!("{pass}{bare}")]));
    }
    for pass in ["-Xclang", "-Xassembler", "-Xpreprocessor", "-mllvm"] {
        all.push(words(&[pass, &joined]));
        all.push(words(&[pass, bare, pass, &out]));
        all.push(words(&[pass, bare]));
    }
    all
}

/// Of so many names, spellings or commands one is taken, unless the environment says of how many.
fn one_of(n: usize) -> usize {
    asked_for().unwrap_or(n)
}

fn everything() -> bool {
    asked_for().is_some()
}

fn asked_for() -> Option<usize> {
    let n = std::env::var("ORCLS_ALL_OPTIONS").ok()?;
    Some(n.parse().ok().filter(|&n| n > 0).expect("ORCLS_ALL_OPTIONS is a number from 1"))
}

#[test]
fn the_list_of_options_holds_alone() {
    let workspace = Workspace::new();
    let (at, source) = (workspace.path(), workspace.path().join("a.c"));
    // Nobody locks anything in here.
    let scratch = Scratch::new().expect("a private folder");
    assert!(!scratch.confines());
    let before = workspace.snapshot();
    for compiler in compilers() {
        let mut taken: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
        let mut n_spellings = 0;
        let names = names(compiler);
        let some = names.iter().step_by(one_of(names.len() / 100 + 1)).map(String::as_str);
        for spelling in MORE.iter().copied().chain(some).flat_map(|name| spellings(name, at)) {
            n_spellings += 1;
            let command: Vec<String> = spelling.iter().cloned().chain(["-c".into(), "a.c".into()]).collect();
            if let Ok(sorted) = arguments::sort(&command, family(compiler), at, &source) {
                let key = sorted.list.iter().map(|argument: &Argument| format!("{argument:?}")).collect();
                taken.entry(key).or_insert(command);
            }
        }
        let n_taken = taken.len();
        for command in taken.into_values().step_by(one_of(n_taken / 6 + 1)) {
            let argv: Vec<String> = [compiler.to_owned()].into_iter().chain(command).collect();
            let request = Request {
                argv: &argv,
                directory: at,
                source: Unsaved { path: &source, text: TEXT },
                others: &[],
                compilers: &[],
                time: TIME,
            };
            // Most say no: the value is none of theirs.
            drop(compile(&request, &scratch, &CancelToken::default()));
            assert_eq!(workspace.snapshot(), before, "{argv:?}");
        }
        println!("{compiler}: {n_spellings} spellings, {n_taken} different commands taken");
        assert!(n_spellings > 4_000 && n_taken > 50, "{compiler}");
    }
}

#[test]
fn the_sandbox_holds_alone() {
    if !confine::is_available() {
        println!("skipped: the kernel does not lock programs in");
        return;
    }
    let workspace = Workspace::new();
    let at = workspace.path();
    let helper = Helper::at(env!("CARGO_BIN_EXE_orcls").into());
    let scratch = Scratch::with_helper(helper).expect("a private folder");
    let before = workspace.snapshot();
    let limits = Limits { time: TIME, memory: 8 << 30, file: 1 << 30 };
    let mut n_plugins = 0;
    for compiler in compilers() {
        let (program, _) = program::find(&[compiler.to_owned()], at, &[]).expect("a compiler");
        let toolchain = Toolchain::of(&program.path, &CancelToken::default());
        let names = names(compiler);
        let all = names.iter().map(String::as_str).filter(|_| everything());
        // Where time is short, a part of the worst ones is taken.
        let is_worst = |spelling: &Vec<String>| {
            let of = |part: &str| spelling.iter().any(|word| word.contains(part));
            everything() || ["plugin", "wrapper", "specs", "-B", "args"].into_iter().any(of)
        };
        let spellings = MORE.iter().copied().chain(all).flat_map(|name| spellings(name, at));
        for spelling in spellings.filter(is_worst).step_by(one_of(9)) {
            let job = scratch.job().expect("a folder");
            let confinement = Confinement {
                read: vec![at.to_owned()],
                write: job.path().to_owned(),
                execute: toolchain.programs.clone(),
                is_open: false,
            };
            let mut command = scratch.command(&program.path, &confinement, limits).expect("a command");
            command.args(&spelling).args(["-c", "a.c", "-o"]).arg(job.path().join("out.o"));
            command
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("TMPDIR", job.path())
                .current_dir(at);
            scratch.run(command, limits, &CancelToken::default()).expect("it runs");
            assert!(!job.path().join("ran").exists(), "{compiler} has run a program of the workspace: {spelling:?}");
            assert_eq!(workspace.snapshot(), before, "{compiler} {spelling:?}");
            n_plugins += 1;
        }
    }
    println!("{n_plugins} commands");
}

/// What a test that never fails would not notice: without either, the same plugin runs.
#[test]
fn the_traps_work() {
    let workspace = Workspace::new();
    let plugin = format!("-fplugin={}", workspace.path().join("evil.so").display());
    let out = workspace.path().join("out.o");
    let status = Command::new("gcc")
        .args([&plugin, "-c", "a.c", "-o"])
        .arg(out)
        .current_dir(workspace.path())
        .env("TMPDIR", workspace.path())
        .status();
    // It is no plugin of GCC's, and has run all the same.
    assert!(!status.expect("gcc runs").success());
    assert!(workspace.path().join("written").exists() && workspace.path().join("ran").exists());
}

/// `ORCLS_BUILD_COMMANDS=compile_commands.json`: every command of a real build that compiles C or assembly is taken.
#[test]
fn the_commands_of_a_build_are_taken() {
    let Some(file) = std::env::var_os("ORCLS_BUILD_COMMANDS") else {
        println!("skipped: ORCLS_BUILD_COMMANDS is not set");
        return;
    };
    let text = fs::read_to_string(file).expect("a database");
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a database");
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut n_taken = 0;
    for entry in &entries {
        let word = |name: &str| entry[name].as_str().unwrap_or_default();
        let words: Vec<String> = match entry["arguments"].as_array() {
            Some(list) => list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect(),
            None => shell_words::split(word("command")).unwrap_or_default(),
        };
        let Some((compiler, rest)) = words.split_first().filter(|(program, _)| !program.contains("rustc")) else {
            continue;
        };
        let directory = Path::new(word("directory"));
        let name = Path::new(compiler).file_name().unwrap_or_default().to_string_lossy();
        match arguments::sort(rest, family(&name), directory, &directory.join(word("file"))) {
            Ok(_) => n_taken += 1,
            Err(why) => *refused.entry(why.to_string()).or_default() += 1,
        }
    }
    println!("{n_taken} taken, refused: {refused:#?}");
    assert!(refused.is_empty() && n_taken > 0);
}
