//! Findings that are known already, and not to be shown again: what `check --format json` printed on an earlier day.
//!
//! In: that text.  Out: [`Baseline`], which says of each finding whether it is one of them.
//! Holds afterwards: of findings of one code in one function as many are known as there were; one more is shown.
//!
//! Offsets and lines do not count: they change with every edit above them. Objects are the same when the path of one ends
//! with that of the other, so that it does not matter from where they were named.

use std::path::{Component, Path, PathBuf};

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::findings::Code;
use crate::mangled;

/// A code's name and a function.
type Kind = (String, Option<String>);

/// Known findings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Baseline {
    objects: Vec<(PathBuf, FxHashMap<Kind, usize>)>,
}

/// What is still to be recognised of one object.
#[derive(Debug, Default)]
pub struct Known {
    left: FxHashMap<Kind, usize>,
}

#[derive(Deserialize)]
struct Line {
    object: PathBuf,
    findings: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    code: String,
    function: Option<String>,
}

impl Baseline {
    /// Reads one JSON object per line; says which line is none.
    pub fn parse(text: &str) -> Result<Baseline, String> {
        let mut baseline = Baseline::default();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))?;
            let mut counts: FxHashMap<Kind, usize> = FxHashMap::default();
            for entry in line.findings {
                *counts.entry((entry.code, entry.function.as_deref().map(key))).or_default() += 1;
            }
            if !counts.is_empty() {
                baseline.objects.push((line.object, counts));
            }
        }
        Ok(baseline)
    }

    /// What is known of an object.
    pub fn of(&self, object: &Path) -> Known {
        let found = self.objects.iter().find(|(known, _)| ends_alike(known, object));
        Known { left: found.map(|(_, counts)| counts.clone()).unwrap_or_default() }
    }
}

impl Known {
    /// Whether a finding is known. Each answer `true` uses one up.
    pub fn take(&mut self, code: Code, function: Option<&str>) -> bool {
        match self.left.get_mut(&(code.slug().to_owned(), function.map(key))) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// What a function is recognised by: a Rust one has another name with every compiler, but the same path.
fn key(function: &str) -> String {
    mangled::key(function).into_owned()
}

/// Whether all parts of the shorter path are the last ones of the longer.
fn ends_alike(a: &Path, b: &Path) -> bool {
    let names = |path: &Path| -> Vec<_> {
        let named = path.components().rev().map_while(|part| match part {
            Component::Normal(name) => Some(Some(name.to_owned())),
            Component::CurDir => Some(None),
            _ => None,
        });
        named.flatten().collect()
    };
    let (a, b) = (names(a), names(b));
    a.iter().zip(&b).all(|(a, b)| a == b) && !a.is_empty() && !b.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = r#"{"object":"lib/a.o","kernel":"6.12","findings":[{"code":"naked-return","function":"f","line":3},{"code":"naked-return","function":"f"},{"code":"bad-object","function":null}]}

{"object":"/b/lib/b.o","findings":[]}
"#;

    #[test]
    fn as_many_are_known_as_there_were() {
        let baseline = Baseline::parse(KNOWN).unwrap();
        let mut known = baseline.of(Path::new("/x/build/lib/a.o"));
        assert!(known.take(Code::NakedReturn, Some("f")));
        assert!(known.take(Code::NakedReturn, Some("f")));
        assert!(!known.take(Code::NakedReturn, Some("f")));
        assert!(!known.take(Code::NakedReturn, Some("g")));
        assert!(known.take(Code::BadObject, None));
    }

    #[test]
    fn objects_are_known_by_the_end_of_their_path() {
        let baseline = Baseline::parse(KNOWN).unwrap();
        for (object, is_known) in [("a.o", true), ("./lib/a.o", true), ("../lib/a.o", true), ("net/a.o", false)] {
            assert_eq!(baseline.of(Path::new(object)).take(Code::NakedReturn, Some("f")), is_known, "{object}");
        }
    }

    #[test]
    fn rust_functions_are_known_whatever_compiler_named_them() {
        let line =
            r#"{"object":"a.o","findings":[{"code":"falls-through","function":"_RNvCs2z1Piulx3M7_9d10_mixed3div"}]}"#;
        let baseline = Baseline::parse(line).unwrap();
        let known = |function| baseline.of(Path::new("a.o")).take(Code::FallsThrough, Some(function));
        assert!(known("_RNvCsfIZDjVmhDHd_9d10_mixed3div"));
        assert!(!known("_RNvCsfIZDjVmhDHd_9d10_mixed3res"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let error = Baseline::parse("{\"object\":\"a.o\",\"findings\":[]}\nx\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
