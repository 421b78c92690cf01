//! Findings that are known already, and not to be shown again: what `check --format json` printed on an earlier day, or
//! `baseline update` has written.
//!
//! In: that text.  Out: [`Baseline`], which says of each finding whether it is one of them.
//! Holds afterwards: of findings of one code in one function as many are known as there were; one more is shown.
//!
//! Offsets and lines do not count: they change with every edit above them. Objects are the same when the path of one ends
//! with that of the other, so that it does not matter from where they were named.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::findings::Code;
use crate::mangled;

/// A code's name and a function.
pub type Kind = (String, Option<String>);

/// What a finding is recognised by.
pub fn kind(code: Code, function: Option<&str>) -> Kind {
    (code.slug().to_owned(), function.map(key))
}

/// What an update has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    /// How many findings are known that were not.
    pub added: usize,
    /// How many are known no more.
    pub gone: usize,
}

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

    /// Takes what was found in an object in the place of what was known of it; with `only_less`, nothing that was not known.
    pub fn update(&mut self, object: &Path, found: &BTreeMap<Kind, usize>, only_less: bool) -> Changed {
        let at = self.find(object);
        let known = at.and_then(|at| self.objects.get(at)).map(|(_, counts)| counts.clone()).unwrap_or_default();
        let mut changed = Changed::default();
        let mut counts = FxHashMap::default();
        for (kind, &n) in found {
            let before = known.get(kind).copied().unwrap_or(0);
            let n = if only_less { n.min(before) } else { n };
            changed.added += n.saturating_sub(before);
            if n > 0 {
                counts.insert(kind.clone(), n);
            }
        }
        changed.gone = known.iter().map(|(kind, n)| n.saturating_sub(counts.get(kind).copied().unwrap_or(0))).sum();
        match at.and_then(|at| self.objects.get_mut(at)) {
            Some((_, known)) => *known = counts,
            None => {
                self.objects.push((object.components().filter(|part| *part != Component::CurDir).collect(), counts))
            }
        }
        self.objects.retain(|(_, counts)| !counts.is_empty());
        changed
    }

    /// The entry of an object: the one whose path has most in common with its own.
    fn find(&self, object: &Path) -> Option<usize> {
        let alike = |(at, (known, _)): (usize, &(PathBuf, _))| Some((shared(known, object)?, at));
        let alike = self.objects.iter().enumerate().filter_map(alike);
        alike.max_by_key(|&(n, at)| (n, std::cmp::Reverse(at))).map(|(_, at)| at)
    }

    /// How many findings are known.
    pub fn len(&self) -> usize {
        self.objects.iter().flat_map(|(_, counts)| counts.values()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The text that [`Baseline::parse`] reads: a line per object, in the order of their names.
    pub fn text(&self) -> String {
        let mut objects: Vec<&(PathBuf, FxHashMap<Kind, usize>)> = self.objects.iter().collect();
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        let line = |(object, counts): &(PathBuf, FxHashMap<Kind, usize>)| {
            let mut kinds: Vec<(&Kind, usize)> = counts.iter().map(|(kind, n)| (kind, *n)).collect();
            kinds.sort_unstable();
            let entry = |(code, function): &Kind| serde_json::json!({ "code": code, "function": function });
            let findings = kinds.into_iter().flat_map(|(kind, n)| std::iter::repeat_n(entry(kind), n));
            let findings: Vec<serde_json::Value> = findings.collect();
            format!("{}\n", serde_json::json!({ "object": object.display().to_string(), "findings": findings }))
        };
        objects.into_iter().map(line).collect()
    }

    /// What is known of an object.
    pub fn of(&self, object: &Path) -> Known {
        let found = self.find(object).and_then(|at| self.objects.get(at));
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

/// How many parts two paths have in common, if all parts of the shorter one are the last ones of the longer.
fn shared(a: &Path, b: &Path) -> Option<usize> {
    let names = |path: &Path| -> Vec<_> {
        let named = path.components().rev().map_while(|part| match part {
            Component::Normal(name) => Some(Some(name.to_owned())),
            Component::CurDir => Some(None),
            _ => None,
        });
        named.flatten().collect()
    };
    let (a, b) = (names(a), names(b));
    let n = a.len().min(b.len());
    (n > 0 && a.iter().zip(&b).all(|(a, b)| a == b)).then_some(n)
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
    fn an_update_changes_what_it_is_about() {
        let mut baseline = Baseline::parse(KNOWN).unwrap();
        let found = BTreeMap::from([(kind(Code::NakedReturn, Some("f")), 1), (kind(Code::NakedReturn, Some("g")), 2)]);
        let mut pruned = baseline.clone();
        assert_eq!(pruned.update(Path::new("./a.o"), &found, true), Changed { added: 0, gone: 2 });
        assert_eq!(
            pruned.text(),
            "{\"object\":\"lib/a.o\",\"findings\":[{\"code\":\"naked-return\",\"function\":\"f\"}]}\n"
        );
        assert_eq!(baseline.update(Path::new("x/lib/a.o"), &found, false), Changed { added: 2, gone: 2 });
        baseline.update(Path::new("./net/b.o"), &found, false);
        assert_eq!(baseline.len(), 6);
        let text = baseline.text();
        assert_eq!(Baseline::parse(&text).unwrap().text(), text);
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("{\"object\":\"net/b.o\"")));
        assert_eq!(baseline.update(Path::new("net/b.o"), &BTreeMap::new(), false), Changed { added: 0, gone: 3 });
        assert_eq!(baseline.text().lines().count(), 1);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let error = Baseline::parse("{\"object\":\"a.o\",\"findings\":[]}\nx\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
