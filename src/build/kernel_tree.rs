//! Finds the kernel build tree that a recipe belongs to: its release, its configuration, its sources.
//!
//! In: a `.cmd` file and its object.  Out: [`Tree`].
//! Holds afterwards: the tree is one that the recipe itself names, that make ran in, or the only one that has all files
//! the object was made from; what was read of it is read again when it changes, unless it was asked for once and for all
//! ([`Trees::once`]).
//!
//! | case | the recipe | the tree |
//! |---|---|---|
//! | 1 | names its target relative to a kernel tree | the folder that make ran in |
//! | 2 | names `tools/objtool/objtool` or generated headers by an absolute path | the folder that they are in (modules of 6.13 and later) |
//! | 3 | names its target by an absolute path, all else relative | the only tree that has all of it (modules up to 6.12) |
//! | 4 | links a module from objects, and says no more | the one of these objects |
//! | 5 | says nothing: host programs, whose makefiles are others | the one that the object is in |

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::Search;
use super::cmd::{self, CmdFile};
use super::config::Configuration;
use super::release::TreeRelease;
use super::stamped::Stamped;
use super::tree;
use crate::files;

/// A kernel build tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// The folder that make runs in.
    pub root: PathBuf,
    /// What it builds.
    pub release: Option<TreeRelease>,
    pub(super) config: Option<Arc<Configuration>>,
}

impl Tree {
    /// Where the tree's sources may be, the nearest first: header packages and `O=` builds have them elsewhere.
    pub fn sources(&self) -> impl Iterator<Item = PathBuf> {
        [self.root.clone(), self.root.join("source")].into_iter()
    }

    /// The configuration that flags may be derived from.
    pub fn configuration(&self) -> Option<&Path> {
        self.config.as_ref().map(|config| config.file.as_path())
    }
}

/// What is at each folder that was looked at.
type Settled = Mutex<FxHashMap<PathBuf, Option<Arc<Tree>>>>;

/// Trees that were found so far.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// Where nothing is looked at twice. A thousand objects ask for the same few folders a dozen times each.
    settled: Option<Settled>,
    releases: Stamped<Option<TreeRelease>>,
    configs: Stamped<Option<Arc<Configuration>>>,
    /// By folder of an out-of-tree module, whose recipes are alike.
    modules: Stamped<Option<PathBuf>>,
}

impl Trees {
    /// Trees that stay as they are found.
    pub(super) fn once() -> Trees {
        Trees { settled: Some(Mutex::default()), ..Trees::default() }
    }

    /// The kernel tree at `root`, if it is one.
    pub(super) fn at(&self, root: &Path) -> Option<Arc<Tree>> {
        let Some(settled) = &self.settled else { return self.read(root) };
        if let Some(known) = settled.lock().unwrap_or_else(PoisonError::into_inner).get(root) {
            return known.clone();
        }
        // Not under the lock: others may ask for other folders meanwhile.
        let tree = self.read(root);
        settled.lock().unwrap_or_else(PoisonError::into_inner).insert(root.to_owned(), tree.clone());
        tree
    }

    fn read(&self, root: &Path) -> Option<Arc<Tree>> {
        let files = TreeRelease::files(root);
        let release = self.releases.get(root, &files, || TreeRelease::of(root));
        let has_config = Configuration::file(root);
        if release.is_none() && !has_config.as_ref().is_some_and(|file| file.ends_with("include/config/auto.conf")) {
            return None;
        }
        let config = has_config.zip(release.as_ref()).and_then(|(file, release)| {
            let watched = [file.clone(), release.file.clone()];
            self.configs.get(&file, &watched, || Configuration::read(&file, release.version).map(Arc::new))
        });
        let release = match &config {
            Some(config) => release.map(|release| release.with_objtool_of(config.version())),
            None => release,
        };
        Some(Arc::new(Tree { root: root.to_owned(), release, config }))
    }

    /// The tree that the recipe in `file` belongs to.
    pub(super) fn of(&self, cmd: &CmdFile, file: &Path, object: &Path, search: &Search) -> Option<Arc<Tree>> {
        let directory = cmd.directory(object);
        // Case 1.
        let around = || self.at(directory.as_deref()?);
        // Case 2.
        let named = || self.named_in(cmd.words());
        // Case 3.
        // One answer is kept for each folder: only what reads files may give it.
        let is_module = directory.is_none() && cmd.is_kernel_code();
        let by_files = || self.at(&is_module.then(|| self.of_module(file, object, search))??);
        // Case 4.
        let of_parts = || self.of_part(&first_part(cmd, object)?, search);
        // Case 5.
        let above = || object.ancestors().skip(1).find_map(|folder| self.at(folder));
        around().or_else(named).or_else(by_files).or_else(of_parts).or_else(above)
    }

    /// The tree of an object that was compiled.
    fn of_part(&self, object: &Path, search: &Search) -> Option<Arc<Tree>> {
        let file = cmd::file_of(object)?;
        let cmd = CmdFile::read(&file).ok().filter(CmdFile::compiles)?;
        self.of(&cmd, &file, object, search)
    }

    /// The tree that words of a command name.
    pub(super) fn named_in<'a>(&self, words: impl Iterator<Item = &'a str>) -> Option<Arc<Tree>> {
        let mut roots: Vec<PathBuf> = words.filter_map(root_in).collect();
        roots.dedup();
        roots.iter().find_map(|root| self.at(root))
    }

    /// The tree in which the module of `object` was built.
    pub(super) fn of_module(&self, file: &Path, object: &Path, search: &Search) -> Option<PathBuf> {
        let folder = object.parent().unwrap_or(object);
        let find = || tree::kernel_tree_of_module(&CmdFile::read(file).ok()?, search);
        self.modules.get(folder, &[folder.to_owned()], find)
    }
}

/// The first of the objects that a module is linked from, whose list is beside it.
fn first_part(cmd: &CmdFile, object: &Path) -> Option<PathBuf> {
    if cmd.compiles() {
        return None;
    }
    let list = files::text(&object.with_extension("mod"), files::RECIPE).ok()?;
    let part = Path::new(list.split_whitespace().next()?);
    // Up to 6.12 by an absolute path; later as seen from the folder that make ran in.
    let from = cmd.directory(object).or_else(|| object.parent().map(Path::to_owned))?;
    Some(from.join(part))
}

/// The root of the tree that a word names by an absolute path.
fn root_in(word: &str) -> Option<PathBuf> {
    let path = Path::new(word.strip_prefix("-I").unwrap_or(word));
    if !path.is_absolute() {
        return None;
    }
    if path.ends_with("tools/objtool/objtool") {
        return path.ancestors().nth(3).map(Path::to_owned);
    }
    (path.ends_with("include/generated") && path.ancestors().nth(3).is_some_and(|arch| arch.ends_with("arch")))
        .then(|| path.ancestors().nth(4).map(Path::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_again_unless_it_was_asked_for_once_and_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let (lasting, once) = (Trees::default(), Trees::once());
        assert!(lasting.at(folder.path()).is_none() && once.at(folder.path()).is_none());
        std::fs::create_dir_all(folder.path().join("include/config")).unwrap();
        std::fs::write(folder.path().join("include/config/kernel.release"), "6.12.1\n").unwrap();
        assert!(lasting.at(folder.path()).is_some() && once.at(folder.path()).is_none());
    }

    #[test]
    fn case_2_a_word_names_the_tree() {
        let root = |word: &str| root_in(word).map(|root| root.display().to_string());
        assert_eq!(root("/k/tools/objtool/objtool").as_deref(), Some("/k"));
        assert_eq!(root("-I/k/arch/x86/include/generated").as_deref(), Some("/k"));
        assert_eq!(root("-I/k/arch/x86/include/generated/uapi"), None);
        assert_eq!(root("./tools/objtool/objtool"), None);
        assert_eq!(root("-I/include/generated"), None);
    }
}
