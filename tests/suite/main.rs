//! The program and the library from outside: one binary, because linking each area on its own costs more than its tests.
//!
//! A module per area; what is special about an area is said at its head. `cargo test --test suite AREA::` runs one.

#[path = "../support/fixture.rs"]
mod fixture;

mod annotate;
mod causes;
mod ci;
mod cli;
mod compile;
mod conformance;
mod decode;
mod finished_module;
mod fixes;
mod foreign_options;
mod leftovers;
mod lines;
mod log;
mod lsp;
mod modules;
mod objtool;
mod orc_write;
mod report;
mod rust;
mod side_by_side;
mod tree;
mod unwind;
mod trees;
mod whole;
