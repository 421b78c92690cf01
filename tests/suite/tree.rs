//! Kernel trees: what they say of their objtool is believed, and their objtool can be asked.
//!
//! In: small stand-ins for a tree and for its objtool.  Out: what a shell would see.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls a function from which nothing comes back, if a list says so.
const SOURCE: &str = "\t.text
\t.globl ends
\t.type ends, @function
ends:
\tsub $8, %rsp
\tcall my_halt
\t.size ends, . - ends
\t.section .note.GNU-stack, \"\", @progbits
";

struct Tree(tempfile::TempDir);

impl Tree {
    /// A built tree of 6.12 with one object, which its objtool checks.
    fn new() -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        tree.write("include/config/kernel.release", "6.12.117\n");
        tree.write("lib/ends.S", SOURCE);
        let object = tree.path("lib/ends.o");
        let built = Command::new("cc").arg("-c").arg("-o").arg(&object).arg(tree.path("lib/ends.S")).status().unwrap();
        assert!(built.success());
        let command = "savedcmd_lib/ends.o := gcc -c -o lib/ends.o lib/ends.S ; ./tools/objtool/objtool --orc lib/ends.o\n\n\
                       source_lib/ends.o := lib/ends.S\n";
        tree.write("lib/.ends.o.cmd", command);
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// An objtool that says this of every object.
    fn objtool(&self, says: &str) {
        self.write("tools/objtool/objtool", &format!("#!/bin/sh\nfor object; do :; done\n{says}\n"));
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path("tools/objtool/objtool"), executable).unwrap();
    }

    fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        let output = command.args(words).current_dir(self.0.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

/// Whether a path runs off the end of the function that calls `my_halt`.
fn runs_on(tree: &Tree) -> bool {
    let (_, stdout, _) = tree.run(&["check", "--format", "objtool", "lib/ends.o"]);
    stdout.contains("unexpected end of section")
}

#[test]
fn the_lists_of_a_tree_are_believed_also_when_they_change() {
    let tree = Tree::new();
    assert!(runs_on(&tree));
    tree.write("tools/objtool/noreturns.h", "NORETURN(my_halt)\n");
    assert!(runs_on(&tree), "without `check.c` these are no sources");
    tree.write("tools/objtool/check.c", "uaccess_safe_builtin[] = {\n\t\"a\",\n\tNULL\n};\n");
    assert!(!runs_on(&tree));
    tree.write("tools/objtool/noreturns.h", "NORETURN(panic)\n");
    assert!(runs_on(&tree));
    // A release named by the user is that release.
    tree.write("tools/objtool/noreturns.h", "NORETURN(my_halt)\n");
    let (_, stdout, _) = tree.run(&["check", "--format", "objtool", "--kernel", "6.12", "lib/ends.o"]);
    assert!(stdout.contains("unexpected end of section"), "{stdout}");
}

#[test]
fn the_doctor_says_where_facts_come_from_and_what_is_wrong_with_them() {
    let tree = Tree::new();
    tree.write("tools/objtool/noreturns.h", "NORETURN(my_halt)\n");
    tree.write("tools/objtool/check.c", "uaccess_safe_builtin[] = { \"a b\", };\n");
    let (_, stdout, _) = tree.run(&["doctor", "--color", "never", "lib/ends.o"]);
    let has = |words: &str| assert!(stdout.contains(words), "{words}: {stdout}");
    has("functions that never return: ");
    has("tools/objtool/noreturns.h");
    has("functions with user access open: compiled in");
    has("check.c: its functions with user access open are not understood");
    let (_, _, stderr) = tree.run(&["check", "lib/ends.o"]);
    assert!(stderr.contains("are not understood; those compiled in are used"), "{stderr}");
}

#[test]
fn verify_asks_the_objtool_of_the_tree() {
    let tree = Tree::new();
    let line = "warning: objtool: .text: unexpected end of section";
    // It writes no table, since the finding leaves none to write.
    tree.objtool(&format!("echo \"$object: {line}\" >&2"));
    let (_, stdout, stderr) = tree.run(&["verify", "--trust", "--no-unreachable", "lib/ends.o"]);
    assert!(stdout.contains("only objtool: warning: .text: unexpected end of section"), "{stdout}{stderr}");
    let before = fs::read(tree.path("lib/ends.o")).unwrap();
    tree.objtool("echo \"$object: warning: objtool: something else\" >&2; echo spoilt > \"$object\"");
    let (status, stdout, _) = tree.run(&["verify", "--trust", "lib/ends.o"]);
    assert_eq!(status, Some(1), "{stdout}");
    assert!(stdout.contains("only objtool: warning: something else"), "{stdout}");
    assert!(stdout.contains("only orcls: warning: .text: unexpected end of section"), "{stdout}");
    assert!(stdout.contains("0 of 1 objects agree"), "{stdout}");
    assert_eq!(fs::read(tree.path("lib/ends.o")).unwrap(), before, "the object is as it was");
}

#[test]
fn verify_without_an_objtool_or_with_a_killed_one_is_no_agreement() {
    let tree = Tree::new();
    let (status, stdout, _) = tree.run(&["verify", "--trust", "lib/ends.o"]);
    assert_eq!(status, Some(2), "{stdout}");
    assert!(stdout.contains("no tools/objtool/objtool above it"), "{stdout}");
    tree.objtool("kill -9 $$");
    let (status, stdout, _) = tree.run(&["verify", "--trust", "lib/ends.o"]);
    assert_eq!(status, Some(2), "{stdout}");
    assert!(stdout.contains("objtool was killed"), "{stdout}");
    tree.objtool("echo 'error: objtool [signal.c:75]: read_stack_limit: fopen failed' >&2; exit 255");
    let (status, stdout, _) = tree.run(&["verify", "--trust", "lib/ends.o"]);
    assert_eq!(status, Some(2), "{stdout}");
    assert!(stdout.contains("could not do its work: error: objtool [signal.c:75]"), "{stdout}");
}

/// It is a program of whoever made the tree.
#[test]
fn the_objtool_of_a_tree_writes_nothing_but_its_copy() {
    if !orcls::compile::confine::is_available() {
        println!("skipped: an objtool that is locked in, since this kernel has no Landlock");
        return;
    }
    let tree = Tree::new();
    tree.write("evil", "#!/bin/sh\ntouch /proc/self/cwd/ran\n");
    fs::set_permissions(tree.path("evil"), fs::Permissions::from_mode(0o755)).unwrap();
    let (evil, out) = (tree.path("evil"), tree.path("out"));
    tree.objtool(&format!(
        "touch {}; cp \"$object\" {}; {} && echo \"$object: warning: objtool: ran\" >&2; rm -f {}; exit 0",
        out.display(),
        out.display(),
        evil.display(),
        tree.path("lib/ends.S").display()
    ));
    let (status, stdout, stderr) = tree.run(&["verify", "lib/ends.o"]);
    assert_eq!(status, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("only orcls: warning: .text: unexpected end of section"), "{stdout}{stderr}");
    assert!(!out.exists() && !stdout.contains("objtool: ran") && tree.path("lib/ends.S").is_file(), "{stdout}{stderr}");
}

#[test]
fn verify_agrees_with_the_real_objtool_of_each_release() {
    for kernel in orcls::kernel::Kernel::ALL {
        let variable = format!("OBJTOOL_{}", kernel.name().replace('.', "_"));
        let Some(tool) = std::env::var_os(&variable) else {
            println!("skipped: verification with the objtool of {kernel}, since {variable} names none");
            continue;
        };
        let tree = Tree::new();
        let tool = Path::new(&tool).display().to_string();
        let words =
            ["verify", "--trust", "--kernel", kernel.name(), "--orc", "--retpoline", "--objtool", &tool, "lib/ends.o"];
        let (status, stdout, stderr) = tree.run(&words);
        assert_eq!(status, Some(0), "{kernel}: {stdout}{stderr}");
    }
}
