//! orcls: the verdicts of Linux's objtool, on the line that causes them.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod cancel;
pub mod cfi;
pub mod decode;
pub mod finding;
pub mod flow;
pub mod follow;
pub mod ids;
pub mod image;
pub mod kernel;
pub mod options;
pub mod orc;
