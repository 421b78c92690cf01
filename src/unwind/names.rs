//! Which function a place belongs to.
//!
//! In: the symbols of an object.  Out: [`Names`].

use rustc_hash::FxHashMap;

use super::relocated::place_of;
use crate::ids::{CodeLoc, SymbolId};
use crate::image::{ElfImage, STT_FUNC};

/// Which function a place belongs to.
pub struct Names {
    /// Start, end, name's order, symbol; ascending.
    functions: Vec<(CodeLoc, u64, SymbolId)>,
    /// Where functions start.
    typed: FxHashMap<SymbolId, CodeLoc>,
}

impl Names {
    /// The functions of an object.
    pub fn of(image: &ElfImage) -> Names {
        let wanted = |kind: u8| kind == STT_FUNC || kind == 10;
        let mut functions: Vec<(CodeLoc, u64, SymbolId)> = image
            .symbols()
            .filter(|&(id, symbol)| {
                let code = !symbol.is_undefined() && image.section(symbol.section).is_code();
                code && (wanted(symbol.kind) || symbol.kind == 0) && !image.symbol_name(id).is_empty()
            })
            .filter_map(|(id, symbol)| {
                let at = place_of(image, symbol)?;
                Some((at, at.offset.saturating_add(symbol.size), id))
            })
            .collect();
        // Of several at one place the shortest is found, and of these the first by name.
        functions.sort_by(|a, b| {
            (a.0, std::cmp::Reverse(a.1))
                .cmp(&(b.0, std::cmp::Reverse(b.1)))
                .then_with(|| image.symbol_name(b.2).cmp(image.symbol_name(a.2)))
        });
        functions.retain(|&(start, end, id)| end > start.offset || !image.symbol_name(id).starts_with(".L"));
        let typed = image.symbols().filter(|(_, symbol)| symbol.is_function());
        let typed = typed.filter_map(|(id, symbol)| Some((id, place_of(image, symbol)?))).collect();
        Names { functions, typed }
    }

    /// Whether a symbol of a function starts at the place.
    pub fn is_typed_start(&self, id: SymbolId, at: CodeLoc) -> bool {
        self.typed.get(&id) == Some(&at)
    }

    /// The function that a place is in.
    pub fn at(&self, at: CodeLoc) -> Option<SymbolId> {
        let upto = self.functions.partition_point(|&(start, ..)| start <= at);
        let before = self.functions.get(..upto)?.iter().rev().take_while(|(start, ..)| start.section == at.section);
        let mut open = None;
        for &(start, end, id) in before.take(64) {
            if at.offset < end {
                return Some(id);
            }
            if end == start.offset && open.is_none() {
                open = Some(id);
            }
        }
        open
    }
}
