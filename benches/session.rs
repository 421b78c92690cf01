//! From an edit to its findings, through the protocol and the loop, less the compiler's own time.
//!
//! The text is an assembly function; `ORCLS_BENCH_SOURCE=FILE` takes another one, whose build is looked for as always
//! (`ORCLS_BENCH_BUILD=DIR` names the build directory).

#[path = "../tests/suite/lsp/client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod client;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Client;
use criterion::{Criterion, criterion_group, criterion_main};
use orcls::lsp::Host;
use orcls::lsp::engine::Toolchain;
use serde_json::{Value, json};

const TEXT: &str = "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\tpush %rbx\n\tpop %rbx\n\tret\n\t.size f, .-f\n";

/// The file to edit; the folder goes with the value.
fn source() -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Some(path) = std::env::var_os("ORCLS_BENCH_SOURCE") {
        return (PathBuf::from(path), folder);
    }
    let source = folder.path().join("a.S");
    fs::write(&source, TEXT).expect("a file");
    let entry = json!([{"directory": folder.path(), "file": "a.S", "command": "gcc -c -o a.o a.S"}]);
    fs::write(folder.path().join("compile_commands.json"), entry.to_string()).expect("a file");
    (source, folder)
}

/// A session in which one file is edited.
struct Session {
    client: Client,
    uri: String,
    text: String,
    version: i64,
}

impl Session {
    fn start(source: &PathBuf) -> Session {
        let mut client = Client::connect(Host::new(Arc::new(Toolchain::new().expect("a private folder"))));
        let build = std::env::var("ORCLS_BENCH_BUILD").unwrap_or_default();
        client.initialize(json!({"initializationOptions": {"buildDirectory": build}}));
        let (uri, text) = (format!("file://{}", source.display()), fs::read_to_string(source).expect("a text"));
        let document = json!({"uri": uri, "languageId": "asm", "version": 1, "text": text});
        client.notify("textDocument/didOpen", json!({"textDocument": document}));
        client.published_at(&uri, 1);
        Session { client, uri, text, version: 1 }
    }

    /// One edit: the time until its findings are there, without the compiler's.
    fn edit(&mut self) -> Duration {
        self.version += 1;
        let begin = Instant::now();
        let text = format!("{}{}", self.text, "\n".repeat(self.version as usize % 7));
        let document = json!({"uri": self.uri, "version": self.version});
        let changes = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        self.client.notify("textDocument/didChange", changes);
        self.client.published_at(&self.uri, self.version);
        let taken = begin.elapsed();
        let status = self.client.request("orcls/status", json!({"textDocument": {"uri": self.uri}}));
        let compile = status.expect("a status").get("compileMs").and_then(Value::as_f64).unwrap_or_default();
        taken.saturating_sub(Duration::from_secs_f64(compile / 1e3))
    }
}

fn session(criterion: &mut Criterion) {
    let (source, _folder) = source();
    let mut session = Session::start(&source);
    let mut group = criterion.benchmark_group("session");
    group.sample_size(20);
    group.bench_function("edit to findings, less the compiler", |bencher| {
        bencher.iter_custom(|n| (0..n).map(|_| session.edit()).sum());
    });
    group.finish();
}

criterion_group!(benches, session);
criterion_main!(benches);
