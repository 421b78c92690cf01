//! Functions that objtool knows by name, as they are compiled in for trees without sources.
//!
//! In: the lists under `src/data`, taken from the releases' sources.  Out: [`of`].

use super::Kernel;
use super::rules::{ListRules, Names, RustNoreturn};

const NORETURN: &str = include_str!("../data/noreturn.txt");
const UACCESS_SAFE: &str = include_str!("../data/uaccess_safe.txt");
const RUST_NORETURN: &str = include_str!("../data/rust_noreturn.txt");

/// The names of a list whose lines have `lead` in front and the release behind. A line is a name, and the releases that
/// have it.
fn names(text: &'static str, lead: &str, kernel: Kernel) -> Names {
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.strip_prefix(lead));
    let mut names = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        if words.any(|release| release == kernel.name()) {
            names.push(name.into());
        }
    }
    names.into()
}

/// The release's lists.
pub(super) fn of(kernel: Kernel) -> ListRules {
    let rust = |lead| names(RUST_NORETURN, lead, kernel);
    let rust = RustNoreturn { ends: rust("ends "), contains: rust("contains "), all: rust("all ") };
    ListRules {
        noreturn: names(NORETURN, "", kernel),
        noreturn_weak: kernel >= Kernel::V6_6,
        noreturn_any_global: kernel >= Kernel::V7_0,
        noreturns_header: kernel >= Kernel::V6_6,
        rust_noreturn: (!rust.ends.is_empty()).then_some(rust),
        uaccess_safe: names(UACCESS_SAFE, "", kernel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_lists() {
        let sizes = Kernel::ALL.map(|kernel| of(kernel).noreturn.len());
        assert_eq!(sizes, [18, 25, 36, 45, 46, 47, 47, 48]);
        for kernel in Kernel::ALL {
            let lists = of(kernel);
            assert!(lists.uaccess_safe.iter().any(|name| name == "__asan_load1_noabort"));
            assert_eq!(lists.rust_noreturn.is_some(), kernel >= Kernel::V6_12);
        }
    }
}
