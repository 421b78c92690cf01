//! Sentences about frames: what is left over, what disagrees, and which operations make up the difference.

use super::Speaker;
use crate::cfi::{Base, CfiState, Dest, Rule, Source, StackOp};
use crate::decode::Kind;
use crate::findings::{Fault, Mismatch, Scene, Step, StepKind};
use crate::ids::InsnId;
use crate::kernel::rules::HintNumber;
use crate::report::words::{self, Difference};

impl Speaker<'_> {
    /// What two paths disagree about.
    pub(super) fn disagreement(&self, mismatch: &Mismatch) -> String {
        let kernel = self.view.analysis.kernel;
        let Difference { subject, first, second } = match mismatch {
            Mismatch::Cfa(a, b) => difference("CFA", words::rule(*a), words::rule(*b)),
            Mismatch::Register(number, a, b) => {
                difference(Base::reg(*number).name(), words::saved_at(*a), words::saved_at(*b))
            }
            Mismatch::Type(a, b) => {
                let kind = |kind: u8| {
                    words::frame_kind(HintNumber(kind), kernel).map_or(format!("of type {kind}"), str::to_owned)
                };
                difference("the frame", kind(*a), kind(*b))
            }
            Mismatch::Drap(a, b) => difference("the realignment register", drap(*a), drap(*b)),
        };
        let path = self.finding.states.get(1).map_or("on another path".to_owned(), |state| self.path_of(state));
        self.because(format!("{subject} is {first} here but {second} {path}"))
    }

    /// What two arms disagree about.
    pub(super) fn conflict_of_arms(&self, insn: InsnId, original: InsnId) -> String {
        let arm = |insn| self.view.arm_name(insn).unwrap_or_else(|| "another arm".to_owned());
        let offset = self.view.offset_in_arm(insn).unwrap_or_default();
        let place = match insn == original {
            true => format!("another path has come to this alternative (+{offset:#x}) with another state"),
            false => format!("the arms of this alternative disagree at +{offset:#x}"),
        };
        let states = (self.finding.states.first(), self.finding.states.get(1));
        let (Some(first), Some(second)) = states else { return place };
        let found = words::differences(&first.state, &second.state, self.view.analysis.kernel);
        let Some(Difference { subject, first, second }) = found.into_iter().next() else { return place };
        let (first, second) = (format!("{first} in {}", arm(original)), format!("{second} in {}", arm(insn)));
        let replaces = |insn| self.view.is_replacement(insn);
        let (first, second) = if replaces(original) && !replaces(insn) { (second, first) } else { (first, second) };
        format!("{place}: {subject} is {first} but {second}")
    }

    /// What the cause's operations did. Those that move bytes come first; of many only the first are told, the path has
    /// all.
    pub(super) fn cause(&self) -> Option<String> {
        let (moving, other): (Vec<&Step>, Vec<&Step>) = self.finding.cause.iter().partition(|step| step.bytes != 0);
        let mut said: Vec<(Deed, Vec<String>)> = Vec::new();
        let told = |step: &&Step| step.kind != StepKind::Move;
        for step in moving.into_iter().chain(other).filter(told) {
            let (deed, place) = (self.deed(step), self.at(step.insn));
            match said.iter_mut().find(|(other, _)| *other == deed) {
                Some((_, places)) if places.contains(&place) => {}
                Some((_, places)) => places.push(place),
                None => said.push((deed, vec![place])),
            }
        }
        let sentence = |((done, undone), places): &(Deed, Vec<String>)| format!("{done} at {}{undone}", list(places));
        let sentences: Vec<String> = said.iter().take(DEEDS).map(sentence).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }

    /// What an operation of the cause did, and what nobody did about it.
    fn deed(&self, step: &Step) -> Deed {
        let act = self.act(step);
        match (step.kind, step.bytes) {
            (StepKind::Missing, _) if step.to.is_some() => ("something may be missing", ""),
            (StepKind::Missing, _) => (act, " on this path"),
            (StepKind::Misplaced, _) => (act, " from the slot of another register"),
            (_, 0) if step.to.is_some() => (act, ", which does not add up"),
            (_, 0) => (act, ""),
            _ if self.is_meeting() => (act, " on that path"),
            (_, ..0) if step.to.is_some() && act == "popped" => (act, " into another register"),
            (_, ..0) if step.to.is_some() => (act, ", where a register was saved"),
            (_, 1..) if act == "pushed" => (act, ", never popped"),
            (_, 1..) => (act, ", never freed"),
            (_, ..0) if act == "popped" => (act, ", never pushed"),
            (_, ..0) => (act, ", never allocated"),
        }
    }

    fn act(&self, step: &Step) -> &'static str {
        match self.view.analysis.insns.kind(step.insn) {
            Kind::Stac => return "opened",
            Kind::Clac => return "closed",
            Kind::Std => return "set",
            Kind::Cld => return "cleared",
            _ => {}
        }
        let ops = self.view.analysis.insns.ops(step.insn);
        let has = |wanted: fn(&StackOp) -> bool| ops.iter().any(wanted);
        if has(|op| matches!(op.dest, Dest::Push | Dest::Pushf)) {
            "pushed"
        } else if has(|op| matches!(op.src, Source::Pop | Source::Popf)) {
            "popped"
        } else if has(|op| op.dest == Dest::Reg(Base::SP) && matches!(op.src, Source::Add(Base::SP, ..0))) {
            "allocated"
        } else if has(|op| op.dest == Dest::Reg(Base::SP) && matches!(op.src, Source::Add(Base::SP, _))) {
            "freed"
        } else {
            "changed"
        }
    }

    /// Whether two paths meet here, so that causes belong to one of them.
    fn is_meeting(&self) -> bool {
        matches!(self.finding.fault, Fault::StackStateMismatch(_) | Fault::AlternativeStackConflict { .. })
    }
}

/// `pushed`, `, never popped`: the words before and after the places.
type Deed = (&'static str, &'static str);

/// So many deeds a message tells.
const DEEDS: usize = 3;

/// How the frame differs from that at the start of the function.
pub(super) fn left_over(state: &CfiState) -> Option<String> {
    let at_entry = Rule::new(Base::SP, 8);
    if state.cfa.base == Base::UNDEFINED {
        return Some("with an unknown CFA".to_owned());
    }
    if state.cfa.base != at_entry.base {
        return Some(format!(
            "while the CFA is still relative to {} ({})",
            state.cfa.base.name(),
            words::rule(state.cfa)
        ));
    }
    let bytes = state.cfa.offset.max(state.stack_size).wrapping_sub(at_entry.offset);
    let bytes = if bytes == 0 { state.cfa.offset.min(state.stack_size).wrapping_sub(at_entry.offset) } else { bytes };
    match bytes {
        1.. => return Some(format!("with {} still on the stack", n_bytes(bytes))),
        ..0 => return Some(format!("after {} too many were popped", n_bytes(bytes.saturating_neg()))),
        0 => {}
    }
    let saved = words::saved(state);
    let names: Vec<String> = saved.keys().map(|&name| name.to_owned()).collect();
    if !names.is_empty() {
        return Some(format!("without {} restored", list(&names)));
    }
    state.drap.then(|| "while the stack is still realigned".to_owned())
}

/// Why there is no frame pointer.
pub(super) fn missing_frame(state: &CfiState) -> String {
    if state.cfa.base == Base::BP {
        "rbp is not saved where a frame has it".to_owned()
    } else {
        format!("rbp is not set up, the CFA is {}", state.cfa)
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
        let mut state = CfiState::function_entry(HintNumber(2));
        change(&mut state);
        assert_eq!(left_over(&state).as_deref(), Some(expected).filter(|text| !text.is_empty()));
    }

    #[test]
    fn nothing_is_left_over_at_the_entry() {
        check(|_| {}, "");
    }

    #[test]
    fn bytes_are_counted_from_the_entry() {
        check(|s| (s.cfa.offset, s.stack_size) = (16, 16), "with 8 bytes still on the stack");
        check(|s| (s.cfa.offset, s.stack_size) = (0, 0), "after 8 bytes too many were popped");
        check(|s| s.stack_size = 24, "with 16 bytes still on the stack");
    }

    #[test]
    fn a_frame_pointer_that_was_not_taken_down_is_named() {
        check(|s| s.cfa = Rule::new(Base::BP, 16), "while the CFA is still relative to rbp (rbp+16)");
    }

    #[test]
    fn registers_that_were_not_restored_are_named() {
        let save = |s: &mut CfiState| {
            s.regs.set(Base::BX, Rule::new(Base::CFA, -16));
            s.regs.set(Base::BP, Rule::new(Base::CFA, -24));
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
