//! objtool's place taken: the command line, the lines, the bytes and the exit status of the release.
//!
//! In: small objects.  Out: what is left of them.
//! Holds afterwards: where a reference is named (`OBJTOOL_6_12`, ...), it has done the same to the same object.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use orcls::kernel::Kernel;

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
        command.env_remove("OBJTOOL_ARGS").env_remove("OBJTOOL_VERBOSE");
        command.output().expect("it runs")
    }

    fn objtool(&self, kernel: &str, words: &str) -> Output {
        self.run(&self.path("objtool"), kernel, words)
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
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

/// Makes the name of the last symbol lie outside of the string table.
fn lose_a_name(object: &mut [u8]) {
    let field = |at: usize| u64::from_le_bytes(object[at..at + 8].try_into().expect("8 bytes")) as usize;
    let table = (0..).map(|section| field(0x28) + 64 * section).find(|at| object[at + 4] == 2).expect("a symbol table");
    let last = field(table + 0x18) + field(table + 0x20) - 24;
    object[last..last + 4].copy_from_slice(&0x7f_ffff_u32.to_le_bytes());
}

/// What the releases themselves say of these objects, and how they end.
#[test]
fn what_cannot_be_opened_fails_in_every_release() {
    const WITHOUT_PARENT: &str = ".text\n.type f.cold, @function\nf.cold:\n\tret\n.size f.cold, . - f.cold\n";
    let bench = Bench::new();
    std::fs::write(bench.path("b.s"), WITHOUT_PARENT).expect("a source");
    let built = Command::new("cc").args(["-c", "b.s"]).current_dir(bench.folder.path()).status();
    assert!(built.expect("a compiler").success());
    let stripped = Command::new("strip").args(["-o", "c.o", "a.o"]).current_dir(bench.folder.path()).status();
    assert!(stripped.expect("binutils").success());
    let mut object = std::fs::read(bench.path("a.o")).expect("an object");
    lose_a_name(&mut object);
    std::fs::write(bench.path("d.o"), object).expect("an object");
    let beside = names(bench.folder.path());
    for kernel in Kernel::ALL.map(Kernel::name) {
        for (object, fails, words) in [
            ("b.o", true, "can't find parent function"),
            ("c.o", kernel.starts_with('7') || kernel == "6.18", "no .symtab"),
            ("d.o", true, "offset out of range"),
        ] {
            let before = std::fs::read(bench.path(object)).expect("an object");
            let action = if kernel == "5.15" { "orc generate" } else { "--orc" };
            let out = bench.objtool(kernel, &format!("{action} {object}"));
            let after = std::fs::read(bench.path(object)).expect("an object");
            assert_eq!(out.status.code(), Some(i32::from(fails)), "{kernel} {object}: {out:?}");
            if fails {
                assert!(said(&out).contains(words), "{kernel} {object}: {out:?}");
                assert!(before == after, "{kernel} {object}");
            }
            std::fs::write(bench.path(object), before).expect("room");
        }
    }
    assert_eq!(names(bench.folder.path()), beside);
}

#[test]
fn the_environment_adds_words() {
    let bench = Bench::new();
    let run = |args: &str| {
        let mut command = Command::new(bench.path("objtool"));
        command.args(["--orc", "a.o"]).current_dir(bench.folder.path()).env("ORCLS_KERNEL", "6.12");
        command.env("OBJTOOL_ARGS", args).output().expect("it runs")
    };
    assert_eq!(run("--bogus").status.code(), Some(129));
    let out = run("--dry-run  --retpoline --backtrace");
    assert!(said(&out).contains("left"), "{out:?}");
}

#[test]
fn a_trees_own_lists_hold_and_a_release_that_is_not_known_is_left_alone() {
    let bench = Bench::new();
    std::fs::write(
        bench.path("a.s"),
        "\t.text\n\t.type f, @function\nf:\tcall vendor_panic\n\t.size f, . - f\n\t.type g, @function\ng:\tret\n\t.size g, . - g\n",
    )
    .expect("a source");
    let made = Command::new("cc").args(["-c", "a.s", "-o", "a.o"]).current_dir(bench.folder.path()).status();
    assert!(made.is_ok_and(|status| status.success()));
    let before = std::fs::read(bench.path("a.o")).expect("an object");
    let put = |name: &str, text: &str| {
        let path = bench.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let run = || {
        let mut command = Command::new(bench.path("objtool"));
        let command = command.args(["--orc", "a.o"]).current_dir(bench.folder.path());
        for name in ["ORCLS_KERNEL", "OBJTOOL_ARGS", "OBJTOOL_VERBOSE", "KERNELRELEASE", "abs_objtree", "objtree"] {
            command.env_remove(name);
        }
        command.output().expect("it runs")
    };
    put("include/config/kernel.release", "6.9.1-own\n");
    let out = run();
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("6.9.1-own is a release that orcls does not know"), "{out:?}");
    assert_eq!(std::fs::read(bench.path("a.o")).ok(), Some(before), "nothing is written by another release's rules");
    put("include/config/kernel.release", "6.12.99-vendor\n");
    assert!(said(&run()).contains("falls through"), "the release's own list lacks the name");
    put("tools/objtool/noreturns.h", "NORETURN(vendor_panic)\n");
    put("tools/objtool/check.c", "static const char *uaccess_safe_builtin[] = {\n\t\"a\",\n\tNULL\n};\n");
    let made = Command::new("cc").args(["-c", "a.s", "-o", "a.o"]).current_dir(bench.folder.path()).status();
    assert!(made.is_ok_and(|status| status.success()));
    let out = run();
    assert!(!said(&out).contains("falls through"), "{out:?}");
}

/// An object whose table takes a while to write.
fn large(bench: &Bench) -> Vec<u8> {
    let functions: String = (0..2000)
        .map(|n| {
            format!(
                "\t.type f{n}, @function\nf{n}:\tpush %rbx\n\tcall other\n\tpop %rbx\n\tret\n\t.size f{n}, . - f{n}\n"
            )
        })
        .collect();
    std::fs::write(bench.path("a.s"), format!("\t.text\n{functions}")).expect("a source");
    let made = Command::new("cc").args(["-c", "a.s", "-o", "a.o"]).current_dir(bench.folder.path()).status();
    assert!(made.is_ok_and(|status| status.success()), "a C compiler assembles");
    std::fs::read(bench.path("a.o")).expect("an object")
}

#[test]
fn an_object_is_whole_whenever_the_program_is_killed() {
    let bench = Bench::new();
    let before = large(&bench);
    assert_eq!(bench.objtool("6.12", "--orc a.o").status.code(), Some(0));
    let after = std::fs::read(bench.path("a.o")).expect("an object");
    assert_ne!(before, after);
    let before_and_beside = names(bench.folder.path());
    let mut unfinished = 0;
    for step in 0..20 {
        std::fs::write(bench.path("a.o"), &before).expect("an object");
        let mut command = Command::new(bench.path("objtool"));
        command.args(["--orc", "a.o"]).current_dir(bench.folder.path()).env("ORCLS_KERNEL", "6.12");
        let mut child = command.spawn().expect("it runs");
        std::thread::sleep(std::time::Duration::from_millis(step * 4));
        let _ = child.kill();
        let _ = child.wait();
        let left = std::fs::read(bench.path("a.o")).expect("an object");
        assert!(left == before || left == after, "killed after {} ms it left {} bytes", step * 4, left.len());
        unfinished += usize::from(left == before);
        let mut there = names(bench.folder.path());
        // Killed in the moment of the change, the file has this name, by which the next run finds it.
        there.retain(|name| name != ".orcls-a.o");
        assert_eq!(there, before_and_beside, "nothing else is left beside the object");
    }
    std::fs::write(bench.path(".orcls-a.o"), &before).expect("an object");
    std::fs::write(bench.path("a.o"), &before).expect("an object");
    assert_eq!(bench.objtool("6.12", "--orc a.o").status.code(), Some(0));
    assert_eq!(names(bench.folder.path()), before_and_beside, "the next run removes it");
    assert!(unfinished > 0, "at least the first one is killed before it is done");
}

#[test]
fn two_at_once_leave_a_whole_object() {
    let bench = Bench::new();
    let before = large(&bench);
    assert_eq!(bench.objtool("6.12", "--orc a.o").status.code(), Some(0));
    let after = std::fs::read(bench.path("a.o")).expect("an object");
    for _ in 0..3 {
        std::fs::write(bench.path("a.o"), &before).expect("an object");
        let start = || {
            let mut command = Command::new(bench.path("objtool"));
            command.args(["--orc", "a.o"]).current_dir(bench.folder.path()).env("ORCLS_KERNEL", "6.12");
            command.stderr(std::process::Stdio::piped()).spawn().expect("it runs")
        };
        let (one, other) = (start(), start());
        let outs = [one.wait_with_output().expect("an end"), other.wait_with_output().expect("an end")];
        // One that comes late finds the table, and says so.
        let fine = outs.iter().filter(|out| out.status.success()).count();
        assert!(fine >= 1, "{outs:?}");
        assert!(outs.iter().all(|out| out.status.success() || said(out).contains(" already")), "{outs:?}");
        assert!(std::fs::read(bench.path("a.o")).ok() == Some(after.clone()));
    }
}

#[test]
fn where_the_disk_is_full_the_object_stays_as_it_was() {
    let bench = Bench::new();
    let before = large(&bench);
    let beside = names(bench.folder.path());
    // A file may not grow beyond this, as on a disk that has no more; half of the object is written by then.
    let blocks = before.len() / 512 / 2;
    for (kernel, status) in [("6.12", 255), ("7.3", 1)] {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec ./objtool --orc a.o"));
        let out = shell.current_dir(bench.folder.path()).env("ORCLS_KERNEL", kernel).output().expect("it runs");
        assert_eq!(out.status.code(), Some(status), "{out:?}");
        assert!(said(&out).contains("a.o: cannot write: File too large"), "{out:?}");
        assert!(std::fs::read(bench.path("a.o")).ok().as_ref() == Some(&before));
        assert_eq!(names(bench.folder.path()), beside);
    }
}

#[test]
fn a_copy_is_kept_to_repeat_what_was_found() {
    for (kernel, words, is_copied, said_last) in [
        ("6.12", "--orc --backup a.o", true, "left+0x1: return with modified stack frame"),
        ("7.3", "--orc --backup a.o", true, "objtool --orc --backup a.o.orig -o a.o"),
        ("7.3", "--orc --backup --dry-run a.o", true, "objtool --orc --backup --dry-run a.o.orig -o a.o"),
        ("7.3", "--retpoline --backup a.o", false, ""),
    ] {
        let bench = Bench::new();
        let out = bench.objtool(kernel, words);
        assert_eq!(bench.path("a.o.orig").exists(), is_copied, "{kernel} {words}: {out:?}");
        assert!(said(&out).trim_end().ends_with(said_last), "{kernel} {words}: {out:?}");
    }
}

#[test]
fn the_references_do_the_same() {
    for kernel in ["5.15", "6.1", "6.6", "6.12", "6.18", "7.0", "7.2", "7.3"] {
        let Some(reference) = std::env::var_os(format!("OBJTOOL_{}", kernel.replace('.', "_"))) else {
            eprintln!("skipped: no objtool {kernel}");
            continue;
        };
        let flags = if kernel == "5.15" { "orc generate --no-fp" } else { "--orc --retpoline" };
        let backup = if kernel == "6.18" { flags.to_owned() } else { format!("{flags} --backup a.o") };
        let mut all = vec![format!("{flags} a.o"), flags.to_owned(), backup];
        if ["6.18", "7.0", "7.2", "7.3"].contains(&kernel) {
            for words in ["-o b.o a.o", "-o b.o --dry-run a.o", "-o b.o gone.o", "-o no/b.o a.o", "--ibt -o b.o a.o"] {
                all.push(format!("{flags} {words}"));
            }
            let strict = if kernel == "6.18" { "--Werror" } else { "--werror --backup" };
            all.push(format!("{flags} {strict} -o b.o a.o"));
        }
        for words in all {
            let (ours, theirs) = (Bench::new(), Bench::new());
            let mine = ours.objtool(kernel, &words);
            let its = theirs.run(Path::new(&reference), kernel, &words);
            assert_eq!(mine.status.code(), its.status.code(), "{kernel} {words}: {mine:?} {its:?}");
            if words.ends_with(".o") {
                let own = |out: &Output, program: &Path| said(out).replace(&program.display().to_string(), "objtool");
                let mine = own(&mine, &ours.path("objtool"));
                assert_eq!(mine, own(&its, Path::new(&reference)), "{kernel} {words}");
            }
            for name in ["a.o.orig", "b.o", "b.o.orig"] {
                let left = |bench: &Bench| std::fs::read(bench.path(name)).ok();
                assert!(left(&ours) == left(&theirs), "{kernel} {words}: {name}");
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

#[test]
fn a_broken_path_of_the_untraining_check_ends_what_its_release_ends() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (kernel, number, status) in [("6.1", 601, 255), ("6.6", 606, 0), ("6.12", 612, 0), ("6.18", 618, 0)] {
        let bench = Bench::new();
        let built = Command::new("cc")
            .args(["-c", "-o", "b.o", &format!("-DKERNEL={number}"), "-I"])
            .arg(manifest.join("fixtures/include"))
            .arg(manifest.join("fixtures/unret/incomplete.S"))
            .current_dir(bench.folder.path())
            .status();
        assert!(built.is_ok_and(|status| status.success()), "{kernel}");
        let before = std::fs::read(bench.path("b.o")).expect("an object");
        let out = bench.objtool(kernel, "--noinstr --unret --rethunk --orc --link b.o");
        assert!(said(&out).contains("unresolved jump target after linking?!?"), "{kernel} {out:?}");
        assert_eq!(out.status.code(), Some(status), "{kernel} {out:?}");
        let left = std::fs::read(bench.path("b.o")).expect("an object");
        assert_eq!(left == before, kernel != "6.18", "{kernel}");
    }
}

#[test]
fn a_linked_object_without_link_is_told_as_the_release_tells_it() {
    let bench = Bench::new();
    for name in ["one", "two"] {
        let text = format!(
            "\t.file \"{name}.c\"\n\t.text\n\t.globl {name}\n\t.type {name}, @function\n{name}:\tret\n\t.size {name}, . - {name}\n"
        );
        std::fs::write(bench.path(&format!("{name}.s")), text).expect("a source");
    }
    let shell = |script: &str| Command::new("sh").args(["-c", script]).current_dir(bench.folder.path()).status();
    for (kernel, first) in [
        ("6.1", "error: objtool: Linked object detected, forcing --link"),
        ("6.12", "error: objtool: Linked object detected, forcing --link"),
        ("6.18", "c.o: error: objtool: Linked object requires --link"),
    ] {
        let made = shell("cc -c one.s two.s && ld -r -o c.o one.o two.o");
        assert!(made.is_ok_and(|status| status.success()));
        let out = bench.objtool(kernel, "--orc c.o");
        assert_eq!(said(&out).lines().next(), Some(first), "{kernel} {out:?}");
    }
}
