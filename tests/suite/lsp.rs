//! The server through its own protocol: the rules that keep a session in order, whatever the client does.

mod assembly;
pub mod client;
mod edits;
mod hostile;
mod kernel;
mod process;
mod real;
mod script;
mod stack;
mod typing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Client;
use orcls::cancel::CancelToken;
use orcls::lsp::verdict::{Task, Trouble, Verdict};
use orcls::lsp::{Ending, Host};
use orcls::report::CauseKind;
use script::{Script, bad_lines, verdict};
use serde_json::{Value, json};

const URI: &str = "file:///x/a.S";

pub fn open(client: &mut Client, uri: &str, text: &str) {
    let document = json!({"uri": uri, "languageId": "asm", "version": 1, "text": text});
    client.notify("textDocument/didOpen", json!({"textDocument": document}));
}

fn change(client: &mut Client, uri: &str, version: i64, changes: Value) {
    let params = json!({"textDocument": {"uri": uri, "version": version}, "contentChanges": changes});
    client.notify("textDocument/didChange", params);
}

fn insert(line: u32, character: u32, text: &str) -> Value {
    let at = json!({"line": line, "character": character});
    json!([{"range": {"start": at, "end": at}, "text": text}])
}

fn close(client: &mut Client, uri: &str) {
    client.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
}

fn at(uri: &str) -> Value {
    json!({"textDocument": {"uri": uri}})
}

fn lines(diagnostics: &[Value]) -> Vec<u64> {
    diagnostics.iter().filter_map(|d| d.pointer("/range/start/line")?.as_u64()).collect()
}

/// Waits until somebody cancels, as a compile or an analysis does.
fn stuck(cancel: &CancelToken) -> Result<Verdict, Trouble> {
    while !cancel.is_cancelled() {
        std::thread::yield_now();
    }
    Err(Trouble::Cancelled)
}

#[test]
fn a_finding_appears_on_its_line_and_goes_when_it_is_fixed() {
    let mut client = Client::start(Script::finding_bad(), json!({}));
    open(&mut client, URI, "ok\n  BAD\n");
    let published = client.published(URI);
    assert_eq!((published.version, lines(&published.diagnostics)), (Some(1), vec![1]));
    let first = &published.diagnostics[0];
    assert_eq!(first["range"], json!({"start": {"line": 1, "character": 2}, "end": {"line": 1, "character": 5}}));
    assert_eq!((&first["source"], &first["code"]), (&json!("orcls"), &json!("return-with-modified-frame")));
    assert_eq!(first["data"]["objtool"], json!("f+0x2: return with modified stack frame"));
    change(&mut client, URI, 2, json!([{"text": "ok\n  fine\n"}]));
    assert!(client.published_at(URI, 2).is_empty());
    close(&mut client, URI);
    assert!(client.published(URI).diagnostics.is_empty());
}

/// L1
#[test]
fn edits_arrive_in_order_under_load() {
    let seen = Arc::new(Mutex::new(String::new()));
    let judged = Arc::clone(&seen);
    let engine = Script::new(move |task, _| {
        *judged.lock().unwrap_or_else(PoisonError::into_inner) = task.document.text.as_str().to_owned();
        Ok(verdict(task, Vec::new()))
    });
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "");
    let mut expected = String::new();
    let mut asked = Vec::new();
    for i in 0..2000_u32 {
        let text = format!("{i},");
        // Each edit stands where the one before has ended: in any other order the text is another one.
        change(&mut client, URI, i64::from(i) + 2, insert(0, expected.len() as u32, &text));
        expected.push_str(&text);
        if i % 10 == 0 {
            asked.push((i64::from(i) + 2, client.ask("orcls/status", at(URI))));
        }
    }
    for (version, id) in asked {
        assert_eq!(client.answer(id).expect("a status")["version"], json!(version), "the request saw another text");
    }
    assert!(client.published_at(URI, 2001).is_empty());
    assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), expected);
}

/// L2, L5: handlers that wait do not keep messages from being read.
#[test]
fn four_hundred_messages_are_drained_while_handlers_are_stuck() {
    let engine = Script::finding_bad().inspecting(|_, cancel| stuck(cancel));
    let mut client = Client::start(engine, json!({}));
    let stuck: Vec<_> = (0..400).map(|i| client.ask("orcls/cfi", at(&format!("file:///x/{i}.o")))).collect();
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
    assert_eq!(client.request("orcls/status", at(URI)).expect("a status")["state"], json!("fresh"));
    for id in &stuck {
        client.notify("$/cancelRequest", json!({"id": id}));
    }
    for id in stuck {
        assert_eq!(client.answer(id).expect_err("cancelled")["code"], json!(-32800));
    }
}

/// L7
#[test]
fn a_cancelled_request_stops_its_work_while_all_workers_are_busy() {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    let engine = Script::new(|_, cancel| stuck(cancel)).inspecting(move |_, cancel| {
        let result = stuck(cancel);
        flag.store(true, Ordering::SeqCst);
        result
    });
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({}));
    for i in 0..16 {
        open(&mut client, &format!("file:///x/{i}.S"), "x\n");
    }
    let running: Vec<_> = (0..2).map(|i| client.ask("orcls/cfi", at(&format!("file:///x/{i}.o")))).collect();
    client.until("the workers begin", || begun.load(Ordering::SeqCst) >= 4);
    let queued = client.ask("orcls/cfi", at("file:///x/queued.o"));
    client.notify("$/cancelRequest", json!({"id": queued}));
    assert_eq!(client.answer(queued).expect_err("cancelled")["code"], json!(-32800));
    assert!(!cancelled.load(Ordering::SeqCst));
    for id in running {
        client.notify("$/cancelRequest", json!({"id": id}));
        assert_eq!(client.answer(id).expect_err("cancelled")["code"], json!(-32800));
    }
    client.until("the work stops", || cancelled.load(Ordering::SeqCst));
}

/// L10
#[test]
fn a_search_for_fixes_can_be_stopped() {
    let engine = Script::new(|task, cancel| match task.document.text.as_str().contains("NON_STANDARD") {
        true => stuck(cancel),
        false => {
            let mut verdict = bad_lines(task);
            // A kind that allows a fix whatever the text is.
            verdict.report.findings.iter_mut().for_each(|finding| finding.cause.kind = CauseKind::StoreIntoCaller);
            Ok(verdict)
        }
    });
    let begun = engine.begun.clone();
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 3}});
    let params = json!({"textDocument": {"uri": URI}, "range": range, "context": {"diagnostics": []}});
    let id = client.ask("textDocument/codeAction", params);
    // By the request, or by the search that nobody waits for.
    client.until("a fix is tried", || begun.load(Ordering::SeqCst) >= 2);
    client.notify("$/cancelRequest", json!({"id": id}));
    assert_eq!(client.answer(id).expect_err("it is cancelled")["code"], json!(-32800));
}

#[test]
fn a_panic_in_a_worker_is_an_error_and_the_session_goes_on() {
    let engine = Script::new(|task, _| match task.document.text.as_str() {
        "panic\n" => panic!("the engine is broken"),
        _ => Ok(bad_lines(task)),
    });
    let mut client = Client::start(engine.inspecting(|_, _| panic!("the object is broken")), json!({}));
    let error = client.request("orcls/cfi", at("file:///x/a.o")).expect_err("an error");
    assert_eq!((&error["code"], &error["message"]), (&json!(-32603), &json!("the object is broken")));
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
    change(&mut client, URI, 2, json!([{"text": "panic\n"}]));
    let kept = client.published_at(URI, 2);
    assert_eq!(kept[0]["data"]["stale"], json!(true));
    let status = client.request("orcls/status", at(URI)).expect("a status");
    assert_eq!(status["message"].as_str().map(|m| m.starts_with("internal error: the engine is broken")), Some(true));
    change(&mut client, URI, 3, json!([{"text": "\nBAD\n"}]));
    assert_eq!(lines(&client.published_at(URI, 3)), [1]);
}

/// L8: a result for an older text never replaces one for a newer text.
#[test]
fn an_older_result_is_dropped() {
    // The first judgement ignores its cancellation and ends after the second.
    let second_is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&second_is_done);
    let engine = Script::new(move |task: &Task, _: &CancelToken| {
        if task.document.version == 1 && !done.load(Ordering::SeqCst) {
            while !done.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        Ok(bad_lines(task))
    });
    let begun = Arc::clone(&engine.begun);
    let mut client = Client::start(engine, json!({}));
    open(&mut client, URI, "BAD\n");
    client.until("the first judgement begins", || begun.load(Ordering::SeqCst) == 1);
    change(&mut client, URI, 2, json!([{"text": "fine\n"}]));
    // A request posted after the edit is answered: the edit has been seen.
    assert_eq!(client.request("orcls/status", at(URI)).expect("a status")["state"], json!("analysing"));
    second_is_done.store(true, Ordering::SeqCst);
    let published = client.published(URI);
    assert_eq!((published.version, published.diagnostics), (Some(2), Vec::new()));
}

/// L11
#[test]
fn columns_are_utf16_units_unless_agreed_otherwise() {
    // Two letters beyond the basic plane stand before the edit: 8 bytes, 4 UTF-16 units, 2 characters.
    let text = "\u{1d4d0}\u{1d4d1}x\n";
    for (encodings, column) in [(None, 4), (Some(json!(["utf-32"])), 2), (Some(json!(["utf-16", "utf-8"])), 8)] {
        let seen = Arc::new(Mutex::new(String::new()));
        let judged = Arc::clone(&seen);
        let engine = Script::new(move |task, _| {
            *judged.lock().unwrap_or_else(PoisonError::into_inner) = task.document.text.as_str().to_owned();
            Ok(bad_lines(task))
        });
        let mut client = Client::connect(Host::new(Arc::new(engine)));
        let general = encodings.map_or(json!({}), |list| json!({"positionEncodings": list}));
        client.initialize(json!({"capabilities": {"general": general}}));
        open(&mut client, URI, text);
        client.published_at(URI, 1);
        change(&mut client, URI, 2, insert(0, column, " BAD "));
        let diagnostics = client.published_at(URI, 2);
        assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), "\u{1d4d0}\u{1d4d1} BAD x\n");
        assert_eq!(diagnostics[0]["range"]["end"]["character"], json!(column + 6));
    }
}

/// L10
#[test]
fn every_request_is_answered() {
    let mut client = Client::connect(Host::new(Arc::new(Script::finding_bad())));
    let early = client.request("textDocument/hover", json!({})).expect_err("not initialised");
    assert_eq!(early["code"], json!(-32002));
    client.initialize(json!({}));
    assert_eq!(client.request("no/such", json!({})).expect_err("unknown")["code"], json!(-32601));
    assert_eq!(client.request("orcls/cfi", json!({"a": 1})).expect_err("bad parameters")["code"], json!(-32602));
    assert_eq!(client.request("textDocument/hover", Value::Null).expect_err("none")["code"], json!(-32602));
    assert_eq!(client.request("orcls/status", at("file:///not/open.S")), Ok(Value::Null));
    assert_eq!(client.request("orcls/cfi", at("untitled:Untitled-1")), Ok(Value::Null));
    client.notify("no/such", json!({}));
    client.notify("$/no/such", json!({}));
    let shutdown = client.ask("shutdown", Value::Null);
    assert_eq!(client.answer(shutdown), Ok(Value::Null));
    assert_eq!(client.request("orcls/status", at(URI)).expect_err("shut down")["code"], json!(-32600));
    client.notify("exit", Value::Null);
    assert_eq!(client.ended(), Ending::Orderly);
}

#[test]
fn noise_is_answered_and_skipped() {
    let mut client = Client::start(Script::finding_bad(), json!({}));
    for body in ["{", "[]", "{\"jsonrpc\":\"2.0\"}", "\u{0}", "null"] {
        client.write(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let answer = client.wait("a parse error", |message| message.get("id") == Some(&Value::Null));
        assert_eq!(answer["error"]["code"], json!(-32700));
    }
    client.write(b"what is this?\r\n");
    client.notify("textDocument/didOpen", json!({"text": 1}));
    change(&mut client, "file:///never/opened.S", 4, json!([{"text": ""}]));
    client.reply(&json!({"id": 12345}), json!("an answer to nothing"));
    open(&mut client, URI, "BAD\n");
    assert_eq!(lines(&client.published_at(URI, 1)), [0]);
    // Ranges that are not in the text.
    let range = json!({"start": {"line": 900, "character": 7}, "end": {"line": 3, "character": 4_000_000_000_u32}});
    change(&mut client, URI, 2, json!([{"range": range, "text": "BAD"}]));
    assert_eq!(lines(&client.published_at(URI, 2)), [0, 1]);
}

#[test]
fn exit_ends_the_server_at_once() {
    let mut client = Client::start(Script::new(|_, cancel| stuck(cancel)), json!({}));
    open(&mut client, URI, "x\n");
    client.notify("exit", Value::Null);
    assert_eq!(client.ended(), Ending::Abrupt);
}

#[test]
fn the_end_of_the_input_ends_the_server() {
    let engine = Script::new(|_, cancel| stuck(cancel)).inspecting(|_, cancel| stuck(cancel));
    let mut host = Host::new(Arc::new(engine));
    host.grace = Duration::from_millis(10);
    let mut client = Client::connect(host);
    client.initialize(json!({}));
    open(&mut client, URI, "x\n");
    client.notify("orcls/cfi", at("file:///x/a.o"));
    client.hang_up();
    assert_eq!(client.ended(), Ending::Abrupt);
}

#[test]
fn the_server_does_not_outlive_its_client() {
    let mut parent = std::process::Command::new("true").spawn().expect("`true` runs");
    let pid = parent.id();
    parent.wait().expect("`true` ends");
    let mut client = Client::connect(Host::new(Arc::new(Script::finding_bad())));
    client.initialize(json!({"processId": pid}));
    assert_eq!(client.ended(), Ending::Abrupt);
}

/// L4
#[test]
fn a_client_that_never_answers_stops_nothing() {
    let workspace = json!({
        "configuration": true,
        "didChangeConfiguration": {"dynamicRegistration": true},
        "didChangeWatchedFiles": {"dynamicRegistration": true},
        "inlayHint": {"refreshSupport": true},
        "codeLens": {"refreshSupport": true},
    });
    let mut host = Host::new(Arc::new(Script::finding_bad()));
    host.patience = Duration::from_millis(1);
    let mut client = Client::connect(host);
    client.initialize(json!({"capabilities": {"workspace": workspace}}));
    let registration = client.called("client/registerCapability");
    let question = client.called("workspace/configuration");
    for version in 1..20 {
        if version == 1 {
            open(&mut client, URI, "BAD\n");
        } else {
            change(&mut client, URI, version, insert(0, 0, "\n"));
        }
        assert_eq!(lines(&client.published_at(URI, version)), [version as u64 - 1]);
        client.called("workspace/inlayHint/refresh");
        client.called("workspace/codeLens/refresh");
    }
    // An answer that nobody waits for any more.
    client.reply(&registration, Value::Null);
    client.reply(&question, json!([{"compile": "off"}]));
    assert_eq!(client.request("orcls/status", at(URI)).expect("a status")["state"], json!("fresh"));
}

/// L7
#[test]
fn a_check_of_the_workspace_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("a.o"), "").expect("a file");
    let engine = Script::finding_bad().inspecting(|_, cancel| stuck(cancel));
    let begun = Arc::clone(&engine.begun);
    let window = json!({"workDoneProgress": true});
    let mut client = Client::start(
        engine,
        json!({
            "capabilities": {"window": window},
            "initializationOptions": {"buildDirectory": folder.path()},
        }),
    );
    let check = json!({"command": "orcls.server.checkWorkspace"});
    let by_progress = client.ask("workspace/executeCommand", check.clone());
    let create = client.called("window/workDoneProgress/create");
    client.reply(&create, Value::Null);
    client.until("the check begins", || begun.load(Ordering::SeqCst) == 1);
    client.notify("window/workDoneProgress/cancel", json!({"token": create["params"]["token"]}));
    assert_eq!(client.answer(by_progress).expect_err("cancelled")["code"], json!(-32800));
    let by_request = client.ask("workspace/executeCommand", check);
    client.called("window/workDoneProgress/create");
    client.until("the check begins", || begun.load(Ordering::SeqCst) == 2);
    client.notify("$/cancelRequest", json!({"id": by_request}));
    assert_eq!(client.answer(by_request).expect_err("cancelled")["code"], json!(-32800));
    for _ in 0..2 {
        client.wait("the end", |m| m["params"]["value"]["kind"] == json!("end"));
    }
    client.forget("$/progress");
}

/// Findings of clients that ask for them.
#[test]
fn findings_are_pulled_by_clients_that_can() {
    let capabilities = json!({
        "textDocument": {"diagnostic": {"dynamicRegistration": false, "relatedDocumentSupport": true}},
        "workspace": {"diagnostics": {"refreshSupport": true}},
    });
    let header = |task: &Task, _: &CancelToken| {
        let mut inside = script::finding(1, "in the header");
        inside.file = Some("/x/a.h".into());
        let mut findings = vec![inside];
        findings.extend(bad_lines(task).report.findings);
        Ok(verdict(task, findings))
    };
    let mut client = Client::connect(Host::new(Arc::new(Script::new(header))));
    let announced = client.initialize(json!({"capabilities": capabilities}));
    assert_eq!(announced["capabilities"]["diagnosticProvider"]["workspaceDiagnostics"], json!(true));
    open(&mut client, URI, "BAD\n");
    client.called("workspace/diagnostic/refresh");
    let report = client.request("textDocument/diagnostic", at(URI)).expect("a report");
    assert_eq!((&report["kind"], &report["items"][0]["message"]), (&json!("full"), &json!("BAD")));
    let related = &report["relatedDocuments"]["file:///x/a.h"];
    assert_eq!(related["items"][0]["message"], json!("in the header"));
    let known = json!({"textDocument": {"uri": URI}, "previousResultId": report["resultId"]});
    let again = client.request("textDocument/diagnostic", known).expect("a report");
    assert_eq!((&again["kind"], &again["resultId"]), (&json!("unchanged"), &report["resultId"]));
    let ids = json!([{"uri": URI, "value": report["resultId"]}]);
    let all = client.request("workspace/diagnostic", json!({"previousResultIds": ids})).expect("reports");
    let kinds = all["items"].as_array().expect("items").iter().map(|item| (&item["uri"], &item["kind"]));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [(&json!("file:///x/a.S"), &json!("unchanged")), (&json!("file:///x/a.h"), &json!("full"))]
    );
}

#[test]
fn the_traffic_is_written_to_the_trace_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace.log");
    let mut client = Client::start(Script::finding_bad(), json!({"initializationOptions": {"trace": trace}}));
    open(&mut client, URI, "BAD\n");
    client.published_at(URI, 1);
    client.request("orcls/status", at(URI)).expect("a status");
    let log = std::fs::read_to_string(&trace).expect("the log is there");
    for part in ["<- {", "textDocument/didOpen", "-> textDocument/publishDiagnostics", "-> {", "\"state\":\"fresh\""] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}

#[test]
fn settings_are_fetched_and_used() {
    let workspace = json!({"configuration": true});
    let mut client = Client::start(Script::finding_bad(), json!({"capabilities": {"workspace": workspace}}));
    let question = client.called("workspace/configuration");
    assert_eq!(question["params"]["items"], json!([{"section": "orcls"}]));
    open(&mut client, URI, "BAD\n");
    assert_eq!(client.published_at(URI, 1)[0]["severity"], json!(1));
    client.reply(&question, json!([{"checks": {"return-with-modified-frame": "hint"}}]));
    assert_eq!(client.published_at(URI, 1)[0]["severity"], json!(4));
    client.notify("workspace/didChangeConfiguration", json!({"settings": null}));
    let question = client.called("workspace/configuration");
    client.reply(&question, json!([{"checks": {"return-with-modified-frame": "off"}}]));
    assert!(client.published_at(URI, 1).is_empty());
}
