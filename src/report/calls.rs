//! Who calls whom in an object, and how deep the stack is then.
//!
//! In: an analysis.  Out: [`Calls`]; the deepest chain of calls from a function.
//! Holds afterwards: calls are in the order of their addresses; what a function of another object needs is not known, and said
//! so.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::analysis::Analysis;
use crate::cfi::Base;
use crate::decode::Kind;
use crate::ids::{InsnId, SymbolId};

/// A call, or a jump to another function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The function that calls, or the symbol of entry code.
    pub caller: SymbolId,
    /// The instruction.
    pub insn: InsnId,
    /// What is called.
    pub callee: SymbolId,
    /// Bytes on the stack before the call; `None` where that is not known.
    pub depth: Option<i32>,
    /// User memory is open to access.
    pub user_access: bool,
    /// A jump: the caller's frame is gone.
    pub is_tail: bool,
}

/// All calls of an object.
#[derive(Debug, Default)]
pub struct Calls {
    /// In the order of their addresses.
    pub all: Vec<Call>,
    /// The most bytes on the stack in each function itself.
    own: FxHashMap<SymbolId, i32>,
}

/// A chain of calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Bytes at its end, the return address into the first function counted.
    pub depth: i32,
    /// The functions, the first one first.
    pub functions: Vec<SymbolId>,
    /// On the way functions are called that are in other objects, by pointer, or again: they may need more.
    pub is_open: bool,
}

/// Chains that are longer are cut off.
const MAX_CHAIN: usize = 200;

impl Calls {
    /// The calls of an object.
    pub fn of(analysis: &Analysis) -> Calls {
        let mut calls = Calls::default();
        let mut open_in: Option<SymbolId> = None;
        for insn in (0..analysis.insns.n_real()).map(InsnId::from_index) {
            let owner = analysis.flow.owner(insn).filter(|owner| is_function(analysis, *owner));
            // Entry code is in symbols that are no functions; what its stack holds is no frame of a caller's.
            let is_entry = owner.is_none();
            let Some(caller) = owner.or_else(|| entry_code(analysis, insn)) else { continue };
            match analysis.insns.kind(insn) {
                Kind::Stac => open_in = Some(caller),
                Kind::Clac => open_in = None,
                _ => {}
            }
            let state = analysis.states.state(insn).filter(|state| state.cfa.base != Base::UNDEFINED);
            let depth = state.map(|state| state.stack_size).filter(|_| !is_entry);
            if let Some(depth) = depth {
                let own = calls.own.entry(caller).or_insert(depth);
                *own = (*own).max(depth);
            }
            let is_call = matches!(analysis.insns.kind(insn), Kind::Call);
            let Some(callee) = analysis.flow.direct_callee(&analysis.insns, insn) else { continue };
            if is_tracer(analysis.image.symbol_name(callee)) {
                continue;
            }
            calls.all.push(Call {
                caller,
                insn,
                callee,
                depth,
                user_access: open_in == Some(caller),
                is_tail: !is_call,
            });
        }
        calls
    }

    /// The calls of a function.
    pub fn to(&self, callee: SymbolId) -> impl Iterator<Item = &Call> {
        self.all.iter().filter(move |call| call.callee == callee)
    }

    /// The calls in a function.
    pub fn from(&self, caller: SymbolId) -> impl Iterator<Item = &Call> {
        self.all.iter().filter(move |call| call.caller == caller)
    }

    /// The deepest chain of calls from a function, as far as the object shows; `None` where its own depth is unknown.
    pub fn deepest(&self, from: SymbolId) -> Option<Chain> {
        let mut by_caller: FxHashMap<SymbolId, Vec<&Call>> = FxHashMap::default();
        for call in &self.all {
            by_caller.entry(call.caller).or_default().push(call);
        }
        // What is on the way is found again where functions call each other.
        let mut known: FxHashMap<SymbolId, Chain> = FxHashMap::default();
        let mut on_way: FxHashSet<SymbolId> = FxHashSet::default();
        let mut stack = vec![(from, false)];
        while let Some((function, is_left)) = stack.pop() {
            let calls = by_caller.get(&function).map(Vec::as_slice).unwrap_or_default();
            if !is_left {
                if known.contains_key(&function) || !on_way.insert(function) {
                    continue;
                }
                stack.push((function, true));
                let next = calls.iter().map(|call| call.callee).filter(|callee| self.own.contains_key(callee));
                stack.extend(next.map(|callee| (callee, false)));
                continue;
            }
            on_way.remove(&function);
            let own = self.own.get(&function).copied().unwrap_or(0);
            let mut best = Chain { depth: own, functions: vec![function], is_open: false };
            let mut is_open = false;
            for call in calls {
                match (known.get(&call.callee), call.depth) {
                    (Some(chain), Some(depth)) => {
                        is_open |= chain.is_open;
                        // A jump leaves its own return address to the callee.
                        let depth = depth.saturating_add(chain.depth).saturating_sub(if call.is_tail { 8 } else { 0 });
                        if depth > best.depth && chain.functions.len() < MAX_CHAIN {
                            let functions = [function].into_iter().chain(chain.functions.iter().copied());
                            best = Chain { depth, functions: functions.collect(), is_open: false };
                        }
                    }
                    _ => is_open = true,
                }
            }
            best.is_open = is_open;
            known.insert(function, best);
        }
        self.own.get(&from)?;
        known.remove(&from)
    }
}

/// The symbol with a size, no function's, that an instruction is in.
fn entry_code(analysis: &Analysis, insn: InsnId) -> Option<SymbolId> {
    let at = analysis.insns.loc(insn);
    let symbol = analysis.symbols.symbol_containing(at.section, at.offset)?;
    (!is_function(analysis, symbol)).then_some(symbol)
}

fn is_function(analysis: &Analysis, symbol: SymbolId) -> bool {
    analysis.image.symbol(symbol).is_function()
}

/// Calls that the compiler puts at the head of every function, and that tracing patches.
pub fn is_tracer(name: &str) -> bool {
    matches!(name, "__fentry__" | "mcount" | "_mcount")
}
