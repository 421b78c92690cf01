//! Turns the paths of the command line into objects and sources to analyse.
//!
//! In: paths as the user gave them.  Out: [`Input`]s: files in the order given, those of a folder sorted.
//! Holds afterwards: what is in a folder is found as the editor finds it.

use std::path::PathBuf;

use rustc_hash::FxHashSet;

use super::output::complain;
use crate::build::{self, Search};
use crate::clean;

/// Something to analyse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Input {
    /// The path, spelled from what the user gave.
    pub path: PathBuf,
    /// Whether the user named this very file.
    pub named: bool,
}

impl Input {
    /// The path as it is printed, in one line.
    pub(super) fn name(&self) -> String {
        clean::line(&self.path.display().to_string()).into_owned()
    }

    /// Whether the file is a source rather than an object.
    pub(super) fn is_source(&self) -> bool {
        let extension = self.path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("c" | "S" | "s" | "rs" | "cc" | "cpp" | "h"))
    }
}

/// What the paths of the command line come to.
#[derive(Default)]
pub(crate) struct Inputs {
    /// In the order given, those of a folder sorted.
    pub list: Vec<Input>,
    /// Whether a path could not be read, which has been said.
    pub failed: bool,
    /// Folders without an object.
    pub empty: Vec<PathBuf>,
}

impl Inputs {
    /// Says which folders have no object.
    pub(super) fn say_empty(&self) {
        for folder in &self.empty {
            complain(&format!("{}: there is no object in it or below it", folder.display()));
        }
    }

    /// The absolute paths of those that were found in folders.
    pub(super) fn found(&self) -> FxHashSet<PathBuf> {
        let found = self.list.iter().filter(|input| !input.named);
        found.filter_map(|input| std::path::absolute(&input.path).ok()).collect()
    }
}

/// All inputs.
pub(crate) fn collect(paths: &[PathBuf], search: &Search) -> Inputs {
    let mut inputs = Inputs::default();
    for path in paths {
        if path.is_dir() {
            let found = build::discover(path, search, &|| false);
            for (path, error) in found.unreadable {
                complain(&format!("{}: {error}", path.display()));
                inputs.failed = true;
            }
            if found.files.is_empty() && !inputs.failed {
                inputs.empty.push(path.clone());
            }
            inputs.list.extend(found.files.into_iter().map(|path| Input { path, named: false }));
        } else {
            inputs.list.push(Input { path: path.clone(), named: true });
        }
    }
    inputs
}
