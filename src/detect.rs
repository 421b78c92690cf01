//! Tells from an object which release it was built from.
//!
//! In: sections, relocations and hints of an object.  Out: a release, and what it was told by.
//! Reads like: the sections that the releases' macros emit (`include/linux/objtool.h`, `annotate.h`, `alternative.h`).

use crate::image::{ElfImage, Store};
use crate::kernel::Kernel;

/// The release of an object that has nothing that tells releases apart.
pub const ASSUMED: Kernel = Kernel::V6_12;

/// What is said of such an object.
pub const NOTHING_TOLD: &str = "assumed: the object has nothing that tells releases apart";

/// The release, and the evidence in words.
pub fn detect(store: &dyn Store, image: &ElfImage) -> (Kernel, String) {
    let has = |name: &str| image.section_by_name(name).is_some();
    let told = |kernel: Kernel, by: &str| (kernel, format!("told by {by}"));
    if let Some(found) = by_vermagic(store, image) {
        return found;
    }
    if has(".discard.annotate_insn") {
        return by_generic_annotations(store, image);
    }
    let hinted = by_hints(store, image);
    let entries = entry_sizes(image);
    // What 6.6 and earlier emit.
    for name in [".discard.unreachable", ".parainstructions", ".rodata..c_jump_table"] {
        if has(name) {
            let is_later = entries == Some(14) || hinted.as_ref().is_some_and(|(kernel, _)| *kernel != Kernel::V6_1);
            return match is_later {
                true => told(Kernel::V6_6, &format!("{name} beside what 6.6 introduced")),
                false if has(".fixup") => told(Kernel::V5_15, &format!("{name} and .fixup")),
                false => told(Kernel::V6_1, name),
            };
        }
    }
    if has(".discard.validate_unret") {
        return told(Kernel::V6_12, ".discard.validate_unret (6.6 is possible too)");
    }
    match entries {
        Some(12) if has(".fixup") => return told(Kernel::V5_15, "12-byte entries of .altinstructions and .fixup"),
        Some(12) => return told(Kernel::V6_1, "12-byte entries of .altinstructions (5.15 is possible too)"),
        Some(14) if has_entsize(image, ".altinstructions", 14) => {
            return told(Kernel::V7_3, ".altinstructions with an entry size of 14");
        }
        Some(14) => return told(Kernel::V6_12, "14-byte entries of .altinstructions"),
        _ => {}
    }
    if let Some(found) = hinted {
        return found;
    }
    if let Some(found) = by_orc_header(store, image) {
        return found;
    }
    if let Some(found) = by_orc_rows(store, image) {
        return found;
    }
    if image.is_finished_module() && has(".orc_unwind") && !has(".orc_header") {
        return told(Kernel::V6_1, "an ORC table without .orc_header");
    }
    for name in [".discard.reachable", ".discard.retpoline_safe", ".discard.instr_begin", ".smp_locks"] {
        if has(name) {
            return told(Kernel::V6_12, &format!("{name} (others are possible too)"));
        }
    }
    (ASSUMED, NOTHING_TOLD.to_owned())
}

fn has_entsize(image: &ElfImage, name: &str, size: u64) -> bool {
    image.section_by_name(name).is_some_and(|id| image.section(id).entsize == size)
}

/// A module says for which kernel it was built.
fn by_vermagic(store: &dyn Store, image: &ElfImage) -> Option<(Kernel, String)> {
    let bytes = image.read_section(store, image.section_by_name(".modinfo")?).ok()?;
    let magic = bytes.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"vermagic="))?;
    let release = std::str::from_utf8(magic).ok()?.split(' ').next()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let kernel = Kernel::nearest(major, minor);
    let by = match kernel.is(major, minor) {
        true => format!("told by the module's vermagic {release}"),
        false => format!("the nearest known to the module's vermagic {release}"),
    };
    Some((kernel, by))
}

/// Releases whose annotations are entries of one section: from 7.0 on its neighbours have entry sizes too, from 7.2 on
/// registers have other numbers, and 7.3 has no list of lock prefixes.
fn by_generic_annotations(store: &dyn Store, image: &ElfImage) -> (Kernel, String) {
    let told = |kernel: Kernel, by: &str| (kernel, format!("told by .discard.annotate_insn and {by}"));
    let has = |name: &str| image.section_by_name(name).is_some();
    let hinted = by_hints(store, image).or_else(|| by_orc_header(store, image)).map(|(kernel, _)| kernel);
    let sized = has(".discard.annotate_data")
        || has_entsize(image, ".altinstructions", 14)
        || has_entsize(image, "__ex_table", 12);
    let unsized_table = has_entsize(image, ".altinstructions", 0) || has_entsize(image, "__ex_table", 0);
    match hinted {
        Some(Kernel::V7_3) if has(".smp_locks") => told(Kernel::V7_2, ".smp_locks"),
        Some(Kernel::V7_3) => told(Kernel::V7_3, "the numbers of registers"),
        Some(_) if sized => told(Kernel::V7_0, "the numbers of registers"),
        _ if unsized_table => told(Kernel::V6_18, "tables without an entry size"),
        Some(_) => told(Kernel::V6_18, "the numbers of registers"),
        None if sized && has(".smp_locks") => told(Kernel::V7_2, ".smp_locks (7.0 is possible too)"),
        None => (Kernel::V7_3, "told by .discard.annotate_insn (releases from 6.18 on are possible)".to_owned()),
    }
}

/// The size of the entries of alternatives, where the places of their relocations fit one only.
fn entry_sizes(image: &ElfImage) -> Option<u64> {
    let section = image.section(image.section_by_name(".altinstructions")?);
    let fields: Vec<u64> = section.relocs.iter().map(|reloc| reloc.offset).collect();
    let fits = |size: u64| {
        section.size != 0
            && section.size.is_multiple_of(size)
            && fields.iter().all(|offset| matches!(offset % size, 0 | 4))
    };
    match (fits(12), fits(14)) {
        (true, false) => Some(12),
        (_, true) if section.entsize == 14 => Some(14),
        (false, true) => Some(14),
        _ => None,
    }
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

/// Where a function starts, its row is the same but for the numbers of `call` and of the stack pointer.
fn by_orc_rows(store: &dyn Store, image: &ElfImage) -> Option<(Kernel, String)> {
    let bytes = image.read_section(store, image.section_by_name(".orc_unwind")?).ok()?;
    let row = bytes.chunks_exact(6).find_map(|row| row.strip_prefix(&[8, 0, 0, 0]))?;
    let (kernel, others) = match row {
        [5, 0] => (Kernel::V6_1, "5.15 is possible too"),
        [5, 2] => (Kernel::V6_12, "6.6 to 7.0 are possible too"),
        [3, 2] => (Kernel::V7_3, "7.2 is possible too"),
        _ => return None,
    };
    Some((kernel, format!("told by the rows of its ORC table ({others})")))
}
