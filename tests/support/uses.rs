//! Which files of `src/` use which, and the circles among them.
//!
//! In: files with their module paths.  Out: the shortest circle that there is, as a chain of modules.
//! A parent that its children use is none: it only gathers them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What each module uses, by their paths (`follow::walk`).
pub fn uses(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let of = |(module, code): (&String, &String)| {
        let named = paths(code).into_iter().filter_map(|path| resolve(&path, module, files));
        (module.clone(), named.filter(|used| used != module && !is_inside(module, used)).collect())
    };
    files.iter().map(of).collect()
}

fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"))
}

/// The shortest circle.
pub fn circle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let all = uses.keys().filter_map(|start| {
        let mut from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start.as_str()]);
        while let Some(at) = queue.pop_front() {
            for next in uses.get(at).into_iter().flatten() {
                if next == start {
                    let back = std::iter::successors(Some(at), |at| from.get(at).copied());
                    let mut chain: Vec<String> = back.map(str::to_owned).collect();
                    chain.reverse();
                    chain.push(start.clone());
                    return Some(chain);
                }
                if !from.contains_key(next.as_str()) {
                    from.insert(next, at);
                    queue.push_back(next);
                }
            }
        }
        None
    });
    all.min_by_key(Vec::len)
}

/// The paths that code names from the crate, a parent or itself; groups taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = ["crate::", "super::", "self::"].iter().filter_map(|start| rest.find(start)).min() {
        let starts_word = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let read = if starts_word { path(&rest[at..], "", &mut found) } else { "super::".len() };
        rest = rest.get(at + read.max(1)..).unwrap_or_default();
    }
    found
}

/// Reads one path, which may end in a group of others; says how much text it took.
fn path(text: &str, before: &str, found: &mut Vec<String>) -> usize {
    let length = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let whole = format!("{before}{}", &text[..length]);
    if !text[length..].starts_with('{') || !whole.ends_with("::") {
        found.push(whole);
        return length;
    }
    let mut at = length + 1;
    while let Some(rest) = text.get(at..) {
        let skipped = rest.len() - rest.trim_start_matches([' ', '\n', ',']).len();
        let rest = &rest[skipped..];
        at += skipped;
        if rest.is_empty() || rest.starts_with('}') {
            return at + 1;
        }
        // `a as b`, `*`: nothing more is said by them.
        let read = path(rest, &whole, found).max(1);
        at += read;
    }
    at
}

/// The module that a path leads into.
fn resolve(path: &str, from: &str, files: &BTreeMap<String, String>) -> Option<String> {
    let mut base: Vec<&str> = from.split("::").collect();
    let mut parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
    if parts.first() == Some(&"crate") {
        base.clear();
        parts.remove(0);
    }
    if parts.first() == Some(&"self") {
        parts.remove(0);
    }
    while parts.first() == Some(&"super") {
        base.pop();
        parts.remove(0);
    }
    base.extend(parts);
    (1..=base.len()).rev().map(|length| base[..length].join("::")).find(|module| files.contains_key(module))
}

#[test]
fn circles_are_seen() {
    let files = |texts: &[(&str, &str)]| texts.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let open = files(&[("a", "use crate::b::{c::D, E};"), ("b", "use self::c::D;"), ("b::c", "use super::E;")]);
    assert_eq!(uses(&open)["a"].iter().collect::<Vec<_>>(), ["b", "b::c"]);
    assert_eq!(circle(&uses(&open)), None);
    let closed = files(&[
        ("m::a", "fn f() -> super::b::B;"),
        ("m::b", "use crate::{\n    m::{x as y, c::C},\n};"),
        ("m::c", "use crate::m::a;"),
    ]);
    assert_eq!(circle(&uses(&closed)).expect("a circle").join(" "), "m::a m::b m::c m::a");
}
