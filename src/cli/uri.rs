//! Writes paths as references, as SARIF and the language server protocol want them.
//!
//! In: a path.  Out: a URI reference (RFC 3986).

use std::fmt::Write;

/// A reference to a file (RFC 3986 §3.3): absolute paths become `file:` URIs, relative ones stay relative.
pub(crate) fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("/a b/c.S"), "file:///a%20b/c.S");
        assert_eq!(uri("arch/x86/a#.c"), "arch/x86/a%23.c");
    }
}
