//! orcls: the verdicts of Linux's objtool, on the line that causes them.
//!
//! An object goes through these stages once. Beside each stands what holds behind it; `docs/architecture.md` says why.
//!
//! ```text
//! source, unsaved text                       object
//!   │ build     its compile command            │
//!   │ compile   into a private folder          │
//!   └────────────────────┬─────────────────────┘
//!                        ▼
//!  image    ElfImage     tables lie within the file, and name each other
//!  symbols  Symbols      every look-up answers as the release's own would
//!  decode   InsnTable    instructions without gaps, with objtool's lengths and effects
//!  flow     FlowGraph    every owner, target and alternate is an instruction or symbol
//!  follow   CfiMap       the state before each instruction that a path reaches
//!  flatten  FlatCfi      one state per byte, whichever arm of an alternative is patched in
//!  orc      OrcTable     a row wherever the way to unwind changes
//!                        │ audit, prefix: what needs no path; findings go into the ledger; wording makes objtool's lines of it
//!                        ▼
//!           Analysis     objtool's lines in its order, and what else was found
//!                        │ source_map: lines, when they are asked for; write: the object as objtool leaves it
//!                        ▼
//!           Report       messages, paths and tables as plain data
//!                        │ whole: the same of vmlinux.o, linked with an edited object in its place
//!                        │
//!                  cli ──┴── lsp
//! ```
//!
//! The modules are in layer order: each uses only those above it.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod ids;
pub mod cancel;
pub mod clean;
pub mod files;
mod marks;
mod parallel;
pub mod mangled;
pub mod c_symbols;
pub mod kernel;
pub mod options;
pub mod build;
pub mod compile;
pub mod image;
pub mod cfi;
pub mod findings;
pub mod ledger;
pub mod baseline;
pub mod symbols;
pub mod decode;
pub mod guess;
pub mod flow;
pub mod flatten;
pub mod follow;
pub mod audit;
pub mod prefix;
pub mod orc;
pub mod detect;
pub mod wording;
pub mod analysis;
pub mod write;
pub mod verify;
pub mod source_map;
pub mod assembly;
pub mod unwind;
pub mod annotate;
pub mod report;
pub mod tree_objects;
pub mod whole;
pub mod causes;
pub mod lsp;
pub mod cli;
