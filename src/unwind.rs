//! Judges unwind tables: does each row of `.eh_frame` and `.debug_frame` say what the code makes true?
//!
//! In: an object of any x86-64 project.  Out: [`Judgement`]: what is wrong, and what could not be told, by reason.
//! Holds afterwards: nothing is called wrong that the code does not make wrong on some path; the kernel's rules have no
//! part in this.
//! Reads like: x86-64 psABI §3.2 and §3.7; DWARF 5 §6.4.
//!
//! ```text
//!  relocated  tables as a linker would have placed them
//!  table      rows, by gimli's reading of the instructions (machine), and landing pads (pads)
//!  code       instructions, what they do (op) and where they lead; pointers: what data points to
//!  walk       the state (state, value) at every place where paths meet
//!  verdict    each row against the state before each instruction (compare), and how functions are left
//!  fault      one finding for each cause
//! ```

mod bare;
mod code;
mod compare;
mod expression;
mod fault;
mod machine;
mod never;
mod op;
mod pads;
mod pointers;
mod relocated;
mod state;
mod table;
mod value;
mod verdict;
mod walk;

use std::collections::BTreeMap;

use crate::cancel::{CancelToken, Cancelled};
use crate::image::{ElfImage, Store};

pub use bare::Bare;
pub use fault::{Class, Frame, Remark, Told, text};
pub use value::name as register_name;
pub use verdict::{Finding, Subject, Unjudged};

/// What came of an object.
#[derive(Debug, Default)]
pub struct Judgement {
    /// What is wrong, by place.
    pub findings: Vec<Finding>,
    /// Instructions whose row was judged, the CFA at least.
    pub compared: usize,
    /// Instructions that have a row and were not judged.
    pub unjudged: BTreeMap<Unjudged, usize>,
    /// Instructions that have a row.
    pub with_row: usize,
    /// Functions without a row that move the stack, in sections of which other code is described.
    pub without_table: Vec<Bare>,
}

/// Whether an object is for user space: it has unwind tables in sections that a kernel discards, and nothing that only a
/// kernel has.
pub fn is_user_space<'a>(mut sections: impl Iterator<Item = &'a str>) -> bool {
    let kernel = |name: &str| {
        name.starts_with(".discard.")
            || name.starts_with(".orc_unwind")
            || name.starts_with("__ksymtab")
            || [".modinfo", ".altinstructions", "__mcount_loc", ".static_call_sites", ".retpoline_sites", "__bug_table"]
                .contains(&name)
    };
    let mut has_table = false;
    let is_kernel = sections.any(|name| {
        has_table |= name == ".eh_frame" || name == ".debug_frame";
        kernel(name)
    });
    has_table && !is_kernel
}

/// Judges an object.
pub fn judge(store: &dyn Store, image: &ElfImage, cancel: &CancelToken) -> Result<Judgement, Cancelled> {
    let addresses = relocated::Addresses::of(image);
    let tables = table::Tables::read(store, image, &addresses);
    let code = code::Code::read(image, &addresses, &tables);
    let pointers = pointers::Pointers::read(image, &code);
    let mut judgement = verdict::judge(image, &tables, &code, &pointers, cancel)?;
    judgement.without_table = bare::find(image, &tables);
    Ok(judgement)
}
