//! The orcls program.
fn main() {}
