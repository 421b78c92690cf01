//! orcls: the verdicts of Linux's objtool, on the line that causes them.
#![forbid(unsafe_code)]

pub mod ids;
pub mod cancel;
pub mod kernel;
pub mod options;
pub mod build;
pub mod compile;
pub mod image;
pub mod cfi;
pub mod finding;
pub mod catalogue;
pub mod baseline;
pub mod symbols;
pub mod decode;
pub mod guess;
pub mod wording;
pub mod ledger;
pub mod flow;
pub mod flatten;
pub mod follow;
pub mod audit;
pub mod prefix;
pub mod orc;
pub mod detect;
pub mod analysis;
pub mod write;
pub mod source_map;
pub mod report;
pub mod lsp;
pub mod cli;
