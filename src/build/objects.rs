//! Finds the objects to check below folders, and says of each whether it is checked, or why not.
//!
//! In: folders; of one object its head and its flags.  Out: [`Objects`], [`Skip`].
//! Holds afterwards: the command line and the editor check the same objects; links to folders are not followed, so that a
//! build's `source` link leads nowhere; what could not be read is named.

use std::io::Read;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use super::{Flags, Search, Unchecked, absolute, tree};
use crate::files;

/// The objects below some folders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Objects {
    /// Their paths, spelled from the folder that was named; sorted.
    pub files: Vec<PathBuf>,
    /// What could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// The objects below `folder`; a module only where the object that it was linked from is not beside it. `is_cancelled` is
/// asked once per folder.
pub(super) fn objects(folder: &Path, is_cancelled: &dyn Fn() -> bool) -> Objects {
    let mut found = Objects::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if is_cancelled() {
            break;
        }
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                found.unreadable.push((folder, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            // Kbuild's own files, version control, and what a running build has not finished.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && is_object(&path) => found.files.push(path),
                Ok(_) => {}
                Err(error) => found.unreadable.push((path, error.to_string())),
            }
        }
    }
    found.files.sort();
    found.unreadable.sort();
    found
}

/// The objects of a project's `folder`: those below it, else those that a build directory has for it, which is beside the
/// sources or below them.
pub fn discover(folder: &Path, search: &Search, is_cancelled: &dyn Fn() -> bool) -> Objects {
    let below = objects(folder, is_cancelled);
    if !below.files.is_empty() {
        return below;
    }
    let mut found = below;
    // Any file of the folder leads to its builds.
    for built in tree::folders_of_source(&absolute(folder).join("Makefile"), search) {
        if is_cancelled() || built.starts_with(absolute(folder)) || !built.is_dir() {
            continue;
        }
        let objects = objects(&built, is_cancelled);
        found.unreadable.extend(objects.unreadable);
        if !objects.files.is_empty() {
            found.files = objects.files;
            break;
        }
    }
    found
}

fn is_object(path: &Path) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("o") => true,
        Some("ko") => !path.with_extension("o").exists(),
        _ => false,
    }
}

/// Why an object is not checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Skip {
    /// The build does not run objtool on it.
    Unchecked(Unchecked),
    /// It is no x86-64 object.
    Foreign(Foreign),
    /// It is checked as a part of another object, as the build does it.
    InWhole(PathBuf),
}

impl Skip {
    /// The reason in words, as after "because"; objects of one reason are counted together by them.
    pub fn words(&self) -> String {
        match self {
            Skip::Unchecked(why) => why.words().to_owned(),
            Skip::Foreign(what) => format!("it is {}", what.words()),
            Skip::InWhole(whole) => {
                let name = whole.file_name().unwrap_or_default().to_string_lossy();
                format!("it is checked as part of {name}, as in the build")
            }
        }
    }

    /// Why the object with these flags is not checked, when it was found below a folder together with the objects `all`
    /// (absolute); `None` where it is.
    pub fn of(path: &Path, flags: &Flags, all: &FxHashSet<PathBuf>) -> Option<Skip> {
        Skip::of_file(Foreign::of(path), path, flags, all)
    }

    /// The same where it is known whether the file is a foreign one.
    pub fn of_file(what: Option<Foreign>, path: &Path, flags: &Flags, all: &FxHashSet<PathBuf>) -> Option<Skip> {
        if let Some(what) = what {
            return Some(Skip::Foreign(what));
        }
        if let Some(why) = flags.unchecked() {
            return Some(Skip::Unchecked(why.clone()));
        }
        let whole = flags.source.whole()?;
        is_covered(path, whole, all).then(|| Skip::InWhole(whole.to_owned()))
    }
}

/// Whether `whole`, into which the object at `path` is linked, is one of `all` and no older.
pub(super) fn is_covered(path: &Path, whole: &Path, all: &FxHashSet<PathBuf>) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    absolute(path) != *whole && all.contains(whole) && time(whole) >= time(path)
}

/// A file that is no object of x86-64 kernel code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Foreign {
    /// An ELF file for the machine of this number.
    Machine(u16),
    /// An ELF file of 32 bits, for the machine of this number.
    Small(u16),
    /// LLVM's intermediate code.
    Bitcode,
    /// GCC's intermediate code without machine code.
    SlimLto,
    /// A collection of objects.
    Archive,
    /// A linked program.
    Executable,
    /// A shared library, or a program that can be loaded anywhere.
    SharedObject,
    /// A dump of a program's memory.
    Core,
}

/// `EM_X86_64`.
const X86_64: u16 = 62;

impl Foreign {
    /// What the file at `path` is by its first bytes; `None` for x86-64 objects and for what cannot be told so.
    pub fn of(path: &Path) -> Option<Foreign> {
        let mut head = [0; 20];
        files::open(path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
        Foreign::of_head(&head)
    }

    /// The same for the file's first bytes.
    pub fn of_head(head: &[u8; 20]) -> Option<Foreign> {
        match head {
            [0x7f, b'E', b'L', b'F', class, order, ..] => {
                // `e_type` and `e_machine` (gABI, "ELF Header").
                let half = |at: [u8; 2]| if *order == 2 { u16::from_be_bytes(at) } else { u16::from_le_bytes(at) };
                let (kind, machine) = (half([head[16], head[17]]), half([head[18], head[19]]));
                match (class, machine, kind) {
                    (2, X86_64, 1) => None,
                    (2, X86_64, 2) => Some(Foreign::Executable),
                    (2, X86_64, 3) => Some(Foreign::SharedObject),
                    (2, X86_64, 4) => Some(Foreign::Core),
                    (2, X86_64, _) => None,
                    (1, ..) => Some(Foreign::Small(machine)),
                    _ => Some(Foreign::Machine(machine)),
                }
            }
            [b'B', b'C', 0xc0, 0xde, ..] | [0xde, 0xc0, 0x17, 0x0b, ..] => Some(Foreign::Bitcode),
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => Some(Foreign::Archive),
            [b'!', b'<', b't', b'h', b'i', b'n', b'>', b'\n', ..] => Some(Foreign::Archive),
            _ => None,
        }
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        match self {
            Foreign::Machine(machine) => match machine_name(*machine) {
                Some(name) => format!("an object for {name}"),
                None => format!("an object for ELF machine {machine}"),
            },
            Foreign::Small(3 | X86_64) => "a 32-bit x86 object".to_owned(),
            Foreign::Small(machine) => match machine_name(*machine) {
                Some(name) => format!("a 32-bit object for {name}"),
                None => format!("a 32-bit object for ELF machine {machine}"),
            },
            Foreign::Bitcode => "LLVM bitcode, which has no machine code yet".to_owned(),
            Foreign::SlimLto => "GCC's intermediate code (slim LTO), which has no machine code yet".to_owned(),
            Foreign::Archive => "an archive; check its members".to_owned(),
            Foreign::Executable => "a linked executable, not an object".to_owned(),
            Foreign::SharedObject => "a shared object or position-independent executable, not an object".to_owned(),
            Foreign::Core => "a core dump".to_owned(),
        }
    }
}

/// Names of `e_machine` (gABI, "ELF Header"; the machines that Linux runs on, and BPF).
fn machine_name(machine: u16) -> Option<&'static str> {
    Some(match machine {
        3 => "32-bit x86",
        8 => "MIPS",
        15 => "PA-RISC",
        20 => "PowerPC",
        21 => "64-bit PowerPC",
        22 => "s390",
        40 => "Arm",
        42 => "SuperH",
        43 => "SPARC V9",
        183 => "arm64",
        188 => "MicroBlaze",
        190 => "CUDA",
        195 => "ARC",
        243 => "RISC-V",
        247 => "BPF",
        252 => "C-SKY",
        258 => "LoongArch",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(start: &[u8], kind: u8, machine: u16) -> [u8; 20] {
        let mut head = [0; 20];
        head[..start.len()].copy_from_slice(start);
        head[16] = kind;
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head
    }

    #[track_caller]
    fn check(head: [u8; 20], expect: Option<&str>) {
        assert_eq!(Foreign::of_head(&head).map(|what| what.words()).as_deref(), expect);
    }

    #[test]
    fn each_kind_of_file_has_its_name() {
        let elf64 = b"\x7fELF\x02\x01";
        check(head(elf64, 1, 62), None);
        check(head(elf64, 1, 183), Some("an object for arm64"));
        check(head(elf64, 1, 258), Some("an object for LoongArch"));
        check(head(elf64, 1, 247), Some("an object for BPF"));
        check(head(elf64, 1, 9999), Some("an object for ELF machine 9999"));
        check(head(elf64, 2, 62), Some("a linked executable, not an object"));
        check(head(elf64, 3, 62), Some("a shared object or position-independent executable, not an object"));
        check(head(b"\x7fELF\x01\x01", 1, 3), Some("a 32-bit x86 object"));
        check(head(b"\x7fELF\x01\x01", 1, 40), Some("a 32-bit object for Arm"));
        check(head(b"BC\xc0\xde", 0, 0), Some("LLVM bitcode, which has no machine code yet"));
        check(head(b"!<thin>\n", 0, 0), Some("an archive; check its members"));
        check([0; 20], None);
    }

    #[test]
    fn a_build_beside_the_sources_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("src/lib")).unwrap();
        std::fs::create_dir_all(folder.path().join("build/lib")).unwrap();
        std::fs::write(folder.path().join("build/lib/a.o"), "").unwrap();
        std::os::unix::fs::symlink("../src", folder.path().join("build/source")).unwrap();
        for named in ["src", "src/lib"] {
            let found = discover(&folder.path().join(named), &Search::default(), &|| false);
            assert_eq!(found.files, [folder.path().join("build/lib/a.o")], "{named}");
        }
    }

    #[test]
    fn objects_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.o", "d/b.o", "d/m.ko", "d/n.ko", "d/n.o", ".tmp.o", "c.c"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = objects(folder.path(), &|| false);
        let names: Vec<_> =
            found.files.iter().map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.o", "d/b.o", "d/m.ko", "d/n.o"]);
        assert!(found.unreadable.is_empty());
        assert_eq!(objects(&folder.path().join("none"), &|| false).unreadable.len(), 1);
        assert!(objects(folder.path(), &|| true).files.is_empty());
    }
}
