//! Writes a large file on a thread of its own, behind who puts its bytes together.
//!
//! In: a file, who writes into it.  Out: what that comes to.
//! Holds afterwards: the file has what was written, in order; or an error is returned, the file's own if it has one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use rustix::io::Errno;

use crate::image::Store;
use crate::write::Out;

/// A smaller file is written before a thread has started.
const WORTH_A_THREAD: u64 = 1 << 23;
/// How much is handed over at once, at least but for the end.
const PART: usize = 1 << 20;
/// So many parts may wait.
const WAITING: usize = 4;

/// What the thread is to append.
enum Part {
    Bytes(Vec<u8>),
    /// A range of the file that is read.
    Range(u64, u64),
}

/// Collects bytes and hands them over. Ranges of the file that is read need not come by here.
struct Sender {
    parts: SyncSender<Part>,
    bytes: Vec<u8>,
}

impl Sender {
    fn send(&self, part: Part) -> io::Result<()> {
        self.parts.send(part).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() { Ok(()) } else { self.send(Part::Bytes(bytes)) }
    }
}

impl Out for Sender {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() < PART { Ok(()) } else { self.flush() }
    }

    fn put_owned(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if bytes.len() < PART / 2 {
            return self.put(&bytes);
        }
        self.flush()?;
        self.send(Part::Bytes(bytes))
    }

    fn copy(&mut self, store: &dyn Store, offset: u64, size: u64) -> io::Result<()> {
        if store.file().is_some() && size >= PART as u64 {
            self.flush()?;
            self.send(Part::Range(offset, size))
        } else {
            self.copy_through_memory(store, offset, size)
        }
    }
}

/// Has `work` write an object about as large as the one in `store` into the file.
pub(super) fn written<E: From<io::Error>>(
    mut file: &File,
    store: &dyn Store,
    work: impl FnOnce(&mut dyn Out) -> Result<(), E>,
) -> Result<(), E> {
    if store.size() < WORTH_A_THREAD {
        let mut out = BufWriter::with_capacity(1 << 16, &mut file);
        work(&mut out)?;
        return Ok(out.flush()?);
    }
    let (sender, parts) = sync_channel(WAITING);
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            parts.into_iter().try_for_each(|part| match part {
                Part::Bytes(bytes) => file.write_all(&bytes),
                Part::Range(offset, size) => append(file, store, offset, size),
            })
        });
        let mut sender = Sender { parts: sender, bytes: Vec::new() };
        let sent = work(&mut sender).and_then(|()| Ok(sender.flush()?));
        drop(sender);
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sent
    })
}

/// Appends a range of the file that is read; where the file system cannot do that by itself, by way of our memory.
fn append(mut file: &File, store: &dyn Store, mut offset: u64, mut size: u64) -> io::Result<()> {
    while size > 0 {
        let from = store.file().ok_or(io::ErrorKind::Unsupported)?;
        let at_once = usize::try_from(size).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut offset), file, None, at_once) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => size = size.saturating_sub(n as u64),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return file.copy_through_memory(store, offset, size);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Seek};
    use std::path::Path;

    use super::*;
    use crate::image::FileStore;

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|at| (at % 251) as u8).collect()
    }

    /// The bytes of `from`, in pieces of all sizes, some of them copied.
    fn write_in_pieces(out: &mut dyn Out, from: &dyn Store) -> io::Result<()> {
        let mut at = 0;
        for piece in (0..22).map(|shift| 1u64 << shift).cycle() {
            let n = piece.min(from.size() - at);
            if piece.trailing_zeros() % 2 == 0 {
                out.put(&from.read(at, n)?)?
            } else {
                out.copy(from, at, n)?
            }
            at += n;
            if at == from.size() {
                break;
            }
        }
        Ok(())
    }

    #[test]
    fn small_and_large_files_have_what_was_written() {
        for size in [0, 1000, WORTH_A_THREAD + 77] {
            let expected = bytes(size as usize);
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("a.o"), &expected).unwrap();
            let stores: [Box<dyn Store>; 2] =
                [Box::new(expected.clone()), Box::new(FileStore::open(&folder.path().join("a.o")).unwrap())];
            for store in stores {
                // In the same file system, and in another one where there is one.
                let others = [folder.path(), Path::new("/dev/shm")].into_iter().filter(|other| other.is_dir());
                for mut file in others.map(|other| tempfile::tempfile_in(other).unwrap()) {
                    written(&file, store.as_ref(), |out| write_in_pieces(out, store.as_ref())).unwrap();
                    let mut found = Vec::new();
                    file.rewind().unwrap();
                    file.read_to_end(&mut found).unwrap();
                    assert!(found == expected, "{size}");
                }
            }
        }
    }

    #[test]
    fn the_error_is_that_of_the_file() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        for size in [1 << 20, WORTH_A_THREAD] {
            let store = bytes(size as usize);
            let failed = written(&full, &store, |out| write_in_pieces(out, &store));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull, "{size}");
        }
    }

    #[test]
    fn who_writes_may_give_up() {
        for size in [0, WORTH_A_THREAD] {
            let file = tempfile::tempfile().unwrap();
            let failed = written(&file, &bytes(size as usize), |_| Err(io::Error::from(io::ErrorKind::InvalidData)));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_file_that_got_shorter_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.o");
        fs::write(&path, bytes(WORTH_A_THREAD as usize)).unwrap();
        let store = FileStore::open(&path).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
        let file = tempfile::tempfile_in(folder.path()).unwrap();
        let failed = written(&file, &store, |out| out.copy(&store, 0, WORTH_A_THREAD));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
