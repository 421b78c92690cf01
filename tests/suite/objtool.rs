//! objtool's place taken: the command line, the lines, the bytes and the exit status of the release.
//!
//! In: small objects.  Out: what is left of them.
//! Holds afterwards: where a reference is named (`OBJTOOL_6_12`, ...), it has done the same to the same object.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CODE: &str = "
	.text
	.globl fine
	.type fine, @function
fine:	push %rbx
	call other
	pop %rbx
	ret
	.size fine, . - fine
	.globl left
	.type left, @function
left:	push %rbx
	ret
	.size left, . - left
";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("a.s");
        std::fs::write(&source, CODE).expect("a source");
        let made = Command::new("cc").args(["-c", "a.s", "-o", "a.o"]).current_dir(folder.path()).status();
        assert!(made.is_ok_and(|status| status.success()), "a C compiler assembles");
        symlink(env!("CARGO_BIN_EXE_orcls"), folder.path().join("objtool")).expect("a link");
        Bench { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program as objtool of `kernel`.
    fn run(&self, program: &Path, kernel: &str, words: &str) -> Output {
        let mut command = Command::new(program);
        command.args(words.split_whitespace()).current_dir(self.folder.path()).env("ORCLS_KERNEL", kernel);
        command.output().expect("it runs")
    }

    fn objtool(&self, kernel: &str, words: &str) -> Output {
        self.run(&self.path("objtool"), kernel, words)
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn the_object_is_left_as_objtool_leaves_it() {
    for kernel in ["6.1", "6.12", "7.3"] {
        let bench = Bench::new();
        let copy = Command::new(env!("CARGO_BIN_EXE_orcls"))
            .args(["orc", "write", "--kernel", kernel, "--orc", "--stackval", "-o", "copy.o", "a.o"])
            .current_dir(bench.folder.path())
            .output()
            .expect("orcls runs");
        assert_eq!(copy.status.code(), Some(0), "{copy:?}");
        let out = bench.objtool(kernel, "--orc --stackval a.o");
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        assert!(said(&out).contains("a.o: warning: objtool: left+0x1: return with modified stack frame\n"), "{out:?}");
        assert_eq!(std::fs::read(bench.path("a.o")).ok(), std::fs::read(bench.path("copy.o")).ok(), "{kernel}");
        let others = std::fs::read_dir(bench.folder.path()).expect("a folder").count();
        assert_eq!(others, 4, "nothing is left beside the object");
    }
}

#[test]
fn nothing_is_touched_where_nothing_is_written() {
    let bench = Bench::new();
    let object = bench.path("a.o");
    let before = std::fs::metadata(&object).and_then(|meta| meta.modified()).expect("a time");
    for (kernel, words, status) in [
        ("6.12", "--stackval a.o", 0),
        ("6.12", "--orc --dry-run a.o", 0),
        ("7.3", "--orc --stackval --werror a.o", 1),
        ("7.3", "--ibt a.o", 1),
        ("6.12", "a.o", 1),
        ("6.12", "--bogus a.o", 129),
        ("6.12", "--orc", 129),
        ("6.12", "--orc absent.o", 1),
        ("5.15", "check a.o", 0),
    ] {
        let out = bench.objtool(kernel, words);
        assert_eq!(out.status.code(), Some(status), "{kernel} {words}: {out:?}");
        let after = std::fs::metadata(&object).and_then(|meta| meta.modified()).expect("a time");
        assert_eq!(after, before, "{kernel} {words}");
    }
    assert_eq!(said(&bench.objtool("7.3", "--ibt a.o")), "error: objtool: --ibt requires --link\n");
    assert_eq!(said(&bench.objtool("6.12", "--orc no.o")), "objtool: Can't open 'no.o': No such file or directory\n");
}

#[test]
fn the_references_do_the_same() {
    for kernel in ["5.15", "6.1", "6.6", "6.12", "6.18", "7.0", "7.2", "7.3"] {
        let Some(reference) = std::env::var_os(format!("OBJTOOL_{}", kernel.replace('.', "_"))) else {
            eprintln!("skipped: no objtool {kernel}");
            continue;
        };
        let flags = if kernel == "5.15" { "orc generate --no-fp" } else { "--orc --retpoline" };
        for words in [format!("{flags} a.o"), flags.to_owned()] {
            let (ours, theirs) = (Bench::new(), Bench::new());
            let mine = ours.objtool(kernel, &words);
            let its = theirs.run(Path::new(&reference), kernel, &words);
            assert_eq!(mine.status.code(), its.status.code(), "{kernel} {words}: {mine:?} {its:?}");
            if words.ends_with("a.o") {
                assert_eq!(said(&mine), said(&its), "{kernel} {words}");
            }
            assert_eq!(
                std::fs::read(ours.path("a.o")).ok(),
                std::fs::read(theirs.path("a.o")).ok(),
                "{kernel} {words}"
            );
        }
    }
}

#[test]
fn what_is_not_known_is_passed_on_to_the_trees_own() {
    let bench = Bench::new();
    let own = bench.path("tools/objtool");
    std::fs::create_dir_all(&own).expect("a folder");
    let script = own.join("objtool");
    std::fs::write(&script, "#!/bin/sh\necho \"own: $*\"\nexit 7\n").expect("a script");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("may run");
    let out = bench.objtool("7.3", "klp diff a.o b.o");
    assert_eq!(
        (out.status.code(), String::from_utf8_lossy(&out.stdout).as_ref()),
        (Some(7), "own: klp diff a.o b.o\n")
    );
    assert_eq!(bench.objtool("7.3", "--checksum a.o").status.code(), Some(7));
    assert_eq!(bench.objtool("7.3", "--orc a.o").status.code(), Some(0));
}
