//! The members of a static library.
//!
//! In: an archive's bytes.  Out: names and ranges.
//! Holds afterwards: ranges lie within the archive; what is no archive has no members.
//! Reads like: System V gABI, "Archive File"; binutils' `bfd/archive.c` for names longer than 15 bytes (behaviour only).

use std::ops::Range;

/// What an archive starts with.
pub(crate) const MAGIC: &[u8] = b"!<arch>\n";

const HEADER: usize = 60;

/// The members that are files, by name.
pub(crate) fn members(bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut names: &[u8] = &[];
    let mut at = MAGIC.len();
    while bytes.starts_with(MAGIC) {
        let Some(header) = at.checked_add(HEADER).and_then(|end| bytes.get(at..end)) else { break };
        let field =
            |range: Range<usize>| std::str::from_utf8(header.get(range).unwrap_or(&[])).unwrap_or("").trim_end();
        let Ok(size) = field(48..58).parse::<usize>() else { break };
        let start = at + HEADER;
        let Some(end) = start.checked_add(size).filter(|&end| end <= bytes.len()) else { break };
        let name = field(0..16);
        match name {
            "//" => names = bytes.get(start..end).unwrap_or(&[]),
            "/" | "/SYM64/" => {}
            name => {
                let long = name.strip_prefix('/').and_then(|offset| offset.parse::<usize>().ok());
                let name = match long {
                    Some(offset) => {
                        let rest = names.get(offset..).unwrap_or(&[]);
                        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
                        String::from_utf8_lossy(line).into_owned()
                    }
                    None => name.to_owned(),
                };
                found.push((name.trim_end_matches('/').to_owned(), start..end));
            }
        }
        at = end + size % 2;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, body: &str) -> String {
        let pad = if body.len() % 2 == 1 { "\n" } else { "" };
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n{body}{pad}", 0, 0, 0, "644", body.len())
    }

    #[test]
    fn short_and_long_names() {
        let table = "a_name_that_is_rather_long.o/\n";
        let text = format!("!<arch>\n{}{}{}", member("//", table), member("/0", "abc"), member("b.o/", "de"));
        let found = members(text.as_bytes());
        let found: Vec<_> = found.iter().map(|(name, range)| (name.as_str(), &text[range.clone()])).collect();
        assert_eq!(found, [("a_name_that_is_rather_long.o", "abc"), ("b.o", "de")]);
    }

    #[test]
    fn broken_archives_end_early() {
        assert!(members(b"!<arch>\n").is_empty());
        assert!(members(b"\x7fELF").is_empty());
        let text = format!("!<arch>\n{}", member("b.o/", "de"));
        assert!(members(&text.as_bytes()[..text.len() - 1]).is_empty());
    }
}
