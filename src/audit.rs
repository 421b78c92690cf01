//! The checks that need no path: every instruction is looked at by itself.
//!
//! In: [`FlowGraph`](crate::flow::FlowGraph) and what the walk reached.  Out: findings.
//! Holds afterwards: each check ran only if its flag asks for it, in objtool's order.
//! Reads like: `check` in `tools/objtool/check.c`.

mod bodies;
mod existing;
mod ibt;
mod open;
mod retpoline;
mod static_calls;
mod unreachable;
mod unret;

pub use bodies::removed_bodies;
pub use existing::existing_lists;
pub use ibt::{absolute_relocations, ibt, module_entries};
pub use open::open;
pub use retpoline::{retpoline, sls};
pub use static_calls::static_calls;
pub use unreachable::unreachable;
pub use unret::unret;
