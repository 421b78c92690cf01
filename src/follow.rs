//! Follows the CFI state along every path of every function.
//!
//! In: [`InsnTable`], [`FlowGraph`].  Out: [`CfiMap`] and findings.
//! Holds afterwards: every instruction that a path reaches has the state before it.
//! Reads like: `validate_functions`, `validate_unwind_hints` and `validate_branch` in `tools/objtool/check.c`.

mod cause;
mod checks;
mod journal;
mod limits;
mod mark;
mod merge;
mod policy;
mod replay;
mod together;
mod trail;
mod transition;
mod transitions;
mod walk;

use crate::cancel::{CancelToken, Cancelled};
use crate::cfi::CfiState;
use crate::decode::InsnTable;
use crate::findings::Fault;
use crate::flatten::FlatCfi;
use crate::flow::{AltGroup, Flags, FlowGraph, PV_OPS};
use crate::ids::{CfiId, CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, STB_WEAK};
use crate::kernel::rules::Rules;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::parallel;
use crate::symbols::Symbols;

pub use policy::Policy;

use limits::Finished;
use mark::Mark;
use together::Together;
use walk::{Ground, Outcome, Walk, WalkState};

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
    pub rules: &'a Rules,
    /// The flags.
    pub options: &'a Options,
}

impl Input<'_> {
    /// An instruction with its place.
    pub(crate) fn placed(&self, id: InsnId) -> (InsnId, CodeLoc) {
        (id, self.insns.loc(id))
    }

    /// Whether another part of the linked object defines the symbol, or may: it would take the place of a weak one.
    pub(crate) fn is_of_other_part(&self, symbol: SymbolId) -> bool {
        let symbol = self.image.symbol(symbol);
        self.options.part && (symbol.is_undefined() || symbol.binding == STB_WEAK)
    }

    /// Whether an indirect call goes through a table of functions that another part fills.
    pub(crate) fn calls_through_other_part(&self, id: InsnId) -> bool {
        let insn = self.insns.get(id);
        let relocs = &self.image.section(self.insns.section_of(id)).relocs;
        relocs
            .first_in(u64::from(insn.offset), u64::from(insn.end()))
            .is_some_and(|reloc| self.is_of_other_part(reloc.symbol) && self.image.symbol_name(reloc.symbol) == PV_OPS)
    }

    /// The function that an instruction belongs to, of a cold part the one it was split from.
    pub(crate) fn parent_of(&self, id: InsnId) -> Option<SymbolId> {
        self.symbols.parent(self.flow.function(self.symbols, id)?)
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
    /// Where walks began that orcls gave up on: they have more states, or ways, than it keeps.
    pub given_up: Vec<InsnId>,
}

impl CfiMap {
    /// No path leads to any of `n` instructions.
    pub(crate) fn nowhere(n: usize) -> CfiMap {
        CfiMap { marks: vec![0; n], ..CfiMap::default() }
    }

    /// The state before the instruction; `None` where no path leads.
    pub fn state(&self, id: InsnId) -> Option<&CfiState> {
        self.states.get(self.id(id)?.index())
    }

    /// The interned state before the instruction.
    pub fn id(&self, id: InsnId) -> Option<CfiId> {
        Mark(self.marks.get(id.index()).copied()?).state()
    }

    /// The states of an alternative's arms, one per byte: each with the instruction that brought it.
    pub fn flattened(&self, group: &AltGroup) -> Vec<Option<(&CfiState, InsnId)>> {
        let slots = self.flat.table(group.slots);
        slots.iter().map(|slot| slot.and_then(|(state, insn)| Some((self.by_id(state)?, insn)))).collect()
    }

    /// Whether all states that paths bring are of some kind.
    pub(crate) fn uses_only(&self, kind: impl Fn(CfiId) -> bool + Send + Sync) -> bool {
        let of_kind = |index: usize| Mark(self.marks[index]).state().is_none_or(&kind);
        let parts = parallel::parts(self.marks.len(), |mut part| part.all(of_kind));
        parts.into_iter().all(|part| part) && self.flat.states().all(kind)
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
    // The ways that `Everything` is to show lead through one walk after another.
    let n_blocks = if policy.conduct().keeps_paths { 1 } else { together::blocks_for(input.insns.len()) };
    follow_in_blocks(input, policy, scope, n_blocks, ledger, cancel)
}

/// Does the same with the functions in so many blocks, which are followed side by side.
pub fn follow_in_blocks(
    input: Input<'_>,
    policy: Policy,
    scope: Scope,
    n_blocks: usize,
    ledger: &mut Ledger,
    cancel: &CancelToken,
) -> Result<(CfiMap, usize), Cancelled> {
    // Where code of replacements has no owner, one walk goes on in it where another one stopped.
    let n_blocks = if input.rules.branches.jumps_before_tables { 1 } else { n_blocks };
    let ground = Ground::new(&input);
    let mut together = match scope {
        Scope::All => together::follow(input, &ground, n_blocks, ledger, cancel)?,
        Scope::Noinstr => Together::default(),
    };
    let mut own = ledger.fork();
    let (states, flat) = (std::mem::take(&mut together.states), std::mem::take(&mut together.flat));
    let mut walk = Walk::new(input, policy, &mut own, &ground, states, flat);
    let mut counted = 0;
    match scope {
        Scope::All => {
            counted += together.finish(&mut walk, cancel)?;
            counted += hints(&mut walk, None);
        }
        Scope::Noinstr => {
            for name in [".noinstr.text", ".entry.text", ".cpuidle.text"] {
                let Some(section) = input.image.section_by_name(name) else { continue };
                if input.flow.section(section).noinstr {
                    for &symbol in input.symbols.of_section(section) {
                        cancel.check()?;
                        counted += usize::from(function(&mut walk, section, symbol) == Outcome::Found);
                    }
                    counted += hints(&mut walk, Some(section));
                }
            }
        }
    }
    let Finished { states, flat, incomplete, given_up } = walk.finish();
    ledger.adopt(own);
    Ok((CfiMap { states: states.into_states(), marks: ground.into_marks(), flat, incomplete, given_up }, counted))
}

/// Follows a function.
fn function(walk: &mut Walk<'_, '_>, section: SectionId, symbol: SymbolId) -> Outcome {
    let input = walk.input;
    if input.symbols.is_function(symbol) && input.symbols.size(symbol) == 0 {
        walk.plain(Fault::MissingSize { symbol }, None, Some(symbol));
        return Outcome::Found;
    }
    let Some(first) = start(&input, section, symbol).filter(|&first| !walk.visited(first)) else {
        return Outcome::Clean;
    };
    let mut state = WalkState::new(walk.function_entry());
    state.uaccess = input.symbols.traits(symbol).uaccess_safe;
    state.noinstr = walk.starts_noinstr(section);
    let function = input.flow.function(input.symbols, first);
    walk.run(function, first, state, "<=== (sym)")
}

/// Where a symbol is followed from, if it is.
fn start(input: &Input<'_>, section: SectionId, symbol: SymbolId) -> Option<InsnId> {
    let symbols = input.symbols;
    let followed = symbols.is_function(symbol) && symbols.size(symbol) != 0;
    if !followed || symbols.parent(symbol) != Some(symbol) || symbols.is_alias(symbol) {
        return None;
    }
    let first = input.insns.at(CodeLoc::new(section, input.image.symbol(symbol).value))?;
    (!input.flow.has(first, Flags::IGNORE)).then_some(first)
}

/// Follows what is left at hints, of one section or all.
fn hints(walk: &mut Walk<'_, '_>, scope: Option<SectionId>) -> usize {
    let input = walk.input;
    let mut counted = 0;
    for id in input.flow.declared(Flags::HINT) {
        let outside = scope.is_some_and(|section| !input.insns.contains(section, id));
        let ignored = input.flow.has(id, Flags::IGNORE) && !input.rules.walk.ignored_hints_followed;
        if outside || walk.visited(id) || ignored {
            continue;
        }
        let mut state = WalkState::new(walk.initial());
        // Only where one section is looked at does its kind count.
        state.noinstr = scope.is_some_and(|section| walk.starts_noinstr(section));
        let function = input.flow.function(input.symbols, id);
        counted += usize::from(walk.run(function, id, state, "<=== (hint)") == Outcome::Found);
    }
    counted
}
