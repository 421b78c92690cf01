//! Where the written object goes.
//!
//! In: bytes, and ranges of the object that stay as they are.  Out: what an [`Out`] makes of them.
//! Holds afterwards: of a large object only some is in memory at a time.

use std::io;

use crate::image::Store;

/// How much is copied at once: a multiple of the sizes of relocations.
pub(super) const CHUNK: u64 = 48 << 14;

/// Takes an object's bytes, in order.
pub trait Out {
    /// Takes bytes.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes bytes that nobody else needs.
    fn put_owned(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.put(&bytes)
    }

    /// Takes a range of the object that is read.
    fn copy(&mut self, store: &dyn Store, offset: u64, size: u64) -> io::Result<()> {
        self.copy_through_memory(store, offset, size)
    }

    /// The same, some of it at a time.
    fn copy_through_memory(&mut self, store: &dyn Store, offset: u64, size: u64) -> io::Result<()> {
        parts(offset, size).try_for_each(|(at, n)| self.put_owned(store.read(at, n)?))
    }
}

impl<W: io::Write> Out for W {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }
}

/// A range in parts of at most [`CHUNK`] bytes: where each starts, and how long it is. One beyond all addresses ends there.
pub(super) fn parts(offset: u64, size: u64) -> impl Iterator<Item = (u64, u64)> {
    let starts = (0..size).step_by(CHUNK as usize);
    starts.map(move |done| (offset.saturating_add(done), CHUNK.min(size - done)))
}
