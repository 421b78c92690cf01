//! Sentences about frames: what is left over, what disagrees, and which operations make up the difference.

use super::Speaker;
use crate::cfi::{Base, CfiState, Dest, Rule, Source};
use crate::finding::{Fault, Mismatch, Step, StepKind};
use crate::ids::GroupId;
use crate::report::words::{self, Difference};

impl Speaker<'_> {
    /// What paths do to the frame.
    pub(super) fn stack(&self) -> Option<String> {
        Some(match &self.finding.fault {
            Fault::UndefinedStackState => {
                format!("{} uses the stack where it is not known how to find the frame", self.insn_or("an instruction"))
            }
            Fault::UnsupportedStackRegisterModification => match self.state().map(|state| state.cfa) {
                Some(cfa) if cfa.base != Base::UNDEFINED => format!(
                    "{} changes {}, from which the frame is found (CFA {}), in a way that can not be followed",
                    self.insn_or("this"),
                    cfa.base.name(),
                    words::rule(cfa)
                ),
                _ => {
                    "the register from which the frame is found is changed in a way that can not be followed".to_owned()
                }
            },
            Fault::UnsupportedStackRealignment => {
                "rsp is aligned, but no register remembers where the frame was: the way back is lost".to_owned()
            }
            Fault::UnknownStackInsn => format!("{} changes the stack in a way that has no rule", self.insn_or("this")),
            Fault::UnknownStackMemoryOperation => {
                format!("{} writes to the stack in a way that has no rule", self.insn_or("this"))
            }
            Fault::AlternativeStackConflict { .. } => self.conflict(),
            Fault::CfiMissing => "the state of this instruction is not known (an internal error)".to_owned(),
            Fault::PushfStackExhausted => "more `pushf` in alternatives than can be followed (31)".to_owned(),
            Fault::StackStateMismatch(mismatch) => self.mismatch(mismatch),
            Fault::CallWithoutFramePointer => match self.state() {
                Some(state) => format!("call without a frame pointer: {}", missing_frame(state)),
                None => "call without a frame pointer".to_owned(),
            },
            Fault::SiblingCallWithModifiedFrame => self.modified("jump to another function"),
            Fault::ReturnWithModifiedFrame => self.modified("return"),
            Fault::FramePointerScratched => match self.cause() {
                Some(cause) => format!("rbp was used for something else and is not the caller's on return: {cause}"),
                None => "rbp was used for something else and is not the caller's on return".to_owned(),
            },
            _ => return None,
        })
    }

    fn modified(&self, what: &str) -> String {
        let how = self.state().and_then(left_over).unwrap_or_else(|| "with a changed stack frame".to_owned());
        match self.cause() {
            Some(cause) => format!("{what} {how}: {cause}"),
            None => format!("{what} {how}"),
        }
    }

    fn mismatch(&self, mismatch: &Mismatch) -> String {
        let kernel = self.view.analysis.kernel;
        let Difference { subject, first, second } = match mismatch {
            Mismatch::Cfa(a, b) => difference("CFA", words::rule(*a), words::rule(*b)),
            Mismatch::Register(number, a, b) => {
                difference(Base::reg(*number).name(), words::saved_at(*a), words::saved_at(*b))
            }
            Mismatch::Type(a, b) => {
                let kind = |kind: u8| words::frame_kind(kind, kernel).map_or(format!("of type {kind}"), str::to_owned);
                difference("the frame", kind(*a), kind(*b))
            }
            Mismatch::Drap(a, b) => difference("the realignment register", drap(*a), drap(*b)),
        };
        let path = self.finding.states.get(1).map_or("on another path".to_owned(), |state| self.path_of(state));
        let sentence = format!("{subject} is {first} here but {second} {path}");
        match self.cause() {
            Some(cause) => format!("{sentence}: {cause}"),
            None => sentence,
        }
    }

    fn conflict(&self) -> String {
        let Fault::AlternativeStackConflict { insn, original } = self.finding.fault else { return String::new() };
        let arm = |insn| self.view.arm_name(insn).unwrap_or_else(|| "another arm".to_owned());
        let offset = self.view.offset_in_arm(insn).unwrap_or_default();
        let place = format!("the arms of this alternative disagree at +{offset:#x}");
        let states = (self.finding.states.first(), self.finding.states.get(1));
        let (Some(first), Some(second)) = states else { return place };
        let found = words::differences(&first.state, &second.state, self.view.analysis.kernel);
        let Some(Difference { subject, first, second }) = found.into_iter().next() else { return place };
        let (first, second) = (format!("{first} in {}", arm(original)), format!("{second} in {}", arm(insn)));
        let replaces = |insn| self.view.analysis.flow.group_of(insn).is_some_and(|id| self.replaces(id));
        let (first, second) = if replaces(original) && !replaces(insn) { (second, first) } else { (first, second) };
        format!("{place}: {subject} is {first} but {second}")
    }

    fn replaces(&self, group: GroupId) -> bool {
        self.view.analysis.flow.group(group).original.is_some()
    }

    /// `pushed at line 193, never popped`.
    fn cause(&self) -> Option<String> {
        let mut said: Vec<(&str, &str, Vec<String>)> = Vec::new();
        for step in &self.finding.cause {
            let (done, undone) = self.deed(step);
            let place = self.at(step.insn);
            match said.iter_mut().find(|(a, b, _)| (*a, *b) == (done, undone)) {
                Some((_, _, places)) if places.contains(&place) => {}
                Some((_, _, places)) => places.push(place),
                None => said.push((done, undone, vec![place])),
            }
        }
        let sentence =
            |(done, undone, places): &(&str, &str, Vec<String>)| format!("{done} at {}{undone}", list(places));
        let sentences: Vec<String> = said.iter().map(sentence).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }

    /// What a step of the cause did, and what nobody did about it.
    fn deed(&self, step: &Step) -> (&'static str, &'static str) {
        let ops = self.view.analysis.insns.ops(step.insn);
        let pushes = ops.iter().any(|op| matches!(op.dest, Dest::Push | Dest::Pushf));
        let pops = ops.iter().any(|op| matches!(op.src, Source::Pop | Source::Popf));
        let missing = step.kind == StepKind::Missing;
        match step.bytes {
            _ if missing && pops => ("popped only", " on the other path"),
            _ if missing && pushes => ("pushed only", " on the other path"),
            _ if missing => ("changed only", " on the other path"),
            1.. if pushes => ("pushed", ", never popped"),
            1.. => ("taken", ", never given back"),
            ..0 if pops => ("popped", ", never pushed"),
            ..0 => ("given back", ", never taken"),
            0 => ("changed", ", never restored"),
        }
    }
}

/// How the frame differs from that at the start of the function.
fn left_over(state: &CfiState) -> Option<String> {
    let at_entry = Rule::new(Base::SP, 8);
    if state.cfa.base == Base::UNDEFINED {
        return Some("where it is not known how to find the frame".to_owned());
    }
    if state.cfa.base != at_entry.base {
        return Some(format!(
            "while the frame is still found from {} (CFA {})",
            state.cfa.base.name(),
            words::rule(state.cfa)
        ));
    }
    let bytes = state.cfa.offset.max(state.stack_size).wrapping_sub(at_entry.offset);
    let bytes = if bytes == 0 { state.cfa.offset.min(state.stack_size).wrapping_sub(at_entry.offset) } else { bytes };
    match bytes {
        1.. => return Some(format!("with {} left on the stack", n_bytes(bytes))),
        ..0 => return Some(format!("with {} too many taken off the stack", n_bytes(bytes.saturating_neg()))),
        0 => {}
    }
    let saved = words::saved(state);
    let names: Vec<String> = saved.keys().map(|&name| name.to_owned()).collect();
    if !names.is_empty() {
        return Some(format!("without {} restored", list(&names)));
    }
    state.drap.then(|| "while the stack is still realigned".to_owned())
}

fn missing_frame(state: &CfiState) -> String {
    if state.cfa.base == Base::BP {
        "rbp was not saved where a frame has it".to_owned()
    } else {
        format!("rbp is not set up, the frame is found from {} (CFA {})", state.cfa.base.name(), words::rule(state.cfa))
    }
}

fn difference(subject: &str, first: String, second: String) -> Difference {
    Difference { subject: subject.to_owned(), first, second }
}

fn drap((used, register, offset): (bool, i32, i32)) -> String {
    let register = u8::try_from(register).ok().map(Base::reg);
    match register.filter(|_| used) {
        Some(register) => format!("{}{offset:+}", register.name()),
        None => "none".to_owned(),
    }
}

fn n_bytes(n: i32) -> String {
    format!("{n} byte{}", if n == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`. Of many only the first few.
fn list(items: &[String]) -> String {
    const SHOWN: usize = 4;
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] if items.len() <= SHOWN => format!("{} and {last}", most.join(", ")),
        _ => format!("{} and {} more", items[..SHOWN].join(", "), items.len() - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut CfiState), expected: &str) {
        let mut state = CfiState::function_entry(2);
        change(&mut state);
        assert_eq!(left_over(&state).as_deref(), Some(expected).filter(|text| !text.is_empty()));
    }

    #[test]
    fn nothing_is_left_over_at_the_entry() {
        check(|_| {}, "");
    }

    #[test]
    fn bytes_are_counted_from_the_entry() {
        check(|s| (s.cfa.offset, s.stack_size) = (16, 16), "with 8 bytes left on the stack");
        check(|s| (s.cfa.offset, s.stack_size) = (0, 0), "with 8 bytes too many taken off the stack");
        check(|s| s.stack_size = 24, "with 16 bytes left on the stack");
    }

    #[test]
    fn a_frame_pointer_that_was_not_taken_down_is_named() {
        check(|s| s.cfa = Rule::new(Base::BP, 16), "while the frame is still found from rbp (CFA rbp+16)");
    }

    #[test]
    fn registers_that_were_not_restored_are_named() {
        let save = |s: &mut CfiState| {
            s.regs[3] = Rule::new(Base::CFA, -16);
            s.regs[5] = Rule::new(Base::CFA, -24);
        };
        check(save, "without rbp and rbx restored");
    }

    #[test]
    fn long_lists_are_cut() {
        let items: Vec<String> = (1..=6).map(|n| n.to_string()).collect();
        assert_eq!(list(&items[..3]), "1, 2 and 3");
        assert_eq!(list(&items), "1, 2, 3, 4 and 2 more");
    }
}
