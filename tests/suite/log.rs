//! A build's output read: each of objtool's lines with its place, whatever has become of its object.
//!
//! In: a small tree, broken on purpose; the log of its build.  Out: what `orcls log` prints.
//! Holds afterwards: a finding is on the line that the source marks, and a line without an object says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Eleven functions; the comment on a line is the code of the finding that belongs there.
const SOURCE: &str = "\
	.macro FUNC name
	.globl \\name
	.type \\name, @function
\\name:
	.endm
	.macro END name
	.size \\name, . - \\name
	.endm

	.text
FUNC leaves_pushed
	push	%rbx
	ret			/* return-with-modified-frame */
END leaves_pushed

FUNC joins
	test	%edi, %edi
	jz	1f
	push	%rbx
1:	xor	%eax, %eax	/* stack-state-mismatch */
	ret
END joins

FUNC runs_on
	xor	%eax, %eax	/* falls-through */
END runs_on

FUNC is_fine
	push	%rbx
	pop	%rbx
	ret
END is_fine

FUNC calls_open
	stac
	call	other		/* call-with-uaccess */
	clac
	ret
END calls_open

FUNC stays_open
	stac
	ret			/* return-with-uaccess */
END stays_open

FUNC opens_twice
	stac
	stac			/* uaccess-recursive-enable */
	clac
	ret
END opens_twice

FUNC closes_closed
	clac			/* uaccess-redundant-disable */
	ret
END closes_closed

FUNC backwards
	std
	ret			/* return-with-direction-flag */
END backwards

FUNC indirect
	jmp	*%rax		/* indirect-branch */
END indirect

FUNC leaves_kernel
	sysretq			/* unsupported-instruction-in-function */
END leaves_kernel
";

/// objtool 6.12's lines for it.
const LINES: [&str; 10] = [
    "leaves_pushed+0x1: return with modified stack frame",
    "joins+0x5: stack state mismatch: cfa1=4+8 cfa2=4+16",
    "runs_on() falls through to next function is_fine()",
    "calls_open+0x3: call to other() with UACCESS enabled",
    "stays_open+0x3: return with UACCESS enabled",
    "opens_twice+0x3: recursive UACCESS enable",
    "closes_closed+0x0: redundant UACCESS disable",
    "backwards+0x1: return with DF set",
    "indirect+0x0: indirect jump found in MITIGATION_RETPOLINE build",
    "leaves_kernel+0x0: unsupported instruction in callable function",
];

/// The places that the source marks: code and line, in the order of the file.
fn marked() -> Vec<(String, usize)> {
    let mark = |(at, line): (usize, &str)| {
        let (_, mark) = line.split_once("/* ")?;
        Some((mark.trim_end_matches(" */").to_owned(), at + 1))
    };
    SOURCE.lines().enumerate().filter_map(mark).collect()
}

/// A tree of 6.12 whose build is over.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Tree {
        let tree = Tree(tempfile::tempdir().expect("a folder"));
        tree.write("include/config/kernel.release", "6.12.9-test\n");
        for name in ["a", "lib/b"] {
            tree.write(&format!("{name}.S"), SOURCE);
            tree.build(name);
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Assembles as the build would, which leaves its command.
    fn build(&self, name: &str) {
        let (source, object) = (format!("{name}.S"), format!("{name}.o"));
        let made = Command::new("cc").args(["-g", "-c", &source, "-o", &object]).current_dir(self.0.path()).status();
        assert!(made.is_ok_and(|status| status.success()), "a C compiler assembles");
        let (folder, base) = name.rsplit_once('/').map_or(("", name), |(folder, base)| (folder, base));
        let slash = if folder.is_empty() { "" } else { "/" };
        self.write(
            &format!("{folder}{slash}.{base}.o.cmd"),
            &format!(
                "savedcmd_{object} := cc -D__KERNEL__ -g -c -o {object} {source} ; ./tools/objtool/objtool --orc --uaccess --retpoline {object}\n"
            ),
        );
    }

    /// The log of a build in this folder: both objects' lines, among others.
    fn log(&self) -> String {
        let mut log = format!("make[1]: Entering directory '{}'\n  AS      a.o\n", self.0.path().display());
        for (object, front) in [("a.o", ""), ("lib/b.o", "2026-01-01T10:00:00Z ")] {
            for line in LINES {
                log.push_str(&format!("{front}{object}: warning: objtool: {line}\n"));
            }
            log.push_str("main.c:3:1: error: expected ';'\n");
        }
        log.push_str("make[1]: Leaving directory\n");
        log
    }

    /// Runs `orcls log` elsewhere than in the tree, with the log on a pipe.
    fn run(&self, arguments: &[&str], log: &str) -> Output {
        self.run_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments, log)
    }

    fn run_in(&self, folder: &Path, arguments: &[&str], log: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        command.arg("log").args(arguments).current_dir(folder).env_remove("CLICOLOR_FORCE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("orcls runs");
        let mut input = child.stdin.take().expect("a pipe");
        let log = log.to_owned();
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            let _ = input.write_all(log.as_bytes());
        });
        let output = child.wait_with_output().expect("an end");
        writer.join().expect("the log is written");
        output
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn twenty_findings_of_ten_kinds_are_on_their_lines() {
    let tree = Tree::new();
    let marked = marked();
    assert_eq!(marked.len(), LINES.len());
    let out = tree.run(&["--format", "json"], &tree.log());
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let answers: Vec<Value> = text(&out.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 20);
    for (at, answer) in answers.iter().enumerate() {
        let (code, line) = &marked[at % 10];
        let source = tree.path(if at < 10 { "a.S" } else { "lib/b.S" });
        assert_eq!(answer["status"], "found", "{answer:#}");
        assert_eq!(answer["code"], code.as_str(), "{answer:#}");
        assert_eq!(answer["finding"]["line"], *line, "{answer:#}");
        assert_eq!(answer["place"]["line"], *line, "{answer:#}");
        assert_eq!(answer["place"]["file"], source.canonicalize().expect("it is there").display().to_string());
        assert_eq!(answer["objtool"], LINES[at % 10]);
        assert_eq!(answer["note"], Value::Null, "{answer:#}");
    }
    super::cli::fits(&answers[0].to_string(), "docs/schema/log.schema.json");
}

#[test]
fn each_format_passes_the_rest_through() {
    let tree = Tree::new();
    let log = tree.log();
    let others: Vec<&str> = log.lines().filter(|line| !line.contains("objtool: ")).collect();
    let folder = tree.0.path().to_owned();
    for format in ["text", "errorfile", "github"] {
        let out = tree.run_in(&folder, &["--format", format], &log);
        assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
        let shown = text(&out.stdout);
        let mut lines = shown.lines();
        assert!(others.iter().all(|other| lines.any(|line| line == *other)), "{format}: {shown}");
        match format {
            "text" => {
                let (_, rest) = shown.split_once("a.o: warning: objtool: leaves_pushed").expect("the log's line");
                assert!(rest.starts_with("+0x1: return with modified stack frame\nerror[return-with-modified-frame]"));
                assert!(rest.contains("what to do: "), "{shown}");
            }
            "errorfile" => {
                let first = "a.S:13:2: warning: return with 8 bytes still on the stack";
                let found = shown.lines().filter(|line| line.contains(".S:")).count();
                assert!(shown.contains(first) && found == 20, "{shown}");
            }
            _ => {
                let first = "::warning file=a.S,line=13,col=2,title=return-with-modified-frame::return with 8 bytes";
                assert!(shown.contains(first), "{shown}");
            }
        }
    }
    let out = tree.run(&["--format", "sarif"], &log);
    let document = super::cli::fits(&text(&out.stdout), "tests/schema/sarif-2.1.0.json");
    let results = document["runs"][0]["results"].as_array().cloned().unwrap_or_default();
    let prints: std::collections::BTreeSet<String> =
        results.iter().map(|result| result["partialFingerprints"]["orcls/v2"].to_string()).collect();
    assert_eq!((results.len(), prints.len()), (20, 20), "each has a fingerprint of its own");
}

#[test]
fn what_has_become_of_an_object_is_said() {
    let tree = Tree::new();
    let log = tree.log();
    // Built anew with one instruction more in front, one finding less, and one object gone with its source.
    let edited = SOURCE.replacen("leaves_pushed\n\tpush", "leaves_pushed\n\tnop\n\tpush", 1).replacen("\tstd\n", "", 1);
    tree.write("a.S", &edited);
    tree.build("a");
    std::fs::remove_file(tree.path("lib/b.o")).expect("it was there");
    std::fs::remove_file(tree.path("lib/b.S")).expect("it was there");
    let out = tree.run(&["--format", "json"], &log);
    assert_eq!(out.status.code(), Some(2));
    let answers: Vec<Value> = text(&out.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let status = |at: usize| answers[at]["status"].as_str().unwrap_or_default().to_owned();
    assert_eq!((status(0).as_str(), status(1).as_str(), status(7).as_str()), ("moved", "found", "absent"));
    assert_eq!(answers[0]["place"]["line"], 14);
    assert!(answers[0]["note"].as_str().is_some_and(|note| note.contains("there it is at leaves_pushed+0x2")));
    assert_eq!(answers[7]["place"], Value::Null, "no place is made up");
    assert!((10..20).all(|at| status(at) == "gone" && answers[at]["code"].is_string()), "{answers:#?}");
    // The log's time tells as well that the object is another one.
    tree.write("log.txt", &log);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(tree.path("log.txt")).expect("the log");
    file.set_modified(old).expect("a time");
    let out = tree.run_in(tree.0.path(), &["--format", "errorfile", "log.txt"], "");
    assert!(text(&out.stdout).contains("it is newer than the log"), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("lib/b.o is not there"), "{}", text(&out.stdout));
}

#[test]
fn a_log_without_objtool_is_as_it_was() {
    let tree = Tree::new();
    let long = "x".repeat(200_000);
    let log = format!("  CC a.o\n{long}\nwarning: objtool: \n: warning: objtool: x\nlast");
    let out = tree.run(&[], &log);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(0), log));
}

#[test]
fn words_of_objtools_lead_to_the_page() {
    let explain = |words: &str| {
        let out = Command::new(env!("CARGO_BIN_EXE_orcls")).args(["explain", words]).output().expect("orcls runs");
        (out.status.code(), text(&out.stdout))
    };
    let (status, page) = explain("foo+0x1c3: return with modified stack frame");
    assert_eq!(status, Some(0));
    assert!(page.contains("return-with-modified-frame"), "{page}");
    for (line, (code, _)) in LINES.iter().zip(marked()) {
        let (_, page) = explain(&format!("a.o: warning: objtool: {line}"));
        assert!(page.contains(&code), "{line}: {page}");
    }
    assert_eq!(explain("no such words at all").0, Some(2));
}

/// Runs orcls in the tree.
fn orcls(tree: &Tree, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
    let out = command.args(arguments).current_dir(tree.0.path()).output().expect("orcls runs");
    (out.status.code(), text(&out.stdout))
}

#[test]
fn frames_of_traces_lead_to_their_lines() {
    let tree = Tree::new();
    // Where the call returns to, and the call itself.
    let (status, shown) = orcls(&tree, &["where", "calls_open+0x8/0xc", "a.o"]);
    assert!(status == Some(0) && shown.contains("a.S:37:"), "{shown}");
    let (_, shown) = orcls(&tree, &["where", "--call", "calls_open+0x8/0xc", "a.o"]);
    assert!(shown.contains("a.S:36:"), "{shown}");
    // Two objects have the function, and a module is one of its name.
    let (_, shown) = orcls(&tree, &["where", "--format", "json", "joins+0x5"]);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let (_, shown) = orcls(&tree, &["where", "--format", "json", "joins+0x5/0x8 [b]", "."]);
    assert!(shown.lines().count() == 1 && shown.contains("lib/b.S"), "{shown}");
    // Another size is another function.
    assert_eq!(orcls(&tree, &["where", "joins+0x5/0x200", "."]).0, Some(2));
    assert_eq!(orcls(&tree, &["where", "no place", "."]).0, Some(2));
}

#[test]
fn a_disassembly_has_states_and_only_what_was_asked_for() {
    let tree = Tree::new();
    let (_, shown) = orcls(&tree, &["check", "--format", "objtool", "--disas=*pushed", "a.o"]);
    let listing: Vec<&str> = shown.lines().filter(|line| line.contains("leaves_pushed+0x")).collect();
    assert!(listing.iter().any(|line| line.contains("push %rbx") && line.contains("rsp+8")), "{shown}");
    assert!(listing.iter().any(|line| line.contains("ret") && line.contains("rsp+16") && line.contains("rbx@-16")));
    assert!(!shown.contains("is_fine+0x"), "{shown}");
}
