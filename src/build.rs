//! Finds how a source file or an object is built: the compile command, the object, and objtool's flags for it.
//!
//! In: a path and a [`Search`].  Out: [`Build`], which says where each part was taken from, or [`NotFound`], which says
//! where was looked.
//! Holds afterwards: nothing was run and nothing was written; nothing was guessed without a note in [`Build::notes`].
//! Reads like: linux scripts/clang-tools/gen_compile_commands.py, scripts/Makefile.build, scripts/Makefile.vmlinux_o
//! (behaviour only).

mod cmd;
mod config;
mod database;
mod flags;
mod kernel_tree;
pub mod nearest;
mod objects;
pub mod ownership;
mod release;
mod rust;
mod stamped;
mod standard;
mod tree;
mod words;

use std::path::{Path, PathBuf};

pub use flags::{FlagSource, Flags, Gap, Unchecked};
pub use kernel_tree::Tree;
pub use objects::{Foreign, Objects, Skip, discover};
pub use release::TreeRelease;
pub use rust::is_rust;

use cmd::CmdFile;
use database::Databases;
use flags::FlagReader;
use kernel_tree::Trees;

/// Where to look.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Search {
    /// The build directory that the user named. When it is set, no other is looked at.
    pub build_dir: Option<PathBuf>,
    /// Folders that are open in the editor; their build directories are looked at last.
    pub roots: Vec<PathBuf>,
}

/// Which file the command was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A Kbuild `.NAME.o.cmd` file: what make itself ran last.
    Kbuild(PathBuf),
    /// A `compile_commands.json`.
    Database(PathBuf),
    /// Nowhere: what compiles any file of its kind. The file itself.
    Assumed(PathBuf),
}

impl Origin {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Origin::Kbuild(path) | Origin::Database(path) | Origin::Assumed(path) => path,
        }
    }
}

const UNCLEAR_TREE: &str =
    "an out-of-tree module, and which kernel build tree it was built in is not clear: name it with --build-dir";

/// How one object is built.
#[derive(Clone, PartialEq, Debug)]
pub struct Build {
    /// The object, absolute. It need not exist yet.
    pub object: PathBuf,
    /// The main source file, absolute; `None` for objects that are linked from others.
    pub source: Option<PathBuf>,
    /// The folder that the command runs in.
    pub directory: PathBuf,
    /// The command, program first.
    pub argv: Vec<String>,
    /// Where the command was found.
    pub origin: Origin,
    /// objtool's flags for the object.
    pub flags: Flags,
    /// Other objects that are built from the same source.
    pub others: Vec<PathBuf>,
    /// What had to be chosen, and why.
    pub notes: Vec<String>,
}

impl Build {
    /// The command as one would type it into a shell.
    pub fn command_line(&self) -> String {
        shell_words::join(&self.argv)
    }
}

/// No command was found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no compile command found for {}", path.display())]
pub struct NotFound {
    /// What was looked for.
    pub path: PathBuf,
    /// Where was looked, in order, and what was there.
    pub tried: Vec<(PathBuf, String)>,
}

impl NotFound {
    /// How to get a command, for a person.
    pub fn advice(&self) -> &'static str {
        "In a kernel tree, build the object once (`make path/to/file.o`; Kbuild then keeps its command), or run `make \
         compile_commands.json`. In other projects, write a compile_commands.json (CMake: \
         -DCMAKE_EXPORT_COMPILE_COMMANDS=ON, others: `bear -- make`). If the build is elsewhere, name its folder with \
         --build-dir or the setting orcls.buildDirectory."
    }
}

/// Finds builds, and keeps what it has read for the next question. Files that have changed are read again, except by
/// [`Finder::once`].
#[derive(Debug)]
pub struct Finder {
    search: Search,
    databases: Databases,
    flags: FlagReader,
    trees: Trees,
}

impl Finder {
    /// A finder that looks where `search` says.
    pub fn new(search: Search) -> Self {
        Finder { search, databases: Databases::default(), flags: FlagReader::default(), trees: Trees::default() }
    }

    /// The same for one run: a tree is taken as it was when it was first met.
    pub fn once(search: Search) -> Self {
        Finder { trees: Trees::once(), ..Finder::new(search) }
    }

    /// How the source file at `path` is built.
    pub fn source(&self, path: &Path) -> Result<Build, NotFound> {
        let path = absolute(path);
        if is_rust(&path) {
            return self.rust_source(path);
        }
        let (mut tried, mut of_others) = (Vec::new(), None);
        // It is looked for in every folder above the source: what another user has left there comes last.
        let mut own = |build: Build, tried: &mut Vec<(PathBuf, String)>| {
            let Some(why) = ownership::complaint(build.origin.path()) else { return Some(build) };
            tried.push((build.origin.path().to_owned(), why));
            of_others.get_or_insert(build);
            None
        };
        for place in tree::places_of_source(&path, &self.search) {
            let (found, file) = match place {
                tree::Place::Cmd(file) => (self.by_cmd(&file, Some(&path)), file),
                tree::Place::Database(file) => (self.by_database(&file, &path), file),
            };
            match found.map(|build| own(build, &mut tried)) {
                Ok(Some(build)) => return Ok(build),
                Ok(None) => {}
                Err(why) => tried.push((file, why)),
            }
        }
        // Kbuild files beside a source are looked for under its own name first. The same source may be compiled under
        // another one, or be included by a source file of its folder.
        for folder in tree::folders_of_source(&path, &self.search) {
            let (users, n_files) = cmd::users_in(&folder, &path);
            if let Some((first, rest)) = users.split_first() {
                match self.by_cmd(first, None) {
                    Ok(mut build) => {
                        if build.source.as_deref().is_none_or(|source| !same_file(source, &path)) {
                            build.notes.push(format!("{} is compiled as part of this object", path.display()));
                        }
                        build.others = rest.iter().filter_map(|file| cmd::object_beside(file)).collect();
                        if let Some(build) = own(build, &mut tried) {
                            return Ok(build);
                        }
                    }
                    Err(why) => tried.push((first.clone(), why)),
                }
            } else if n_files > 0 {
                tried.push((folder, format!("none of its {n_files} .cmd files uses it")));
            }
        }
        match of_others.or_else(|| self.assumed(&path, &tried)) {
            Some(build) => Ok(build),
            None => Err(NotFound { path, tried }),
        }
    }

    /// Assembly of which no command speaks, in a project that is no kernel: the C compiler takes it, with the folders that
    /// the nearest file of the project is compiled with.
    fn assumed(&self, path: &Path, tried: &[(PathBuf, String)]) -> Option<Build> {
        let is_assembly = path.extension().is_some_and(|ending| ["s", "S", "sx"].iter().any(|known| ending == *known));
        let in_kernel = || path.ancestors().skip(1).any(|folder| self.trees.at(folder).is_some());
        if !is_assembly || !path.is_file() || in_kernel() {
            return None;
        }
        let object = path.with_extension("o");
        let mut argv: Vec<String> = ["cc", "-c", "-g", "-o"].map(str::to_owned).to_vec();
        argv.extend([object.display().to_string(), path.display().to_string()]);
        let mut directory = path.parent()?.to_owned();
        let mut notes = Vec::new();
        let databases = tried.iter().filter(|(file, _)| file.ends_with("compile_commands.json"));
        let nearest = databases.filter_map(|(file, _)| self.databases.get(file).ok()?.nearest(path)).next();
        match nearest {
            Some(entry) if CmdFile::of_command(&entry.argv, &entry.object, &entry.directory, path).is_kernel_code() => {
                return None;
            }
            Some(entry) => {
                argv.extend(database::of_preprocessor(&entry.argv));
                directory = entry.directory;
                let neighbour = entry.object.display();
                notes.push(format!(
                    "no compile command is about this file; taken: `cc -c`, with the folders and macros of {neighbour}"
                ));
            }
            // Who names a build's folder says where commands are.
            None if self.search.build_dir.is_some() => return None,
            None => notes.push("no compile command is about this file; taken: `cc -c`".to_owned()),
        }
        Some(Build {
            object,
            source: Some(path.to_owned()),
            directory,
            argv,
            origin: Origin::Assumed(path.to_owned()),
            flags: Flags::unknown(),
            others: Vec::new(),
            notes,
        })
    }

    /// How the object at `path` was built.
    pub fn object(&self, path: &Path) -> Result<Build, NotFound> {
        let path = absolute(path);
        let mut tried = Vec::new();
        let Some(file) = cmd::file_of(&path) else {
            return Err(NotFound { path, tried });
        };
        match self.by_cmd(&file, None) {
            Ok(mut build) => {
                // The path as the user knows it: a link may lead elsewhere.
                build.object = path;
                Ok(build)
            }
            Err(why) => {
                tried.push((file, why));
                Err(NotFound { path, tried })
            }
        }
    }

    /// objtool's flags for the object at `path`, without reading more than that takes.
    pub fn flags(&self, path: &Path) -> Flags {
        let path = absolute(path);
        match cmd::file_of(&path).map(|file| (CmdFile::read_command(&file), file)) {
            // What else is asked of a recipe up to 5.17 stands behind its first line.
            Some((Ok(cmd), file)) if cmd.objtool().is_none() && cmd.compiles() => {
                self.flags_of(&CmdFile::read(&file).unwrap_or(cmd), &file, &path)
            }
            Some((Ok(cmd), file)) => self.flags_of(&cmd, &file, &path),
            _ => self.without_recipe(&path),
        }
    }

    fn flags_of(&self, cmd: &CmdFile, file: &Path, object: &Path) -> Flags {
        let tree = self.trees.of(cmd, file, object, &self.search);
        self.flags.of(cmd, file, object, tree)
    }

    /// Of an object that is in a kernel tree the release is known at least.
    fn without_recipe(&self, object: &Path) -> Flags {
        let tree = object.ancestors().skip(1).find_map(|folder| self.trees.at(folder));
        let is_vmlinux = object.file_name().is_some_and(|name| name == "vmlinux.o");
        let whole = || self.flags.of_vmlinux(tree.clone()?);
        let known = if is_vmlinux { whole() } else { None };
        known.unwrap_or_else(|| Flags { tree, ..Flags::unknown() })
    }

    fn by_cmd(&self, file: &Path, wanted: Option<&Path>) -> Result<Build, String> {
        let cmd = CmdFile::read(file)?;
        let object = cmd::object_beside(file).ok_or("its name is not that of a .cmd file")?;
        let argv = cmd.compile().ok_or("it holds no command")?.to_vec();
        let mut notes = Vec::new();
        let directory = match cmd.directory(&object) {
            Some(directory) => directory,
            // What links a module reads nothing by a relative path.
            None if !cmd.compiles() => match self.trees.of(&cmd, file, &object, &self.search) {
                Some(tree) => tree.root.clone(),
                None => return Err(UNCLEAR_TREE.to_owned()),
            },
            None => self.module_tree(file, &object, &mut notes)?,
        };
        let source = cmd.source.as_ref().map(|source| at(&directory, source));
        if let Some(wanted) = wanted
            && !source.as_deref().is_some_and(|source| same_file(source, wanted))
        {
            return Err(match source {
                Some(source) => format!("it is about {}", source.display()),
                None => "it does not say which source it is about".to_owned(),
            });
        }
        let flags = self.flags_of(&cmd, file, &object);
        let origin = Origin::Kbuild(file.to_owned());
        Ok(Build { object, source, directory, argv, origin, flags, others: Vec::new(), notes })
    }

    fn by_database(&self, file: &Path, wanted: &Path) -> Result<Build, String> {
        let database = self.databases.get(file)?;
        let mut entries = database.entries_of(wanted);
        // The object that carries the source's name is the one that the folder's Makefile names first; others are
        // built for the boot loader, the vDSO, another word size. An object that exists beats one that does not.
        let stem = wanted.file_stem();
        entries.sort_by_key(|entry| (entry.object.file_stem() != stem, !entry.object.exists()));
        let mut notes = Vec::new();
        let (entry, rest) = entries
            .split_first()
            .ok_or_else(|| format!("none of its {} entries is about this file", database.len()))?;
        if !rest.is_empty() {
            notes.push(format!(
                "{} entries are about this file; taken: the one for {}",
                entries.len(),
                entry.object.display()
            ));
        }
        let mut flags = self.flags(&entry.object);
        if flags.source == FlagSource::Unknown {
            // The command says as much as the recipe will that has not been made yet.
            let cmd = CmdFile::of_command(&entry.argv, &entry.object, &entry.directory, wanted);
            let known = self.flags_of(&cmd, file, &entry.object);
            // Only a whole project shows that its assembly is not for a kernel.
            if known.unchecked() != Some(&Unchecked::NotKernel) || database.is_user_project() {
                flags = known;
            }
        }
        Ok(Build {
            object: entry.object.clone(),
            source: Some(wanted.to_owned()),
            directory: entry.directory.clone(),
            argv: entry.argv.clone(),
            origin: Origin::Database(file.to_owned()),
            flags,
            others: rest.iter().map(|entry| entry.object.clone()).collect(),
            notes,
        })
    }

    /// The kernel build tree that an out-of-tree module's command ran in. Kernels up to 6.12 write the target as an
    /// absolute path and run in the kernel's tree, which the file does not name.
    fn module_tree(&self, file: &Path, object: &Path, notes: &mut Vec<String>) -> Result<PathBuf, String> {
        match self.trees.of_module(file, object, &self.search) {
            Some(directory) => {
                notes.push(format!(
                    "an out-of-tree module; {} is the only kernel build tree that has all files it was built from",
                    directory.display()
                ));
                Ok(directory)
            }
            None => Err(UNCLEAR_TREE.to_owned()),
        }
    }
}

/// `path` from the root on, `.` and `..` taken out by name. Links stay as they are.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    match std::path::absolute(path) {
        Ok(path) => normal(&path),
        Err(_) => path.to_owned(),
    }
}

/// `path` in `directory`. `..` behind a link leads elsewhere than its name says; the path is then left as it is.
fn at(directory: &Path, path: impl AsRef<Path>) -> PathBuf {
    let joined = directory.join(path);
    let short = normal(&joined);
    if short.exists() || !joined.exists() { short } else { joined }
}

/// The path without `.` and `..`, as far as it can be told from its text.
pub fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether both paths lead to one file, links followed.
fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel tree `src`, built with `O=` in `build` beside it; the recipe names the sources by an absolute path.
    fn kernel() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let src = folder.path().join("src");
        let src = src.display();
        for name in ["src/lib/a.S", "src/lib/inc.c", "src/lib/main.c", "src/lib/twin.c", "src/lib/never.c"] {
            write(name, "");
        }
        let recipe = |object: &str, source: &str, deps: &str| {
            format!(
                "savedcmd_lib/{object} := gcc -c -o lib/{object} {src}/lib/{source} ; ./tools/objtool/objtool --orc lib/{object}\n\n\
                 source_lib/{object} := {src}/lib/{source}\n\ndeps_lib/{object} := \\\n  {deps} \\\n"
            )
        };
        write("build/lib/.a.o.cmd", &recipe("a.o", "a.S", ""));
        write("build/lib/.main.o.cmd", &recipe("main.o", "main.c", &format!("{src}/lib/inc.c")));
        write("build/lib/.other.o.cmd", &recipe("other.o", "twin.c", ""));
        std::os::unix::fs::symlink("../src", folder.path().join("build/source")).unwrap();
        folder
    }

    fn find(kernel: &tempfile::TempDir, source: &str) -> Result<Build, NotFound> {
        Finder::new(Search::default()).source(&kernel.path().join(source))
    }

    #[test]
    fn a_build_folder_beside_the_sources_is_found() {
        let kernel = kernel();
        let build = find(&kernel, "src/lib/a.S").unwrap();
        assert_eq!(build.object, kernel.path().join("build/lib/a.o"));
        assert_eq!(build.directory, kernel.path().join("build"));
        assert_eq!(build.argv[..4], ["gcc", "-c", "-o", "lib/a.o"]);
        assert_eq!(build.source, Some(kernel.path().join("src/lib/a.S")));
        assert!(build.flags.options.unwrap().orc);
        assert!(build.notes.is_empty());
    }

    #[test]
    fn an_included_source_has_the_object_that_includes_it() {
        let kernel = kernel();
        let build = find(&kernel, "src/lib/inc.c").unwrap();
        assert_eq!(build.object, kernel.path().join("build/lib/main.o"));
        assert_eq!(build.notes.len(), 1);
    }

    #[test]
    fn a_source_may_have_an_object_of_another_name() {
        let kernel = kernel();
        let build = find(&kernel, "src/lib/twin.c").unwrap();
        assert_eq!(build.object, kernel.path().join("build/lib/other.o"));
        assert!(build.notes.is_empty());
    }

    #[test]
    fn where_nothing_is_known_the_places_are_named() {
        let kernel = kernel();
        let not_found = find(&kernel, "src/lib/never.c").unwrap_err();
        let cmd = kernel.path().join("build/lib/.never.o.cmd");
        assert!(not_found.tried.contains(&(cmd, "not there".to_owned())), "{not_found:?}");
    }

    #[test]
    fn a_named_build_folder_is_the_only_one() {
        let kernel = kernel();
        let search = Search { build_dir: Some(kernel.path().join("src")), roots: Vec::new() };
        assert!(Finder::new(search).source(&kernel.path().join("src/lib/a.S")).is_err());
    }

    #[test]
    fn the_database_is_taken_where_kbuild_left_nothing() {
        let kernel = kernel();
        let entry = |object: &str| {
            format!(
                r#"{{"directory": "{0}/build", "file": "../src/lib/never.c", "command": "gcc -c -o {object} ../src/lib/never.c"}}"#,
                kernel.path().display()
            )
        };
        let json = format!("[{}, {}]", entry("boot/never32.o"), entry("lib/never.o"));
        std::fs::write(kernel.path().join("build/compile_commands.json"), json).unwrap();
        let build = find(&kernel, "src/lib/never.c").unwrap();
        assert_eq!(build.object, kernel.path().join("build/lib/never.o"));
        assert_eq!(build.others, [kernel.path().join("build/boot/never32.o")]);
        assert_eq!(build.flags.unchecked(), Some(&Unchecked::NotKernel));
        assert!(matches!(build.origin, Origin::Database(_)));
    }

    /// As in a folder that users share.
    #[test]
    fn what_another_user_has_left_comes_last() {
        let shared = tempfile::tempdir().unwrap();
        let root = shared.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("mine/build")).unwrap();
        std::fs::write(root.join("mine/a.c"), "").unwrap();
        let database = |folder: &Path| {
            let file = root.join("mine/a.c");
            let entry = serde_json::json!({"directory": folder, "command": "gcc -c -o a.o a.c", "file": file});
            std::fs::write(folder.join("compile_commands.json"), format!("[{entry}]")).unwrap();
            folder.join("compile_commands.json")
        };
        let (foreign, own) = (database(&root.join("mine")), database(&root));
        if std::os::unix::fs::chown(&foreign, Some(4711), None).is_err() {
            eprintln!("skipped: a file of another user, which only root can make");
            return;
        }
        let finder = Finder::new(Search::default());
        assert_eq!(finder.source(&root.join("mine/a.c")).unwrap().origin.path(), own);
        // Nothing else is known: who runs it has to ask.
        std::fs::remove_file(own).unwrap();
        assert_eq!(finder.source(&root.join("mine/a.c")).unwrap().origin.path(), foreign);
    }

    #[test]
    fn an_out_of_tree_module_needs_its_kernel() {
        let kernel = kernel();
        let module = tempfile::tempdir().unwrap();
        let at = module.path().display();
        let cmd = format!(
            "cmd_{at}/m.o := gcc -c -o {at}/m.o {at}/m.c\n\nsource_{at}/m.o := {at}/m.c\n\ndeps_{at}/m.o := \\\n  include/x.h \\\n"
        );
        std::fs::write(module.path().join(".m.o.cmd"), cmd).unwrap();
        std::fs::write(module.path().join("m.c"), "").unwrap();
        let search = Search { build_dir: None, roots: vec![kernel.path().join("build")] };
        assert!(Finder::new(search.clone()).source(&module.path().join("m.c")).is_err());
        for file in ["include/x.h", "include/config/auto.conf"] {
            let path = kernel.path().join("build").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let build = Finder::new(search).source(&module.path().join("m.c")).unwrap();
        assert_eq!(build.directory, kernel.path().join("build").canonicalize().unwrap());
        assert_eq!(build.object, module.path().join("m.o"));
        assert_eq!(build.notes.len(), 1);
    }

    /// Up to 6.12 neither the recipe of a module nor that of its parts names the tree.
    #[test]
    fn a_linked_module_is_of_the_tree_of_its_parts() {
        let (kernel, module) = (kernel(), tempfile::tempdir().unwrap());
        let root = kernel.path().join("build");
        for (file, text) in [("include/config/kernel.release", "6.1.192\n"), ("include/config/auto.conf", "")] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), text).unwrap();
        }
        std::fs::write(root.join("include/x.h"), "").unwrap();
        // Another tree, so that what reads nothing could be of either.
        let other = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(other.path().join("include/config")).unwrap();
        std::fs::write(other.path().join("include/config/auto.conf"), "").unwrap();
        let at = module.path().display();
        let part = format!(
            "cmd_{at}/p.o := gcc -D__KERNEL__ -DMODULE -c -o {at}/p.o {at}/p.c\n\nsource_{at}/p.o := {at}/p.c\n\n\
             deps_{at}/p.o := \\\n  include/x.h \\\n"
        );
        std::fs::write(module.path().join(".p.o.cmd"), part).unwrap();
        std::fs::write(module.path().join(".m.o.cmd"), format!("cmd_{at}/m.o := ld -r -o {at}/m.o @{at}/m.mod\n"))
            .unwrap();
        std::fs::write(module.path().join("m.mod"), format!("{at}/p.o\n")).unwrap();
        let finder = Finder::new(Search { build_dir: None, roots: vec![other.path().to_owned(), root.clone()] });
        let release =
            |object: &str| finder.flags(&module.path().join(object)).kernel().map(|(kernel, _)| kernel.name());
        for object in ["m.o", "p.o", "m.ko"] {
            assert_eq!(release(object), Some("6.1"), "{object}");
        }
        assert_eq!(finder.object(&module.path().join("m.o")).unwrap().directory, root.canonicalize().unwrap());
    }
}
