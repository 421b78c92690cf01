//! Opens and reads files that others have put there, and tells when they are others than before.
//!
//! In: a path, and how much is expected.  Out: bytes of a regular file; a [`Stamp`].
//! Holds afterwards: nothing but a regular file was read, however the path is spelled and whatever links are on it: a pipe
//! blocks nobody, a device gives no endless bytes, and standard input stays the protocol's. No more than the limit is in
//! memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// A line of the build system's: a recipe, a release.
pub const LINE: u64 = 2 << 20;
/// A file of the build system's: a recipe with what it depends on, a list of a module's objects.
pub const RECIPE: u64 = 4 << 20;
/// A source text.
pub const SOURCE: u64 = 64 << 20;
/// A compilation database, a baseline, a build's output.
pub const TABLE: u64 = 256 << 20;

/// What tells that a file is another one than before: device, inode, size, when it was written and when it was put there.
/// Who writes to a file, or puts another one in its place, changes it: the last time is the file system's own, which nobody
/// can set back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stamp(u64, u64, u64, i64, i64, i64, i64);

impl Stamp {
    /// The stamp of a file that is there.
    pub fn of(path: &Path) -> Option<Stamp> {
        let meta = std::fs::metadata(path).ok()?;
        let (changed, written) = ((meta.ctime(), meta.ctime_nsec()), (meta.mtime(), meta.mtime_nsec()));
        Some(Stamp(meta.dev(), meta.ino(), meta.size(), written.0, written.1, changed.0, changed.1))
    }
}

/// Opens a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_sized(path).map(|(file, _)| file)
}

/// The same, and its size.
pub fn open_sized(path: &Path) -> io::Result<(File, u64)> {
    // Opening some devices does something, so that they are looked at before; they are looked at again when they are open,
    // since another file may be there by then.
    check(&std::fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let meta = file.metadata()?;
    check(&meta)?;
    Ok((file, meta.len()))
}

fn check(meta: &std::fs::Metadata) -> io::Result<()> {
    match meta.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// All of a regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open_sized(path)?;
    let mut bytes = Vec::with_capacity(size.min(limit) as usize);
    // What a file says of its size is not always what it has: it may grow, or be in /proc.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", limit >> 20))),
        false => Ok(bytes),
    }
}

/// The same as text; bytes that are no UTF-8 are replaced.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read(path, limit)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "0123456789").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        assert_eq!(read(&at("link"), 10).unwrap(), b"0123456789");
        assert_eq!(read(&at("file"), 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        for (name, target) in [("zero", "/dev/zero"), ("input", "/dev/stdin"), ("folder", "."), ("self", "self")] {
            std::os::unix::fs::symlink(target, at(name)).unwrap();
            assert!(read(&at(name), 10).is_err() || name == "input", "{name}");
        }
        let pipe = at("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(read(&pipe, 10).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_that_hides_its_size_is_cut_all_the_same() {
        assert!(read(Path::new("/proc/self/status"), 1 << 16).is_ok_and(|text| !text.is_empty()));
        assert!(read(Path::new("/proc/self/status"), 10).is_err());
    }
}
