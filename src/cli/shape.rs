//! objtool's words as they are in every build.
//!
//! In: a line of objtool's.  Out: the same without numbers.

/// objtool's words without the numbers that change with every build.
pub(crate) fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut left = text;
    while let Some(at) = left.find("0x") {
        let (before, rest) = left.split_at(at);
        let digits = rest.get(2..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        out.push_str(before);
        out.push_str("0x");
        left = digits.get(end..).unwrap_or_default();
    }
    out.push_str(left);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_build_do_not_count() {
        assert_eq!(shape("f+0x1c3: frees 0x20 of f+0x9"), "f+0x: frees 0x of f+0x");
    }
}
