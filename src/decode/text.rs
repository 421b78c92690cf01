//! Writes an instruction as GNU as does, with the names that its relocations stand for.
//!
//! In: [`ElfImage`], [`InsnTable`].  Out: AT&T text such as `call foo` or `mov $.rodata+0x10,%rdi`.
//! Holds afterwards: nothing in the analysis hangs on this text; bytes that the disassembler does not know, or that
//! objtool divides otherwise, are `(bad)`.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, OpKind, SymbolResolver, SymbolResult};

use super::encoding::EMULATE_PREFIXES;
use super::{InsnTable, bytes};
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::image::{ElfImage, Reloc, RelocKind};

/// The instruction as text. For many instructions make a [`Disassembler`].
pub fn text(image: &ElfImage, insns: &InsnTable, id: InsnId) -> String {
    Disassembler::new(image).text(insns, id)
}

/// Writes the instructions of one object.
pub struct Disassembler<'i> {
    image: &'i ElfImage,
    /// Named places in code, by section and offset.
    names: Vec<(CodeLoc, SymbolId)>,
}

impl<'i> Disassembler<'i> {
    /// Collects the names of the object's code.
    pub fn new(image: &'i ElfImage) -> Self {
        let mut names: Vec<_> = image
            .symbols()
            .filter(|&(id, s)| {
                !s.is_section() && image.section(s.section).is_code() && !image.symbol_name(id).is_empty()
            })
            .map(|(id, s)| (CodeLoc::new(s.section, s.value), id))
            .collect();
        // Functions behind other symbols of the same place: the last one is found.
        names.sort_by_key(|&(at, id)| (at, image.symbol(id).is_function()));
        Disassembler { image, names }
    }

    /// The instruction as text.
    pub fn text(&self, insns: &InsnTable, id: InsnId) -> String {
        let at = insns.loc(id);
        let mut code = bytes(self.image, insns, id);
        let mut start = at.offset;
        let mut out = String::new();
        if let Some(prefix) = EMULATE_PREFIXES.iter().find(|prefix| code.starts_with(&prefix[..])) {
            out.push_str(if prefix[2] == b'x' { "{xen} " } else { "{kvm} " });
            code = code.get(prefix.len()..).unwrap_or(&[]);
            start += prefix.len() as u64;
        }
        let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
        let insn = decoder.decode();
        if insn.is_invalid() || insn.len() != code.len() {
            return "(bad)".to_owned();
        }
        let fields = decoder.get_constant_offsets(&insn);
        let named = |present: bool, field: usize| {
            let reloc = self.image.section(at.section).relocs.at(start + field as u64).filter(|_| present)?;
            Some(self.relocated(&reloc, insn.next_ip()))
        };
        let mut names = Names {
            displacement: named(fields.has_displacement(), fields.displacement_offset()),
            immediate: named(fields.has_immediate(), fields.immediate_offset()),
        };
        if names.immediate.is_none() && insn.op0_kind() == OpKind::NearBranch64 {
            names.immediate = Some(self.place(CodeLoc::new(at.section, insn.near_branch_target())));
        }
        let mut formatter = GasFormatter::with_options(Some(Box::new(names)), None);
        let options = formatter.options_mut();
        options.set_rip_relative_addresses(true);
        options.set_hex_prefix("0x");
        options.set_hex_suffix("");
        options.set_uppercase_hex(false);
        options.set_small_hex_numbers_in_decimal(false);
        formatter.format(&insn, &mut out);
        out
    }

    /// What the relocation of a field of the instruction that ends at `end` stands for.
    fn relocated(&self, reloc: &Reloc, end: u64) -> String {
        /// Relative to the field itself.
        const RELATIVE: [RelocKind; 8] = [
            RelocKind::PC32,
            RelocKind::GOTPCREL,
            RelocKind::PLT32,
            RelocKind::PC16,
            RelocKind::PC8,
            RelocKind::PC64,
            RelocKind::GOTPCRELX,
            RelocKind::REX_GOTPCRELX,
        ];
        let mut offset = reloc.addend;
        if RELATIVE.contains(&reloc.kind) {
            offset = offset.wrapping_add(end.wrapping_sub(reloc.offset) as i64);
        }
        let symbol = self.image.symbol(reloc.symbol);
        match u64::try_from(offset) {
            Ok(offset) if symbol.is_section() => self.place(CodeLoc::new(symbol.section, offset)),
            _ => plus(self.image.symbol_name(reloc.symbol), offset),
        }
    }

    /// A place as `symbol+0x10`, with the section's name where no symbol covers it.
    fn place(&self, at: CodeLoc) -> String {
        let behind = self.names.partition_point(|&(start, _)| start <= at);
        let nearest = behind.checked_sub(1).and_then(|i| self.names.get(i));
        let covering = nearest.filter(|&&(start, id)| {
            let size = self.image.symbol(id).size;
            start.section == at.section && (size == 0 || at.offset - start.offset < size)
        });
        match covering {
            Some(&(start, id)) => plus(self.image.symbol_name(id), (at.offset - start.offset) as i64),
            None => plus(&self.image.section(at.section).name, at.offset as i64),
        }
    }
}

fn plus(name: &str, offset: i64) -> String {
    match offset {
        0 => name.to_owned(),
        1.. => format!("{name}+{offset:#x}"),
        _ => format!("{name}-{:#x}", offset.unsigned_abs()),
    }
}

/// The names of an instruction's fields.
struct Names {
    displacement: Option<String>,
    immediate: Option<String>,
}

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        insn: &Instruction,
        _operand: u32,
        operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        let name = match insn.op_kind(operand?) {
            OpKind::Memory => self.displacement.as_deref(),
            _ => self.immediate.as_deref(),
        }?;
        Some(SymbolResult::with_str(address, name))
    }
}
