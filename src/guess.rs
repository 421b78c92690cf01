//! Guesses objtool's flags from what an object shows, for objects whose build is not known.
//!
//! In: [`ElfImage`].  Out: [`Guess`], flags and what each was told by.
//! Holds afterwards: a flag whose check could accuse code that was never meant to pass it is on only where the object
//! shows that its kernel has the feature. The rest is what every distribution passes.
//!
//! | flag | on |
//! |---|---|
//! | `--orc --uaccess --static-call --hacks=jump_label,noinstr` | always |
//! | `--retpoline` | the object goes through an indirect branch thunk |
//! | `--rethunk` | it returns through a return thunk |
//! | `--mcount` | it calls `__fentry__` and the compiler has not listed the calls |
//! | `--prefix=N` | `__patchable_function_entries` lie N bytes before functions |
//! | `--link` | it was linked from several objects |
//! | `--module` | it is a linked module, or has a static call without its key, which ends objtool anywhere else |
//!
//! `--stackval`, `--sls`, `--ibt`, `--noinstr`, `--unret` and `--cfi` leave no sign that could be told from their absence.

use rustc_hash::FxHashSet;

use crate::build::{FlagSource, Flags, Foreign, Skip, Unchecked};
use crate::ids::SectionId;
use crate::image::{ElfImage, STT_FILE};
use crate::options::Options;

/// Flags, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guess {
    /// The flags.
    pub options: Options,
    /// What the object showed, for a person.
    pub evidence: Vec<String>,
}

/// The flags that the object was probably checked with.
pub fn flags(image: &ElfImage) -> Guess {
    let mut options = Options {
        orc: true,
        uaccess: true,
        static_call: true,
        hacks: vec!["jump_label".to_owned(), "noinstr".to_owned()],
        ..Options::default()
    };
    let mut evidence = Vec::new();
    let mut sees = |sign: bool, flag: &str, why: &str| {
        if sign {
            evidence.push(format!("{flag}: {why}"));
        }
        sign
    };
    let names = Names::of(image);
    options.retpoline = sees(names.indirect_thunk, "--retpoline", "it uses __x86_indirect_thunk_*");
    options.rethunk = sees(names.return_thunk, "--rethunk", "it uses __x86_return_thunk");
    let listed = image.section_by_name("__mcount_loc").is_some();
    options.mcount = sees(names.fentry && !listed, "--mcount", "it calls __fentry__ and has no __mcount_loc");
    options.link = sees(names.n_files > 1, "--link", "it was linked from several files");
    let module = image.section_by_name(".gnu.linkonce.this_module").is_some();
    options.module = sees(module, "--module", "it has .gnu.linkonce.this_module")
        || sees(lacks_key(image), "--module", "it has a static call without its key, as only modules have");
    if let Some(padding) = padding(image) {
        options.prefix = Some(padding);
        evidence.push(format!("--prefix={padding}: __patchable_function_entries lie that far before functions"));
    }
    Guess { options, evidence }
}

/// What only kernel code has: sections of the kernel's own macros, and thunks that it is linked with.
pub fn is_kernel_code(image: &ElfImage) -> bool {
    const STARTS: [&str; 12] = [
        ".discard.",
        ".altinstr",
        "__jump_table",
        "__bug_table",
        "__ex_table",
        ".static_call",
        "___ksymtab",
        "__ksymtab",
        ".export_symbol",
        ".orc_",
        ".noinstr.",
        ".retpoline_sites",
    ];
    const NAMES: [&str; 5] = [".modinfo", ".smp_locks", ".return_sites", ".call_sites", ".gnu.linkonce.this_module"];
    let is_sign = |name: &str| NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start));
    image.sections().any(|(_, section)| is_sign(&section.name)) || {
        let names = Names::of(image);
        names.return_thunk || names.indirect_thunk
    }
}

/// Whether the object shows that it is none of the kernel's: it has the unwind tables that user space is compiled with
/// and the kernel without, and nothing that only the kernel has.
pub fn is_user_code(image: &ElfImage) -> bool {
    image.section_by_name(".eh_frame").is_some() && !is_kernel_code(image)
}

/// Whether GCC has left intermediate code alone (`-flto` without `-ffat-lto-objects`).
pub fn is_slim_lto(image: &ElfImage) -> bool {
    image.symbols().any(|(id, _)| image.symbol_name(id) == "__gnu_lto_slim")
}

/// Why an object with these flags is not checked by kernel rules, its contents asked as well: what the object shows
/// decides over its command. `None` where it is checked.
pub fn skipped(flags: &Flags, image: &ElfImage) -> Option<Skip> {
    if is_slim_lto(image) {
        return Some(Skip::Foreign(Foreign::SlimLto));
    }
    let no_kernel = || Some(Skip::Unchecked(Unchecked::NotKernel));
    match &flags.source {
        FlagSource::NotChecked(Unchecked::NotKernel) if is_kernel_code(image) => None,
        FlagSource::NotChecked(why) => Some(Skip::Unchecked(why.clone())),
        FlagSource::Unknown if !flags.for_kernel && flags.tree.is_none() && is_user_code(image) => no_kernel(),
        _ => None,
    }
}

/// What the symbol table shows.
#[derive(Default)]
struct Names {
    indirect_thunk: bool,
    return_thunk: bool,
    fentry: bool,
    n_files: usize,
}

impl Names {
    fn of(image: &ElfImage) -> Names {
        let mut names = Names::default();
        for (id, symbol) in image.symbols() {
            if symbol.kind == STT_FILE {
                names.n_files += 1;
            } else if symbol.is_undefined() {
                let name = image.symbol_name(id);
                names.indirect_thunk |= name.starts_with("__x86_indirect_thunk_");
                names.return_thunk |= name == "__x86_return_thunk";
                names.fentry |= name == "__fentry__";
            }
        }
        names
    }
}

/// Whether a static call's trampoline has no key. Objects of `vmlinux.o` refer to both wherever they call.
fn lacks_key(image: &ElfImage) -> bool {
    let of = |start: &'static str| image.symbols().filter_map(move |(id, _)| image.symbol_name(id).strip_prefix(start));
    let keys: FxHashSet<&str> = of("__SCK__").collect();
    of("__SCT__").any(|call| !keys.contains(call))
}

/// How far before its function the first patchable entry lies.
fn padding(image: &ElfImage) -> Option<u32> {
    let entries = image.section(image.section_by_name("__patchable_function_entries")?);
    let first = entries.relocs.get(0)?;
    let symbol = image.symbol(first.symbol);
    let at = symbol.value.checked_add_signed(first.addend)?;
    let starts = |section: SectionId| {
        let functions = image.symbols().filter(move |(_, s)| s.is_function() && s.section == section);
        functions.map(|(_, s)| s.value).filter(|&value| value >= at).min()
    };
    let distance = starts(symbol.section)? - at;
    u32::try_from(distance).ok().filter(|&n| (1..=64).contains(&n))
}
