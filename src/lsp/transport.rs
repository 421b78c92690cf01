//! The way in: splits the input into messages and keeps out what the transport would stumble over.
//!
//! In: bytes from the client.  Out: well-formed messages, framed again.
//! Holds afterwards: every message that passes is valid JSON-RPC. One that is not becomes a call of [`UNREADABLE`], which
//! is answered with a parse error, and the next one is read: `tokio_util`'s framing ends the stream at a decoding error.
//! Reads like: LSP 3.17, "Base Protocol".

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tower_lsp::jsonrpc::{Request, Response};

use super::trace::{Direction, Trace};

/// The method that stands for a message that can not be understood.
pub const UNREADABLE: &str = "orcls/unreadable";

/// Larger messages are skipped: no text that a person edits is that long.
const MAX_MESSAGE: u64 = 256 << 20;
/// Longer header lines are read in pieces, none of which is a header.
const MAX_HEADER: u64 = 8 << 10;

/// Passes messages on until the input ends or nobody reads them.
pub async fn sieve(input: impl AsyncRead + Unpin, mut output: impl AsyncWrite + Unpin, trace: Trace) {
    let mut input = BufReader::new(input);
    while let Some(length) = header(&mut input).await {
        let message = match body(&mut input, length).await {
            Some(Ok(bytes)) => checked(bytes),
            Some(Err(TooLong)) => None,
            None => return,
        };
        let message =
            message.unwrap_or_else(|| format!(r#"{{"jsonrpc":"2.0","method":"{UNREADABLE}","id":null}}"#).into_bytes());
        trace.message(Direction::In, &message);
        let header = format!("Content-Length: {}\r\n\r\n", message.len());
        if output.write_all(header.as_bytes()).await.is_err() || output.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Reads up to the end of a header that names a length; `None` at the end of the input.
async fn header(input: &mut (impl AsyncBufReadExt + Unpin)) -> Option<u64> {
    let mut length = None;
    let mut line = Vec::new();
    loop {
        let n = (&mut *input).take(MAX_HEADER).read_until(b'\n', &mut line).await.ok()?;
        if n == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line);
        match named_length(&text) {
            Some(value) => length = value.trim().parse().ok(),
            None if text.trim().is_empty() && length.is_some() => return length,
            None => {}
        }
        // Of a line that is too long the end may be the start of a header.
        let kept = if line.ends_with(b"\n") { 0 } else { line.len().min(LENGTH.len()) };
        line.drain(..line.len() - kept);
    }
}

/// The header that counts.
const LENGTH: &str = "content-length:";

/// What a line names as the length. Whatever is in front of the header, bytes of a message that was longer than it said,
/// say, has no newline behind it.
fn named_length(line: &str) -> Option<&str> {
    let at = line.len().checked_sub(LENGTH.len())?;
    let is_here = |at: &usize| line.get(*at..*at + LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH));
    (0..=at).rev().find(is_here).and_then(|at| line.get(at + LENGTH.len()..))
}

struct TooLong;

async fn body(input: &mut (impl AsyncBufReadExt + Unpin), length: u64) -> Option<Result<Vec<u8>, TooLong>> {
    let mut limited = (&mut *input).take(length);
    if length > MAX_MESSAGE {
        let skipped = tokio::io::copy(&mut limited, &mut tokio::io::sink()).await.ok()?;
        return (skipped == length).then_some(Err(TooLong));
    }
    let mut bytes = Vec::new();
    let n = limited.read_to_end(&mut bytes).await.ok()?;
    (n as u64 == length).then_some(Ok(bytes))
}

/// The message, if it is one.
fn checked(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(&bytes).ok()?;
    if let Ok(request) = serde_json::from_str::<Request>(text)
        && !request.method().is_empty()
    {
        return match request.method() {
            "initialize" => serde_json::to_vec(&spelled(request)?).ok(),
            "shutdown" | "exit" if request.params().is_some() || text.contains("\"params\"") => {
                serde_json::to_vec(&without_params(text)?).ok()
            }
            "initialized" if !request.params().is_some_and(Value::is_object) => {
                let mut message = without_params(text)?;
                message.as_object_mut()?.insert("params".to_owned(), Value::Object(serde_json::Map::new()));
                serde_json::to_vec(&message).ok()
            }
            _ => Some(bytes),
        };
    }
    serde_json::from_str::<Response>(text).is_ok().then_some(bytes)
}

/// Clients send `null` or an empty object where the protocol has no parameters, which tower-lsp 0.20 refuses.
fn without_params(text: &str) -> Option<Value> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    message.as_object_mut()?.remove("params");
    Some(message)
}

/// lsp-types 0.94 reads `workspace.diagnostic` where LSP 3.17 has `workspace.diagnostics`.
fn spelled(request: Request) -> Option<Value> {
    let mut message = serde_json::to_value(request).ok()?;
    if let Some(workspace) = message.pointer_mut("/params/capabilities/workspace").and_then(Value::as_object_mut)
        && let Some(diagnostics) = workspace.get("diagnostics").cloned()
    {
        workspace.insert("diagnostic".to_owned(), diagnostics);
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: &[&str]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        let mut output = Vec::new();
        runtime.block_on(sieve(input, &mut output, Trace::default()));
        let expected: String = expected.iter().map(|m| format!("Content-Length: {}\r\n\r\n{m}", m.len())).collect();
        assert_eq!(String::from_utf8_lossy(&output), expected);
    }

    const CALL: &str = r#"{"jsonrpc":"2.0","method":"m"}"#;
    const ERROR: &str = r#"{"jsonrpc":"2.0","method":"orcls/unreadable","id":null}"#;

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn messages_pass() {
        let reply = r#"{"jsonrpc":"2.0","id":1,"result":null}"#;
        check((framed(CALL) + &framed(reply)).as_bytes(), &[CALL, reply]);
    }

    #[test]
    fn what_is_no_message_is_replaced_and_the_next_one_passes() {
        for body in ["{", "[1]", "{}", r#"{"jsonrpc":"1.0","method":"m"}"#, r#"{"jsonrpc":"2.0"}"#, ""] {
            check((framed(body) + &framed(CALL)).as_bytes(), &[ERROR, CALL]);
        }
        check(&[b"Content-Length: 2\r\n\r\n\xff\xff".as_slice(), framed(CALL).as_bytes()].concat(), &[ERROR, CALL]);
    }

    #[test]
    fn noise_between_messages_is_skipped() {
        let noise = "x".repeat(3 * MAX_HEADER as usize);
        check(format!("\r\n\r\nhello\n{noise}\n{}", framed(CALL)).as_bytes(), &[CALL]);
        check(format!("Content-Type: x\r\n{}", framed(CALL)).as_bytes(), &[CALL]);
        check(format!("Content-Length: many\r\n\r\n{}", framed(CALL)).as_bytes(), &[CALL]);
    }

    #[test]
    fn bytes_without_a_newline_before_a_header_are_skipped() {
        for noise in ["x".to_owned(), "x".repeat(MAX_HEADER as usize - 5), "é:".repeat(5000), "Content-Len".to_owned()]
        {
            check((noise + &framed(CALL) + &framed(CALL)).as_bytes(), &[CALL, CALL]);
        }
        // A length that is too short leaves the rest of the message in front of the next header.
        let short = CALL.len() - 3;
        let input = format!("Content-Length: {short}\r\n\r\n{CALL}{}", framed(CALL));
        check(input.as_bytes(), &[ERROR, CALL]);
    }

    #[test]
    fn parameters_where_there_are_none_do_not_count() {
        for params in ["null", "{}", "[]", "7"] {
            let sent = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"shutdown","params":{params}}}"#);
            check(framed(&sent).as_bytes(), &[r#"{"jsonrpc":"2.0","id":1,"method":"shutdown"}"#]);
        }
        let ready = r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#;
        for sent in
            [r#"{"jsonrpc":"2.0","method":"initialized"}"#, r#"{"jsonrpc":"2.0","method":"initialized","params":null}"#]
        {
            check(framed(sent).as_bytes(), &[ready]);
        }
    }

    #[test]
    fn an_input_that_ends_early_ends_the_sieve() {
        check(b"Content-Length: 50\r\n\r\n{", &[]);
        check(b"Content-Length: 99999999999999\r\n\r\n{", &[]);
        check(b"Content-Len", &[]);
    }

    #[test]
    fn the_client_s_spelling_of_a_capability_is_understood() {
        let sent = r#"{"jsonrpc":"2.0","method":"initialize","params":{"capabilities":{"workspace":{"diagnostics":{"refreshSupport":true}}}},"id":1}"#;
        let passed = r#"{"jsonrpc":"2.0","method":"initialize","params":{"capabilities":{"workspace":{"diagnostics":{"refreshSupport":true},"diagnostic":{"refreshSupport":true}}}},"id":1}"#;
        check(framed(sent).as_bytes(), &[passed]);
    }
}
