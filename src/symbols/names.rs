//! Look-up of symbols by name.
//!
//! In: all symbols.  Out: [`Names`].
//! Holds afterwards: symbols of one name are in the order of the symbol table.

use std::hash::{Hash, Hasher};

use crate::ids::SymbolId;
use crate::image::ElfImage;

/// The symbols by the hashes of their names.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<(u32, SymbolId)>);

fn hash_of(name: &str) -> u32 {
    let mut hasher = rustc_hash::FxHasher::default();
    name.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

impl Names {
    /// Takes down all symbols of an object.
    pub(super) fn new(image: &ElfImage) -> Names {
        let mut names: Vec<_> = image.symbols().map(|(id, _)| (hash_of(image.symbol_name(id)), id)).collect();
        names.sort_unstable();
        // Names with one hash are nearly always the same name. Where somebody has made others, a look-up must not pass over
        // all of them.
        for alike in names.chunk_by_mut(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            alike.sort_by_key(|&(_, id)| (image.symbol_name(id), id));
        }
        Names(names)
    }

    /// The symbols of this name.
    pub(super) fn all(
        &self,
        image: &ElfImage,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = SymbolId> + ExactSizeIterator + use<'_> {
        let hash = hash_of(name);
        let first = self.0.partition_point(|&(other, _)| other < hash);
        let alike = self.0[first..].partition_point(|&(other, _)| other == hash);
        let alike = &self.0[first..first + alike];
        let start = alike.partition_point(|&(_, id)| image.symbol_name(id) < name);
        let n = alike[start..].partition_point(|&(_, id)| image.symbol_name(id) == name);
        alike[start..start + n].iter().map(|&(_, id)| id)
    }
}

/// Whether the name is that of a function's cold part.
pub(super) fn is_cold(name: &str) -> bool {
    // Most names have no dot at all.
    name.as_bytes().contains(&b'.') && name.contains(".cold")
}
