//! Code actions, inlay hints and code lenses through the real server: real texts, the real compiler, the real analysis.
//! Every action that is offered is applied, and must remove its finding.

#[allow(dead_code, reason = "the client is shared, and these tests need a part of it")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::lsp::client::Client;
use orcls::build::Search;
use orcls::cancel::CancelToken;
use orcls::lsp::config::Config;
use orcls::lsp::engine::Toolchain;
use orcls::lsp::verdict::{Engine, Task, Trouble, Verdict};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The real engine, which counts what it judges, and holds each judgement back until it may begin.
struct Watched {
    engine: Toolchain,
    judged: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    patience: Duration,
}

impl Watched {
    /// Nothing is held back, and who asks for fixes is given all, however long that takes on a loaded machine.
    fn new() -> Watched {
        let most = Arc::new(AtomicUsize::new(usize::MAX));
        Watched { engine: Toolchain::new().expect("an engine"), judged: Arc::default(), most, patience: Duration::MAX }
    }
}

impl Engine for Watched {
    fn judge(&self, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        let number = self.judged.fetch_add(1, Ordering::SeqCst);
        while number >= self.most.load(Ordering::SeqCst) {
            cancel.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        self.engine.judge(task, cancel)
    }

    fn judge_whole(&self, verdict: &Verdict, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        self.engine.judge_whole(verdict, task, cancel)
    }

    fn patience(&self, _compile: Duration) -> Duration {
        self.patience
    }

    fn inspect(
        &self,
        object: &Path,
        config: &Config,
        search: &Search,
        cancel: &CancelToken,
    ) -> Result<Verdict, Trouble> {
        self.engine.inspect(object, config, search, cancel)
    }
}

/// A workspace with one assembly file and its compile command.
struct Workspace {
    dir: TempDir,
    uri: String,
    client: Client,
    version: i64,
}

impl Workspace {
    fn open(text: &str) -> Workspace {
        Workspace::judged_by(Watched::new(), text)
    }

    fn judged_by(engine: impl Engine, text: &str) -> Workspace {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("case.S"), "").expect("the file is written");
        Workspace::in_folder(dir, engine, text)
    }

    fn open_c(text: &str) -> Workspace {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("case.c"), "").expect("the file is written");
        Workspace::in_folder(dir, Watched::new(), text)
    }

    /// On disk as it is opened, and built.
    fn built(text: &str) -> Workspace {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("case.S"), text).expect("the file is written");
        let mut cc = std::process::Command::new("cc");
        let status = cc.args(["-c", "-g", "-o", "case.o", "case.S"]).current_dir(dir.path()).status();
        assert!(status.expect("cc runs").success());
        Workspace::in_folder(dir, Watched::new(), text)
    }

    fn in_folder(dir: TempDir, engine: impl Engine, text: &str) -> Workspace {
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/include");
        let name = if dir.path().join("case.c").exists() { "case.c" } else { "case.S" };
        let file = dir.path().join(name);
        let command = json!([{
            "directory": dir.path(),
            "arguments": ["cc", "-DKERNEL=612", "-I", include, "-g", "-O2", "-c", "-o", "case.o", name],
            "file": name,
        }]);
        std::fs::write(dir.path().join("compile_commands.json"), command.to_string()).expect("the command is written");
        let uri = format!("file://{}", file.display());
        let root = json!([{"uri": format!("file://{}", dir.path().display()), "name": "w"}]);
        let capabilities = json!({"textDocument": {"publishDiagnostics": {"relatedInformation": true}}});
        let params = json!({
            "workspaceFolders": root,
            "capabilities": capabilities,
            "initializationOptions": {"orcls": {"kernel": "6.12"}},
        });
        let mut client = Client::start(engine, params);
        let document = json!({"uri": uri, "languageId": "asm", "version": 1, "text": text});
        client.notify("textDocument/didOpen", json!({"textDocument": document}));
        Workspace { dir, uri, client, version: 1 }
    }

    fn findings(&mut self) -> Vec<Value> {
        self.client.published_at(&self.uri, self.version)
    }

    fn replace(&mut self, text: &str) -> Vec<Value> {
        self.version += 1;
        let document = json!({"uri": self.uri, "version": self.version});
        let params = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        self.client.notify("textDocument/didChange", params);
        self.findings()
    }

    fn actions(&mut self, finding: &Value) -> Vec<Value> {
        let params = json!({
            "textDocument": {"uri": self.uri},
            "range": finding["range"],
            "context": {"diagnostics": [finding]},
        });
        let answer = self.client.request("textDocument/codeAction", params).expect("actions");
        answer.as_array().cloned().unwrap_or_default()
    }

    fn end(mut self) {
        self.client.notify("textDocument/didClose", json!({"textDocument": {"uri": self.uri}}));
        self.client.published(&self.uri);
        drop(self.client);
        drop(self.dir);
    }
}

fn apply(text: &str, action: &Value, uri: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let edits = action["edit"]["changes"][uri].as_array().expect("edits").clone();
    let mut texts = Vec::new();
    for edit in edits.iter().rev() {
        let line = |end: &str| edit["range"][end]["line"].as_u64().expect("a line") as usize;
        texts.push((line("start"), line("end"), edit["newText"].as_str().expect("a text").to_owned()));
    }
    for (start, end, new) in &texts {
        lines.splice(*start..(*end).min(lines.len()), [new.as_str()]);
    }
    lines.concat()
}

/// Every action for the finding `code` is applied; one of them is called `title`.
#[track_caller]
fn check(text: &str, code: &str, title: &str) {
    check_in(Workspace::open(text), text, code, title);
}

/// The actions for the finding `code` are these.
#[track_caller]
fn only(text: &str, code: &str, titles: &[&str]) {
    let mut workspace = Workspace::open(text);
    let findings = workspace.findings();
    let finding = findings.iter().find(|finding| finding["code"] == code);
    let finding = finding.unwrap_or_else(|| panic!("{code} is missing among {findings:#?}")).clone();
    let actions = workspace.actions(&finding);
    let offered: Vec<&str> = actions.iter().filter_map(|action| action["title"].as_str()).collect();
    assert!(!offered.is_empty() && offered.iter().all(|title| titles.contains(title)), "{offered:#?}");
    workspace.end();
}

#[track_caller]
fn check_in(mut workspace: Workspace, text: &str, code: &str, title: &str) {
    let findings = workspace.findings();
    let finding = findings.iter().find(|finding| finding["code"] == code);
    let finding = finding.unwrap_or_else(|| panic!("{code} is missing among {findings:#?}")).clone();
    let actions = workspace.actions(&finding);
    let titles: Vec<&str> = actions.iter().filter_map(|action| action["title"].as_str()).collect();
    assert!(titles.contains(&title), "`{title}` is not among {titles:#?}");
    for action in &actions {
        let fixed = apply(text, action, &workspace.uri);
        let left = workspace.replace(&fixed);
        let same = left.iter().filter(|left| left["code"] == code).count();
        assert_eq!(same, 0, "{} leaves {left:#?} in\n{fixed}", action["title"]);
        assert!(left.len() < findings.len(), "{} brings {left:#?}", action["title"]);
        workspace.replace(text);
    }
    workspace.end();
}

fn function(body: &str) -> String {
    format!("\t.text\n\t.globl f\n\t.type f, @function\nf:\n{body}\t.size f, .-f\n")
}

#[test]
fn a_push_too_many_is_removed_or_taken_back() {
    let text = function("\tpushq %rbx\n\tnop\n\tret\n");
    check(&text, "return-with-modified-frame", "Insert `popq %rbx` before line 7");
    check(&text, "return-with-modified-frame", "Remove `pushq %rbx` in line 5");
}

/// Without the push the text is that of the built object, which answers for it.
#[test]
fn a_push_typed_into_what_was_built_is_removed() {
    let clean = function("\tnop\n\tret\n");
    let mut workspace = Workspace::built(&clean);
    assert_eq!(workspace.findings(), [] as [Value; 0]);
    let findings = workspace.replace(&clean.replace("\tnop\n", "\tpushq %rbx\n\tnop\n"));
    let finding = findings.first().expect("a finding").clone();
    let titles: Vec<Value> = workspace.actions(&finding).iter().map(|action| action["title"].clone()).collect();
    assert!(titles.contains(&json!("Remove `pushq %rbx` in line 5")), "{titles:?}");
    workspace.end();
}

#[test]
fn a_missing_push_is_inserted() {
    let text = function("\tpushq %rbp\n\tnop\n\tpopq %rbx\n\tpopq %rbp\n\tret\n");
    check(&text, "return-with-modified-frame", "Insert `pushq %rbx` before line 6");
}

/// Neither is taken away what brings a register back, nor is the push put right before its pop.
#[test]
fn a_push_that_was_lost_comes_back_where_it_was() {
    let lost = "\tpushq   %rdi\n\tmovq    %rdi, %rdx\n\taddq    %rdx, %rax\n\tpopq    %rdx\n\tpopq    %rdi\n\tret\n";
    only(&function(lost), "return-with-modified-frame", &["Insert `pushq   %rdx` before line 6"]);
    let stray = "\tmovq %rdi, %rax\n\tpopq %rax\n\taddq %rsi, %rax\n\tret\n";
    only(&function(stray), "return-with-modified-frame", &["Remove `popq %rax` in line 6"]);
}

/// An area that is used is not given up because the instruction that took it is missing.
#[test]
fn a_lost_allocation_comes_back_before_its_first_use() {
    let lost = "\tmovq %rbx, 0*8(%rsp)\n\tmovq %r12, 1*8(%rsp)\n\tmovq %rdi, %rbx\n\tmovq 0*8(%rsp), %rbx\n\tmovq 1*8(%rsp), %r12\n\taddq $2*8, %rsp\n\tret\n";
    only(&function(lost), "return-with-modified-frame", &["Insert `subq $2*8, %rsp` before line 5"]);
}

#[test]
fn a_push_between_a_save_and_its_restore_is_removed() {
    let stray = "\tsubq $3*8, %rsp\n\tmovq %rbx, 0*8(%rsp)\n\tpushfq\n\tmovq %rdi, %rbx\n\tmovq 0*8(%rsp), %rbx\n\taddq $3*8, %rsp\n\tret\n";
    let text = function(stray);
    check(&text, "return-with-modified-frame", "Remove `pushfq` in line 7");
}

/// Where a path has given everything back, the code behind it is another path's.
#[test]
fn a_return_that_was_lost_before_other_code_comes_back() {
    let lost = "\tpushfq\n\ttestq %rdi, %rdi\n\tjz 1f\n\tpopfq\n1:\n\tmovq %rsi, %rax\n\tpopfq\n\tret\n";
    only(&function(lost), "stack-state-mismatch", &["Insert `ret` after line 8", "Insert `RET` after line 8"]);
    let lost = "\ttestq %rdi, %rdi\n\tjz 13f\n\tmovq %rsi, %rax\n13:\n";
    check(&function(lost), "bad-branch-target", "Insert `RET` after line 8");
}

/// Where the same fault has two findings, that which objtool does not print is not mended before the label that the other needs.
#[test]
fn a_return_that_was_lost_at_a_label_comes_back_behind_the_label() {
    let text = function("\ttestq %rdi, %rdi\n\tjz 13f\n\tmovq %rsi, %rax\n13:\n");
    let mut workspace = Workspace::open(&text);
    let findings = workspace.findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    for finding in &findings {
        let actions = workspace.actions(finding);
        assert!(!actions.is_empty(), "{finding:#?}");
        for action in &actions {
            let fixed = apply(&text, action, &workspace.uri);
            assert_eq!(workspace.replace(&fixed), [] as [Value; 0], "{fixed}");
            workspace.replace(&text);
        }
        let causes = finding["relatedInformation"].as_array().expect("causes");
        let lines: Vec<u64> =
            causes.iter().filter_map(|one| one["location"]["range"]["start"]["line"].as_u64()).collect();
        assert!(finding["code"] != "bad-branch-target" || lines.contains(&7), "{finding:#?}");
    }
    workspace.end();
}

/// A macro is wrong wherever it is used.
#[test]
fn what_a_macro_does_is_mended_in_the_macro() {
    let body = ".macro save\n\tpushq %rbx\n\tsubq $24, %rsp\n.endm\n";
    let used = |name: &str| {
        format!(
            "\t.globl {name}\n\t.type {name}, @function\n{name}:\n\tsave\n\tmovq %rdi, %rbx\n\tpopq %rbx\n\tret\n\t.size {name}, .-{name}\n"
        )
    };
    let text = format!("{body}\t.text\n{}{}", used("f"), used("g"));
    let mut workspace = Workspace::open(&text);
    let finding = workspace.findings().first().expect("a finding").clone();
    let actions = workspace.actions(&finding);
    assert!(!actions.is_empty());
    for action in &actions {
        let fixed = apply(&text, action, &workspace.uri);
        assert_eq!(workspace.replace(&fixed), [] as [Value; 0], "{}", action["title"]);
        workspace.replace(&text);
    }
    workspace.end();
}

#[test]
fn an_area_is_given_back() {
    let text = function("\tsubq $24, %rsp\n\tnop\n\tret\n");
    check(&text, "return-with-modified-frame", "Insert `addq $24, %rsp` before line 7");
}

#[test]
fn all_that_is_left_is_given_back_at_once() {
    let text = function("\tpushq $1\n\tpushq $2\n\tpushq $3\n\tnop\n\tret\n");
    check(&text, "return-with-modified-frame", "Insert `addq $24, %rsp` before line 9");
}

#[test]
fn the_direction_flag_is_cleared() {
    check(&function("\tstd\n\tnop\n\tret\n"), "return-with-direction-flag", "Insert `cld` before line 7");
    let text = "void f(char *to, char *from, long n)\n{\n\tasm volatile(\"std\\n\\t\"\n\t\t\"rep movsb\"\n\t\t: \"+D\" (to), \"+S\" (from), \"+c\" (n) : : \"memory\");\n}\n";
    let title = "Clear the direction flag at the end of the asm statement: `cld` in line 4";
    check_in(Workspace::open_c(text), text, "return-with-direction-flag", title);
}

#[test]
fn a_function_that_runs_on_gets_a_return() {
    let text = format!("{}{}", function("\tnop\n"), "\t.type g, @function\ng:\n\tret\n\t.size g, .-g\n");
    check(&text, "falls-through", "Insert `ret` after line 5");
}

#[test]
fn arms_in_conflict_are_padded() {
    let text = "#include \"orcls.h\"\n\n\t.text\n\t.type f, @function\nf:\n\
        \tALTERNATIVE \"call *pv_ops; nop\", \"pushf; .nops 6; pop %rax\", 1\n\tret\n\t.size f, .-f\n";
    let mut workspace = Workspace::open(text);
    let findings = workspace.findings();
    let conflict = findings.iter().find(|finding| finding["code"] == "alternative-stack-conflict");
    let conflict = conflict.unwrap_or_else(|| panic!("no conflict in {findings:#?}")).clone();
    let actions = workspace.actions(&conflict);
    for action in &actions {
        let left = workspace.replace(&apply(text, action, &workspace.uri.clone()));
        assert!(left.iter().all(|left| left["code"] != "alternative-stack-conflict"), "{left:#?}");
        workspace.replace(text);
    }
    let titles: Vec<&str> = actions.iter().filter_map(|action| action["title"].as_str()).collect();
    assert!(titles.iter().any(|title| title.starts_with("Move the NOPs so that the arms agree: `")), "{titles:?}");
    workspace.end();
}

/// No action for any finding brings a text with `never`.
#[track_caller]
fn never(text: &str, never: &[&str]) {
    let mut workspace = Workspace::open(text);
    let findings = workspace.findings();
    assert!(!findings.is_empty(), "no finding in\n{text}");
    for finding in &findings {
        for action in workspace.actions(finding) {
            let fixed = apply(text, &action, &workspace.uri);
            let harm = never.iter().find(|never| fixed.matches(**never).count() > text.matches(**never).count());
            assert!(harm.is_none(), "{} brings {harm:?}:\n{fixed}", action["title"]);
        }
    }
    workspace.end();
}

#[test]
fn a_saved_register_that_is_written_keeps_its_push() {
    let text = function("\tpushq %rbx\n\tmovq %rdi, %rbx\n\tmovq %rbx, %rax\n\tret\n");
    let mut workspace = Workspace::open(&text);
    let finding = workspace.findings()[0].clone();
    for action in workspace.actions(&finding) {
        let fixed = apply(&text, &action, &workspace.uri);
        assert!(fixed.contains("pushq %rbx"), "{} drops the caller's rbx", action["title"]);
    }
    workspace.end();
    check(&text, "return-with-modified-frame", "Insert `popq %rbx` before line 8");
}

#[test]
fn an_area_that_is_used_is_kept() {
    let text = function("\tsubq $24, %rsp\n\tmovq %rdi, 8(%rsp)\n\tmovq 8(%rsp), %rax\n\tret\n");
    let mut workspace = Workspace::open(&text);
    let finding = workspace.findings()[0].clone();
    for action in workspace.actions(&finding) {
        assert!(apply(&text, &action, &workspace.uri).contains("subq $24"), "{}", action["title"]);
    }
    workspace.end();
    check(&text, "return-with-modified-frame", "Insert `addq $24, %rsp` before line 8");
}

#[test]
fn a_fix_that_only_moves_the_fault_to_the_other_arm_is_not_offered() {
    let text = "#include \"orcls.h\"\n".to_owned()
        + &function("\tpushfq\n\tALTERNATIVE \"popq %rax\", \"nop\", 1\n\tmov %rax, (%rdi)\n\tret\n");
    never(&text, &["Remove `pushfq`", "Insert `popfq`", "Insert `addq"]);
}

#[test]
fn what_only_silences_a_real_fault_is_not_offered() {
    const EXEMPT: &str = "STACK_FRAME_NON_STANDARD";
    never(&function("\tpushq %rbx\n\tmovq %rdi, %rbx\n\tret\n"), &[EXEMPT]);
    never(&function("\tstd\n\trep movsb\n\tret\n"), &[EXEMPT]);
    let runs_on = format!("{}{}", function("\tnop\n"), "\t.type g, @function\ng:\n\tret\n\t.size g, .-g\n");
    never(&runs_on, &[EXEMPT]);
}

#[test]
fn a_call_for_its_address_is_no_imbalance() {
    never(&function("\tcall 1f\n1:\taddq $8, %rsp\n\tret\n"), &["pop", "push", "subq", "addq $8, %rsp\n\taddq"]);
    let local = format!("\t.text\n.Lhelper:\n\tret\n{}", function("\tcall .Lhelper\n\tret\n"));
    never(&local, &["pop", "push", "addq", "ANNOTATE_INTRA_FUNCTION_CALL"]);
}

#[test]
fn a_resting_cursor_costs_no_compile_and_fixes_are_looked_for_once() {
    let engine = Watched::new();
    let judged = Arc::clone(&engine.judged);
    let text = function("\tpushq %rbx\n\tnop\n\tret\n");
    let mut workspace = Workspace::judged_by(engine, &text);
    let finding = workspace.findings()[0].clone();
    assert!(!workspace.actions(&finding).is_empty());
    let compiled = judged.load(Ordering::SeqCst);
    for line in 0..text.lines().count() {
        let place = json!({"line": line, "character": 0});
        let context = json!({"diagnostics": [], "triggerKind": 2});
        let params = json!({"textDocument": {"uri": workspace.uri}, "range": {"start": place, "end": place}, "context": context});
        workspace.client.request("textDocument/codeAction", params).expect("actions");
    }
    assert!(!workspace.actions(&finding).is_empty());
    assert_eq!(judged.load(Ordering::SeqCst), compiled, "a request that could be answered has compiled");
    workspace.end();
}

#[test]
fn automatic_requests_are_answered_with_what_is_known() {
    let text = function("\tpushq %rbx\n\tnop\n\tret\n");
    let mut workspace = Workspace::open(&text);
    let finding = workspace.findings()[0].clone();
    let ask = |workspace: &mut Workspace, kind: u32| {
        let context = json!({"diagnostics": [finding.clone()], "triggerKind": kind});
        let params = json!({"textDocument": {"uri": workspace.uri}, "range": finding["range"], "context": context});
        let answer = workspace.client.request("textDocument/codeAction", params).expect("actions");
        answer.as_array().map_or(0, Vec::len)
    };
    let invoked = ask(&mut workspace, 1);
    assert!(invoked > 0);
    assert_eq!(ask(&mut workspace, 2), invoked);
    workspace.end();
}

/// Who asks while more fixes are looked for is given what is known, and later all.
#[test]
fn a_long_search_does_not_keep_who_asks_waiting() {
    let text = function("\tpushq %rbx\n\tnop\n\tret\n");
    let engine = Watched { patience: Duration::ZERO, ..Watched::new() };
    // The text, and one fix.
    engine.most.store(2, Ordering::SeqCst);
    let most = Arc::clone(&engine.most);
    let mut workspace = Workspace::judged_by(engine, &text);
    let finding = workspace.findings()[0].clone();
    let automatic = json!({"diagnostics": [finding.clone()], "triggerKind": 2});
    let params = json!({"textDocument": {"uri": workspace.uri}, "range": finding["range"], "context": automatic});
    // The search goes on in the background.
    while workspace.client.request("textDocument/codeAction", params.clone()) == Ok(json!([])) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let first = workspace.actions(&finding);
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!(first[0]["isPreferred"], true);
    most.store(usize::MAX, Ordering::SeqCst);
    while workspace.actions(&finding).len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(workspace.actions(&finding)[0]["title"], first[0]["title"]);
    workspace.end();
}

#[test]
fn hints_tell_the_cfa_where_it_changes() {
    let mut workspace = Workspace::open(&function("\tpushq %rbx\n\tnop\n\tpopq %rbx\n\tret\n"));
    assert!(workspace.findings().is_empty());
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 20, "character": 0}});
    let params = json!({"textDocument": {"uri": workspace.uri}, "range": range});
    let hints = workspace.client.request("textDocument/inlayHint", params).expect("hints");
    let told: Vec<(u64, &str)> = hints
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|hint| Some((hint["position"]["line"].as_u64()?, hint["label"].as_str()?)))
        .collect();
    assert_eq!(told, [(4, "cfa = rsp+16"), (6, "cfa = rsp+8")]);
    workspace.end();
}

/// The state behind a line may be the first that is known.
#[test]
fn a_hint_tells_the_first_known_cfa() {
    let hint = "\t.macro HINT offset reg kind\n.Lhere_\\@:\n\t.pushsection .discard.unwind_hints\n\t.long .Lhere_\\@ - .\n\t.short \\offset\n\t.byte \\reg, \\kind, 0\n\t.balign 4\n\t.popsection\n\t.endm\n\t.macro SAVE\n\tpush %rdi\n\tHINT 0 5 3\n\txor %edi, %edi\n\txor %esi, %esi\n\t.endm\n";
    let body = "\tHINT 0 0 1\n\tpush %rax\n\tSAVE\n\tnop\n1:\tjmp 1b\n";
    // Entry code is no function of C's.
    let mut workspace = Workspace::open(&format!("{hint}\t.text\n\t.globl f\nf:\n{body}\t.size f, .-f\n"));
    assert!(workspace.findings().is_empty());
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 40, "character": 0}});
    let params = json!({"textDocument": {"uri": workspace.uri}, "range": range});
    let hints = workspace.client.request("textDocument/inlayHint", params).expect("hints");
    let labels: Vec<_> = hints.as_array().expect("a list").iter().map(|hint| &hint["label"]).collect();
    assert_eq!(labels, ["cfa = rsp+0"]);
    workspace.end();
}

#[test]
fn lenses_tell_depth_and_rows() {
    let mut workspace = Workspace::open(&function("\tpushq %rbx\n\tnop\n\tpopq %rbx\n\tret\n"));
    assert!(workspace.findings().is_empty());
    let params = json!({"textDocument": {"uri": workspace.uri}});
    let lenses = workspace.client.request("textDocument/codeLens", params).expect("lenses");
    let title = lenses.pointer("/0/command/title").and_then(Value::as_str);
    assert_eq!(title, Some("f: 16 bytes of stack, 3 ORC rows"));
    assert_eq!(lenses.pointer("/0/range/start/line"), Some(&json!(3)));
    workspace.end();
}
