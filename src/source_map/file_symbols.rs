//! The source file that the symbol table names for code without a line.
//!
//! In: the symbols.  Out: [`FileSymbols`].
//! Holds afterwards: the choice is that of binutils (`_bfd_elf_find_function`; behaviour only).
//! Reads like: System V gABI, "Symbol Types": a file symbol precedes the local symbols of its file.

use std::sync::Arc;

use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, STB_LOCAL, STT_FILE, STT_FUNC, STT_NOTYPE};

/// Files by the symbols that were read behind their names.
pub(super) struct FileSymbols {
    /// Where a symbol begins, and its file; ascending.
    starts: Vec<(SectionId, u64, Option<Arc<str>>)>,
}

impl FileSymbols {
    /// Reads the symbols of code sections.
    pub(super) fn read(image: &ElfImage) -> FileSymbols {
        let mut starts = Vec::new();
        let mut file: Option<Arc<str>> = None;
        // Of several files only the last is known when the global symbols come, and it need not be theirs.
        let (mut named_early, mut symbols_before) = (true, false);
        for (id, symbol) in image.symbols() {
            if symbol.kind == STT_FILE {
                file = Some(image.symbol_name(id).into());
                named_early = !symbols_before;
                continue;
            }
            symbols_before = true;
            let may_be_code = symbol.kind == STT_FUNC || symbol.kind == STT_NOTYPE;
            if may_be_code && image.section(symbol.section).is_code() {
                let known = symbol.binding == STB_LOCAL || named_early;
                starts.push((symbol.section, symbol.value, file.clone().filter(|_| known)));
            }
        }
        starts.sort_by_key(|&(section, value, _)| (section, value));
        FileSymbols { starts }
    }

    /// The file of the symbol that begins last before `at`, or at it.
    pub(super) fn at(&self, at: CodeLoc) -> Option<Arc<str>> {
        let behind = self.starts.partition_point(|&(section, value, _)| (section, value) <= (at.section, at.offset));
        let (section, _, file) = self.starts.get(behind.checked_sub(1)?)?;
        file.clone().filter(|_| *section == at.section)
    }
}
