//! Says what each finding means, why it matters and how to fix it: one list for `explain`, the documentation and the
//! editor's links.
//!
//! In: a [`Code`].  Out: its [`Entry`] with its page, Markdown from `docs/findings/`, which is part of the binary so that a
//! link opens without a network.
//! Holds afterwards: every code has a page, and each page has the same parts in the same order.

mod table;

use std::fmt;

use serde::Serialize;

use crate::finding::Code;

/// How serious a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something will break.
    Error,
    /// Something may break.
    Warning,
    /// Worth a look.
    Information,
}

/// What a finding breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stake {
    /// Stack traces through the place are wrong or end there.
    Unwinding,
    /// A task in the function cannot be patched reliably.
    LivePatching,
    /// The kernel may crash, hang or not boot.
    Running,
    /// A protection against an attack has a hole.
    Mitigation,
    /// Function tracing does not work as it should.
    Tracing,
    /// What follows is not checked.
    Checking,
}

impl fmt::Display for Stake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stake::Unwinding => "stack traces",
            Stake::LivePatching => "live patching",
            Stake::Running => "running or booting",
            Stake::Mitigation => "a mitigation",
            Stake::Tracing => "tracing",
            Stake::Checking => "what can be checked",
        })
    }
}

/// What is known about a kind of finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its code.
    pub code: Code,
    /// How serious it is.
    pub severity: Severity,
    /// What it breaks, the worst first.
    pub stakes: &'static [Stake],
    /// Its page, in Markdown.
    pub page: &'static str,
}

impl Entry {
    /// What it is, in a few words.
    pub fn title(&self) -> &'static str {
        self.page.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// What it means: the page's first paragraph of running text.
    pub fn meaning(&self) -> &'static str {
        // The paragraphs before it are the title, the line of facts and objtool's words.
        self.page.split("\n\n").nth(3).unwrap_or_default()
    }

    /// The part of the page under `heading`.
    pub fn part(&self, heading: &str) -> Option<&'static str> {
        let (_, rest) = self.page.split_once(&format!("\n## {heading}\n"))?;
        Some(rest.split("\n## ").next().unwrap_or(rest).trim())
    }
}

/// The entry of `code`.
pub fn entry(code: Code) -> Entry {
    table::entry(code)
}

/// The page of `code`, in Markdown.
pub fn page(code: Code) -> &'static str {
    entry(code).page
}

/// The code that users spell `slug`.
pub fn find(slug: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.slug() == slug)
}

/// The codes whose names are most like `slug`, for whom mistyped one.
pub fn similar(slug: &str) -> Vec<Code> {
    let wanted: Vec<&str> = slug.split('-').collect();
    let score = |code: &Code| code.slug().split('-').filter(|word| wanted.contains(word)).count();
    let best = Code::ALL.iter().map(score).max().unwrap_or(0);
    if best == 0 {
        return Vec::new();
    }
    Code::ALL.iter().copied().filter(|code| score(code) == best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_its_parts_in_order() {
        for &code in Code::ALL {
            let entry = entry(code);
            let stakes: Vec<String> = entry.stakes.iter().map(Stake::to_string).collect();
            let severity = serde_json::to_value(entry.severity).unwrap();
            let severity = severity.as_str().unwrap().replace("information", "note");
            let facts = format!("`{code}` · {severity} · breaks {}", stakes.join(", "));
            let paragraphs: Vec<&str> = entry.page.split("\n\n").collect();
            assert!(paragraphs[0].starts_with("# ") && !paragraphs[0].contains('\n'), "{code}: title");
            assert_eq!(paragraphs[1], facts, "{code}: the line of facts differs from the table");
            assert!(paragraphs[2].starts_with("objtool: "), "{code}: objtool's words");
            assert!(!entry.meaning().starts_with('#'), "{code}: meaning");
            let headings: Vec<&str> = entry.page.lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(headings, ["## Why it matters", "## Usual causes", "## How to fix it"], "{code}");
            assert!(entry.part("How to fix it").unwrap().contains("```"), "{code}: an example is missing");
            assert!(entry.part("Usual causes").unwrap().starts_with("- "), "{code}: causes are a list");
            assert!(entry.page.ends_with('\n') && !entry.page.contains(" \n"), "{code}: spaces at line ends");
        }
    }

    #[test]
    fn the_folder_has_no_page_too_many() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings");
        let mut pages: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        pages.sort();
        let mut codes: Vec<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
        codes.sort();
        assert_eq!(pages, codes);
    }

    #[test]
    fn the_index_names_every_page() {
        let mut index =
            String::from("# What orcls finds\n\nA page for each code, as `orcls explain CODE` prints it.\n\n");
        index.push_str("| code | what it is | breaks |\n|---|---|---|\n");
        for &code in Code::ALL {
            let entry = entry(code);
            let stakes: Vec<String> = entry.stakes.iter().map(Stake::to_string).collect();
            index.push_str(&format!("| [{code}]({code}.md) | {} | {} |\n", entry.title(), stakes.join(", ")));
        }
        expect_test::expect_file!["../docs/findings/README.md"].assert_eq(&index);
    }

    #[test]
    fn a_mistyped_code_is_understood() {
        assert_eq!(find("falls-through"), Some(Code::FallsThrough));
        assert_eq!(find("fall-through"), None);
        assert_eq!(similar("fall-through"), [Code::FallsThrough]);
        assert_eq!(similar("xyz"), []);
    }
}
