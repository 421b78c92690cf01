//! Writes a large file on a thread of its own, behind who puts its bytes together.
//!
//! In: a file, who writes into it.  Out: what that comes to.
//! Holds afterwards: the file has what was written, in order; or the first error is returned, the file's own before that of who
//! found the way to it closed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// A smaller file is written before a thread has started.
const WORTH_A_THREAD: u64 = 1 << 23;
/// How much is handed over at once, at least but for the end.
const PART: usize = 1 << 18;
/// So many parts may wait.
const WAITING: usize = 4;

/// Hands over what is written to it.
struct Sender(SyncSender<Vec<u8>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has `work` write about `size` bytes into the file.
pub(super) fn written<E: From<io::Error>>(
    mut file: &File,
    size: u64,
    work: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let all = |mut out: BufWriter<&mut dyn Write>| -> Result<(), E> {
        work(&mut out)?;
        Ok(out.flush()?)
    };
    if size < WORTH_A_THREAD {
        return all(BufWriter::with_capacity(1 << 16, &mut file));
    }
    let (sender, parts) = sync_channel::<Vec<u8>>(WAITING);
    thread::scope(|scope| {
        let writer = scope.spawn(move || parts.into_iter().try_for_each(|part| file.write_all(&part)));
        let mut sender = Sender(sender);
        let sent = all(BufWriter::with_capacity(PART, &mut sender));
        drop(sender);
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sent
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Seek};

    use super::*;

    /// Bytes that differ from place to place, written in pieces of all sizes.
    fn write_in_pieces(out: &mut dyn Write, n: usize) -> io::Result<Vec<u8>> {
        let bytes: Vec<u8> = (0..n).map(|at| (at % 251) as u8).collect();
        let mut rest = bytes.as_slice();
        for size in (0..20).map(|shift| 1 << shift).cycle() {
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            out.write_all(piece)?;
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        Ok(bytes)
    }

    #[test]
    fn small_and_large_files_have_what_was_written() {
        for size in [0, 1000, WORTH_A_THREAD] {
            let mut file = tempfile::tempfile().unwrap();
            let mut expected = Vec::new();
            written(&file, size, |out| -> io::Result<()> {
                expected = write_in_pieces(out, size as usize + 77)?;
                Ok(())
            })
            .unwrap();
            let mut found = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut found).unwrap();
            assert!(found == expected, "{size}");
        }
    }

    #[test]
    fn the_error_is_that_of_the_file() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        for size in [0, WORTH_A_THREAD] {
            let failed = written(&full, size, |out| write_in_pieces(out, 1 << 22).map(drop));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull, "{size}");
        }
    }

    #[test]
    fn who_writes_may_give_up() {
        for size in [0, WORTH_A_THREAD] {
            let file = tempfile::tempfile().unwrap();
            let failed = written(&file, size, |_| Err(io::Error::from(io::ErrorKind::InvalidData)));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
