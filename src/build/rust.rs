//! Finds the object that a Rust file was compiled into: its crate's, whose recipe lists every file of the crate.
//!
//! In: a `.rs` file, the build trees.  Out: the `.cmd` files of the objects that were made from it, the best first.
//! Holds afterwards: only recipes that run rustc were read to their end.
//! Reads like: linux rust/Makefile, scripts/Makefile.build (`rule_rustc_o_rs`); behaviour only.

use std::path::{Path, PathBuf};

use super::cmd::{self, CmdFile};
use super::tree;
use super::{Search, same_file};

/// Whether the file is one of Rust's.
pub fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "rs")
}

/// The recipes that used a Rust file.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Recipes of objects: those of which the file is the main source first.
    pub objects: Vec<PathBuf>,
    /// Recipes of procedural macros, which run within the compiler.
    pub macros: Vec<PathBuf>,
    /// Where was looked, and how many recipes of rustc are there.
    pub tried: Vec<(PathBuf, usize)>,
}

/// Looks beside the file, in the folders above it up to the tree's own, and where the kernel's own crates are built.
pub(super) fn users_of(source: &Path, search: &Search) -> Users {
    let mut users = Users::default();
    for tree in tree::trees(source, search) {
        // Most folders above a source are no build trees.
        if !tree.join("include/config").is_dir() && search.build_dir.is_none() && !has_recipes(&tree) {
            continue;
        }
        let beside = tree::folder_in(&tree, source);
        let above = beside.iter().flat_map(|folder| folder.ancestors().take_while(|folder| folder.starts_with(&tree)));
        let folders: Vec<PathBuf> = above.map(Path::to_owned).chain([tree.join("rust")]).collect();
        for folder in folders {
            if users.tried.iter().any(|(known, _)| *known == folder) {
                continue;
            }
            let n_recipes = look_in(&folder, source, &mut users);
            users.tried.push((folder, n_recipes));
            if !users.objects.is_empty() {
                users.objects.sort_by_key(|file| {
                    let main = CmdFile::read(file).ok().and_then(|cmd| cmd.source);
                    (main.is_none_or(|main| Path::new(&main).file_name() != source.file_name()), file.clone())
                });
                return users;
            }
        }
    }
    users
}

/// An out-of-tree module's folder has recipes, but no configuration.
fn has_recipes(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(".o.cmd")))
}

/// Takes the recipes of a folder that used `source`; says how many of rustc's are there.
fn look_in(folder: &Path, source: &Path, users: &mut Users) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_recipe = |path: &str| path.ends_with(".o.cmd") || path.ends_with(".so.cmd");
    files.retain(|file| file.to_str().is_some_and(is_recipe));
    files.sort();
    let mut n_recipes = 0;
    for file in files {
        let runs_rustc = CmdFile::read_command(&file).is_ok_and(|cmd| runs_rustc(&cmd));
        if !runs_rustc {
            continue;
        }
        n_recipes += 1;
        let (Ok(cmd), Some(object)) = (CmdFile::read(&file), cmd::object_beside(&file)) else { continue };
        let directory = cmd.directory(&object).unwrap_or_default();
        let is_it =
            |path: &str| Path::new(path).file_name() == source.file_name() && same_file(&directory.join(path), source);
        if cmd.source.iter().chain(&cmd.deps).any(|path| is_it(path)) {
            let is_object = object.extension().is_some_and(|ending| ending == "o");
            if is_object { users.objects.push(file) } else { users.macros.push(file) }
        }
    }
    n_recipes
}

/// Whether a recipe compiles Rust. Variables of the environment stand before the compiler.
pub(super) fn runs_rustc(cmd: &CmdFile) -> bool {
    let command = cmd.compile().unwrap_or_default();
    let words = command.iter().filter(|word| !word.starts_with('-'));
    words.take(16).any(|word| Path::new(word).file_name().is_some_and(|name| is_rustc(&name.to_string_lossy())))
}

/// `rustc`, `rustc-1.85`.
fn is_rustc(name: &str) -> bool {
    name.strip_prefix("rustc").is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl super::Finder {
    /// How the crate that a Rust file belongs to is built.
    pub(super) fn rust_source(&self, path: PathBuf) -> Result<super::Build, super::NotFound> {
        let users = users_of(&path, &self.search);
        let mut tried: Vec<(PathBuf, String)> = Vec::new();
        for file in &users.objects {
            match self.by_cmd(file, None) {
                Ok(mut build) => {
                    if build.source.as_deref().is_none_or(|source| !same_file(source, &path)) {
                        build.notes.push(format!("{} is compiled as part of this object", path.display()));
                    }
                    let others = users.objects.iter().filter(|other| *other != file);
                    build.others = others.filter_map(|file| cmd::object_beside(file)).collect();
                    return Ok(build);
                }
                Err(why) => tried.push((file.clone(), why)),
            }
        }
        let of_macros = |file| (file, "it makes a procedural macro, which runs within the compiler".to_owned());
        tried.extend(users.macros.into_iter().map(of_macros));
        tried.extend(
            users
                .tried
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .map(|(folder, n)| (folder, format!("none of its {n} recipes of rustc uses it"))),
        );
        Err(super::NotFound { path, tried })
    }

    /// The Rust files that an object was made from, as its recipe lists them; none of Rust's own library.
    pub fn rust_files(&self, object: &Path) -> Vec<PathBuf> {
        let object = super::absolute(object);
        let read = cmd::file_of(&object).and_then(|file| CmdFile::read(&file).ok());
        let Some(cmd) = read.filter(runs_rustc) else { return Vec::new() };
        let directory = match cmd.directory(&object) {
            Some(directory) => directory,
            None => super::tree::kernel_tree_of_module(&cmd, &self.search).unwrap_or_default(),
        };
        let listed = cmd.source.iter().chain(&cmd.deps).map(|path| super::at(&directory, path));
        let mut files: Vec<PathBuf> = Vec::new();
        for file in listed.filter(|file| is_rust(file)) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finder, Search};

    /// A tree with the crate `kernel`, a driver and a procedural macro.
    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let sources = ["rust/kernel/lib.rs", "rust/kernel/alloc/kvec.rs", "drivers/a.rs", "rust/macros/lib.rs", "b.rs"];
        sources.iter().for_each(|name| write(name, ""));
        write("include/config/auto.conf", "");
        let recipe = |object: &str, source: &str, deps: &str| {
            format!(
                "savedcmd_{object} := OBJTREE=/k RUST_MODFILE=x rustc --edition=2021 --emit=obj={object} {source} ; ./tools/objtool/objtool --orc {object}\n\n\
                 source_{object} := {source}\n\ndeps_{object} := \\\n  {deps} \\\n"
            )
        };
        write(
            "rust/.kernel.o.cmd",
            &recipe("rust/kernel.o", "rust/kernel/lib.rs", "rust/kernel/alloc/kvec.rs rust/libmacros.so"),
        );
        write("rust/.libmacros.so.cmd", &recipe("rust/libmacros.so", "rust/macros/lib.rs", ""));
        write("drivers/.a.o.cmd", &recipe("drivers/a.o", "drivers/a.rs", "rust/libmacros.so"));
        folder
    }

    #[test]
    fn every_file_of_a_crate_has_the_crates_object() {
        let tree = tree();
        let find = |name: &str| Finder::new(Search::default()).source(&tree.path().join(name));
        for (source, object) in [
            ("rust/kernel/lib.rs", "rust/kernel.o"),
            ("rust/kernel/alloc/kvec.rs", "rust/kernel.o"),
            ("drivers/a.rs", "drivers/a.o"),
        ] {
            let build = find(source).unwrap();
            assert_eq!(build.object, tree.path().join(object));
            assert!(build.flags.options.is_some_and(|options| options.orc), "{source}");
        }
        assert_eq!(find("rust/kernel/alloc/kvec.rs").unwrap().notes.len(), 1);
        assert_eq!(find("rust/kernel/lib.rs").unwrap().notes.len(), 0);
    }

    #[test]
    fn a_procedural_macro_and_a_file_of_no_crate_have_none() {
        let tree = tree();
        let find = |name: &str| Finder::new(Search::default()).source(&tree.path().join(name)).unwrap_err();
        assert!(find("rust/macros/lib.rs").tried.iter().any(|(_, why)| why.contains("procedural macro")));
        assert!(find("b.rs").tried.iter().any(|(_, why)| why.contains("none of its 2")), "{:?}", find("b.rs"));
    }

    #[test]
    fn the_files_of_an_object_are_those_of_its_recipe() {
        let tree = tree();
        let files = Finder::new(Search::default()).rust_files(&tree.path().join("rust/kernel.o"));
        assert_eq!(files, ["rust/kernel/lib.rs", "rust/kernel/alloc/kvec.rs"].map(|name| tree.path().join(name)));
    }
}
