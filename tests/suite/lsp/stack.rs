//! The stack as a thing to walk: partners, calls with their depth, lenses, hints and hovers, with a compiler.

use std::fs;
use std::sync::Arc;

use orcls::lsp::Host;
use orcls::lsp::engine::Toolchain;
use serde_json::{Value, json};

use super::client::Client;
use super::open;

const SOURCE: &str = "\
\t.text
\t.globl f
\t.type f, @function
f:
\tpush %rbx
\tsub $16, %rsp
\tcall g
\tcall __fentry__
\ttest %eax, %eax
\tjz 1f
\tadd $16, %rsp
\tpop %rbx
\tret
1:\tadd $16, %rsp
\tpop %rbx
\tret
\t.size f, .-f

\t.type g, @function
g:
\tpush %rbp
\tnop
\tnop
\tpop %rbp
\tjmp h
\t.size g, .-g

\t.globl entry
entry:
\tcall g
\tcall entry_too
\tud2
\t.size entry, .-entry
entry_too:
\tret
\t.size entry_too, .-entry_too
";

struct Session {
    client: Client,
    uri: String,
    _folder: tempfile::TempDir,
}

impl Session {
    fn new(settings: Value) -> Session {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("the folder is there").join("a.S");
        fs::write(&path, SOURCE).expect("written");
        let entry = json!([{"directory": folder.path(), "file": "a.S", "command": "gcc -c -g -o a.o a.S"}]);
        fs::write(folder.path().join("compile_commands.json"), entry.to_string()).expect("written");
        let mut client = Client::connect(Host::new(Arc::new(Toolchain::new().expect("a private folder"))));
        client.initialize(json!({"initializationOptions": settings}));
        let uri = format!("file://{}", path.display());
        open(&mut client, &uri, SOURCE);
        client.published_at(&uri, 1);
        Session { client, uri, _folder: folder }
    }

    fn ask(&mut self, method: &str, line: u32, character: u32) -> Value {
        let params = json!({"textDocument": {"uri": self.uri}, "position": {"line": line, "character": character}});
        self.client.request(method, params).expect("an answer")
    }

    fn lines(&mut self, method: &str, line: u32) -> Vec<u64> {
        let answer = self.ask(method, line, 2);
        let list = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut lines: Vec<u64> = list.iter().filter_map(|one| one.pointer("/range/start/line")?.as_u64()).collect();
        lines.sort_unstable();
        lines
    }
}

#[test]
fn what_a_push_saves_is_shown_with_the_pops_that_restore_it() {
    let mut session = Session::new(json!({}));
    assert_eq!(session.lines("textDocument/documentHighlight", 4), [4, 11, 14]);
    assert_eq!(session.lines("textDocument/documentHighlight", 5), [5, 10, 13]);
    assert_eq!(session.lines("textDocument/documentHighlight", 11), [4, 11]);
    assert_eq!(session.lines("textDocument/definition", 4), [11, 14]);
    assert_eq!(session.lines("textDocument/definition", 23), [20]);
    assert_eq!(session.lines("textDocument/definition", 8), Vec::<u64>::new());
}

#[test]
fn calls_are_shown_with_the_depth_of_the_stack() {
    let mut session = Session::new(json!({}));
    let items = session.ask("textDocument/prepareCallHierarchy", 3, 0);
    let item = items[0].clone();
    assert_eq!((&item["name"], &item["detail"]), (&json!("f"), &json!("32 bytes of stack, 8 ORC rows")));
    let calls = session.client.request("callHierarchy/outgoingCalls", json!({"item": item})).expect("calls");
    let told: Vec<_> =
        calls.as_array().expect("a list").iter().map(|call| (&call["to"]["name"], &call["to"]["detail"])).collect();
    assert_eq!(told, [(&json!("g"), &json!("32 bytes deep"))]);
    let item = calls[0]["to"].clone();
    let calls = session.client.request("callHierarchy/incomingCalls", json!({"item": item})).expect("calls");
    assert_eq!((&calls[0]["from"]["name"], &calls[0]["fromRanges"][0]["start"]["line"]), (&json!("f"), &json!(6)));
    let calls = session.client.request("callHierarchy/outgoingCalls", json!({"item": item})).expect("calls");
    assert_eq!(calls[0]["to"]["detail"], json!("8 bytes deep, by a jump"));
}

/// Entry code is no function, and calls all the same; its stack is no frame.
#[test]
fn calls_of_entry_code_are_shown() {
    let mut session = Session::new(json!({}));
    let mut told = |line: u32, character: u32, method: &str, end: &str| -> Vec<String> {
        let items = session.ask("textDocument/prepareCallHierarchy", line, character);
        let calls = session.client.request(method, json!({"item": items[0]})).expect("calls");
        let list = calls.as_array().expect("a list").clone();
        list.iter()
            .map(|call| {
                format!("{} {} {}", call[end]["name"], call[end]["detail"], call[end]["range"]["start"]["line"])
            })
            .collect()
    };
    let outgoing = told(28, 0, "callHierarchy/outgoingCalls", "to");
    assert_eq!(outgoing, ["\"g\" \"depth unknown\" 20", "\"entry_too\" \"depth unknown\" 34"]);
    let incoming = told(30, 7, "callHierarchy/incomingCalls", "from");
    assert_eq!(incoming, ["\"entry\" \"depth unknown\" 29"]);
    let callers = told(19, 0, "callHierarchy/incomingCalls", "from");
    assert_eq!(callers, ["\"f\" \"32 bytes deep\" 4", "\"entry\" \"depth unknown\" 29"]);
}

#[test]
fn lenses_are_named_and_above_the_head() {
    let mut session = Session::new(json!({}));
    let document = json!({"textDocument": {"uri": session.uri}});
    let lenses = session.client.request("textDocument/codeLens", document).expect("lenses");
    let told: Vec<_> = lenses
        .as_array()
        .expect("a list")
        .iter()
        .map(|lens| (&lens["range"]["start"]["line"], &lens["command"]["title"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!(3), &json!("f: 32 bytes of stack, 8 ORC rows")),
            (&json!(19), &json!("g: 16 bytes of stack, 3 ORC rows")),
        ]
    );
}

#[test]
fn hints_say_how_deep_calls_are_and_nothing_of_tracing() {
    let mut session = Session::new(json!({}));
    let all = json!({"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}});
    let params = json!({"textDocument": {"uri": session.uri}, "range": all});
    let hints = session.client.request("textDocument/inlayHint", params).expect("hints");
    let deep: Vec<_> = hints
        .as_array()
        .expect("a list")
        .iter()
        .filter(|hint| hint["label"].as_str().is_some_and(|label| label.contains("deep")))
        .map(|hint| (&hint["position"]["line"], &hint["label"]))
        .collect();
    assert_eq!(deep, [(&json!(6), &json!("32 bytes deep"))]);
}

#[test]
fn hovers_tell_heads_labels_and_words() {
    let mut session = Session::new(json!({}));
    let mut told = |line, character| {
        let answer = session.ask("textDocument/hover", line, character);
        answer.pointer("/contents/value").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let head = told(3, 0);
    assert!(head.contains("function f") && head.contains("`f()`: 32 bytes of stack"), "{head}");
    assert!(head.contains("deepest chain here: 48 bytes or more"), "{head}");
    let label = told(13, 0);
    assert!(label.contains("rsp+32"), "{label}");
    let word = told(2, 3);
    assert!(word.contains("What a symbol is."), "{word}");
}
