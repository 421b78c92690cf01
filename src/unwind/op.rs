//! What an instruction does to registers and to the frame.
//!
//! In: a decoded instruction.  Out: [`Op`], [`Flow`].
//! Holds afterwards: whatever an instruction may write that is not told exactly is told as lost or as not known.
//! Reads like: SDM volume 2, the instructions by mnemonic.

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};

use super::value::{RSP, Reg};

/// A memory operand that counts from one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mem {
    /// The register; `None` for all other operands, which nobody follows.
    pub base: Option<Reg>,
    /// What is added.
    pub disp: i32,
}

impl Mem {
    const UNFOLLOWED: Mem = Mem { base: None, disp: 0 };
}

/// Where a word comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A register.
    Reg(Reg),
    /// Memory.
    Mem(Mem),
    /// A number, a segment register, the flags.
    Other,
}

/// What an instruction does to registers and to the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the operands")]
pub enum Op {
    /// Nothing that matters.
    Keep,
    Push {
        from: Source,
        size: u8,
    },
    Pop {
        to: Source,
        size: u8,
    },
    Leave,
    Enter {
        size: u16,
    },
    /// A move between registers.
    Copy {
        to: Reg,
        from: Reg,
    },
    /// A move of eight bytes from memory.
    Load {
        to: Reg,
        from: Mem,
    },
    /// A move of eight bytes to memory.
    Store {
        to: Mem,
        from: Reg,
    },
    Number {
        to: Reg,
        value: i32,
    },
    /// `to` becomes `from` and a number: `lea`, `add`, `sub`, `inc`, `dec`.
    Lea {
        to: Reg,
        from: Reg,
        by: i32,
    },
    LeaIndexed {
        to: Reg,
        from: Reg,
        index: Reg,
    },
    AddReg {
        to: Reg,
        by: Reg,
        minus: bool,
    },
    /// `and`.
    Align {
        to: Reg,
    },
    Exchange {
        one: Reg,
        other: Reg,
    },
    ExchangeMem {
        mem: Mem,
        reg: Reg,
    },
    /// `cmp` of two registers.
    Compare {
        one: Reg,
        other: Reg,
    },
    /// `test` of a register with itself.
    Test {
        reg: Reg,
    },
    /// `std` and `cld`.
    Direction {
        set: bool,
    },
    /// Anything else: registers that get a computed value, those that may get any, and what is stored.
    Writes {
        computed: u16,
        unknown: u16,
        mem: Mem,
        size: u16,
        vector: bool,
    },
}

impl Op {
    /// The registers that get another value, rsp aside.
    pub(super) fn overwritten(self) -> u16 {
        let bit = |reg: Reg| 1u16.checked_shl(u32::from(reg)).unwrap_or(0);
        match self {
            Op::Pop { to: Source::Reg(to), .. }
            | Op::Copy { to, .. }
            | Op::Load { to, .. }
            | Op::Number { to, .. }
            | Op::Lea { to, .. }
            | Op::LeaIndexed { to, .. }
            | Op::AddReg { to, .. }
            | Op::Align { to } => bit(to),
            Op::Exchange { one, other } => bit(one) | bit(other),
            Op::ExchangeMem { reg, .. } => bit(reg),
            Op::Writes { computed, unknown, .. } => computed | unknown,
            Op::Leave | Op::Enter { .. } => bit(super::value::RBP),
            Op::Keep
            | Op::Push { .. }
            | Op::Pop { .. }
            | Op::Store { .. }
            | Op::Compare { .. }
            | Op::Test { .. }
            | Op::Direction { .. } => 0,
        }
    }
}

/// Where an instruction leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// On.
    Next,
    /// To its target.
    Jump,
    /// To its target or on.
    JumpIf {
        /// `jne`: what is behind it has the compared registers equal.
        unequal: bool,
        /// `je`: its target has.
        equal: bool,
    },
    /// Where a register or memory says.
    JumpIndirect,
    /// To its target, and mostly back.
    Call,
    /// Where a register or memory says, and mostly back.
    CallIndirect,
    /// To another code segment: out of sight.
    Far,
    /// Back to the caller.
    Return,
    /// Into the kernel and mostly back.
    SystemCall,
    /// Nowhere.
    Stop,
}

impl Flow {
    /// Whether the next instruction may come after it.
    pub(super) fn falls(self) -> bool {
        !matches!(self, Flow::Jump | Flow::JumpIndirect | Flow::Far | Flow::Return | Flow::Stop)
    }
}

/// The register's number in DWARF, if it is a general one of 64 bits.
pub(super) fn number(register: Register) -> Option<Reg> {
    // psABI, figure 3.36: not the order of the encoding.
    const DWARF: [Reg; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    register.is_gpr64().then(|| DWARF.get(register.number()).copied())?
}

/// Where the instruction leads.
pub(super) fn flow(insn: &Instruction) -> Flow {
    match insn.flow_control() {
        FlowControl::Next => match insn.mnemonic() {
            Mnemonic::Syscall | Mnemonic::Sysenter => Flow::SystemCall,
            Mnemonic::Hlt => Flow::Stop,
            _ => Flow::Next,
        },
        FlowControl::UnconditionalBranch if insn.is_jmp_far() => Flow::Far,
        FlowControl::UnconditionalBranch => Flow::Jump,
        FlowControl::IndirectBranch if insn.is_jmp_far_indirect() => Flow::Far,
        FlowControl::IndirectBranch => Flow::JumpIndirect,
        FlowControl::ConditionalBranch => {
            Flow::JumpIf { unequal: insn.mnemonic() == Mnemonic::Jne, equal: insn.mnemonic() == Mnemonic::Je }
        }
        FlowControl::Return => match insn.mnemonic() {
            Mnemonic::Ret => Flow::Return,
            _ => Flow::Far,
        },
        FlowControl::Call => match insn.mnemonic() {
            Mnemonic::Syscall | Mnemonic::Sysenter => Flow::SystemCall,
            _ if insn.is_call_far() => Flow::Far,
            _ => Flow::Call,
        },
        FlowControl::IndirectCall if insn.is_call_far_indirect() => Flow::Far,
        FlowControl::IndirectCall => Flow::CallIndirect,
        FlowControl::Interrupt => match insn.mnemonic() {
            Mnemonic::Int => Flow::SystemCall,
            _ => Flow::Stop,
        },
        FlowControl::XbeginXabortXend => Flow::Next,
        FlowControl::Exception => Flow::Stop,
    }
}

/// Says what instructions do.
pub(super) struct Reader {
    info: InstructionInfoFactory,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { info: InstructionInfoFactory::new() }
    }
}

impl Reader {
    /// What the instruction does.
    pub(super) fn op(&mut self, insn: &Instruction) -> Op {
        exact(insn).or_else(|| usual(insn)).unwrap_or_else(|| self.any(insn))
    }

    /// By the registers and the memory that it uses.
    fn any(&mut self, insn: &Instruction) -> Op {
        let conditional = (Mnemonic::Cmova as u32..=Mnemonic::Cmovs as u32).contains(&(insn.mnemonic() as u32));
        let from_vector = matches!(
            insn.mnemonic(),
            Mnemonic::Movq | Mnemonic::Vmovq | Mnemonic::Pextrq | Mnemonic::Vpextrq | Mnemonic::Kmovq | Mnemonic::Movbe
        );
        let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
        let info = self.info.info(insn);
        let writes = |access: OpAccess| {
            matches!(access, OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite)
        };
        let (mut computed, mut unknown) = (0u16, 0u16);
        for used in info.used_registers().iter().filter(|used| writes(used.access())) {
            if let Some(reg) = number(used.register().full_register()) {
                let set = if conditional || from_vector { &mut unknown } else { &mut computed };
                *set |= 1 << reg;
            }
        }
        let (mut mem, mut size) = (Mem::UNFOLLOWED, 0);
        for used in info.used_memory().iter().filter(|used| writes(used.access()) && !repeated) {
            if let Some(found) = followed(used) {
                mem = found;
                size = used.memory_size().size() as u16;
            }
        }
        if computed == 0 && unknown == 0 && (mem.base.is_none() || size == 0) {
            return Op::Keep;
        }
        let stores_register = (0..insn.op_count()).any(|at| {
            insn.op_kind(at) == OpKind::Register && {
                let register = insn.op_register(at);
                register.is_vector_register() || register.is_mm() || register.is_k()
            }
        });
        Op::Writes { computed, unknown, mem, size, vector: stores_register }
    }
}

/// The memory that an instruction reads, as far as it can be followed, with its size.
pub(super) fn reads(insn: &Instruction) -> Vec<(Mem, u16)> {
    let mut factory = InstructionInfoFactory::new();
    let read = |access: OpAccess| {
        matches!(access, OpAccess::Read | OpAccess::ReadWrite | OpAccess::CondRead | OpAccess::ReadCondWrite)
    };
    let used = factory.info(insn).used_memory().iter().filter(|used| read(used.access()));
    used.filter_map(|used| Some((followed(used)?, used.memory_size().size() as u16))).collect()
}

fn followed(used: &UsedMemory) -> Option<Mem> {
    if used.index() != Register::None || matches!(used.segment(), Register::FS | Register::GS) {
        return None;
    }
    let disp = i32::try_from(used.displacement() as i64).ok()?;
    Some(Mem { base: Some(number(used.base())?), disp })
}

fn memory(insn: &Instruction) -> Mem {
    let other_segment = matches!(insn.segment_prefix(), Register::FS | Register::GS);
    let base = number(insn.memory_base()).filter(|_| insn.memory_index() == Register::None && !other_segment);
    match (base, i32::try_from(insn.memory_displacement64() as i64)) {
        (Some(base), Ok(disp)) => Mem { base: Some(base), disp },
        _ => Mem::UNFOLLOWED,
    }
}

fn reg(insn: &Instruction, operand: u32) -> Option<Reg> {
    (insn.op_kind(operand) == OpKind::Register).then(|| number(insn.op_register(operand)))?
}

fn source(insn: &Instruction) -> Source {
    match insn.op0_kind() {
        OpKind::Register => number(insn.op0_register()).map_or(Source::Other, Source::Reg),
        OpKind::Memory => Source::Mem(memory(insn)),
        _ => Source::Other,
    }
}

fn immediate(insn: &Instruction, operand: u32) -> Option<i32> {
    let is_number = matches!(
        insn.op_kind(operand),
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    );
    // iced has no answer for operands of another kind.
    is_number.then(|| i32::try_from(insn.immediate(operand) as i64).ok()).flatten()
}

/// The instructions that frames are made of.
fn exact(insn: &Instruction) -> Option<Op> {
    let two = insn.op_count() == 2;
    Some(match insn.mnemonic() {
        Mnemonic::Nop | Mnemonic::Endbr64 | Mnemonic::Ret | Mnemonic::Call | Mnemonic::Jmp => Op::Keep,
        Mnemonic::Push => Op::Push { from: source(insn), size: stack_size(insn) },
        Mnemonic::Pushf | Mnemonic::Pushfq => Op::Push { from: Source::Other, size: stack_size(insn) },
        Mnemonic::Pop => Op::Pop { to: source(insn), size: stack_size(insn) },
        Mnemonic::Popf | Mnemonic::Popfq => Op::Pop { to: Source::Other, size: stack_size(insn) },
        Mnemonic::Leave if insn.code() == Code::Leaveq => Op::Leave,
        Mnemonic::Enter if insn.code() == Code::Enterq_imm16_imm8 && insn.immediate8_2nd() == 0 => {
            Op::Enter { size: insn.immediate16() }
        }
        Mnemonic::Test => match number(insn.op0_register().full_register()) {
            Some(reg) if insn.op1_kind() == OpKind::Register && insn.op0_register() == insn.op1_register() => {
                Op::Test { reg }
            }
            _ => Op::Keep,
        },
        Mnemonic::Std | Mnemonic::Cld => Op::Direction { set: insn.mnemonic() == Mnemonic::Std },
        Mnemonic::Mov if two => mov(insn)?,
        Mnemonic::Lea => lea(insn)?,
        Mnemonic::Cmp => match (reg(insn, 0), reg(insn, 1)) {
            (Some(one), Some(other)) if two => Op::Compare { one, other },
            _ => Op::Keep,
        },
        Mnemonic::Xor | Mnemonic::Sub
            if two
                && insn.op0_kind() == OpKind::Register
                && insn.op1_kind() == OpKind::Register
                && insn.op0_register() == insn.op1_register() =>
        {
            Op::Number {
                to: number(insn.op0_register().full_register()).filter(|_| insn.op0_register().size() >= 4)?,
                value: 0,
            }
        }
        mnemonic @ (Mnemonic::Add | Mnemonic::Sub) if two => {
            if insn.op0_kind() == OpKind::Memory && immediate(insn, 1) == Some(0) {
                return Some(Op::Keep);
            }
            let (to, minus) = (reg(insn, 0)?, mnemonic == Mnemonic::Sub);
            match (immediate(insn, 1), reg(insn, 1)) {
                (Some(by), _) => Op::Lea { to, from: to, by: if minus { by.checked_neg()? } else { by } },
                (None, Some(by)) => Op::AddReg { to, by, minus },
                // By what memory holds: as by any register.
                (None, None) if to == RSP => Op::Align { to },
                _ => return None,
            }
        }
        Mnemonic::Or | Mnemonic::Xor if insn.op0_kind() == OpKind::Memory && immediate(insn, 1) == Some(0) => Op::Keep,
        Mnemonic::And if two => Op::Align { to: reg(insn, 0)? },
        Mnemonic::Inc => Op::Lea { to: reg(insn, 0)?, from: reg(insn, 0)?, by: 1 },
        Mnemonic::Dec => Op::Lea { to: reg(insn, 0)?, from: reg(insn, 0)?, by: -1 },
        Mnemonic::Xchg if two => match (reg(insn, 0), reg(insn, 1)) {
            (Some(one), Some(other)) => Op::Exchange { one, other },
            (None, Some(reg)) if insn.op0_kind() == OpKind::Memory => Op::ExchangeMem { mem: memory(insn), reg },
            (Some(reg), None) if insn.op1_kind() == OpKind::Memory => Op::ExchangeMem { mem: memory(insn), reg },
            _ => return None,
        },
        _ => return None,
    })
}

/// What most other instructions do: they write their first operand, a register, and nothing else. Asking the decoder for all
/// that they use takes several times as long.
fn usual(insn: &Instruction) -> Option<Op> {
    if insn.is_jcc_short_or_near() {
        return Some(Op::Keep);
    }
    if insn.op_count() < 2 || insn.op0_kind() != OpKind::Register {
        return None;
    }
    let register = insn.op0_register();
    if register.is_vector_register() || register.is_k() {
        // These say in rcx what they have found.
        let finds = matches!(
            insn.mnemonic(),
            Mnemonic::Pcmpestri | Mnemonic::Pcmpistri | Mnemonic::Vpcmpestri | Mnemonic::Vpcmpistri
        );
        return (!finds).then_some(Op::Keep);
    }
    let writes_it = matches!(
        insn.mnemonic(),
        Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Movsxd
            | Mnemonic::Lea
            | Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Adc
            | Mnemonic::Sbb
            | Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Rol
            | Mnemonic::Ror
            | Mnemonic::Rorx
            | Mnemonic::Andn
    );
    let to = number(register.full_register()).filter(|_| writes_it)?;
    Some(Op::Writes { computed: 1 << to, unknown: 0, mem: Mem::UNFOLLOWED, size: 0, vector: false })
}

fn stack_size(insn: &Instruction) -> u8 {
    insn.stack_pointer_increment().unsigned_abs() as u8
}

fn mov(insn: &Instruction) -> Option<Op> {
    match (insn.op0_kind(), insn.op1_kind()) {
        (OpKind::Register, OpKind::Register) => Some(Op::Copy { to: reg(insn, 0)?, from: reg(insn, 1)? }),
        (OpKind::Register, OpKind::Memory) => Some(Op::Load { to: reg(insn, 0)?, from: memory(insn) }),
        (OpKind::Register, _) => {
            let register = insn.op0_register();
            let to = number(register.full_register()).filter(|_| register.size() >= 4)?;
            let value = immediate(insn, 1)?;
            // A move of four bytes clears the upper ones.
            (register.size() == 8 || value >= 0).then_some(Op::Number { to, value })
        }
        (OpKind::Memory, OpKind::Register) if insn.memory_size().size() == 8 => {
            reg(insn, 1).map(|from| Op::Store { to: memory(insn), from })
        }
        _ => None,
    }
}

fn lea(insn: &Instruction) -> Option<Op> {
    let to = reg(insn, 0)?;
    let disp = i32::try_from(insn.memory_displacement64() as i64).ok();
    match (number(insn.memory_base()), insn.memory_index()) {
        (Some(from), Register::None) => Some(Op::Lea { to, from, by: disp? }),
        (Some(from), index) => Some(Op::LeaIndexed { to, from, index: number(index)? }),
        _ => None,
    }
}
