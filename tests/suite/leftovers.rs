//! What orcls leaves in folders that it shares with others, seen from the outside.
//!
//! In: a folder for temporary files and a cache of the test's own.  Out: what is in them after a run.
//! Holds afterwards: what orcls did not make is still there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

/// A project of one file, and places for temporary files and for a cache.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(text: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        fs::write(folder.path().join("a.c"), text).expect("a file");
        let database = format!(
            r#"[{{"directory": "{}", "arguments": ["gcc", "-O2", "-c", "a.c"], "file": "a.c"}}]"#,
            folder.path().display()
        );
        fs::write(folder.path().join("compile_commands.json"), database).expect("a file");
        Place { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn check(&self) -> Command {
        // Whoever runs the tests in the background may have them ignore signals, and a program keeps to that.
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_orcls")]);
        command.args(["check", "--kernel", "6.12", "--orc"]).arg(self.path().join("a.c")).stdin(Stdio::null());
        command.env("TMPDIR", self.path().join("tmp")).env("XDG_CACHE_HOME", self.path().join("cache"));
        command
    }

    /// How many folders are in the place for temporary files.
    fn left(&self) -> usize {
        fs::read_dir(self.path().join("tmp")).expect("the folder").count()
    }

    /// The processes that name the place for temporary files: compilers and keepers.
    fn processes(&self, name: &str) -> usize {
        let mark = self.path().join("tmp").display().to_string();
        let lines = fs::read_dir("/proc").expect("/proc is there").flatten();
        let lines = lines.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
        lines.filter(|line| line.contains(&mark) && line.contains(name)).count()
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}: {} folders, {} processes", self.left(), self.processes(""));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A text that keeps the compiler busy for longer than a test takes.
fn endless() -> String {
    format!("int f(int a) {{ {} return a; }}\n", "a = a * 3 + (a >> 1); if (a & 4) a ^= a << 3;".repeat(20_000))
}

fn end(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).expect("it runs");
}

#[test]
fn whatever_ends_it_leaves_neither_compiler_nor_folder() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let place = Place::new(&endless());
        let mut child = place.check().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("orcls runs");
        place.wait("the compiler starts", || place.processes("cc1") > 0);
        end(&child, signal);
        assert!(!child.wait().expect("it ends").success());
        place.wait("all is gone", || place.left() == 0 && place.processes("") == 0);
    }
}

#[test]
fn a_start_removes_nothing_that_orcls_did_not_make() {
    let place = Place::new("int f(void) { return 1; }\n");
    let tmp = place.path().join("tmp");
    let clone = tmp.join("orcls-demo");
    fs::create_dir_all(clone.join("0")).expect("a folder");
    fs::write(clone.join("lock"), "").expect("a file");
    let waiting = tmp.join("orcls-fifo");
    fs::create_dir_all(&waiting).expect("a folder");
    mknodat(CWD, waiting.join("lock"), FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    assert_eq!(place.check().status().expect("orcls runs").code(), Some(0));
    assert!(clone.join("lock").exists() && clone.join("0").exists());
    assert_eq!(place.left(), 2, "the run has left something");
}

#[test]
fn without_a_sandbox_a_source_is_compiled_when_the_user_says_so() {
    let place = Place::new("int f(void) { return 1; }\n");
    let run = place.check().env("ORCLS_LANDLOCK", "off").output().expect("orcls runs");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("gcc -O2 -c a.c") && said.contains("--trust"), "{said}");
    let run = place.check().env("ORCLS_LANDLOCK", "off").arg("--trust").status().expect("orcls runs");
    assert_eq!(run.code(), Some(0));
}

#[test]
fn a_command_that_everybody_could_have_written_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("int f(void) { return 1; }\n");
    let database = place.path().join("compile_commands.json");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o666)).expect("the mode can be set");
    let run = place.check().output().expect("orcls runs");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("every user"), "{said}");
    let run = place.check().env("ORCLS_SAFE_DIRECTORIES", place.path()).status().expect("orcls runs");
    assert_eq!(run.code(), Some(0));
}
