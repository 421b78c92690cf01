//! Judges an object as the part of `vmlinux.o` that it becomes.
//!
//! In: a build tree, the object of an edited source.  Out: [`Judged`]: what objtool would say of `vmlinux.o` once it is
//! linked anew, on the lines of the members.
//! Holds afterwards: the verdict is that of a real link (`ld -r`) of the tree's own members; what the tree had to say
//! before the edit is known apart from what the edit adds.
//!
//! With `X86_KERNEL_IBT`, LTO or `KLP_BUILD` a build runs objtool once, on `vmlinux.o`. Much of what it says there
//! depends on two objects: the caller of a function and its definition, a table and what it points to.

mod judge;
mod layout;
mod link;
mod places;
mod program;

pub use judge::{Elsewhere, Judged, Question, Whole};
pub use program::Unavailable;
