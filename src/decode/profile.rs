//! What the decoder asks of a release.
//!
//! In: [`Rules`].  Out: their [`Profile`].
//! Holds afterwards: no other module of the decoder looks at the release.
//!
//! The facts are those of `arch/x86/lib/insn.c` and `tools/objtool/arch/x86/decode.c` in the trees that
//! [`Kernel`] names.

use super::Kind;
use crate::kernel::Kernel;
use crate::kernel::opcodes::Opcodes;
use crate::kernel::rules::Rules;

/// How a tree decodes.
pub(super) struct Profile<'r> {
    /// What follows each opcode.
    pub(super) opcodes: &'r Opcodes,
    features: Features,
}

impl Profile<'_> {
    /// The profile of what is judged by `rules`.
    pub(super) fn of(rules: &Rules) -> Profile<'_> {
        let features = match rules.kernel {
            Kernel::V5_15 => V5_15,
            Kernel::V6_1 => V6_1,
            Kernel::V6_6 => V6_6,
            Kernel::V6_12 => V6_12,
            Kernel::V6_18 => V6_18,
            Kernel::V7_0 | Kernel::V7_2 | Kernel::V7_3 => V7_0,
        };
        Profile { opcodes: rules.opcodes.as_deref().unwrap_or_else(|| Opcodes::of(rules.kernel)), features }
    }
}

impl std::ops::Deref for Profile<'_> {
    type Target = Features;

    fn deref(&self) -> &Features {
        &self.features
    }
}

/// What differs between releases beside the opcodes.
#[derive(Clone, Copy)]
pub(super) struct Features {
    /// VEX and EVEX are known behind REX. From 6.18 on they are taken for the 32-bit opcodes there.
    pub(super) vector_behind_rex: bool,
    /// Where a relative target is looked for when there is no immediate: in the displacement.
    pub(super) displacement_is_target: bool,
    /// `mov reg, reg` counts whatever the registers are, not only with the stack pointer.
    pub(super) every_register_move: bool,
    /// SIB without a base (base 5, mod 0) is told from the frame pointer.
    pub(super) knows_missing_base: bool,
    /// `lea disp(%rip)` is a kind of its own.
    pub(super) lea_rip: bool,
    /// `pause` and `xchg %r8, %rax` (`90` with prefixes) and `nopl` forms other than `/0` are not NOPs.
    pub(super) strict_nop: bool,
    /// `prefetch` (`0f 0d`) counts as a NOP.
    pub(super) prefetch_is_nop: bool,
    /// `eretu` and `erets` are told from `clac`.
    pub(super) knows_eret: bool,
    /// `udb` (`d6`).
    pub(super) udb: bool,
    /// `ea` is a `BUG` of one byte, whatever stands in front of it.
    pub(super) far_jump_is_bug: bool,
    /// The bits of EVEX that number its map.
    pub(super) evex_map: u8,
    /// `endbr`.
    pub(super) endbr: bool,
    /// `loop` and its like jump.
    pub(super) loop_jumps: bool,
    /// `enqcmd` and the `notrack` prefix are complained about.
    pub(super) enqcmd_notrack: bool,
    /// Entries into the kernel.
    pub(super) syscall: Kind,
    /// Exits from it, far jumps and far returns.
    pub(super) sysret: Kind,
}

const V5_15: Features = Features {
    evex_map: 3,
    endbr: false,
    loop_jumps: false,
    enqcmd_notrack: false,
    every_register_move: false,
    ..V6_6
};

const V6_1: Features = Features { every_register_move: false, ..V6_6 };

const V6_6: Features = Features {
    vector_behind_rex: true,
    displacement_is_target: false,
    every_register_move: true,
    knows_missing_base: false,
    lea_rip: false,
    strict_nop: false,
    prefetch_is_nop: true,
    knows_eret: false,
    udb: false,
    far_jump_is_bug: false,
    evex_map: 7,
    endbr: true,
    loop_jumps: true,
    enqcmd_notrack: true,
    syscall: Kind::ContextSwitch,
    sysret: Kind::ContextSwitch,
};

const V6_12: Features = Features { knows_missing_base: true, knows_eret: true, ..V6_6 };

const V6_18: Features = Features {
    vector_behind_rex: false,
    displacement_is_target: true,
    lea_rip: true,
    far_jump_is_bug: true,
    syscall: Kind::Syscall,
    sysret: Kind::Sysret,
    ..V6_12
};

const V7_0: Features =
    Features { strict_nop: true, prefetch_is_nop: false, udb: true, far_jump_is_bug: false, ..V6_18 };
