//! Follows the CFI state along every path of every function.
//!
//! In: [`InsnTable`], [`FlowGraph`].  Out: [`CfiMap`] and findings.
//! Holds afterwards: every instruction that a path reaches has the state before it.
//! Reads like: `validate_functions`, `validate_unwind_hints` and `validate_branch` in `tools/objtool/check.c`.

mod cause;
mod checks;
mod mark;
mod merge;
mod replay;
mod trail;
mod transition;
mod walk;

use crate::cancel::{CancelToken, Cancelled};
use crate::cfi::CfiState;
use crate::decode::InsnTable;
use crate::finding::Fault;
use crate::flatten::FlatCfi;
use crate::flow::{Flags, FlowGraph};
use crate::ids::{CfiId, InsnId, SectionId};
use crate::image::ElfImage;
use crate::kernel::rules::Rules;
use crate::ledger::{Ledger, Weight};
use crate::options::Options;
use crate::symbols::Symbols;
use crate::wording::Naming;

use mark::Mark;
use walk::{Walk, WalkState};

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// As objtool does: a function's first finding ends it.
    Objtool,
    /// Everything: go on behind a finding. What objtool would print is known for each finding.
    Everything,
}

/// What paths are followed through.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Its symbols.
    pub symbols: &'a Symbols,
    /// Its instructions.
    pub insns: &'a InsnTable,
    /// How they hang together.
    pub flow: &'a FlowGraph,
    /// The release.
    pub rules: &'static Rules,
    /// The flags.
    pub options: &'a Options,
}

impl<'a> Input<'a> {
    /// The names for messages.
    pub fn naming(&self) -> Naming<'a> {
        Naming { image: self.image, insns: self.insns, symbols: self.symbols, rules: self.rules, options: self.options }
    }
}

/// The state before each instruction that a path reaches.
#[derive(Clone, Debug, Default)]
pub struct CfiMap {
    pub(crate) states: Vec<CfiState>,
    /// By instruction; see [`Mark`].
    pub(crate) marks: Vec<u32>,
    /// The alternatives' states, one per byte.
    pub flat: FlatCfi,
    /// Whether the walk gave up on a path before its end.
    pub incomplete: bool,
}

impl CfiMap {
    /// No path leads to any of `n` instructions.
    pub(crate) fn nowhere(n: usize, slot_tables: &[u32]) -> CfiMap {
        CfiMap { marks: vec![0; n], flat: FlatCfi::new(slot_tables), ..CfiMap::default() }
    }

    /// The state before the instruction; `None` where no path leads.
    pub fn state(&self, id: InsnId) -> Option<&CfiState> {
        self.states.get(self.id(id)?.index())
    }

    /// The interned state before the instruction.
    pub fn id(&self, id: InsnId) -> Option<CfiId> {
        Mark(self.marks.get(id.index()).copied()?).state()
    }

    /// How many distinct states there are.
    pub fn n_states(&self) -> usize {
        self.states.len()
    }

    /// The state with this id.
    pub fn by_id(&self, id: CfiId) -> Option<&CfiState> {
        self.states.get(id.index())
    }
}

/// Where to follow paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Everywhere.
    All,
    /// Only in sections that must not be instrumented.
    Noinstr,
}

/// Follows all paths. Also says how many findings were counted, which decides whether unreachable code is reported.
pub fn follow(
    input: Input<'_>,
    policy: Policy,
    scope: Scope,
    ledger: &mut Ledger,
    cancel: &CancelToken,
) -> Result<(CfiMap, usize), Cancelled> {
    let mut walk = Walk::new(input, policy, ledger);
    let mut counted = 0;
    match scope {
        Scope::All => {
            for index in 1..input.image.sections.len() {
                counted += functions(&mut walk, SectionId::from_index(index), cancel)?;
            }
            for index in 1..input.image.sections.len() {
                let section = SectionId::from_index(index);
                counted += hints(&mut walk, section, None);
            }
        }
        Scope::Noinstr => {
            for name in [".noinstr.text", ".entry.text", ".cpuidle.text"] {
                let Some(section) = input.image.section_by_name(name) else { continue };
                if input.flow.section(section).noinstr {
                    counted += functions(&mut walk, section, cancel)?;
                    counted += hints(&mut walk, section, Some(section));
                }
            }
        }
    }
    Ok((walk.finish(), counted))
}

fn functions(walk: &mut Walk<'_, '_>, section: SectionId, cancel: &CancelToken) -> Result<usize, Cancelled> {
    let input = walk.input;
    if !input.image.section(section).is_code() {
        return Ok(0);
    }
    let mut counted = 0;
    for &symbol in input.symbols.of_section(section) {
        if !input.symbols.is_function(symbol) {
            continue;
        }
        cancel.check()?;
        if input.symbols.size(symbol) == 0 {
            walk.plain(Fault::MissingSize { symbol }, None, Some(symbol));
            counted += 1;
            continue;
        }
        if input.symbols.parent(symbol) != Some(symbol) || input.symbols.is_alias(symbol) {
            continue;
        }
        let at = crate::ids::CodeLoc::new(section, input.image.symbol(symbol).value);
        let Some(first) = input.insns.at(at) else { continue };
        if walk.visited(first) || input.flow.has(first, Flags::IGNORE) {
            continue;
        }
        let mut state = WalkState::new(walk.function_entry());
        state.uaccess = input.symbols.traits(symbol).uaccess_safe;
        state.noinstr = walk.starts_noinstr(section);
        let function = input.flow.function(input.symbols, first);
        counted += usize::from(walk.run(function, first, state, "<=== (sym)"));
    }
    Ok(counted)
}

fn hints(walk: &mut Walk<'_, '_>, section: SectionId, scope: Option<SectionId>) -> usize {
    let input = walk.input;
    if input.flow.hints.is_empty() && !walk.has_restore_hints() {
        return 0;
    }
    let mut counted = 0;
    for id in input.insns.of_section(section) {
        if !input.flow.has(id, Flags::HINT) || walk.visited(id) || input.flow.has(id, Flags::IGNORE) {
            continue;
        }
        let mut state = WalkState::new(walk.initial());
        // Only where one section is looked at does its kind count.
        state.noinstr = scope.is_some_and(|section| walk.starts_noinstr(section));
        let function = input.flow.function(input.symbols, id);
        counted += usize::from(walk.run(function, id, state, "<=== (hint)"));
    }
    counted
}

/// Tells a finding of the walk to the ledger.
pub(crate) fn weigh(fault: &Fault) -> Weight {
    match fault {
        Fault::UnresolvedJumpAfterLink | Fault::UnretEnd => Weight::Fatal,
        _ => Weight::Warning,
    }
}
