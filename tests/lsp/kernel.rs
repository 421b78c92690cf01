//! Sessions on a real kernel tree: `ORCLS_KERNEL_TREE=DIR`, as `shared/testbed/kernel-tree.sh` leaves it.
//!
//! `ORCLS_KERNEL_FILES=N` opens N assembly and N C files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use orcls::lsp::Host;
use orcls::lsp::engine::Toolchain;
use serde_json::{Value, json};

use super::client::Client;
use super::{change, close, insert, open};

fn tree() -> Option<PathBuf> {
    let tree = std::env::var_os("ORCLS_KERNEL_TREE").map(PathBuf::from);
    if tree.is_none() {
        println!("skipped: ORCLS_KERNEL_TREE is not set");
    }
    tree
}

fn client(tree: &Path) -> Client {
    let mut client = Client::connect(Host::new(Arc::new(Toolchain::new().expect("a private folder"))));
    let publish = json!({"relatedInformation": true});
    client.initialize(json!({
        "capabilities": {"textDocument": {"publishDiagnostics": publish}},
        "initializationOptions": {"buildDirectory": tree.join("build")},
        "workspaceFolders": [{"uri": uri(&tree.join("src")), "name": "linux"}],
    }));
    client
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Sources of which the build has kept the object, with this ending, spread over the tree.
fn sources(tree: &Path, ending: &str) -> Vec<PathBuf> {
    let n_files = std::env::var("ORCLS_KERNEL_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_usize);
    let mut found = Vec::new();
    let mut folders = vec![tree.join("pre")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
            let path = entry.path();
            let below = path.strip_prefix(tree.join("pre")).expect("below it");
            let source = tree.join("src").join(below).with_extension(ending);
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("o") if source.exists() => found.push(source),
                _ => {}
            }
        }
    }
    found.sort();
    let step = (found.len() / n_files).max(1);
    found.into_iter().step_by(step).take(n_files).collect()
}

/// The files of a folder, with their sizes and times.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let facts = |path: &Path| fs::metadata(path).map_or((0, None), |meta| (meta.len(), meta.modified().ok()));
    entries.map(|entry| (entry.path(), facts(&entry.path()))).collect()
}

#[test]
fn files_of_the_kernel_have_no_false_finding_and_stay_as_they_are() {
    let Some(tree) = tree() else {
        return;
    };
    let mut client = client(&tree);
    let files: Vec<_> = sources(&tree, "S").into_iter().chain(sources(&tree, "c")).collect();
    assert!(!files.is_empty());
    for source in &files {
        let folder = source.parent().expect("a parent");
        let objects = tree.join("build").join(folder.strip_prefix(tree.join("src")).expect("below it"));
        let before = (listing(folder), listing(&objects));
        let text = fs::read_to_string(source).expect("the source is text");
        let uri = uri(source);
        // A line more at the end: the text is compiled, whatever the object says.
        open(&mut client, &uri, &text);
        change(&mut client, &uri, 2, json!([{"text": format!("{text}\n")}]));
        let found = client.published_at(&uri, 2);
        assert!(found.is_empty(), "{uri}: {found:#?}");
        let status = client.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status");
        assert_eq!((&status["state"], &status["basis"]), (&json!("fresh"), &json!("buffer")), "{uri}: {status:#}");
        close(&mut client, &uri);
        client.published(&uri);
        assert_eq!((listing(folder), listing(&objects)), before, "{uri}: something was written");
    }
    println!("{} files", files.len());
}

#[test]
fn an_unbalanced_push_is_found_where_it_is() {
    let Some(tree) = tree() else {
        return;
    };
    let source = tree.join("src/arch/x86/lib/copy_user_64.S");
    let text = fs::read_to_string(&source).expect("the source is text");
    let start = text.lines().position(|line| line.starts_with("SYM_FUNC_START(rep_movs_alternative)"));
    let line = u32::try_from(start.expect("the function is there")).expect("a line") + 1;
    let mut client = client(&tree);
    let uri = uri(&source);
    open(&mut client, &uri, &text);
    assert!(client.published_at(&uri, 1).is_empty());
    change(&mut client, &uri, 2, insert(line, 0, "\tpush %rbx\n"));
    let found = client.published_at(&uri, 2);
    let first = found.first().expect("a finding");
    assert_eq!(first["code"], json!("return-with-modified-frame"));
    let at_push = |remark: &Value| remark.pointer("/location/range/start/line") == Some(&json!(line));
    assert!(first["relatedInformation"].as_array().is_some_and(|list| list.iter().any(at_push)), "{first:#}");
    let range = json!({"start": {"line": line, "character": 0}, "end": {"line": line + 1, "character": 0}});
    change(&mut client, &uri, 3, json!([{"range": range, "text": ""}]));
    assert!(client.published_at(&uri, 3).is_empty());
}
