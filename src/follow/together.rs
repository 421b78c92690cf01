//! Follows functions side by side on all processors, with the result of following one after the other.
//!
//! In: all functions, in their order.  Out: [`Together`], what the walks over them found and which are still to be followed.
//! Holds afterwards: instructions of a function were visited by one walk after another in the functions' order. A walk that
//! would have gone on in code of no function, which others may reach as well, was taken back; it runs in its turn when all
//! others are done, as do those behind it in the same function.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::walk::{Ground, Outcome, Walk};
use super::{Input, function};
use crate::cancel::{CancelToken, Cancelled};
use crate::cfi::CfiState;
use crate::flatten::FlatCfi;
use crate::ids::{CfiId, CodeLoc, SectionId, SymbolId};
use crate::ledger::Ledger;

/// Smaller objects are followed sooner than they are split. Only linked kernels and a few modules are larger.
const WORTH_SPLITTING: usize = 1 << 17;
/// However many processors there are, so that a result does not depend on their number.
const BLOCKS: usize = 8;
/// The most states of a block. No object that is split has as many instructions.
const BLOCK_STATES: u32 = 1 << 25;

/// How many blocks an object of `n_insns` instructions is worth.
pub(super) fn blocks_for(n_insns: usize) -> usize {
    if (WORTH_SPLITTING..BLOCK_STATES as usize).contains(&n_insns) { BLOCKS } else { 1 }
}

/// A function in the list of all.
#[derive(Clone, Copy)]
struct Task {
    /// Its place in the list.
    rank: usize,
    section: SectionId,
    symbol: SymbolId,
    /// The function that its first instruction belongs to: the walk keeps to that one.
    owner: Option<SymbolId>,
    weight: u64,
}

/// What the walks over a block came to.
struct Block {
    states: Vec<CfiState>,
    flat: FlatCfi,
    incomplete: bool,
    counted: usize,
    found: Vec<(usize, Ledger)>,
    left: Vec<Task>,
}

/// What was done side by side, and what is left.
#[derive(Default)]
pub(super) struct Together {
    blocks: Vec<Block>,
    left: Vec<Task>,
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
    let tasks = tasks(&input);
    if n_blocks <= 1 {
        return Ok(Together { blocks: Vec::new(), left: tasks });
    }
    let blocks = split(tasks, n_blocks);
    let blocks = blocks.par_iter().enumerate();
    let blocks: Vec<Block> = blocks
        .map(|(index, tasks)| block(input, ground, tasks, first_state(index), ledger.fork(), cancel))
        .collect::<Result<_, _>>()?;
    let mut left: Vec<Task> = blocks.iter().flat_map(|block| block.left.iter().copied()).collect();
    left.sort_by_key(|task| task.rank);
    Ok(Together { blocks, left })
}

fn tasks(input: &Input<'_>) -> Vec<Task> {
    let code = input.image.sections().filter(|(_, header)| header.is_code());
    let listed =
        code.flat_map(|(section, _)| input.symbols.of_section(section).iter().map(move |&symbol| (section, symbol)));
    let functions: Vec<_> = listed.filter(|&(_, symbol)| input.symbols.is_function(symbol)).collect();
    let task = |(rank, &(section, symbol))| {
        let first = input.insns.at(CodeLoc::new(section, input.image.symbol(symbol).value));
        let owner = first.and_then(|first| input.flow.function(input.symbols, first));
        Task { rank, section, symbol, owner, weight: input.symbols.size(symbol) }
    };
    functions.par_iter().with_min_len(1 << 12).enumerate().map(task).collect()
}

/// Blocks of about the same weight, each owner in one of them.
fn split(tasks: Vec<Task>, n_blocks: usize) -> Vec<Vec<Task>> {
    let total = tasks.iter().fold(1u64, |sum, task| sum.saturating_add(task.weight));
    let mut block_of: FxHashMap<SymbolId, usize> = FxHashMap::default();
    let mut blocks = vec![Vec::new(); n_blocks];
    let mut before = 0u64;
    for task in tasks {
        let share = u128::from(before) * n_blocks as u128 / u128::from(total);
        let here = (share as usize).min(n_blocks - 1);
        before = before.saturating_add(task.weight);
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
    let (mut found, mut left, mut left_owners) = (Vec::new(), Vec::new(), FxHashSet::default());
    let mut counted = 0;
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
        counted += usize::from(outcome == Outcome::Found);
        found.extend(walk.cut().map(|ledger| (task.rank, ledger)));
    }
    let (states, flat, incomplete) = walk.finish();
    Ok(Block { states, flat, incomplete, counted, found, left })
}

impl Together {
    /// Brings the blocks' results to `walk`, and has it follow what is left. How many findings objtool counts.
    pub(super) fn finish(
        self,
        walk: &mut Walk<'_, '_>,
        ground: &Ground,
        cancel: &CancelToken,
    ) -> Result<usize, Cancelled> {
        let is_split = !self.blocks.is_empty();
        let mut counted = 0;
        let mut found = Vec::new();
        let mut numbers = Vec::new();
        for (index, block) in self.blocks.into_iter().enumerate() {
            numbers.push(walk.adopt(block.states, block.flat, block.incomplete, first_state(index)));
            counted += block.counted;
            found.extend(block.found);
        }
        if is_split {
            ground.renumber(|id| {
                let block = (id.0 / BLOCK_STATES).checked_sub(1).map(|block| &numbers[block as usize]);
                block.map_or(id, |numbers| numbers[(id.0 % BLOCK_STATES) as usize])
            });
        }
        for task in self.left {
            cancel.check()?;
            counted += usize::from(function(walk, task.section, task.symbol) == Outcome::Found);
            if is_split {
                found.extend(walk.cut().map(|ledger| (task.rank, ledger)));
            }
        }
        found.sort_by_key(|&(rank, _)| rank);
        found.into_iter().for_each(|(_, ledger)| walk.take(ledger));
        Ok(counted)
    }
}
