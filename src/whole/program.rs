//! What `vmlinux.o` is linked from, and how the build checks it.
//!
//! In: a build tree.  Out: [`Program`], or [`Unavailable`], which says why there is none.
//! Holds afterwards: every member is an object that the archives of the tree name; nothing was run.
//! Reads like: linux scripts/Makefile.vmlinux_o (6.1 and later), scripts/link-vmlinux.sh.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object::read::archive::ArchiveFile;

use crate::build::{Finder, Flags};
use crate::files;
use crate::files::Stamp;
use crate::image::{FileStore, Store};

/// An archive of a kernel names a few thousand objects in some hundred kilobytes.
const MAX_ARCHIVE: u64 = 64 << 20;
/// `vmlinux.a` names objects; the archives that it is made from name archives, a few levels deep.
const MAX_DEPTH: usize = 4;

/// Why the whole program is not known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unavailable {
    /// Nobody has linked there yet.
    #[error("{} has neither vmlinux.a nor built-in.a: build the tree once up to vmlinux.o", .0.display())]
    NoProgram(PathBuf),
    /// The object is not part of it.
    #[error("{} is not part of vmlinux.o", .0.display())]
    NotMember(PathBuf),
    /// The build does not run objtool on what is linked, or not with flags that are known.
    #[error("objtool's flags for what it is linked into are unknown: {0}")]
    NoFlags(String),
    /// Members are bitcode: only the build's own compiler can make code of them.
    #[error("{} holds bitcode (LTO): its code exists only after the build's own link", .0.display())]
    Bitcode(PathBuf),
    /// An archive or object cannot be read.
    #[error("{}: {why}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
    /// The linker is not one that is run.
    #[error("the linker is not run: {0}")]
    Linker(String),
    /// The linker failed.
    #[error("the private link failed: {0}")]
    NotLinked(String),
    /// Not all objects have been read yet.
    #[error("what the other objects define is not known yet")]
    NoIndex,
    /// Nobody waits any more.
    #[error("cancelled")]
    Cancelled,
    /// The linked object cannot be analysed.
    #[error("the linked object cannot be analysed: {0}")]
    NotAnalysed(String),
}

/// The archives that `vmlinux.a` is made of (`KBUILD_VMLINUX_OBJS`), for a tree that was not linked yet.
const BEFORE_LINK: [&str; 3] = ["built-in.a", "lib/lib.a", "arch/x86/lib/lib.a"];

/// The objects of a kernel, in the order in which they are linked.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The build directory, in which the linker runs.
    pub directory: PathBuf,
    /// The linked object that objtool checks: `vmlinux.o`, or that of a module.
    pub whole: PathBuf,
    /// The objects, as the archives name them.
    pub members: Arc<Vec<String>>,
    /// Whether the archives name all of them, for all that is known.
    pub is_complete: bool,
    /// objtool's flags for `vmlinux.o`.
    pub flags: Flags,
    /// The linker's name in the recorded command.
    pub linker: String,
}

impl Program {
    /// The program that is built in `directory`; the archives that name its members are read when they are others than those
    /// that `archives` knows.
    pub(super) fn of(directory: &Path, finder: &Finder, archives: &Archives) -> Result<Program, Unavailable> {
        let (members, is_complete) = archives.members(directory)?;
        Program::linked(directory, directory.join("vmlinux.o"), members, is_complete, finder)
    }

    /// The module whose object is `whole`: the `.mod` file beside it lists its objects.
    fn module(directory: &Path, whole: &Path, finder: &Finder) -> Result<Program, Unavailable> {
        let list = whole.with_extension("mod");
        let unreadable = |why: String| Unavailable::Unreadable { file: list.clone(), why };
        let text = files::text(&list, files::RECIPE).map_err(|error| unreadable(error.to_string()))?;
        let members: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if members.iter().any(|name| name.starts_with(['-', '@'])) {
            return Err(unreadable("it names what a linker would not take for a file".to_owned()));
        }
        Program::linked(directory, whole.to_owned(), Arc::new(members), true, finder)
    }

    fn linked(
        directory: &Path,
        whole: PathBuf,
        members: Arc<Vec<String>>,
        is_complete: bool,
        finder: &Finder,
    ) -> Result<Program, Unavailable> {
        let flags = finder.flags(&whole);
        if flags.options.is_none() {
            return Err(Unavailable::NoFlags(flags.explained()));
        }
        let recorded = finder.object(&whole).ok().and_then(|build| build.argv.first().cloned());
        let linker = recorded.unwrap_or_else(|| "ld".to_owned());
        Ok(Program { directory: directory.to_owned(), whole, members, is_complete, flags, linker })
    }

    /// The program that is built in `directory` and that the object at `path` is linked into, and which of its members it is.
    pub(super) fn with_member(
        directory: &Path,
        path: &Path,
        finder: &Finder,
        archives: &Archives,
    ) -> Result<(Program, usize), Unavailable> {
        let flags = finder.flags(path);
        let module = flags.source.whole().filter(|whole| whole.file_name().is_some_and(|name| name != "vmlinux.o"));
        let program = match module {
            Some(whole) => Program::module(directory, whole, finder)?,
            None => Program::of(directory, finder, archives)?,
        };
        let member = program.member(path).ok_or_else(|| Unavailable::NotMember(path.to_owned()))?;
        Ok((program, member))
    }

    /// Refuses members that a linker would take for something else than an object: it obeys text as a script, and makes
    /// code of bitcode in its own way.
    pub(super) fn check_members(&self) -> Result<(), Unavailable> {
        for member in self.members.iter() {
            let file = self.directory.join(member);
            let unreadable = |why: String| Unavailable::Unreadable { file: file.clone(), why };
            let store = FileStore::open(&file).map_err(|error| unreadable(error.to_string()))?;
            match store.read(0, 4).map_err(|error| unreadable(error.to_string()))?.as_slice() {
                b"\x7fELF" => {}
                b"BC\xc0\xde" => return Err(Unavailable::Bitcode(file)),
                _ => return Err(unreadable("not an object".to_owned())),
            }
        }
        Ok(())
    }

    /// What tells whether a member is another file than before.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.members.iter().map(|name| Stamp::of(&self.directory.join(name))).collect()
    }

    /// Which member the object at `path` is.
    pub(super) fn member(&self, path: &Path) -> Option<usize> {
        let is_it = |member: &String| self.directory.join(member) == path;
        self.members.iter().position(is_it).or_else(|| {
            let real = path.canonicalize().ok()?;
            let same_name = |member: &&String| Path::new(member.as_str()).file_name() == path.file_name();
            let candidates = self.members.iter().filter(same_name);
            let found = candidates.clone().find(|m| self.directory.join(m).canonicalize().is_ok_and(|m| m == real))?;
            self.members.iter().position(|member| member == found)
        })
    }
}

/// The archives that were read last, and what they name.
#[derive(Default)]
pub(super) struct Archives(Mutex<Option<Named>>);

struct Named {
    directory: PathBuf,
    files: Vec<(PathBuf, Option<Stamp>)>,
    members: Arc<Vec<String>>,
    is_complete: bool,
}

impl Archives {
    /// The members of the program in `directory`, and whether they are all of them.
    fn members(&self, directory: &Path) -> Result<(Arc<Vec<String>>, bool), Unavailable> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(named) = &*slot
            && named.directory == directory
            && named.files.iter().all(|(file, stamp)| Stamp::of(file) == *stamp)
        {
            return Ok((Arc::clone(&named.members), named.is_complete));
        }
        let exists = |name: &&str| directory.join(name).is_file();
        let linked = ["vmlinux.a"];
        let names: Vec<&str> = match linked.iter().all(exists) {
            true => linked.to_vec(),
            false => BEFORE_LINK.into_iter().filter(exists).collect(),
        };
        // What the archives of a build that has not come to its end do not name is nobody's fault.
        let is_complete = names.first().is_some_and(|first| *first != "lib/lib.a" && *first != "arch/x86/lib/lib.a");
        // An archive that appears later makes another program.
        let mut files: Vec<(PathBuf, Option<Stamp>)> = Vec::new();
        for name in linked.into_iter().chain(BEFORE_LINK) {
            files.push((directory.join(name), Stamp::of(&directory.join(name))));
        }
        let mut reading = ReadArchives { directory, read: 0, files, members: Vec::new() };
        for name in names {
            reading.read(Path::new(name), 0)?;
        }
        let ReadArchives { files, members, .. } = reading;
        if members.is_empty() {
            return Err(Unavailable::NoProgram(directory.to_owned()));
        }
        let members = Arc::new(members);
        *slot = Some(Named { directory: directory.to_owned(), files, members: Arc::clone(&members), is_complete });
        Ok((members, is_complete))
    }
}

/// Reads archives that name objects, and archives in their places.
struct ReadArchives<'a> {
    directory: &'a Path,
    /// The bytes of all: archives may name each other, and each more than once.
    read: u64,
    files: Vec<(PathBuf, Option<Stamp>)>,
    members: Vec<String>,
}

impl ReadArchives<'_> {
    /// The objects that a thin archive names, in order.
    fn read(&mut self, archive: &Path, depth: usize) -> Result<(), Unavailable> {
        let file = self.directory.join(archive);
        let unreadable = |why: String| Unavailable::Unreadable { file: file.clone(), why };
        if !self.files.iter().any(|(known, _)| *known == file) {
            self.files.push((file.clone(), Stamp::of(&file)));
        }
        let bytes = match files::read(&file, MAX_ARCHIVE.saturating_sub(self.read)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                return Err(unreadable("too large for archives that only name their objects".to_owned()));
            }
            Err(error) => return Err(unreadable(error.to_string())),
        };
        self.read = self.read.saturating_add(bytes.len() as u64);
        let parsed = ArchiveFile::parse(&*bytes).map_err(|error| unreadable(error.to_string()))?;
        if !parsed.is_thin() {
            return Err(unreadable("its objects are in the archive itself, which no kernel build does".to_owned()));
        }
        let folder = archive.parent().unwrap_or(Path::new(""));
        for member in parsed.members() {
            let member = member.map_err(|error| unreadable(error.to_string()))?;
            let name = std::str::from_utf8(member.name()).map_err(|error| unreadable(error.to_string()))?;
            let path = folder.join(name);
            let Some(path) = path.to_str() else { continue };
            if path.starts_with(['-', '@']) {
                return Err(unreadable(format!("{path}: a linker would not take this for a file")));
            }
            if path.ends_with(".a") {
                if depth >= MAX_DEPTH {
                    return Err(unreadable("archives within archives go too deep".to_owned()));
                }
                self.read(Path::new(path), depth + 1)?;
            } else {
                self.members.push(path.to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thin archive in the GNU format that names `members`.
    fn thin(members: &[&str]) -> Vec<u8> {
        let names: String = members.iter().map(|name| format!("{name}/\n")).collect();
        let header = |name: &str, size: usize| format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
        let mut text = format!("!<thin>\n{}{names}", header("//", names.len()));
        if text.len() % 2 == 1 {
            text.push('\n');
        }
        let mut offset = 0;
        for name in members {
            text += &header(&format!("/{offset}"), 7);
            offset += name.len() + 2;
        }
        text.into_bytes()
    }

    #[test]
    fn members_are_named_in_order_and_archives_opened() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("lib")).unwrap();
        std::fs::write(tree.path().join("vmlinux.a"), thin(&["arch/head.o", "lib/lib.a", "init/main.o"])).unwrap();
        std::fs::write(tree.path().join("lib/lib.a"), thin(&["b.o", "a.o"])).unwrap();
        let (members, is_complete) = Archives::default().members(tree.path()).unwrap();
        assert!(is_complete);
        assert_eq!(*members, ["arch/head.o", "lib/b.o", "lib/a.o", "init/main.o"]);
    }

    #[test]
    fn archives_are_read_again_when_they_change_and_those_of_an_unlinked_tree_stand_in() {
        let tree = tempfile::tempdir().unwrap();
        let archives = Archives::default();
        std::fs::create_dir(tree.path().join("lib")).unwrap();
        std::fs::write(tree.path().join("lib/lib.a"), thin(&["b.o"])).unwrap();
        let (members, is_complete) = archives.members(tree.path()).unwrap();
        assert_eq!((members.as_slice(), is_complete), (&["lib/b.o".to_owned()][..], false));
        std::fs::write(tree.path().join("built-in.a"), thin(&["a.o"])).unwrap();
        let (members, is_complete) = archives.members(tree.path()).unwrap();
        assert_eq!((members.as_slice(), is_complete), (&["a.o".to_owned(), "lib/b.o".to_owned()][..], true));
        let (again, _) = archives.members(tree.path()).unwrap();
        assert!(Arc::ptr_eq(&members, &again), "nothing changed, nothing is read");
        std::fs::write(tree.path().join("vmlinux.a"), thin(&["c.o"])).unwrap();
        assert_eq!(*archives.members(tree.path()).unwrap().0, ["c.o"]);
    }

    #[test]
    fn an_archive_that_contains_itself_ends() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("vmlinux.a"), thin(&["vmlinux.a"])).unwrap();
        let error = Archives::default().members(tree.path()).unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
    }

    #[test]
    fn archives_that_name_each_other_often_are_read_a_few_times() {
        let tree = tempfile::tempdir().unwrap();
        let of = |name: &str| thin(&vec![name; 10_000]);
        for (file, member) in [("vmlinux.a", "b.a"), ("b.a", "c.a"), ("c.a", "d.a"), ("d.a", "e.o")] {
            std::fs::write(tree.path().join(file), of(member)).unwrap();
        }
        let directory = tree.path();
        let mut reading = ReadArchives { directory, read: 0, files: Vec::new(), members: Vec::new() };
        let error = reading.read(Path::new("vmlinux.a"), 0).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        assert!(reading.read <= MAX_ARCHIVE && reading.members.len() as u64 <= MAX_ARCHIVE / 60);
        assert!(reading.files.len() < 5);
    }

    #[test]
    fn names_that_are_options_of_the_linker_are_no_members() {
        for name in ["--plugin=./evil.so", "-T./script", "@./words"] {
            let tree = tempfile::tempdir().unwrap();
            std::fs::write(tree.path().join("vmlinux.a"), thin(&["a.o", name])).unwrap();
            let error = Archives::default().members(tree.path()).unwrap_err();
            assert!(error.to_string().contains("would not take"), "{error}");
        }
    }

    #[test]
    fn where_nothing_was_linked_that_is_said() {
        let tree = tempfile::tempdir().unwrap();
        let error = Program::of(tree.path(), &Finder::new(Default::default()), &Archives::default()).unwrap_err();
        assert_eq!(error, Unavailable::NoProgram(tree.path().to_owned()));
        std::fs::write(tree.path().join("vmlinux.a"), "!<arch>\n").unwrap();
        let error = Program::of(tree.path(), &Finder::new(Default::default()), &Archives::default()).unwrap_err();
        assert!(matches!(error, Unavailable::Unreadable { .. }), "{error}");
    }
}
