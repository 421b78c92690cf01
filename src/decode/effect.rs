//! Says what an instruction is and what it does to the stack, as objtool sees it.
//!
//! In: [`Encoding`].  Out: [`Effect`]: kind, stack operations, and what objtool complains about.
//! Holds afterwards: forms that objtool does not recognise have no operations, even where a processor would change the
//! stack pointer; a relocated displacement is the one that is encoded, mostly 0.
//! Reads like: Intel SDM, volume 2, by mnemonic.

use super::Kind;
use super::encoding::Encoding;
use super::interning::Ops;
use super::profile::Profile;
use crate::cfi::{Base, Dest, Source, StackOp};

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
    const NONE: Effect = Effect { kind: Kind::Other, ops: Ops::NONE, oddity: None };

    fn kind(kind: Kind) -> Effect {
        Effect { kind, ..Effect::NONE }
    }

    // In each place where it is called some of an operation is known, and its key needs no search.
    #[inline(always)]
    fn op(dest: Dest, src: Source) -> Effect {
        Effect { ops: Ops::of([Some(StackOp { dest, src }), None]), ..Effect::NONE }
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

/// Whether the effect is another one in a function: see [`iret_in_function`].
pub(super) fn is_iret(e: &Encoding) -> bool {
    e.opcode[0] == 0xcf && !e.is_vector
}

/// sync_core() returns to itself with `iret`; all others are in entry code, which has no functions.
pub(super) fn iret_in_function() -> Effect {
    Effect::op(Dest::Reg(Base::SP), Source::Add(Base::SP, 40))
}

/// The effect of an instruction.
pub(super) fn effect(e: &Encoding, profile: &Profile<'_>) -> Effect {
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
        0x70..=0x7f | 0xe3 => Effect::kind(Kind::JumpConditional),
        0xe0..=0xe2 if profile.loop_jumps => Effect::kind(Kind::JumpConditional),
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
            ops: Ops::of([
                Some(StackOp { dest: Dest::Reg(Base::SP), src: Source::Reg(Base::BP) }),
                Some(StackOp { dest: Dest::Reg(Base::BP), src: Source::Pop }),
            ]),
            ..Effect::NONE
        },
        0xcc => Effect::kind(Kind::Trap),
        0xca | 0xcb | 0xcf => Effect::kind(profile.sysret),
        0xd6 if profile.udb => Effect::kind(Kind::Bug),
        0xe8 => push().with_kind(Kind::Call),
        0xea if profile.far_jump_is_bug => Effect::kind(Kind::Bug),
        0xe9 | 0xeb => Effect::kind(Kind::JumpUnconditional),
        0xfc => Effect::kind(Kind::Cld),
        0xfd => Effect::kind(Kind::Std),
        0xff => group_5(e, profile),
        0x0f => two_bytes(e, second, third, profile),
        _ => Effect::NONE,
    }
}

/// The opcodes behind `0f`.
fn two_bytes(e: &Encoding, second: u8, third: u8, profile: &Profile<'_>) -> Effect {
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
        0x1e if profile.endbr && e.prefixes.first() == 0xf3 && matches!(e.modrm, 0xfa | 0xfb) => {
            Effect::kind(Kind::Endbr)
        }
        0x38 if third == 0xf8 && e.prefixes.count == 1 && e.prefixes.first() == 0xf2 && profile.enqcmd_notrack => {
            Effect::odd(Oddity::Enqcmd)
        }
        0x80..=0x8f => Effect::kind(Kind::JumpConditional),
        0xa0 | 0xa8 => push(),
        0xa1 | 0xa9 => pop_to_memory(),
        _ => Effect::NONE,
    }
}

/// `ff`. REX.R counts as part of the digit.
fn group_5(e: &Encoding, profile: &Profile<'_>) -> Effect {
    let indirect = |kind| {
        let oddity = (profile.enqcmd_notrack && e.prefixes.contain(0x3e)).then_some(Oddity::Notrack);
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
fn move_from_register(e: &Encoding, profile: &Profile<'_>) -> Effect {
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
fn store(e: &Encoding, profile: &Profile<'_>) -> Effect {
    match frame_base(e, profile) {
        Some(base) => Effect::op(Dest::Indirect(base, e.displacement), Source::Reg(Base::reg(e.reg()))),
        None => Effect::NONE,
    }
}

/// `8b`: loads from the frame.
fn load(e: &Encoding, profile: &Profile<'_>) -> Effect {
    match frame_base(e, profile) {
        Some(base) => Effect::op(Dest::Reg(Base::reg(e.reg())), Source::Indirect(base, e.displacement)),
        None => Effect::NONE,
    }
}

/// `8d`.
fn lea(e: &Encoding, profile: &Profile<'_>) -> Effect {
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
fn frame_base(e: &Encoding, profile: &Profile<'_>) -> Option<Base> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect()
    }

    fn place(base: Base, offset: i32) -> String {
        if offset == 0 { base.name().to_owned() } else { format!("{}{offset:+}", base.name()) }
    }

    fn equation(op: StackOp) -> String {
        let dest = match op.dest {
            Dest::Reg(reg) => reg.name().to_owned(),
            Dest::Indirect(base, offset) => format!("[{}]", place(base, offset)),
            Dest::Mem => "[mem]".to_owned(),
            Dest::Push => "push".to_owned(),
            Dest::Pushf => "pushf".to_owned(),
        };
        let src = match op.src {
            Source::Reg(reg) => reg.name().to_owned(),
            Source::Indirect(base, offset) => format!("[{}]", place(base, offset)),
            Source::Const => "const".to_owned(),
            Source::Pop => "pop".to_owned(),
            Source::Popf => "popf".to_owned(),
            Source::Add(base, offset) => format!("{}{offset:+}", base.name()),
            Source::And(base) => format!("{}&", base.name()),
        };
        format!("{dest} = {src}")
    }

    /// `length kind; equation; ...; oddity`, the kind left out when there is nothing to say.
    fn seen(kernel: Kernel, hex: &str, in_function: bool) -> String {
        let profile = &Profile::of(kernel.rules());
        let mut encoding = Encoding::default();
        if encoding.read(&bytes(hex), profile).is_none() {
            return "undecodable".to_owned();
        }
        let special = in_function && is_iret(&encoding);
        let Effect { kind, ops, oddity } = if special { iret_in_function() } else { effect(&encoding, profile) };
        let mut parts = vec![format!("{} {kind:?}", encoding.len)];
        parts.extend(ops.list.into_iter().flatten().map(equation));
        parts.extend(oddity.map(|oddity| format!("{oddity:?}!")));
        parts.join("; ")
    }

    #[track_caller]
    fn all(hex: &str, expected: &str) {
        each(hex, [expected; 3]);
    }

    #[test]
    fn releases_between_see_what_came_by_then() {
        let kinds = |hex: &str, kernels: &[Kernel]| -> Vec<String> {
            kernels.iter().map(|&kernel| seen(kernel, hex, false)).collect()
        };
        let first = [Kernel::V5_15, Kernel::V6_1];
        assert_eq!(kinds("f3 0f 1e fa", &first), ["4 Other", "4 Endbr"]);
        assert_eq!(kinds("e2 00", &first), ["2 Other", "2 JumpConditional"]);
        let last = [Kernel::V6_12, Kernel::V6_18, Kernel::V7_0];
        assert_eq!(kinds("f3 90", &last), ["2 Nop", "2 Nop", "2 Other"]);
        assert_eq!(kinds("d6", &last), ["1 Other", "1 Other", "1 Bug"]);
        assert_eq!(kinds("ea", &last[1..]), ["1 Bug", "1 Other"]);
        assert_eq!(kinds("0f 05", &last), ["2 ContextSwitch", "2 Syscall", "2 Syscall"]);
    }

    /// What 6.1, 6.12 and 7.3 see.
    #[track_caller]
    fn each(hex: &str, expected: [&str; 3]) {
        assert_eq!(
            [Kernel::V6_1, Kernel::V6_12, Kernel::V7_3].map(|kernel| seen(kernel, hex, false)),
            expected,
            "{hex}"
        );
    }

    #[test]
    fn arithmetic_on_the_stack_pointer() {
        all("48 01 c4", "3 Other; rsp = rax+0");
        all("4c 29 dc", "3 Other; rsp = r11+0");
        all("01 c4", "2 Other");
        all("49 01 c4", "3 Other");
        all("48 03 e0", "3 Other");
        all("48 83 c4 10", "4 Other; rsp = rsp+16");
        all("48 83 ec 80", "4 Other; rsp = rsp+128");
        all("48 81 ec 00 01 00 00", "7 Other; rsp = rsp-256");
        all("48 81 ec 00 00 00 80", "7 Other; rsp = rsp-2147483648");
        all("48 83 e4 f0", "4 Other; rsp = rsp&");
        all("4c 83 c4 10", "4 Other; rsp = rsp+16");
        all("48 83 cc 01", "4 Other");
        all("83 c4 10", "3 Other");
        all("48 83 44 24 08 01", "6 Other");
        each("48 82 c4 10", ["4 Other; rsp = rsp+16", "4 Other; rsp = rsp+16", "2 Other"]);
    }

    #[test]
    fn pushes_and_pops() {
        all("55", "1 Other; push = rbp");
        all("41 57", "2 Other; push = r15");
        all("66 50", "2 Other; push = rax");
        all("5d", "1 Other; rbp = pop");
        all("41 5a", "2 Other; r10 = pop");
        all("68 00 00 00 00", "5 Other; push = const");
        all("6a 00", "2 Other; push = const");
        all("ff 75 08", "3 Other; push = const");
        all("8f 00", "2 Other; [mem] = pop");
        all("8f 44 24 08", "4 Other; [mem] = pop");
        all("9c", "1 Other; pushf = const");
        all("9d", "1 Other; [mem] = popf");
        all("0f a0", "2 Other; push = const");
        all("0f a9", "2 Other; [mem] = pop");
        all("c9", "1 Other; rsp = rbp; rbp = pop");
        all("c8 10 00 00", "4 Other");
    }

    #[test]
    fn moves_between_registers() {
        all("48 89 e5", "3 Other; rbp = rsp");
        all("48 89 ec", "3 Other; rsp = rbp");
        all("49 89 e2", "3 Other; r10 = rsp");
        each("48 89 c5", ["3 Other", "3 Other; rbp = rax", "3 Other; rbp = rax"]);
        all("48 8b ec", "3 Other");
        all("89 e5", "2 Other");
        all("48 88 e5", "3 Other");
    }

    #[test]
    fn stores_and_loads_relative_to_the_frame() {
        all("48 89 5d f8", "4 Other; [rbp-8] = rbx");
        all("4c 89 64 24 10", "5 Other; [rsp+16] = r12");
        all("48 88 5d f8", "4 Other; [rbp-8] = rbx");
        all("48 8b 5d f8", "4 Other; rbx = [rbp-8]");
        all("4c 8b 64 24 10", "5 Other; r12 = [rsp+16]");
        all("49 89 5d f8", "4 Other");
        all("48 89 5c 05 f8", "5 Other");
        all("89 5d f8", "3 Other");
        // The stack pointer may be stored anywhere.
        all("48 89 60 08", "4 Other; [rax+8] = rsp");
        all("49 89 64 24 08", "5 Other; [r12+8] = rsp");
        all("48 89 25 00 00 00 00", "7 Other");
        all("48 89 24 c3", "4 Other");
        all("48 89 24 25 00 00 00 00", "8 Other; [rbp] = rsp");
    }

    #[test]
    fn a_missing_base_is_the_frame_pointer_in_6_1() {
        each("48 89 04 25 08 00 00 00", ["8 Other; [rbp+8] = rax", "8 Other", "8 Other"]);
        each("48 8b 04 25 08 00 00 00", ["8 Other; rax = [rbp+8]", "8 Other", "8 Other"]);
    }

    #[test]
    fn lea_is_a_move_or_an_addition() {
        all("48 8d 2c 24", "4 Other; rbp = rsp");
        all("48 8d 64 24 08", "5 Other; rsp = rsp+8");
        all("4c 8d 54 24 08", "5 Other; r10 = rsp+8");
        all("49 8d 62 f8", "4 Other; rsp = r10-8");
        all("48 8d 65 f8", "4 Other; rsp = rbp-8");
        all("48 8d 04 0c", "4 Other");
        all("8d 64 24 08", "4 Other");
        all("48 8d e5", "3 Other; InvalidLea!");
        each("48 8d 3d 00 00 00 00", ["7 Other", "7 Other", "7 LeaRip"]);
        each("48 8d 04 25 08 00 00 00", ["8 Other; rax = rbp+8", "8 Other; rax = rbp+8", "8 LeaRip"]);
    }

    #[test]
    fn jumps_calls_and_returns() {
        all("74 00", "2 JumpConditional");
        all("0f 85 00 00 00 00", "6 JumpConditional");
        all("e3 00", "2 JumpConditional");
        all("e0 00", "2 JumpConditional");
        all("eb 00", "2 JumpUnconditional");
        all("e9 00 00 00 00", "5 JumpUnconditional");
        all("66 e9 00 00 00 00", "6 JumpUnconditional");
        all("e8 00 00 00 00", "5 Call; push = const");
        all("ff d0", "2 CallDynamic");
        all("ff 18", "2 CallDynamic");
        all("ff e0", "2 JumpDynamic");
        all("3e ff e0", "3 JumpDynamic; Notrack!");
        all("66 3e ff d0", "4 CallDynamic; Notrack!");
        all("44 ff e0", "3 Other");
        all("c3", "1 Return");
        all("f3 c3", "2 Return");
        all("c2 08 00", "3 Return");
    }

    #[test]
    fn entries_and_exits() {
        const SWITCH: &str = "2 ContextSwitch";
        each("0f 05", [SWITCH, SWITCH, "2 Syscall"]);
        each("0f 34", [SWITCH, SWITCH, "2 Syscall"]);
        each("48 0f 07", ["3 ContextSwitch", "3 ContextSwitch", "3 Sysret"]);
        each("0f 35", [SWITCH, SWITCH, "2 Sysret"]);
        each("48 cb", [SWITCH, SWITCH, "2 Sysret"]);
        each("ff 28", [SWITCH, SWITCH, "2 Sysret"]);
        each("f3 0f 01 ca", ["4 Clac", "4 ContextSwitch", "4 Sysret"]);
        each("f2 0f 01 cb", ["4 Stac", "4 Other", "4 Other"]);
        each("48 cf", [SWITCH, SWITCH, "2 Sysret"]);
        for kernel in Kernel::ALL {
            assert_eq!(seen(kernel, "48 cf", true), "2 Other; rsp = rsp+40");
        }
    }

    #[test]
    fn instructions_with_a_kind_of_their_own() {
        all("90", "1 Nop");
        all("66 90", "2 Nop");
        each("f3 90", ["2 Nop", "2 Nop", "2 Other"]);
        each("41 90", ["2 Nop", "2 Nop", "2 Other"]);
        all("0f 1f 00", "3 Nop");
        each("0f 1f 08", ["3 Nop", "3 Nop", "3 Other"]);
        each("0f 0d 08", ["3 Nop", "3 Nop", "3 Other"]);
        all("0f 0b", "2 Bug");
        all("0f b9 00", "3 Bug");
        each("d6", ["1 Other", "1 Other", "1 Bug"]);
        all("cc", "1 Trap");
        all("0f 01 ca", "3 Clac");
        all("0f 01 cb", "3 Stac");
        all("fc", "1 Cld");
        all("fd", "1 Std");
        all("f3 0f 1e fa", "4 Endbr");
        all("0f 1e fa", "3 Other");
        all("66 f3 0f 1e fa", "5 Other");
        all("f2 0f 38 f8 00", "5 Other; Enqcmd!");
        all("66 0f 38 f8 00", "5 Other");
        all("f4", "1 Other");
    }

    #[test]
    fn vector_instructions_have_no_effect() {
        all("c5 f8 77", "3 Other");
        all("c4 e2 79 18 00", "5 Other");
        // 8f is XOP where ModRM.reg is not 0.
        each("8f e9 78 01 c8", ["2 Other; [mem] = pop", "2 Other; [mem] = pop", "5 Other"]);
    }
}
