//! Follows functions side by side on all processors, with the result of following one after the other.
//!
//! In: all functions, in their order.  Out: [`Together`], what the walks over them found and which are still to be followed.
//! Holds afterwards: instructions of a function were visited by one walk after another in the functions' order. A walk that
//! would have gone on in code of no function, which others may reach as well, was taken back; it runs in its turn when all
//! others are done, as do those behind it in the same function. A walk that starts in such code may go anywhere; all behind
//! it are followed one after the other.

use std::sync::{Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::limits::Finished;
use super::mark::MOST_NUMBERED;
use super::walk::{Ground, Outcome, Walk};
use super::{Input, function};
use crate::cancel::{CancelToken, Cancelled};
use crate::cfi::Interner;
use crate::flatten::FlatCfi;
use crate::ids::{CfiId, CodeLoc, InsnId, SectionId, SymbolId};
use crate::ledger::Ledger;
use crate::parallel;

/// Smaller objects are followed sooner than they are split. Only linked kernels and a few modules are larger.
const WORTH_SPLITTING: usize = 1 << 17;
/// However many processors there are, so that a result does not depend on their number.
const BLOCKS: usize = 16;
/// The most states of a block. No object that is split has as many instructions.
const BLOCK_STATES: u32 = 1 << 25;
const _: () = assert!((BLOCKS as u32 + 1) * BLOCK_STATES <= MOST_NUMBERED, "the states of all blocks have numbers");

/// How many blocks an object of `n_insns` instructions is worth.
pub(super) fn blocks_for(n_insns: usize) -> usize {
    if (WORTH_SPLITTING..BLOCK_STATES as usize).contains(&n_insns) { BLOCKS } else { 1 }
}

/// A function in the list of all.
#[derive(Clone, Copy)]
struct Task {
    /// Its place in the list.
    rank: u32,
    section: SectionId,
    symbol: SymbolId,
    /// The function that its first instruction belongs to: the walk keeps to that one.
    owner: Option<SymbolId>,
}

/// What the walks over a block came to.
struct Block {
    states: Interner,
    flat: FlatCfi,
    found: Found,
    left: Vec<Task>,
}

/// What walks found.
#[derive(Default)]
struct Found {
    incomplete: bool,
    /// Where walks began that orcls gave up on.
    given_up: Vec<InsnId>,
    /// How many findings objtool counts.
    counted: usize,
    /// With the rank of the function.
    ledgers: Vec<(u32, Ledger)>,
}

/// What was done side by side, and what is left.
#[derive(Default)]
pub(super) struct Together {
    /// The states of all blocks, each once.
    pub states: Interner,
    /// Those of alternatives.
    pub flat: FlatCfi,
    /// By block: the ids that its states have among all.
    numbers: Vec<Vec<CfiId>>,
    found: Found,
    left: Vec<Task>,
}

/// Takes blocks in, in their order, while others are still followed.
struct Gathering {
    together: Together,
    /// By block, those that are done and wait for one before them.
    waiting: Vec<Option<Block>>,
}

impl Gathering {
    fn take(&mut self, index: usize, block: Block) {
        if let Some(place) = self.waiting.get_mut(index) {
            *place = Some(block);
        }
        while let Some(block) = self.waiting.get_mut(self.together.numbers.len()).and_then(Option::take) {
            self.together.take(block);
        }
    }
}

/// The first id of a block's states. Those of the walk that comes behind all blocks start at 0.
fn first_state(block: usize) -> CfiId {
    CfiId((block as u32 + 1) * BLOCK_STATES)
}

/// Follows the functions in so many blocks.
pub(super) fn follow(
    input: Input<'_>,
    ground: &Ground,
    n_blocks: usize,
    ledger: &Ledger,
    cancel: &CancelToken,
) -> Result<Together, Cancelled> {
    let mut tasks = tasks(&input);
    let alone =
        if n_blocks <= 1 { 0 } else { tasks.iter().position(|task| wanders(&input, task)).unwrap_or(tasks.len()) };
    let left = tasks.split_off(alone);
    if tasks.is_empty() {
        return Ok(Together { left, ..Together::default() });
    }
    let blocks = split(tasks, n_blocks, |task| input.symbols.size(task.symbol));
    let waiting = blocks.iter().map(|_| None).collect();
    let gathering = Mutex::new(Gathering { together: Together::default(), waiting });
    let gather = |index, block| gathering.lock().unwrap_or_else(PoisonError::into_inner).take(index, block);
    let gather = &gather;
    rayon::scope_fifo(|scope| {
        for (index, tasks) in blocks.iter().enumerate() {
            scope.spawn_fifo(move |_| {
                if let Ok(block) = block(input, ground, tasks, first_state(index), ledger.fork(), cancel) {
                    gather(index, block);
                }
            });
        }
    });
    cancel.check()?;
    let mut together = gathering.into_inner().unwrap_or_else(PoisonError::into_inner).together;
    together.left.extend(left);
    together.left.sort_by_key(|task| task.rank);
    ground.renumber(|id| {
        let numbers = (id.0 / BLOCK_STATES).checked_sub(1).map(|block| &together.numbers[block as usize]);
        numbers.map_or(id, |numbers| numbers[(id.0 % BLOCK_STATES) as usize])
    });
    Ok(together)
}

fn tasks(input: &Input<'_>) -> Vec<Task> {
    let code = input.image.sections().filter(|(_, header)| header.is_code());
    let listed =
        code.flat_map(|(section, _)| input.symbols.of_section(section).iter().map(move |&symbol| (section, symbol)));
    let functions: Vec<_> = listed.filter(|&(_, symbol)| input.symbols.is_function(symbol)).collect();
    let task = |rank: usize| {
        let (section, symbol) = functions[rank];
        let first = input.insns.at(CodeLoc::new(section, input.image.symbol(symbol).value));
        let owner = first.and_then(|first| input.flow.function(input.symbols, first));
        Task { rank: rank as u32, section, symbol, owner }
    };
    parallel::filled(functions.len(), 0, task)
}

/// Whether the walk starts in code of no function, as where a label owns a function's first instruction. It goes on through
/// any function; what it comes to hangs on those before it, and what all behind it come to hangs on it.
fn wanders(input: &Input<'_>, task: &Task) -> bool {
    task.owner.is_none() && super::start(input, task.section, task.symbol).is_some()
}

/// Blocks of about the same weight, each owner in one of them.
fn split(tasks: Vec<Task>, n_blocks: usize, weight: impl Fn(&Task) -> u64) -> Vec<Vec<Task>> {
    let total = tasks.iter().fold(1u64, |sum, task| sum.saturating_add(weight(task)));
    let mut block_of: FxHashMap<SymbolId, usize> = FxHashMap::default();
    let mut blocks = vec![Vec::new(); n_blocks];
    let mut before = 0u64;
    for task in tasks {
        let share = u128::from(before) * n_blocks as u128 / u128::from(total);
        let here = (share as usize).min(n_blocks - 1);
        before = before.saturating_add(weight(&task));
        let block = task.owner.map_or(here, |owner| *block_of.entry(owner).or_insert(here));
        blocks[block].push(task);
    }
    blocks
}

fn block(
    input: Input<'_>,
    ground: &Ground,
    tasks: &[Task],
    first: CfiId,
    mut ledger: Ledger,
    cancel: &CancelToken,
) -> Result<Block, Cancelled> {
    let mut walk = Walk::confined(input, &mut ledger, ground, first);
    let (mut left, mut left_owners) = (Vec::new(), FxHashSet::default());
    let mut found = Found::default();
    for &task in tasks {
        cancel.check()?;
        let outcome = match task.owner {
            Some(owner) if !left_owners.contains(&owner) => function(&mut walk, task.section, task.symbol),
            _ => Outcome::Left,
        };
        if outcome == Outcome::Left {
            left_owners.extend(task.owner);
            left.push(task);
        }
        found.take(outcome, task, &mut walk);
    }
    let Finished { states, flat, incomplete, given_up } = walk.finish();
    (found.incomplete, found.given_up) = (incomplete, given_up);
    Ok(Block { states, flat, found, left })
}

impl Found {
    /// Takes down how the walk of a function ended.
    fn take(&mut self, outcome: Outcome, task: Task, walk: &mut Walk<'_, '_>) {
        self.counted += usize::from(outcome == Outcome::Found);
        self.ledgers.extend(walk.cut().map(|ledger| (task.rank, ledger)));
    }
}

impl Together {
    fn take(&mut self, block: Block) {
        let first = first_state(self.numbers.len());
        let numbers = self.states.adopt(block.states);
        self.flat.adopt(block.flat, |id| numbers[(id.0 - first.0) as usize]);
        self.numbers.push(numbers);
        self.found.incomplete |= block.found.incomplete;
        self.found.given_up.extend(block.found.given_up);
        self.found.counted += block.found.counted;
        self.found.ledgers.extend(block.found.ledgers);
        self.left.extend(block.left);
    }

    /// Has `walk`, which has the states of all blocks, follow what is left. How many findings objtool counts.
    pub(super) fn finish(self, walk: &mut Walk<'_, '_>, cancel: &CancelToken) -> Result<usize, Cancelled> {
        let Together { numbers, mut found, left, .. } = self;
        walk.incomplete |= found.incomplete;
        walk.given_up.append(&mut found.given_up);
        for task in left {
            cancel.check()?;
            let outcome = function(walk, task.section, task.symbol);
            match numbers.is_empty() {
                // All functions are followed in order, and so is what is found.
                true => found.counted += usize::from(outcome == Outcome::Found),
                false => found.take(outcome, task, walk),
            }
        }
        found.ledgers.sort_by_key(|&(rank, _)| rank);
        found.ledgers.into_iter().for_each(|(_, ledger)| walk.take(ledger));
        Ok(found.counted)
    }
}
