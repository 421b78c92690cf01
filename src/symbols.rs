//! Symbols as the chosen release's objtool sees them: order, aliases, parents of cold parts, look-up by address and name.
//!
//! In: [`ElfImage`], [`Rules`].  Out: [`Symbols`].
//! Holds afterwards: every look-up answers what the release's own table would, ties included.
//! Reads like: `tools/objtool/elf.c`, symbol reading and look-up.

mod lookup;
mod names;
mod offsets;

use crate::findings::Fault;
use crate::ids::{SectionId, SymbolId};
use crate::image::{ElfImage, STB_GLOBAL, STB_LOCAL, STT_FILE, STT_FUNC, STT_NOTYPE, STT_SECTION};
use crate::kernel::rules::Rules;
use lookup::AddressMap;
use names::{Names, is_cold};

/// Of the symbols of one name so many are looked at for a cold part's parent. A whole kernel has some hundred of a name.
const MOST_NAMESAKES: usize = 1 << 12;

/// What a symbol's name tells about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traits {
    /// A static call trampoline.
    pub static_call_tramp: bool,
    /// A retpoline thunk.
    pub retpoline_thunk: bool,
    /// A return thunk.
    pub return_thunk: bool,
    /// An instruction inside another one.
    pub embedded_insn: bool,
    /// `__fentry__`
    pub fentry: bool,
    /// A function that profiles its caller.
    pub profiling: bool,
    /// A `.L` label.
    pub local_label: bool,
    /// May run with user access open.
    pub uaccess_safe: bool,
    /// Annotated as without kernel CFI.
    pub nocfi: bool,
    /// Not to be validated (7.3; earlier releases mark instructions).
    pub ignore: bool,
}

/// The symbols of an object, by the release's rules.
#[derive(Clone, Debug)]
pub struct Symbols {
    /// By symbol: its type, cold parts forced to functions where the release does so.
    kinds: Vec<u8>,
    /// By symbol: its size, without a cold part at its end.
    sizes: Vec<u64>,
    aliases: Vec<u32>,
    parents: Vec<u32>,
    children: Vec<u32>,
    traits: Vec<Traits>,
    /// By section: the symbols in list order.
    lists: Vec<Vec<SymbolId>>,
    maps: Vec<AddressMap>,
    names: Names,
    resolve_alias: bool,
    zero_size_found: bool,
}

impl Symbols {
    /// Builds the tables. The faults are those of cold parts whose parent can not be found.
    pub fn new(image: &ElfImage, rules: &Rules) -> (Symbols, Vec<Fault>) {
        let n = image.symbols.len();
        let mut symbols = Symbols {
            kinds: image.symbols.iter().map(|s| s.kind).collect(),
            sizes: image.symbols.iter().map(|s| s.size).collect(),
            aliases: (0..n as u32).collect(),
            parents: vec![0; n],
            children: vec![0; n],
            traits: vec![Traits::default(); n],
            lists: vec![Vec::new(); image.sections.len()],
            maps: Vec::new(),
            names: Names::new(image),
            resolve_alias: rules.symbols.lookup_resolves_alias,
            zero_size_found: rules.symbols.zero_size_found,
        };
        let by_address = lookup::by_address(image, rules);
        for ids in &by_address {
            symbols.find_aliases(image, ids, rules);
        }
        for (section, ids) in by_address.iter().enumerate() {
            symbols.lists[section] = lookup::list_order(image, ids, rules);
        }
        symbols.maps = by_address.iter().map(|ids| AddressMap::new(image, ids, rules)).collect();
        let faults = symbols.link_cold_parts(image, rules);
        symbols.classify(image, rules);
        (symbols, faults)
    }

    /// `STT_*`, cold parts forced to functions where the release does so.
    pub fn kind(&self, id: SymbolId) -> u8 {
        self.kinds.get(id.index()).copied().unwrap_or(STT_NOTYPE)
    }

    /// Whether the symbol is a function.
    pub fn is_function(&self, id: SymbolId) -> bool {
        self.kind(id) == STT_FUNC
    }

    /// Size in bytes, without a cold part at its end.
    pub fn size(&self, id: SymbolId) -> u64 {
        self.sizes.get(id.index()).copied().unwrap_or(0)
    }

    /// The canonical one of the symbols at the same place.
    pub fn alias(&self, id: SymbolId) -> SymbolId {
        self.aliases.get(id.index()).copied().map_or(id, SymbolId)
    }

    /// Whether another symbol stands for this one.
    pub fn is_alias(&self, id: SymbolId) -> bool {
        self.alias(id) != id
    }

    /// The function that a cold part belongs to; a function itself otherwise. `None` for what is no function.
    pub fn parent(&self, id: SymbolId) -> Option<SymbolId> {
        self.parents.get(id.index()).copied().filter(|&p| p != 0).map(SymbolId)
    }

    /// The cold part of a function; the function itself when it has none.
    pub fn child(&self, id: SymbolId) -> Option<SymbolId> {
        self.children.get(id.index()).copied().filter(|&p| p != 0).map(SymbolId)
    }

    /// Makes `cold` the cold part of `parent`.
    pub(crate) fn link(&mut self, parent: SymbolId, cold: SymbolId) {
        if let (Some(p), Some(c)) = (self.children.get_mut(parent.index()), self.parents.get_mut(cold.index())) {
            *p = cold.0;
            *c = parent.0;
        }
    }

    /// What the name tells.
    pub fn traits(&self, id: SymbolId) -> Traits {
        self.traits.get(id.index()).copied().unwrap_or_default()
    }

    /// Changes what is known about a symbol.
    pub(crate) fn mark(&mut self, id: SymbolId, change: impl FnOnce(&mut Traits)) {
        if let Some(traits) = self.traits.get_mut(id.index()) {
            change(traits);
        }
    }

    /// The symbols of a section in list order: the order in which they are owners and in which functions are followed.
    pub fn of_section(&self, section: SectionId) -> &[SymbolId] {
        self.lists.get(section.index()).map_or(&[], Vec::as_slice)
    }

    /// The symbol of this name; the last one of several.
    pub fn by_name(&self, image: &ElfImage, name: &str) -> Option<SymbolId> {
        self.names.all(image, name).next_back()
    }

    fn resolve(&self, id: Option<SymbolId>) -> Option<SymbolId> {
        if self.resolve_alias { id.map(|id| self.alias(id)) } else { id }
    }

    fn map(&self, section: SectionId) -> Option<&AddressMap> {
        self.maps.get(section.index())
    }

    /// The function that starts at the offset.
    pub fn function_at(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        let found = self.map(section)?.first_at(offset, self).0;
        self.resolve(found)
    }

    /// The symbol, not a section symbol, that starts at the offset.
    pub fn symbol_at(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        let found = self.map(section)?.first_at(offset, self).1;
        self.resolve(found)
    }

    /// The function whose range has the offset.
    pub fn function_containing(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        self.resolve(self.map(section)?.function_containing(offset, self))
    }

    /// The symbol, not a section symbol, whose range has the offset.
    pub fn symbol_containing(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        self.resolve(self.map(section)?.symbol_containing(offset, self))
    }

    /// How far the hole between symbols that the offset lies in reaches: 0 for no hole, `None` for up to the end.
    pub fn hole(&self, section: SectionId, offset: u64, rules: &Rules) -> Option<u64> {
        match self.map(section) {
            Some(map) => map.hole(offset, &self.sizes, rules.symbols.hole_before_first_symbol),
            None => Some(0),
        }
    }

    /// See [`Symbols::alias`]. Of the symbols of the same place, type and size the last one in the table stands for all, or
    /// of the same place and size the first one.
    fn find_aliases(&mut self, image: &ElfImage, by_address: &[(u64, SymbolId)], rules: &Rules) {
        for alike in by_address.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            let symbols = alike.iter().map(|&(_, id)| (id, image.symbol(id)));
            let eligible =
                symbols.filter(
                    |(_, symbol)| {
                        if rules.symbols.zero_size_found { !symbol.is_undefined() } else { symbol.size != 0 }
                    },
                );
            let first_of_any_type = rules.symbols.first_of_any_type_is_canonical;
            let kind = |symbol: &crate::image::Symbol| if first_of_any_type { STT_NOTYPE } else { symbol.kind };
            let mut alike: Vec<_> = eligible.map(|(id, symbol)| (kind(symbol), symbol.size, id.0)).collect();
            alike.sort_unstable();
            for same in alike.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
                let canonical = if first_of_any_type { same[0].2 } else { same[same.len() - 1].2 };
                for &(.., id) in same {
                    self.aliases[id as usize] = canonical;
                }
            }
        }
    }

    fn link_cold_parts(&mut self, image: &ElfImage, rules: &Rules) -> Vec<Fault> {
        let mut faults = Vec::new();
        for id in 1..self.kinds.len() {
            if rules.symbols.cold_forces_function || self.kinds[id] == STT_FUNC {
                (self.parents[id], self.children[id]) = (id as u32, id as u32);
            }
        }
        let order: Vec<SymbolId> = if rules.symbols.cold_forces_function {
            image.symbols().map(|(id, _)| id).collect()
        } else {
            self.lists.iter().flatten().copied().collect()
        };
        let order: Vec<SymbolId> = order.into_iter().filter(|&id| is_cold(image.symbol_name(id))).collect();
        let files: Vec<SymbolId> = match rules.symbols.cold_forces_function && !order.is_empty() {
            true => image.symbols().filter(|(_, symbol)| symbol.kind == STT_FILE).map(|(id, _)| id).collect(),
            false => Vec::new(),
        };
        for id in order {
            let name = image.symbol_name(id);
            let Some(at) = name.find(".cold") else { continue };
            let eligible = if rules.symbols.cold_forces_function {
                self.kind(id) != STT_SECTION && !name.starts_with(".klp.sym")
            } else {
                self.is_function(id)
            };
            if !eligible {
                continue;
            }
            let parent_name = &name[..at];
            if let Some(limit) = rules.symbols.parent_name_limit
                && parent_name.len() > limit as usize
            {
                faults.push(Fault::ParentNameTooLong { symbol: id, limit });
                continue;
            }
            let parent = if rules.symbols.cold_forces_function {
                self.kinds[id.index()] = STT_FUNC;
                self.parent_by_file(image, id, parent_name, &files)
            } else {
                self.by_name(image, parent_name)
            };
            let Some(parent) = parent else {
                faults.push(Fault::NoParentFunction { symbol: id });
                continue;
            };
            self.adopt(image, id, parent, rules);
        }
        faults
    }

    fn adopt(&mut self, image: &ElfImage, cold: SymbolId, parent: SymbolId, rules: &Rules) {
        self.children[parent.index()] = cold.0;
        let canonical = self.alias(parent);
        if rules.symbols.cold_forces_function {
            self.children[canonical.index()] = cold.0;
            self.parents[cold.index()] = canonical.0;
        } else {
            self.parents[cold.index()] = parent.0;
        }
        let (c, p) = (image.symbol(cold), image.symbol(parent));
        let end = |s: &crate::image::Symbol, size: u64| s.value.saturating_add(size);
        if c.section == p.section && c.value >= p.value && end(c, self.size(cold)) == end(p, self.size(parent)) {
            self.sizes[parent.index()] = self.size(parent).saturating_sub(self.size(cold));
        }
    }

    /// A local symbol of the same source file comes first, then one that is not local.
    fn parent_by_file(&self, image: &ElfImage, cold: SymbolId, name: &str, files: &[SymbolId]) -> Option<SymbolId> {
        let file_of = |id: SymbolId| files.partition_point(|&file| file < id);
        let is_local = |id: &SymbolId| image.symbol(*id).binding == STB_LOCAL;
        let candidates = || self.names.all(image, name).rev().take(MOST_NAMESAKES);
        let near = candidates().find(|id| is_local(id) && file_of(*id) == file_of(cold) && *id < cold);
        // A stripped module has no file symbols left, but its symbols still stand file by file, parents first.
        let same_file = if files.is_empty() && image.is_finished_module() { near } else { None };
        same_file
            .or_else(|| candidates().find(|id| is_local(id) && file_of(*id) == file_of(cold)))
            .or_else(|| candidates().find(|id| !is_local(id)))
    }

    fn classify(&mut self, image: &ElfImage, rules: &Rules) {
        for (id, symbol) in image.symbols() {
            let may_be_label = rules.symbols.local_labels && self.kind(id) == STT_NOTYPE;
            if !may_be_label && symbol.binding != STB_GLOBAL {
                continue;
            }
            let name = image.symbol_name(id);
            let traits = &mut self.traits[id.index()];
            traits.local_label = may_be_label && name.starts_with(".L");
            if symbol.binding == STB_GLOBAL {
                let plain =
                    if rules.symbols.wide_thunk_names { name.strip_prefix("__pi_").unwrap_or(name) } else { name };
                traits.static_call_tramp = name.starts_with("__SCT__");
                traits.retpoline_thunk = plain.starts_with("__x86_indirect_");
                traits.return_thunk = plain == "__x86_return_thunk";
                traits.embedded_insn = matches!(name, "retbleed_return_thunk" | "srso_safe_ret")
                    || (rules.symbols.srso_alias_embedded && name == "srso_alias_safe_ret");
                traits.fentry = name == "__fentry__";
                traits.profiling = name.starts_with("__sanitizer_cov_")
                    || (rules.symbols.tsan_is_profiling
                        && (name.starts_with("__tsan_func_") || name == "__tsan_atomic_signal_fence"));
            }
        }
    }
}
