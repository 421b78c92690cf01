//! Functions that have no row and move the stack.
//!
//! In: [`ElfImage`], [`Tables`].  Out: [`Bare`].
//! Holds afterwards: only functions in sections of which other code is described, so that somebody meant to describe them.

use iced_x86::{Decoder, DecoderOptions, Mnemonic, Register};

use super::relocated::place_of;
use super::table::Tables;
use crate::ids::{CodeLoc, SymbolId};
use crate::image::ElfImage;

/// A function without a row.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    /// Where it starts.
    pub at: CodeLoc,
    /// Its symbol.
    pub function: SymbolId,
    /// The instruction that moves the stack.
    pub moves: CodeLoc,
    /// How many instructions it has.
    pub instructions: usize,
}

/// Longer functions are not searched to their end.
const MOST_BYTES: u64 = 1 << 20;

/// The functions that move the stack and have no row.
pub(super) fn find(image: &ElfImage, tables: &Tables) -> Vec<Bare> {
    let mut found = Vec::new();
    for (id, symbol) in image.symbols().filter(|(_, symbol)| symbol.is_function() && symbol.size > 0) {
        let Some(at) = place_of(image, symbol) else { continue };
        let described = |start: u64, end: u64| {
            let of_section = tables.fdes.iter().filter(|fde| fde.section == at.section);
            of_section.map(|fde| (u64::from(fde.start), u64::from(fde.end))).any(|(from, to)| from < end && start < to)
        };
        let end = at.offset.saturating_add(symbol.size.min(MOST_BYTES));
        if !described(0, u64::MAX) || described(at.offset, end) {
            continue;
        }
        let code = &image.section(at.section).code;
        let range = usize::try_from(at.offset).ok().zip(usize::try_from(end).ok());
        let Some(bytes) = range.and_then(|(start, end)| code.get(start..end.min(code.len()))) else { continue };
        let (mut moves, mut instructions) = (None, 0);
        for insn in Decoder::with_ip(64, bytes, at.offset, DecoderOptions::NONE) {
            instructions += 1;
            let explicit = matches!(insn.mnemonic(), Mnemonic::Sub | Mnemonic::Lea | Mnemonic::And)
                && insn.op0_register() == Register::RSP;
            if explicit || matches!(insn.mnemonic(), Mnemonic::Push | Mnemonic::Pushfq | Mnemonic::Enter) {
                moves = moves.or(Some(insn.ip()));
            }
        }
        if let Some(moves) = moves {
            found.push(Bare { at, function: id, moves: CodeLoc::new(at.section, moves), instructions });
        }
    }
    found.sort_by_key(|bare| bare.at);
    found
}
