//! Texts of assembly in the editor: what they include, and which macros and symbols there are.
//!
//! In: [`Snapshot`](super::snapshot::Snapshot), a document.  Out: [`View`](view::View).
//! Holds afterwards: of an open document the client's text counts, of every other file the one on disk; what was read is
//! kept as long as it stays the same, within bounds; nothing was compiled.

pub mod list;
pub mod index;
pub mod files;
pub mod view;
pub mod includes;
