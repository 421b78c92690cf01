//! ORC entries as bytes and as text.
//!
//! In: [`OrcEntry`], [`Rules`].  Out: six bytes, or a line of `objtool --dump=orc`.
//! Reads like: `struct orc_entry` in `arch/x86/include/asm/orc_types.h`, `tools/objtool/orc_dump.c`.

use std::fmt::Write as _;

use super::OrcEntry;
use crate::kernel::rules::{HintNumber, OrcLayout, OrcNumber, Rules};

/// Size of an entry in bytes.
pub const SIZE: usize = 6;

impl OrcEntry {
    /// The packed entry: two offsets, then registers, kind and flag in 16 bits.
    pub fn encode(&self, rules: &Rules) -> [u8; SIZE] {
        let flag_bit = match rules.layout.orc {
            OrcLayout::TypeAndEnd => 10,
            OrcLayout::TypeAndSignal => 11,
        };
        let bits = u16::from(self.sp_reg.0 & 15)
            | u16::from(self.bp_reg.0 & 15) << 4
            | u16::from(self.kind.0 & 7) << 8
            | u16::from(self.flag) << flag_bit;
        let (sp, bp, bits) = (self.sp_offset.to_le_bytes(), self.bp_offset.to_le_bytes(), bits.to_le_bytes());
        [sp[0], sp[1], bp[0], bp[1], bits[0], bits[1]]
    }

    /// The entry of six bytes.
    pub fn decode(bytes: [u8; SIZE], rules: &Rules) -> OrcEntry {
        let [a, b, c, d, e, f] = bytes;
        let bits = u16::from_le_bytes([e, f]);
        let (kind_mask, flag_bit) = match rules.layout.orc {
            OrcLayout::TypeAndEnd => (3, 10),
            OrcLayout::TypeAndSignal => (7, 11),
        };
        OrcEntry {
            sp_offset: i16::from_le_bytes([a, b]),
            bp_offset: i16::from_le_bytes([c, d]),
            sp_reg: OrcNumber((bits & 15) as u8),
            bp_reg: OrcNumber((bits >> 4 & 15) as u8),
            kind: HintNumber((bits >> 8 & kind_mask) as u8),
            flag: bits >> flag_bit & 1 != 0,
        }
    }

    /// What `objtool --dump=orc` prints behind the place and its colon.
    pub fn text(&self, rules: &Rules) -> String {
        let mut out = String::new();
        self.write_text(&mut out, rules);
        out
    }

    /// See [`OrcEntry::text`].
    pub fn write_text(&self, out: &mut String, rules: &Rules) {
        let (sp, bp) = ((self.sp_reg, self.sp_offset), (self.bp_reg, self.bp_offset));
        let flag = u8::from(self.flag);
        if rules.layout.orc == OrcLayout::TypeAndEnd {
            out.push_str(" sp:");
            write_register(out, sp, rules);
            out.push_str(" bp:");
            write_register(out, bp, rules);
            let kind = ["call", "regs", "regs (partial)"].get(usize::from(self.kind.0)).copied().unwrap_or("?");
            let _ = write!(out, " type:{kind} end:{flag}");
        } else {
            let kinds = ["(und)", "end", "call", "regs", "regs (partial)"];
            let _ = write!(out, "type:{} sp:", kinds.get(usize::from(self.kind.0)).copied().unwrap_or("?"));
            write_register(out, sp, rules);
            out.push_str(" bp:");
            write_register(out, bp, rules);
            let _ = write!(out, " signal:{flag}");
        }
    }
}

fn write_register(out: &mut String, (register, offset): (OrcNumber, i16), rules: &Rules) {
    let regs = rules.layout.orc_regs;
    let name = match register {
        OrcNumber(0) => {
            out.push_str("(und)");
            return;
        }
        r if r == regs.bp_indirect => {
            let _ = write!(out, "(bp{offset:+})");
            return;
        }
        r if r == regs.sp_indirect => "(sp)",
        r if r == regs.prev_sp => "prevsp",
        r if r == regs.dx => "dx",
        r if r == regs.di => "di",
        r if r == regs.bp => "bp",
        r if r == regs.sp => "sp",
        r if r == regs.r10 => "r10",
        r if r == regs.r13 => "r13",
        r if Some(r) == regs.ax => "ax",
        _ => "?",
    };
    let _ = write!(out, "{name}{offset:+}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::Kernel;

    fn entries(kernel: Kernel) -> impl Strategy<Value = OrcEntry> {
        let kinds = if kernel.rules().layout.orc == OrcLayout::TypeAndEnd { 4u8 } else { 8 };
        (any::<i16>(), any::<i16>(), 0..16u8, 0..16u8, 0..kinds, any::<bool>()).prop_map(
            |(sp_offset, bp_offset, sp, bp, kind, flag)| OrcEntry {
                sp_offset,
                bp_offset,
                sp_reg: OrcNumber(sp),
                bp_reg: OrcNumber(bp),
                kind: HintNumber(kind),
                flag,
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_survives_its_bytes(
            (kernel, entry) in proptest::sample::select(&Kernel::ALL[..]).prop_flat_map(|k| (Just(k), entries(k)))
        ) {
            let rules = kernel.rules();
            prop_assert_eq!(OrcEntry::decode(entry.encode(rules), rules), entry);
        }
    }
}
