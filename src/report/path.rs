//! The way to a finding, step by step.
//!
//! In: the trails, states and cause of a [`Finding`].  Out: [`PathStep`]s: branches with their condition in words, both
//! states at a mismatch, every arm at a conflict, and the stack operations that make up the difference.

use std::sync::Arc;

use serde::Serialize;

use crate::cfi::Base;
use crate::decode::Kind;
use crate::findings::{Fault, Finding, Origin, StateAt, Step, StepKind};
use crate::ids::{CodeLoc, InsnId};
use crate::report::view::View;
use crate::report::words;

/// What a [`PathStep`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// A branch that was taken or not, a jump, the start.
    Branch,
    /// One of the states that disagree.
    State,
    /// An arm of an alternative.
    Arm,
    /// The stack operation that is left over or missing.
    Cause,
}

/// A step of the way to a finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PathStep {
    /// What it is for.
    pub kind: PathKind,
    /// The section.
    pub section: String,
    /// The offset in the section.
    pub offset: u64,
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The disassembly of the instruction there.
    pub instruction: String,
    /// What happens there, in words.
    pub text: String,
}

/// The way to a state, conditional jumps that were not taken included.
pub fn ways(view: &View<'_>, state: &StateAt) -> Vec<Step> {
    let analysis = view.analysis;
    let mut ways = Vec::new();
    for (index, step) in state.trail.iter().enumerate() {
        ways.push(step.clone());
        let until = state.trail.get(index + 1).map_or(state.insn, |next| next.insn);
        let mut at = step.to.unwrap_or(step.insn);
        for _ in 0..MAX_STRAIGHT {
            if at == until || !view.steps(1) {
                break;
            }
            if analysis.insns.kind(at) == Kind::JumpConditional {
                ways.push(Step { kind: StepKind::NotTaken, insn: at, to: None, bytes: 0 });
            }
            match analysis.flow.next(&analysis.insns, at) {
                Some(next) => at = next,
                None => break,
            }
        }
    }
    ways
}

/// Every instruction on the way to a state, from branch to branch.
pub fn passed(view: &View<'_>, state: &StateAt) -> Vec<InsnId> {
    let analysis = view.analysis;
    let mut passed = Vec::new();
    for (index, step) in state.trail.iter().enumerate() {
        let until = state.trail.get(index + 1).map_or(state.insn, |next| next.insn);
        let start = step.to.unwrap_or(step.insn);
        let straight = std::iter::successors(Some(start), |&at| analysis.flow.next(&analysis.insns, at));
        let room = MAX_STRAIGHT.saturating_sub(passed.len());
        passed.extend(straight.take_while(|&at| at != until).take(room));
    }
    passed
}

/// Of a longer way only the end is told.
const MOST_BRANCHES: usize = 256;
/// Arms of an alternative that are told of. The kernel's have a few.
const MOST_ARMS: usize = 64;
/// How many instructions are looked at between two branches.
const MAX_STRAIGHT: usize = 1 << 16;

/// The steps of a finding, in the order in which a person reads them.
pub fn path<'a>(view: &'a View<'a>, finding: &Finding) -> Vec<PathStep> {
    let mut path = Path { view, steps: Vec::new() };
    let conflict = matches!(finding.fault, Fault::AlternativeStackConflict { .. });
    let mut walked: Vec<Step> = Vec::new();
    for (index, state) in finding.states.iter().enumerate() {
        let ways = ways(view, state);
        let common = ways.iter().zip(&walked).take_while(|(a, b)| a == b).count();
        let common = common.max(ways.len().saturating_sub(MOST_BRANCHES));
        // Without a branch there is one way only, which needs no telling.
        if ways.len() > 1 {
            ways.iter().skip(common).for_each(|step| path.branch(step));
        }
        if !conflict && finding.states.len() > 1 {
            path.state(
                state,
                if index == 0 { "the first path comes here with" } else { "the second path comes here with" },
            );
        }
        walked = ways;
    }
    if let Fault::AlternativeStackConflict { insn, .. } = finding.fault {
        path.arms(finding, insn);
    }
    for step in &finding.cause {
        match step.kind {
            StepKind::Start
            | StepKind::Taken
            | StepKind::NotTaken
            | StepKind::Jump
            | StepKind::TableEntry
            | StepKind::Arm
            | StepKind::Fixup
            | StepKind::StaticBranch
            | StepKind::Call => path.branch(step),
            StepKind::Cause | StepKind::Missing | StepKind::Misplaced | StepKind::Move => {
                path.cause(step, finding.states.len() > 1)
            }
        }
    }
    path.end(finding);
    path.steps
}

struct Path<'a> {
    view: &'a View<'a>,
    steps: Vec<PathStep>,
}

impl Path<'_> {
    fn push(&mut self, kind: PathKind, insn: InsnId, text: String) {
        // Each takes as much as many instructions, and its names may be long.
        if kind != PathKind::Cause && !self.view.steps(16 + text.len() / 16) {
            return;
        }
        let at = self.view.analysis.insns.loc(insn);
        let line = self.view.source_line(insn);
        let section = self.view.section_name(at.section).to_owned();
        let instruction = self.view.text(insn).to_owned();
        self.steps.push(PathStep {
            kind,
            section,
            offset: at.offset,
            file: line.file,
            line: line.line,
            instruction,
            text,
        });
    }

    fn branch(&mut self, step: &Step) {
        let to = || {
            let file = self.view.source_line(step.insn).file;
            step.to.map(|to| self.view.words(to, file.as_deref()))
        };
        let to_line = || to().map_or(String::new(), |line| format!(" (to {line})"));
        let text = self.view.text(step.insn);
        let mnemonic = text.split_whitespace().next().unwrap_or("jump");
        let text = match step.kind {
            StepKind::Start => match self.view.analysis.flow.owner(step.insn) {
                Some(owner) => format!("the path starts here, in {}()", self.view.name(owner)),
                None => "the path starts here, at an unwind hint".to_owned(),
            },
            StepKind::Taken => format!("{mnemonic} taken{}{}", when(mnemonic, Outcome::Taken), to_line()),
            StepKind::NotTaken => format!("{mnemonic} not taken{}", when(mnemonic, Outcome::NotTaken)),
            StepKind::Jump => format!("{mnemonic}{}", to_line()),
            StepKind::TableEntry => format!("an entry of the jump table{}", to_line()),
            StepKind::Arm => match step.to.and_then(|to| self.view.arm_name(to)) {
                Some(arm) => format!("{arm} runs"),
                None => "an arm of the alternative runs".to_owned(),
            },
            StepKind::Fixup => format!("the instruction faults and its fix-up runs{}", to_line()),
            StepKind::StaticBranch => format!("the static branch is in its other state{}", to_line()),
            StepKind::Call => match self.view.analysis.flow.callee(step.insn) {
                Some(callee) => format!("the path goes on in {}(), which is called here", self.view.name(callee)),
                None => "the path goes on in a function that is called here".to_owned(),
            },
            StepKind::Cause | StepKind::Missing | StepKind::Misplaced | StepKind::Move => return,
        };
        self.push(PathKind::Branch, step.insn, text);
    }

    fn state(&mut self, state: &StateAt, lead: &str) {
        let text = format!("{lead} {}", words::state(&state.state, self.view.analysis.kernel));
        self.push(PathKind::State, state.insn, text);
    }

    /// The two arms that disagree, then the other arms.
    fn arms(&mut self, finding: &Finding, insn: InsnId) {
        let kernel = self.view.analysis.kernel;
        let offset = self.view.offset_in_arm(insn).unwrap_or_default();
        let found = match &finding.states[..] {
            [first, second] => words::differences(&first.state, &second.state, kernel).into_iter().next(),
            _ => None,
        };
        let mut told = Vec::new();
        for (index, state) in finding.states.iter().enumerate() {
            let said = found
                .as_ref()
                .map(|found| format!("{} is {}", found.subject, if index == 0 { &found.first } else { &found.second }));
            self.arm(state.insn, offset, &said.unwrap_or_else(|| words::state(&state.state, kernel)));
            told.extend(self.view.analysis.flow.group_of(state.insn));
        }
        let Some(group) = self.view.analysis.flow.group_of(insn) else { return };
        for arm in self.view.arms(group).into_iter().filter(|arm| !told.contains(arm)).take(MOST_ARMS) {
            let boundaries = self.view.boundaries(self.view.analysis.flow.group(arm));
            match boundaries.iter().find(|boundary| boundary.offset == offset) {
                Some(here) => {
                    if let Some(state) = self.view.analysis.states.state(here.insn) {
                        self.arm(here.insn, offset, &words::state(state, kernel));
                    }
                }
                // No interrupt finds this arm at the offset.
                None => boundaries
                    .iter()
                    .take(1)
                    .for_each(|first| self.arm(first.insn, offset, "no instruction begins here")),
            }
        }
    }

    fn arm(&mut self, insn: InsnId, offset: u32, state: &str) {
        let name = self.view.arm_name(insn).unwrap_or_else(|| "this arm".to_owned());
        self.push(PathKind::Arm, insn, format!("{name}, +{offset:#x}: {state}"));
    }

    fn cause(&mut self, step: &Step, meeting: bool) {
        let bytes = step.bytes.unsigned_abs();
        let insn = self.view.text(step.insn);
        let other = step.to.map(|to| self.view.text(to));
        let text = match (step.kind, step.bytes, other) {
            (StepKind::Missing, _, Some(taker)) => {
                format!("next to `{insn}` something may be missing: `{taker}` takes what was never put on the stack")
            }
            (StepKind::Missing, _, None) => format!("only {} has `{insn}`", self.owner(step.insn, "the first path")),
            (StepKind::Misplaced, ..) => format!("`{insn}` takes the slot of another register"),
            (StepKind::Move, 0, _) if self.is_frame_behind(step.insn) => {
                format!("`{insn}` sets up the frame, which is taken down again before the call")
            }
            (StepKind::Move, 0, _) => format!("`{insn}` sets up no frame: rbp was not saved just before"),
            (StepKind::Move, ..) => format!("`{insn}` moves the stack pointer"),
            (_, 0, Some(other)) => format!("`{insn}` and `{other}` do not add up"),
            (_, 0, None) => self.setting(step.insn, &insn),
            (_, _, None) if meeting => format!("only {} has `{insn}`", self.owner(step.insn, "the second path")),
            (_, ..0, Some(maker)) => format!("`{insn}` takes the slot that `{maker}` made"),
            (_, 1.., _) => format!("`{insn}` takes {bytes} bytes of stack that are not given back"),
            (_, ..0, None) => format!("`{insn}` gives back {bytes} bytes of stack that were not taken"),
        };
        // Of two that do not add up either may be the one at fault.
        let both = step.to.filter(|_| step.kind == StepKind::Cause && step.bytes == 0);
        both.into_iter().for_each(|other| self.push(PathKind::Cause, other, text.clone()));
        self.push(PathKind::Cause, step.insn, text);
    }

    /// Whether the frame is found from rbp behind an instruction.
    fn is_frame_behind(&self, insn: InsnId) -> bool {
        let next = self.view.analysis.insns.next_in_section(insn);
        let state = next.and_then(|next| self.view.analysis.states.state(next));
        state.is_some_and(|state| state.cfa.base == Base::BP)
    }

    /// Where code ends that should not: a return is missing there, or it has gone from where a jump leads.
    fn end(&mut self, finding: &Finding) {
        let analysis = self.view.analysis;
        let (last, text) = match finding.fault.told().origin {
            Origin::RunsOn | Origin::EndOfCode => {
                (finding.insn, "behind this the code goes on, where it should have ended")
            }
            Origin::Nowhere(target) => {
                let before = target.offset.checked_sub(1).map(|at| CodeLoc::new(target.section, at));
                let last = before.and_then(|before| analysis.insns.containing(before));
                (last, "the last instruction before the place that is jumped to, where there is none")
            }
            Origin::Here
            | Origin::LeftOver
            | Origin::Meeting(_)
            | Origin::Moves
            | Origin::LostBase
            | Origin::OpenedAccess
            | Origin::ClosedAccess
            | Origin::SetDirection
            | Origin::ClearedDirection
            | Origin::PointsTo(_) => return,
        };
        // Functions are padded.
        let is_code = |&insn: &InsnId| !matches!(analysis.insns.kind(insn), Kind::Nop | Kind::Trap);
        let mut backwards = std::iter::successors(last, |&insn| analysis.insns.prev_in_section(insn));
        if let Some(last) = backwards.find(is_code) {
            self.push(PathKind::Cause, last, text.to_owned());
        }
    }

    /// The arm of an alternative that an instruction belongs to, else the path.
    fn owner(&self, insn: InsnId, path: &str) -> String {
        self.view.arm_name(insn).unwrap_or_else(|| path.to_owned())
    }

    fn setting(&self, insn: InsnId, text: &str) -> String {
        let what = match self.view.analysis.insns.kind(insn) {
            Kind::Stac => "opens user access",
            Kind::Clac => "closes user access",
            Kind::Std => "sets the direction flag",
            Kind::Cld => "clears the direction flag",
            _ => "changes how the frame is found",
        };
        format!("`{text}` {what}")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    NotTaken,
}

/// The condition of a conditional jump: `: when equal`. Names of conditions as in the SDM, entry `Jcc`.
fn when(mnemonic: &str, outcome: Outcome) -> String {
    const CONDITIONS: [(&[&str], &str, &str); 9] = [
        (&["o"], "on overflow", "without overflow"),
        (&["b", "c", "nae"], "when below", "when above or equal"),
        (&["e", "z"], "when equal", "when not equal"),
        (&["be", "na"], "when below or equal", "when above"),
        (&["s"], "when negative", "when not negative"),
        (&["p", "pe"], "on even parity", "on odd parity"),
        (&["l", "nge"], "when less", "when greater or equal"),
        (&["le", "ng"], "when less or equal", "when greater"),
        (&["cxz", "ecxz", "rcxz"], "when the counter is zero", "when the counter is not zero"),
    ];
    const NEGATED: [(&str, &str); 11] = [
        ("no", "o"),
        ("ae", "b"),
        ("nc", "b"),
        ("ne", "e"),
        ("nz", "e"),
        ("a", "be"),
        ("ns", "s"),
        ("np", "p"),
        ("po", "p"),
        ("ge", "l"),
        ("g", "le"),
    ];
    let suffix = mnemonic.split(',').next().and_then(|name| name.strip_prefix('j')).unwrap_or(mnemonic);
    let (suffix, negated) = match NEGATED.iter().find(|(name, _)| *name == suffix) {
        Some(&(_, positive)) => (positive, true),
        None => (suffix, false),
    };
    let condition = CONDITIONS.iter().find(|(names, ..)| names.contains(&suffix));
    match condition {
        Some(&(_, holds, fails)) => {
            format!(": {}", if negated == (outcome == Outcome::NotTaken) { holds } else { fails })
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_in_words() {
        assert_eq!(when("je", Outcome::Taken), ": when equal");
        assert_eq!(when("je", Outcome::NotTaken), ": when not equal");
        assert_eq!(when("jne", Outcome::Taken), ": when not equal");
        assert_eq!(when("ja", Outcome::NotTaken), ": when below or equal");
        assert_eq!(when("jg", Outcome::Taken), ": when greater");
        assert_eq!(when("jrcxz", Outcome::NotTaken), ": when the counter is not zero");
        assert_eq!(when("loop", Outcome::Taken), "");
    }
}
