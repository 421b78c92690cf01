//! The table that a jump goes by, where the instructions before it show which.
//!
//! In: [`Code`].  Out: by jump, where its table starts and how wide its entries are.
//! Holds afterwards: nothing but these instructions leads to the jump; its table is no guess.
//! Reads like: what GCC, Clang and others make of a switch.
//!
//! | case | code |
//! |---|---|
//! | 1 | `jmp *T(, %i, 8)`, or the same address loaded first |
//! | 2 | `lea T(%rip), %b; jmp *(%b, %i, 8)`, or loaded first |
//! | 3 | `lea T(%rip), %b; movslq (%b, %i, 4), %e; add %b, %e; jmp *%e`, or with the sum in `%b` |

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use rustc_hash::FxHashMap;

use super::code::{Code, Target, referred};
use super::op::{Flow, number};
use super::relocated::Addresses;
use super::value::Reg;
use crate::ids::CodeLoc;
use crate::image::ElfImage;

/// So many instructions before a jump are looked at.
const NEAR: usize = 24;

/// A table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Table {
    /// Where it starts.
    pub start: CodeLoc,
    /// Whether its entries are distances of four bytes from its start; else addresses of eight.
    pub relative: bool,
}

/// What is looked for, going back from the jump.
#[derive(Clone, Copy)]
enum Wanted {
    /// What the register jumped to was loaded by, or added up from.
    Target(Reg),
    /// One of these is an entry, the other the table's address.
    Sum(Reg, Reg),
    /// The table's address.
    Base { reg: Reg, relative: bool },
}

/// The tables of all jumps that show theirs.
pub(super) fn tables(image: &ElfImage, addresses: &Addresses, code: &Code, taken: &[u32]) -> FxHashMap<u32, Table> {
    let jumps = (0u32..).zip(&code.insns).filter(|(_, insn)| insn.flow == Flow::JumpIndirect);
    let jumps: Vec<u32> = jumps.map(|(at, _)| at).collect();
    let mut found = FxHashMap::default();
    if jumps.is_empty() {
        return found;
    }
    let mut led_to = vec![false; code.insns.len()];
    let targets = code.insns.iter().filter_map(|insn| match insn.target {
        Target::Insn(target) => Some(target),
        Target::None | Target::Place(_) | Target::Symbol(_) => None,
    });
    for target in targets.chain(taken.iter().copied()) {
        if let Some(led_to) = led_to.get_mut(target as usize) {
            *led_to = true;
        }
    }
    for jump in jumps {
        let mut search = Search { image, addresses, code, led_to: &led_to };
        if let Some(table) = search.table_of(jump) {
            found.insert(jump, table);
        }
    }
    found
}

struct Search<'a> {
    image: &'a ElfImage,
    addresses: &'a Addresses,
    code: &'a Code,
    led_to: &'a [bool],
}

impl Search<'_> {
    fn decoded(&self, at: u32) -> Option<Instruction> {
        let insn = self.code.get(at)?;
        let code = &self.image.section(insn.section).code;
        let bytes = code.get(insn.offset as usize..insn.end() as usize)?;
        Some(Decoder::with_ip(64, bytes, u64::from(insn.offset), DecoderOptions::NONE).decode())
    }

    /// What the instruction refers to.
    fn refers(&self, at: u32, decoded: &Instruction) -> Option<CodeLoc> {
        let section = self.code.get(at)?.section;
        let reloc = self.image.section(section).relocs.first_in(decoded.ip() + 1, decoded.next_ip());
        referred(self.image, self.addresses, decoded, section, reloc)
    }

    fn table_of(&mut self, jump: u32) -> Option<Table> {
        let decoded = self.decoded(jump)?;
        let mut wanted = match decoded.op0_kind() {
            OpKind::Register => Wanted::Target(number(decoded.op0_register())?),
            OpKind::Memory => match self.entry(jump, &decoded, 8)? {
                Ok(table) => return Some(table),
                Err(wanted) => wanted,
            },
            _ => return None,
        };
        let mut here = jump;
        for _ in 0..NEAR {
            if self.led_to.get(here as usize) != Some(&false) {
                return None;
            }
            let before = here.checked_sub(1)?;
            let insn = self.code.get(before)?;
            let falls = matches!(insn.flow, Flow::Next | Flow::JumpIf { .. });
            if insn.next != here || !falls || Some(insn.fde) != self.code.get(jump).map(|jump| jump.fde) {
                return None;
            }
            wanted = match self.step(before, wanted)? {
                Ok(table) => return Some(table),
                Err(wanted) => wanted,
            };
            here = before;
        }
        None
    }

    /// Goes back over an instruction: the table, or what is wanted before it. `None`: it is something else.
    fn step(&self, at: u32, wanted: Wanted) -> Option<Result<Table, Wanted>> {
        let writes = self.code.get(at)?.op.overwritten();
        let is_written = |reg: Reg| writes & 1u16.checked_shl(u32::from(reg)).unwrap_or(0) != 0;
        let touched = match wanted {
            Wanted::Target(reg) | Wanted::Base { reg, .. } => is_written(reg),
            Wanted::Sum(one, other) => is_written(one) || is_written(other),
        };
        if !touched {
            return Some(Err(wanted));
        }
        let decoded = self.decoded(at)?;
        let to = number(decoded.op0_register()).filter(|_| decoded.op0_kind() == OpKind::Register)?;
        match (wanted, decoded.mnemonic()) {
            (Wanted::Target(_), Mnemonic::Add) if decoded.op1_kind() == OpKind::Register => {
                Some(Err(Wanted::Sum(to, number(decoded.op1_register())?)))
            }
            (Wanted::Target(_), Mnemonic::Mov) if decoded.op1_kind() == OpKind::Memory => self.entry(at, &decoded, 8),
            (Wanted::Sum(one, other), Mnemonic::Movsxd) if decoded.op1_kind() == OpKind::Memory => {
                let base = if to == one { other } else { one };
                let found = self.entry(at, &decoded, 4)?;
                found.is_err_and(|wanted| matches!(wanted, Wanted::Base { reg, .. } if reg == base)).then_some(found)
            }
            (Wanted::Base { relative, .. }, Mnemonic::Lea) if decoded.is_ip_rel_memory_operand() => {
                Some(Ok(Table { start: self.refers(at, &decoded)?, relative }))
            }
            _ => None,
        }
    }

    /// What loads an entry of a table: the table, or the register that has its address.
    fn entry(&self, at: u32, decoded: &Instruction, size: u32) -> Option<Result<Table, Wanted>> {
        if decoded.memory_index_scale() != size || decoded.memory_index() == Register::None {
            return None;
        }
        let relative = size == 4;
        match number(decoded.memory_base()) {
            Some(reg) if decoded.memory_displacement64() == 0 => Some(Err(Wanted::Base { reg, relative })),
            None if decoded.memory_base() == Register::None && !relative => {
                Some(Ok(Table { start: self.refers(at, decoded)?, relative }))
            }
            _ => None,
        }
    }
}
