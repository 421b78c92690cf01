//! Which registers and which memory an instruction reads and writes.
//!
//! In: an instruction.  Out: [`Usage`]; for what people are told, no verdict hangs on it.
//! Holds afterwards: an instruction that the disassembler does not know uses nothing, and says that it is unknown.

use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, OpAccess, Register};

use super::{InsnTable, bytes};
use crate::cfi::Base;
use crate::ids::InsnId;
use crate::image::ElfImage;

/// A memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// The register that the address counts from.
    pub base: Option<Base>,
    /// Whether another register is added.
    pub indexed: bool,
    /// What is added.
    pub displacement: i64,
    /// Whether it is read.
    pub read: bool,
    /// Whether it is written.
    pub written: bool,
}

/// What an instruction uses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    reads: u16,
    writes: u16,
    /// Memory, that of `push` and `pop` included.
    pub memory: Vec<Access>,
    /// It repeats over memory in the direction that the direction flag says.
    pub string: bool,
    /// The disassembler does not know it.
    pub unknown: bool,
}

impl Usage {
    /// Looks at an instruction.
    pub fn of(image: &ElfImage, insns: &InsnTable, id: InsnId) -> Usage {
        Usage::of_bytes(bytes(image, insns, id))
    }

    fn of_bytes(code: &[u8]) -> Usage {
        let insn = Decoder::new(64, code, DecoderOptions::NONE).decode();
        let mut usage = Usage { unknown: insn.is_invalid() || insn.len() != code.len(), ..Usage::default() };
        if usage.unknown {
            return usage;
        }
        usage.string = insn.is_string_instruction();
        let mut factory = InstructionInfoFactory::new();
        let info = factory.info(&insn);
        let is_read = |access| {
            matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
        };
        let is_written = |access| {
            matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
        };
        for used in info.used_registers() {
            let Some(bit) = number(used.register()).map(|base| 1u16 << base.0) else { continue };
            usage.reads |= if is_read(used.access()) { bit } else { 0 };
            usage.writes |= if is_written(used.access()) { bit } else { 0 };
        }
        usage.memory.extend(info.used_memory().iter().map(|used| Access {
            base: number(used.base()),
            indexed: used.index() != Register::None,
            displacement: used.displacement() as i64,
            read: is_read(used.access()),
            written: is_written(used.access()),
        }));
        usage
    }

    /// Whether it reads a part of the register.
    pub fn reads(&self, register: Base) -> bool {
        has(self.reads, register)
    }

    /// Whether it writes a part of the register.
    pub fn writes(&self, register: Base) -> bool {
        has(self.writes, register)
    }
}

fn has(bits: u16, register: Base) -> bool {
    u32::try_from(register.0).is_ok_and(|number| number < 16 && bits & (1 << number) != 0)
}

/// The general register that a register is a part of.
fn number(register: Register) -> Option<Base> {
    let full = register.full_register();
    full.is_gpr64().then(|| u8::try_from(full.number()).ok().map(Base::reg)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_told_by_their_whole() {
        // movzbl %al,%ebp
        let usage = Usage::of_bytes(&[0x0f, 0xb6, 0xe8]);
        assert!(usage.writes(Base::BP) && usage.reads(Base::AX) && !usage.reads(Base::BP));
    }

    #[test]
    fn memory_is_told_by_base_and_displacement() {
        // mov -8(%rsi),%rbx
        let usage = Usage::of_bytes(&[0x48, 0x8b, 0x5e, 0xf8]);
        let access = Access { base: Some(Base::SI), indexed: false, displacement: -8, read: true, written: false };
        assert_eq!((usage.memory.as_slice(), usage.writes(Base::BX)), (&[access][..], true));
    }
}
