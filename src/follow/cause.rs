//! Finds the stack operations that make up a finding: pushed and never popped, popped into the wrong register, missing.
//!
//! In: the way to a finding, and the way to the state it disagrees with.  Out: [`Step`]s, each an operation to look at.
//! Holds afterwards: nothing is claimed where the stack pointer was set in a way that is not followed here.
//!
//! The way is replayed on a model of the stack in which each slot knows who made it. Case by case:
//!
//! | case | on the way | told |
//! |---|---|---|
//! | 1 | a slot is left at a return | who made it, and where what gives it back may stand |
//! | 2 | more is taken than was put | who took it |
//! | 3 | `pop` of a register whose slot lies deeper | who made the slots above, and the `pop` |
//! | 4 | `pop` of a register that has no slot | the `pop`, who took its slot, or where the `push` is missing |
//! | 5 | an area is released in parts that do not add up | who took the parts |
//! | 6 | two ways meet | what only one of them has |
//! | 7 | a flag is wrong | who set it last |
//! | 8 | no register leads back to the frame | who moved the stack pointer |

use crate::cfi::{Base, Dest, Source, StackOp};
use crate::decode::Kind;
use crate::findings::{Fault, Mismatch, Origin, Step, StepKind};
use crate::flow::Flags;
use crate::ids::InsnId;

use super::Input;
use super::replay;
use super::trail::Passed;

/// No finding names more operations than this.
const MOST: usize = 12;
/// A stack with more on it than this is not followed word by word.
const DEEPEST: usize = 1024;

/// Bytes on the stack, and who put them there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Slot {
    by: InsnId,
    bytes: i32,
    /// The register that was pushed.
    register: Option<Base>,
    /// Who took a part of it.
    parts: Vec<InsnId>,
}

/// The stack as a way leaves it.
#[derive(Clone, Default, Debug)]
struct Stack {
    slots: Vec<Slot>,
    /// Slots that went to another register than they came from, and who took them.
    taken: Vec<(Slot, InsnId)>,
    /// How many slots there were when the frame pointer was set up.
    frame: Option<usize>,
    odd: Vec<Step>,
    /// What is only odd where something else is: flags or constants that went to a register.
    unusual: Vec<Step>,
    /// Who made the slot that was taken last.
    bottom: Option<InsnId>,
    /// The stack pointer came from somewhere that the model does not follow.
    lost: bool,
}

fn step(kind: StepKind, insn: InsnId, to: Option<InsnId>, bytes: i32) -> Step {
    Step { kind, insn, to, bytes }
}

/// The operations that a finding comes from, in the order of the way.
pub(super) fn cause(input: &Input<'_>, fault: &Fault, new: &[Passed], recorded: Option<&[Passed]>) -> Vec<Step> {
    let mut steps = match fault.told().origin {
        Origin::Here | Origin::RunsOn | Origin::Nowhere(_) | Origin::PointsTo(_) => Vec::new(),
        // Case 7
        Origin::OpenedAccess => last_of(input, new, &[Kind::Stac]),
        Origin::ClosedAccess => last_of(input, new, &[Kind::Clac]),
        Origin::SetDirection => last_of(input, new, &[Kind::Std]),
        Origin::ClearedDirection => last_of(input, new, &[Kind::Cld]),
        Origin::LeftOver => at_return(input, new),
        Origin::Meeting(mismatch) => at_meeting(input, new, recorded.unwrap_or(&[]), mismatch),
        // Case 8
        Origin::Moves => moves(input, new),
        Origin::LostBase | Origin::EndOfCode => replay::base_changes(input, new),
    };
    shorten(&mut steps);
    steps
}

/// Keeps the first step of each instruction, and of these the first few.
fn shorten(steps: &mut Vec<Step>) {
    let mut known = rustc_hash::FxHashSet::default();
    steps.retain(|step| known.insert((step.insn, step.kind == StepKind::Missing)));
    steps.truncate(MOST);
}

fn last_of(input: &Input<'_>, way: &[Passed], kinds: &[Kind]) -> Vec<Step> {
    let before = way.split_last().map_or(way, |(_, before)| before);
    let found = before.iter().rev().find(|passed| kinds.contains(&input.insns.kind(passed.insn)));
    found.map(|passed| step(StepKind::Cause, passed.insn, None, 0)).into_iter().collect()
}

fn at_return(input: &Input<'_>, way: &[Passed]) -> Vec<Step> {
    let mut stack = run(input, way);
    if stack.lost {
        return replay::base_changes(input, way);
    }
    // Case 1
    let left: Vec<Slot> = std::mem::take(&mut stack.slots);
    for slot in &left {
        stack.blame(slot, None, slot.bytes);
    }
    stack.odd.append(&mut stack.unusual);
    if stack.odd.is_empty() {
        stack.odd = replay::base_changes(input, way);
    }
    shorten(&mut stack.odd);
    let twins: Vec<Step> = stack.odd.iter().flat_map(|odd| twins(input, way, odd)).collect();
    stack.odd.extend(twins);
    stack.odd
}

/// Other operations on the way that do what this one does: which of them is one too many can not be told.
fn twins(input: &Input<'_>, way: &[Passed], odd: &Step) -> Vec<Step> {
    let ops = input.insns.ops(odd.insn);
    let counts = ops
        .iter()
        .any(|op| matches!(op.dest, Dest::Push | Dest::Pushf) || matches!(op.src, Source::Pop | Source::Popf));
    let blamed = odd.kind == StepKind::Cause && odd.bytes != 0;
    let again = |passed: &&Passed| passed.acted && passed.insn != odd.insn && input.insns.ops(passed.insn) == ops;
    let others = way.iter().filter(|_| counts && blamed).filter(again);
    others.map(|passed| step(StepKind::Cause, passed.insn, None, odd.bytes)).collect()
}

/// Case 8: what moves the stack pointer on the way, the last of it, and what should have made rbp remember it.
fn moves(input: &Input<'_>, way: &[Passed]) -> Vec<Step> {
    let before = way.split_last().map_or(way, |(_, before)| before);
    let frame = |op: &StackOp| op.dest == Dest::Reg(Base::BP) && op.src == Source::Reg(Base::SP);
    let counts = |insn| growth(input, insn) != 0 || input.insns.ops(insn).iter().any(frame);
    let moving = before.iter().rev().filter(|passed| passed.acted && counts(passed.insn));
    let mut steps: Vec<Step> =
        moving.take(MOST).map(|passed| step(StepKind::Move, passed.insn, None, growth(input, passed.insn))).collect();
    steps.reverse();
    steps
}

/// Case 6: what one way has put on the stack and the other has not.
fn at_meeting(input: &Input<'_>, new: &[Passed], recorded: &[Passed], mismatch: Option<&Mismatch>) -> Vec<Step> {
    let (a, b) = (run(input, recorded), run(input, new));
    let mut steps = Vec::new();
    if !a.lost && !b.lost {
        let common = a.slots.iter().zip(&b.slots).take_while(|(a, b)| a == b).count();
        let only = |slots: &[Slot], kind: StepKind| -> Vec<Step> {
            let rest = slots.get(common..).unwrap_or_default();
            let made = rest.iter().map(|slot| step(kind, slot.by, None, slot.bytes));
            let parts = rest.iter().flat_map(|slot| slot.parts.iter().map(|&part| step(kind, part, Some(slot.by), 0)));
            made.chain(parts).collect()
        };
        steps.extend(only(&b.slots, StepKind::Cause));
        steps.extend(only(&a.slots, StepKind::Missing));
        steps.extend(b.odd.iter().filter(|odd| !a.odd.contains(odd)).cloned());
        steps.extend(a.odd.iter().filter(|odd| !b.odd.contains(odd)).cloned());
    }
    // What happened on one way alone, behind the last place that both have passed.
    let shared = new.iter().zip(recorded).take_while(|(a, b)| a.insn == b.insn).count();
    for (way, kind) in [(new, StepKind::Cause), (recorded, StepKind::Missing)] {
        let own = way.get(shared..).unwrap_or_default();
        steps.extend(own.iter().filter(|passed| passed.acted).filter_map(|passed| {
            let bytes = growth(input, passed.insn);
            (bytes != 0).then(|| step(kind, passed.insn, None, bytes))
        }));
    }
    let register = match mismatch {
        Some(Mismatch::Register(register, ..)) => Some(*register),
        _ => None,
    };
    match register {
        Some(register) => {
            steps.extend(replay::register_changes(input, new, register));
            steps.extend(replay::register_changes(input, recorded, register));
        }
        None => {
            steps.extend(replay::base_changes(input, new));
            steps.extend(replay::base_changes(input, recorded));
        }
    }
    steps
}

/// By how many bytes an instruction lets the stack grow.
fn growth(input: &Input<'_>, insn: InsnId) -> i32 {
    if input.flow.has(insn, Flags::NO_OPS) {
        return 0;
    }
    input.insns.ops(insn).iter().map(StackOp::growth).fold(0, i32::wrapping_add)
}

fn run(input: &Input<'_>, way: &[Passed]) -> Stack {
    let mut stack = Stack::default();
    let before = way.split_last().map_or(way, |(_, before)| before);
    let mut saved: Option<Stack> = None;
    for passed in before.iter().filter(|passed| passed.acted) {
        if input.flow.has(passed.insn, Flags::SAVE) {
            saved = Some(stack.clone());
        }
        if input.flow.has(passed.insn, Flags::RESTORE) {
            stack = saved.clone().unwrap_or_default();
        } else if input.flow.has(passed.insn, Flags::HINT) {
            stack = Stack::default();
        }
        if input.flow.has(passed.insn, Flags::NO_OPS) {
            continue;
        }
        for op in input.insns.ops(passed.insn) {
            stack.apply(passed.insn, op);
        }
        if stack.lost || stack.is_large() {
            // Until a hint says where the stack is.
            stack = Stack { lost: true, ..Stack::default() };
        }
    }
    stack
}

impl Stack {
    fn is_large(&self) -> bool {
        [self.slots.len(), self.taken.len(), self.odd.len(), self.unusual.len()].into_iter().any(|n| n > DEEPEST)
    }

    fn apply(&mut self, insn: InsnId, op: &StackOp) {
        match (op.dest, op.src) {
            (Dest::Push, Source::Reg(register)) => self.put(insn, 8, Some(register)),
            (Dest::Push | Dest::Pushf, _) => self.put(insn, 8, None),
            (Dest::Reg(register), Source::Pop) => self.pop(insn, Some(register)),
            (_, Source::Pop | Source::Popf) => self.pop(insn, None),
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) if n < 0 => self.put(insn, n.saturating_neg(), None),
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) => self.release(insn, n),
            (Dest::Reg(Base::BP), Source::Reg(Base::SP)) => self.frame = Some(self.slots.len()),
            (Dest::Reg(Base::SP), Source::Reg(Base::BP)) => self.back_to_frame(0),
            (Dest::Reg(Base::SP), Source::Add(Base::BP, n)) => self.back_to_frame(n.saturating_neg()),
            (Dest::Reg(Base::SP), Source::And(_)) => {}
            (Dest::Reg(Base::SP), _) => self.lost = true,
            _ => {}
        }
    }

    fn put(&mut self, by: InsnId, bytes: i32, register: Option<Base>) {
        self.slots.push(Slot { by, bytes, register, parts: Vec::new() });
    }

    /// Back to where the frame pointer was set up, but for `keep` bytes.
    fn back_to_frame(&mut self, keep: i32) {
        let Some(frame) = self.frame.filter(|&frame| frame <= self.slots.len()) else {
            self.lost = true;
            return;
        };
        let mut kept = 0i32;
        let mut slots = frame;
        while slots < self.slots.len() && kept < keep {
            kept = kept.saturating_add(self.slots[slots].bytes);
            slots += 1;
        }
        self.slots.truncate(slots);
    }

    fn pop(&mut self, insn: InsnId, register: Option<Base>) {
        let Some(top) = self.slots.last() else {
            self.underflow(insn, -8);
            return;
        };
        if top.register == register && register.is_some() {
            self.bottom = self.slots.pop().map(|slot| slot.by);
            return;
        }
        let own = self.slots.iter().rposition(|slot| slot.register.is_some() && slot.register == register);
        match own {
            // Case 3
            Some(own) => {
                for slot in self.slots.split_off(own).into_iter().skip(1) {
                    self.blame(&slot, Some(insn), slot.bytes);
                }
                self.odd.push(step(StepKind::Misplaced, insn, None, -8));
            }
            None => self.pop_other(insn, register),
        }
    }

    /// Case 2
    fn underflow(&mut self, insn: InsnId, bytes: i32) {
        self.odd.push(step(StepKind::Cause, insn, None, bytes));
        if let Some(bottom) = self.bottom {
            self.odd.push(step(StepKind::Missing, bottom, Some(insn), bytes.wrapping_neg()));
        }
    }

    /// Names who made a slot, and who took parts of it.
    fn blame(&mut self, slot: &Slot, to: Option<InsnId>, bytes: i32) {
        self.odd.push(step(StepKind::Cause, slot.by, to, bytes));
        self.odd.extend(slot.parts.iter().map(|&part| step(StepKind::Cause, part, Some(slot.by), 0)));
    }

    /// Takes the top slot for a register that it does not belong to.
    fn pop_other(&mut self, insn: InsnId, register: Option<Base>) {
        let Some(mut top) = self.slots.pop() else { return };
        if register.is_some() && top.register.is_some() {
            // Case 4
            let at = self.taken.iter().rposition(|(slot, _)| slot.register == register);
            match at.map(|at| self.taken.remove(at)) {
                Some((slot, by)) => self.odd.push(step(StepKind::Cause, by, Some(slot.by), -8)),
                None => self.odd.push(step(StepKind::Missing, top.by, Some(insn), 8)),
            }
            self.odd.push(step(StepKind::Misplaced, insn, None, -8));
        }
        self.bottom = Some(top.by);
        if register.is_some() && top.register.is_none() && top.bytes == 8 {
            self.unusual.push(step(StepKind::Cause, top.by, Some(insn), 8));
        }
        if top.bytes > 8 {
            top.bytes -= 8;
            top.parts.push(insn);
            self.slots.push(top);
        } else if top.register.is_some() {
            self.taken.push((top, insn));
        }
    }

    fn release(&mut self, insn: InsnId, bytes: i32) {
        let mut left = bytes;
        let mut crossed: Vec<InsnId> = Vec::new();
        while left > 0 {
            let Some(mut top) = self.slots.pop() else {
                self.underflow(insn, left.wrapping_neg());
                return;
            };
            self.bottom = Some(top.by);
            if top.bytes > left {
                // Case 5
                top.bytes -= left;
                top.parts.append(&mut crossed);
                top.parts.push(insn);
                self.slots.push(top);
                return;
            }
            left -= top.bytes;
            crossed.push(top.by);
            if top.register.is_some() {
                self.odd.extend(top.parts.iter().map(|&part| step(StepKind::Cause, part, Some(top.by), 0)));
                self.odd.push(step(StepKind::Missing, top.by, Some(insn), bytes));
                self.odd.push(step(StepKind::Cause, insn, Some(top.by), bytes.wrapping_neg()));
                self.taken.push((top, insn));
            } else if left > 0 || !top.parts.is_empty() {
                self.blame(&top, Some(insn), 0);
            }
        }
    }
}
