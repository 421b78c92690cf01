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
//! | `--module` | it is a linked module |
//!
//! `--stackval`, `--sls`, `--ibt`, `--noinstr`, `--unret` and `--cfi` leave no sign that could be told from their absence.

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
    options.module = sees(module, "--module", "it has .gnu.linkonce.this_module");
    if let Some(padding) = padding(image) {
        options.prefix = Some(padding);
        evidence.push(format!("--prefix={padding}: __patchable_function_entries lie that far before functions"));
    }
    Guess { options, evidence }
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

/// How far before its function the first patchable entry lies.
fn padding(image: &ElfImage) -> Option<u32> {
    let entries = image.section(image.section_by_name("__patchable_function_entries")?);
    let first = entries.relocs.as_slice().first()?;
    let symbol = image.symbol(first.symbol);
    let at = symbol.value.checked_add_signed(first.addend)?;
    let starts = |section: SectionId| {
        let functions = image.symbols().filter(move |(_, s)| s.is_function() && s.section == section);
        functions.map(|(_, s)| s.value).filter(|&value| value >= at).min()
    };
    let distance = starts(symbol.section)? - at;
    u32::try_from(distance).ok().filter(|&n| (1..=64).contains(&n))
}
