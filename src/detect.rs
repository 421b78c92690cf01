//! Tells from an object which release it was built from.
//!
//! In: sections, relocations and hints of an object.  Out: a release, and what it was told by.
//! Reads like: the sections that the releases' macros emit (`include/linux/objtool.h`, `annotate.h`, `alternative.h`).

use crate::image::{ElfImage, Store};
use crate::kernel::Kernel;

/// The release of an object that has nothing that tells releases apart.
pub const ASSUMED: Kernel = Kernel::V6_12;

/// The release, and the evidence in words.
pub fn detect(store: &dyn Store, image: &ElfImage) -> (Kernel, String) {
    let has = |name: &str| image.section_by_name(name).is_some();
    let told = |kernel: Kernel, by: &str| (kernel, format!("told by {by}"));
    if has(".discard.annotate_insn") {
        return told(Kernel::V7_3, ".discard.annotate_insn");
    }
    if has(".discard.validate_unret") {
        return told(Kernel::V6_12, ".discard.validate_unret");
    }
    for name in [".discard.unreachable", ".parainstructions", ".rodata..c_jump_table"] {
        if has(name) {
            return told(Kernel::V6_1, name);
        }
    }
    if let Some(id) = image.section_by_name(".altinstructions") {
        let section = image.section(id);
        let fields: Vec<u64> = section.relocs.as_slice().iter().map(|reloc| reloc.offset).collect();
        let fits = |size: u64| {
            section.size != 0
                && section.size.is_multiple_of(size)
                && fields.iter().all(|offset| matches!(offset % size, 0 | 4))
        };
        match (fits(12), fits(14)) {
            (true, false) => return told(Kernel::V6_1, "12-byte entries of .altinstructions"),
            (_, true) if section.entsize == 14 => {
                return told(Kernel::V7_3, ".altinstructions with an entry size of 14");
            }
            (false, true) => return told(Kernel::V6_12, "14-byte entries of .altinstructions"),
            _ => {}
        }
    }
    if let Some(found) = by_hints(store, image) {
        return found;
    }
    if let Some(found) = by_orc_header(store, image) {
        return found;
    }
    if image.is_finished_module() && has(".orc_unwind") && !has(".orc_header") {
        return told(Kernel::V6_1, "an ORC table without .orc_header");
    }
    for name in [".discard.reachable", ".discard.retpoline_safe", ".discard.instr_begin", ".smp_locks"] {
        if has(name) {
            return told(Kernel::V6_12, &format!("{name} (6.1 is possible too)"));
        }
    }
    (ASSUMED, "assumed: the object has nothing that tells releases apart".to_owned())
}

/// A function hint's type and register are different in each release.
fn by_hints(store: &dyn Store, image: &ElfImage) -> Option<(Kernel, String)> {
    let id = image.section_by_name(".discard.unwind_hints")?;
    let bytes = image.read_section(store, id).ok()?;
    for hint in bytes.chunks_exact(12) {
        let (offset, register, kind) = (hint[4], hint[6], hint[7]);
        let kernel = match (kind, register, offset) {
            (5, 3, 8) => Kernel::V7_3,
            (5, 5, 8) => Kernel::V6_12,
            (3, 5, 8) => Kernel::V6_1,
            _ => continue,
        };
        return Some((kernel, "told by the numbers of a function's unwind hint".to_owned()));
    }
    None
}

/// Linked modules have a hash over the ORC definitions.
fn by_orc_header(store: &dyn Store, image: &ElfImage) -> Option<(Kernel, String)> {
    let bytes = image.read_section(store, image.section_by_name(".orc_header")?).ok()?;
    let hash: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let kernel = match hash.as_str() {
        "fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24" => Kernel::V6_12,
        "137c36ad7627c4dd55932176bb0ecdbd5041fc82" => Kernel::V7_3,
        _ => return None,
    };
    Some((kernel, "told by .orc_header".to_owned()))
}
