//! From an edit to its findings, through the protocol and the loop, less the compiler's own time.
//!
//! The text is an assembly function; `ORCLS_BENCH_SOURCE=FILE` takes another one, whose build is looked for as always
//! (`ORCLS_BENCH_BUILD=DIR` names the build directory).

#[path = "../tests/suite/lsp/client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod client;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
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

    /// One edit that moves lines: the time until its findings are there.
    fn move_lines(&mut self) -> Duration {
        self.version += 1;
        let begin = Instant::now();
        let text = format!("{}{}", "\n".repeat(1 + self.version as usize % 7), self.text);
        let document = json!({"uri": self.uri, "version": self.version});
        let changes = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        self.client.notify("textDocument/didChange", changes);
        self.client.published_at(&self.uri, self.version);
        begin.elapsed()
    }

    /// One question about a place: the time until it is answered.
    fn ask(&mut self, method: &str, line: u32, character: u32) -> Duration {
        let begin = Instant::now();
        let params = json!({"textDocument": {"uri": self.uri}, "position": {"line": line, "character": character}});
        let answer = self.client.request(method, params).expect("an answer");
        assert!(!answer.is_null(), "{method}");
        begin.elapsed()
    }

    /// One edit: the time until its findings are there, and how much of it is the compiler's.
    fn edit(&mut self) -> (Duration, Duration) {
        self.version += 1;
        let begin = Instant::now();
        // Another statement each time: a text that was judged before, or only has its lines elsewhere, is not compiled.
        let text = format!("{}\t.set orcls_bench, {}\n", self.text, self.version);
        let document = json!({"uri": self.uri, "version": self.version});
        let changes = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        self.client.notify("textDocument/didChange", changes);
        self.client.published_at(&self.uri, self.version);
        let taken = begin.elapsed();
        let status = self.client.request("orcls/status", json!({"textDocument": {"uri": self.uri}}));
        let compile = status.expect("a status").get("compileMs").and_then(Value::as_f64).unwrap_or_default();
        (taken, Duration::from_secs_f64(compile / 1e3))
    }
}

fn session(criterion: &mut Criterion) {
    let (source, _folder) = source();
    let mut session = Session::start(&source);
    let mut group = criterion.benchmark_group("session");
    group.sample_size(20);
    group.bench_function("edit to findings, less the compiler", |bencher| {
        bencher.iter_custom(|n| (0..n).map(|_| own(session.edit())).sum());
    });
    group.finish();
}

fn own((taken, compile): (Duration, Duration)) -> Duration {
    taken.saturating_sub(compile)
}

/// A text of 2,000 lines, as long as the longest of the kernel's.
fn long() -> String {
    let function = |n: usize| {
        format!(
            "\t.globl f{n}\n\t.type f{n}, @function\nf{n}:\n\tpush %rbx\n.Lloop{n}:\n\tSAVE %rax\n\tdec %rbx\n\
             \tjnz .Lloop{n}\n\tpop %rbx\n\tret\n"
        )
    };
    let head = ".macro SAVE reg:req\n\tmov \\reg, \\reg\n.endm\n";
    (0..200).map(function).fold(head.to_owned(), |text, one| text + &one)
}

/// Assembly as a language: what an editor asks while somebody reads and types.
fn assembly(criterion: &mut Criterion) {
    let (source, _folder) = source();
    if std::env::var_os("ORCLS_BENCH_SOURCE").is_none() {
        fs::write(&source, long()).expect("a file");
    }
    let mut session = Session::start(&source);
    // The line of the first jump to a label, and of the last.
    let lines: Vec<&str> = session.text.lines().collect();
    let jump = lines.iter().rposition(|line| line.contains("jnz") || line.contains("jmp")).unwrap_or(0);
    let column = lines.get(jump).and_then(|line| line.rfind([' ', '\t'])).unwrap_or(0) + 2;
    let (line, column) = (u32::try_from(jump).unwrap_or(0), u32::try_from(column).unwrap_or(0));
    let mut group = criterion.benchmark_group("assembly");
    group.sample_size(20);
    for (method, line, column) in [
        ("textDocument/definition", line, column),
        ("textDocument/documentHighlight", line, column),
        ("textDocument/completion", line, column),
        ("textDocument/documentSymbol", 0, 0),
        ("textDocument/foldingRange", 0, 0),
        ("textDocument/semanticTokens/full", 0, 0),
    ] {
        group.bench_function(method, |bencher| {
            bencher.iter_custom(|n| (0..n).map(|_| session.ask(method, line, column)).sum());
        });
    }
    group.bench_function("an edit that moves lines", |bencher| {
        bencher.iter_custom(|n| (0..n).map(|_| session.move_lines()).sum());
    });
    group.finish();
}

/// A library's text of 5,000 lines, with unwind directives, as user space has them.
fn library() -> String {
    let function = |n: usize| {
        let save = "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %rbx, 0\n";
        let work = "\tmov %rdi, %rbx\n\tadd %rsi, %rbx\n\tmov %rbx, %rax\n".repeat(4);
        let restore = "\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %rbx\n\tret\n";
        format!(
            "\t.globl f{n}\n\t.type f{n}, @function\nf{n}:\n\t.cfi_startproc\n{save}{work}{restore}\t.cfi_endproc\n\t.size f{n}, .-f{n}\n"
        )
    };
    (0..200).map(function).fold("\t.text\n".to_owned(), |text, one| text + &one)
}

/// From a key in a library's assembly to its verdict, beside the assembler alone: both with the assembler's time.
fn user_space(criterion: &mut Criterion) {
    let (source, folder) = source();
    let text = library();
    assert_eq!(text.lines().count() / 1000, 5);
    fs::write(&source, &text).expect("a file");
    let mut session = Session::start(&source);
    let mut group = criterion.benchmark_group("5,000 lines for user space");
    group.sample_size(20);
    group.bench_function("the assembler", |bencher| {
        bencher.iter(|| {
            let mut gcc = Command::new("gcc");
            let status = gcc.args(["-c", "-g", "-o", "alone.o"]).arg(&source).current_dir(folder.path()).status();
            assert!(status.expect("gcc runs").success());
        });
    });
    group.bench_function("key to verdict", |bencher| {
        bencher.iter_custom(|n| (0..n).map(|_| session.edit().0).sum());
    });
    group.finish();
}

criterion_group!(benches, session, assembly, user_space);
criterion_main!(benches);
