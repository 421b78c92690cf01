//! Turns an analysis into what people and scripts read: messages in words, paths, tables, drawings.
//!
//! In: [`Analysis`](crate::analysis::Analysis) and [`Lines`](crate::source_map::Lines).  Out: plain data with public
//! fields, which serialises to the documented JSON.
//! Holds afterwards: everything is in the order of the object, and no line was looked up that nobody shows.

pub mod words;
mod shown;
mod asm_lines;
mod late_alternatives;
mod alternative_lines;
mod asm_data;
mod data_lines;
pub mod view;
pub mod select;
mod lines;
pub mod features;
mod arms;
pub mod noreturn;
pub mod path;
mod message;
pub mod cause;
pub mod standing;
pub mod findings;
pub mod macros;
pub mod labels;
pub mod rust;
pub mod statements;
pub mod conditions;
pub mod frame;
pub mod cfi_rows;
pub mod alternatives;
pub mod orc_rows;
pub mod summary;
pub mod partners;
pub mod calls;
pub mod unwind;

pub use alternatives::{AlternativeGroup, Alternatives, alternatives};
pub use cause::{Cause, CauseKind, Remedy};
pub use cfi_rows::{CfiListing, CfiRow, CfiRows, cfi_rows, first_rows};
pub use findings::{Report, ReportedFinding, report};
pub use orc_rows::{OrcListing, OrcRow, orc_listing};
pub use select::Select;
pub use summary::{FunctionSummary, function_summaries};
pub use view::demangled;
