//! The program from the outside: every command, its output, its complaints and its exit status.
//!
//! In: assembly, built by the C compiler in a folder of the test's own.  Out: what a shell would see.
//! Holds afterwards: every JSON line fits its schema in `docs/schema`, every SARIF document that of OASIS.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orcls::image::ElfImage;
use serde_json::Value;

/// Pushes and returns: line 5 is wrong.
const BROKEN: &str = "\t.text
\t.type broken, @function
broken:
\tpush %rbx
\tret
\t.size broken, . - broken
\t.section .note.GNU-stack, \"\", @progbits
";
/// Nothing wrong here.
const CLEAN: &str = "\t.text
\t.type clean, @function
clean:
\tpush %rbx
\tpop %rbx
\tret
\t.size clean, . - clean
\t.section .note.GNU-stack, \"\", @progbits
";
/// What objtool says about [`BROKEN`].
const COMPLAINT: &str = "broken.o: warning: objtool: broken+0x1: return with modified stack frame\n";
/// Flags and release, so that nothing depends on what is guessed.
const RULES: [&str; 3] = ["--kernel", "6.12", "--orc"];

/// A folder to work in.
struct Folder(tempfile::TempDir);

/// What a run of the program came to.
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// A folder with `clean.o` and `broken.o`.
    fn with_both() -> Folder {
        let folder = Folder::new();
        folder.assemble("clean.S", CLEAN);
        folder.assemble("broken.S", BROKEN);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Builds `source` beside itself, with lines.
    #[track_caller]
    fn assemble(&self, name: &str, source: &str) -> PathBuf {
        let path = self.write(name, source);
        let object = path.with_extension("o");
        let include = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/include");
        let built = Command::new("cc")
            .args(["-c", "-g", "-DKERNEL=612", "-I", include, "-o"])
            .arg(&object)
            .arg(&path)
            .current_dir(self.path())
            .output()
            .expect("a C compiler is needed");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        object
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        command.args(arguments).current_dir(self.path()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command with [`RULES`].
    fn run_by_rules(&self, arguments: &[&str]) -> Run {
        self.run(&[arguments, &RULES].concat())
    }
}

/// Fails unless `text` fits the schema in the file `schema`, below the project's folder.
#[track_caller]
pub(crate) fn fits(text: &str, schema: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(schema);
    let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("schema.json", document).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(&value, index) {
        panic!("{schema}: {error:#}\n{text}");
    }
    value
}

#[test]
fn a_clean_object_is_silent() {
    let run = Folder::with_both().run_by_rules(&["check", "clean.o"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn objtool_format_is_objtools_line() {
    let run = Folder::with_both().run_by_rules(&["check", "--format", "objtool", "clean.o", "broken.o"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (Some(1), COMPLAINT, ""));
}

#[test]
fn text_shows_the_line_that_is_wrong() {
    let run = Folder::with_both().run_by_rules(&["check", "broken.o"]);
    assert_eq!(run.status, Some(1));
    assert!(run.stdout.starts_with("error[return-with-modified-frame]: "), "{}", run.stdout);
    assert!(run.stdout.contains("--> broken.S:5:"), "{}", run.stdout);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("5 |")).expect("line 5 is shown");
    assert!(lines[at].ends_with("ret") && lines[at + 1].contains("^^^"), "{}", run.stdout);
    assert!(lines.iter().any(|line| line.starts_with("4 |") && line.ends_with("push %rbx")), "{}", run.stdout);
    assert!(run.stdout.contains("orcls explain return-with-modified-frame"), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b'), "no colours on a pipe");
}

#[test]
fn without_lines_the_instruction_is_shown() {
    let folder = Folder::new();
    let object = folder.assemble("broken.S", BROKEN);
    assert!(Command::new("strip").arg("--strip-debug").arg(object).status().unwrap().success());
    let run = folder.run_by_rules(&["check", "broken.o"]);
    assert!(run.stdout.contains("0x1: ret"), "{}", run.stdout);
    assert!(run.stdout.contains("no source line: "), "{}", run.stdout);
}

#[test]
fn json_fits_its_schema() {
    let run = Folder::with_both().run_by_rules(&["check", "--format", "json", "clean.o", "broken.o"]);
    assert_eq!(run.status, Some(1));
    let lines: Vec<Value> = run.stdout.lines().map(|line| fits(line, "docs/schema/check.schema.json")).collect();
    assert_eq!(lines[0]["object"], "clean.o");
    assert_eq!(lines[0]["findings"], Value::Array(Vec::new()));
    let finding = &lines[1]["findings"][0];
    assert_eq!(finding["code"], "return-with-modified-frame");
    assert_eq!(finding["objtool"], "broken+0x1: return with modified stack frame");
    assert_eq!((&finding["line"], &finding["offset"]), (&Value::from(5), &Value::from(1)));
    assert!(finding["file"].as_str().unwrap().ends_with("broken.S"));
    let cause = finding["path"].as_array().unwrap().iter().find(|step| step["kind"] == "cause").unwrap();
    assert_eq!(cause["line"], 4);
}

#[test]
fn sarif_fits_its_schema() {
    let run = Folder::with_both().run_by_rules(&["check", "--format", "sarif", "clean.o", "broken.o"]);
    assert_eq!(run.status, Some(1));
    let log = fits(&run.stdout, "tests/schema/sarif-2.1.0.json");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "return-with-modified-frame");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 5);
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "return-with-modified-frame");
}

#[test]
fn sarif_of_nothing_is_a_document_too() {
    let run = Folder::with_both().run_by_rules(&["check", "--format", "sarif", "clean.o"]);
    assert_eq!(run.status, Some(0));
    fits(&run.stdout, "tests/schema/sarif-2.1.0.json");
}

#[test]
fn broken_files_are_said_and_hide_no_other() {
    let folder = Folder::with_both();
    let whole = fs::read(folder.path().join("broken.o")).unwrap();
    folder.write("empty.o", "");
    folder.write("cut.o", &whole[..whole.len() / 2]);
    folder.write("text.o", "no object at all, but long enough to have a header");
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.o")).status().unwrap().success());
    let files = ["empty.o", "broken.o", "cut.o", "text.o", "pipe.o", "gone.o", "clean.o"];
    let run = folder.run_by_rules(&[&["check", "--format", "objtool"], &files[..]].concat());
    assert_eq!(run.status, Some(2));
    assert_eq!(run.stdout, COMPLAINT);
    let said: Vec<&str> = run.stderr.lines().collect();
    for file in ["empty.o", "cut.o", "text.o", "pipe.o", "gone.o"] {
        let about: Vec<_> = said.iter().filter(|line| line.starts_with(&format!("orcls: error: {file}: "))).collect();
        assert_eq!(about.len(), 1, "{file}: {}", run.stderr);
    }
    assert_eq!(said.len(), 5, "{}", run.stderr);
}

#[test]
fn a_folder_is_searched_and_order_does_not_depend_on_threads() {
    let folder = Folder::with_both();
    for at in 0..40 {
        let to = folder.path().join(format!("deep/{}/{at}.o", at % 3));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(folder.path().join("broken.o"), to).unwrap();
    }
    folder.write("deep/.hidden.o", "not looked at");
    folder.write("deep/readme.txt", "not looked at");
    let one = folder.run_by_rules(&["check", "--format", "objtool", "-j", "1", "deep"]);
    let four = folder.run_by_rules(&["check", "--format", "objtool", "-j", "4", "deep"]);
    assert_eq!(one.status, Some(1));
    assert_eq!(one.stdout.lines().count(), 40);
    assert!(one.stdout.starts_with("deep/0/0.o: warning: "));
    assert_eq!(one.stdout, four.stdout);
    assert_eq!(one.stderr, "40 objects checked, 40 findings in 40 objects\n");
}

#[test]
fn known_findings_are_left_out() {
    let folder = Folder::with_both();
    let known = folder.run_by_rules(&["check", "--format", "json", "broken.o"]).stdout;
    folder.write("known.json", &known);
    for format in ["text", "objtool", "json", "sarif"] {
        let run = folder.run_by_rules(&["check", "--format", format, "--baseline", "known.json", "broken.o"]);
        assert_eq!(run.status, Some(0), "{format}: {}{}", run.stdout, run.stderr);
        assert!(!run.stdout.contains("return with modified stack frame"), "{}", run.stdout);
    }
    // An offset says nothing; another object is not known.
    folder.assemble("broken.S", &BROKEN.replace("\tpush %rbx\n", "\tnop\n\tpush %rbx\n"));
    folder.assemble("other.S", BROKEN);
    let other =
        folder.run_by_rules(&["check", "--format", "objtool", "--baseline", "known.json", "other.o", "broken.o"]);
    assert_eq!((other.status, other.stdout), (Some(1), COMPLAINT.replace("broken.o", "other.o")));
    folder.write("known.json", "no JSON");
    let run = folder.run_by_rules(&["check", "--baseline", "known.json", "broken.o"]);
    assert_eq!((run.status, run.stderr.contains("known.json: line 1")), (Some(2), true), "{}", run.stderr);
}

#[test]
fn flags_come_from_the_build_and_unchecked_objects_are_skipped() {
    let folder = Folder::with_both();
    let cmd = |name: &str, rest: &str| {
        folder.write(&format!(".{name}.o.cmd"), format!("savedcmd_{name}.o := cc -c -o {name}.o {name}.S {rest}\n"));
    };
    cmd("clean", "; ./tools/objtool/objtool --orc --uaccess clean.o");
    cmd("broken", "");
    let run = folder.run(&["check", "."]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    let why = "it is no kernel code (no -D__KERNEL__ in its command or project)";
    assert_eq!(run.stderr, format!("1 object checked, 1 skipped ({why}), nothing found\n"));
    let named = folder.run(&["check", "--format", "objtool", "broken.o"]);
    assert_eq!((named.status, named.stdout.as_str()), (Some(2), ""));
    assert!(named.stderr.contains(&format!("broken.o: not checked, because {why}")), "{}", named.stderr);
    let told = folder.run(&["check", "--format", "objtool", "--kernel", "6.12", "broken.o"]);
    assert_eq!((told.status, told.stdout.as_str()), (Some(1), COMPLAINT));
}

#[test]
fn objects_of_other_machines_are_skipped_in_folders_only() {
    let folder = Folder::with_both();
    let mut foreign = fs::read(folder.path().join("clean.o")).unwrap();
    foreign[18] = 183;
    folder.write("arm.o", foreign);
    let run = folder.run_by_rules(&["check", "--format", "objtool", "."]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert!(run.stderr.starts_with("2 objects checked, 1 skipped"), "{}", run.stderr);
    assert!(run.stderr.contains("(it is an object for arm64)"), "{}", run.stderr);
    let named = folder.run(&["check", "--format", "objtool", "arm.o"]);
    assert_eq!(named.status, Some(2));
    assert!(named.stderr.contains("an object for arm64"), "{}", named.stderr);
}

#[test]
fn a_folder_that_cannot_be_read_is_said() {
    let folder = Folder::with_both();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&locked).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let run = folder.run_by_rules(&["check", "--format", "objtool", "."]);
    assert_eq!(run.status, Some(2));
    assert!(run.stderr.contains("locked"), "{}", run.stderr);
}

#[test]
fn all_goes_on_behind_a_functions_first_finding() {
    let folder = Folder::new();
    folder.assemble(
        "two.S",
        "\t.text\n\t.type two, @function\ntwo:\n\ttest %rdi, %rdi\n\tjz 1f\n\tpush %rbx\n\tret\n1:\tpush %rbp\n\tret\n\t.size two, . - two\n",
    );
    let count = |run: Run| {
        run.stdout
            .lines()
            .flat_map(|line| fits(line, "docs/schema/check.schema.json")["findings"].as_array().cloned())
            .flatten()
            .count()
    };
    assert_eq!(count(folder.run_by_rules(&["check", "--format", "json", "two.o"])), 1);
    assert_eq!(count(folder.run_by_rules(&["check", "--format", "json", "--all", "two.o"])), 2);
}

#[test]
fn colours_only_where_they_are_wanted() {
    let folder = Folder::with_both();
    let always = folder.run_by_rules(&["check", "--color", "always", "broken.o"]);
    assert!(always.stdout.contains("\x1b["), "{}", always.stdout);
    let never = folder.run_by_rules(&["check", "--color", "never", "broken.o"]);
    assert!(!never.stdout.contains('\x1b'));
}

#[test]
fn a_terminal_gets_colours_and_progress() {
    let folder = Folder::with_both();
    for at in 0..60 {
        fs::copy(folder.path().join("broken.o"), folder.path().join(format!("{at}.o"))).unwrap();
    }
    let line = format!("{} check --kernel 6.12 --orc .", env!("CARGO_BIN_EXE_orcls"));
    // `script` (util-linux) runs its command on a terminal of its own.
    let run = Command::new("script").args(["-qec", &line, "/dev/null"]).current_dir(folder.path()).output();
    let Ok(run) = run else {
        eprintln!("skipped: `script` is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(text.contains("\x1b["), "colours");
    assert!(text.contains("/62 objects"), "progress: {}", text.chars().take(2000).collect::<String>());
    assert_eq!(run.status.code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::with_both();
    let files: Vec<String> = (0..200).map(|_| "broken.o".to_owned()).collect();
    let mut arguments = vec!["check"];
    arguments.extend(files.iter().map(String::as_str));
    arguments.extend(RULES);
    let mut child = folder.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_cannot_be_shown_is_said_plainly() {
    let folder = Folder::with_both();
    folder.write("empty/none.txt", "");
    folder.write("a.a", format!("!<arch>\n{:<60}", "a.o/"));
    let mut arm = fs::read(folder.path().join("clean.o")).unwrap();
    arm[18] = 183;
    folder.write("arm.o", arm);
    for (arguments, status, expected) in [
        (&["cfi", "clean.o", "--function", "clan"][..], 2, "there is no function `clan`; there is `clean`"),
        (&["cfi", "clean.o", "--function", "xyzzy"], 2, "there is no function `xyzzy` among its 1 functions"),
        (&["cfi", "clean.o", "--at", "clean.S:999"], 2, "no code comes from line 999 of clean.S"),
        (&["alternatives", "clean.o", "--function", "clan"], 2, "there is no function `clan`"),
        (&["alternatives", "clean.o"], 0, "there are no alternatives in it"),
        (&["cfi", "a.a"], 2, "a.a: not analysed, because it is"),
        (&["cfi", "arm.o"], 2, "arm.o: not analysed, because it is"),
        (&["orc", "show", "empty"], 2, "empty: there is no object in it or below it"),
        (&["check", "-p", "nowhere", "clean.o"], 2, "there is no such folder"),
    ] {
        let run = folder.run(arguments);
        assert_eq!(run.status, Some(status), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn tables_have_headings() {
    let folder = Folder::with_both();
    let run = folder.run(&["cfi", "--kernel", "6.12", "clean.o"]);
    let head = run.stdout.lines().next().unwrap_or_default();
    let words: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(words, ["offset", "bytes", "instruction", "CFA", "saved", "ORC"]);
    assert_eq!(run.stdout.lines().nth(1), Some("clean .text"));
}

#[test]
fn help_is_asked_for_as_elsewhere() {
    let folder = Folder::with_both();
    for arguments in [&["-h"][..], &["check", "-h"], &["check", "-h", "clean.o"], &["orc", "show", "-h"]] {
        let run = folder.run(arguments);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(run.stdout.contains("Usage: orcls"), "{arguments:?}");
    }
    let (own, all) = (folder.run(&["check", "--help"]), folder.run(&["check", "--help", "objtool"]));
    assert!(own.stdout.contains("Examples:") && !own.stdout.contains("--uaccess"), "{}", own.stdout);
    assert!(all.stdout.contains("--uaccess"), "{}", all.stdout);
    for shell in ["bash", "zsh", "fish"] {
        assert!(folder.run(&["completions", shell]).stdout.contains("alternatives"), "{shell}");
    }
    assert!(folder.run(&["man"]).stdout.contains(".TH orcls 1"));
    assert_eq!(folder.run(&["man", "pages"]).status, Some(0));
    assert!(folder.path().join("pages/orcls-check.1").exists());
}

#[test]
fn objtools_own_flags_are_accepted() {
    let folder = Folder::with_both();
    let flags = "--stackval --orc --uaccess --noinstr --retpoline --rethunk --sls --ibt --link --module --no-unreachable \
                 --prefix=16 --cfi --hacks=jump_label,noinstr --static-call --mcount --mnop --dry-run --verbose --stats";
    let mut arguments = vec!["check", "--format", "objtool", "--kernel", "6.12", "-h"];
    arguments.extend(flags.split_whitespace());
    arguments.push("clean.o");
    let run = folder.run(&arguments);
    assert_ne!(run.status, Some(2), "{}", run.stderr);
    let unknown = folder.run(&["check", "--no-such-flag", "clean.o"]);
    assert_eq!(unknown.status, Some(2));
    assert_eq!(folder.run(&["check", "--hacks=bogus", "clean.o"]).status, Some(2));
    let help = folder.run(&["check", "--help", "objtool"]);
    assert_eq!(help.status, Some(0));
    assert!(help.stdout.contains("--retpoline") && help.stdout.contains("--build-dir"));
}

#[test]
fn kernels_that_are_not_known_are_refused() {
    let run = Folder::with_both().run(&["check", "--kernel", "2.6", "clean.o"]);
    assert_eq!(run.status, Some(2));
    assert!(run.stderr.contains("known are 5.15, 6.1, 6.6, 6.12, 6.18"), "{}", run.stderr);
}

#[test]
fn time_is_said_on_standard_error() {
    let run = Folder::with_both().run_by_rules(&["check", "--time", "clean.o"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""));
    assert!(run.stderr.lines().any(|line| line.trim_start().starts_with("decode ")), "{}", run.stderr);
    let last: Vec<_> = run.stderr.lines().map(str::trim_start).rev().take(2).collect();
    assert!(last[1].starts_with("total ") && last[0].starts_with("peak memory "), "{}", run.stderr);
}

#[test]
fn check_changes_no_object() {
    let folder = Folder::with_both();
    let before = fs::read(folder.path().join("clean.o")).unwrap();
    folder.run(&["check", "--orc", "--mcount", "--mnop", "--hacks=jump_label", "clean.o"]);
    folder.run(&["orc", "show", "--orc", "clean.o"]);
    assert_eq!(fs::read(folder.path().join("clean.o")).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no file was made");
}

#[test]
fn explain_lists_and_explains() {
    let folder = Folder::new();
    let list = folder.run(&["explain"]);
    assert_eq!(list.status, Some(0));
    assert!(list.stdout.lines().any(|line| line.trim_start().starts_with("falls-through ")), "{}", list.stdout);
    let page = folder.run(&["explain", "falls-through"]);
    assert!(page.stdout.starts_with("A path runs from one function into the next\n"), "{}", page.stdout);
    let unknown = folder.run(&["explain", "fall-through"]);
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.stderr.contains("did you mean falls-through?"), "{}", unknown.stderr);
}

#[test]
fn the_demo_shows_a_conflict_and_its_cure() {
    let folder = Folder::new();
    let output = folder.command(&["demo"]).env("TMPDIR", folder.path()).output().unwrap();
    let (shown, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    let (before, after) = shown.split_once("After an edit, not saved").expect("the edit is shown");
    assert!(before.contains("alternative-stack-conflict: "), "{shown}");
    assert!(
        before.contains("objtool would say: save_fl+0x0: stack layout conflict in alternatives: save_fl+0x7"),
        "{shown}"
    );
    assert!(before.contains("Hover on line 11") && before.contains("CFA rsp+16"), "{shown}");
    assert!(after.contains("no findings"), "{shown}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn doctor_says_what_it_took_and_why() {
    let folder = Folder::with_both();
    let here = folder.path().display();
    let database = format!(
        r#"[{{"directory": "{here}", "file": "clean.S", "arguments": ["cc", "-c", "-o", "clean.o", "clean.S"]}}]"#
    );
    folder.write("compile_commands.json", database);
    let run = folder.run(&["doctor", "--format", "json", "clean.S"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let facts = fits(&run.stdout, "docs/schema/doctor.schema.json");
    assert_eq!(facts["build"]["command"][0], "cc");
    assert!(facts["build"]["from"].as_str().unwrap().ends_with("compile_commands.json"));
    assert!(facts["object"]["path"].as_str().unwrap().ends_with("clean.o"));
    assert_eq!(facts["object"]["instructions"], 3);
    fs::remove_file(folder.path().join("clean.o")).unwrap();
    let text = folder.run(&["doctor", "clean.S"]);
    assert_eq!(text.status, Some(0), "{}", text.stderr);
    assert!(text.stdout.contains("clean.S, compiled"), "{}", text.stdout);
    assert!(text.stdout.contains("compile_commands.json"), "{}", text.stdout);
    let elsewhere = Folder::new();
    elsewhere.write("alone.c", "int alone;\n");
    let unknown = elsewhere.run(&["doctor", "--format", "json", "alone.c"]);
    assert_eq!(unknown.status, Some(2));
    let facts = fits(&unknown.stdout, "docs/schema/doctor.schema.json");
    assert!(facts["advice"].as_str().unwrap().contains("compile_commands.json"));
    assert_eq!(folder.run(&["doctor", "nowhere.S"]).status, Some(2));
}

/// Writes the database by which `name`.S is built.
fn database(folder: &Folder, name: &str) {
    let here = folder.path().display();
    let json = format!(
        r#"[{{"directory": "{here}", "file": "{name}.S", "arguments": ["cc", "-c", "-o", "{name}.o", "{name}.S"]}}]"#
    );
    folder.write("compile_commands.json", json);
}

#[test]
fn a_source_is_compiled_as_the_build_does() {
    let folder = Folder::new();
    folder.write("broken.S", BROKEN);
    database(&folder, "broken");
    let run = folder.run_by_rules(&["check", "broken.S"]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains("--> broken.S:5:"), "{}", run.stdout);
    let lines = folder.run_by_rules(&["check", "--format", "objtool", "broken.S"]);
    assert_eq!(lines.stdout, COMPLAINT.replace("broken.o", "broken.S"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no file was made");
}

#[test]
fn a_source_that_does_not_compile_shows_why() {
    let folder = Folder::new();
    folder.write("broken.S", "\tno_such_instruction %rax\n");
    database(&folder, "broken");
    let run = folder.run_by_rules(&["check", "broken.S"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.starts_with("orcls: error: broken.S: it does not compile\n"), "{}", run.stderr);
    assert!(run.stderr.contains("no_such_instruction"), "{}", run.stderr);
}

#[test]
fn a_source_without_a_command_says_how_to_get_one() {
    let folder = Folder::new();
    folder.write("broken.c", "void broken(void) { asm(\"push %rbx\"); }\n");
    let run = folder.run_by_rules(&["check", "broken.c"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("compile_commands.json"), "{}", run.stderr);
}

/// Assembly that the configuration leaves out has no command; without the kernel's folders it would not compile, which says
/// nothing about it.
#[test]
fn assembly_of_a_kernel_that_is_not_built_is_not_given_to_a_compiler() {
    let folder = Folder::new();
    folder.write("Makefile", "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\n");
    folder.write("Kbuild", "");
    fs::create_dir_all(folder.path().join("tools/objtool")).unwrap();
    fs::create_dir_all(folder.path().join("arch/x86/crypto")).unwrap();
    folder.write("arch/x86/crypto/aes.S", "#include <linux/linkage.h>\n");
    for arguments in [&["check", "arch/x86/crypto/aes.S"][..], &["check", "-p", ".", "arch/x86/crypto/aes.S"]] {
        let run = folder.run_by_rules(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.contains("no compile command is known"), "{}", run.stderr);
        assert!(!run.stderr.contains("does not compile"), "{}", run.stderr);
    }
}

#[test]
fn what_one_object_cannot_decide_is_said_once() {
    let folder = Folder::with_both();
    let flags = "--ibt --orc --noinstr --unret --link";
    folder.assemble(
        "entry.S",
        "\t.section .noinstr.text, \"ax\"\n\t.globl entry\n\t.type entry, @function\nentry:\n\tendbr64\n\tcall elsewhere\n\
         \tcall inside\n\tret\n\t.size entry, . - entry\n\t.text\n\t.type inside, @function\ninside:\n\tret\n\
         \t.size inside, . - inside\n",
    );
    for name in ["clean", "broken", "entry"] {
        folder.write(&format!(".{name}.o.cmd"), format!("savedcmd_{name}.o := cc -c -o {name}.o {name}.S\n"));
    }
    folder.write(
        ".built-in.a.cmd",
        "savedcmd_built-in.a := printf \"./%s \" clean.o broken.o entry.o | xargs ar cDPrST built-in.a\n",
    );
    folder.write(
        ".vmlinux.o.cmd",
        format!("savedcmd_vmlinux.o := ld -r -o vmlinux.o ; ./tools/objtool/objtool {flags} vmlinux.o\n"),
    );
    let run = folder.run(&["check", "--kernel", "6.12", "."]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains("return-with-modified-frame"), "{}", run.stdout);
    for flag in ["--noinstr", "--unret", "--ibt"] {
        let said = run.stderr.lines().filter(|line| line.starts_with(&format!("not judged: {flag}: "))).count();
        assert_eq!(said, 1, "{flag}: {}", run.stderr);
    }
    // An object without code that may not be instrumented leaves nothing of that open.
    for (object, n) in [("clean.o", 1), ("entry.o", 3)] {
        let json = folder.run(&["check", "--kernel", "6.12", "--format", "json", object]);
        assert_eq!(fits(&json.stdout, "docs/schema/check.schema.json")["unjudged"].as_array().unwrap().len(), n);
    }
    // Of two calls the object decides the one whose callee it has.
    let own = folder.run(&["check", "--format", "objtool", "entry.o"]);
    assert_eq!(own.stdout, "entry.o: warning: objtool: entry+0x9: call to inside() leaves .noinstr.text section\n");
}

#[test]
fn tables_that_the_build_wrote_are_no_finding() {
    let folder = Folder::with_both();
    folder.run(&["orc", "write", "--kernel", "6.12", "clean.o", "-o", "built.o"]);
    let run = folder.run(&["check", "--kernel", "6.12", "built.o"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    let asked = folder.run_by_rules(&["check", "--format", "objtool", "built.o"]);
    assert_eq!(asked.stdout, "built.o: warning: objtool: file already has .orc_unwind section, skipping\n");
}

#[test]
fn a_table_whose_format_nothing_tells_is_not_written() {
    let folder = Folder::with_both();
    let run = folder.run(&["orc", "write", "clean.o", "-o", "out.o"]);
    assert_eq!(run.status, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("nothing is written") && !folder.path().join("out.o").exists(), "{}", run.stderr);
}

#[test]
fn the_table_of_a_linked_object_that_its_parts_brought_is_not_compared() {
    let folder = Folder::with_both();
    folder.run(&["orc", "write", "--kernel", "6.12", "clean.o", "-o", "vmlinux.o"]);
    let objtool = "./tools/objtool/objtool --noinstr --link vmlinux.o";
    folder.write(".vmlinux.o.cmd", format!("savedcmd_vmlinux.o := ld -r -o vmlinux.o ; {objtool}\n"));
    let run = folder.run(&["orc", "diff", "--kernel", "6.12", "vmlinux.o"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    assert!(run.stderr.contains("those of its parts"), "{}", run.stderr);
    // Up to 5.17 there is no recipe of it.
    fs::remove_file(folder.path().join(".vmlinux.o.cmd")).expect("it is there");
    fs::create_dir_all(folder.path().join("include/config")).expect("a folder");
    folder.write("include/config/kernel.release", "6.12.1\n");
    let run = folder.run(&["orc", "diff", "vmlinux.o"]);
    assert!(run.status == Some(2) && run.stderr.contains("those of its parts"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn a_table_is_compared_with_what_objtool_made_it_from() {
    // What is not to be validated has no rows, and neither has the padding before it; objtool names that for it all the same.
    let folder = Folder::new();
    folder.assemble(
        "padded.S",
        "\t.text\n\t.skip 16, 0x90\n\t.globl odd\n\t.type odd, @function\nodd:\n\tpush %rax\n\tret\n\t.size odd, . - odd\n\
         \t.skip 16, 0x90\n\t.globl even\n\t.type even, @function\neven:\n\tret\n\t.size even, . - even\n\
         \t.section .discard.func_stack_frame_non_standard, \"aw\"\n\t.quad odd\n",
    );
    for kernel in ["6.12", "7.2"] {
        let flags = ["--kernel", kernel, "--orc", "--prefix=16"];
        let run = folder.run(&[&["orc", "write", "padded.o", "-o", "built.o"], &flags[..]].concat());
        assert_eq!(run.status, Some(0), "{kernel}: {}", run.stderr);
        let run = folder.run(&[&["orc", "diff", "built.o"], &flags[..]].concat());
        assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""), "{kernel}: {}", run.stderr);
    }
}

#[test]
fn flags_are_guessed_from_what_the_object_shows() {
    let folder = Folder::with_both();
    folder.assemble(
        "thunks.S",
        "\t.text\n\t.skip 16, 0x90\n\t.type f, @function\nf:\tcall __x86_indirect_thunk_rax\n\tjmp __x86_return_thunk\n\
         \t.size f, . - f\n\t.section __patchable_function_entries, \"aw\"\n\t.quad f - 16\n",
    );
    let flags = |object: &str| {
        let run = folder.run(&["doctor", "--format", "json", object]);
        let facts: Value = serde_json::from_str(&run.stdout).unwrap();
        facts["object"]["flags"].as_str().unwrap().to_owned()
    };
    let plain = flags("clean.o");
    assert!(plain.contains("--orc") && !plain.contains("--retpoline") && !plain.contains("--prefix"), "{plain}");
    let thunks = flags("thunks.o");
    assert!(thunks.contains("--retpoline --rethunk") && thunks.contains("--prefix=16"), "{thunks}");
}

#[test]
fn cfi_prints_every_instruction() {
    let folder = Folder::with_both();
    let run = folder.run_by_rules(&["cfi", "--format", "json", "clean.o"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let listing = fits(&run.stdout, "docs/schema/cfi.schema.json");
    let rows = listing["instructions"].as_array().unwrap();
    let cfa = |row: &Value| (row["offset"].as_u64().unwrap(), row["cfa"]["offset"].as_i64(), row["line"].as_u64());
    assert_eq!(
        rows.iter().map(cfa).collect::<Vec<_>>(),
        [(0, Some(8), Some(4)), (1, Some(16), Some(5)), (2, Some(8), Some(6))]
    );
    assert_eq!(rows[1]["saved"]["rbx"], -16);
    let text = folder.run_by_rules(&["cfi", "clean.o", "--function", "clean"]);
    assert!(text.stdout.contains("rsp+16"), "{}", text.stdout);
    let line = folder.run_by_rules(&["cfi", "--format", "json", "clean.o", "--at", "clean.S:5"]);
    assert_eq!(fits(&line.stdout, "docs/schema/cfi.schema.json")["instructions"].as_array().unwrap().len(), 1);
    let nowhere = folder.run_by_rules(&["cfi", "clean.o", "--function", "nothing"]);
    assert_eq!(nowhere.status, Some(2));
    assert_eq!(folder.run_by_rules(&["cfi", "clean.o", "--at", "clean.S"]).status, Some(2));
}

/// The second figure of the commit that allowed stack changes in alternatives.
const CONFLICT: &str = "#include \"orcls.h\"
SYM_FUNC_START(save_fl)
\tALTERNATIVE \"call *pv_ops; nop\", \"pushf; .nops 6; pop %rax\", FEATURE_A
\tret
SYM_FUNC_END(save_fl)
";

#[test]
fn alternatives_are_a_table_with_the_conflict_marked() {
    let folder = Folder::new();
    folder.assemble("alt.S", CONFLICT);
    let run = folder.run_by_rules(&["alternatives", "--format", "json", "alt.o"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let table = fits(&run.stdout, "docs/schema/alternatives.schema.json");
    let rows = table["groups"][0]["rows"].as_array().unwrap();
    let conflicts: Vec<u64> =
        rows.iter().filter(|row| row["conflict"] == true).map(|row| row["offset"].as_u64().unwrap()).collect();
    assert_eq!(conflicts, [7]);
    let text = folder.run_by_rules(&["alternatives", "alt.o"]);
    assert!(text.stdout.contains("0x07"), "{}", text.stdout);
    assert!(text.stdout.contains("conflict"), "{}", text.stdout);
}

#[test]
fn orc_show_prints_objtools_table() {
    let folder = Folder::with_both();
    let run = folder.run(&["orc", "show", "--kernel", "6.12", "clean.o"]);
    let table = ".text+0:type:call sp:sp+8 bp:(und) signal:0\n\
                 .text+1:type:call sp:sp+16 bp:(und) signal:0\n\
                 .text+2:type:call sp:sp+8 bp:(und) signal:0\n\
                 .text+3:type:(und) sp:(und) bp:(und) signal:0\n";
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), table));
    let two = folder.run(&["orc", "show", "--kernel", "6.12", "clean.o", "clean.o"]);
    assert_eq!(two.stdout, format!("==> clean.o <==\n{table}==> clean.o <==\n{table}"));
    let json = folder.run(&["orc", "show", "--kernel", "6.12", "--format", "json", "clean.o"]);
    let value = fits(&json.stdout, "docs/schema/orc.schema.json");
    assert_eq!(value["rows"].as_array().unwrap().len(), 4);
    let none = folder.run(&["orc", "dump", "--kernel", "6.12", "clean.o"]);
    assert_eq!((none.status, none.stdout.as_str()), (Some(0), ""));
    let diff = folder.run(&["orc", "diff", "--kernel", "6.12", "clean.o"]);
    assert_eq!(diff.status, Some(2));
    let diff = folder.run(&["orc", "diff", "--kernel", "6.12", "."]);
    assert!(diff.status == Some(2) && diff.stderr.contains("nothing was compared"), "{}", diff.stderr);
    folder.run(&["orc", "write", "--kernel", "6.12", "clean.o", "-o", "written.o"]);
    let diff = folder.run(&["orc", "diff", "--kernel", "6.12", "."]);
    assert_eq!((diff.status, diff.stderr.as_str()), (Some(0), ""));
}

#[test]
fn tables_that_objtool_cannot_read_are_refused_in_its_words() {
    let folder = Folder::new();
    let source = "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\tcall g\n\tret\n\t.size f, . - f\n";
    let whole = fs::read(folder.assemble("whole.S", source)).unwrap();
    let image = ElfImage::read(&whole).unwrap();
    let (f, _) = image.symbols().find(|&(id, _)| image.symbol_name(id) == "f").unwrap();
    let symbol = image.section(image.symtab.unwrap()).file_offset as usize + 24 * f.index();
    let text = image.section(image.section_by_name(".text").unwrap());
    let entry = image.section(text.rela.unwrap()).file_offset as usize;
    let headers = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    let header = headers + 64 * text.rela.unwrap().index();
    let relocs = (entry + 12, 0xffff_fff0_u32, "can't find reloc entry symbol -16 for .rela.text");
    let section = (symbol + 6, 0x7777, "couldn't find section for symbol f");
    let base = (header + 44, 0x7777, "can't find base section for reloc section .rela.text");
    let mut torn = Vec::new();
    // Symbols are read before relocations: of two errors this one is told.
    for (cases, words) in
        [(&[relocs][..], relocs.2), (&[section], section.2), (&[base], base.2), (&[relocs, section], section.2)]
    {
        torn.clone_from(&whole);
        for &(at, value, _) in cases {
            let size = if value > 0xffff { 4 } else { 2 };
            torn[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        folder.write("torn.o", &torn);
        for (kernel, level) in [("6.1", "warning"), ("6.12", "warning"), ("7.3", "error")] {
            let run = folder.run(&["check", "--format", "objtool", "--kernel", kernel, "--stackval", "torn.o"]);
            assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
            assert_eq!(run.stderr, format!("torn.o: {level}: objtool: {words}\n"));
        }
    }
}

#[test]
fn flags_that_objtool_refuses_are_refused() {
    let folder = Folder::with_both();
    let run = folder.run(&["check", "--format", "objtool", "--kernel", "6.12", "--noinstr", "clean.o"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(run.stderr, "clean.o: error: objtool: --noinstr requires --link\n");
    let linked = folder.run(&["check", "--format", "objtool", "--kernel", "6.12", "--noinstr", "--link", "clean.o"]);
    assert_eq!((linked.status, linked.stderr.as_str()), (Some(0), ""));
}

#[test]
fn orc_write_stores_what_show_prints() {
    let folder = Folder::with_both();
    let written = folder.run(&["orc", "write", "--kernel", "6.12", "clean.o", "-o", "out.o"]);
    assert_eq!((written.status, written.stderr.as_str()), (Some(0), ""));
    let shown = folder.run(&["orc", "show", "--kernel", "6.12", "clean.o"]);
    let dumped = folder.run(&["orc", "dump", "--kernel", "6.12", "out.o"]);
    assert_eq!(shown.stdout, dumped.stdout);
    assert_eq!(folder.run(&["orc", "diff", "--kernel", "6.12", "out.o"]).status, Some(0));
    let refused = folder.run(&["orc", "write", "--kernel", "6.12", "clean.o", "-o", "clean.o"]);
    assert_eq!(refused.status, Some(2), "the input is never overwritten");
}

#[test]
fn orc_diff_shows_rows_that_differ() {
    let folder = Folder::with_both();
    folder.run(&["orc", "write", "--kernel", "6.12", "clean.o", "-o", "out.o"]);
    let mut bytes = fs::read(folder.path().join("out.o")).unwrap();
    // The second entry's offset from the stack pointer, sixteen bytes, becomes thirty-two.
    let entry = [16, 0, 0, 0, 5, 2];
    let at = bytes.windows(6).position(|window| window == entry).unwrap();
    bytes[at] = 32;
    folder.write("out.o", bytes);
    let run = folder.run(&["orc", "diff", "--kernel", "6.12", "out.o"]);
    assert_eq!(run.status, Some(1));
    let expect = "--- out.o (stored)\n+++ out.o (computed)\n\
                  -.text+1:type:call sp:sp+32 bp:(und) signal:0\n+.text+1:type:call sp:sp+16 bp:(und) signal:0\n";
    assert_eq!(run.stdout, expect);
}

#[test]
fn a_new_finding_with_the_text_of_a_known_one_is_printed() {
    let folder = Folder::new();
    // Two functions of one name, as two files of a module have them: objtool says the same of both.
    let parts = ["one.S", "two.S"].map(|name| folder.assemble(name, BROKEN));
    let linked = Command::new("ld").arg("-r").args(&parts).arg("-o").arg(folder.path().join("broken.o")).status();
    assert!(linked.unwrap().success());
    let known = r#"{"object":"broken.o","findings":[{"code":"return-with-modified-frame","function":"broken"}]}"#;
    folder.write("known.json", known);
    let all = folder.run_by_rules(&["check", "--format", "objtool", "broken.o"]);
    // A linked object is told to be one.
    let complaints =
        |text: &str| -> String { text.split_inclusive('\n').filter(|line| !line.contains("forcing --link")).collect() };
    assert_eq!(complaints(&all.stdout), COMPLAINT.repeat(2), "{}", all.stderr);
    let new = folder.run_by_rules(&["check", "--format", "objtool", "--baseline", "known.json", "broken.o"]);
    assert_eq!((new.status, complaints(&new.stdout).as_str()), (Some(1), COMPLAINT), "{}", new.stderr);
}

#[test]
fn a_known_finding_takes_its_backtrace_with_it() {
    let folder = Folder::with_both();
    let known = r#"{"object":"broken.o","findings":[{"code":"return-with-modified-frame","function":"broken"}]}"#;
    folder.write("known.json", known);
    let check = ["check", "--format", "objtool", "--backtrace"];
    let all = folder.run_by_rules(&[&check[..], &["broken.o"]].concat());
    assert!(all.stdout.lines().count() > 1, "{}", all.stdout);
    let new = folder.run_by_rules(&[&check[..], &["--baseline", "known.json", "broken.o"]].concat());
    assert_eq!((new.status, new.stdout.as_str()), (Some(0), ""), "{}", new.stderr);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = Folder::new();
    let mut command = folder.command(&["lsp"]);
    let run = command.env("TMPDIR", "/nonexistent").env_remove("ORCLS_LOG").stdin(Stdio::null()).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("cannot start"), "{said}");
    assert!(run.stdout.is_empty());
}
