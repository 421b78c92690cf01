//! Runs the corpus of kernel objects, where it is there: objtool's lines and tables for thousands of objects.
//!
//! In: `../shared/corpus`, with its `conform.py`.  Out: the share of objects on which orcls says exactly what objtool says.
//! Holds afterwards: all objects as they were built, and 99 of 100 objects with a few bytes changed.
//! A part of the corpus, for speed: the first objects of each kind of each release.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows of each kind and release. A few hundred take seconds.
const LIMIT: &str = "250";

/// The archives, or why there is nothing to run.
fn corpus() -> Result<(PathBuf, Vec<PathBuf>), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let script = folder.join("conform.py");
    if !script.exists() {
        return Err(format!("there is no {}", script.display()));
    }
    for (tool, argument) in [("python3", "--version"), ("zstd", "--version")] {
        if Command::new(tool).arg(argument).output().is_err() {
            return Err(format!("{tool} is not installed"));
        }
    }
    let archives = ["dev-6.1", "dev-6.12", "dev-7.3"].map(|name| folder.join(format!("{name}.tar.zst")));
    Ok((script, archives.into_iter().filter(|archive| archive.exists()).collect()))
}

/// What `conform.py` prints for `kind`, and the share of exact rows.
fn run(script: &Path, archive: &Path, kind: &str) -> (String, f64) {
    let output = Command::new("python3")
        .arg(script)
        .args(["--bin", env!("CARGO_BIN_EXE_orcls"), "--only", kind, "--limit", LIMIT, "--show", "5"])
        .arg(archive)
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let share =
        text.split("exact ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|share| share.parse().ok());
    let share = share.unwrap_or_else(|| panic!("conform.py printed no figure:\n{text}"));
    (text, share)
}

#[track_caller]
fn demand(kind: &str, least: f64) {
    let (script, archives) = match corpus() {
        Ok(found) => found,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut failures = Vec::new();
    for archive in archives {
        let (text, share) = run(&script, &archive, kind);
        println!("{}: {kind}: {share} % exact", archive.display());
        if share < least {
            failures.push(format!("{}: {share} % of {kind} rows exact, {least} % wanted\n{text}", archive.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn objects_as_built_are_judged_exactly() {
    demand("plain", 100.0);
}

#[test]
fn changed_objects_are_judged_almost_always_exactly() {
    demand("mutant", 99.0);
}
