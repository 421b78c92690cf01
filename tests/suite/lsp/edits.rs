//! Edits of a kernel tree that make objtool complain, replayed through the server from unsaved texts.
//!
//! `ORCLS_KERNEL_TREE=DIR` is the tree, `ORCLS_KERNEL_EDITS=FILE[:FILE...]` what `shared/testbed/edits.py` wrote about it:
//! each edit with what objtool says, and on which line.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::kernel::{client, tree, uri};
use super::{change, close, open};

/// An edit of a source, and what objtool says then.
#[derive(Deserialize)]
struct Edit {
    file: String,
    /// The line, from 0.
    at: usize,
    delete: usize,
    insert: Vec<String>,
    said: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    text: String,
    /// From 1; none where objtool's place has no line of the file.
    line: Option<usize>,
}

/// What the server made of all edits.
#[derive(Default, Debug)]
struct Score {
    edits: usize,
    /// Edits that insert or remove a stack operation, and those of them whose line is named.
    stack: usize,
    named: usize,
    misses: Vec<String>,
}

#[test]
fn edits_that_break_the_stack_are_named() {
    let (Some(tree), Ok(files)) = (tree(), std::env::var("ORCLS_KERNEL_EDITS")) else {
        println!("skipped: ORCLS_KERNEL_EDITS is not set");
        return;
    };
    let mut client = client(&tree);
    let mut score = Score::default();
    for file in files.split(':') {
        let text = fs::read_to_string(file).expect("a list of edits");
        let edits: Vec<Edit> = serde_json::from_str(&text).expect("edits");
        edits.iter().for_each(|edit| replay(&mut client, &tree, edit, &mut score));
    }
    println!("{} edits, {} of {} stack operations named", score.edits, score.named, score.stack);
    score.misses.iter().for_each(|miss| println!("not named: {miss}"));
    assert!(score.edits > 0 && score.named * 100 >= score.stack * 95);
}

fn replay(client: &mut Client, tree: &Path, edit: &Edit, score: &mut Score) {
    let path = tree.join("src").join(&edit.file);
    let (uri, text) = (uri(&path), fs::read_to_string(&path).expect("the source is text"));
    let lines: Vec<&str> = text.lines().collect();
    open(client, &uri, &text);
    assert!(client.published_at(&uri, 1).is_empty(), "{}: findings before the edit", edit.file);
    let removed: String = lines[edit.at..edit.at + edit.delete].iter().map(|line| format!("{line}\n")).collect();
    let inserted: String = edit.insert.iter().map(|line| format!("{line}\n")).collect();
    change(client, &uri, 2, replace(edit.at, edit.delete, &inserted));
    let found = client.published_at(&uri, 2);
    let what = format!("{}:{}: -{removed:?} +{inserted:?}", edit.file, edit.at + 1);
    for said in &edit.said {
        let told: Vec<&Value> = found.iter().filter(|found| found["data"]["objtool"] == json!(said.text)).collect();
        // A line that is none of this file's is shown in the file that it belongs to.
        let Some(line) = said.line else { continue };
        assert!(!told.is_empty(), "{what}: objtool says `{}`: {found:#?}", said.text);
        let on_line = |found: &&Value| found["range"]["start"]["line"] == json!(line - 1);
        assert!(told.iter().any(on_line), "{what}: `{}` is not on line {line}: {told:#?}", said.text);
    }
    score.edits += 1;
    if is_stack_operation(&removed) || is_stack_operation(&inserted) {
        score.stack += 1;
        match found.iter().any(|found| names(found, &uri, edit.at)) {
            true => score.named += 1,
            false => score.misses.push(what.clone()),
        }
    }
    change(client, &uri, 3, replace(edit.at, edit.insert.len(), &removed));
    assert!(client.published_at(&uri, 3).is_empty(), "{what}: undone, and still there");
    close(client, &uri);
    client.published(&uri);
    client.forget("textDocument/publishDiagnostics");
}

fn replace(line: usize, n_lines: usize, with: &str) -> Value {
    let place = |line: usize| json!({"line": line, "character": 0});
    json!([{"range": {"start": place(line), "end": place(line + n_lines)}, "text": with}])
}

fn is_stack_operation(text: &str) -> bool {
    let moves_rsp = |word: &str| ["add", "sub", "lea", "mov"].iter().any(|op| word.trim_end_matches('q') == *op);
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.any(|word| word.starts_with("push") || word.starts_with("pop") || (moves_rsp(word) && text.contains("%rsp")))
}

/// Whether the finding, or a remark of it, stands on the line or beside it.
fn names(found: &Value, uri: &str, line: usize) -> bool {
    let near = |start: &Value| start.as_u64().is_some_and(|at| at.abs_diff(line as u64) <= 1);
    let remarks = found["relatedInformation"].as_array().into_iter().flatten();
    let mut places = remarks.map(|remark| &remark["location"]).filter(|place| place["uri"] == json!(uri));
    near(&found["range"]["start"]["line"]) || places.any(|place| near(&place["range"]["start"]["line"]))
}
