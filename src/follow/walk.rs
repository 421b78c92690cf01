//! The walk: from a start, along every branch, depth first, with a stack of its own so that no input can exhaust ours.
//!
//! In: a start and its state.  Out: states of instructions, findings.
//! Holds afterwards: alternates are followed before an instruction's own effect, a jump's target before what is behind
//! it; each instruction is walked at most once per state of user access.

use std::sync::atomic::{AtomicU32, Ordering};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cfi::{CfiState, Demands, Interner};
use crate::decode::Kind;
use crate::findings::{Fault, StateAt, StepKind};
use crate::flatten::FlatCfi;
use crate::flow::{AlternateKind, Flags, Run};
use crate::ids::{CfiId, CodeLoc, InsnId, SectionId, SymbolId};
use crate::kernel::rules::IgnoreAlternatives;
use crate::ledger::{Ledger, Weight};
use crate::parallel;

use super::journal::Journal;
use super::limits::{ALTERNATES, Finished, INSNS_PER_STATE, MOST_ALTERNATES, MOST_STATES, Stopped};
use super::mark::Mark;
use super::policy::{Conduct, Policy};
use super::trail::{SegmentId, Segments};
use super::transitions::Transitions;
use super::{Input, cause, merge};

/// What is carried along a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalkState {
    pub cfi: CfiId,
    pub uaccess: bool,
    /// What PUSHF put away: a bit per level under a marker bit.
    pub uaccess_stack: u32,
    pub df: bool,
    pub noinstr: bool,
    pub instr: i8,
}

impl WalkState {
    pub(super) fn new(cfi: CfiId) -> Self {
        WalkState { cfi, uaccess: false, uaccess_stack: 0, df: false, noinstr: false, instr: 0 }
    }
}

/// Where an activation of the walk stands at its current instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Arrive,
    /// Following alternate number n.
    Alternate(u32),
    /// The taken branch was followed.
    Branched,
}

/// One activation: a straight run with the branches that it takes.
#[derive(Clone, Copy, Debug)]
struct Frame {
    insn: InsnId,
    previous: Option<InsnId>,
    state: WalkState,
    phase: Phase,
    start: InsnId,
    segment: SegmentId,
}

/// How a step of an activation ends.
enum Next {
    /// The path ends here.
    End,
    /// Another activation runs first.
    Enter(InsnId, StepKind),
    /// objtool gives up on the function.
    Fail,
    /// orcls gives up on it.
    Spent,
    /// The path leads to code of no function, where this walk may not go.
    Leave,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Without a finding.
    Clean,
    /// With findings that objtool counts as one.
    Found,
    /// In code of no function; nothing of it is left.
    Left,
}

/// What a finding does to the path.
pub(super) enum After {
    Go,
    Stop(Verdict),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    End,
    Fail,
}

pub(super) struct Walk<'a, 'l> {
    pub input: Input<'a>,
    pub conduct: Conduct,
    ledger: &'l mut Ledger,
    pub states: Interner,
    /// By instruction; see [`Mark`].
    marks: &'l [AtomicU32],
    flat: FlatCfi,
    pub transitions: Transitions,
    /// By list of operations.
    demands: &'l [Demands],
    /// Kept where walks may go no further than their functions.
    journal: Option<Journal>,
    hints: FxHashMap<InsnId, CfiId>,
    /// The instructions around the one that was asked about last.
    run: Run,
    pub segments: Segments,
    /// Whether user access is followed.
    pub uaccess_checked: bool,
    /// Whether missing `int3` is told on the way.
    pub sls_checked: bool,
    /// Whether a path that leads into another function is told.
    falls_through_told: bool,
    /// Findings since the start of a run that do not count.
    uncounted: usize,
    said: FxHashSet<(std::mem::Discriminant<Fault>, InsnId)>,
    /// By jump table and state: how many of its entries were entered in this walk. Entering one again from the same state
    /// changes nothing, whatever jump leads there.
    entered: FxHashMap<(u32, CfiId, bool), u32>,
    /// How many distinct states there may be.
    most_states: usize,
    /// How many alternates may still be entered.
    alternates: usize,
    /// The functions that orcls gave up on.
    pub given_up: Vec<InsnId>,
    pub incomplete: bool,
    start: InsnId,
    entry: CfiId,
    initial: CfiId,
}

/// What all walks over an object share.
pub(super) struct Ground {
    /// By instruction; see [`Mark`].
    pub marks: Vec<AtomicU32>,
    /// By list of operations.
    demands: Vec<Demands>,
}

impl Ground {
    pub(super) fn new(input: &Input<'_>) -> Ground {
        Ground {
            marks: parallel::filled(input.insns.len(), 0, |_| AtomicU32::new(0)),
            demands: input.insns.op_lists().map(Demands::of).collect(),
        }
    }

    /// Gives the states in the marks other numbers.
    pub(super) fn renumber(&self, number: impl Fn(CfiId) -> CfiId + Send + Sync) {
        parallel::parts(self.marks.len(), |part| {
            for slot in &self.marks[part] {
                let mark = Mark(slot.load(Ordering::Relaxed));
                if let Some(state) = mark.state() {
                    slot.store(mark.with(number(state)).0, Ordering::Relaxed);
                }
            }
        });
    }

    /// The marks, for who comes behind the walks.
    pub(super) fn into_marks(self) -> Vec<u32> {
        self.marks.into_iter().map(AtomicU32::into_inner).collect()
    }
}

/// Instructions of these kinds do nothing that a path depends on but what their stack operations do; by number of kind.
const QUIET_KINDS: u32 = 1 << Kind::Other as u32
    | 1 << Kind::Nop as u32
    | 1 << Kind::Trap as u32
    | 1 << Kind::Endbr as u32
    | 1 << Kind::LeaRip as u32;
/// Instructions with one of these need a closer look.
const LOUD: Flags =
    Flags(Flags::DEAD_END.0 | Flags::IGNORE.0 | Flags::HINT.0 | Flags::ALTERNATES.0 | Flags::GROUP.0 | Flags::INSTR.0);

impl<'a, 'l> Walk<'a, 'l> {
    /// A walk that goes on where others got to these states, and those of alternatives.
    pub(super) fn new(
        input: Input<'a>,
        policy: Policy,
        ledger: &'l mut Ledger,
        ground: &'l Ground,
        states: Interner,
        flat: FlatCfi,
    ) -> Self {
        Walk { flat, ..Walk::with_states(input, policy, ledger, ground, states) }
    }

    /// A walk that keeps to its functions, so that others may go on beside it. Its states have ids from `first` on.
    pub(super) fn confined(input: Input<'a>, ledger: &'l mut Ledger, ground: &'l Ground, first: CfiId) -> Self {
        let states = Interner::starting_at(first);
        Walk { journal: Some(Journal::default()), ..Walk::with_states(input, Policy::Objtool, ledger, ground, states) }
    }

    fn with_states(
        input: Input<'a>,
        policy: Policy,
        ledger: &'l mut Ledger,
        ground: &'l Ground,
        mut states: Interner,
    ) -> Self {
        let initial = states.intern(CfiState::initial());
        let entry = states.intern(CfiState::function_entry(input.rules.layout.hints.call));
        let hints = input.flow.hints.iter().map(|(&id, state)| (id, states.intern(state.clone()))).collect();
        let n = input.insns.len();
        let conduct = policy.conduct();
        Walk {
            input,
            conduct,
            ledger,
            states,
            marks: &ground.marks,
            flat: FlatCfi::default(),
            transitions: Transitions::new(n),
            demands: &ground.demands,
            journal: None,
            hints,
            run: Run::default(),
            segments: Segments::new(if conduct.keeps_paths { n } else { 0 }),
            uaccess_checked: input.options.uaccess || input.rules.walk.uaccess_always,
            sls_checked: input.options.sls && input.rules.walk.sls_in_walk,
            falls_through_told: !input.rules.walk.fall_through_needs_comment
                || (!input.options.link && input.image.section_by_name(".comment").is_some()),
            uncounted: 0,
            said: FxHashSet::default(),
            entered: FxHashMap::default(),
            most_states: MOST_STATES + n / INSNS_PER_STATE,
            alternates: MOST_ALTERNATES + ALTERNATES * n,
            given_up: Vec::new(),
            incomplete: false,
            start: InsnId(0),
            entry,
            initial,
        }
    }

    pub(super) fn function_entry(&self) -> CfiId {
        self.entry
    }

    pub(super) fn initial(&self) -> CfiId {
        self.initial
    }

    pub(super) fn visited(&self, id: InsnId) -> bool {
        self.mark(id).is_visited()
    }

    /// Whose the instruction is, and which of those around it are as well. Mostly the same as those before it.
    fn run_of(&mut self, id: InsnId) -> Run {
        if !self.run.has(id) {
            self.run = self.input.flow.owners.run(id);
        }
        self.run
    }

    /// The function that the instruction belongs to.
    pub(super) fn function_of(&mut self, id: InsnId) -> Option<SymbolId> {
        let owner = SymbolId(self.run_of(id).owner);
        (owner.0 != 0 && self.input.symbols.is_function(owner)).then_some(owner)
    }

    fn mark(&self, id: InsnId) -> Mark {
        Mark(self.marks[id.index()].load(Ordering::Relaxed))
    }

    fn set_mark(&self, id: InsnId, mark: Mark) {
        self.marks[id.index()].store(mark.0, Ordering::Relaxed);
    }

    pub(super) fn starts_noinstr(&self, section: SectionId) -> bool {
        let options = self.input.options;
        options.noinstr
            && (options.link || !self.input.rules.walk.noinstr_needs_link)
            && self.input.flow.section(section).noinstr
    }

    /// What the walk leaves to who comes behind it.
    pub(super) fn finish(self) -> Finished {
        let Walk { states, flat, incomplete, given_up, .. } = self;
        Finished { states, flat, incomplete, given_up }
    }

    /// Makes a state one of those that are told apart, unless there are too many.
    pub(super) fn intern(&mut self, state: CfiState) -> Result<CfiId, Stopped> {
        let id = self.states.intern(state);
        if self.states.n_states() > self.most_states { Err(Stopped::Spent) } else { Ok(id) }
    }

    /// Takes in what another walk found.
    pub(super) fn take(&mut self, found: Ledger) {
        self.ledger.adopt(found);
    }

    /// What was found since the last time.
    pub(super) fn cut(&mut self) -> Option<Ledger> {
        let silent = self.ledger.n_found() == 0 && self.ledger.lines.is_empty();
        (!silent).then(|| self.ledger.cut())
    }

    /// A finding that objtool prints without a place.
    pub(super) fn plain(&mut self, fault: Fault, insn: Option<InsnId>, function: Option<SymbolId>) {
        if let Some(insn) = insn
            && !self.said.insert((std::mem::discriminant(&fault), insn))
            && self.conduct.once_per_place
        {
            return;
        }
        let at = insn.map(|insn| self.input.insns.loc(insn)).or_else(|| self.input.image.symbol(function?).place());
        self.ledger.plain(Weight::Warning, fault, at, insn, function);
    }

    /// Follows everything from a start.
    pub(super) fn run(
        &mut self,
        function: Option<SymbolId>,
        start: InsnId,
        state: WalkState,
        mark: &'static str,
    ) -> Outcome {
        self.journal.iter_mut().for_each(Journal::clear);
        self.entered.clear();
        let root = self.segments.root(start);
        let frame =
            |insn, state, segment| Frame { insn, previous: None, state, phase: Phase::Arrive, start: insn, segment };
        let mut stack = vec![frame(start, state, root)];
        let mut outcome = Outcome::Clean;
        while let Some(mut top) = stack.pop() {
            self.start = top.start;
            let before = self.ledger.n_found();
            self.uncounted = 0;
            let next = self.step(function, &mut top);
            if self.ledger.n_found() != before + self.uncounted {
                outcome = Outcome::Found;
            }
            match next {
                Next::End => {}
                Next::Enter(insn, kind) => {
                    let segment = self.segments.fork(top.segment, top.insn, insn, kind);
                    let state = top.state;
                    stack.push(top);
                    stack.push(frame(insn, state, segment));
                }
                Next::Fail => {
                    self.backtrace(&stack, start, mark);
                    return Outcome::Found;
                }
                Next::Spent => {
                    self.incomplete = true;
                    self.given_up.push(start);
                    return outcome;
                }
                Next::Leave => {
                    if let Some(journal) = &mut self.journal {
                        journal.undo(self.marks, &mut self.flat);
                    }
                    return Outcome::Left;
                }
            }
        }
        outcome
    }

    fn backtrace(&mut self, stack: &[Frame], start: InsnId, mark: &'static str) {
        let options = self.input.options;
        let wanted = options.backtrace || (options.verbose && self.input.rules.words.verbose_is_backtrace);
        if !wanted {
            return;
        }
        for frame in stack.iter().rev() {
            let tag = if matches!(frame.phase, Phase::Alternate(_)) { "(alt)" } else { "(branch)" };
            self.backtrace_line(frame.insn, tag);
        }
        self.backtrace_line(start, mark);
    }

    fn backtrace_line(&mut self, insn: InsnId, tag: &'static str) {
        self.ledger.step(self.input.insns.loc(insn), tag);
    }

    /// Runs one activation until its path ends or branches.
    fn step(&mut self, function: Option<SymbolId>, frame: &mut Frame) -> Next {
        loop {
            let next = match frame.phase {
                Phase::Arrive => self.arrive(function, frame),
                Phase::Alternate(n) => self.alternate(function, frame, n),
                Phase::Branched => self.behind_branch(frame),
            };
            match next {
                Step::Next(next) => return next,
                Step::Continue => {}
                Step::Forward => {
                    let Some(insn) = self.input.flow.next(self.input.insns, frame.insn) else {
                        return self.end_of_section(function, frame);
                    };
                    frame.previous = Some(frame.insn);
                    frame.insn = insn;
                    frame.phase = Phase::Arrive;
                    self.stroll(frame);
                }
            }
        }
    }

    /// Goes on over new instructions of the same owner that do nothing but what their stack operations do.
    fn stroll(&mut self, frame: &mut Frame) {
        let Input { flow, insns, options, .. } = self.input;
        let start = frame.insn;
        let Some(previous) = frame.previous else { return };
        let before = self.run_of(previous);
        let Run { end, owner, .. } = self.run_of(start);
        if before.owner != owner {
            return;
        }
        let WalkState { uaccess, df, noinstr, .. } = frame.state;
        let calls_are_checked = uaccess || df || noinstr || options.stackval;
        let quiet = if calls_are_checked { QUIET_KINDS } else { QUIET_KINDS | 1 << Kind::Call as u32 };
        let mut facts = self.states.facts(frame.state.cfi);
        let mut at = start;
        // The last one is followed by something else.
        while at.0 + 1 < end && !self.visited(at) && !flow.has(at, LOUD) && quiet >> insns.kind(at) as u32 & 1 != 0 {
            let mark = Mark(0).visit(frame.state.cfi, uaccess);
            let ops = insns.op_list(at);
            if !facts.meet(self.demands[ops as usize]) && !flow.has(at, Flags::NO_OPS) {
                if self.apply_ops(at, ops, &mut frame.state).is_err() {
                    break;
                }
                facts = self.states.facts(frame.state.cfi);
            }
            self.set_mark(at, mark);
            self.segments.visit(at, frame.segment, true);
            frame.previous = Some(at);
            at.0 += 1;
        }
        if let Some(journal) = &mut self.journal {
            journal.marked(start, at);
        }
        frame.insn = at;
    }

    /// What comes first at an instruction: who owns the instruction, whether it was seen before, its state.
    fn arrive(&mut self, function: Option<SymbolId>, frame: &mut Frame) -> Step {
        let Input { flow, symbols, .. } = self.input;
        let id = frame.insn;
        if let Some(function) = function {
            if frame.previous.is_none() && symbols.traits(function).ignore {
                return Step::Next(Next::End);
            }
            match self.function_of(id) {
                Some(owner) if symbols.parent(owner) != Some(function) => {
                    if self.falls_through_told {
                        return Step::Next(self.left_function(function, owner, frame));
                    }
                    if self.journal.is_some() {
                        return Step::Next(Next::Leave);
                    }
                }
                None if self.journal.is_some() => return Step::Next(Next::Leave),
                _ => {}
            }
            if flow.has(id, Flags::IGNORE) {
                return self.give_up(Fault::IgnoredFunctionReached, frame, true);
            }
        }
        let mark = self.mark(id);
        let hint = flow.has(id, Flags::HINT);
        if mark.is_visited() {
            if !hint && !self.merges(frame) {
                return Step::Next(if self.conduct.ends_function { Next::Fail } else { Next::End });
            }
            if mark.is_visited_with(frame.state.uaccess) {
                return Step::Next(Next::End);
            }
        }
        if frame.state.noinstr && flow.has(id, Flags::INSTR) {
            let by = flow.instr.get(&id).copied().unwrap_or(0);
            frame.state.instr = frame.state.instr.wrapping_add(by as i8);
        }
        if hint {
            if flow.has(id, Flags::RESTORE) {
                match self.restore(function, frame) {
                    Ok(state) => frame.state.cfi = state,
                    Err(step) => return step,
                }
            } else if let Some(&state) = self.hints.get(&id) {
                frame.state.cfi = state;
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.changed(id, mark);
        }
        self.set_mark(id, mark.visit(frame.state.cfi, frame.state.uaccess));
        self.segments.visit(id, frame.segment, !mark.is_visited());
        if flow.has(id, Flags::GROUP)
            && let Some(group) = flow.group_of(id)
        {
            let group = flow.group(group);
            let offset = self.input.insns.get(id).offset.wrapping_sub(self.input.insns.get(group.first).offset);
            let length = flow.slot_tables.get(group.slots as usize).copied().unwrap_or(0);
            match (self.flat.put(group.slots, length, offset, frame.state.cfi, id), &mut self.journal) {
                (Ok(true), Some(journal)) => journal.flattened(group.slots, id),
                (Ok(_), _) => {}
                (Err(first), _) => {
                    if let step @ Step::Next(_) = self.conflict(frame, first) {
                        return step;
                    }
                }
            }
        }
        frame.phase = Phase::Alternate(0);
        Step::Continue
    }

    /// A path led into another function.
    fn left_function(&mut self, function: SymbolId, owner: SymbolId, frame: &Frame) -> Next {
        let Input { image, symbols, rules, flow, .. } = self.input;
        let name = image.symbol_name(function);
        let prefix = rules.walk.prefix_functions.iter().any(|prefix| name.starts_with(prefix))
            && (!rules.walk.prefix_function_must_be_function || symbols.is_function(function));
        if prefix || (flow.unreachables_ignored && !rules.walk.fall_through_needs_comment) {
            return Next::End;
        }
        self.plain(
            Fault::FallsThrough { from: function, to: owner },
            Some(frame.previous.unwrap_or(frame.insn)),
            Some(function),
        );
        if rules.walk.fall_through_warns_function {
            self.ledger.mark_warned(function);
        }
        self.attach(frame, frame.insn, None);
        if self.conduct.ends_function { Next::Fail } else { Next::End }
    }

    fn end_of_section(&mut self, function: Option<SymbolId>, frame: &Frame) -> Next {
        let cfa = self.states.get(frame.state.cfi).cfa.base;
        let rules = self.input.rules;
        let silenced = rules.walk.end_of_section_silenced && self.input.flow.unreachables_ignored;
        if cfa == crate::cfi::Base::UNDEFINED || silenced {
            return Next::End;
        }
        let at = if rules.words.end_of_section_is_walk_start { self.start } else { frame.insn };
        let section = self.input.insns.section_of(at);
        let section = (section.0 != 0).then_some(section);
        let fault = Fault::UnexpectedEndOfSection { function, section };
        self.plain(fault, Some(frame.insn), function);
        self.attach(frame, frame.insn, None);
        if self.conduct.ends_function { Next::Fail } else { Next::End }
    }

    /// Whether the state fits the one that another path brought.
    fn merges(&mut self, frame: &Frame) -> bool {
        let Some(recorded) = self.mark(frame.insn).state().filter(|&recorded| recorded != frame.state.cfi) else {
            return true;
        };
        let (a, b) = (self.states.get(recorded), self.states.get(frame.state.cfi));
        let mismatches = merge::compare(a, b, self.input.rules.walk.all_register_mismatches);
        let merged = mismatches.is_empty();
        for mismatch in mismatches {
            self.report(Fault::StackStateMismatch(mismatch), frame, Some(recorded), false);
        }
        merged
    }

    fn conflict(&mut self, frame: &Frame, first: InsnId) -> Step {
        let flow = self.input.flow;
        let at = match flow.group_of(frame.insn).map(|g| flow.group(g)) {
            Some(group) if self.input.rules.walk.conflict_at_original => match group.original {
                Some(original) => flow.group(original).first,
                None => group.first,
            },
            _ => frame.insn,
        };
        let fault = Fault::AlternativeStackConflict { insn: frame.insn, original: first };
        self.report_at(fault, at, frame, Some(first), false);
        if self.conduct.ends_function { Step::Next(Next::Fail) } else { Step::Continue }
    }

    /// The state that a save hint put away. An error is how the path ends instead.
    fn restore(&mut self, function: Option<SymbolId>, frame: &Frame) -> Result<CfiId, Step> {
        let Input { insns, flow, image, rules, .. } = self.input;
        let start = function.map(|f| image.symbol(f).value);
        let before = flow.saves.partition_point(|&save| save < frame.insn);
        let saved = flow.saves[..before].last().copied().filter(|&saved| {
            let section = insns.section_of(frame.insn);
            section.0 != 0
                && insns.contains(section, saved)
                && start.is_some_and(|start| u64::from(insns.get(saved).offset) >= start)
        });
        let Some(saved) = saved else {
            return Err(self.give_up(Fault::RestoreWithoutSave, frame, true));
        };
        if self.journal.is_some() && self.input.parent_of(saved) != function {
            return Err(Step::Next(Next::Leave));
        }
        let Some(state) = self.mark(saved).state() else {
            if rules.walk.restore_deferred && frame.previous.is_none() {
                return Err(Step::Next(Next::End));
            }
            return Err(self.give_up(Fault::RestoreBeforeSave, frame, true));
        };
        Ok(state)
    }

    fn alternate(&mut self, function: Option<SymbolId>, frame: &mut Frame, n: u32) -> Step {
        let flow = self.input.flow;
        let id = frame.insn;
        let by_group = self.input.rules.tables.ignore_alternatives == IgnoreAlternatives::ByGroup;
        if flow.has(id, Flags::ALTERNATES) && (by_group || !flow.has(id, Flags::IGNORE_ALTS)) {
            let alternates = flow.alternates(id);
            let table = flow.table(id);
            let n = match table {
                Some(table) => {
                    let key = (table, frame.state.cfi, frame.state.uaccess);
                    let entered = self.entered.entry(key).or_insert(0);
                    *entered = (*entered).max(n) + 1;
                    *entered - 1
                }
                None => n,
            };
            if let Some(alternate) = alternates.get(n as usize) {
                if self.alternates == 0 {
                    return Step::Next(Next::Spent);
                }
                self.alternates -= 1;
                frame.phase = Phase::Alternate(n + 1);
                let Some(to) = alternate.to else { return Step::Continue };
                return Step::Next(Next::Enter(to, step_kind(alternate.kind)));
            }
            if table.is_none() && alternates.iter().any(|alternate| alternate.skip_original) {
                return Step::Next(Next::End);
            }
        }
        if by_group && self.skips_group(id) {
            return Step::Next(Next::End);
        }
        self.act(function, frame)
    }

    /// Whether the original code of an alternative is not followed: it is annotated so, or its first arm opens or
    /// closes user access, which a mix of patched and unpatched code must not be judged by.
    fn skips_group(&self, id: InsnId) -> bool {
        let Input { flow, insns, .. } = self.input;
        let Some(group) = flow.group_of(id) else { return false };
        if flow.group(group).ignore {
            return true;
        }
        let Some(first) = flow.alternates(id).first().and_then(|alternate| alternate.to) else { return false };
        let ignored = flow.group_of(first).is_some_and(|group| flow.group(group).ignore);
        !ignored && matches!(insns.kind(first), Kind::Clac | Kind::Stac)
    }

    /// What comes after its alternates: the stack operations, then what the instruction is.
    fn act(&mut self, function: Option<SymbolId>, frame: &mut Frame) -> Step {
        let ops = self.input.insns.op_list(frame.insn);
        if ops != 0 && !self.input.flow.has(frame.insn, Flags::NO_OPS) {
            match self.apply_ops(frame.insn, ops, &mut frame.state) {
                Ok(()) => {}
                Err(Stopped::Fault(fault)) => return self.give_up(fault, frame, false),
                Err(Stopped::Spent) => return Step::Next(Next::Spent),
            }
        }
        match self.check_insn(function, frame) {
            After::Stop(Verdict::Fail) => return Step::Next(Next::Fail),
            After::Stop(Verdict::End) => return Step::Next(Next::End),
            After::Go => {}
        }
        let Input { flow, insns, .. } = self.input;
        if matches!(insns.kind(frame.insn), Kind::JumpConditional | Kind::JumpUnconditional)
            && let Some(target) = flow.jump_target(frame.insn)
            && !self.is_settled(target, frame)
        {
            frame.phase = Phase::Branched;
            let conditional = insns.kind(frame.insn) == Kind::JumpConditional;
            let kind = if conditional { StepKind::Taken } else { StepKind::Jump };
            return Step::Next(Next::Enter(target, kind));
        }
        self.behind_branch(frame)
    }

    /// Whether another path came to a jump's target in the same state, so that this one would end there.
    fn is_settled(&mut self, target: InsnId, frame: &Frame) -> bool {
        let flow = self.input.flow;
        let mark = self.mark(target);
        self.conduct.skips_visited_targets
            && mark.is_visited_with(frame.state.uaccess)
            && mark.state() == Some(frame.state.cfi)
            && self.run_of(target).owner == self.run_of(frame.insn).owner
            && !flow.has(target, Flags::IGNORE)
    }

    fn behind_branch(&mut self, frame: &mut Frame) -> Step {
        let Input { flow, insns, .. } = self.input;
        if matches!(insns.kind(frame.insn), Kind::JumpUnconditional | Kind::JumpDynamic)
            || flow.has(frame.insn, Flags::DEAD_END)
        {
            return Step::Next(Next::End);
        }
        Step::Forward
    }

    /// What stands behind a return or an indirect jump is asked on the way. Such findings count for nothing.
    pub(super) fn check_trap(&mut self, id: InsnId, ret: bool) {
        let Input { flow, insns, .. } = self.input;
        let trapped = flow.next(insns, id).is_none_or(|next| insns.kind(next) == Kind::Trap);
        if trapped || flow.has(id, Flags::SAFE) {
            return;
        }
        let fault = Fault::MissingInt3 { ret };
        if self.conduct.once_per_place && !self.said.insert((std::mem::discriminant(&fault), id)) {
            return;
        }
        self.uncounted += 1;
        self.ledger.at_insn(Weight::Warning, fault, self.input.placed(id), flow.owner(id), None);
    }

    /// A finding behind which the state is not known.
    fn give_up(&mut self, fault: Fault, frame: &Frame, at_walk_start: bool) -> Step {
        self.report(fault, frame, None, at_walk_start);
        self.incomplete = true;
        Step::Next(if self.conduct.ends_function { Next::Fail } else { Next::End })
    }

    fn report(&mut self, fault: Fault, frame: &Frame, recorded: Option<CfiId>, at_walk_start: bool) {
        let first = recorded.map(|_| frame.insn);
        self.report_at(fault, frame.insn, frame, first, at_walk_start);
    }

    /// Takes down a finding at `at`. `first` is the instruction whose recorded state disagrees with the frame's.
    fn report_at(&mut self, fault: Fault, at: InsnId, frame: &Frame, first: Option<InsnId>, at_walk_start: bool) {
        if self.conduct.once_per_place && !self.said.insert((std::mem::discriminant(&fault), at)) {
            return;
        }
        let Input { insns, flow, rules, .. } = self.input;
        // Up to 6.1 some findings are printed with the section in which the walk started.
        let shown = (at_walk_start && rules.words.walk_start_section)
            .then(|| CodeLoc::new(insns.section_of(self.start), u64::from(insns.get(at).offset)));
        self.ledger.at_insn(Weight::Warning, fault, self.input.placed(at), flow.owner(at), shown);
        self.attach(frame, frame.insn, first);
    }

    /// Gives the last finding its states and the ways to them.
    fn attach(&mut self, frame: &Frame, insn: InsnId, first: Option<InsnId>) {
        if !self.conduct.keeps_paths {
            return;
        }
        let mut states = Vec::new();
        if let Some(first) = first
            && let Some(recorded) = self.mark(first).state()
        {
            states.push(self.segments.state_at(first, self.states.get(recorded).clone()));
        }
        let trail = self.segments.trail(frame.segment);
        states.push(StateAt { insn, state: self.states.get(frame.state.cfi).clone(), trail });
        let Input { flow, insns, .. } = self.input;
        let new = self.segments.way(flow, insns, frame.segment, insn);
        let recorded = first
            .and_then(|first| Some((first, self.segments.first(first)?)))
            .map(|(first, segment)| self.segments.way(flow, insns, segment, first));
        if let Some(finding) = self.ledger.last() {
            finding.cause = cause::cause(&self.input, &finding.fault, &new, recorded.as_deref());
            finding.states = states;
        }
    }

    /// Takes down a finding of the checks, and says how the path goes on.
    pub(super) fn found(&mut self, fault: Fault, frame: FrameView, at_walk_start: bool, go_on: bool) -> After {
        let frame = frame.0;
        self.report(fault, &frame, None, at_walk_start);
        match self.conduct.ends_function {
            true => After::Stop(Verdict::Fail),
            false if go_on => After::Go,
            false => After::Stop(Verdict::End),
        }
    }

    fn check_insn(&mut self, function: Option<SymbolId>, frame: &mut Frame) -> After {
        let view = FrameView(*frame);
        let mut state = frame.state;
        let after = self.check(function, frame.insn, &mut state, view);
        frame.state = state;
        after
    }
}

/// An activation as the checks see it: only to report by.
#[derive(Clone, Copy)]
pub(super) struct FrameView(Frame);

/// How the phases of an instruction follow each other.
enum Step {
    Next(Next),
    Continue,
    Forward,
}

fn step_kind(kind: AlternateKind) -> StepKind {
    match kind {
        AlternateKind::Arm => StepKind::Arm,
        AlternateKind::JumpLabel => StepKind::StaticBranch,
        AlternateKind::Exception => StepKind::Fixup,
        AlternateKind::Table => StepKind::TableEntry,
    }
}
