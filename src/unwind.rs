//! Judges unwind tables: does each row of `.eh_frame` and `.debug_frame` say what the code makes true?
//!
//! In: an object of any x86-64 project.  Out: [`Judgement`]: what is wrong, and what could not be told, by reason.
//! Holds afterwards: nothing is called wrong that the code does not make wrong on some path; the kernel's rules have no
//! part in this.
//! Reads like: x86-64 psABI §3.2 and §3.7; DWARF 5 §6.4.
//!
//! ```text
//!  relocated  tables as a linker would have placed them
//!  table      rows (row), by gimli's reading of the instructions (machine), and landing pads (pads)
//!  code       instructions, what they do (op) and where they lead; pointers: what data points to; jumps: by which table
//!  walk       the state (state, value, zone) at every place where paths meet
//!  verdict    each row against the state before each instruction (compare), and how functions are left
//!  program    what callers do not get back, and what is lost below rsp
//!  cause      which places are faults of their own
//!  fault      one finding for each cause; way: the branches that lead there
//!  sides      both beside each other, for people
//!  derive     all that rows of a function could say; rows: what they should say, for `annotate`
//! ```

mod bare;
mod cause;
mod code;
mod compare;
mod derive;
mod expression;
mod fault;
mod jumps;
mod machine;
mod names;
mod never;
mod op;
mod pads;
mod pointers;
mod program;
mod relocated;
mod row;
mod rows;
mod settle;
mod sides;
mod state;
mod table;
mod value;
mod verdict;
mod walk;
mod way;
mod zone;

use crate::cancel::{CancelToken, Cancelled};
use crate::image::{ElfImage, Store};

pub use bare::Bare;
pub use derive::{Derived, Facts, Range, Whereabouts, Word, derive, told_of_entry_only, untrue};
pub use fault::{Branch, Class, Frame, Remark, Told, text};
pub use names::Names;
pub use rows::{Cfa as RowCfa, REGISTERS, Saved, Told as RowTold, rows};
pub use sides::{RowWords, Side, sides};
pub use value::name as register_name;
pub use verdict::{Finding, Judgement, Subject, Unjudged};

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
    let tables = table::Tables::read(store, image, &addresses, table::Order::EhFrameFirst);
    let mut judgement = judge_by(store, image, &addresses, &tables, cancel)?;
    judgement.without_table = bare::find(image, &tables);
    if tables.differ {
        let tables = table::Tables::read(store, image, &addresses, table::Order::DebugFrameFirst);
        let other = judge_by(store, image, &addresses, &tables, cancel)?;
        let key = |finding: &Finding| (finding.at, finding.subject, finding.told.words.clone());
        let known: Vec<_> = judgement.findings.iter().map(key).collect();
        for mut finding in other.findings.into_iter().filter(|finding| !known.contains(&key(finding))) {
            finding.told.words = finding.told.words.replacen("the unwind table", "`.debug_frame`", 1);
            judgement.findings.push(finding);
        }
        judgement.findings.sort_by_key(|finding| (finding.at, finding.subject));
    }
    Ok(judgement)
}

fn judge_by(
    store: &dyn Store,
    image: &ElfImage,
    addresses: &relocated::Addresses,
    tables: &table::Tables,
    cancel: &CancelToken,
) -> Result<Judgement, Cancelled> {
    let code = code::Code::read(image, addresses, tables);
    let pointers = pointers::Pointers::read(store, image, addresses, tables, &code);
    verdict::judge(image, tables, &code, &pointers, cancel)
}
