//! Takes down what the stages find, in objtool's order, and knows which of it objtool prints.
//!
//! In: a [`Fault`] with its place.  Out: findings without words, and the lines of objtool as what they say; `wording` makes
//! text of them.
//! Holds afterwards: there is a line for a finding only where objtool prints it: once per function where the release does
//! so, and none after a fatal one. Each line has the id of its finding.

use rustc_hash::FxHashSet;

use crate::findings::{Fault, Finding, Level, Words};
use crate::ids::{CodeLoc, FindingId, InsnId, SymbolId};
use crate::kernel::rules::{FatalStyle, Rules};
use crate::options::Options;

/// What objtool does after a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// It goes on.
    Warning,
    /// It prints an error but goes on.
    Error,
    /// It stops.
    Fatal,
    /// It does not see it.
    Own,
}

/// What a line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// The finding, with its place in front of it if it has one.
    Finding(Option<CodeLoc>),
    /// A step of a backtrace.
    Step(CodeLoc, &'static str),
}

/// A line that objtool prints, before it is put into words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Warning or error.
    pub level: Level,
    /// The finding that it is about.
    pub of: Option<FindingId>,
    /// What it says.
    pub said: Said,
}

/// How the release's objtool goes about findings with the flags at hand.
#[derive(Clone, Copy, Debug)]
struct Manner {
    once_per_function: bool,
    fatal: FatalStyle,
    werror: bool,
    /// The place of a finding is printed once more as the first step of its backtrace.
    repeats_place: bool,
}

/// Findings and lines, in order.
#[derive(Debug)]
pub struct Ledger {
    /// Everything found; none has objtool's words yet.
    pub findings: Vec<Finding>,
    /// Everything objtool prints, backtraces included.
    pub lines: Vec<Line>,
    manner: Manner,
    warned: FxHashSet<SymbolId>,
    /// Those that were warned about since the last [`Ledger::cut`].
    fresh: Vec<SymbolId>,
    stopped: bool,
    crashed: bool,
    /// How many findings are still kept.
    room: usize,
    /// How many were counted only.
    pub n_dropped: usize,
    /// The last one was one of those.
    dropped: bool,
}

/// So many findings are kept of every object, besides one for each [`BYTES_PER_FINDING`] of its bytes.
const MOST: usize = 1 << 14;
const BYTES_PER_FINDING: u64 = 128;

impl Ledger {
    /// An empty ledger of a run with these rules and flags.
    pub fn new(rules: &Rules, options: &Options) -> Ledger {
        let words = &rules.words;
        let manner = Manner {
            once_per_function: words.once_per_function,
            fatal: words.fatal,
            werror: options.werror,
            repeats_place: words.insn_repeated_in_backtrace && (options.backtrace || options.verbose),
        };
        Ledger::empty(manner)
    }

    fn empty(manner: Manner) -> Ledger {
        let (findings, lines, warned) = (Vec::new(), Vec::new(), FxHashSet::default());
        let (fresh, room, n_dropped, dropped) = (Vec::new(), usize::MAX, 0, false);
        Ledger { findings, lines, manner, warned, fresh, stopped: false, crashed: false, room, n_dropped, dropped }
    }

    /// The same, for an object of this many bytes: more findings than it is worth are counted only.
    pub fn for_object(self, size: u64) -> Ledger {
        Ledger { room: MOST + usize::try_from(size / BYTES_PER_FINDING).unwrap_or(0), ..self }
    }

    /// How much was found, what was counted only included.
    pub fn n_found(&self) -> usize {
        self.findings.len() + self.n_dropped
    }

    /// What was found last, unless it was counted only.
    pub fn last(&mut self) -> Option<&mut Finding> {
        if self.dropped { None } else { self.findings.last_mut() }
    }

    /// An empty ledger that goes on where this one is.
    pub fn fork(&self) -> Ledger {
        let &Ledger { stopped, crashed, room, manner, .. } = self;
        Ledger { warned: self.warned.clone(), stopped, crashed, room, ..Ledger::empty(manner) }
    }

    /// Takes out what was found since the last time; the ledger goes on as if it were still there.
    pub fn cut(&mut self) -> Ledger {
        let &mut Ledger { stopped, crashed, room, manner, .. } = self;
        let (findings, lines) = (std::mem::take(&mut self.findings), std::mem::take(&mut self.lines));
        let (fresh, n_dropped) = (std::mem::take(&mut self.fresh), std::mem::take(&mut self.n_dropped));
        Ledger { findings, lines, fresh, stopped, crashed, room, n_dropped, ..Ledger::empty(manner) }
    }

    /// Appends what a fork found.
    pub fn adopt(&mut self, fork: Ledger) {
        if !self.stopped {
            // The fork counts its findings from 0.
            let first = self.findings.len();
            let moved = |of: FindingId| FindingId::from_index(first + of.index());
            self.lines.extend(fork.lines.into_iter().map(|line| Line { of: line.of.map(moved), ..line }));
            (self.stopped, self.crashed) = (fork.stopped, fork.crashed);
        }
        self.room = self.room.saturating_sub(fork.findings.len());
        self.n_dropped += fork.n_dropped;
        self.findings.extend(fork.findings);
        self.warned.extend(fork.warned.into_iter().chain(fork.fresh));
        debug_assert!(self.lines.iter().all(|line| line.of.is_none_or(|of| of.index() < self.findings.len())));
    }

    /// Whether objtool has stopped at a fatal finding.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// objtool is killed by the object: it prints nothing from here on.
    pub fn crash(&mut self) {
        self.crashed |= !self.stopped;
        self.stopped = true;
    }

    /// Whether the object kills objtool.
    pub fn crashed(&self) -> bool {
        self.crashed
    }

    /// Marks a function as warned about without a line of its own.
    pub fn mark_warned(&mut self, function: SymbolId) {
        self.warned.insert(function);
        self.fresh.push(function);
    }

    /// A finding at an instruction, which is at `at` and belongs to `owner`. `shown` is the place objtool prints, if
    /// another.
    pub fn at_insn(
        &mut self,
        weight: Weight,
        fault: Fault,
        (insn, at): (InsnId, CodeLoc),
        owner: Option<SymbolId>,
        shown: Option<CodeLoc>,
    ) {
        let always = weight != Weight::Warning && self.manner.fatal != FatalStyle::Warning;
        let first = match owner {
            _ if weight == Weight::Own => false,
            Some(owner) if self.manner.once_per_function && !always => {
                self.fresh.push(owner);
                self.warned.insert(owner)
            }
            _ => true,
        };
        let place = shown.unwrap_or(at);
        let finding = found(fault, Some(at), Some(insn), owner);
        self.take(weight, finding, first.then_some(Said::Finding(Some(place))), true);
        if first && !always && self.manner.repeats_place {
            self.step(place, "");
        }
    }

    /// A finding at a place that need not be an instruction.
    pub fn at_place(&mut self, weight: Weight, fault: Fault, at: CodeLoc) {
        self.take(weight, found(fault, Some(at), None, None), Some(Said::Finding(Some(at))), false);
    }

    /// A finding that objtool prints without a place; `insn` and `at` are where a person looks.
    pub fn plain(
        &mut self,
        weight: Weight,
        fault: Fault,
        at: Option<CodeLoc>,
        insn: Option<InsnId>,
        function: Option<SymbolId>,
    ) {
        self.take(weight, found(fault, at, insn, function), Some(Said::Finding(None)), false);
    }

    /// A step of the backtrace of the finding before it.
    pub fn step(&mut self, at: CodeLoc, tag: &'static str) {
        if !self.stopped {
            let of = self.findings.len().checked_sub(1).map(FindingId::from_index);
            self.lines.push(Line { level: self.level(Weight::Warning, None, true), of, said: Said::Step(at, tag) });
        }
    }

    fn take(&mut self, weight: Weight, finding: Finding, said: Option<Said>, at_insn: bool) {
        self.dropped = self.room == 0;
        if self.dropped {
            self.n_dropped += 1;
            self.stopped |= weight == Weight::Fatal;
            return;
        }
        self.room -= 1;
        let heard = !self.stopped && !matches!(finding.fault.told().objtool, Words::Silent);
        if let Some(said) = said.filter(|_| heard) {
            let of = Some(FindingId::from_index(self.findings.len()));
            self.lines.push(Line { level: self.level(weight, Some(&finding.fault), at_insn), of, said });
        }
        self.findings.push(finding);
        self.stopped |= weight == Weight::Fatal;
    }

    /// What the run as a whole is refused for is an error in every release.
    fn level(&self, weight: Weight, fault: Option<&Fault>, at_insn: bool) -> Level {
        if matches!(fault, Some(Fault::BadObject { .. })) {
            return Level::Error;
        }
        let error = match self.manner.fatal {
            FatalStyle::Warning => false,
            FatalStyle::WarningAtInstruction => (weight != Weight::Warning && !at_insn) || self.manner.werror,
            FatalStyle::Error => weight != Weight::Warning || self.manner.werror,
        };
        if error { Level::Error } else { Level::Warning }
    }
}

fn found(fault: Fault, at: Option<CodeLoc>, insn: Option<InsnId>, function: Option<SymbolId>) -> Finding {
    Finding { fault, at, insn, function, states: Vec::new(), cause: Vec::new(), objtool: None }
}
