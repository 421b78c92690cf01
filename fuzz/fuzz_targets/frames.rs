//! Any bytes as what a client sends: whatever passes is a message, and the next one after it is heard.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orcls::lsp::trace::Trace;
use orcls::lsp::transport::sieve;

/// What is heard after any bytes that end with a line.
const CALL: &str = r#"{"jsonrpc":"2.0","method":"heard"}"#;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let mut passed = Vec::new();
    runtime.block_on(sieve(bytes, &mut passed, Trace::default()));
    // What passed passes again, and stays as it is.
    let mut again = Vec::new();
    let call = format!("Content-Length: {}\r\n\r\n{CALL}", CALL.len());
    let input = [passed.as_slice(), call.as_bytes()].concat();
    runtime.block_on(sieve(input.as_slice(), &mut again, Trace::default()));
    assert_eq!(again, input);
});
