//! Runs the corpus of kernel objects, where it is there: objtool's lines and tables for thousands of objects.
//!
//! In: `../shared/corpus`, with its `conform.py`.  Out: the objects on which orcls does not say exactly what objtool says.
//! Holds afterwards: none of the objects as they were built, and one of 100 objects with a few bytes changed.
//! A part of the corpus, for speed: the first objects of each kind of each release.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows of each kind and release. A few hundred take seconds.
const LIMIT: usize = 400;

/// Objects on which objtool's verdict hangs on what happens to lie in its memory, and why.
const CHANCE: &[(&str, &str)] = &[(
    "6.12-6bd8002b03",
    "a store to pv_ops, which the object only declares: objtool 6.12 writes behind its own table, which kills it or not",
)];

/// The script and the archives, or why there is nothing to run.
fn corpus() -> Result<(PathBuf, Vec<PathBuf>), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let script = folder.join("conform.py");
    if !script.exists() {
        return Err(format!("there is no {}", script.display()));
    }
    for tool in ["python3", "zstd"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!("{tool} is not installed"));
        }
    }
    let archives = ["dev-6.1", "dev-6.12", "dev-7.3"].map(|name| folder.join(format!("{name}.tar.zst")));
    Ok((script, archives.into_iter().filter(|archive| archive.exists()).collect()))
}

/// The ids of the rows of `kind` that differ, chance ones left out, and what `conform.py` printed.
fn differing(script: &Path, archive: &Path, kind: &str) -> (Vec<String>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("differing.json");
    let output = Command::new("python3")
        .arg(script)
        .args(["--bin", env!("CARGO_BIN_EXE_orcls"), "--only", kind, "--limit", &LIMIT.to_string(), "--show", "5"])
        .arg("--keep")
        .arg(folder.path().join("unpacked"))
        .arg("--json")
        .arg(&list)
        .arg(archive)
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let rows = std::fs::read(&list).unwrap_or_else(|_| panic!("conform.py wrote no list:\n{text}"));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&rows).expect("a list of rows");
    let ids = rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_owned);
    (ids.filter(|id| CHANCE.iter().all(|(chance, _)| chance != id)).collect(), text)
}

/// Fails where more than `allowed` rows of a release differ.
#[track_caller]
fn demand(kind: &str, allowed: usize) {
    let (script, archives) = match corpus() {
        Ok(found) => found,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut failures = Vec::new();
    for archive in archives {
        let (ids, text) = differing(&script, &archive, kind);
        if ids.len() > allowed {
            failures.push(format!("{}: {} {kind} rows differ: {ids:?}\n{text}", archive.display(), ids.len()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn objects_as_built_are_judged_exactly() {
    demand("plain", 0);
}

#[test]
fn changed_objects_are_judged_almost_always_exactly() {
    demand("mutant", LIMIT / 100);
}
