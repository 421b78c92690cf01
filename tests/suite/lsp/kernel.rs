//! Sessions on a real kernel tree: `ORCLS_KERNEL_TREE=DIR`, as `shared/testbed/kernel-tree.sh` leaves it.
//!
//! `ORCLS_KERNEL_FILES=N` opens N assembly and 1.5 N C files. Where times are measured, the program has to be a release
//! build and the machine idle for them to mean anything.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Client;
use super::{change, close, insert, open};

pub fn tree() -> Option<PathBuf> {
    let tree = std::env::var_os("ORCLS_KERNEL_TREE").map(PathBuf::from);
    if tree.is_none() {
        println!("skipped: ORCLS_KERNEL_TREE is not set");
    }
    tree
}

pub fn client(tree: &Path) -> Client {
    let mut client = Client::spawn(Command::new(env!("CARGO_BIN_EXE_orcls")).args(["lsp", "--stdio"]));
    let publish = json!({"relatedInformation": true});
    client.initialize(json!({
        "capabilities": {"textDocument": {"publishDiagnostics": publish}},
        "initializationOptions": {"buildDirectory": tree.join("build")},
        "workspaceFolders": [{"uri": uri(&tree.join("src")), "name": "linux"}],
    }));
    client
}

pub fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Sources of which the build has kept the object, with this ending, spread over the tree.
fn sources(tree: &Path, ending: &str, n_files: usize) -> Vec<PathBuf> {
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

/// Every file below a folder, with its size and the time of its last change of any kind, to the nanosecond.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            }
            files.insert(entry.path(), (meta.len(), meta.ctime(), meta.ctime_nsec()));
        }
    }
    files
}

#[test]
fn files_of_the_kernel_have_no_false_finding_and_stay_as_they_are() {
    let Some(tree) = tree() else {
        return;
    };
    let mut client = client(&tree);
    let n_files = std::env::var("ORCLS_KERNEL_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_usize);
    let files: Vec<_> = sources(&tree, "S", n_files).into_iter().chain(sources(&tree, "c", n_files * 3 / 2)).collect();
    assert!(!files.is_empty());
    let before = listing(&tree);
    for source in &files {
        let text = fs::read_to_string(source).expect("the source is text");
        let uri = uri(source);
        open(&mut client, &uri, &text);
        let found = client.published_at(&uri, 1);
        assert!(found.is_empty(), "{uri}: {found:#?}");
        // A line more at the end: the text is compiled, whatever the object says.
        change(&mut client, &uri, 2, json!([{"text": format!("{text}\n")}]));
        let found = client.published_at(&uri, 2);
        assert!(found.is_empty(), "{uri}: {found:#?}");
        let status = client.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status");
        assert_eq!((&status["state"], &status["basis"]), (&json!("fresh"), &json!("buffer")), "{uri}: {status:#}");
        close(&mut client, &uri);
        client.published(&uri);
    }
    let after = listing(&tree);
    let changed = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(changed).collect();
    assert!(changed.is_empty(), "something was written: {changed:?}");
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

/// Ten edits a second come in, and hovers with them: the time from the last edit to its findings, without the compiler's.
#[test]
fn findings_and_hovers_come_while_edits_come_in() {
    let Some(tree) = tree() else {
        return;
    };
    for name in ["kernel/sched/core.c", "arch/x86/lib/memcpy_64.S", "arch/x86/entry/entry_64.S"] {
        let source = tree.join("src").join(name);
        let text = fs::read_to_string(&source).expect("the source is text");
        let (mut client, uri, end) = (client(&tree), uri(&source), text.lines().count() as u32);
        open(&mut client, &uri, &text);
        client.published_at(&uri, 1);
        let (mut version, mut waits, mut hovers) = (1, Vec::new(), Vec::new());
        for _ in 0..20 {
            let mut last = Instant::now();
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(100).saturating_sub(last.elapsed()));
                version += 1;
                last = Instant::now();
                change(&mut client, &uri, version, insert(end, 0, &format!("/* {version} */\n")));
                let asked = Instant::now();
                let place = json!({"line": (version as u32 * 97) % end, "character": 0});
                let hover = json!({"textDocument": {"uri": uri}, "position": place});
                client.request("textDocument/hover", hover).expect("an answer");
                hovers.push(asked.elapsed());
            }
            // Fails if a result for an older text comes behind one for a newer.
            client.published_at(&uri, version);
            let wait = last.elapsed();
            let status = client.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status");
            let compile = status["compileMs"].as_f64().expect("a compiled text") / 1e3;
            waits.push(wait.saturating_sub(Duration::from_secs_f64(compile)));
        }
        client.forget("textDocument/publishDiagnostics");
        let (waits, hovers) = (spread(waits), spread(hovers));
        println!("{name}: findings {waits:.1?}, hovers {hovers:.1?} (least, median, 95 %)");
        assert!(waits[0] <= Duration::from_millis(30) && hovers[0] <= Duration::from_millis(10), "{name}");
    }
}

/// The least, the median, and what 95 of 100 do not exceed.
fn spread(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    [at(0), at(50), at(95)]
}
