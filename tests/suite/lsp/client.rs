//! A client for tests: speaks to a server in this process over a pipe, and is as strict as a real one is not.
//!
//! In: an [`Engine`].  Out: answers and notifications, in their order.
//! Holds afterwards: at its end the server has ended in order, every request was answered once, and no message of the
//! server was left unread, or the test fails.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use orcls::lsp::verdict::Engine;
use orcls::lsp::{Ending, Host, serve};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Longer than anything a test waits for; a test that gets here has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the tests' clients never look at, unless they ask for it.
const NOISE: [&str; 1] = ["orcls/statusChanged"];

enum Server {
    Here(Runtime, Option<JoinHandle<std::io::Result<Ending>>>),
    Process(Child),
    Gone,
}

/// The test's end of a session.
pub struct Client {
    server: Server,
    input: Option<Box<dyn Write + Send>>,
    inbox: Receiver<Value>,
    unread: Vec<Value>,
    next_id: i64,
    open: BTreeSet<i64>,
}

impl Client {
    /// Starts a server on several threads of this process and connects to it.
    pub fn connect(host: Host) -> Client {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        theirs.set_nonblocking(true).expect("the socket can be set");
        let server = runtime.spawn(async move {
            let (input, output) = tokio::net::UnixStream::from_std(theirs)?.into_split();
            serve(input, output, host, std::future::pending()).await
        });
        let output = ours.try_clone().expect("the socket can be shared");
        Client::new(Server::Here(runtime, Some(server)), Box::new(Half(ours)), output)
    }

    /// Starts a server as a process of its own.
    pub fn spawn(command: &mut Command) -> Client {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let (input, output) = child.stdin.take().zip(child.stdout.take()).expect("pipes");
        Client::new(Server::Process(child), Box::new(input), output)
    }

    fn new(server: Server, input: Box<dyn Write + Send>, output: impl Read + Send + 'static) -> Client {
        let (sender, inbox) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Client { server, input: Some(input), inbox, unread: Vec::new(), next_id: 1, open: BTreeSet::new() }
    }

    /// Connects with the usual patience and initialises.
    pub fn start(engine: impl Engine, params: Value) -> Client {
        let mut client = Client::connect(Host::new(Arc::new(engine)));
        client.initialize(params);
        client
    }

    /// Introduces the client. What `params` leaves out is left out.
    pub fn initialize(&mut self, mut params: Value) -> Value {
        let object = params.as_object_mut().expect("parameters are an object");
        object.entry("processId").or_insert(Value::Null);
        object.entry("capabilities").or_insert_with(|| json!({}));
        // The tests' own workspaces are trusted, unless a test says otherwise.
        let options = object.entry("initializationOptions").or_insert_with(|| json!({}));
        if let Some(options) = options.as_object_mut() {
            let of_server =
                if options.contains_key("orcls") { options["orcls"].as_object_mut() } else { Some(options) };
            of_server.map(|settings| settings.entry("trusted").or_insert(json!(true)));
        }
        let result = self.request("initialize", params).expect("initialize is answered");
        self.notify("initialized", json!({}));
        result
    }

    /// Writes raw bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the client has not hung up");
        input.write_all(bytes).and_then(|()| input.flush()).expect("the server reads");
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.write(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends a request and returns its number.
    pub fn ask(&mut self, method: &str, params: Value) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id);
        let params = if params.is_null() { json!({}) } else { json!({"params": params}) };
        let mut message = json!({"jsonrpc": "2.0", "id": id, "method": method});
        if let (Some(message), Some(params)) = (message.as_object_mut(), params.as_object()) {
            message.extend(params.clone());
        }
        self.send(&message);
        id
    }

    /// Waits for the answer to a request.
    pub fn answer(&mut self, id: i64) -> Result<Value, Value> {
        let message = self.wait(&format!("the answer to request {id}"), |message| {
            message.get("method").is_none() && message.get("id") == Some(&json!(id))
        });
        assert!(self.open.remove(&id), "request {id} is answered twice");
        match message.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(message.get("result").cloned().unwrap_or(Value::Null)),
        }
    }

    /// Sends a request and waits for its answer.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.ask(method, params);
        self.answer(id)
    }

    /// Answers a request of the server.
    pub fn reply(&mut self, request: &Value, result: Value) {
        let id = request.get("id").expect("a request has a number").clone();
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    /// Waits for a call of the server.
    pub fn called(&mut self, method: &str) -> Value {
        self.wait(method, |message| message.get("method") == Some(&json!(method)))
    }

    /// Waits for the next findings of a file.
    pub fn published(&mut self, uri: &str) -> Published {
        let message = self.wait(&format!("the findings of {uri}"), |message| {
            message.get("method") == Some(&json!("textDocument/publishDiagnostics"))
                && message.pointer("/params/uri") == Some(&json!(uri))
        });
        let params = message.get("params").expect("parameters");
        Published {
            version: params.get("version").and_then(Value::as_i64),
            diagnostics: params.get("diagnostics").and_then(Value::as_array).cloned().unwrap_or_default(),
        }
    }

    /// Waits for the findings of a file at a version, past those of older ones.
    pub fn published_at(&mut self, uri: &str, version: i64) -> Vec<Value> {
        loop {
            let published = self.published(uri);
            if published.version == Some(version) {
                return published.diagnostics;
            }
            assert!(published.version.is_none_or(|of| of < version), "a later version than {version} was published");
        }
    }

    /// The first unread message that `wanted` accepts.
    #[track_caller]
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) if wanted(&message) => return message,
                Ok(message) => self.unread.push(message),
                Err(RecvTimeoutError::Timeout) => panic!("{what} did not come; unread: {:#?}", self.unread),
                Err(RecvTimeoutError::Disconnected) => panic!("{what} did not come before the server ended"),
            }
        }
    }

    /// Waits until `done` holds, which other threads make true.
    #[track_caller]
    pub fn until(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done() {
            assert!(Instant::now() < deadline, "{what} did not happen");
            std::thread::yield_now();
        }
    }

    /// Waits until the status of a file has this state.
    #[track_caller]
    pub fn until_status(&mut self, uri: &str, state: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status");
            if status["state"] == json!(state) {
                break;
            }
            assert!(Instant::now() < deadline, "{state} was not reached: {status}");
        }
    }

    /// Takes every message of a method that has arrived.
    pub fn forget(&mut self, method: &str) {
        self.unread();
        self.unread.retain(|message| message.get("method") != Some(&json!(method)));
    }

    /// Messages that have arrived and that nobody has read.
    pub fn unread(&mut self) -> &[Value] {
        while let Ok(message) = self.inbox.try_recv() {
            self.unread.push(message);
        }
        self.unread.retain(|message| !NOISE.iter().any(|noise| message.get("method") == Some(&json!(noise))));
        &self.unread
    }

    /// Closes the client's end of the input.
    pub fn hang_up(&mut self) {
        self.input = None;
    }

    /// Leaves in order, without a look at what the server has said.
    pub fn abandon(&mut self) {
        self.leave();
        while self.inbox.recv().is_ok() {}
        self.unread.clear();
    }

    /// The server's process.
    pub fn process(&self) -> u32 {
        match &self.server {
            Server::Process(child) => child.id(),
            Server::Here(..) | Server::Gone => panic!("the server is no process of its own"),
        }
    }

    /// Waits for the server to end.
    #[track_caller]
    pub fn ended(&mut self) -> Ending {
        match std::mem::replace(&mut self.server, Server::Gone) {
            Server::Here(runtime, server) => {
                let server = server.expect("the server has not ended before");
                let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, server).await });
                runtime.shutdown_background();
                ended.expect("the server ends").expect("the server does not panic").expect("the server could start")
            }
            Server::Process(mut child) => {
                let deadline = Instant::now() + DEADLINE;
                loop {
                    match child.try_wait().expect("the process is ours") {
                        Some(status) if status.success() => return Ending::Orderly,
                        Some(_) => return Ending::Abrupt,
                        None => assert!(Instant::now() < deadline, "the server does not end"),
                    }
                    std::thread::yield_now();
                }
            }
            Server::Gone => panic!("the server has ended before"),
        }
    }

    fn leave(&mut self) {
        let shutdown = self.request("shutdown", Value::Null);
        assert_eq!(shutdown, Ok(Value::Null));
        self.notify("exit", Value::Null);
        assert_eq!(self.ended(), Ending::Orderly);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            if !matches!(self.server, Server::Gone) {
                self.leave();
            }
            let unread = self.unread().to_vec();
            assert!(unread.is_empty(), "the server said more than the test heard: {unread:#?}");
            assert!(self.open.is_empty(), "requests without an answer: {:?}", self.open);
        }
        match std::mem::replace(&mut self.server, Server::Gone) {
            Server::Here(runtime, _) => runtime.shutdown_background(),
            Server::Process(mut child) => drop(child.kill().and_then(|()| child.wait())),
            Server::Gone => {}
        }
    }
}

/// One half of a socket: closing it closes the direction.
struct Half(UnixStream);

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Write).ok();
    }
}

/// The findings of a file.
#[derive(Debug)]
pub struct Published {
    /// The version of the text that they belong to.
    pub version: Option<i64>,
    /// The findings.
    pub diagnostics: Vec<Value>,
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("the server writes JSON"))
}
