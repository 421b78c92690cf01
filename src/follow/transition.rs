//! What an instruction does to the state of a path.
//!
//! In: the state before it, its stack operations.  Out: the state behind it.

use crate::cfi::{Context, Dest, Source, apply};
use crate::findings::Fault;
use crate::flow::Flags;
use crate::ids::{CfiId, InsnId};

use super::limits::Stopped;
use super::walk::{Walk, WalkState};

impl Walk<'_, '_> {
    /// The stack operations of an instruction.
    pub(super) fn apply_ops(&mut self, id: InsnId, ops: u32, walk: &mut WalkState) -> Result<(), Stopped> {
        let flow = self.input.flow;
        if self.uaccess_checked && flow.has(id, Flags::GROUP) {
            return self.apply_tracked(id, walk);
        }
        let in_function = self.function_of(id).is_some();
        let hint_follows = self.hint_follows(id);
        let ops = ops << 2 | u32::from(in_function) << 1 | u32::from(hint_follows);
        let &mut [from, by, to] = self.transitions.slot(walk.cfi, ops);
        if (from, by) == (walk.cfi.0, ops) {
            walk.cfi = CfiId(to);
            return Ok(());
        }
        let before = walk.cfi;
        let old = self.states.get(before);
        let mut state = old.clone();
        let context = self.context(in_function, hint_follows);
        for op in self.input.insns.ops(id) {
            apply(&mut state, op, &context)?;
        }
        if state != *old {
            walk.cfi = self.intern(state)?;
        }
        *self.transitions.slot(before, ops) = [before.0, ops, walk.cfi.0];
        Ok(())
    }

    /// In alternatives, PUSHF and POPF also save and restore whether user access is open.
    fn apply_tracked(&mut self, id: InsnId, walk: &mut WalkState) -> Result<(), Stopped> {
        let in_function = self.function_of(id).is_some();
        let context = self.context(in_function, self.hint_follows(id));
        let mut state = self.states.get(walk.cfi).clone();
        for op in self.input.insns.ops(id) {
            apply(&mut state, op, &context)?;
            if op.dest == Dest::Pushf {
                if walk.uaccess_stack == 0 {
                    walk.uaccess_stack = 1;
                } else if walk.uaccess_stack >> 31 != 0 {
                    return Err(Fault::PushfStackExhausted.into());
                }
                walk.uaccess_stack = walk.uaccess_stack << 1 | u32::from(walk.uaccess);
            }
            if op.src == Source::Popf && walk.uaccess_stack != 0 {
                walk.uaccess = walk.uaccess_stack & 1 != 0;
                walk.uaccess_stack >>= 1;
                if walk.uaccess_stack == 1 {
                    walk.uaccess_stack = 0;
                }
            }
        }
        walk.cfi = self.intern(state)?;
        Ok(())
    }

    fn hint_follows(&self, id: InsnId) -> bool {
        let next = self.input.flow.next(self.input.insns, id);
        next.is_some_and(|next| self.input.flow.has(next, Flags::HINT))
    }

    fn context(&self, in_function: bool, hint_follows: bool) -> Context<'_> {
        Context { in_function, hint_follows, stackval: self.input.options.stackval, rules: self.input.rules }
    }
}
