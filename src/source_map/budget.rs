//! How much work and memory an object's debug info may cost.
//!
//! In: the size of the object.  Out: [`Budget`], which everything that is read or kept is taken from.
//! Holds afterwards: both are a small multiple of the size, whatever refers to what. DWARF lets any number of units, names
//! and lists refer to the same bytes; in what a compiler writes each has bytes of its own.

use std::sync::atomic::{AtomicU64, Ordering};

/// Every object may cost this much work; a unit of it is a byte or an entry that is looked at.
const BASE_WORK: u64 = 16 << 20;
/// Work for each byte of the object. What compilers write takes about one.
const WORK_PER_BYTE: u64 = 32;
/// Every object may have this many bytes kept of its debug info.
const BASE_ROOM: u64 = 8 << 20;
/// Bytes kept for each byte of the object.
const ROOM_PER_BYTE: u64 = 8;
/// No name is longer: of a function's the rest is not shown, a file's is none.
pub(super) const LONGEST_NAME: usize = 4096;

/// The debug info asks for more than its size justifies.
#[derive(Clone, Copy, Debug)]
pub struct Spent;

/// What is left of work and of room.
#[derive(Debug)]
pub(super) struct Budget {
    work: AtomicU64,
    room: AtomicU64,
}

impl Budget {
    /// For an object of this many bytes.
    pub(super) fn of(size: u64) -> Budget {
        Budget {
            work: AtomicU64::new(size.saturating_mul(WORK_PER_BYTE).saturating_add(BASE_WORK)),
            room: AtomicU64::new(size.saturating_mul(ROOM_PER_BYTE).saturating_add(BASE_ROOM)),
        }
    }

    /// Takes so much work.
    pub(super) fn work(&self, n: usize) -> Result<(), Spent> {
        take(&self.work, n)
    }

    /// Takes room for so many bytes.
    pub(super) fn room(&self, n: usize) -> Result<(), Spent> {
        take(&self.room, n)
    }

    /// How many bytes there is room for.
    pub(super) fn room_left(&self) -> u64 {
        self.room.load(Ordering::Relaxed)
    }

    /// Whether something was left out.
    pub(super) fn is_spent(&self) -> bool {
        self.work.load(Ordering::Relaxed) == 0 || self.room.load(Ordering::Relaxed) == 0
    }
}

/// What is not there in full is not there at all from then on.
fn take(left: &AtomicU64, n: usize) -> Result<(), Spent> {
    let n = n as u64;
    let mut before = left.load(Ordering::Relaxed);
    while let Err(now) =
        left.compare_exchange_weak(before, before.saturating_sub(n), Ordering::Relaxed, Ordering::Relaxed)
    {
        before = now;
    }
    if before >= n && before != 0 { Ok(()) } else { Err(Spent) }
}
