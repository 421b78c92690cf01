//! Tells which instructions lie in functions, for the one instruction whose effect hangs on it.
//!
//! In: the symbols of a section.  Out: [`Holders`].
//! Holds afterwards: a lookup costs a binary search, however many symbols overlap.

use std::collections::BTreeSet;

use super::profile::Profile;
use crate::ids::SectionId;
use crate::image::ElfImage;

/// Where functions are in a section, judged by the symbol that objtool finds when it asks what contains an address.
pub(super) struct Holders {
    /// Offsets from which on the answer is another one, ascending.
    changes: Vec<(u64, bool)>,
}

impl Holders {
    /// Sweeps over the symbols of `section`.
    ///
    /// Of several that contain an address, objtool takes the first in the order of offsets and symbol indexes; where
    /// the release says so, the smallest instead.
    pub(super) fn new(image: &ElfImage, section: SectionId, profile: &Profile) -> Holders {
        let mut edges = Vec::new();
        for (id, symbol) in image.symbols().filter(|(_, s)| s.section == section && !s.is_section() && s.size != 0) {
            let size = if profile.smallest_symbol { symbol.size } else { 0 };
            let key = (size, symbol.value, id, symbol.is_function());
            edges.push((symbol.value, true, key));
            edges.push((symbol.value.saturating_add(symbol.size), false, key));
        }
        edges.sort_unstable();
        let mut open = BTreeSet::new();
        let mut changes: Vec<(u64, bool)> = Vec::new();
        for (offset, opens, key) in edges {
            if opens {
                open.insert(key);
            } else {
                open.remove(&key);
            }
            let in_function = open.first().is_some_and(|&(.., is_function)| is_function);
            changes.pop_if(|&mut (last, _)| last == offset);
            changes.push((offset, in_function));
        }
        Holders { changes }
    }

    /// Whether the byte at `offset` lies in a function.
    pub(super) fn in_function(&self, offset: u64) -> bool {
        let behind = self.changes.partition_point(|&(start, _)| start <= offset);
        behind.checked_sub(1).and_then(|i| self.changes.get(i)).is_some_and(|&(_, in_function)| in_function)
    }
}
