//! Whether entry code untrains the return predictor before its first return.
//!
//! In: the starts that annotations name.  Out: returns and indirect branches that come too early.
//! Reads like: `validate_unret` in `tools/objtool/check.c`; the walk here has a stack of its own.

use rustc_hash::FxHashMap;

use crate::cancel::{CancelToken, Cancelled};
use crate::decode::Kind;
use crate::findings::{Fault, Step, StepKind};
use crate::flow::{Flags, calls};
use crate::follow::Input;
use crate::ids::{CodeLoc, InsnId};
use crate::kernel::rules::{BrokenUnret, IgnoreAlternatives};
use crate::ledger::{Ledger, Weight};

/// objtool's mark of a call in a backtrace.
const CALL: &str = "(call)";

struct Walk<'a, 'l> {
    input: &'a Input<'a>,
    ledger: &'l mut Ledger,
    visited: Vec<bool>,
    /// By jump table: how many of its entries were entered. All jumps through it lead there.
    entered: FxHashMap<u32, usize>,
}

#[derive(Clone, Copy)]
enum Phase {
    Arrive,
    Alternate(usize),
    Branched { ends: bool },
}

struct Frame {
    insn: InsnId,
    phase: Phase,
    tag: &'static str,
}

enum Next {
    End,
    Enter(InsnId, &'static str),
    /// The instruction goes on in its next phase.
    Again,
    Forward,
    Found,
    /// objtool gives up on the whole check.
    Broken,
}

/// `--unret`. How many findings objtool counts.
pub fn unret(input: &Input<'_>, ledger: &mut Ledger, cancel: &CancelToken) -> Result<usize, Cancelled> {
    let mut walk = Walk { input, ledger, visited: vec![false; input.insns.len()], entered: FxHashMap::default() };
    let mut counted = 0;
    for id in input.flow.declared(Flags::UNRET) {
        cancel.check()?;
        match walk.run(id) {
            Next::Broken if input.rules.walk.broken_unret != BrokenUnret::IsCounted => {
                walk.report(Weight::Fatal, Fault::UnretFailed, id);
                break;
            }
            Next::Broken | Next::Found => counted += 1,
            _ => {}
        }
    }
    Ok(counted)
}

impl Walk<'_, '_> {
    fn report(&mut self, weight: Weight, fault: Fault, id: InsnId) {
        let owner = self.input.flow.owner(id);
        self.ledger.at_insn(weight, fault, self.input.placed(id), owner, None);
    }

    fn run(&mut self, start: InsnId) -> Next {
        let mut stack = vec![Frame { insn: start, phase: Phase::Arrive, tag: "" }];
        while let Some(mut frame) = stack.pop() {
            loop {
                match self.step(&mut frame) {
                    Next::End => break,
                    Next::Again => {}
                    Next::Enter(insn, tag) => {
                        frame.tag = tag;
                        stack.push(frame);
                        stack.push(Frame { insn, phase: Phase::Arrive, tag: "" });
                        break;
                    }
                    Next::Forward => match self.input.flow.next(self.input.insns, frame.insn) {
                        Some(next) => frame = Frame { insn: next, phase: Phase::Arrive, tag: "" },
                        None => {
                            self.report(Weight::Warning, Fault::UnretEnd, frame.insn);
                            self.tell_calls(start, &stack);
                            self.backtrace(&stack);
                            return Next::Broken;
                        }
                    },
                    failed => {
                        self.tell_calls(start, &stack);
                        self.backtrace(&stack);
                        return failed;
                    }
                }
            }
        }
        Next::End
    }

    /// Adds to the finding that was reported last how the walk came to its function.
    fn tell_calls(&mut self, start: InsnId, stack: &[Frame]) {
        let Some(finding) = self.ledger.findings.last_mut() else { return };
        let step = |kind, insn| Step { kind, insn, to: None, bytes: 0 };
        finding.cause.push(step(StepKind::Start, start));
        let calls = stack.iter().filter(|frame| frame.tag == CALL);
        finding.cause.extend(calls.map(|frame| step(StepKind::Call, frame.insn)));
    }

    fn backtrace(&mut self, stack: &[Frame]) {
        let options = self.input.options;
        let wanted = options.backtrace || (options.verbose && self.input.rules.words.verbose_is_backtrace);
        if !wanted {
            return;
        }
        for frame in stack.iter().rev() {
            self.ledger.step(self.input.insns.loc(frame.insn), frame.tag);
        }
    }

    /// Whether a jump leads to what another part of the linked object defines.
    fn leaves_part(&self, id: InsnId) -> bool {
        let Input { image, insns, .. } = *self.input;
        let insn = insns.get(id);
        let relocs = &image.section(insns.section_of(id)).relocs;
        let to = relocs.first_in(u64::from(insn.offset), u64::from(insn.end()));
        to.is_some_and(|reloc| self.input.is_of_other_part(reloc.symbol))
    }

    fn step(&mut self, frame: &mut Frame) -> Next {
        let flow = self.input.flow;
        let id = frame.insn;
        match frame.phase {
            Phase::Arrive => {
                if std::mem::replace(&mut self.visited[id.index()], true) {
                    return Next::End;
                }
                self.alternate(frame, 0)
            }
            Phase::Alternate(n) => self.alternate(frame, n),
            Phase::Branched { ends: true } => Next::End,
            Phase::Branched { ends: false } if flow.has(id, Flags::DEAD_END) => Next::End,
            Phase::Branched { ends: false } => Next::Forward,
        }
    }

    fn alternate(&mut self, frame: &mut Frame, n: usize) -> Next {
        let flow = self.input.flow;
        let by_group = self.input.rules.tables.ignore_alternatives == IgnoreAlternatives::ByGroup;
        if by_group || !flow.has(frame.insn, Flags::IGNORE_ALTS) {
            let alternates = flow.alternates(frame.insn);
            let table = flow.table(frame.insn);
            let n = match table {
                Some(table) => {
                    let entered = self.entered.entry(table).or_insert(0);
                    *entered = (*entered).max(n) + 1;
                    *entered - 1
                }
                None => n,
            };
            if let Some(alternate) = alternates.get(n) {
                frame.phase = Phase::Alternate(n + 1);
                return match alternate.to {
                    Some(to) => Next::Enter(to, "(alt)"),
                    None => Next::Again,
                };
            }
            if table.is_none() && alternates.iter().any(|alternate| alternate.skip_original) {
                return Next::End;
            }
        }
        self.act(frame)
    }

    fn act(&mut self, frame: &mut Frame) -> Next {
        let Input { flow, symbols, insns, image, rules, .. } = *self.input;
        let id = frame.insn;
        let kind = insns.kind(id);
        match kind {
            Kind::CallDynamic | Kind::JumpDynamic | Kind::JumpDynamicConditional => {
                self.report(Weight::Warning, Fault::EarlyIndirectBranch, id);
                return Next::Found;
            }
            Kind::JumpUnconditional | Kind::JumpConditional
                if !calls::is_sibling_call(flow, insns, symbols, rules.branches.sibling_needs_function, id) =>
            {
                let Some(target) = flow.jump_target(id) else {
                    if self.leaves_part(id) {
                        return if kind == Kind::JumpConditional { Next::Forward } else { Next::End };
                    }
                    self.report(Weight::Warning, Fault::UnresolvedJumpAfterLink, id);
                    return Next::Broken;
                };
                let ends = kind == Kind::JumpUnconditional;
                frame.phase = Phase::Branched { ends };
                return Next::Enter(target, if ends { "(branch)" } else { "(branch-cond)" });
            }
            Kind::JumpUnconditional | Kind::JumpConditional | Kind::Call => {
                let Some(callee) = flow.callee(id) else { return Next::End };
                if self.input.is_of_other_part(callee) {
                    return Next::End;
                }
                let at = CodeLoc::new(image.symbol(callee).section, image.symbol(callee).value);
                let Some(target) = insns.at(at) else {
                    let fault = Fault::UnresolvedFunctionAfterLink { symbol: callee };
                    self.ledger.plain(Weight::Warning, fault, Some(self.input.insns.loc(id)), Some(id), flow.owner(id));
                    return Next::Broken;
                };
                // A callee that comes back without a finding has untrained.
                frame.phase = Phase::Branched { ends: true };
                return Next::Enter(target, CALL);
            }
            Kind::Return => {
                self.report(Weight::Warning, Fault::ReturnBeforeUntrain, id);
                return Next::Found;
            }
            Kind::ContextSwitch if rules.walk.unret_ends_at_context_switch && flow.function(symbols, id).is_none() => {
                return Next::End;
            }
            Kind::Sysret => return Next::End,
            Kind::Nop if flow.has(id, Flags::SAFE) => return Next::End,
            _ => {}
        }
        if flow.has(id, Flags::DEAD_END) { Next::End } else { Next::Forward }
    }
}
