//! Clients that ask for more than anybody needs, or send what is nearly a message: answered, and by how much work.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use orcls::lsp::verdict::Trouble;
use orcls::lsp::{Ending, Host};
use serde_json::json;

use super::client::Client;
use super::script::{Script, bad_lines};
use super::{URI, at, lines, open, stuck};

fn nothing_built() -> Script {
    Script::new(|task, _| Err(Trouble::ObjectMissing(task.source.with_extension("o"))))
}

#[test]
fn a_flood_of_changes_on_disk_is_one_reason_to_look_again() {
    let engine = nothing_built();
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "x\n");
    client.until_status(URI, "stale");
    let before = begun.load(Ordering::SeqCst);
    for i in 0..20_000 {
        let change = json!({"uri": format!("file:///x/{i}.h"), "type": 2});
        client.notify("workspace/didChangeWatchedFiles", json!({"changes": [change]}));
    }
    let many: Vec<_> = (0..40_000).map(|i| json!({"uri": format!("file:///x/{i}.h"), "type": 2})).collect();
    client.notify("workspace/didChangeWatchedFiles", json!({"changes": many}));
    // The loop has seen all of them when it answers.
    client.request("orcls/status", at(URI)).expect("a status");
    client.until("it is looked again", || begun.load(Ordering::SeqCst) > before);
    let looked = begun.load(Ordering::SeqCst) - before;
    assert!(looked < 600, "{looked} judgements for 20001 notifications");
    client.abandon();
}

#[test]
fn open_files_without_a_build_are_not_looked_at_all_the_time() {
    const N: usize = 1_000;
    let engine = nothing_built();
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({}));
    for i in 0..N {
        open(&mut client, &format!("file:///x/{i}.S"), "x\n");
    }
    client.until("all are looked at", || begun.load(Ordering::SeqCst) >= N);
    for i in [0, N / 2, N - 1] {
        client.until_status(&format!("file:///x/{i}.S"), "stale");
    }
    // Each is looked for again later, and each time after twice as long: three times while the longest test runs.
    assert!(begun.load(Ordering::SeqCst) <= 4 * N);
    client.abandon();
}

#[test]
fn files_that_take_long_keep_no_other_waiting() {
    let slow = |task: &orcls::lsp::verdict::Task| task.document.text.as_str().contains("SLOW");
    let engine = Script::new(move |task, cancel| if slow(task) { stuck(cancel) } else { Ok(bad_lines(task)) });
    let mut client = Client::start(engine, json!({}));
    for i in 0..6 {
        open(&mut client, &format!("file:///x/slow{i}.S"), "SLOW\n");
    }
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
}

#[test]
fn bytes_that_are_no_message_are_passed_over() {
    let mut client = Client::start(Script::finding_bad(), json!({}));
    client.write(b"garbage without an end of line");
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
}

#[test]
fn a_shutdown_with_parameters_is_one() {
    for params in [json!(null), json!({})] {
        let mut client = Client::connect(Host::new(Arc::new(Script::finding_bad())));
        client.initialize(json!({}));
        let request = json!({"jsonrpc": "2.0", "id": 99, "method": "shutdown", "params": params}).to_string();
        client.write(format!("Content-Length: {}\r\n\r\n{request}", request.len()).as_bytes());
        let answer = client.wait("an answer", |message| message["id"] == 99);
        assert_eq!((answer.get("error"), &answer["result"]), (None, &json!(null)));
        client.notify("exit", json!(null));
        assert_eq!(client.ended(), Ending::Orderly);
    }
}

#[test]
fn names_of_files_are_no_links_in_notifications() {
    let engine = Script::new(|task, _| {
        let tried = vec![(PathBuf::from("/x"), "nothing".to_owned())];
        Err(Trouble::NoCommand(orcls::build::NotFound { path: task.source.clone(), tried }))
    });
    let mut client = Client::start(engine, json!({}));
    let uri = "file:///x/%5BRepair%5D(command:run).c";
    open(&mut client, uri, "x\n");
    assert!(client.published(uri).diagnostics.is_empty());
    let shown = client.called("window/showMessage");
    let message = shown["params"]["message"].as_str().expect("a message");
    assert!(message.contains("Repair") && !message.contains("]("), "{message}");
}
