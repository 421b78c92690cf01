//! The programs that a compiler consists of.
//!
//! In: a compiler.  Out: [`Toolchain`]: the files that it needs to run in order to make an object.
//! Holds afterwards: each is a file by its real path; a compiler was asked once for where it keeps them, with no argument
//! and no environment of a workspace.
//! Reads like: gcc(1), `-print-search-dirs`; elf(5), `PT_INTERP`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::super::Limits;
use super::super::process::{self, Outcome};
use super::super::program::search_path;
use crate::cancel::CancelToken;
use crate::files;

/// What the drivers start on the way from a text to an object.
const PARTS: [&str; 5] = ["cc1", "cc1plus", "as", "collect2", "clang"];
/// Where a system keeps its programs. A compiler that is a script may need any of them.
const SYSTEM: [&str; 10] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/opt", "/nix/store", "/gnu/store", "/snap"];
/// `PT_INTERP` (gABI, "Program Header").
const PT_INTERP: u64 = 3;
/// Program headers that are looked at.
const MAX_SEGMENTS: u64 = 256;
/// Bytes of a loader's path.
const MAX_NAME: u64 = 4096;
/// How much of a program tells whether it is one for the processor.
const HEAD: u64 = 4;
const LIMITS: Limits = Limits { time: Duration::from_secs(10), memory: 4 << 30, file: 1 << 20 };

/// The programs of a compiler.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Toolchain {
    /// Their files, and folders of which every file may be needed.
    pub programs: Vec<PathBuf>,
    /// The compiler is a script.
    pub is_script: bool,
}

/// Which file was asked, as it was then.
type Key = (PathBuf, u64, u64, i64);

impl Toolchain {
    /// The toolchain of the compiler in this file. It is asked once for as long as the file stays the same.
    pub fn of(program: &Path, cancel: &CancelToken) -> Arc<Toolchain> {
        static KNOWN: LazyLock<Mutex<HashMap<Key, Arc<Toolchain>>>> = LazyLock::new(Mutex::default);
        let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let meta = fs::metadata(&real).map(|meta| (meta.dev(), meta.ino(), meta.ctime()));
        let (device, inode, changed) = meta.unwrap_or_default();
        let key = (program.to_owned(), device, inode, changed);
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(toolchain) = known().get(&key) {
            return Arc::clone(toolchain);
        }
        let toolchain = Arc::new(Toolchain::ask(program, &real, cancel));
        if !cancel.is_cancelled() {
            known().insert(key, Arc::clone(&toolchain));
        }
        toolchain
    }

    /// A program that starts no other, unless it is a script.
    pub fn alone(program: &Path) -> Toolchain {
        let Ok(real) = program.canonicalize() else { return Toolchain::default() };
        let is_script = is_script(&real);
        let mut programs: Vec<PathBuf> = [loader(&real), Some(real)].into_iter().flatten().collect();
        if is_script {
            programs.extend(SYSTEM.map(PathBuf::from));
        }
        Toolchain { programs, is_script }
    }

    fn ask(program: &Path, real: &Path, cancel: &CancelToken) -> Toolchain {
        let mut programs = vec![real.to_owned()];
        if is_script(real) {
            programs.extend(SYSTEM.map(PathBuf::from));
            return Toolchain { programs, is_script: true };
        }
        let folders = search_folders(program, cancel);
        for part in PARTS {
            // A driver takes the first that it finds, and `PATH` comes last.
            let found = folders.iter().map(|folder| folder.join(part)).find(|path| path.is_file());
            programs.extend(found.and_then(|path| path.canonicalize().ok()));
        }
        let loaders: Vec<PathBuf> = programs.iter().filter_map(|path| loader(path)).collect();
        programs.extend(loaders);
        programs.sort();
        programs.dedup();
        Toolchain { programs, is_script: false }
    }
}

/// Where the compiler looks for its parts.
fn search_folders(program: &Path, cancel: &CancelToken) -> Vec<PathBuf> {
    let mut command = Command::new(program);
    command.arg("-print-search-dirs").env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command.envs(std::env::join_paths(search_path()).ok().map(|path| ("PATH", path)));
    let words = match process::output(command, LIMITS, cancel) {
        Ok((Outcome::Ended(status, _), words)) if status.success() => words,
        _ => String::new(),
    };
    let named = words.lines().find_map(|line| line.strip_prefix("programs: ="));
    let named = named.into_iter().flat_map(|list| list.split(':')).map(PathBuf::from);
    named.filter(|folder| folder.is_absolute()).chain(search_path()).collect()
}

fn is_script(path: &Path) -> bool {
    head(path).is_none_or(|bytes| !bytes.starts_with(b"\x7fELF"))
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(HEAD).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The loader that a program of this machine names. Its name and the table that leads to it may lie anywhere in the file: tools
/// that change it append it.
fn loader(path: &Path) -> Option<PathBuf> {
    let file = files::open(path).ok()?;
    let read = |at: u64, n: usize| {
        let mut bytes = vec![0; n];
        file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
    };
    let number = |bytes: &[u8], at: usize, n: usize| {
        let bytes = bytes.get(at..at.checked_add(n)?)?;
        Some(bytes.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    // Of 64 bits, the low byte first: `e_phoff`, `e_phentsize`, `e_phnum`; `p_type`, `p_offset`, `p_filesz`.
    let header = read(0, 64)?;
    if header.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, n) = (number(&header, 32, 8)?, number(&header, 54, 2)?, number(&header, 56, 2)?);
    let entry = (0..n.min(MAX_SEGMENTS))
        .filter_map(|i| read(table.checked_add(size * i)?, 56))
        .find(|entry| number(entry, 0, 4) == Some(PT_INTERP))?;
    let (start, length) = (number(&entry, 8, 8)?, number(&entry, 32, 8)?);
    let name = read(start, usize::try_from(length.min(MAX_NAME)).ok()?)?;
    let name = name.split(|&byte| byte == 0).next()?;
    PathBuf::from(std::str::from_utf8(name).ok()?).canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_loaders_are_found_by_their_real_paths() {
        let Some(gcc) = search_path().into_iter().map(|folder| folder.join("gcc")).find(|path| path.is_file()) else {
            return;
        };
        if is_script(&gcc) {
            return;
        }
        let toolchain = Toolchain::of(&gcc, &CancelToken::default());
        let names: Vec<_> = toolchain.programs.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert!(names.contains(&"cc1"), "{names:?}");
        assert!(names.iter().any(|name| name.ends_with("as")), "{names:?}");
        assert!(names.iter().any(|name| name.starts_with("ld")), "{names:?}");
        assert!(toolchain.programs.iter().all(|path| path.canonicalize().is_ok_and(|real| real == *path)));
        let again = Toolchain::of(&gcc, &CancelToken::default());
        assert!(Arc::ptr_eq(&toolchain, &again));
    }

    #[test]
    fn a_script_needs_programs_of_the_system() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = folder.path().join("gcc");
        fs::write(&script, "#!/bin/sh\nexec gcc \"$@\"\n").expect("a file");
        let toolchain = Toolchain::of(&script, &CancelToken::default());
        assert!(toolchain.programs.contains(&PathBuf::from("/usr")));
        assert_eq!(loader(&script), None);
    }
}
