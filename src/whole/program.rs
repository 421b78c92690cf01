//! What `vmlinux.o` is linked from, and how the build checks it.
//!
//! In: a build tree.  Out: [`Program`], or [`Unavailable`], which says why there is none.
//! Holds afterwards: every member is an object that the archives of the tree name; nothing was run.
//! Reads like: linux scripts/Makefile.vmlinux_o (6.1 and later), scripts/link-vmlinux.sh.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use object::read::archive::ArchiveFile;

use crate::build::{Finder, Flags};
use crate::files;
use crate::image::{FileStore, Store};

/// An archive of a kernel names a few thousand objects in some hundred kilobytes.
const MAX_ARCHIVE: u64 = 64 << 20;
/// `vmlinux.a` names objects; the archives that it is made from name archives, a few levels deep.
const MAX_DEPTH: usize = 4;

/// Why the whole program is not known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unavailable {
    /// Nobody has linked there yet.
    #[error("{} has no vmlinux.a: build the tree once up to vmlinux.o", .0.display())]
    NoProgram(PathBuf),
    /// The object is not part of it.
    #[error("{} is not part of vmlinux.o", .0.display())]
    NotMember(PathBuf),
    /// The build does not run objtool on `vmlinux.o`, or not with flags that are known.
    #[error("objtool's flags for vmlinux.o are unknown: {0}")]
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
    /// The linked object cannot be analysed.
    #[error("the linked object cannot be analysed: {0}")]
    NotAnalysed(String),
}

/// The objects of a kernel, in the order in which they are linked.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The build directory, in which the linker runs.
    pub directory: PathBuf,
    /// The objects, as the archive names them.
    pub members: Vec<String>,
    /// objtool's flags for `vmlinux.o`.
    pub flags: Flags,
    /// The linker's name in the recorded command.
    pub linker: String,
}

impl Program {
    /// The program that is built in `directory`.
    pub(super) fn of(directory: &Path, finder: &Finder) -> Result<Program, Unavailable> {
        let archive = directory.join("vmlinux.a");
        if !archive.is_file() {
            return Err(Unavailable::NoProgram(directory.to_owned()));
        }
        let mut members = Vec::new();
        read_archive(directory, Path::new("vmlinux.a"), 0, &mut 0, &mut members)?;
        if members.is_empty() {
            return Err(Unavailable::NoProgram(directory.to_owned()));
        }
        let linked = directory.join("vmlinux.o");
        let flags = finder.flags(&linked);
        if flags.options.is_none() {
            return Err(Unavailable::NoFlags(flags.explained()));
        }
        let recorded = finder.object(&linked).ok().and_then(|build| build.argv.first().cloned());
        let linker = recorded.unwrap_or_else(|| "ld".to_owned());
        Ok(Program { directory: directory.to_owned(), members, flags, linker })
    }

    /// The program that is built in `directory`, and which of its members the object at `path` is.
    pub(super) fn with_member(directory: &Path, path: &Path, finder: &Finder) -> Result<(Program, usize), Unavailable> {
        let program = Program::of(directory, finder)?;
        let member = program.member(path).ok_or_else(|| Unavailable::NotMember(path.to_owned()))?;
        Ok((program, member))
    }

    /// Refuses members that a linker would take for something else than an object: it obeys text as a script, and makes
    /// code of bitcode in its own way.
    pub(super) fn check_members(&self) -> Result<(), Unavailable> {
        for member in &self.members {
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

    /// When the archive and each member was written last.
    pub(super) fn stamps(&self) -> Vec<Option<SystemTime>> {
        let names = std::iter::once("vmlinux.a").chain(self.members.iter().map(String::as_str));
        let written = |name: &str| std::fs::metadata(self.directory.join(name)).and_then(|meta| meta.modified()).ok();
        names.map(written).collect()
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

/// The objects that a thin archive names, in order; archives in it are read in their place. `read` counts the bytes of all
/// of them: archives may name each other, and each more than once.
fn read_archive(
    directory: &Path,
    archive: &Path,
    depth: usize,
    read: &mut u64,
    members: &mut Vec<String>,
) -> Result<(), Unavailable> {
    let file = directory.join(archive);
    let unreadable = |why: String| Unavailable::Unreadable { file: file.clone(), why };
    let bytes = match files::read(&file, MAX_ARCHIVE.saturating_sub(*read)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            return Err(unreadable("too large for archives that only name their objects".to_owned()));
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    *read = read.saturating_add(bytes.len() as u64);
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
            read_archive(directory, Path::new(path), depth + 1, read, members)?;
        } else {
            members.push(path.to_owned());
        }
    }
    Ok(())
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
        let mut members = Vec::new();
        read_archive(tree.path(), Path::new("vmlinux.a"), 0, &mut 0, &mut members).unwrap();
        assert_eq!(members, ["arch/head.o", "lib/b.o", "lib/a.o", "init/main.o"]);
    }

    #[test]
    fn an_archive_that_contains_itself_ends() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("vmlinux.a"), thin(&["vmlinux.a"])).unwrap();
        let error = read_archive(tree.path(), Path::new("vmlinux.a"), 0, &mut 0, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
    }

    #[test]
    fn archives_that_name_each_other_often_are_read_a_few_times() {
        let tree = tempfile::tempdir().unwrap();
        let of = |name: &str| thin(&vec![name; 10_000]);
        for (file, member) in [("vmlinux.a", "b.a"), ("b.a", "c.a"), ("c.a", "d.a"), ("d.a", "e.o")] {
            std::fs::write(tree.path().join(file), of(member)).unwrap();
        }
        let (mut read, mut members) = (0, Vec::new());
        let error = read_archive(tree.path(), Path::new("vmlinux.a"), 0, &mut read, &mut members).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        assert!(read <= MAX_ARCHIVE && members.len() as u64 <= MAX_ARCHIVE / 60);
    }

    #[test]
    fn names_that_are_options_of_the_linker_are_no_members() {
        for name in ["--plugin=./evil.so", "-T./script", "@./words"] {
            let tree = tempfile::tempdir().unwrap();
            std::fs::write(tree.path().join("vmlinux.a"), thin(&["a.o", name])).unwrap();
            let error = read_archive(tree.path(), Path::new("vmlinux.a"), 0, &mut 0, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("would not take"), "{error}");
        }
    }

    #[test]
    fn where_nothing_was_linked_that_is_said() {
        let tree = tempfile::tempdir().unwrap();
        let error = Program::of(tree.path(), &Finder::new(Default::default())).unwrap_err();
        assert_eq!(error, Unavailable::NoProgram(tree.path().to_owned()));
        std::fs::write(tree.path().join("vmlinux.a"), "!<arch>\n").unwrap();
        let error = Program::of(tree.path(), &Finder::new(Default::default())).unwrap_err();
        assert!(matches!(error, Unavailable::Unreadable { .. }), "{error}");
    }
}
