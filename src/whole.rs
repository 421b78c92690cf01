//! Judges an object as the part of `vmlinux.o` that it becomes.
//!
//! In: a build tree, the object of an edited source.  Out: [`Judged`]: what objtool would say of `vmlinux.o` once it is
//! linked anew, on the lines of the members.
//! Holds afterwards: the verdict is that of a real link (`ld -r`) of the tree's own members, or, at once, that of the object
//! and the few others that the edit concerns, with an index of all others; what the tree had to say before the edit is known
//! apart from what the edit adds.
//!
//! With `X86_KERNEL_IBT`, LTO or `KLP_BUILD` a build runs objtool once, on `vmlinux.o`. Much of what it says there
//! depends on two objects: the caller of a function and its definition, a table and what it points to.
//!
//! ```text
//! members ── facts ──▶ index ── near ──▶ a few members ┐
//!              (kept in the user's cache)              ├─ draft ──▶ joined object ──▶ verdict, at once
//! edited object ───────────────────────────────────────┤  stubs for all others
//!                                                      └─ ld -r of all members ───▶ verdict, to confirm it
//! ```

mod draft;
mod facts;
mod index;
mod instant;
mod join;
mod judge;
mod judging;
mod kept;
mod layout;
mod link;
mod near;
mod places;
mod program;
mod stubs;
mod verdict;

pub use instant::AtOnce;
pub use judge::Whole;
pub use judging::Question;
pub use program::Unavailable;
pub use verdict::{Elsewhere, Judged};
