//! Lists the places where a source's command may stand, nearest first.
//!
//! In: the source's path and a [`Search`].  Out: files to try, and Kbuild's folders for the source.
//! Holds afterwards: each place once; a build directory that the user named is the only one looked at.

use std::path::{Path, PathBuf};

use super::Search;
use super::cmd::CmdFile;

/// A file that may hold the command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// A Kbuild file of the source's name.
    Cmd(PathBuf),
    /// A compilation database.
    Database(PathBuf),
}

/// The files to try for `source`. Kbuild's own come before the database of the same tree: they are what make ran last,
/// while a database is as old as the day it was asked for.
pub(super) fn places_of_source(source: &Path, search: &Search) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |place: Place| {
        if !places.contains(&place) {
            places.push(place);
        }
    };
    for tree in trees(source, search) {
        if let Some(folder) = folder_in(&tree, source)
            && let Some(stem) = source.file_stem().and_then(|stem| stem.to_str())
        {
            add(Place::Cmd(folder.join(format!(".{stem}.o.cmd"))));
        }
        let database = tree.join("compile_commands.json");
        // Most folders above a source have none; only those of the user's own choice are worth a word.
        if database.exists() || search.build_dir.is_some() {
            add(Place::Database(database));
        }
    }
    places
}

/// The folders in which Kbuild puts the objects of the source's folder.
pub(super) fn folders_of_source(source: &Path, search: &Search) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for tree in trees(source, search) {
        if let Some(folder) = folder_in(&tree, source)
            && !folders.contains(&folder)
        {
            folders.push(folder);
        }
    }
    folders
}

/// The kernel build tree in which an out-of-tree module was built: the only one that has every file that the module's
/// command read by a relative path.
pub(super) fn kernel_tree_of_module(cmd: &CmdFile, search: &Search) -> Option<PathBuf> {
    let named: Vec<PathBuf> = search.build_dir.iter().chain(&search.roots).cloned().collect();
    // Installed headers come as a common tree, which the command names, and one per configuration beside it.
    let words = cmd.commands.iter().flatten();
    let includes = words.map(|word| Path::new(word.strip_prefix("-I").unwrap_or(word)));
    let mut beside = Vec::new();
    for include in includes.filter(|path| path.is_absolute()) {
        for root in include.ancestors().filter(|folder| folder.join("scripts/Makefile.build").exists()) {
            beside.extend(children(root.parent().unwrap_or(root), |_| true));
        }
    }
    let installed = children(Path::new("/lib/modules"), |_| true).into_iter().map(|release| release.join("build"));
    let relative: Vec<&String> = cmd.deps.iter().filter(|dep| Path::new(dep).is_relative()).collect();
    let is_it = |tree: &PathBuf| {
        tree.join("include/config/auto.conf").exists() && relative.iter().all(|dep| tree.join(dep).exists())
    };
    // What the command names decides before what else the machine has.
    for candidates in [named, beside, installed.collect()] {
        let mut found: Vec<PathBuf> =
            candidates.into_iter().filter(is_it).filter_map(|tree| tree.canonicalize().ok()).collect();
        found.sort();
        found.dedup();
        match found.as_slice() {
            [] => {}
            [only] => return Some(only.clone()),
            _ => return None,
        }
    }
    None
}

/// The build trees to look at, in order.
pub(super) fn trees(source: &Path, search: &Search) -> Vec<PathBuf> {
    let named = search.build_dir.as_ref().map(|folder| super::absolute(folder));
    // A module outside of the kernel that is named is built beside its sources.
    let is_module = |tree: &PathBuf| tree.join("include/config").is_dir() && folder_in(tree, source).is_none();
    if named.as_ref().is_some_and(|tree| !is_module(tree)) {
        return named.into_iter().collect();
    }
    let mut trees: Vec<PathBuf> = named.into_iter().collect();
    for folder in source.ancestors().skip(1).chain(search.roots.iter().map(PathBuf::as_path)) {
        let builds = children(folder, |name| {
            ["build", "out", "obj", ".build", "_build"].iter().any(|start| name.starts_with(start))
        });
        for tree in std::iter::once(folder.to_owned()).chain(builds) {
            if !trees.contains(&tree) {
                trees.push(tree);
            }
        }
    }
    trees
}

/// The folders in `folder` whose names are `wanted`, sorted.
fn children(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let wanted = |name: &std::ffi::OsStr| name.to_str().is_some_and(&wanted);
    let mut found: Vec<PathBuf> =
        entries.filter_map(Result::ok).filter(|entry| wanted(&entry.file_name())).map(|entry| entry.path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

/// Where the build tree keeps the objects of the source's folder: beside the source, or with `O=` at the same place
/// below the tree, whose `source` link leads to the sources.
pub(super) fn folder_in(tree: &Path, source: &Path) -> Option<PathBuf> {
    let sources = tree.join("source").canonicalize().ok();
    let roots = [sources, tree.canonicalize().ok()];
    let source = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    roots.into_iter().flatten().find_map(|root| Some(tree.join(source.strip_prefix(root).ok()?.parent()?)))
}
