//! The repository as a pile of text: its files, its modules, its code map.
//!
//! Out: [`Source`], a file below `src/`; [`TextFile`], any file that people wrote.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold what a program wrote, or what somebody else did.
const NOT_OURS: &[&str] = &[".git", "target", "node_modules", "dist", "artifacts", "out"];
/// Files that a program wrote. In a second work tree of a clone, `.git` is a file.
const GENERATED: &[&str] = &[".git", "Cargo.lock", "package-lock.json", "LICENSE"];
const TEXT: &[&str] = &[
    "rs", "md", "toml", "S", "c", "h", "json", "ts", "js", "mjs", "lua", "txt", "orc", "sh", "yml", "py", "vim", "scm",
    "",
];

/// A file that people wrote.
pub struct TextFile {
    pub path: PathBuf,
    /// Relative to the repository.
    pub name: String,
    pub text: String,
}

/// A file below `src/`.
pub struct Source {
    /// Relative to the repository.
    pub name: String,
    pub text: String,
}

/// A row of the code map.
pub struct MapRow {
    pub module: String,
    pub crates: BTreeSet<String>,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn text_files() -> Vec<TextFile> {
    let mut files = Vec::new();
    collect(repository(), &mut files);
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

fn collect(folder: &Path, files: &mut Vec<TextFile>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository").flatten() {
        let path = entry.path();
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !NOT_OURS.contains(&file_name.as_str()) {
                collect(&path, files);
            }
            continue;
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if GENERATED.contains(&file_name.as_str()) || !TEXT.contains(&extension.as_str()) {
            continue;
        }
        if let Ok(text) = fs::read_to_string(&path) {
            let name = path.strip_prefix(repository()).unwrap_or(&path).display().to_string();
            files.push(TextFile { path, name, text });
        }
    }
}

pub fn sources() -> Vec<Source> {
    let is_source = |file: &TextFile| file.name.starts_with("src/") && file.name.ends_with(".rs");
    let files = text_files().into_iter().filter(is_source);
    files.map(|file| Source { name: file.name, text: file.text }).collect()
}

impl Source {
    /// The module of `src/lib.rs` that the file belongs to; `lib` or `main` for these two.
    pub fn module(&self) -> &str {
        let path = self.name.trim_start_matches("src/");
        path.split(['/', '.']).next().unwrap_or_default()
    }

    /// Its path as a module: `follow::walk`.
    pub fn path(&self) -> String {
        self.name.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::")
    }

    /// The name without folders and ending.
    pub fn stem(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Whether it is the file that a `mod` line of `src/lib.rs` names.
    pub fn is_stage(&self) -> bool {
        self.name == format!("src/{}.rs", self.module()) && modules().iter().any(|module| module == self.module())
    }

    /// The lines before the tests that are not comments, with their numbers.
    pub fn code(&self) -> Vec<(usize, &str)> {
        let is_code = |&(_, line): &(usize, &str)| !line.trim_start().starts_with("//");
        let lines = (1..).zip(self.text.lines()).take_while(|(_, line)| *line != "#[cfg(test)]");
        lines.filter(is_code).collect()
    }

    /// The modules that a line names behind `crate::`.
    pub fn crate_paths(&self, line: &str) -> Vec<String> {
        let name =
            |text: &str| text.trim().chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect::<String>();
        let mut names = Vec::new();
        for rest in line.split("crate::").skip(1) {
            match rest.strip_prefix('{') {
                Some(group) => names.extend(group.split(',').map(name)),
                None => names.push(name(rest)),
            }
        }
        names
    }
}

/// The `mod` lines of `src/lib.rs`, in their order.
pub fn modules() -> Vec<String> {
    let text = fs::read_to_string(repository().join("src/lib.rs")).expect("src/lib.rs");
    let lines = text.lines().filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")));
    lines.filter_map(|line| line.strip_suffix(';')).map(str::to_owned).collect()
}

/// The table below "Code map" in `docs/architecture.md`: module, purpose, outside crates.
pub fn code_map() -> Vec<MapRow> {
    let text = fs::read_to_string(repository().join("docs/architecture.md")).expect("docs/architecture.md");
    let map = text.split("## Code map").nth(1).expect("a section \"Code map\" in docs/architecture.md");
    let rows = map.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let module = cells.first().and_then(|cell| quoted(cell).into_iter().next()).unwrap_or_default();
        let crates = cells.last().map(|cell| quoted(cell).into_iter().collect()).unwrap_or_default();
        MapRow { module, crates }
    };
    rows.map(row).collect()
}

/// The crates of `[dependencies]`, as code spells them.
pub fn dependencies() -> Vec<String> {
    dependencies_of("dependencies")
}

/// The crates of a section of `Cargo.toml`, as code spells them.
pub fn dependencies_of(section: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml");
    let section =
        text.split(&format!("\n[{section}]\n")).nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect()
}

/// Whether `word` stands in the line as a word of its own.
pub fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}
