//! Tells two objects apart by what is judged of them, whenever and wherever they were written.
//!
//! In: an [`ElfImage`] and the file that it was read from.  Out: a [`Digest`].
//! Holds afterwards: objects with the same digest have the same headers, symbols, relocations and contents, but for debug
//! information, which no verdict depends on, and the places of sections in the file.

use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128;

use super::{Allowance, ElfImage, LoadError, SHT_NOBITS, Store, read_range};

/// A sum (XXH3, 128 bits) of what an object consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Digest(u64, u64);

impl ElfImage {
    /// The digest of the object that this was read from, which is in `store`.
    pub fn digest(&self, store: &dyn Store) -> Result<Digest, LoadError> {
        let mut sum = xxhash3_128::Hasher::new();
        let mut left = Allowance::of("the sections", store);
        sum.write(&self.kind.to_le_bytes());
        for (_, section) in self.sections() {
            sum.write(&(section.name.len() as u64).to_le_bytes());
            sum.write(section.name.as_bytes());
            if is_debug(&section.name) {
                continue;
            }
            for value in [section.kind, section.link, section.info] {
                sum.write(&value.to_le_bytes());
            }
            for value in [section.flags, section.addr, section.size, section.align, section.entsize] {
                sum.write(&value.to_le_bytes());
            }
            if section.is_code() && section.size == section.code.len() as u64 {
                sum.write(&section.code);
            } else if section.kind != SHT_NOBITS {
                left.take(section.size)?;
                let name = || format!("section {}", section.name);
                sum.write(&read_range(store, section.file_offset, section.size, name)?);
            }
        }
        let sum = sum.finish_128();
        Ok(Digest((sum >> 64) as u64, sum as u64))
    }
}

fn is_debug(name: &str) -> bool {
    name.strip_prefix(".rela").unwrap_or(name).starts_with(".debug_")
}
