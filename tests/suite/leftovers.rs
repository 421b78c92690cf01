//! What orcls leaves in folders that it shares with others, seen from the outside.
//!
//! In: a folder for temporary files and a cache of the test's own.  Out: what is in them after a run.
//! Holds afterwards: what orcls did not make is still there.

use std::fs;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

#[test]
fn a_start_removes_nothing_that_orcls_did_not_make() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (tmp, source) = (place.path().join("tmp"), place.path().join("a.c"));
    let clone = tmp.join("orcls-demo");
    fs::create_dir_all(clone.join("0")).expect("a folder");
    fs::write(clone.join("lock"), "").expect("a file");
    let waiting = tmp.join("orcls-fifo");
    fs::create_dir_all(&waiting).expect("a folder");
    mknodat(CWD, waiting.join("lock"), FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    fs::write(&source, "int f(void) { return 1; }\n").expect("a file");
    let database = format!(
        r#"[{{"directory": "{}", "arguments": ["gcc", "-O2", "-c", "a.c"], "file": "a.c"}}]"#,
        place.path().display()
    );
    fs::write(place.path().join("compile_commands.json"), database).expect("a file");
    let status = Command::new(env!("CARGO_BIN_EXE_orcls"))
        .args(["check", "--kernel", "6.12", "--orc"])
        .arg(&source)
        .env("TMPDIR", &tmp)
        .env("XDG_CACHE_HOME", place.path().join("cache"))
        .stdin(Stdio::null())
        .status();
    assert_eq!(status.expect("orcls runs").code(), Some(0));
    assert!(clone.join("lock").exists() && clone.join("0").exists());
    let left = fs::read_dir(&tmp).expect("the folder").count();
    assert_eq!(left, 2, "the run has left something");
}
