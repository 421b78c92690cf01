//! An object for user space, with what its unwind table says and what its code makes true.
//!
//! In: an object.  Out: [`Tables`], read when somebody asks.
//! Holds afterwards: an object that cannot be read any more has no rows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use crate::build::normal;
use crate::cancel::CancelToken;
use crate::image::{ElfImage, Store};
use crate::source_map::Lines;
use crate::unwind::{self, Bare, Side};

/// Instructions by the name of their file and their line, as positions in the sides.
type ByLine = BTreeMap<(Arc<str>, u32), Vec<usize>>;

/// An object and its table.
pub struct Tables {
    /// The object.
    pub image: ElfImage,
    /// Functions that have none.
    pub bare: Vec<Bare>,
    store: Arc<dyn Store>,
    lines: Lines,
    read: OnceLock<(Vec<Side>, ByLine)>,
}

impl Tables {
    /// Those of an object that was judged.
    pub fn new(image: ElfImage, store: Arc<dyn Store>, lines: Lines, bare: Vec<Bare>) -> Tables {
        Tables { image, bare, store, lines, read: OnceLock::new() }
    }

    fn read(&self) -> &(Vec<Side>, ByLine) {
        self.read.get_or_init(|| {
            let sides = unwind::sides(self.store.as_ref(), &self.image, &CancelToken::default()).unwrap_or_default();
            let mut by_line = ByLine::new();
            if let Ok(map) = self.lines.map(&self.image) {
                for (at, side) in sides.iter().enumerate() {
                    if let Some((file, line)) = map.place(side.at).and_then(|place| Some((place.file, place.line?))) {
                        by_line.entry((file, line)).or_default().push(at);
                    }
                }
            }
            (sides, by_line)
        })
    }

    /// Every instruction that has a row.
    pub fn sides(&self) -> &[Side] {
        &self.read().0
    }

    /// The instructions of a file, by line; files of the debug information are relative to the folder.
    pub fn lines_of(&self, path: &Path, directory: &Path) -> Vec<(u32, &[usize])> {
        let mut known: Option<(&Arc<str>, bool)> = None;
        let mut found = Vec::new();
        for ((file, line), insns) in &self.read().1 {
            let is_it = match known {
                Some((name, is_it)) if name == file => is_it,
                _ => {
                    let full: PathBuf = normal(&directory.join(&**file));
                    full == path || crate::compile::real_path(&full) == crate::compile::real_path(path)
                }
            };
            known = Some((file, is_it));
            if is_it {
                found.push((*line, insns.as_slice()));
            }
        }
        found
    }

    /// The object's file and line of each instruction that has them, by its position in the sides.
    pub fn places(&self) -> FxHashMap<usize, (&Arc<str>, u32)> {
        let by_line = self.read().1.iter();
        by_line.flat_map(|((file, line), insns)| insns.iter().map(move |&at| (at, (file, *line)))).collect()
    }

    /// The line of a function without a row.
    pub fn line_of(&self, bare: &Bare) -> Option<(Arc<str>, u32)> {
        let place = self.lines.map(&self.image).ok()?.place(bare.at)?;
        Some((place.file, place.line?))
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}
