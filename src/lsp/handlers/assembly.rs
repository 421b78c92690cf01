//! Assembly as a language: what an editor asks of a text of assembly, none of which needs a build.
//!
//! In: [`Snapshot`](super::super::snapshot::Snapshot), a document of assembly.  Out: the answers of the protocol; nothing for C.

pub mod completion;
pub mod expand;
pub mod inactive;
pub mod meaning;
pub mod navigation;
pub mod occurrences;
pub mod shape;
pub mod symbols;
pub mod symbols_of_c;
