//! Takes down what the stages find, in objtool's order, and knows which of it objtool prints.
//!
//! In: a [`Fault`] with its place.  Out: findings, and the lines of objtool.
//! Holds afterwards: a line stands for a finding only where objtool prints it: once per function where the release does
//! so, and nothing behind a fatal one.

use rustc_hash::FxHashSet;

use crate::findings::{Fault, Finding, Level, Names, ObjtoolLine};
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::kernel::rules::FatalStyle;
use crate::wording::Naming;

/// What objtool does behind a finding.
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

/// Findings and lines, in order.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything found.
    pub findings: Vec<Finding>,
    /// Everything objtool prints, backtraces included.
    pub lines: Vec<ObjtoolLine>,
    warned: FxHashSet<SymbolId>,
    stopped: bool,
    crashed: bool,
}

impl Ledger {
    /// An empty ledger that goes on where this one is.
    pub fn fork(&self) -> Ledger {
        let Ledger { warned, stopped, crashed, .. } = self;
        Ledger { warned: warned.clone(), stopped: *stopped, crashed: *crashed, ..Ledger::default() }
    }

    /// Takes out what was found since the last time; the ledger goes on as if it were still there.
    pub fn cut(&mut self) -> Ledger {
        let (findings, lines) = (std::mem::take(&mut self.findings), std::mem::take(&mut self.lines));
        Ledger { findings, lines, ..self.fork() }
    }

    /// Appends what a fork found.
    pub fn adopt(&mut self, fork: Ledger) {
        let silenced = |finding: Finding| Finding { objtool: None, ..finding };
        if self.stopped {
            self.findings.extend(fork.findings.into_iter().map(silenced));
        } else {
            self.findings.extend(fork.findings);
            self.lines.extend(fork.lines);
            (self.stopped, self.crashed) = (fork.stopped, fork.crashed);
        }
        self.warned.extend(fork.warned);
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
    }

    /// A finding at an instruction, which belongs to `owner`. `shown` is the place objtool prints, if another.
    pub fn at_insn(
        &mut self,
        naming: &Naming<'_>,
        weight: Weight,
        fault: Fault,
        insn: InsnId,
        owner: Option<SymbolId>,
        shown: Option<CodeLoc>,
    ) {
        let at = naming.insns.loc(insn);
        let always = weight != Weight::Warning && naming.rules.words.fatal != FatalStyle::Warning;
        let first = match owner {
            _ if weight == Weight::Own => false,
            Some(owner) if naming.rules.words.once_per_function && !always => self.warned.insert(owner),
            _ => true,
        };
        let place = naming.place(shown.unwrap_or(at));
        let text = fault.told().objtool.text(naming);
        let objtool = text.filter(|_| first).map(|text| format!("{place}: {text}"));
        self.take(naming, weight, fault, Some(at), Some(insn), owner, objtool, true);
        let options = naming.options;
        if first && !always && naming.rules.words.insn_repeated_in_backtrace && (options.backtrace || options.verbose) {
            self.line(naming, format!("  {place}: "));
        }
    }

    /// A finding at a place that need not be an instruction.
    pub fn at_place(&mut self, naming: &Naming<'_>, weight: Weight, fault: Fault, at: CodeLoc) {
        let text = fault.told().objtool.text(naming).map(|text| format!("{}: {text}", naming.place(at)));
        self.take(naming, weight, fault, Some(at), None, None, text, false);
    }

    /// A finding that objtool prints without a place; `insn` is where a person looks.
    pub fn plain(
        &mut self,
        naming: &Naming<'_>,
        weight: Weight,
        fault: Fault,
        insn: Option<InsnId>,
        function: Option<SymbolId>,
    ) {
        let text = fault.told().objtool.text(naming);
        let at = insn.map(|id| naming.insns.loc(id)).or_else(|| {
            let symbol = naming.image.symbol(function?);
            (!symbol.is_undefined()).then(|| CodeLoc::new(symbol.section, symbol.value))
        });
        self.take(naming, weight, fault, at, insn, function, text, false);
    }

    /// A line of objtool that is no finding: a step of a backtrace.
    pub fn line(&mut self, naming: &Naming<'_>, text: String) {
        if !self.stopped {
            let level = level(naming, Weight::Warning, None, true);
            self.lines.push(ObjtoolLine { level, text });
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the one place where a finding is put together")]
    fn take(
        &mut self,
        naming: &Naming<'_>,
        weight: Weight,
        fault: Fault,
        at: Option<CodeLoc>,
        insn: Option<InsnId>,
        function: Option<SymbolId>,
        text: Option<String>,
        at_insn: bool,
    ) {
        let level = level(naming, weight, Some(&fault), at_insn);
        let objtool = text.filter(|_| !self.stopped).map(|text| ObjtoolLine { level, text });
        self.lines.extend(objtool.clone());
        self.findings.push(Finding { fault, at, insn, function, states: Vec::new(), cause: Vec::new(), objtool });
        self.stopped |= weight == Weight::Fatal;
    }
}

/// What the run as a whole is refused for is an error in every release.
fn level(naming: &Naming<'_>, weight: Weight, fault: Option<&Fault>, at_insn: bool) -> Level {
    if matches!(fault, Some(Fault::BadObject { .. })) {
        return Level::Error;
    }
    let error = match naming.rules.words.fatal {
        FatalStyle::Warning => false,
        FatalStyle::WarningAtInstruction => (weight != Weight::Warning && !at_insn) || naming.options.werror,
        FatalStyle::Error => weight != Weight::Warning || naming.options.werror,
    };
    if error { Level::Error } else { Level::Warning }
}
