//! Says what an instruction is and what it does to the stack, as objtool sees it.
//!
//! In: [`Encoding`].  Out: [`Effect`]: kind, stack operations, and what objtool complains about.
//! Holds afterwards: forms that objtool does not recognise have no operations, even where a processor would change the
//! stack pointer; a relocated displacement is the one that is encoded, mostly 0.
//! Reads like: Intel SDM, volume 2, by mnemonic.

use super::Kind;
use super::encoding::Encoding;
use super::profile::Profile;
use crate::cfi::{Base, Dest, Source, StackOp};

/// No instruction has more than two.
pub(super) type Ops = [Option<StackOp>; 2];

/// An encoding that objtool warns about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Oddity {
    /// `lea` of a register.
    InvalidLea,
    Enqcmd,
    /// An indirect branch that is exempt from branch tracking.
    Notrack,
}

/// What an instruction is to the analysis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Effect {
    pub(super) kind: Kind,
    pub(super) ops: Ops,
    pub(super) oddity: Option<Oddity>,
}

impl Effect {
    const NONE: Effect = Effect { kind: Kind::Other, ops: [None; 2], oddity: None };

    fn kind(kind: Kind) -> Effect {
        Effect { kind, ..Effect::NONE }
    }

    fn op(dest: Dest, src: Source) -> Effect {
        Effect { ops: [Some(StackOp { dest, src }), None], ..Effect::NONE }
    }

    fn odd(oddity: Oddity) -> Effect {
        Effect { oddity: Some(oddity), ..Effect::NONE }
    }

    fn with_kind(self, kind: Kind) -> Effect {
        Effect { kind, ..self }
    }
}

const PUSH: (Dest, Source) = (Dest::Push, Source::Const);

fn push() -> Effect {
    Effect::op(PUSH.0, PUSH.1)
}

fn pop_to_memory() -> Effect {
    Effect::op(Dest::Mem, Source::Pop)
}

/// The effect of an instruction. `in_function` says whether it lies in a function; it is asked for `iret` alone.
pub(super) fn effect(e: &Encoding, profile: &Profile, in_function: impl FnOnce() -> bool) -> Effect {
    if e.is_vector {
        return Effect::NONE;
    }
    let [opcode, second, third] = e.opcode;
    let numbered = Base::reg(opcode & 7 | e.rex_b());
    match opcode {
        0x01 | 0x29 if e.is_wide() && is_sp(e) => Effect::op(Dest::Reg(Base::SP), Source::Add(Base::reg(e.reg()), 0)),
        0x50..=0x57 => Effect::op(Dest::Push, Source::Reg(numbered)),
        0x58..=0x5f => Effect::op(Dest::Reg(numbered), Source::Pop),
        0x68 | 0x6a => push(),
        0x70..=0x7f | 0xe0..=0xe3 => Effect::kind(Kind::JumpConditional),
        0x80..=0x83 if e.is_wide() && is_sp(e) => arithmetic_on_sp(e),
        0x88 if e.is_wide() => store(e, profile),
        0x89 if e.is_wide() => move_from_register(e, profile),
        0x8b if e.is_wide() => load(e, profile),
        0x8d => lea(e, profile),
        0x8f => pop_to_memory(),
        0x90 if !(profile.strict_nop && (e.rex_b() != 0 || e.prefixes.first() == 0xf3)) => Effect::kind(Kind::Nop),
        0x9c => Effect::op(Dest::Pushf, Source::Const),
        0x9d => Effect::op(Dest::Mem, Source::Popf),
        0xc2 | 0xc3 => Effect::kind(Kind::Return),
        0xc9 => Effect {
            ops: [
                Some(StackOp { dest: Dest::Reg(Base::SP), src: Source::Reg(Base::BP) }),
                Some(StackOp { dest: Dest::Reg(Base::BP), src: Source::Pop }),
            ],
            ..Effect::NONE
        },
        0xcc => Effect::kind(Kind::Trap),
        // sync_core() returns to itself with `iret`; all others are in entry code, which has no functions.
        0xcf if in_function() => Effect::op(Dest::Reg(Base::SP), Source::Add(Base::SP, 40)),
        0xca | 0xcb | 0xcf => Effect::kind(profile.sysret),
        0xd6 if profile.udb => Effect::kind(Kind::Bug),
        0xe8 => push().with_kind(Kind::Call),
        0xe9 | 0xeb => Effect::kind(Kind::JumpUnconditional),
        0xfc => Effect::kind(Kind::Cld),
        0xfd => Effect::kind(Kind::Std),
        0xff => group_5(e, profile),
        0x0f => two_bytes(e, second, third, profile),
        _ => Effect::NONE,
    }
}

/// The opcodes behind `0f`.
fn two_bytes(e: &Encoding, second: u8, third: u8, profile: &Profile) -> Effect {
    match second {
        0x01 => {
            let is_eret = profile.knows_eret && matches!(e.prefixes.last, 0xf2 | 0xf3);
            match e.modrm {
                0xca if is_eret => Effect::kind(profile.sysret),
                0xca => Effect::kind(Kind::Clac),
                0xcb if !is_eret => Effect::kind(Kind::Stac),
                _ => Effect::NONE,
            }
        }
        0x05 | 0x34 => Effect::kind(profile.syscall),
        0x07 | 0x35 => Effect::kind(profile.sysret),
        0x0b | 0xb9 => Effect::kind(Kind::Bug),
        0x0d if profile.prefetch_is_nop => Effect::kind(Kind::Nop),
        0x1f if !profile.strict_nop || e.reg() == 0 => Effect::kind(Kind::Nop),
        0x1e if e.prefixes.first() == 0xf3 && matches!(e.modrm, 0xfa | 0xfb) => Effect::kind(Kind::Endbr),
        0x38 if third == 0xf8 && e.prefixes.count == 1 && e.prefixes.first() == 0xf2 => Effect::odd(Oddity::Enqcmd),
        0x80..=0x8f => Effect::kind(Kind::JumpConditional),
        0xa0 | 0xa8 => push(),
        0xa1 | 0xa9 => pop_to_memory(),
        _ => Effect::NONE,
    }
}

/// `ff`. REX.R counts as part of the digit.
fn group_5(e: &Encoding, profile: &Profile) -> Effect {
    let indirect = |kind| {
        let oddity = e.prefixes.contain(0x3e).then_some(Oddity::Notrack);
        Effect { kind, oddity, ..Effect::NONE }
    };
    match e.reg() {
        2 | 3 => indirect(Kind::CallDynamic),
        4 => indirect(Kind::JumpDynamic),
        5 => Effect::kind(profile.sysret),
        6 => push(),
        _ => Effect::NONE,
    }
}

/// `80` to `83` on the stack pointer. REX.R does not count.
fn arithmetic_on_sp(e: &Encoding) -> Effect {
    let src = match e.reg() & 7 {
        0 => Source::Add(Base::SP, e.immediate),
        5 => Source::Add(Base::SP, e.immediate.wrapping_neg()),
        4 => Source::And(Base::SP),
        _ => return Effect::NONE,
    };
    Effect::op(Dest::Reg(Base::SP), src)
}

/// `89`.
fn move_from_register(e: &Encoding, profile: &Profile) -> Effect {
    let (from, mut rm) = (e.reg(), e.rm());
    let from_sp = Base::reg(from) == Base::SP;
    if e.mode() == 3 {
        return if profile.every_register_move || from_sp || is_sp(e) {
            Effect::op(Dest::Reg(Base::reg(rm)), Source::Reg(Base::reg(from)))
        } else {
            Effect::NONE
        };
    }
    if !from_sp {
        return store(e, profile);
    }
    if is_rip_relative(e, rm) {
        return Effect::NONE;
    }
    if has_sib(e, rm) {
        // A missing base passes for the frame pointer.
        rm = e.base();
        if e.index() != 4 {
            return Effect::NONE;
        }
    }
    Effect::op(Dest::Indirect(Base::reg(rm), e.displacement), Source::Reg(Base::SP))
}

/// `88`, and `89` to memory: stores to the frame.
fn store(e: &Encoding, profile: &Profile) -> Effect {
    match frame_base(e, profile) {
        Some(base) => Effect::op(Dest::Indirect(base, e.displacement), Source::Reg(Base::reg(e.reg()))),
        None => Effect::NONE,
    }
}

/// `8b`: loads from the frame.
fn load(e: &Encoding, profile: &Profile) -> Effect {
    match frame_base(e, profile) {
        Some(base) => Effect::op(Dest::Reg(Base::reg(e.reg())), Source::Indirect(base, e.displacement)),
        None => Effect::NONE,
    }
}

/// `8d`.
fn lea(e: &Encoding, profile: &Profile) -> Effect {
    if e.mode() == 3 {
        return Effect::odd(Oddity::InvalidLea);
    }
    let mut rm = e.rm();
    if !e.is_wide() || !profile.lea_rip && is_rip_relative(e, rm) {
        return Effect::NONE;
    }
    if has_sib(e, rm) {
        rm = e.base();
        if e.index() != 4 {
            return Effect::NONE;
        }
    }
    // A missing base passes for rip here.
    if profile.lea_rip && is_rip_relative(e, rm) {
        return Effect::kind(Kind::LeaRip);
    }
    let from = Base::reg(rm);
    let src = if e.displacement == 0 { Source::Reg(from) } else { Source::Add(from, e.displacement) };
    Effect::op(Dest::Reg(Base::reg(e.reg())), src)
}

/// Whether the operand in ModRM.rm is the register rsp.
fn is_sp(e: &Encoding) -> bool {
    e.mode() == 3 && Base::reg(e.rm()) == Base::SP
}

fn is_rip_relative(e: &Encoding, rm: u8) -> bool {
    rm & 7 == 5 && e.mode() == 0
}

fn has_sib(e: &Encoding, rm: u8) -> bool {
    rm & 7 == 4 && e.mode() != 3
}

/// The frame pointer or the stack pointer, when the operand is memory relative to it alone.
fn frame_base(e: &Encoding, profile: &Profile) -> Option<Base> {
    let rm = e.rm();
    if e.mode() == 3 || is_rip_relative(e, rm) {
        return None;
    }
    let base = if has_sib(e, rm) {
        if e.index() != 4 || profile.knows_missing_base && e.base() == 5 && e.mode() == 0 {
            return None;
        }
        e.base()
    } else {
        rm
    };
    [Base::BP, Base::SP].into_iter().find(|&frame| frame == Base::reg(base))
}
