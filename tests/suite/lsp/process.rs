//! The server as a process of its own: how it ends, and what it leaves. And a long session of random events.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use orcls::lsp::Ending;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::client::Client;
use super::{change, close, lines, open};

const COMMAND: &str = "gcc -c -o a.o ";

/// A workspace with files, and a place of its own for temporary files.
struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    fn new(files: &[(&str, &str)]) -> Workspace {
        let workspace = Workspace { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(workspace.temporary()).expect("a folder");
        for (name, text) in files {
            fs::write(workspace.folder.path().join(name), text).expect("a file");
        }
        let entry = |(name, _): &(&str, &str)| json!({"directory": workspace.folder.path(), "file": name, "command": format!("{COMMAND}{name}")});
        let database: Vec<Value> = files.iter().map(entry).collect();
        fs::write(workspace.folder.path().join("compile_commands.json"), json!(database).to_string()).expect("a file");
        workspace
    }

    fn temporary(&self) -> std::path::PathBuf {
        self.folder.path().join("tmp")
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}", self.folder.path().canonicalize().expect("it is there").join(name).display())
    }

    fn client(&self) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcls"));
        command.arg("lsp").arg("--stdio").env("TMPDIR", self.temporary()).env("HOME", self.folder.path());
        let mut client = Client::spawn(command.env_remove("XDG_CACHE_HOME"));
        client.initialize(json!({"workspaceFolders": [{"uri": self.uri(""), "name": "x"}]}));
        client
    }

    /// What is left in the place for temporary files.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.temporary()).expect("the folder is there").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Processes whose arguments name this workspace, apart from the servers.
    fn compilers(&self) -> usize {
        let mark = self.folder.path().display().to_string();
        let is_compiler = |folder: &Path| {
            let line = fs::read(folder.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&mark)
        };
        fs::read_dir("/proc").expect("/proc is there").flatten().filter(|entry| is_compiler(&entry.path())).count()
    }

    fn is_clean_soon(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.left().is_empty() || self.compilers() > 0 {
            assert!(Instant::now() < deadline, "left: {:?}, {} processes", self.left(), self.compilers());
            std::thread::yield_now();
        }
    }
}

/// A text that keeps the compiler busy for longer than a test takes.
fn endless() -> String {
    format!("int f(int a) {{ {} return a; }}\n", "a = a * 3 + (a >> 1); if (a & 4) a ^= a << 3;".repeat(20_000))
}

fn busy(workspace: &Workspace) -> Client {
    let mut client = workspace.client();
    open(&mut client, &workspace.uri("a.c"), &endless());
    client.until("the compiler starts", || workspace.compilers() > 0);
    client
}

#[test]
fn a_server_that_is_left_in_order_leaves_nothing() {
    let workspace = Workspace::new(&[("a.c", "int x;\n")]);
    drop(busy(&workspace));
    workspace.is_clean_soon();
}

#[test]
fn a_server_whose_client_disappears_leaves_nothing() {
    let workspace = Workspace::new(&[("a.c", "int x;\n")]);
    let mut client = busy(&workspace);
    client.hang_up();
    assert_eq!(client.ended(), Ending::Abrupt);
    workspace.is_clean_soon();
}

#[test]
fn a_server_that_is_terminated_leaves_nothing() {
    let workspace = Workspace::new(&[("a.c", "int x;\n")]);
    let mut client = busy(&workspace);
    let pid = i32::try_from(client.process()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(client.ended(), Ending::Abrupt);
    workspace.is_clean_soon();
}

#[test]
fn a_server_that_is_killed_leaves_nothing() {
    let workspace = Workspace::new(&[("a.c", "int x;\n")]);
    let mut client = busy(&workspace);
    let pid = i32::try_from(client.process()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("it runs");
    assert_eq!(client.ended(), Ending::Abrupt);
    workspace.is_clean_soon();
}

/// A small random generator, so that a session can be repeated by its seed (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// The text of a function whose body is made of these lines.
fn function(body: &[&str]) -> String {
    let mut text = "\t.text\n\t.globl f\n\t.type f, @function\nf:\n".to_owned();
    body.iter().for_each(|line| text.push_str(&format!("\t{line}\n")));
    text + "\tret\n\t.size f, .-f\n"
}

const BODY: [&str; 6] = ["nop", "push %rbx", "pop %rbx", "no such instruction", "/* \u{1d4d0} */ nop", "sub $8, %rsp"];

/// One file of the session.
#[derive(Default)]
struct File {
    body: Vec<&'static str>,
    version: i64,
    is_open: bool,
}

/// Opens, edits, saves, closes, asks, cancels and restarts at random; the last texts get their right findings.
#[test]
fn a_random_session_ends_with_the_right_findings() {
    let n_steps = std::env::var("ORCLS_SESSION_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(300_u32);
    let seed = std::env::var("ORCLS_SESSION_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0x0c15_0c15_u64);
    let names = ["a.S", "b.S", "c.S"];
    let empty = function(&[]);
    let workspace = Workspace::new(&names.map(|name| (name, empty.as_str())));
    let mut random = Random(seed);
    let mut files = names.map(|_| File::default());
    let mut client = workspace.client();
    for _ in 0..n_steps {
        let which = random.below(3) as usize;
        let (file, uri) = (&mut files[which], workspace.uri(names[which]));
        match random.below(20) {
            0 if file.is_open => {
                close(&mut client, &uri);
                file.is_open = false;
            }
            1 => {
                client.abandon();
                client = workspace.client();
                files.iter_mut().for_each(|file| file.is_open = false);
            }
            2 if file.is_open => {
                fs::write(workspace.folder.path().join(names[which]), function(&file.body)).expect("a file");
                client.notify("textDocument/didSave", json!({"textDocument": {"uri": uri}}));
            }
            3..=5 => {
                let place = json!({"textDocument": {"uri": uri}, "position": {"line": 4, "character": 1}});
                let id = client.ask(["textDocument/hover", "orcls/cfi"][random.below(2) as usize], place);
                if random.below(2) == 0 {
                    client.notify("$/cancelRequest", json!({"id": id}));
                }
                // Both a result and a cancellation are answers.
                client.answer(id).ok();
            }
            _ if file.is_open => edit(&mut client, &uri, file, &mut random),
            _ => {
                file.version = 1;
                file.is_open = true;
                open(&mut client, &uri, &function(&file.body));
            }
        }
        client.forget("textDocument/publishDiagnostics");
    }
    for (file, name) in files.iter_mut().zip(names) {
        let uri = workspace.uri(name);
        if !file.is_open {
            open(&mut client, &uri, "");
        }
        file.version += 1000;
        file.body.retain(|line| !line.starts_with("no such"));
        change(&mut client, &uri, file.version, json!([{"text": function(&file.body)}]));
        let depth: i32 = file.body.iter().map(|line| depth(line)).sum();
        let found = client.published_at(&uri, file.version);
        let is_right = (depth == 0 && never_negative(&file.body)) == found.is_empty();
        assert!(is_right, "seed {seed}: {name}: {:?}: {:?}", file.body, lines(&found));
    }
    client.forget("textDocument/publishDiagnostics");
    drop(client);
    workspace.is_clean_soon();
}

fn edit(client: &mut Client, uri: &str, file: &mut File, random: &mut Random) {
    file.version += 1;
    let at = random.below(file.body.len() as u64 + 1) as usize;
    let line = at + 4;
    if at < file.body.len() && (random.below(2) == 0 || file.body.len() > 12) {
        file.body.remove(at);
        let range = json!({"start": {"line": line, "character": 0}, "end": {"line": line + 1, "character": 0}});
        change(client, uri, file.version, json!([{"range": range, "text": ""}]));
    } else {
        let text = BODY[random.below(BODY.len() as u64) as usize];
        file.body.insert(at, text);
        let place = json!({"line": line, "character": 0});
        change(
            client,
            uri,
            file.version,
            json!([{"range": {"start": place, "end": place}, "text": format!("\t{text}\n")}]),
        );
    }
}

fn depth(line: &str) -> i32 {
    match line {
        "push %rbx" | "sub $8, %rsp" => 8,
        "pop %rbx" => -8,
        _ => 0,
    }
}

/// A pop of a slot that another instruction made, or of the return address, is a fault of its own.
fn never_negative(body: &[&str]) -> bool {
    let mut slots = Vec::new();
    for line in body {
        match *line {
            "push %rbx" | "sub $8, %rsp" => slots.push(*line),
            "pop %rbx" => match slots.pop() {
                Some("push %rbx") => {}
                _ => return false,
            },
            _ => {}
        }
    }
    true
}
