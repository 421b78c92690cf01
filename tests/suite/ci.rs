//! What code hosting sites and continuous integration use: baselines, shards, SARIF that survives, the files that call it.
//!
//! In: small objects.  Out: documents and exit statuses.
//! Holds afterwards: shards put together are the whole, and a fingerprint stays with its finding.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

struct Folder(tempfile::TempDir);

impl Folder {
    /// Five objects, three of them broken, one of them twice in one function.
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        let function =
            |name: &str, body: &str| format!("\t.type {name}, @function\n{name}:\n{body}\t.size {name}, . - {name}\n");
        let broken = function("f", "\tpush %rbx\n\ttest %edi, %edi\n\tjz 1f\n\tret\n1:\tret\n");
        for (name, text) in [
            ("a", function("f", "\tret\n")),
            ("b", broken.clone()),
            ("c", function("g", "\tpush %rbx; call é; ret\n")),
            ("d", function("f", "\tret\n")),
            ("e", format!("{broken}{}", function("h", "\tstd\n\tret\n"))),
        ] {
            folder.assemble(name, &text);
        }
        folder
    }

    fn assemble(&self, name: &str, text: &str) {
        let source = format!("{name}.s");
        std::fs::write(self.0.path().join(&source), format!("\t.text\n{text}")).expect("a source");
        let object = format!("{name}.o");
        let made = Command::new("cc").args(["-g", "-c", &source, "-o", &object]).current_dir(self.0.path()).status();
        assert!(made.is_ok_and(|status| status.success()), "a C compiler assembles");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        command.args(arguments).args(["--kernel", "6.12", "--orc"]).current_dir(self.0.path());
        command.output().expect("orcls runs")
    }

    fn check(&self, arguments: &[&str]) -> Value {
        let out = self.run(&[&["check", "--format", "sarif", "--all"], arguments].concat());
        super::cli::fits(&text(&out.stdout), "tests/schema/sarif-2.1.0.json")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn results(document: &Value) -> Vec<Value> {
    document["runs"][0]["results"].as_array().cloned().unwrap_or_default()
}

fn prints(document: &Value) -> Vec<String> {
    let print = |result: &Value| result["partialFingerprints"]["primaryLocationLineHash"].to_string();
    results(document).iter().map(print).collect()
}

const OBJECTS: [&str; 5] = ["a.o", "b.o", "c.o", "d.o", "e.o"];

#[test]
fn shards_put_together_are_the_whole() {
    let folder = Folder::new();
    let whole = folder.check(&OBJECTS);
    assert_eq!(results(&whole).len(), 6, "{whole:#}");
    for of in [1, 2, 3, 5, 7] {
        let mut files = Vec::new();
        for number in 1..=of {
            let shard = format!("{number}/{of}");
            let part = folder.check(&[&["--shard", &shard], &OBJECTS[..]].concat());
            let name = format!("{number}.sarif");
            std::fs::write(folder.0.path().join(&name), part.to_string()).expect("a document");
            files.push(name);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        let out = command.arg("merge").args(&files).current_dir(folder.0.path()).output().expect("orcls runs");
        assert_eq!(out.status.code(), Some(1));
        assert_eq!(super::cli::fits(&text(&out.stdout), "tests/schema/sarif-2.1.0.json"), whole, "{of} shards");
    }
    for shard in ["0/2", "3/2", "1", "a/b", "1/0"] {
        assert_eq!(folder.run(&["check", "--shard", shard, "a.o"]).status.code(), Some(2), "{shard}");
    }
}

#[test]
fn a_fingerprint_is_of_one_finding_and_stays_with_it() {
    let folder = Folder::new();
    let before = prints(&folder.check(&OBJECTS));
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len(), "{before:?}");
    let moved = "\t.type f, @function\nf:\n\n\tnop\n\tpush %rbx\n\ttest %edi, %edi\n\n\tjz 1f\n\tret\n1:\tret\n\t.size f, . - f\n";
    folder.assemble("b", moved);
    assert_eq!(prints(&folder.check(&OBJECTS)), before);
    let elsewhere = Folder::new();
    assert_eq!(prints(&elsewhere.check(&OBJECTS)), before, "the folder's name is no part of it");
}

#[test]
fn places_are_relative_to_the_root_and_have_columns() {
    let folder = Folder::new();
    let document = folder.check(&["--help-uri", "https://example.org/findings/", "c.o"]);
    let run = &document["runs"][0];
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], serde_json::json!({ "uri": "c.s", "uriBaseId": "SRCROOT" }));
    let root = run["originalUriBaseIds"]["SRCROOT"]["uri"].as_str().unwrap_or_default();
    assert!(root.starts_with("file:///") && root.ends_with('/'), "{root}");
    // The assembler gives no column, so the whole line is meant; behind `é` units and bytes differ.
    let region = &place["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&Value::from(4), &Value::from(2)), "{place:#}");
    assert_eq!(region["endColumn"], 24, "{place:#}");
    let rule = &run["tool"]["driver"]["rules"][0];
    assert_eq!(rule["helpUri"], "https://example.org/findings/return-with-modified-frame.md");
}

#[test]
fn a_baseline_is_kept() {
    let folder = Folder::new();
    let file = folder.0.path().join("known.json");
    let check = |object: &str| folder.run(&["check", "--baseline", "known.json", object]).status.code();
    let update = |more: &[&str]| folder.run(&[&["baseline", "update", "known.json"], more].concat());
    let out = update(&["b.o", "c.o", "a.o"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(
        text(&out.stderr).contains("2 known findings, 2 added, 0 taken out; 3 objects checked"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!((check("b.o"), check("c.o"), check("e.o")), (Some(0), Some(0), Some(1)));
    // What is not named stays, what is gone goes, and with --prune nothing comes in.
    folder.assemble("c", "\t.type g, @function\ng:\tret\n\t.size g, . - g\n");
    let before = std::fs::read_to_string(&file).expect("a baseline");
    assert_eq!(update(&["--prune", "c.o", "e.o"]).status.code(), Some(0));
    let after = std::fs::read_to_string(&file).expect("a baseline");
    assert_eq!((before.lines().count(), after.lines().count()), (2, 1), "{after}");
    assert_eq!((check("b.o"), check("e.o")), (Some(0), Some(1)));
    // What cannot be checked leaves the list as it is, and is said.
    assert_eq!(update(&["gone.o"]).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).expect("a baseline"), after);
    std::fs::write(&file, "no baseline").expect("a file");
    assert_eq!(update(&["b.o"]).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "no baseline");
}

/// The words with two dashes that a file gives to `orcls COMMAND`.
fn flags(file: &str, command: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).expect("the file").replace("\\\n", " ");
    let calls =
        text.lines().filter_map(|line| line.split_once(&format!("orcls {command} ")).map(|(_, rest)| rest.to_owned()));
    let words: Vec<String> =
        calls.flat_map(|rest| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let flag = |word: &String| Some(word.strip_prefix("--")?.split(['=', '"', ']', ',']).next()?.to_owned());
    words.iter().filter_map(flag).filter(|flag| !flag.is_empty()).collect()
}

#[test]
fn the_files_for_others_call_what_there_is() {
    for (file, command) in [("action.yml", "check"), (".pre-commit-hooks.yaml", "check"), ("docs/ci.md", "check")] {
        let flags = flags(file, command);
        assert!(!flags.is_empty(), "{file} calls orcls {command}");
        let out = Command::new(env!("CARGO_BIN_EXE_orcls")).args([command, "--help"]).output().expect("orcls runs");
        let help = text(&out.stdout);
        for flag in flags {
            assert!(help.contains(&format!("--{flag}")), "{file}: orcls {command} has no --{flag}");
        }
    }
}

/// The script of a step of the action.
fn script(step: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    let text = std::fs::read_to_string(path).expect("the file");
    let (_, rest) = text.split_once(&format!("- name: {step}\n")).expect("the step");
    let (_, rest) = rest.split_once("run: |\n").expect("a script");
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("        "));
    lines.map(|line| format!("{}\n", line.get(8..).unwrap_or_default())).collect()
}

#[test]
fn the_action_says_how_it_went() {
    let folder = Folder::new();
    let bin = folder.0.path().join("orcls/bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_orcls"), bin.join("orcls")).expect("a link");
    let check = |paths: &str| {
        let output = folder.0.path().join("output");
        let _ = std::fs::remove_file(&output);
        let mut command = Command::new("bash");
        command.args(["-e", "-c", &script("Check")]).current_dir(folder.0.path());
        for (name, value) in
            [("PATHS", paths), ("KERNEL", "6.12"), ("PAGES", "https://example.org/x"), ("SARIF", "x.sarif")]
        {
            command.env(name, value);
        }
        for name in ["BUILD_DIR", "BASELINE", "SHARD"] {
            command.env(name, "");
        }
        command
            .env("RUNNER_TEMP", folder.0.path())
            .env("GITHUB_WORKSPACE", folder.0.path())
            .env("GITHUB_OUTPUT", &output);
        let out = command.output().expect("bash runs");
        assert!(out.status.success(), "{out:?}");
        let document = std::fs::read_to_string(folder.0.path().join("x.sarif")).expect("a document");
        super::cli::fits(&document, "tests/schema/sarif-2.1.0.json");
        let said = std::fs::read_to_string(output).expect("outputs");
        said.lines().find_map(|line| line.strip_prefix("status=")).expect("a status").to_owned()
    };
    assert_eq!((check("a.o").as_str(), check("a.o b.o").as_str(), check("gone.o").as_str()), ("0", "1", "2"));
    for (fail, status, expect) in [
        ("findings", "0", 0),
        ("findings", "1", 1),
        ("findings", "2", 2),
        ("errors", "1", 0),
        ("errors", "2", 2),
        ("never", "1", 0),
        ("never", "2", 0),
    ] {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", &script("Say how it went")]).env("FAIL", fail).env("STATUS", status);
        let out = command.output().expect("bash runs");
        assert_eq!(out.status.code(), Some(expect), "{fail} {status}");
    }
}
