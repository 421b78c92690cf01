//! Functions that objtool knows by name.
//!
//! In: the lists under `src/data`, taken from the releases' sources.  Out: [`Noreturn`], [`uaccess_safe`].

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

use crate::image::{STB_GLOBAL, STB_LOCAL, STB_WEAK};
use crate::kernel::Kernel;
use crate::kernel::rules::Rules;

type List = [Vec<&'static str>; Kernel::ALL.len()];

/// Each line of a list: a name, and the releases that have it.
fn parse(text: &'static str) -> List {
    let mut lists = List::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        for kernel in words {
            if let Some(i) = Kernel::ALL.iter().position(|k| k.name() == kernel) {
                lists[i].push(name);
            }
        }
    }
    lists
}

static NORETURN: LazyLock<List> = LazyLock::new(|| parse(include_str!("../data/noreturn.txt")));
static UACCESS_SAFE: LazyLock<List> = LazyLock::new(|| parse(include_str!("../data/uaccess_safe.txt")));

/// The functions that may run with user access open.
pub fn uaccess_safe(kernel: Kernel) -> &'static [&'static str] {
    &UACCESS_SAFE[kernel as usize]
}

/// The functions that never return, as a release knows them.
pub struct Noreturn<'a> {
    names: FxHashSet<&'a str>,
    project: &'a [String],
    rules: &'static Rules,
}

impl<'a> Noreturn<'a> {
    /// The release's list and the project's own.
    pub fn new(rules: &'static Rules, project: &'a [String]) -> Self {
        Noreturn { names: NORETURN[rules.kernel as usize].iter().copied().collect(), project, rules }
    }

    /// Whether a symbol of this binding can be on a list.
    pub fn knows(&self, binding: u8) -> bool {
        binding != STB_LOCAL || !self.project.is_empty()
    }

    /// Whether a symbol of this name and binding is on a list.
    pub fn lists(&self, name: &str, binding: u8) -> bool {
        let bound = match binding {
            STB_GLOBAL => true,
            STB_WEAK => self.rules.noreturn_list_weak,
            STB_LOCAL => false,
            _ => self.rules.noreturn_list_any_global,
        };
        (bound && (self.names.contains(name) || (self.rules.rust_noreturn && self.is_rust(name))))
            || self.project.iter().any(|own| own == name)
    }

    /// Rust's panics, whose mangled names end with a crate's disambiguator in between.
    fn is_rust(&self, name: &str) -> bool {
        const ENDS: [&str; 15] = [
            "_4core5sliceSp15copy_from_slice17len_mismatch_fail",
            "_4core6option13expect_failed",
            "_4core6option13unwrap_failed",
            "_4core6result13unwrap_failed",
            "_4core6result13unwrap_failed19unwrap_failed_inner",
            "_4core9panicking5panic",
            "_4core9panicking9panic_fmt",
            "_4core9panicking14panic_explicit",
            "_4core9panicking14panic_nounwind",
            "_4core9panicking18panic_bounds_check",
            "_4core9panicking18panic_nounwind_fmt",
            "_4core9panicking19assert_failed_inner",
            "_4core9panicking30panic_null_pointer_dereference",
            "_4core9panicking32panic_null_reference_constructed",
            "_4core9panicking36panic_misaligned_pointer_dereference",
        ];
        name.starts_with("_R")
            && (ENDS.iter().any(|end| name.ends_with(end))
                || self.rules.rust_noreturn_ends.iter().any(|end| name.ends_with(end))
                || name.ends_with("_4core3num22from_ascii_radix_panic")
                || name.ends_with("_7___rustc17rust_begin_unwind")
                || name.contains("_4core9panicking13assert_failed")
                || name.contains("_4core9panicking11panic_const24panic_const_")
                || (name.contains("_4core5slice5index") && name.contains("slice_") && name.ends_with("_fail")))
    }
}
