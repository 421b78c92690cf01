//! What belongs together in an alternative, and how its arms are called.
//!
//! In: the alternative groups of the flow.  Out: questions that [`View`] answers about them.

use crate::cfi::CfiState;
use crate::findings::Finding;
use crate::flow::AltGroup;
use crate::ids::{GroupId, InsnId};
use crate::report::features::feature;
use crate::report::view::View;

/// An instruction boundary of an arm.
#[derive(Clone, Copy, Debug)]
pub struct Boundary {
    /// Bytes from the start of the arm.
    pub offset: u32,
    /// The instruction there.
    pub insn: InsnId,
    /// Not in the object: the NOPs with which the kernel fills up a short replacement.
    pub padding: bool,
}

impl View<'_> {
    /// The arms of the alternative that `group` belongs to, the original code first.
    pub fn arms(&self, group: GroupId) -> Vec<GroupId> {
        let original = self.analysis.flow.group(group).original.unwrap_or(group);
        let replacements = self.replacements().get(&original).into_iter().flatten().copied();
        std::iter::once(original).chain(replacements).collect()
    }

    /// `the original code`, `the replacement for X86_FEATURE_SMAP`.
    pub fn arm_name(&self, insn: InsnId) -> Option<String> {
        let group = self.analysis.flow.group(self.analysis.flow.group_of(insn)?);
        Some(match group.original {
            None => "the original code".to_owned(),
            Some(_) => format!("the replacement for {}", feature(group.feature, self.analysis.kernel)),
        })
    }

    /// Whether an instruction is one of a replacement.
    pub fn is_replacement(&self, insn: InsnId) -> bool {
        let group = self.analysis.flow.group_of(insn);
        group.is_some_and(|group| self.analysis.flow.group(group).original.is_some())
    }

    /// How far from the start of its arm an instruction is.
    pub fn offset_in_arm(&self, insn: InsnId) -> Option<u32> {
        let group = self.analysis.flow.group(self.analysis.flow.group_of(insn)?);
        self.boundaries(group).into_iter().find(|boundary| boundary.insn == insn).map(|boundary| boundary.offset)
    }

    /// The instruction boundaries of an arm, ascending.
    pub fn boundaries(&self, group: &AltGroup) -> Vec<Boundary> {
        let insns = &self.analysis.insns;
        let mut boundaries = Vec::new();
        if let (Some(start), Some(last)) = (group.start, group.last) {
            for insn in (group.first.0..=last.0).map(InsnId) {
                let offset = insns.get(insn).offset.wrapping_sub(start.offset as u32);
                boundaries.push(Boundary { offset, insn, padding: false });
            }
        }
        if let Some(nop) = group.nop {
            let offset = group.length.saturating_sub(u32::from(insns.get(nop).len));
            boundaries.push(Boundary { offset, insn: nop, padding: true });
        }
        boundaries
    }

    /// The finding that says that arms disagree at `insn`.
    pub fn conflict_at(&self, insn: InsnId) -> Option<&Finding> {
        self.conflicts().get(&insn).and_then(|&index| self.analysis.findings.get(index))
    }

    /// The state before an instruction of an arm; where it is in conflict with the recorded one, its own.
    pub fn state_in_arm(&self, insn: InsnId) -> Option<&CfiState> {
        let own = self.conflict_at(insn).and_then(|finding| finding.states.iter().rfind(|state| state.insn == insn));
        own.map(|state| &state.state).or_else(|| self.analysis.states.state(insn))
    }
}
