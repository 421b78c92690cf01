//! Files have several names: the compiler's, the client's, and the one behind all links.
//!
//! In: names of the debug information, paths of open documents.  Out: the path under which the client knows the file.
//! Holds afterwards: a file that is open is named as its document is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::build::normal;
use crate::compile::real_path;
use crate::files;
use crate::report::{Report, ReportedFinding};

use super::position::Text;
use super::verdict::Task;

/// Larger files are not read for the width of a line.
const MAX_TEXT: u64 = 16 << 20;

/// The names of one task.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Documents, by the file behind all links.
    open: FxHashMap<PathBuf, PathBuf>,
}

impl Names {
    /// The names that the open documents give.
    pub fn new(task: &Task) -> Names {
        let paths = task.others().chain([&task.document]).filter_map(|document| document.path.clone());
        Names { open: paths.map(|path| (real_path(&path), path)).collect() }
    }

    /// Whether both paths lead to one file.
    pub fn same(&self, a: &Path, b: &Path) -> bool {
        a == b || real_path(a) == real_path(b)
    }

    /// The path under which the client knows the file.
    pub fn shown(&self, path: &Path) -> PathBuf {
        self.open.get(&real_path(path)).cloned().unwrap_or_else(|| normal(path))
    }

    /// The same for many, each once. Links are followed only for files that share their last name with an open one: a
    /// kernel file includes a thousand headers.
    pub fn shown_all(&self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
        let is_named = |path: &Path| self.open.keys().any(|open| open.file_name() == path.file_name());
        let shown = |path: PathBuf| if is_named(&path) { self.shown(&path) } else { normal(&path) };
        let mut shown: Vec<_> = paths.into_iter().map(shown).collect();
        shown.sort();
        shown.dedup();
        shown
    }

    /// The file of each name in a report.
    pub fn of_report(&self, report: &Report, directory: &Path) -> FxHashMap<Arc<str>, PathBuf> {
        self.of_findings(report.findings.iter(), directory)
    }

    /// The file of each name in findings.
    pub fn of_findings<'a>(
        &self,
        findings: impl Iterator<Item = &'a ReportedFinding>,
        directory: &Path,
    ) -> FxHashMap<Arc<str>, PathBuf> {
        let mut names: Vec<&Arc<str>> = Vec::new();
        for finding in findings {
            names.extend(&finding.file);
            names.extend(finding.inlined.iter().filter_map(|frame| frame.file.as_ref()));
            names.extend(finding.path.iter().filter_map(|step| step.file.as_ref()));
        }
        names.sort();
        names.dedup();
        names.into_iter().map(|name| (Arc::clone(name), self.shown(&directory.join(&**name)))).collect()
    }

    /// The texts of those files that are not open.
    pub fn texts<'a>(&self, files: impl Iterator<Item = &'a PathBuf>) -> FxHashMap<PathBuf, Arc<Text>> {
        let closed = files.filter(|file| !self.open.values().any(|open| open == *file));
        closed.filter_map(|file| Some((file.clone(), Arc::new(Text::new(read(file)?))))).collect()
    }
}

fn read(file: &Path) -> Option<String> {
    let bytes = files::read(file, MAX_TEXT).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
