//! What is answered without a compile: edits that move lines, texts that were judged before, saving.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orcls::lsp::Host;
use orcls::lsp::engine::Toolchain;
use serde_json::{Value, json};

use super::client::Client;
use super::script::{Script, bad_lines};
use super::{at, change, close, insert, lines, open, stuck};

const URI: &str = "file:///x/a.S";

/// An engine that judges until it is told to hang.
fn hanging() -> (Script, Arc<AtomicBool>) {
    let hangs = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&hangs);
    let engine = Script::new(move |task, cancel| match flag.load(Ordering::SeqCst) {
        true => stuck(cancel),
        false => Ok(bad_lines(task)),
    });
    (engine, hangs)
}

#[test]
fn lines_that_move_are_told_without_a_compile() {
    let (engine, hangs) = hanging();
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "ok\n\tBAD # a\n\tok\n\tBAD 2\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [1, 3]);
    hangs.store(true, Ordering::SeqCst);
    change(&mut client, URI, 2, insert(0, 0, "# comment\n\n"));
    let found = client.published_at(URI, 2);
    assert_eq!(lines(&found), [3, 5]);
    assert_eq!(found[0]["data"]["stale"], json!(false));
    change(&mut client, URI, 3, insert(3, 8, "bc"));
    assert_eq!(lines(&client.published_at(URI, 3)), [3, 5]);
    let status = client.request("orcls/status", at(URI)).expect("a status");
    assert_eq!(status["state"], json!("fresh"));
    // Another statement is judged anew, and until then what was found is not said of it.
    change(&mut client, URI, 4, insert(4, 0, "\tnop\n"));
    let status = client.request("orcls/status", at(URI)).expect("a status");
    assert_eq!(status["state"], json!("analysing"));
    hangs.store(false, Ordering::SeqCst);
    change(&mut client, URI, 5, insert(4, 0, "\tnop\n"));
    assert_eq!(lines(&client.published_at(URI, 5)), [3, 7]);
}

#[test]
fn undoing_to_the_judged_text_needs_no_compile() {
    let (engine, hangs) = hanging();
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "BAD\nok\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
    hangs.store(true, Ordering::SeqCst);
    change(&mut client, URI, 2, insert(0, 0, "\tnop\n"));
    client.until("the text is judged", || begun.load(Ordering::SeqCst) == 2);
    change(&mut client, URI, 3, json!([{"text": "BAD\nok\n"}]));
    assert_eq!(lines(&client.published_at(URI, 3)), [0]);
    client.notify("textDocument/didSave", at(URI));
    let status = client.request("orcls/status", at(URI)).expect("a status");
    assert_eq!((&status["state"], begun.load(Ordering::SeqCst)), (&json!("fresh"), 2));
}

#[test]
fn saving_what_was_judged_does_nothing() {
    let engine = Script::finding_bad();
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({"initializationOptions": {"compile": "onSave"}}));
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
    client.notify("textDocument/didSave", at(URI));
    assert_eq!(client.request("orcls/status", at(URI)).expect("a status")["state"], json!("fresh"));
    change(&mut client, URI, 2, insert(0, 0, "nop\n"));
    client.notify("textDocument/didSave", at(URI));
    assert_eq!(lines(&client.published_at(URI, 2)), [1]);
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[test]
fn settings_that_change_are_not_forgotten_over_a_comment() {
    let engine = Script::finding_bad();
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "BAD\n");
    client.published_at(URI, 1);
    client.notify("workspace/didChangeConfiguration", json!({"settings": {"orcls": {"kernel": "6.1"}}}));
    change(&mut client, URI, 2, insert(0, 0, "# a\n"));
    client.until("the text is judged by the new settings", || begun.load(Ordering::SeqCst) >= 2);
    client.published_at(URI, 2);
}

const SOURCE: &str = "\
/* a file */
int g(int);

int f(int a)
{
\tif (a > 3) /* many */
\t\tasm volatile(\"push %rbx\");
\treturn g(a);
}

int h(int a)
{
\tasm volatile(\"pushfq\");
\treturn g(a) + 1;
}
";

struct Project {
    folder: tempfile::TempDir,
    engine: Arc<Toolchain>,
}

impl Project {
    fn new() -> Project {
        let project = Project {
            folder: tempfile::tempdir().expect("a folder"),
            engine: Arc::new(Toolchain::new().expect("a private folder")),
        };
        let command = "gcc -c -O2 -g -mno-red-zone -fno-asynchronous-unwind-tables -fomit-frame-pointer -o a.o a.c";
        let entry = json!([{"directory": project.folder.path(), "file": "a.c", "command": command}]);
        fs::write(project.folder.path().join("compile_commands.json"), entry.to_string()).expect("written");
        fs::write(project.folder.path().join("a.c"), SOURCE).expect("written");
        project
    }

    fn uri(&self) -> String {
        let path = self.folder.path().canonicalize().expect("the folder is there").join("a.c");
        format!("file://{}", path.display())
    }

    fn client(&self) -> Client {
        let engine: Arc<dyn orcls::lsp::verdict::Engine> = self.engine.clone();
        let mut client = Client::connect(Host::new(engine));
        let publish = json!({"relatedInformation": true});
        let settings = json!({"kernel": "6.12"});
        client.initialize(json!({
            "capabilities": {"textDocument": {"publishDiagnostics": publish}},
            "initializationOptions": settings,
        }));
        client
    }
}

#[test]
fn texts_that_were_judged_before_are_not_compiled_again() {
    let project = Project::new();
    let uri = project.uri();
    let mut client = project.client();
    open(&mut client, &uri, SOURCE);
    let first = client.published_at(&uri, 1);
    assert!(!first.is_empty());
    assert_eq!(project.engine.n_compiles(), 1);
    let other = SOURCE.replace("a > 3", "a > 4");
    change(&mut client, &uri, 2, json!([{"text": other}]));
    client.published_at(&uri, 2);
    assert_eq!(project.engine.n_compiles(), 2);
    // Undone, and done again.
    for (version, text) in [(3, SOURCE), (4, other.as_str()), (5, SOURCE)] {
        change(&mut client, &uri, version, json!([{"text": text}]));
        let found = client.published_at(&uri, version);
        assert_eq!(lines(&found), lines(&first));
    }
    close(&mut client, &uri);
    assert!(client.published(&uri).diagnostics.is_empty());
    open(&mut client, &uri, SOURCE);
    assert_eq!(client.published_at(&uri, 1), first);
    assert_eq!(project.engine.n_compiles(), 2);
}

/// Edits that change nothing for the compiler, by a seed.
struct Edits(u64);

impl Edits {
    fn next(&mut self, below: usize) -> usize {
        // "Numerical Recipes", a linear congruential generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn apply(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = self.next(lines.len());
        match self.next(5) {
            0 => lines.insert(at, String::new()),
            1 => lines.insert(at, "/* a comment\n   of two lines */".to_owned()),
            2 => lines[at].push_str(" // why"),
            3 => lines[at] = format!("  {}", lines[at]),
            _ => lines[at] = format!("/* x */ {}", lines[at]),
        }
        lines.join("\n") + "\n"
    }
}

#[test]
fn every_line_is_the_one_that_a_compile_leads_to() {
    let project = Project::new();
    let uri = project.uri();
    let mut client = project.client();
    open(&mut client, &uri, SOURCE);
    client.published_at(&uri, 1);
    let mut edits = Edits(7);
    for round in 0..6_i64 {
        let mut text = SOURCE.to_owned();
        for _ in 0..4 {
            text = edits.apply(&text);
        }
        let compiles = project.engine.n_compiles();
        change(&mut client, &uri, 10 * round + 2, json!([{"text": text}]));
        let moved = client.published_at(&uri, 10 * round + 2);
        let told = told(&mut client, &uri);
        // Another session compiles the text.
        let mut other = project.client();
        open(&mut other, &uri, &text);
        let compiled = other.published_at(&uri, 1);
        assert_eq!(moved, compiled, "{text}");
        assert_eq!(told, self::told(&mut other, &uri), "{text}");
        assert!(project.engine.n_compiles() > compiles);
        close(&mut other, &uri);
        other.published(&uri);
        drop(other);
        // Back to the text that was judged first.
        change(&mut client, &uri, 10 * round + 3, json!([{"text": SOURCE}]));
        client.published_at(&uri, 10 * round + 3);
    }
}

/// All lenses and hints.
fn told(client: &mut Client, uri: &str) -> (Value, Value) {
    let all = json!({"start": {"line": 0, "character": 0}, "end": {"line": 1000, "character": 0}});
    let document = json!({"uri": uri});
    let hints = client.request("textDocument/inlayHint", json!({"textDocument": document, "range": all}));
    let lenses = client.request("textDocument/codeLens", json!({"textDocument": document}));
    (hints.expect("hints"), lenses.expect("lenses"))
}
