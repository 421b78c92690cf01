//! What is said of Rust objects, which the installed rustc makes of `tests/rust/inputs`.
//!
//! In: a small driver.  Out: findings by name, on the lines of the driver.
//! Holds afterwards: without a rustc that knows naked functions, a test says so and passes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use orcls::lsp::engine::Toolchain;
use serde_json::{Value, json};

use crate::lsp::client::Client;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rust/inputs");

/// The driver's object beside a copy of its text.
struct Driver {
    folder: tempfile::TempDir,
    text: String,
}

static DRIVER: LazyLock<Option<Driver>> = LazyLock::new(make);

fn make() -> Option<Driver> {
    make_of("drivers.rs")
}

fn make_of(name: &str) -> Option<Driver> {
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(Path::new(SOURCES).join(name)).expect("the driver");
    std::fs::write(folder.path().join("drivers.rs"), &text).expect("a copy");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let flags = "--edition=2021 --crate-type=lib --emit=obj -Cpanic=abort -Copt-level=2 -Cdebuginfo=2 -Crelocation-model=static \
                 -Ccode-model=kernel -Csymbol-mangling-version=v0 -Ccodegen-units=1 -Awarnings --crate-name drivers -o drivers.o drivers.rs";
    let made = Command::new(rustc).args(flags.split_whitespace()).current_dir(folder.path()).output();
    match made {
        Ok(Output { status, .. }) if status.success() => Some(Driver { folder, text }),
        other => {
            eprintln!("skipped: no rustc that makes the driver: {other:?}");
            None
        }
    }
}

impl Driver {
    fn object(&self) -> PathBuf {
        self.folder.path().join("drivers.o")
    }

    fn findings(&self, more: &[&str]) -> Vec<Value> {
        let out = orcls(&[&["check", "--kernel", "7.3", "--format", "json", "--orc"], more].concat(), &self.object());
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {out:?}"));
        report["findings"].as_array().expect("findings").clone()
    }

    /// The number of the line that has a remark.
    fn line(&self, remark: &str) -> u64 {
        let at = self.text.lines().position(|line| line.contains(&format!("// {remark}")));
        at.expect("the driver has the remark") as u64 + 1
    }
}

fn orcls(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orcls")).args(arguments).arg(file).output().expect("orcls runs")
}

#[track_caller]
fn of<'a>(findings: &'a [Value], function: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["function_name"] == function && finding["objtool"].is_string());
    found.unwrap_or_else(|| panic!("nothing in {function}: {findings:#?}"))
}

#[track_caller]
fn check(finding: &Value, line: u64, words: &[&str]) {
    let message = finding["message"].as_str().expect("a message");
    assert_eq!(finding["line"], line, "{finding:#?}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn the_call_that_never_returns_is_named_on_the_drivers_line() {
    let Some(driver) = &*DRIVER else { return };
    let findings = driver.findings(&[]);
    let finding = of(&findings, "drivers::first");
    let message = finding["message"].as_str().expect("a message");
    assert!(message.starts_with("core::panicking::panic_unlist() never returns"), "{message}");
    assert!(message.contains("objtool 7.3 does not list it"), "{message}");
    let entry = &finding["never_returns"]["entry"];
    assert_eq!(entry["text"], "str_ends_with(func->name, \"_4core9panicking12panic_unlist\")");
    assert_eq!(entry["file"], "tools/objtool/check.c");
    assert!(finding["file"].as_str().expect("a file").ends_with("drivers.rs"), "{finding:#?}");
    // The last call before the end is to blame, whichever block it is.
    let second = of(&findings, "drivers::second");
    let dies = second["never_returns"]["path"] == "core::panicking::panic_second";
    assert!(dies || second["never_returns"]["path"] == "core::panicking::panic_unlist", "{second:#?}");
}

#[test]
fn a_check_that_does_not_hold_is_named_with_its_call() {
    let Some(driver) = &*DRIVER else { return };
    let (check_line, call) = (driver.line("the check"), driver.line("the call"));
    let findings = driver.findings(&[]);
    let words = [format!("line {check_line}"), format!("the call on line {call}"), "Io<8>>::write".to_owned()];
    check(of(&findings, "drivers::probe"), check_line, &words.each_ref().map(String::as_str));
}

#[test]
fn naked_functions_are_placed_by_their_text() {
    let Some(driver) = &*DRIVER else { return };
    let findings = driver.findings(&["--all"]);
    let left = findings
        .iter()
        .find(|finding| finding["function"] == "switch_to_fiber" && finding["code"] == "return-with-modified-frame");
    let push = format!("line {}", driver.line("the push"));
    check(left.expect("the push is left"), driver.line("the return"), &["8 bytes", &push]);
}

#[test]
fn asm_that_pushes_is_named() {
    let Some(driver) = &*DRIVER else { return };
    let findings = driver.findings(&["--all"]);
    let found = findings.iter().find(|finding| finding["function_name"] == "drivers::sample");
    check(
        found.expect("the push is found"),
        driver.line("the asm"),
        &["the `asm!` on line", "pushes 8 bytes that nothing pops"],
    );
}

#[test]
fn asm_is_named_without_the_text_too() {
    let Some(driver) = make() else { return };
    std::fs::remove_file(driver.folder.path().join("drivers.rs")).expect("the text goes");
    let out = orcls(&["check", "--kernel", "7.3", "--all", "--orc"], &driver.object());
    let text = String::from_utf8_lossy(&out.stdout);
    let asm = format!("the `asm!` on line {} pushes 8 bytes", driver.line("the asm"));
    assert!(text.contains(&asm), "{text}");
    assert!(!text.contains(".text:1:1"), "{text}");
    assert!(text.contains("panic_unlist() never returns"), "{text}");
}

#[test]
fn a_function_without_a_body_is_told_at_its_fn() {
    let Some(driver) = &*DRIVER else { return };
    let findings = driver.findings(&["--all"]);
    let found = findings.iter().find(|finding| finding["code"] == "missing-body");
    let line = driver.line("the undefined one is above") - 1;
    check(found.expect("the body is gone"), line, &["Regulator>::get()", "undefined behaviour"]);
}

#[test]
fn branches_without_thunks_are_told_with_rustc_s_options() {
    let Some(driver) = &*DRIVER else { return };
    let findings = driver.findings(&["--retpoline"]);
    let call = of(&findings, "drivers::visit");
    check(call, driver.line("through a pointer"), &["indirect call", "retpoline-indirect-calls"]);
    let jumps = findings.iter().filter(|finding| finding["function_name"] == "drivers::dispatch");
    let jumps: Vec<&Value> = jumps.filter(|finding| finding["code"] == "indirect-branch").collect();
    let told = |finding: &&Value| finding["message"].as_str().is_some_and(|told| told.contains("jump-tables"));
    assert!(jumps.iter().all(told), "{jumps:#?}");
}

/// Each finding once, on the driver's own lines.
#[test]
fn asm_that_is_jumped_over_and_open_user_access_are_placed() {
    let Some(driver) = &*DRIVER else { return };
    let findings = driver.findings(&["--uaccess"]);
    let call = of(&findings, "drivers::copy_in");
    let opened = format!("opened at line {}", driver.line("opened"));
    check(call, driver.line("called"), &["drivers::checksum()", "user access open", &opened]);
    let printed = |name: &str| {
        let own = findings.iter().filter(|finding| finding["function_name"] == name && finding["objtool"].is_string());
        own.count()
    };
    let callers = ["drivers::first", "drivers::second", "drivers::probe", "drivers::copy_in"];
    assert_eq!(callers.map(printed), [1; 4], "{findings:#?}");
    let Some(skipping) = make_of("skipping.rs") else { return };
    let all = skipping.findings(&[]);
    let [only] = all.as_slice() else { panic!("{all:#?}") };
    check(only, skipping.line("jumped over"), &["no path leads to"]);
}

#[test]
fn what_never_returns_is_listed() {
    let Some(driver) = &*DRIVER else { return };
    let out = orcls(&["noreturn", "--kernel", "7.3", "--format", "list"], &driver.object());
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(text, "# tools/objtool/noreturns.h\nNORETURN(fatal)\n", "{out:?}");
    assert_eq!(out.status.code(), Some(1));
    let old = orcls(&["noreturn", "--kernel", "6.1", "--format", "list"], &driver.object());
    assert_eq!(String::from_utf8_lossy(&old.stdout), "# tools/objtool/check.c\n\"fatal\",\n");
}

#[test]
fn unbuilt_rust_is_not_compiled() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.rs");
    std::fs::write(&file, "").expect("a file");
    let out = orcls(&["check"], &file);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("by the objects that the build leaves"), "{said}");
    assert_eq!(out.status.code(), Some(2));
}

/// Hovers name functions as their authors do; the symbols of rustc say nothing to them.
#[test]
fn hovers_in_rust_have_no_mangled_names() {
    let Some(driver) = make() else { return };
    let folder = driver.folder.path();
    let recipe = "savedcmd_drivers.o := rustc --emit=obj -o drivers.o drivers.rs\n\nsource_drivers.o := drivers.rs\n\ndeps_drivers.o := \\\n  drivers.rs \\\n";
    std::fs::write(folder.join(".drivers.o.cmd"), recipe).expect("a recipe");
    let (uri, root) = (format!("file://{}/drivers.rs", folder.display()), format!("file://{}", folder.display()));
    let params = json!({
        "workspaceFolders": [{"uri": root, "name": "w"}],
        "capabilities": {"textDocument": {"publishDiagnostics": {"relatedInformation": true}}},
        "initializationOptions": {"orcls": {"kernel": "7.3"}},
    });
    let mut client = Client::start(Toolchain::new().expect("an engine"), params);
    let document = json!({"uri": uri, "languageId": "rust", "version": 1, "text": driver.text});
    client.notify("textDocument/didOpen", json!({"textDocument": document}));
    assert!(!client.published_at(&uri, 1).is_empty());
    let mut said = String::new();
    for line in 0..driver.text.lines().count() {
        let params = json!({"textDocument": {"uri": uri}, "position": {"line": line, "character": 8}});
        let hover = client.request("textDocument/hover", params).expect("an answer");
        said.push_str(hover["contents"]["value"].as_str().unwrap_or_default());
    }
    assert!(said.contains("drivers::first"), "{said}");
    assert!(!said.contains("_R"), "{said}");
    client.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    client.published(&uri);
}
