//! Assembly as it is written: lines, names, macros and conditions of a text, without a build.
//!
//! In: the text of a `.S` file or of a header with macros.  Out: [`Source`] and what is read from it: definitions, names,
//! which lines the preprocessor keeps, what a macro becomes.
//! Holds afterwards: every place is a byte of the text as it was given; nothing was run, and no file was read but by a
//! function that the caller handed in.
//! Reads like: "GNU as", `.macro`, `.if`, "Symbol Names"; "The C Preprocessor", "Conditionals".

pub mod lines;
pub mod names;
pub mod outline;
pub mod condition;
pub mod preprocess;
pub mod expand;
pub mod vocabulary;
pub mod spelling;
pub mod text;

pub use lines::{LineKind, Source};
pub use outline::{Definition, DefinitionKind, Outline};

use std::path::Path;

/// Whether a file of this name is assembly by its name.
pub fn is_assembly_name(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("S" | "s" | "sx" | "asm"))
}
