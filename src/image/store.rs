//! Where an object's bytes come from.
//!
//! In: a file or a buffer.  Out: byte ranges, copied.
//! Holds afterwards: nothing is mapped. A build may rewrite the file at any time; a read then returns other bytes or an
//! error, and nothing worse.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::files;

/// Bytes that can be read in ranges.
pub trait Store: Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// A copy of `size` bytes from `offset`. An error when the range is not inside.
    fn read(&self, offset: u64, size: u64) -> io::Result<Vec<u8>>;

    /// The file that has the bytes, for who copies them to another one.
    fn file(&self) -> Option<&File> {
        None
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "range outside the file")
}

/// Refuses a range that does not lie within `total` bytes, before memory is asked for.
fn check(offset: u64, size: u64, total: u64) -> io::Result<()> {
    match offset.checked_add(size) {
        Some(end) if end <= total => Ok(()),
        _ => Err(outside()),
    }
}

impl Store for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        check(offset, size, self.len() as u64)?;
        Ok(self[offset as usize..(offset + size) as usize].to_vec())
    }
}

/// An open file.
#[derive(Debug)]
pub struct FileStore {
    file: File,
    size: u64,
}

impl FileStore {
    /// Opens `path`. Anything but a regular file is refused, so that a pipe can not block the analysis.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, size) = files::open_sized(path)?;
        Ok(FileStore { file, size })
    }
}

impl Store for FileStore {
    fn size(&self) -> u64 {
        self.size
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn read(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        check(offset, size, self.size)?;
        // Not filled with zeros first, which costs as much as reading.
        let mut bytes = Vec::with_capacity(size as usize);
        while (bytes.len() as u64) < size {
            let next = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), next) {
                Ok(0) => return Err(outside()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // There may be room for more than was asked for.
        bytes.truncate(size as usize);
        Ok(bytes)
    }
}
