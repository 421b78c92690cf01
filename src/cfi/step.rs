//! How one stack operation changes the state.
//!
//! In: [`CfiState`], [`StackOp`].  Out: the state behind it, or the fault that objtool finds in it.
//! Reads like: `update_cfi_state` in `tools/objtool/check.c`.
//!
//! Cases, by destination and source; in each the first row that fits decides. `O` is the CFA's offset, `B` its base.
//!
//! | case | operation | rows |
//! |---|---|---|
//! | 1 | `reg = reg` | a: frame pointer set up; b: the same with DRAP; c: a copy of rsp; d: rsp from the frame pointer; e: CFA register from a CFA-relative value; f: from a swizzled stack; g: CFA register lost; h: rsp to a swizzled stack; i: a copy of a known value |
//! | 2 | `reg = reg + n` | a: rsp moves; b: rsp from rbp; c: DRAP register set up; d: rsp from the DRAP register; e: CFA register lost |
//! | 3 | `reg = reg & mask` | only rsp, with a register that remembers it |
//! | 4 | `pop reg` | a: back from a swizzled stack; b: the CFA register; c: the DRAP register or a saved register; d: the size |
//! | 5 | `reg = *(reg + n)` | a: the frame pointer; b: the DRAP register; c: a saved register |
//! | 6 | `push` | a: with DRAP; b: without; c: the frame pointer pushed before it is set up |
//! | 7 | `*(reg + n) = reg` | a: the DRAP register; b: with DRAP; c: relative to the CFA's base; d: relative to rsp; e: a stack swizzle |
//! | 8 | `pop` to memory | the size |

use super::{Base, CfiState, Dest, Rule, Source, StackOp};
use crate::kernel::rules::Rules;

/// What besides the state an operation's effect depends on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The instruction belongs to a function.
    pub in_function: bool,
    /// The next instruction has a hint, so that a lost CFA does no harm.
    pub hint_follows: bool,
    /// Frame pointers are validated.
    pub stackval: bool,
    /// The release.
    pub rules: &'a Rules,
}

/// Why an operation can not be followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each becomes the fault of its name, which says what it means")]
pub enum StepFault {
    UndefinedStackState,
    UnknownStackInsn,
    UnknownStackMemoryOperation,
    UnsupportedStackRegisterModification,
    UnsupportedStackRealignment,
}

/// Applies one operation.
pub fn apply(state: &mut CfiState, op: &StackOp, context: &Context<'_>) -> Result<(), StepFault> {
    if state.force_undefined {
        return Ok(());
    }
    if state.cfa.base == Base::UNDEFINED {
        return if context.in_function { Err(StepFault::UndefinedStackState) } else { Ok(()) };
    }
    let types = context.rules.layout.hints;
    if state.kind == types.regs || state.kind == types.regs_partial {
        apply_in_regs_frame(state, op);
        return Ok(());
    }
    match (op.dest, op.src) {
        (Dest::Reg(d), Source::Reg(s)) => case_1_move(state, d, s, context.rules),
        (Dest::Reg(d), Source::Add(s, n)) => return case_2_add(state, d, s, n, context),
        (Dest::Reg(d), Source::And(_)) => return case_3_and(state, d),
        (Dest::Reg(d), Source::Pop | Source::Popf) => case_4_pop(state, d),
        (Dest::Reg(d), Source::Indirect(s, n)) => case_5_load(state, d, s, n),
        (Dest::Reg(_), Source::Const) => return Err(StepFault::UnknownStackInsn),
        (Dest::Push | Dest::Pushf, src) => case_6_push(state, src, context),
        (Dest::Indirect(d, n), Source::Reg(s)) => case_7_store(state, d, n, s),
        (Dest::Indirect(..), _) => {}
        (Dest::Mem, Source::Pop | Source::Popf) => case_8_pop_to_memory(state),
        (Dest::Mem, _) => return Err(StepFault::UnknownStackMemoryOperation),
    }
    Ok(())
}

/// In an interrupt frame only the distance to its end is followed.
fn apply_in_regs_frame(state: &mut CfiState, op: &StackOp) {
    if state.cfa.base != Base::SP && state.cfa.base != Base::SP_INDIRECT {
        return;
    }
    state.cfa.offset = state.cfa.offset.wrapping_add(op.growth());
}

fn case_1_move(state: &mut CfiState, d: Base, s: Base, rules: &Rules) {
    let cfa = state.cfa;
    if s == Base::SP
        && d == Base::BP
        && cfa.base == Base::SP
        && state.reg(Base::BP) == Rule::new(Base::CFA, cfa.offset.wrapping_neg())
    {
        // Case 1.a
        state.cfa.base = Base::BP;
        state.bp_scratch = false;
    } else if s == Base::SP && d == Base::BP && state.drap {
        // Case 1.b
        state.regs.set(Base::BP, Rule::new(Base::BP, state.stack_size.wrapping_neg()));
        state.bp_scratch = false;
    } else if s == Base::SP && cfa.base == Base::SP {
        // Case 1.c
        let value = Rule::new(Base::CFA, state.stack_size.wrapping_neg());
        state.vals.set(d, value);
    } else if s == Base::BP && d == Base::SP && (cfa.base == Base::BP || cfa.base == state.drap_reg) {
        // Case 1.d
        state.stack_size = state.reg(Base::BP).offset.wrapping_neg();
    } else if d == cfa.base {
        case_1_cfa_register(state, s);
    } else if d == Base::SP && state.val(s) == Rule::new(Base::SP_INDIRECT, cfa.offset) {
        // Case 1.h
        state.stack_size = state.stack_size.wrapping_add(8);
    } else if rules.walk.vals_copied && state.val(s).base == Base::CFA {
        // Case 1.i
        let value = state.val(s);
        state.vals.set(d, value);
    }
}

fn case_1_cfa_register(state: &mut CfiState, s: Base) {
    let value = state.val(s);
    if state.cfa.base == Base::SP && value.base == Base::CFA {
        // Case 1.e
        state.cfa.offset = value.offset.wrapping_neg();
        state.stack_size = state.cfa.offset;
    } else if state.cfa.base == Base::SP && value == Rule::new(Base::SP_INDIRECT, state.cfa.offset) {
        // Case 1.f
        state.cfa.base = Base::SP_INDIRECT;
    } else {
        // Case 1.g
        state.cfa = Rule::UNDEFINED;
    }
}

fn case_2_add(state: &mut CfiState, d: Base, s: Base, n: i32, context: &Context<'_>) -> Result<(), StepFault> {
    if d == Base::SP && s == Base::SP {
        // Case 2.a
        state.stack_size = state.stack_size.wrapping_sub(n);
        if state.cfa.base == Base::SP {
            state.cfa.offset = state.cfa.offset.wrapping_sub(n);
        }
    } else if d == Base::SP && s == Base::BP {
        // Case 2.b: nothing to learn while the frame pointer itself is the CFA.
        if !(context.rules.walk.lea_bp_checked && state.cfa == Rule::new(Base::BP, 0)) {
            state.stack_size = n.wrapping_add(state.reg(Base::BP).offset).wrapping_neg();
        }
    } else if s == Base::SP && state.cfa.base == Base::SP {
        // Case 2.c
        state.drap_reg = d;
        let value = Rule::new(Base::CFA, n.wrapping_sub(state.stack_size));
        state.vals.set(d, value);
    } else if state.drap && d == Base::SP && s == state.drap_reg {
        // Case 2.d
        state.cfa = Rule::new(Base::SP, n.wrapping_neg());
        state.stack_size = state.cfa.offset;
        state.drap_reg = Base::UNDEFINED;
        state.drap = false;
    } else if d == state.cfa.base && !context.hint_follows {
        // Case 2.e
        return Err(StepFault::UnsupportedStackRegisterModification);
    }
    Ok(())
}

fn case_3_and(state: &mut CfiState, d: Base) -> Result<(), StepFault> {
    let remembered = state.drap_reg != Base::UNDEFINED;
    let supported = if remembered { state.cfa.base == Base::SP } else { state.cfa.base == Base::BP };
    if d != Base::SP || !supported {
        return Err(StepFault::UnsupportedStackRealignment);
    }
    if remembered {
        state.cfa = Rule::new(state.drap_reg, 0);
        state.stack_size = 0;
        state.drap = true;
    }
    Ok(())
}

fn case_4_pop(state: &mut CfiState, d: Base) {
    if d == Base::SP && state.cfa.base == Base::SP_INDIRECT {
        // Case 4.a
        state.cfa.base = Base::SP;
        return;
    }
    if !state.drap && d == state.cfa.base {
        // Case 4.b
        state.cfa.base = Base::SP;
    }
    // Case 4.c
    if state.drap
        && state.cfa.base == Base::BP_INDIRECT
        && d == state.drap_reg
        && state.drap_offset == state.stack_size.wrapping_neg()
    {
        state.cfa = Rule::new(state.drap_reg, 0);
        state.drap_offset = -1;
    } else if state.stack_size.wrapping_neg() == state.reg(d).offset {
        restore(state, d);
    }
    // Case 4.d
    shrink(state);
}

fn case_5_load(state: &mut CfiState, d: Base, s: Base, n: i32) {
    // Case 5.a
    if !state.drap && d == state.cfa.base && d == Base::BP {
        state.cfa = Rule::new(Base::SP, state.stack_size);
    }
    // Case 5.b
    if state.drap && s == Base::BP && n == state.drap_offset {
        state.cfa = Rule::new(state.drap_reg, 0);
        state.drap_offset = -1;
    }
    // Case 5.c
    let saved = state.reg(d).offset;
    if (state.drap && s == Base::BP && n == saved)
        || (s == state.cfa.base && n == saved.wrapping_add(state.cfa.offset))
        || (s == Base::SP && n == saved.wrapping_add(state.stack_size))
    {
        restore(state, d);
    }
}

fn case_6_push(state: &mut CfiState, src: Source, context: &Context<'_>) {
    state.stack_size = state.stack_size.wrapping_add(8);
    if state.cfa.base == Base::SP {
        state.cfa.offset = state.cfa.offset.wrapping_add(8);
    }
    let Source::Reg(s) = src else { return };
    let top = state.stack_size.wrapping_neg();
    if state.drap {
        // Case 6.a
        if s == state.cfa.base && s == state.drap_reg {
            state.cfa = Rule::new(Base::BP_INDIRECT, top);
            state.drap_offset = top;
        } else if s == Base::BP && state.cfa.base == state.drap_reg {
            state.stack_size = 0;
        } else {
            save(state, s, Rule::new(Base::BP, top));
        }
    } else {
        // Case 6.b
        save(state, s, Rule::new(Base::CFA, top));
    }
    // Case 6.c
    if context.stackval && context.in_function && s == Base::BP && state.cfa.base != Base::BP {
        state.bp_scratch = true;
    }
}

fn case_7_store(state: &mut CfiState, d: Base, n: i32, s: Base) {
    if state.drap {
        if s == state.cfa.base && s == state.drap_reg {
            // Case 7.a
            state.cfa = Rule::new(Base::BP_INDIRECT, n);
            state.drap_offset = n;
        } else {
            // Case 7.b
            save(state, s, Rule::new(Base::BP, n));
        }
    } else if d == state.cfa.base {
        // Case 7.c
        save(state, s, Rule::new(Base::CFA, n.wrapping_sub(state.cfa.offset)));
    } else if d == Base::SP {
        // Case 7.d
        save(state, s, Rule::new(Base::CFA, n.wrapping_sub(state.stack_size)));
    } else if s == Base::SP && n == 0 {
        // Case 7.e
        let value = Rule::new(Base::SP_INDIRECT, state.cfa.offset);
        state.vals.set(d, value);
    }
}

fn case_8_pop_to_memory(state: &mut CfiState) {
    shrink(state);
}

fn shrink(state: &mut CfiState) {
    state.stack_size = state.stack_size.wrapping_sub(8);
    if state.cfa.base == Base::SP {
        state.cfa.offset = state.cfa.offset.wrapping_sub(8);
    }
}

/// Only the first place where a register is saved counts; of those that are not followed, none.
fn save(state: &mut CfiState, register: Base, rule: Rule) {
    if register != Base::RA && state.reg(register).base == Base::UNDEFINED {
        state.regs.set(register, rule);
    }
}

fn restore(state: &mut CfiState, register: Base) {
    let entry = if register == Base::RA { Rule::new(Base::CFA, -8) } else { Rule::UNDEFINED };
    state.regs.set(register, entry);
}
