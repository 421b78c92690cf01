//! Turns the paths of the command line into objects and sources to analyse.
//!
//! In: paths as the user gave them.  Out: [`Input`]s: files in the order given, those of a folder sorted.
//! Holds afterwards: what is in a folder is found as the editor finds it.

use std::cell::OnceCell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::output::complain;
use crate::build::{self, Foreign, Search};
use crate::clean;
use crate::image::{FileStore, Store};

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

/// An input whose file is opened when it is first asked for, and once: each look at a file costs as much as the analysis of
/// a small function, and a file may be another one at the next look.
pub(crate) struct Once<'a> {
    pub input: &'a Input,
    store: OnceCell<io::Result<Arc<dyn Store>>>,
}

impl<'a> Once<'a> {
    pub(crate) fn new(input: &'a Input) -> Self {
        Once { input, store: OnceCell::new() }
    }

    /// The file's bytes.
    pub(crate) fn store(&self) -> Result<&Arc<dyn Store>, &io::Error> {
        let open = || FileStore::open(&self.input.path).map(|store| Arc::new(store) as Arc<dyn Store>);
        self.store.get_or_init(open).as_ref()
    }

    /// What the file is, if it is no x86-64 object.
    pub(super) fn foreign(&self) -> Option<Foreign> {
        let head = self.store().ok()?.read(0, 20).ok()?;
        Foreign::of_head(&head.try_into().ok()?)
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
