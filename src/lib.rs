//! orcls: the verdicts of Linux's objtool, on the line that causes them.
#![forbid(unsafe_code)]

pub mod ids;
pub mod cancel;
pub mod kernel;
pub mod options;
pub mod build;
pub mod image;
pub mod cfi;
pub mod finding;
pub mod catalogue;
pub mod decode;
pub mod guess;
pub mod flow;
pub mod follow;
pub mod orc;
pub mod analysis;
pub mod source_map;
pub mod report;
pub mod lsp;
pub mod cli;
