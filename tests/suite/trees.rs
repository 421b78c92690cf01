//! Trees that are not the release, the configuration or the project that one would expect: small stand-ins for each.
//!
//! In: folders as Kbuild, distributions and other projects leave them, with objects that are built here.  Out: what
//! `orcls check`, `orcls doctor` and the server say of them.
//! Holds afterwards: nothing is green where nothing was checked, and no reason is untrue.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::lsp::client::Client;

/// Pushes and returns.
const BROKEN: &str = "\t.text
\t.type broken, @function
broken:
\tpush %rbx
\tret
\t.size broken, . - broken
\t.section .note.GNU-stack, \"\", @progbits
";

struct Tree(tempfile::TempDir);

struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Tree {
    /// A kernel tree of this release with these symbols in its configuration.
    fn new(release: &str, config: &str) -> Tree {
        let tree = Tree(tempfile::tempdir().expect("a temporary folder"));
        let config: String = config.split_whitespace().map(|symbol| format!("CONFIG_{symbol}=y\n")).collect();
        tree.write("include/config/kernel.release", &format!("{release}\n"));
        tree.write("include/config/auto.conf", &config);
        tree
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Builds `source` to `object`.
    #[track_caller]
    fn compile(&self, object: &str, source: &str, flags: &[&str]) {
        let mut command = Command::new("cc");
        let built = built_by(command.args(flags).args(["-c", "-g", "-o", object, source]).current_dir(self.path()));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }

    /// A broken object whose recipe is `cc WORDS` and `more`.
    #[track_caller]
    fn object(&self, object: &str, words: &str, more: &str) {
        let path = Path::new(object);
        let source = path.with_extension("S").display().to_string();
        self.write(&source, BROKEN);
        self.compile(object, &source, &[]);
        let recipe = format!(
            "savedcmd_{object} := gcc {words} -c -o {object} {source} {more}\n\nsource_{object} := {source}\n\ndeps_{object} := \\\n"
        );
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        self.write(&path.with_file_name(format!(".{name}.cmd")).display().to_string(), &recipe);
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        let output = built_by(command.args(arguments).current_dir(self.path()).stdin(Stdio::null()));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What the command line and the workspace check of the editor say of the tree: findings and objects.
    #[track_caller]
    fn both(&self) -> (Run, Value) {
        let run = self.run(&["check", "--format", "objtool", "."]);
        let mut client = self.client();
        let params = json!({"command": "orcls.server.checkWorkspace", "arguments": []});
        let numbers = client.request("workspace/executeCommand", params).expect("an answer");
        client.abandon();
        (run, numbers)
    }

    fn client(&self) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        let mut client = Client::spawn(command.arg("lsp").env("HOME", self.path()).env_remove("XDG_CACHE_HOME"));
        let uri = format!("file://{}", self.path().canonicalize().expect("it is there").display());
        client.initialize(json!({"workspaceFolders": [{"uri": uri, "name": "x"}]}));
        client
    }
}

fn built_by(command: &mut Command) -> std::process::Output {
    command.output().expect("the program is started")
}

const OBJTOOL: &str = "OBJTOOL HAVE_UACCESS_VALIDATION HAVE_STATIC_CALL_INLINE UNWINDER_ORC";
const LINE: &str = "lib/a.o: warning: objtool: broken+0x1: return with modified stack frame\n";
const ASSEMBLY: &str = "-D__KERNEL__ -D__ASSEMBLY__";

#[test]
fn what_is_left_to_vmlinux_is_checked_before_the_link() {
    let tree = Tree::new("6.12.30", &format!("{OBJTOOL} X86_KERNEL_IBT NOINSTR_VALIDATION"));
    tree.object("lib/a.o", ASSEMBLY, "");
    // What only `vmlinux.o` decides is said where something in the object leaves it open.
    tree.object("lib/open.o", ASSEMBLY, "");
    tree.write(
        "lib/open.S",
        "\t.section .noinstr.text, \"ax\"\n\t.type f, @function\nf:\n\tjmp other\n\t.size f, . - f\n",
    );
    tree.compile("lib/open.o", "lib/open.S", &[]);
    let (run, numbers) = tree.both();
    assert_eq!((run.status, run.stdout.replace("./lib", "lib").as_str()), (Some(1), LINE), "{}", run.stderr);
    assert_eq!((&numbers["objects"], &numbers["findings"]), (&json!(2), &json!(1)), "{numbers}");
    let said = tree.run(&["check", "."]).stderr;
    for said in [&said, &numbers["notes"].to_string()] {
        assert!(said.contains("not judged") && said.contains("--noinstr"), "{said}");
    }
    assert!(said.contains("note: with --whole an object is judged"), "{said}");
    let doctor = tree.run(&["doctor", "lib/a.S"]);
    assert!(doctor.stdout.contains("--ibt") && doctor.stdout.contains("auto.conf"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("says 6.12.30"), "{}", doctor.stdout);
}

#[test]
fn a_call_that_5_15_does_not_record_is_derived() {
    let tree = Tree::new("5.15.215", "STACK_VALIDATION UNWINDER_ORC X86_SMAP");
    tree.object("lib/a.o", ASSEMBLY, "");
    let (run, numbers) = tree.both();
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("return with modified stack frame"), "{}", run.stdout);
    assert_eq!(numbers["findings"], json!(1), "{numbers}");
    let doctor = tree.run(&["doctor", "lib/a.o"]);
    assert!(doctor.stdout.contains("kernel  5.15"), "{}", doctor.stdout);
}

#[test]
fn a_wrapper_around_objtool_is_known_by_its_arguments() {
    let tree = Tree::new("6.1.192", OBJTOOL);
    tree.object("lib/a.o", ASSEMBLY, "; /opt/zfs/scripts/objtool-wrapper --hacks=jump_label --orc --uaccess lib/a.o");
    let (run, numbers) = tree.both();
    assert_eq!(run.stdout.replace("./lib", "lib"), LINE, "{}", run.stderr);
    assert_eq!((&numbers["objects"], &numbers["findings"]), (&json!(1), &json!(1)), "{numbers}");
}

#[test]
fn a_module_has_the_release_of_the_tree_that_its_command_names() {
    let tree = Tree::new("7.3.1", OBJTOOL);
    let module = Tree(tempfile::tempdir().expect("a temporary folder"));
    let root = tree.path().display();
    module.object("a.o", "-D__KERNEL__ -DMODULE", &format!("; {root}/tools/objtool/objtool --orc --module a.o"));
    let doctor = module.run(&["doctor", "a.o"]);
    assert!(doctor.stdout.contains("kernel  7.3") && doctor.stdout.contains("says 7.3.1"), "{}", doctor.stdout);
    let check = module.run(&["check", "--format", "json", "a.o"]);
    let report: Value = serde_json::from_str(&check.stdout).expect("JSON");
    assert_eq!(report["kernel"], json!("7.3"));
    // Generated headers name it too: a module of Rust, or one without objtool's own recipe.
    module.object("b.o", &format!("-I{root}/arch/x86/include/generated -D__KERNEL__ -DMODULE"), "; objtool --orc b.o");
    let check = module.run(&["check", "--format", "json", "b.o"]);
    let report: Value = serde_json::from_str(&check.stdout).expect("JSON");
    assert_eq!(report["kernel"], json!("7.3"));
    // So has the objtool that it is compared with.
    tree.write("tools/objtool/objtool", "#!/bin/sh\nexit 0\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(tree.path().join("tools/objtool/objtool"), executable).expect("it is made executable");
    let verify = module.run(&["verify", "--trust", "a.o"]);
    assert!(verify.stdout.contains("only orcls: "), "{}", verify.stdout);
}

/// Who names the kernel's build folder still has their module beside its sources.
#[test]
fn a_module_is_found_beside_its_source_where_the_kernel_s_tree_is_named() {
    let tree = Tree::new("7.3.1", OBJTOOL);
    let module = Tree(tempfile::tempdir().expect("a temporary folder"));
    let root = tree.path().display().to_string();
    module.object("a.o", "-D__KERNEL__ -DMODULE", &format!("; {root}/tools/objtool/objtool --orc --module a.o"));
    for rules in [&["doctor"][..], &["doctor", "--build-dir", &root]] {
        let doctor = module.run(&[rules, &["a.S"]].concat());
        assert!(doctor.stdout.contains("says 7.3.1"), "{}{}", doctor.stdout, doctor.stderr);
    }
    // What is part of the tree is built in the tree, or not at all.
    tree.write("lib/b.S", BROKEN);
    let outside = tree.run(&["doctor", "--build-dir", &root, "lib/b.S"]);
    assert!(!outside.stdout.contains("says 7.3.1"), "{}", outside.stdout);
}

#[test]
fn an_unknown_release_is_judged_by_the_nearest_and_said_once() {
    let tree = Tree::new("6.16.2", OBJTOOL);
    for name in ["lib/a.o", "lib/b.o"] {
        tree.object(name, ASSEMBLY, &format!("; ./tools/objtool/objtool --orc {name}"));
    }
    let (run, numbers) = tree.both();
    assert_eq!(run.stderr.matches("6.16.2").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("judged by the rules of 6.18"), "{}", run.stderr);
    assert_eq!(numbers["notes"].as_array().map(Vec::len), Some(1), "{numbers}");
    let written = tree.run(&["orc", "write", "lib/a.o", "-o", "out.o"]);
    assert_eq!(written.status, Some(2), "{}", written.stderr);
    assert!(written.stderr.contains("6.16.2") && !tree.path().join("out.o").exists(), "{}", written.stderr);
    let told = tree.run(&["orc", "write", "--kernel", "6.18", "lib/a.o", "-o", "out.o"]);
    assert!(tree.path().join("out.o").exists(), "{}", told.stderr);
}

#[test]
fn what_the_build_does_not_check_has_a_true_reason() {
    let tree = Tree::new("6.12.30", OBJTOOL);
    tree.object("lib/off.o", ASSEMBLY, "");
    tree.object("tools/objtool/host.o", "-O2", "");
    tree.object("lib/glue.mod.o", ASSEMBLY, "");
    let (run, numbers) = tree.both();
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    for why in ["OBJECT_FILES_NON_STANDARD", "program for the build machine", "generated for a module"] {
        assert!(run.stderr.contains(why), "{why}: {}", run.stderr);
        let skipped = numbers["skipped"].as_object().expect("reasons");
        assert!(skipped.keys().any(|reason| reason.contains(why)), "{numbers}");
    }
    assert!(run.stderr.contains("nothing was checked") && !run.stderr.contains("nothing found"), "{}", run.stderr);
    assert_eq!(numbers["objects"], json!(0));
    assert_eq!(tree.run(&["check", "--allow-none", "."]).status, Some(0));
    let without = Tree::new("6.12.30", "UNWINDER_FRAME_POINTER");
    without.object("lib/a.o", ASSEMBLY, "");
    let run = without.run(&["check", "lib/a.o"]);
    assert_eq!(run.status, Some(2));
    assert!(run.stderr.contains("its kernel is configured without objtool"), "{}", run.stderr);
}

#[test]
fn the_editor_says_that_a_file_is_not_checked() {
    let tree = Tree::new("6.12.30", OBJTOOL);
    tree.object("lib/off.o", ASSEMBLY, "");
    let uri = format!("file://{}", tree.path().canonicalize().expect("it is there").join("lib/off.S").display());
    let mut client = tree.client();
    super::lsp::open(&mut client, &uri, BROKEN);
    assert!(client.published_at(&uri, 1).is_empty());
    let status = client.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status");
    assert_eq!(status["state"], json!("not-checked"), "{status}");
    assert!(status["message"].as_str().is_some_and(|text| text.starts_with("not checked, because ")), "{status}");
}

#[test]
fn a_project_of_user_space_is_not_accused() {
    let project = Tree(tempfile::tempdir().expect("a temporary folder"));
    project.write("a.c", "#include <stdlib.h>\nvoid leave(void) { exit(1); }\n");
    let entry = json!({"directory": project.path(), "file": "a.c", "command": "gcc -O2 -c -o a.o a.c"});
    project.write("compile_commands.json", &json!([entry]).to_string());
    project.compile("a.o", "a.c", &["-O2"]);
    for path in ["a.c", "a.o", "."] {
        let run = project.run(&["check", "--format", "objtool", path]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{path}: {}", run.stderr);
        assert!(run.stderr.contains("no kernel code"), "{path}: {}", run.stderr);
    }
    let uri = format!("file://{}", project.path().canonicalize().expect("it is there").join("a.c").display());
    let mut client = project.client();
    super::lsp::open(&mut client, &uri, "#include <stdlib.h>\nvoid leave(void) { exit(1); }\n");
    assert!(client.published_at(&uri, 1).is_empty());
    let status = client.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status");
    let notes = status["notes"].to_string();
    assert!(notes.contains("rules for user space"), "{status}");
}

#[test]
fn slim_lto_is_not_clean() {
    let tree = Tree(tempfile::tempdir().expect("a temporary folder"));
    tree.write("a.c", "int f(void) { return 1; }\n");
    tree.compile("a.o", "a.c", &["-O2", "-flto", "-fno-fat-lto-objects", "-fno-asynchronous-unwind-tables"]);
    let run = tree.run(&["check", "a.o"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    assert!(run.stderr.contains("slim LTO") || run.stderr.contains("bitcode"), "{}", run.stderr);
}

#[test]
fn a_finished_object_is_judged_as_it_was_compiled() {
    let tree = Tree::new("6.12.30", OBJTOOL);
    tree.object("lib/a.o", ASSEMBLY, "; ./tools/objtool/objtool --orc --rethunk --ibt --link lib/a.o");
    let before = tree.run(&["check", "--format", "objtool", "lib/a.o"]);
    let written = tree.run(&["orc", "write", "lib/a.o", "-o", "done.o"]);
    assert_eq!(written.status, Some(0), "{}", written.stderr);
    fs::rename(tree.path().join("done.o"), tree.path().join("lib/a.o")).expect("a file");
    let after = tree.run(&["check", "--format", "objtool", "lib/a.o"]);
    assert_eq!((before.status, &before.stdout), (after.status, &after.stdout));
}

/// The parts of a module may know a static call's trampoline alone. Whose flags are not known is not accused of that.
#[test]
fn a_static_call_without_its_key_is_a_modules() {
    let tree = Tree::new("7.2.12", "MODULES=y");
    tree.write("m.S", "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\tjmp __SCT__might_resched\n\t.size f, . - f\n");
    tree.compile("m.o", "m.S", &[]);
    let run = tree.run(&["check", "--kernel", "7.2", "m.o"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    // Flags that are given are not guessed.
    let run = tree.run(&["check", "--kernel", "7.2", "--static-call", "m.o"]);
    assert!(run.stdout.contains("can't find static_call_key symbol: __SCK__might_resched"), "{}", run.stdout);
}

/// The lists of a tree that is open in the editor: what is shown follows them, whether or not the file is touched.
#[test]
fn the_editor_follows_changed_lists_without_a_restart() {
    const ENDS: &str = "\t.text\n\t.globl ends\n\t.type ends, @function\nends:\n\tsub $8, %rsp\n\tcall my_halt\n\t.size ends, . - ends\n";
    let tree = Tree::new("6.12.117", OBJTOOL);
    tree.write("tools/objtool/check.c", "uaccess_safe_builtin[] = {\n\t\"a\",\n\tNULL\n};\n");
    tree.write("tools/objtool/noreturns.h", "NORETURN(panic)\n");
    tree.object("lib/a.o", ASSEMBLY, "; ./tools/objtool/objtool --orc --uaccess lib/a.o");
    tree.write("lib/a.S", ENDS);
    tree.compile("lib/a.o", "lib/a.S", &[]);
    let root = tree.path().canonicalize().expect("it is there");
    let mut client = tree.client();
    let uri = format!("file://{}", root.join("lib/a.S").display());
    super::lsp::open(&mut client, &uri, ENDS);
    assert_eq!(client.published_at(&uri, 1).len(), 1);
    let mut after = |list: &str, text: &str, n: usize| {
        tree.write(list, text);
        let changed = json!([{"uri": format!("file://{}", root.join(list).display()), "type": 2}]);
        client.notify("workspace/didChangeWatchedFiles", json!({"changes": changed}));
        client.wait(list, |message| {
            let params = &message["params"];
            message["method"] == "textDocument/publishDiagnostics"
                && params["uri"] == json!(uri)
                && params["diagnostics"].as_array().is_some_and(|found| found.len() == n)
        });
    };
    after("tools/objtool/noreturns.h", "NORETURN(panic)\nNORETURN(my_halt)\n", 0);
    after("tools/objtool/noreturns.h", "NORETURN(panic)\n", 1);
}

#[test]
fn a_vendor_s_later_objtool_is_known_by_its_configuration() {
    let tree = Tree::new("5.14.0-427.el9.x86_64", &format!("{OBJTOOL} RETPOLINE"));
    tree.object("lib/a.o", ASSEMBLY, "; ./tools/objtool/objtool --orc --uaccess lib/a.o");
    let (run, numbers) = tree.both();
    assert_eq!(run.stdout.replace("./lib", "lib"), LINE, "{}", run.stderr);
    assert_eq!(numbers["findings"], json!(1), "{numbers}");
    let doctor = tree.run(&["doctor", "lib/a.o"]).stdout;
    assert!(doctor.contains("kernel  6.1") && doctor.contains("configured for a later objtool"), "{doctor}");
}

/// The build leaves it to `vmlinux.o`; the objtool that is asked has this object alone.
#[test]
fn verify_judges_an_object_as_its_objtool_does() {
    let tree = Tree::new("6.12.30", &format!("{OBJTOOL} X86_KERNEL_IBT NOINSTR_VALIDATION"));
    tree.object("lib/a.o", ASSEMBLY, "");
    tree.write(
        "lib/a.S",
        "\t.section .noinstr.text, \"ax\"\n\t.type f, @function\nf:\n\tcall other\n\tret\n\t.size f, . - f\n",
    );
    tree.compile("lib/a.o", "lib/a.S", &[]);
    let line = "f+0x0: call to other() leaves .noinstr.text section";
    let tool = "tools/objtool/objtool";
    tree.write(tool, &format!("#!/bin/sh\nfor object; do :; done\necho \"$object: warning: objtool: {line}\" >&2\n"));
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tree.path().join(tool), executable).expect("it is there");
    let run = tree.run(&["verify", "--trust", "lib/a.o"]);
    assert!(
        run.stdout.contains("(lines 1, ") && !run.stdout.contains("only objtool: "),
        "{}{}",
        run.stdout,
        run.stderr
    );
}

/// A map of few opcodes, with one that no release has: `0f 0a` has an immediate.
const OPCODE_MAP: &str = include_str!("opcode-map.txt");

const MADE_UP: &str = "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\t.byte 0x0f, 0x0a\n\tret\n\t.size f, . - f\n\
                       \t.globl g\n\t.type g, @function\ng:\n\tret\n\t.size g, . - g\n";

const MAP: &str = "tools/arch/x86/lib/x86-opcode-map.txt";

/// The line is that of a 6.12 objtool that was built with the same map.
#[test]
fn a_tree_is_judged_by_its_own_opcode_map() {
    let tree = Tree::new("6.12.117", OBJTOOL);
    tree.write("tools/objtool/check.c", "uaccess_safe_builtin[] = {\n\t\"a\",\n\tNULL\n};\n");
    tree.object("lib/a.o", ASSEMBLY, "; ./tools/objtool/objtool --orc --stackval lib/a.o");
    tree.write("lib/a.S", MADE_UP);
    tree.compile("lib/a.o", "lib/a.S", &[]);
    let lines = || tree.run(&["check", "--format", "objtool", "lib/a.o"]).stdout;
    let doctor = || tree.run(&["doctor", "lib/a.o"]).stdout;
    assert_eq!(lines(), "");
    assert!(doctor().contains("opcode map: compiled in"), "{}", doctor());
    tree.write(MAP, OPCODE_MAP);
    assert_eq!(lines(), "lib/a.o: warning: objtool: f() falls through to next function g()\n");
    assert!(
        doctor().contains(&format!("{MAP}\n")) && !doctor().contains("opcode map that is compiled in"),
        "{}",
        doctor()
    );
    // What no objtool can be built with changes nothing, and is said.
    for (wrong, why) in [
        (OPCODE_MAP.replace("made-up Ib", "made-up Ix"), "an unknown immediate"),
        ("\0".repeat(64), "no opcodes of one byte"),
    ] {
        tree.write(MAP, &wrong);
        assert_eq!(lines(), "", "{why}");
        let doctor = doctor();
        assert!(doctor.contains(why) && doctor.contains("opcode map: compiled in"), "{doctor}");
    }
}

#[test]
fn the_editor_follows_a_changed_opcode_map_without_a_restart() {
    let tree = Tree::new("6.12.117", OBJTOOL);
    tree.write("tools/objtool/check.c", "uaccess_safe_builtin[] = {\n\t\"a\",\n\tNULL\n};\n");
    tree.write(MAP, OPCODE_MAP);
    tree.object("lib/a.o", ASSEMBLY, "; ./tools/objtool/objtool --orc --stackval lib/a.o");
    tree.write("lib/a.S", MADE_UP);
    tree.compile("lib/a.o", "lib/a.S", &[]);
    let root = tree.path().canonicalize().expect("it is there");
    let mut client = tree.client();
    let uri = format!("file://{}", root.join("lib/a.S").display());
    super::lsp::open(&mut client, &uri, MADE_UP);
    assert_eq!(client.published_at(&uri, 1).len(), 1);
    let mut after = |text: &str, n: usize| {
        tree.write(MAP, text);
        let changed = json!([{"uri": format!("file://{}", root.join(MAP).display()), "type": 2}]);
        client.notify("workspace/didChangeWatchedFiles", json!({"changes": changed}));
        client.wait(MAP, |message| {
            let params = &message["params"];
            message["method"] == "textDocument/publishDiagnostics"
                && params["uri"] == json!(uri)
                && params["diagnostics"].as_array().is_some_and(|found| found.len() == n)
        });
    };
    after(&OPCODE_MAP.replace("made-up Ib", "made-up"), 0);
    after(OPCODE_MAP, 1);
}
