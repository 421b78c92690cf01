//! What is checked at returns, calls, jumps and instructions that change the processor's state.
//!
//! In: an instruction with the state at it.  Out: findings; whether the path goes on.
//! Reads like: `validate_return`, `validate_call`, `validate_sibling_call` and the type switch of `validate_branch` in
//! `tools/objtool/check.c`.

use crate::decode::Kind;
use crate::findings::Fault;
use crate::flow::{Flags, PV_OPS, calls};
use crate::ids::{InsnId, SymbolId};

use super::Input;
use super::walk::{After, FrameView, Verdict, Walk, WalkState};

impl Walk<'_, '_> {
    /// By the instruction's kind.
    pub(super) fn check(
        &mut self,
        function: Option<SymbolId>,
        id: InsnId,
        state: &mut WalkState,
        view: FrameView,
    ) -> After {
        let kind = self.input.insns.kind(id);
        if self.sls_checked && matches!(kind, Kind::Return | Kind::JumpDynamic) {
            self.check_trap(id, kind == Kind::Return);
        }
        match kind {
            Kind::Return => self.check_return(function, state, view),
            Kind::Call | Kind::CallDynamic => self.check_call_insn(function, id, state, view),
            Kind::JumpConditional | Kind::JumpUnconditional | Kind::JumpDynamic | Kind::JumpDynamicConditional => {
                self.check_jump(id, state, view)
            }
            Kind::ContextSwitch | Kind::Syscall | Kind::Sysret => self.check_context_switch(function, id, view),
            Kind::Stac | Kind::Clac => self.check_uaccess(function, id, state, view),
            Kind::Std | Kind::Cld => self.check_direction(function, id, state, view),
            _ => After::Go,
        }
    }

    fn uaccess_safe(&self, function: Option<SymbolId>) -> bool {
        function.is_some_and(|function| self.input.symbols.traits(function).uaccess_safe)
    }

    fn check_return(&mut self, function: Option<SymbolId>, state: &WalkState, view: FrameView) -> After {
        let safe = self.uaccess_safe(function);
        let cfi = self.states.get(state.cfi);
        let fault = if state.noinstr && state.instr > 0 {
            Fault::ReturnWithInstrumentation
        } else if state.uaccess && !safe {
            Fault::ReturnWithUaccess
        } else if !state.uaccess && safe {
            Fault::ReturnWithoutUaccess
        } else if state.df {
            Fault::ReturnWithDirectionFlag
        } else if function.is_some() && cfi.frame_modified() {
            Fault::ReturnWithModifiedFrame
        } else if cfi.bp_scratch {
            Fault::FramePointerScratched
        } else {
            return After::Stop(Verdict::End);
        };
        self.found(fault, view, false, false)
    }

    /// `None` when the call is fine.
    fn judge_call(&mut self, id: InsnId, state: &WalkState, view: FrameView) -> Option<After> {
        let callee = self.input.flow.direct_callee(self.input.insns, id);
        let fault = if state.noinstr && state.instr <= 0 && !self.noinstr_callee(id, callee) {
            Fault::CallLeavesNoinstr { callee: self.callee_name(id, callee) }
        } else if state.uaccess && !self.uaccess_safe(callee) {
            Fault::CallWithUaccess { callee: self.callee_name(id, callee) }
        } else if state.df {
            Fault::CallWithDirectionFlag { callee: self.callee_name(id, callee) }
        } else {
            return None;
        };
        Some(self.found(fault, view, false, true))
    }

    fn callee_name(&self, id: InsnId, callee: Option<SymbolId>) -> String {
        match callee {
            Some(callee) => self.input.image.symbol_name(callee).to_owned(),
            None => self.pv_op_name(id).unwrap_or_else(|| "{dynamic}".to_owned()),
        }
    }

    /// The slot of `pv_ops` that an indirect call goes through, as a release names it that still knows the relocation.
    /// It divides the addend as it stands, which of an address relative to the instruction is four too small.
    fn pv_op_name(&self, id: InsnId) -> Option<String> {
        if !self.input.rules.walk.pv_ops_named || !self.input.flow.has_pv_ops {
            return None;
        }
        let insn = self.input.insns.get(id);
        let relocs = &self.input.image.section(self.input.insns.section_of(id)).relocs;
        let reloc = relocs.first_in(u64::from(insn.offset), u64::from(insn.end()))?;
        let slot = (reloc.addend as u64 / 8) as i32;
        (self.input.image.symbol_name(reloc.symbol) == PV_OPS).then(|| format!("pv_ops[{slot}]"))
    }

    /// Whether noinstr code may call this.
    fn noinstr_callee(&mut self, id: InsnId, callee: Option<SymbolId>) -> bool {
        let input = self.input;
        let Some(callee) = callee else {
            return (input.flow.has_pv_ops && self.noinstr_pv_op(id)) || input.calls_through_other_part(id);
        };
        if input.is_of_other_part(callee) {
            return true;
        }
        let section = input.image.symbol(callee).section;
        input.flow.section(section).noinstr
            || (input.rules.walk.static_call_tramp_is_noinstr && input.symbols.traits(callee).static_call_tramp)
            || input.image.symbol_name(callee).starts_with("__ubsan_handle_")
    }

    /// An indirect call through a paravirt slot is fine when every function that may be in the slot is.
    fn noinstr_pv_op(&mut self, id: InsnId) -> bool {
        let input = self.input;
        let Some((slot, targets)) = input.flow.paravirt(input.image, input.insns, id) else { return false };
        let mut clean = true;
        for &target in targets {
            if !input.is_of_other_part(target) && !input.flow.section(input.image.symbol(target).section).noinstr {
                self.plain(Fault::ParavirtOp { slot, target }, None, Some(target));
                clean = false;
            }
        }
        clean
    }

    fn check_call_insn(&mut self, function: Option<SymbolId>, id: InsnId, state: &WalkState, view: FrameView) -> After {
        if let Some(after) = self.judge_call(id, state, view)
            && !matches!(after, After::Go)
        {
            return after;
        }
        let input = self.input;
        if input.options.stackval && function.is_some() && !self.is_special_call(id) {
            let cfi = self.states.get(state.cfi);
            if !cfi.frame_valid() {
                return self.found(Fault::CallWithoutFramePointer, view, true, true);
            }
        }
        After::Go
    }

    /// A call that is made before a frame is set up.
    fn is_special_call(&self, id: InsnId) -> bool {
        let Input { flow, insns, .. } = self.input;
        insns.kind(id) == Kind::Call
            && flow.callee(id).is_some_and(|callee| {
                let traits = self.input.symbols.traits(callee);
                traits.fentry || traits.embedded_insn
            })
    }

    fn check_jump(&mut self, id: InsnId, state: &WalkState, view: FrameView) -> After {
        let input = self.input;
        if !calls::is_sibling_call(
            input.flow,
            input.insns,
            input.symbols,
            input.rules.branches.sibling_needs_function,
            id,
        ) {
            return After::Go;
        }
        let owned = input.flow.function(input.symbols, id).is_some();
        if owned && self.states.get(state.cfi).frame_modified() {
            return self.found(Fault::SiblingCallWithModifiedFrame, view, false, true);
        }
        self.judge_call(id, state, view).unwrap_or(After::Go)
    }

    fn check_context_switch(&mut self, function: Option<SymbolId>, id: InsnId, view: FrameView) -> After {
        let Input { flow, insns, .. } = self.input;
        let kind = insns.kind(id);
        if function.is_some() {
            let next = flow.next(self.input.insns, id);
            if !next.is_some_and(|next| flow.has(next, Flags::HINT)) {
                return self.found(Fault::UnsupportedInstruction, view, true, false);
            }
        }
        let ends = match kind {
            Kind::Syscall => false,
            Kind::Sysret => true,
            _ => function.is_none(),
        };
        if ends { After::Stop(Verdict::End) } else { After::Go }
    }

    fn check_uaccess(
        &mut self,
        function: Option<SymbolId>,
        id: InsnId,
        state: &mut WalkState,
        view: FrameView,
    ) -> After {
        if !self.uaccess_checked {
            return After::Go;
        }
        let opens = self.input.insns.kind(id) == Kind::Stac;
        let fault = if opens {
            state.uaccess.then_some(Fault::UaccessRecursive)
        } else if !state.uaccess && function.is_some() {
            Some(Fault::UaccessRedundant)
        } else if self.uaccess_safe(function) && state.uaccess_stack == 0 {
            Some(Fault::UaccessSafeDisables)
        } else {
            None
        };
        state.uaccess = opens;
        match fault {
            Some(fault) => self.found(fault, view, true, true),
            None => After::Go,
        }
    }

    fn check_direction(
        &mut self,
        function: Option<SymbolId>,
        id: InsnId,
        state: &mut WalkState,
        view: FrameView,
    ) -> After {
        let sets = self.input.insns.kind(id) == Kind::Std;
        let fault = if sets {
            state.df.then_some(Fault::DirectionFlagRecursive)
        } else {
            (!state.df && function.is_some()).then_some(Fault::DirectionFlagRedundant)
        };
        state.df = sets;
        match fault {
            Some(fault) => self.found(fault, view, true, true),
            None => After::Go,
        }
    }
}
