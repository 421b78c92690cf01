//! Names of Rust functions, as people read them and as they compare from one compiler to the next.
//!
//! In: a symbol's name.  Out: its path without the crate's hash, a shorter form of it, the part that objtool's list has.
//! Holds afterwards: a name that no Rust compiler made stays as it is.
//! Reads like: The Rust Reference on v0 mangling (RFC 2603): `C` starts a crate, `s<number>_` is its disambiguator.

/// Whether a Rust compiler made the name, or it is meant to look so.
pub fn is_mangled(name: &str) -> bool {
    (name.starts_with("_R") || name.starts_with("_ZN"))
        && (rustc_demangle::try_demangle(name).is_ok() || by_identifiers(name).is_some())
}

/// The path of a Rust function without the hash of its crate, which every compiler makes anew; other names as they are.
pub fn plain(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(path) => format!("{path:#}"),
        Err(_) => by_identifiers(name).unwrap_or_else(|| name.to_owned()),
    }
}

/// What the identifiers of a name say that is meant as a Rust one, but is not quite: written by hand, or cut off.
fn by_identifiers(name: &str) -> Option<String> {
    let body = name.strip_prefix("_R")?;
    let (_, from) = after_crate(body, 0)?;
    let mut rest = body.get(from + 1..)?;
    let mut parts: Vec<&str> = Vec::new();
    while let Some(length) = identifier(rest) {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        parts.push(rest.get(digits..length)?.trim_start_matches('_'));
        rest = rest.get(length..)?;
    }
    (parts.len() > 1).then(|| parts.join("::") + rest)
}

/// What a name is compared by: its path, for a Rust function; else itself.
pub fn key(name: &str) -> std::borrow::Cow<'_, str> {
    if is_mangled(name) { plain(name).into() } else { name.into() }
}

/// A path longer than this is shown in a shorter form.
const LONG: usize = 80;
/// Generic arguments are shown to this depth at first, then to a lesser one.
const DEEPEST: usize = 4;

/// The shorter forms of a path, the longest first. A path that is short enough has none.
pub fn shorter(path: &str) -> Vec<String> {
    if path.len() <= LONG {
        return Vec::new();
    }
    let mut forms: Vec<String> = Vec::new();
    for depth in std::iter::once(usize::MAX).chain((1..=DEEPEST).rev()) {
        let form = cut(path, depth);
        let is_short = form.len() <= LONG;
        if forms.last().map_or(path, |last| last).len() > form.len() {
            forms.push(form);
        }
        if is_short {
            break;
        }
    }
    forms
}

/// The path in its shortest form.
pub fn short(path: &str) -> String {
    shorter(path).pop().unwrap_or_else(|| path.to_owned())
}

/// The path with only the last part of each path among its generic arguments, and those below `depth` left out.
fn cut(path: &str, depth: usize) -> String {
    let mut out = String::with_capacity(path.len());
    let mut open = 0;
    let mut before = ' ';
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        if open > 0 && rest.starts_with("::") && (before.is_alphanumeric() || matches!(before, '_' | '}')) {
            // `core::option::` before `Option`, `{impl#0}::` before a name.
            let start = out
                .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '{' | '}' | '#')))
                .map_or(0, |at| at + out[at..].chars().next().map_or(1, char::len_utf8));
            if open <= depth {
                out.truncate(start);
            }
            rest = &rest[2..];
            before = ':';
            continue;
        }
        let is_arrow = c == '>' && before == '-';
        if c == '>' && !is_arrow {
            open -= usize::from(open > 0);
        }
        if open <= depth {
            out.push(c);
        }
        if c == '<' {
            open += 1;
            if open == depth.saturating_add(1) {
                out.push('…');
            }
        }
        before = c;
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// How objtool's `is_rust_noreturn` can recognise a function, whatever its crate's hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pattern<'a> {
    /// Its name ends so.
    End(&'a str),
    /// Its name contains this.
    Part(&'a str),
}

/// The part of a mangled name that does not change with the compiler.
pub fn pattern(name: &str) -> Option<Pattern<'_>> {
    let body = name.strip_prefix("_R")?;
    let (_, from) = after_crate(body, 0)?;
    let tail = body.get(from..)?;
    // Generic functions end with their arguments, and those with the crate that made the copy.
    if body.starts_with('I') || after_crate(tail, 0).is_some() {
        let end = path_end(tail)?;
        return Some(Pattern::Part(tail.get(..end)?));
    }
    Some(Pattern::End(tail))
}

/// The next `Cs<number>_` that an identifier follows: where it starts, and where its closing `_` is.
fn after_crate(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let at = from + text.get(from..)?.find("Cs")?;
        let number = text.get(at + 2..)?;
        let length = number.find(|c: char| !c.is_ascii_alphanumeric())?;
        let end = at + 2 + length;
        if text.get(end..)?.starts_with('_') && identifier(text.get(end + 1..)?).is_some() {
            return Some((at, end));
        }
        from = at + 2;
    }
}

/// Where the identifiers that `tail` (`_4core9panicking5panic...`) starts with end.
fn path_end(tail: &str) -> Option<usize> {
    let mut at = 1;
    while let Some(length) = tail.get(at..).and_then(identifier) {
        at += length;
    }
    (at > 1).then_some(at)
}

/// The length of the identifier that a text starts with: its own length in decimal, `_` where it would be ambiguous, and
/// its bytes.
fn identifier(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let length: usize = text.get(..digits)?.parse().ok().filter(|length| *length > 0)?;
    let separator = usize::from(text.get(digits..)?.starts_with('_'));
    let end = digits.checked_add(separator)?.checked_add(length)?;
    text.get(..end).map(|_| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_the_hash_of_the_crate() {
        let old = "_RNvNtCs2lKf6AS60Zg_4core9panicking9panic_fmt";
        let new = "_RNvNtCs7uMWrq7opsy_4core9panicking9panic_fmt";
        assert_eq!(key(old), key(new));
        assert_eq!(key(old), "core::panicking::panic_fmt");
        assert_eq!(key("panic"), "panic");
        assert_eq!(key("_RNot a Rust name"), "_RNot a Rust name");
        // The length of the last part is wrong.
        assert_eq!(plain("_RNvNtCsabcdefghijk_4core9panicking6panic_made_up"), "core::panicking::panic_made_up");
    }

    #[test]
    fn objtools_pattern_is_what_follows_the_hash() {
        let end = |name| match pattern(name) {
            Some(Pattern::End(end)) => Some(end),
            _ => None,
        };
        assert_eq!(end("_RNvNtCs2lKf6AS60Zg_4core9panicking9panic_fmt"), Some("_4core9panicking9panic_fmt"));
        assert_eq!(
            end("_RNvNvNvNvMNtCs2lKf6AS60Zg_4core5sliceSp15copy_from_slice17len_mismatch_fail8do_panic7runtime"),
            Some("_4core5sliceSp15copy_from_slice17len_mismatch_fail8do_panic7runtime")
        );
        assert_eq!(
            pattern("_RINvNtCs7uMWrq7opsy_4core9panicking13assert_failedmmECscnZbg5FOh80_8rust_dma"),
            Some(Pattern::Part("_4core9panicking13assert_failed"))
        );
        assert_eq!(pattern("panic"), None);
        assert_eq!(pattern("_RCs"), None);
    }

    #[test]
    fn long_paths_lose_the_modules_of_their_arguments_first() {
        let path = "<kernel::alloc::kvec::Vec<core::pin::Pin<kernel::alloc::kbox::Box<kernel::debugfs::Scope<a::D>, kernel::alloc::allocator::Kmalloc>>, kernel::alloc::allocator::Kmalloc>>::push";
        assert_eq!(short(path), "<Vec<Pin<Box<Scope<D>, Kmalloc>>, Kmalloc>>::push");
        assert_eq!(short("a::b"), "a::b");
    }

    #[test]
    fn what_is_still_too_long_loses_its_innermost_arguments() {
        let long = "A".repeat(40);
        let path = format!("<{long}<{long}<{long}<b::C>>> as x::Y>::z");
        let forms = shorter(&path);
        assert_eq!(forms.last().unwrap(), &format!("<{long}<…> as Y>::z"));
        assert!(forms.contains(&format!("<{long}<{long}<…>> as Y>::z")), "{forms:?}");
        assert_eq!(cut("f::<fn(a::B) -> c::D, 8>", 9), "f::<fn(B) -> D, 8>");
        assert_eq!(cut("<[u8]>::é::<x::é>", 9), "<[u8]>::é::<é>");
    }
}
