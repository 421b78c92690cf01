//! `orcls demo`: a language server and an editor in one process, and an example that breaks the stack.
//!
//! In: nothing but a C compiler.  Out: what an editor would show: the finding, a hover, the alternative as a table, and
//! the finding gone after an edit that nobody has saved.
//! Holds afterwards: everything was written to a folder that is gone.

mod client;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::duplex;

use super::output::{BOLD, CODE, DIM, ERROR};
use super::uri::uri;
use super::{Verdict, markdown, output};
use crate::lsp::engine::Toolchain;
use crate::lsp::{self, Host};
use client::Client;

const SOURCE: &str = include_str!("demo/save_fl.S");
const FILE: &str = "save_fl.S";
/// The arm that takes the flags off the stack too late, and one that does it in time.
const EDIT: (&str, &str) = ("pushf; .nops 6; pop %rax", "pushf; pop %rax; .nops 6");
/// What the example includes.
const HEADERS: [(&str, &str); 2] = [
    ("orcls.h", include_str!("../../fixtures/include/orcls.h")),
    ("orcls-asm.h", include_str!("../../fixtures/include/orcls-asm.h")),
];
const PIPE: usize = 1 << 16;

/// Runs the command.
pub(crate) fn run() -> anyhow::Result<Verdict> {
    let folder = tempfile::Builder::new().prefix("orcls-demo-").tempdir()?;
    build(folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(show(folder.path()))?;
    Ok(Verdict::Clean)
}

/// Makes a small project: a source, its headers, and how it is compiled.
fn build(folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join(FILE), SOURCE)?;
    for (name, text) in HEADERS {
        std::fs::write(folder.join(name), text)?;
    }
    let arguments = ["cc", "-c", "-g", "-DKERNEL=612", "-o", "save_fl.o", FILE];
    let database = json!([{ "directory": folder, "file": FILE, "arguments": arguments }]);
    std::fs::write(folder.join("compile_commands.json"), database.to_string())?;
    let built = std::process::Command::new("cc").args(&arguments[1..]).current_dir(folder).output();
    let built = built.context("cc could not be started; the demo needs a C compiler")?;
    anyhow::ensure!(built.status.success(), "the example does not compile\n{}", String::from_utf8_lossy(&built.stderr));
    Ok(())
}

/// Talks to the server as an editor does, and prints what it would show.
async fn show(folder: &Path) -> anyhow::Result<()> {
    let ((to_server, input), (output_end, from_server)) = (duplex(PIPE), duplex(PIPE));
    let host = Host::new(Arc::new(Toolchain::new()?));
    let serving = tokio::spawn(lsp::serve(input, output_end, host, std::future::pending()));
    let mut client = Client::new(to_server, from_server);
    let reference = |path: &Path| uri(&path.display().to_string());
    let (root, document) = (reference(folder), reference(&folder.join(FILE)));
    let capabilities = json!({
        "textDocument": {
            "publishDiagnostics": { "relatedInformation": true, "versionSupport": true },
            "hover": { "contentFormat": ["markdown"] },
        },
    });
    let setup = json!({ "processId": null, "rootUri": root, "capabilities": capabilities, "initializationOptions": { "trusted": true } });
    client.request("initialize", Some(setup)).await?;
    client.notify("initialized", json!({})).await?;
    let text = json!({ "uri": document, "languageId": "asm", "version": 1, "text": SOURCE });
    client.notify("textDocument/didOpen", json!({ "textDocument": text })).await?;

    say(
        "What the editor shows",
        &format!("{DIM}{FILE}, just opened. Nothing was built; the server compiles the text.{DIM:#}"),
    )?;
    let found = client.diagnostics(1).await?;
    output::print(&page(SOURCE, &found))?;
    let line = found.first().map_or(0, |finding| finding["range"]["start"]["line"].as_u64().unwrap_or_default());

    let place = json!({ "textDocument": { "uri": document }, "position": { "line": line, "character": 2 } });
    let hover = client.request("textDocument/hover", Some(place)).await?;
    say(&format!("Hover on line {}", line + 1), "")?;
    output::print(&indent(&markdown::styled(hover["contents"]["value"].as_str().unwrap_or_default())))?;

    let edited = SOURCE.replace(EDIT.0, EDIT.1);
    let change = json!({ "textDocument": { "uri": document, "version": 2 }, "contentChanges": [{ "text": edited }] });
    client.notify("textDocument/didChange", change).await?;
    let found = client.diagnostics(2).await?;
    say("After an edit, not saved", &format!("{DIM}The flags are taken off the stack before the padding.{DIM:#}"))?;
    output::print(&page(&edited, &found))?;

    client.request("shutdown", None).await?;
    client.notify("exit", json!({})).await?;
    serving.await??;
    Ok(())
}

fn say(heading: &str, remark: &str) -> std::io::Result<()> {
    let gap = if remark.is_empty() { "" } else { "\n" };
    output::print(&format!("\n{BOLD}{heading}{BOLD:#}{gap}{remark}\n\n"))
}

/// The text with line numbers, each finding below its line.
fn page(text: &str, findings: &[Value]) -> String {
    let mut page = String::new();
    for (at, line) in text.lines().enumerate() {
        page.push_str(&format!("{DIM}{:>4} |{DIM:#} {}\n", at + 1, line.replace('\t', "    ")));
        for finding in findings.iter().filter(|finding| finding["range"]["start"]["line"] == at) {
            page.push_str(&below(line, finding));
        }
    }
    if findings.is_empty() {
        page.push_str(&format!("\n     {CODE}no findings{CODE:#}\n"));
    }
    page
}

/// The squiggle, the message, the related places and objtool's own words.
fn below(line: &str, finding: &Value) -> String {
    let column = |end: &str| finding["range"][end]["character"].as_u64().unwrap_or_default() as usize;
    let tabs = line.chars().take(column("start")).filter(|&c| c == '\t').count();
    let start = column("start") + 3 * tabs;
    let width = column("end").saturating_sub(column("start")).max(1);
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = format!("{DIM}     |{DIM:#} {:start$}{ERROR}{}{ERROR:#}\n", "", "~".repeat(width));
    let (code, message) = (word(&finding["code"]), word(&finding["message"]));
    text.push_str(&format!("{DIM}     |{DIM:#} {:start$}{ERROR}{code}{ERROR:#}: {BOLD}{message}{BOLD:#}\n", ""));
    for related in finding["relatedInformation"].as_array().into_iter().flatten() {
        let line = related["location"]["range"]["start"]["line"].as_u64().unwrap_or_default() + 1;
        text.push_str(&format!("{DIM}     |{DIM:#} {:start$}line {line}: {}\n", "", word(&related["message"])));
    }
    if let Some(words) = finding["data"]["objtool"].as_str() {
        text.push_str(&format!("{DIM}     | {:start$}objtool would say: {words}{DIM:#}\n", ""));
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("     {line}\n")).collect()
}
