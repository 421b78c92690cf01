//! The least that an editor has to be: sends messages to a server and reads what it answers.
//!
//! In: the two ends of the server's streams.  Out: answers, and the diagnostics that were published last.
//! Reads like: LSP 3.17, "Base Protocol".

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// A compiler that takes longer is none that a demonstration could wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// An editor.
pub(super) struct Client {
    to_server: DuplexStream,
    from_server: BufReader<DuplexStream>,
    last_id: u64,
    /// The parameters of each `textDocument/publishDiagnostics` that nobody has asked for yet.
    published: Vec<Value>,
}

impl Client {
    pub(super) fn new(to_server: DuplexStream, from_server: DuplexStream) -> Client {
        Client { to_server, from_server: BufReader::new(from_server), last_id: 0, published: Vec::new() }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn request(&mut self, method: &str, params: Option<Value>) -> anyhow::Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        // A request without parameters has no such key; null is none of its types.
        if let Some(params) = params {
            message["params"] = params;
        }
        self.send(&message).await?;
        loop {
            let message = self.receive().await?;
            if message["id"] == id && message.get("method").is_none() {
                if let Some(error) = message.get("error") {
                    bail!("{method}: {}", error["message"].as_str().unwrap_or_default());
                }
                return Ok(message["result"].clone());
            }
            self.attend(message).await?;
        }
    }

    /// Tells.
    pub(super) async fn notify(&mut self, method: &str, params: Value) -> anyhow::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await
    }

    /// Waits for the diagnostics of this version of a document.
    pub(super) async fn diagnostics(&mut self, version: i32) -> anyhow::Result<Vec<Value>> {
        loop {
            let wanted = |params: &Value| params["version"] == version;
            if let Some(at) = self.published.iter().position(wanted) {
                let params = self.published.swap_remove(at);
                return Ok(params["diagnostics"].as_array().cloned().unwrap_or_default());
            }
            let message = self.receive().await?;
            self.attend(message).await?;
        }
    }

    /// Keeps what was published, and answers what the server asks: an editor without settings and without opinions.
    async fn attend(&mut self, message: Value) -> anyhow::Result<()> {
        let method = message["method"].as_str().unwrap_or_default();
        if method == "textDocument/publishDiagnostics" {
            self.published.push(message["params"].clone());
        }
        let Some(id) = message.get("id").filter(|_| !method.is_empty()) else {
            return Ok(());
        };
        let n_items = message["params"]["items"].as_array().map_or(0, Vec::len);
        let result = if method == "workspace/configuration" { json!(vec![Value::Null; n_items]) } else { Value::Null };
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).await
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let body = serde_json::to_vec(message)?;
        self.to_server.write_all(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        self.to_server.write_all(&body).await.context("the server is gone")
    }

    async fn receive(&mut self) -> anyhow::Result<Value> {
        tokio::time::timeout(PATIENCE, self.read()).await.context("the server does not answer")?
    }

    async fn read(&mut self) -> anyhow::Result<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.from_server.read_line(&mut line).await? == 0 {
                bail!("the server has closed its output");
            }
            match line.trim().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.from_server.read_exact(&mut body).await?;
        Ok(serde_json::from_slice(&body)?)
    }
}
