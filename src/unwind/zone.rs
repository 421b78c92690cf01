//! What a leaf stores below rsp, and what is written over it.
//!
//! In: stores, pushes and calls.  Out: [`Zone`].
//! Holds afterwards: an entry was stored below rsp on every path; it counts as overwritten where that is so on some path.
//! Reads like: psABI §3.2.2 (the red zone: 128 bytes below rsp that signal handlers leave alone; pushes and calls do not).

use super::value::{Base, Place, RED_ZONE};

/// Something that was stored below rsp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    /// Where.
    pub place: Place,
    /// How many bytes.
    pub size: i32,
    /// The instruction that stored it.
    pub stored: u32,
    /// The one that wrote over it.
    pub over: Option<u32>,
}

/// All that was stored below rsp and not stored anew.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Zone {
    kept: Vec<Kept>,
}

/// The red zone has room for so many words of four bytes.
const MOST: usize = 32;

impl Kept {
    fn overlaps(&self, place: Place, size: i32) -> bool {
        self.place.base == place.base
            && self.place.offset < place.offset.saturating_add(size)
            && place.offset < self.place.offset.saturating_add(self.size)
    }
}

impl Zone {
    /// Becomes another one, in the memory that it has.
    pub(super) fn become_as(&mut self, other: &Zone) {
        self.kept.clone_from(&other.kept);
    }

    /// A store of `size` bytes.
    pub(super) fn store(&mut self, place: Option<Place>, size: u16, rsp: Option<Place>, insn: u32) {
        let (Some(place), Some(rsp)) = (place, rsp) else { return };
        let size = i32::from(size);
        if !self.kept.is_empty() {
            self.kept.retain(|kept| !kept.overlaps(place, size));
        }
        let is_below =
            place.base == rsp.base && (rsp.offset.saturating_sub(RED_ZONE)..rsp.offset).contains(&place.offset);
        if is_below && self.kept.len() < MOST {
            self.kept.push(Kept { place, size, stored: insn, over: None });
        }
    }

    /// An instruction writes over the `size` bytes below rsp.
    pub(super) fn overwrite(&mut self, rsp: Place, size: i32, insn: u32) {
        let Some(place) = rsp.moved(-size) else { return };
        for kept in self.kept.iter_mut().filter(|kept| kept.overlaps(place, size)) {
            kept.over = kept.over.or(Some(insn));
        }
    }

    /// Forgets what counts from a base.
    pub(super) fn forget(&mut self, base: Base) {
        self.kept.retain(|kept| kept.place.base != base);
    }

    /// What is left where another path comes in. Whether anything changed.
    pub(super) fn meet(&mut self, other: &Zone) -> bool {
        if self.kept.is_empty() || self.kept == other.kept {
            return false;
        }
        let before = self.kept.clone();
        self.kept.retain_mut(|kept| {
            let same = |other: &&Kept| (other.place, other.size) == (kept.place, kept.size);
            let Some(other) = other.kept.iter().find(same) else { return false };
            kept.stored = kept.stored.min(other.stored);
            kept.over = match (kept.over, other.over) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, other) => one.or(other),
            };
            true
        });
        self.kept != before
    }

    /// Whether anything was written over.
    pub(super) fn is_damaged(&self) -> bool {
        self.kept.iter().any(|kept| kept.over.is_some())
    }

    /// What was written over and lies below rsp where these bytes are read.
    pub(super) fn lost(&self, place: Place, size: i32, rsp: Place) -> Option<Kept> {
        let below = |kept: &&Kept| kept.place.base == rsp.base && kept.place.offset < rsp.offset;
        self.kept.iter().filter(below).find(|kept| kept.over.is_some() && kept.overlaps(place, size)).copied()
    }
}
