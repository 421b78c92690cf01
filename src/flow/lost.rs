//! Gets back annotations and unwind hints of a finished module that its stored table betrays.
//!
//! In: the stored table.  Out: hints where nothing leads and the table knows the frame, alternatives that are ignored.
//! Holds afterwards: only places that the stored table calls known have got something, so code that objtool did not follow
//! is not followed.
//! Reads like: `UNWIND_HINT_SAVE`, `UNWIND_HINT_RESTORE` and `ANNOTATE_IGNORE_ALTERNATIVE` in `include/linux/objtool.h`.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cfi::CfiState;
use crate::decode::Kind;
use crate::ids::{InsnId, SectionId, SymbolId};
use crate::kernel::rules::OrcNumber;

use super::Flags;
use super::builder::Builder;
use super::recover::{Frame, Frames};

/// The CFA at a function's entry lies so far above the stack pointer.
const RETURN_ADDRESS: [u8; 2] = [8, 0];

impl Builder<'_> {
    /// Code that nothing leads to has a frame where a hint gave one.
    pub(super) fn recover_hints(&mut self, frames: &Frames) {
        let reached = self.reached();
        let text = |&section: &SectionId| self.graph.section(section).text;
        let sections: Vec<SectionId> = self.image.sections().map(|(id, _)| id).filter(text).collect();
        for section in sections {
            let mut function = None;
            let mut goes_on = false;
            // Where the function last had the frame.
            let mut last: FxHashMap<Frame, InsnId> = FxHashMap::default();
            for id in self.insns.of_section(section) {
                let owner = self.function(id);
                if owner != function {
                    last.clear();
                    function = owner;
                }
                let Some(frame) = frames.at(self.insns.loc(id)) else {
                    goes_on = false;
                    continue;
                };
                // The arms of an alternative share their rows.
                let in_alternative = self.graph.has(id, Flags::GROUP);
                if !goes_on && !in_alternative && !reached.contains(&id) {
                    match owner {
                        Some(owner) => self.recover_restored(id, owner, frame, &mut last),
                        None => self.recover_unnamed(id, frame),
                    }
                }
                last.insert(frame, id);
                goes_on = in_alternative || !self.ends_path(id);
            }
        }
    }

    /// Inside a function the frame is one that it had before.
    fn recover_restored(&mut self, id: InsnId, owner: SymbolId, frame: Frame, last: &mut FxHashMap<Frame, InsnId>) {
        let at = self.insns.loc(id);
        let starts = self.symbols.function_at(at.section, at.offset).is_some();
        // A save is looked for from the start of the whole function on, so not for its cold part.
        let whole = self.symbols.parent(owner).is_none_or(|parent| parent == owner);
        if starts || !whole || self.graph.has(id, Flags::IGNORE) {
            return;
        }
        let Some(&saved) = last.get(&frame) else { return };
        self.save(saved);
        self.graph.set(id, Flags::RESTORE);
        self.declare(id, Flags::HINT);
        // The next one is not to be given the state of a place before this save.
        last.clear();
    }

    /// Outside of all functions it is a function that another one overrode when the module was linked.
    fn recover_unnamed(&mut self, id: InsnId, frame: Frame) {
        if frame[..2] == RETURN_ADDRESS && OrcNumber(frame[4] & 15) == self.rules.layout.orc_regs.sp {
            self.graph.hints.insert(id, CfiState::function_entry(self.rules.layout.hints.call));
            self.declare(id, Flags::HINT);
        }
    }

    /// Where branches lead.
    fn reached(&self) -> FxHashSet<InsnId> {
        let jumps = [Kind::JumpConditional, Kind::JumpUnconditional, Kind::JumpDynamicConditional];
        let targets = self.graph.branches(&jumps).filter_map(|id| self.graph.jump_target(id));
        let alternates =
            self.graph.alternates.values().chain(&self.graph.tables).flatten().filter_map(|alternate| alternate.to);
        targets.chain(alternates).collect()
    }

    /// Behind a trap it is [`Builder::recover_warnings`] that knows whether the path goes on.
    fn ends_path(&self, id: InsnId) -> bool {
        matches!(self.insns.kind(id), Kind::JumpUnconditional | Kind::JumpDynamic | Kind::Return)
    }

    /// Calls that may not be made with user access open, and that objtool went on behind, were made with it closed: the
    /// alternatives that open and close it are ignored.
    pub(super) fn recover_ignored_alternatives(&mut self, frames: &Frames) {
        if !self.options.uaccess {
            return;
        }
        let opening: Vec<InsnId> =
            self.graph.alternates.keys().copied().filter(|&id| self.has_arm(id, Kind::Stac)).collect();
        for opens in opening {
            let Some(closes) = self.closes_behind_call(opens, frames) else { continue };
            self.ignore_arms(opens);
            self.ignore_arms(closes);
        }
    }

    /// What closes user access behind a call, on the straight way from where it is opened.
    fn closes_behind_call(&self, opens: InsnId, frames: &Frames) -> Option<InsnId> {
        let mut calls = false;
        let mut id = self.insns.next_in_section(opens)?;
        while !self.has_arm(id, Kind::Clac) {
            let next = self.insns.next_in_section(id)?;
            match self.insns.kind(id) {
                Kind::Call => {
                    let safe = self.graph.callee(id).is_some_and(|callee| self.symbols.traits(callee).uaccess_safe);
                    calls |= !safe && frames.at(self.insns.loc(next)).is_some();
                }
                Kind::JumpConditional | Kind::JumpUnconditional | Kind::JumpDynamic | Kind::Return => return None,
                _ if self.has_arm(id, Kind::Stac) => return None,
                _ => {}
            }
            id = next;
        }
        calls.then_some(id)
    }

    fn has_arm(&self, id: InsnId, kind: Kind) -> bool {
        let arms = self.graph.alternates.get(&id).map_or(&[][..], Vec::as_slice);
        arms.iter().filter_map(|alternate| alternate.to).any(|to| self.insns.kind(to) == kind)
    }

    fn ignore_arms(&mut self, id: InsnId) {
        self.graph.set(id, Flags::IGNORE_ALTS);
        let arms: Vec<_> = self.graph.alternates(id).iter().filter_map(|alternate| alternate.to).collect();
        for arm in arms {
            if let Some(group) = self.graph.group_of(arm) {
                self.graph.groups[group.index()].ignore = true;
            }
        }
    }
}
