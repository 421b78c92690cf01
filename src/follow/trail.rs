//! Remembers by which branches each instruction was first reached.
//!
//! In: the activations of the walk.  Out: trails, from the start of the function to an instruction.
//! Holds afterwards: a segment's parent comes before it, so that every trail ends at a root.

use crate::cfi::CfiState;
use crate::decode::InsnTable;
use crate::findings::{StateAt, Step, StepKind};
use crate::flow::FlowGraph;
use crate::ids::InsnId;

/// Ways longer than this are not replayed.
const LONGEST: usize = 100_000;
/// Steps of trails and ways that are put together in all. Only objects made for it have more to tell.
const MOST: usize = 1_000_000;
/// Of few instructions fewer are, besides some for each.
const FEW: usize = 1 << 17;
const STEPS_PER_INSN: usize = 4;
/// Activations that are remembered besides some for each instruction; with more, no trail is told.
const MOST_SEGMENTS: usize = 1 << 18;
const SEGMENTS_PER_INSN: usize = 8;

/// An instruction on a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Passed {
    pub insn: InsnId,
    /// Whether it took effect: an alternate is entered instead of the instruction.
    pub acted: bool,
}

/// An activation of the walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentId(u32);

#[derive(Clone, Copy, Debug)]
struct Segment {
    parent: Option<SegmentId>,
    /// The instruction that branched here.
    from: InsnId,
    start: InsnId,
    kind: StepKind,
}

/// All activations, and which of them visited an instruction first.
#[derive(Debug)]
pub(super) struct Segments {
    segments: Vec<Segment>,
    /// By instruction; empty when trails are not wanted.
    first_visit: Vec<u32>,
    /// How many of [`MOST`] steps are left.
    left: usize,
}

impl Segments {
    /// Space for `n` instructions; with none, nothing is remembered.
    pub(super) fn new(n: usize) -> Segments {
        let left = MOST.min(FEW.saturating_add(STEPS_PER_INSN.saturating_mul(n)));
        Segments { segments: Vec::new(), first_visit: vec![u32::MAX; n], left }
    }

    fn push(&mut self, segment: Segment) -> SegmentId {
        if self.first_visit.is_empty() {
            return SegmentId(0);
        }
        if self.segments.len() >= MOST_SEGMENTS.saturating_add(SEGMENTS_PER_INSN.saturating_mul(self.first_visit.len()))
        {
            self.left = 0;
            return SegmentId(0);
        }
        self.segments.push(segment);
        SegmentId(self.segments.len() as u32 - 1)
    }

    /// An activation at the start of a walk.
    pub(super) fn root(&mut self, start: InsnId) -> SegmentId {
        self.push(Segment { parent: None, from: start, start, kind: StepKind::Start })
    }

    /// An activation that branches from another one.
    pub(super) fn fork(&mut self, parent: SegmentId, from: InsnId, start: InsnId, kind: StepKind) -> SegmentId {
        self.push(Segment { parent: Some(parent), from, start, kind })
    }

    /// Takes down a visit.
    pub(super) fn visit(&mut self, insn: InsnId, segment: SegmentId, first: bool) {
        if first && let Some(slot) = self.first_visit.get_mut(insn.index()) {
            *slot = segment.0;
        }
    }

    /// The branches from the start of the walk to an instruction of a segment. Empty when all trails and ways together
    /// are too long.
    pub(super) fn trail(&mut self, segment: SegmentId) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut at = Some(segment);
        while let Some(segment) = at.and_then(|id| self.segments.get(id.0 as usize)) {
            let Some(left) = self.left.checked_sub(1) else { return Vec::new() };
            self.left = left;
            steps.push(Step { kind: segment.kind, insn: segment.from, to: Some(segment.start), bytes: 0 });
            at = segment.parent;
        }
        steps.reverse();
        steps.shrink_to_fit();
        steps
    }

    /// Every instruction from the start of the walk to `to`, which belongs to `segment`. Empty when there are too many,
    /// or when all trails and ways together are too long.
    pub(super) fn way(&mut self, flow: &FlowGraph, insns: &InsnTable, segment: SegmentId, to: InsnId) -> Vec<Passed> {
        // What is given up in the middle has cost as much.
        let most = LONGEST.min(self.left);
        let mut legs = Vec::new();
        let (mut at, mut end, mut acted) = (Some(segment), to, true);
        while let Some(segment) = at.and_then(|id| self.segments.get(id.0 as usize)) {
            if legs.len() >= most {
                self.left -= most;
                return Vec::new();
            }
            legs.push((segment.start, end, acted));
            end = segment.from;
            acted = matches!(segment.kind, StepKind::Taken | StepKind::Jump);
            at = segment.parent;
        }
        let mut way = Vec::new();
        for (start, end, acted) in legs.into_iter().rev() {
            let mut insn = start;
            while insn != end {
                way.push(Passed { insn, acted: true });
                match flow.next(insns, insn) {
                    Some(next) if way.len() < most => insn = next,
                    _ => {
                        self.left -= most.min(way.len());
                        return Vec::new();
                    }
                }
            }
            way.push(Passed { insn: end, acted });
        }
        self.left = self.left.saturating_sub(way.len());
        way
    }

    /// The segment that reached an instruction first.
    pub(super) fn first(&self, insn: InsnId) -> Option<SegmentId> {
        self.first_visit.get(insn.index()).copied().filter(|&s| s != u32::MAX).map(SegmentId)
    }

    /// A recorded state with the way by which it came.
    pub(super) fn state_at(&mut self, insn: InsnId, state: CfiState) -> StateAt {
        let trail = self.first(insn).map_or_else(Vec::new, |segment| self.trail(segment));
        StateAt { insn, state, trail }
    }
}
