//! Follows an object's code from all of its entries, until nothing changes.
//!
//! In: [`Ground`].  Out: [`States`], with the registers that functions of their own convention keep.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::code::{Code, NONE};
use super::relocated::place_of;
use super::row::{CfaRule, Row, Rule};
use super::state::{Direction, State};
use super::value::{CALLEE_SAVED, RSP, VOLATILE, Value};
use super::walk::{Exit, Ground, Sink, States, as_row_says};
use crate::cancel::{CancelToken, Cancelled};
use crate::image::{ElfImage, STB_LOCAL};

/// How a path leaves a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// The instruction by which it leaves.
    pub at: u32,
    /// How.
    pub exit: Exit,
    /// Registers that are as they were.
    pub same: u16,
    /// Those of which it is not known.
    pub unknown: u16,
    /// Those that differ by path.
    pub differs: u16,
    /// The stack pointer.
    pub rsp: Value,
    /// The direction flag.
    pub direction: Direction,
    /// The word that rsp points to.
    pub top: Option<Value>,
}

/// Functions that begin inside another one's description: their name is global, their row that of an entry.
pub(super) fn inner_entries(image: &ElfImage, code: &Code, ground: &Ground<'_>) -> Vec<u32> {
    let mut found = Vec::new();
    for (_, symbol) in image.symbols() {
        if symbol.is_undefined() || symbol.binding == STB_LOCAL || !image.section(symbol.section).is_code() {
            continue;
        }
        let Some(at) = place_of(image, symbol).and_then(|at| code.at(at)) else { continue };
        let row = code.get(at).and_then(|insn| ground.row(insn));
        if !ground.starts.contains_key(&at) && row.is_some_and(Row::is_of_entry) {
            found.push(at);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Follows all paths, from all entries.
pub(super) fn settle(ground: &Ground<'_>, entries: &[u32], cancel: &CancelToken) -> Result<States, Cancelled> {
    let mut states = States::default();
    let mut starts: Vec<(u32, u32)> = ground.starts.iter().map(|(&at, &fde)| (at, fde)).collect();
    starts.sort_unstable();
    starts.retain(|&(_, fde)| ground.is_readable(fde));
    for &(at, fde) in starts.iter().filter(|&&(_, fde)| !ground.is_part(fde)) {
        let Some(row) = ground.first_row(fde) else { continue };
        // Resolvers and stubs are entered with words on the stack by design; their rows say with how many.
        let ordinary =
            row.cfa == CfaRule::Register { reg: u16::from(RSP), offset: 8 } && row.rules[6] == Rule::Offset(-8);
        states.arrive(at, &if ordinary { State::at_entry() } else { as_row_says(row) }, None);
    }
    states.settle(ground, cancel)?;
    // What nobody jumps to is entered as its first row says.
    for &(at, fde) in &starts {
        // Padding that a part begins with never runs.
        let padding = ground.is_part(fde) && ground.judge.code.get(at).is_some_and(|insn| insn.is_nop);
        if let (Some(row), None, false) = (ground.first_row(fde), states.get(at), padding) {
            states.arrive(at, &as_row_says(row), None);
            states.settle(ground, cancel)?;
        }
    }
    for &at in entries {
        if states.get(at).is_none() {
            states.arrive(at, &State::at_entry(), None);
        }
    }
    states.settle(ground, cancel)?;
    Ok(states)
}

/// Whether a function that is called here keeps other registers than the convention says.
pub(super) fn matters(ground: &Ground<'_>, kept: &FxHashMap<u32, u16>) -> bool {
    let all: u16 = VOLATILE.iter().fold(!0, |mask, reg| mask & !(1 << reg));
    ground.judge.code.insns.iter().any(|insn| match insn.target {
        super::code::Target::Insn(target) if insn.flow == super::op::Flow::Call => {
            let fde = ground.judge.code.get(target).map_or(NONE, |callee| callee.fde);
            kept.get(&fde).is_some_and(|&kept| kept != all)
        }
        _ => false,
    })
}

/// By description: what it leaves as it was on all ways out.
pub(super) fn kept_registers(left: &BTreeMap<u32, Vec<Left>>) -> FxHashMap<u32, u16> {
    let saved: u16 = CALLEE_SAVED.iter().fold(0, |mask, reg| mask | 1 << reg);
    let mut kept = FxHashMap::default();
    for (&fde, left) in left {
        let mut returns = left.iter().filter(|left| left.exit == Exit::Return).peekable();
        if returns.peek().is_none() {
            continue;
        }
        let (mut all, mut any) = (!0u16, 0u16);
        for left in returns {
            all &= left.same;
            any |= left.same | left.unknown;
        }
        kept.insert(fde, all | (any & saved) | 1 << RSP);
    }
    kept
}
