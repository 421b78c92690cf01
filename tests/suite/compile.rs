//! Compiling texts that are not on disk, with real compilers.
//!
//! With `ORCLS_KERNEL_TREE=DIR` (a tree as `shared/testbed/kernel-tree.sh` leaves it) also on real kernel files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use orcls::build::{Finder, Search};
use orcls::cancel::CancelToken;
use orcls::compile::confine::{Confinement, Helper, Toolchain};
use orcls::compile::{CompileError, Compiled, Limits, Refusal, Request, Scratch, Unsaved, compile};
use orcls::image::ElfImage;

/// A folder with files, and a command that compiles one of them.
struct Project {
    folder: tempfile::TempDir,
    argv: Vec<String>,
    source: PathBuf,
}

impl Project {
    fn new(files: &[(&str, &str)], command: &str) -> Project {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let argv = command.replace("$DIR", &folder.path().display().to_string());
        let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
        let source = folder.path().join(files[0].0);
        Project { folder, argv, source }
    }

    fn compile(&self, text: &str, others: &[(&str, &str)]) -> Result<Compiled, CompileError> {
        let scratch = Scratch::with_helper(Helper::at(env!("CARGO_BIN_EXE_orcls").into())).expect("a private folder");
        let before = snapshot(self.folder.path());
        let paths: Vec<_> = others.iter().map(|(name, _)| self.folder.path().join(name)).collect();
        let others: Vec<_> = paths.iter().zip(others).map(|(path, (_, text))| Unsaved { path, text }).collect();
        let request = Request {
            argv: &self.argv,
            directory: self.folder.path(),
            source: Unsaved { path: &self.source, text },
            others: &others,
            compilers: &[],
            time: Duration::from_secs(60),
        };
        let result = compile(&request, &scratch, &CancelToken::default());
        assert_eq!(snapshot(self.folder.path()), before, "the compile has changed the project");
        result
    }

    /// Compiles as the build would.
    fn built(&self) -> Vec<u8> {
        let status = Command::new(&self.argv[0]).args(&self.argv[1..]).current_dir(self.folder.path()).status();
        assert!(status.expect("the compiler runs").success());
        let at = self.argv.iter().position(|word| word == "-o").expect("the command has an output");
        let object = self.folder.path().join(&self.argv[at + 1]);
        let bytes = fs::read(&object).expect("the object is there");
        fs::remove_file(object).expect("it can be removed");
        bytes
    }
}

/// Every file below a folder, with its contents.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        if entry.path().is_dir() {
            files.extend(snapshot(&entry.path()));
        } else {
            files.insert(entry.path(), fs::read(entry.path()).expect("the file is there"));
        }
    }
    files
}

/// Names and bytes of the executable sections.
fn code(object: &[u8]) -> Vec<(String, Vec<u8>)> {
    let image = ElfImage::read(&object.to_vec()).expect("an object");
    image.sections().filter(|(_, section)| section.is_code()).map(|(_, s)| (s.name.clone(), s.code.clone())).collect()
}

fn contains(object: &[u8], text: &str) -> bool {
    object.windows(text.len()).any(|window| window == text.as_bytes())
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: there is no {program}");
    }
    found
}

fn compilers() -> impl Iterator<Item = &'static str> {
    ["gcc", "clang"].into_iter().filter(|program| has(program))
}

const SOURCE: &str = "#include \"near.h\"\n#include <far.h>\nint f(int a) { return near(a) + far(a) + LOCAL; }\n\
                      const char *name = \"<\" __FILE__ \">\";\nconst int line = __LINE__;\n";
const FILES: [(&str, &str); 4] = [
    ("src/a.c", SOURCE),
    ("src/near.h", "#include \"nearer.h\"\nstatic inline int near(int a) { return a * NEARER; }\n"),
    ("src/nearer.h", "#define NEARER 3\n"),
    ("include/far.h", "static inline int far(int a) { return a * 5; }\n#define LOCAL 7\n"),
];

#[test]
fn an_unchanged_text_gives_the_build_s_code() {
    for compiler in compilers() {
        for source in ["src/a.c", "$DIR/src/a.c"] {
            let project = Project::new(&FILES, &format!("{compiler} -O2 -Iinclude -c -o src/a.o {source}"));
            let compiled = project.compile(SOURCE, &[]).expect("it compiles");
            assert_eq!(code(&compiled.object), code(&project.built()));
            let spelled = source.replace("$DIR", &project.folder.path().display().to_string());
            assert!(contains(&compiled.object, &format!("<{spelled}>")), "{compiler}: __FILE__");
            assert!(!contains(&compiled.object, "orcls-"), "{compiler}: a private name is in the object");
            for name in ["src/a.c", "src/near.h", "src/nearer.h", "include/far.h"] {
                assert!(compiled.files.contains(&project.folder.path().join(name)), "{compiler}: {name}");
            }
        }
    }
}

#[test]
fn the_text_counts_and_not_the_file() {
    for compiler in compilers() {
        let project = Project::new(&FILES, &format!("{compiler} -O2 -Iinclude -c -o src/a.o src/a.c"));
        let compiled = project.compile(&format!("{SOURCE}int unsaved(void) {{ return 1; }}\n"), &[]);
        assert!(contains(&compiled.expect("it compiles").object, "unsaved"));
    }
}

#[test]
fn unsaved_headers_take_part_wherever_they_are_found() {
    let files = [
        ("src/sub/a.c", "#include \"near.h\"\n#include <far.h>\n#include \"../above.h\"\nint f(void) { return 1; }\n"),
        ("src/sub/near.h", "#include \"nearer.h\"\n"),
        ("src/sub/nearer.h", "\n"),
        ("src/above.h", "\n"),
        ("include/far.h", "#include \"farther.h\"\n"),
        ("include/farther.h", "\n"),
    ];
    let mark = |name: &str| format!("const char *{name} = \"{name}<\" __FILE__ \">\";\n");
    for compiler in compilers() {
        let command = format!("{compiler} -O2 -Iinclude -c -o src/a.o src/sub/a.c");
        let project = Project::new(&files, &command);
        for (header, text) in &files[1..] {
            let name = Path::new(header).file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let unsaved = format!("{text}{}", mark(name));
            let compiled = project.compile(files[0].1, &[(*header, unsaved.as_str())]).expect("it compiles");
            assert!(contains(&compiled.object, &format!("{name}<")), "{compiler}: {header} is read from disk");
            assert!(!contains(&compiled.object, "orcls-"), "{compiler}: {header}: a private name is in the object");
            assert!(compiled.files.contains(&project.folder.path().join(header)), "{compiler}: {header}");
            assert_eq!(code(&compiled.object), code(&project.built()));
        }
        let all: Vec<(String, String)> = files[1..]
            .iter()
            .map(|(header, text)| ((*header).to_owned(), format!("{text}{}", mark(&header.replace(['/', '.'], "_")))))
            .collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(header, text)| (header.as_str(), text.as_str())).collect();
        let compiled = project.compile(files[0].1, &all).expect("it compiles");
        for (header, _) in all {
            assert!(contains(&compiled.object, &header.replace(['/', '.'], "_")), "{compiler}: {header}");
        }
    }
}

#[test]
fn assembly_keeps_its_includes_and_data() {
    let text = "#include \"near.h\"\n.globl f\nf: push VALUE\n pop %rax\n ret\n.data\n.incbin \"data/blob\"\n.ascii __FILE__\n";
    let files = [("src/a.S", text), ("src/near.h", "#define VALUE $5\n"), ("data/blob", "blobblob")];
    for compiler in compilers() {
        let project = Project::new(&files, &format!("{compiler} -D__ASSEMBLY__ -c -o src/a.o src/a.S"));
        let compiled = project.compile(text, &[]).expect("it compiles");
        assert_eq!(code(&compiled.object), code(&project.built()));
        assert!(contains(&compiled.object, "blobblobsrc/a.S"), "{compiler}");
    }
}

#[test]
fn what_does_not_compile_says_why() {
    for compiler in compilers() {
        let project = Project::new(&FILES, &format!("{compiler} -O2 -Iinclude -c -o src/a.o src/a.c"));
        match project.compile("int f(void) { return 1 }\n", &[]) {
            Err(CompileError::Rejected { first, .. }) => {
                assert!(first.starts_with("src/a.c:1:") || first.contains("/src/a.c:1:"), "{first}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nothing_of_the_workspace_is_run() {
    if !has("gcc") {
        return;
    }
    let evil = "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\nexec gcc \"$@\"\n";
    let files = [("a.c", "int f;\n"), ("gcc", evil), ("as", evil), ("cc1", evil), ("arguments", "-fplugin=./as")];
    let commands = [
        "./gcc -c -o a.o a.c",
        "$DIR/gcc -c -o a.o a.c",
        "gcc -B. -c -o a.o a.c",
        "gcc -B$DIR/ -c -o a.o a.c",
        "gcc -wrapper $DIR/as -c -o a.o a.c",
        "gcc @arguments -c -o a.o a.c",
        "sh -c ./gcc",
        "env LD_PRELOAD=./as gcc -c -o a.o a.c",
        "env PATH=. gcc -c -o a.o a.c",
        "env -S./gcc -c -o a.o a.c",
    ];
    for command in commands {
        let project = Project::new(&files, command);
        for name in ["gcc", "as", "cc1"] {
            use std::os::unix::fs::PermissionsExt;
            let path = project.folder.path().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
        }
        let refused = project.compile("int f;\n", &[]);
        assert!(matches!(refused, Err(CompileError::Refused(_))), "{command}: {refused:?}");
    }
    let project = Project::new(&files, "gcc -fplugin=./as -c -o a.o a.c");
    assert!(matches!(project.compile("", &[]), Err(CompileError::Refused(Refusal::RunsOther(_)))));
}

/// `Project::compile` compares the folder before and after.
#[test]
fn nothing_is_written_whatever_the_options_say() {
    let options = [
        "-Wp,-MMD,.a.o.d",
        "-Wp,-MD,.a.o.d,-MT,x",
        "-MD -MF elsewhere.d -MT x",
        "-MMD -MP",
        "-save-temps",
        "-save-temps=cwd",
        "--save-temps",
        "-dumpdir ./ -fdump-tree-all -fdump-rtl-all",
        "-dumpbase b -dumpbase-ext .c -da",
        "-fstack-usage -fcallgraph-info",
        "-ftest-coverage -fprofile-arcs",
        "--coverage",
        "-gsplit-dwarf",
        "-aux-info prototypes",
        "-time=times",
        "-fopt-info-all=remarks",
        "-fsave-optimization-record",
        "-fdiagnostics-format=sarif-file",
        "-Wa,-a=listing",
        "-Wa,--al=listing",
        "-Wa,-La=listing",
        "-Wa,-MD,dependencies",
        "-Wa,--MD=dependencies",
        "-Wa,-Kob.o",
        "-Xassembler -MD -Xassembler dependencies",
        "-Xassembler -aln=listing",
        "-Xpreprocessor -MD -Xpreprocessor x.d",
        "--output=b.o",
        "--write-dependencies",
        "-flto",
        "-freport-bug",
    ];
    for compiler in compilers() {
        for option in options {
            let project = Project::new(&FILES, &format!("{compiler} -O2 {option} -Iinclude -c -o src/a.o src/a.c"));
            match project.compile(SOURCE, &[]) {
                Ok(compiled) => assert!(!code(&compiled.object).is_empty(), "{compiler} {option}"),
                Err(CompileError::Refused(_) | CompileError::Rejected { .. }) => {}
                Err(other) => panic!("{compiler} {option}: {other}"),
            }
        }
    }
}

#[test]
fn a_cancelled_compile_leaves_nothing() {
    if !has("gcc") {
        return;
    }
    // Enough constants to keep the compiler busy until it is stopped.
    let text =
        format!("int f(int a) {{ {} return a; }}\n", "a = a * 3 + (a >> 1); if (a & 4) a ^= a << 3;".repeat(4000));
    let project = Project::new(&[("a.c", text.as_str())], "gcc -O2 -c -o a.o a.c");
    let scratch = Scratch::with_helper(Helper::at(env!("CARGO_BIN_EXE_orcls").into())).expect("a private folder");
    let cancel = CancelToken::default();
    let other = cancel.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || other.cancel());
        let request = Request {
            argv: &project.argv,
            directory: project.folder.path(),
            source: Unsaved { path: &project.source, text: &text },
            others: &[],
            compilers: &[],
            time: Duration::from_secs(60),
        };
        assert!(matches!(compile(&request, &scratch, &cancel), Err(CompileError::Cancelled)));
        let short = Request { time: Duration::from_millis(1), ..request };
        let result = compile(&short, &scratch, &CancelToken::default());
        assert!(matches!(result, Err(CompileError::TimedOut(_))), "{result:?}");
    });
    let own: Vec<_> = scratch.job().expect("a folder").path().parent().into_iter().flat_map(snapshot).collect();
    assert!(own.is_empty(), "{own:?}");
}

/// The build's objects as they were before objtool, and the files that they were compiled from: of assembly
/// `ORCLS_KERNEL_FILES`, of C half as many again, as far as the tree has them.
#[test]
fn kernel_files_give_the_build_s_code() {
    let Some(tree) = std::env::var_os("ORCLS_KERNEL_TREE").map(PathBuf::from) else {
        println!("skipped: ORCLS_KERNEL_TREE is not set");
        return;
    };
    let n_files = std::env::var("ORCLS_KERNEL_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(16);
    let build = tree.join("build");
    let finder = Finder::new(Search { build_dir: Some(build.clone()), roots: Vec::new() });
    let scratch = Scratch::with_helper(Helper::at(env!("CARGO_BIN_EXE_orcls").into())).expect("a private folder");
    let mut built = Vec::new();
    for before in snapshot_names(&tree.join("pre")).into_iter().filter(|path| path.extension() == Some("o".as_ref())) {
        let name = before.strip_prefix(tree.join("pre")).expect("below it");
        if let Ok(found) = finder.object(&build.join(name))
            && let Some(source) = found.source.clone().filter(|source| source.exists())
        {
            built.push((source, found, before));
        }
    }
    built.sort_by(|a, b| a.0.cmp(&b.0));
    for (ending, wanted) in [("S", n_files), ("c", n_files * 3 / 2)] {
        let of_kind: Vec<_> = built.iter().filter(|(path, ..)| path.extension() == Some(ending.as_ref())).collect();
        let step = (of_kind.len() / wanted).max(1);
        let chosen: Vec<_> = of_kind.into_iter().step_by(step).take(wanted).collect();
        for (source, found, before) in &chosen {
            let text = fs::read_to_string(source).expect("the source is text");
            let request = Request {
                argv: &found.argv,
                directory: &found.directory,
                source: Unsaved { path: source, text: &text },
                others: &[],
                compilers: &[],
                time: Duration::from_secs(120),
            };
            let compiled = compile(&request, &scratch, &CancelToken::default());
            let compiled = compiled.unwrap_or_else(|error| panic!("{}: {error}", source.display()));
            assert!(code(&compiled.object) == code(&fs::read(before).expect("an object")), "{}", source.display());
        }
        println!("{} files .{ending}", chosen.len());
        assert!(!chosen.is_empty());
    }
}

fn snapshot_names(folder: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => names.extend(snapshot_names(&entry.path())),
            false => names.push(entry.path()),
        }
    }
    names
}

/// Whatever a compiler was made to do: what it reads goes nowhere.
#[test]
fn a_program_that_is_locked_in_makes_no_sockets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
    let text = "#include <sys/socket.h>\nint main(void)\n{\n\tint types[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK };\n\
                \tint made = 0;\n\tfor (int i = 0; i < 4; i++)\n\t\tmade += socket(types[i], SOCK_DGRAM, 0) >= 0;\n\treturn made;\n}\n";
    fs::write(&source, text).expect("a file");
    let built = Command::new("cc").arg("-o").arg(&program).arg(&source).status();
    assert!(built.expect("a compiler").success());
    assert_ne!(Command::new(&program).status().expect("it runs").code(), Some(0), "outside it can");
    let helper = Helper::at(env!("CARGO_BIN_EXE_orcls").into());
    let limits = Limits { time: Duration::from_secs(60), memory: 1 << 30, file: 1 << 20 };
    let confinement = Confinement {
        write: folder.path().to_owned(),
        execute: Toolchain::alone(&program).programs,
        ..Confinement::default()
    };
    let status = helper.command(&program, &confinement, limits).expect("a command").status();
    assert_eq!(status.expect("it runs").code(), Some(0));
}
