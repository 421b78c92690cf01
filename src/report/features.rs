//! Names of the CPU features that choose an arm of an alternative.
//!
//! In: the feature field of an alternative with its flags.  Out: `X86_FEATURE_SMAP`, `!X86_FEATURE_XENPV`, or the number.
//! Reads like: `arch/x86/include/asm/cpufeatures.h` (numbers), `alternative.h` (flags: `ALT_FLAG_NOT` since 6.3; before,
//! `ALTINSTR_FLAG_INV` in the number itself).

use crate::kernel::Kernel;

/// Name and numbers by release, ascending; see the head of the file.
const TABLE: &str = include_str!("../data/features.txt");

/// The feature's name, `!` in front where the arm is for processors without it.
pub fn feature(field: u32, kernel: Kernel) -> String {
    let low = field & 0xffff;
    let (number, not) = if field > 0xffff || kernel.rules().layout.alt_entry.feature_len == 4 {
        (low, field >> 16 & 1 != 0)
    } else {
        (low & 0x7fff, low & 0x8000 != 0)
    };
    let sign = if not { "!" } else { "" };
    match name(number, kernel) {
        Some(name) => format!("{sign}{name}"),
        None => format!("{sign}{}*32+{}", number / 32, number % 32),
    }
}

fn name(number: u32, kernel: Kernel) -> Option<&'static str> {
    let column = 1 + Kernel::ALL.iter().position(|&other| other == kernel)?;
    let wanted = format!("{}*32+{}", number / 32, number % 32);
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.filter(|row| row.split(' ').nth(column) == Some(wanted.as_str())).find_map(|row| row.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names_by_release() {
        assert_eq!(feature(9 * 32 + 20, Kernel::V6_12), "X86_FEATURE_SMAP");
        assert_eq!(feature(3 * 32 + 18, Kernel::V6_1), "X86_FEATURE_LFENCE_RDTSC");
        assert_eq!(feature(3 * 32 + 18, Kernel::V6_12), "X86_FEATURE_CLEAR_CPU_BUF");
        assert_eq!(feature(31 * 32 + 31, Kernel::V7_3), "31*32+31");
    }

    #[test]
    fn the_negation_is_where_the_release_has_it() {
        assert_eq!(feature(0x8000 | 272, Kernel::V6_1), "!X86_FEATURE_XENPV");
        assert_eq!(feature(1 << 16 | 272, Kernel::V6_12), "!X86_FEATURE_XENPV");
        // ALT_FLAG_DIRECT_CALL says how to patch, not when.
        assert_eq!(feature(2 << 16 | 272, Kernel::V7_3), "X86_FEATURE_XENPV");
    }

    #[test]
    fn the_table_is_in_order_and_without_doubles() {
        let rows: Vec<Vec<&str>> =
            TABLE.lines().filter(|line| !line.starts_with('#')).map(|row| row.split(' ').collect()).collect();
        for column in 1..=Kernel::ALL.len() {
            let mut numbers: Vec<&str> = rows.iter().map(|row| row[column]).filter(|&number| number != "-").collect();
            let n = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), n, "column {column}");
        }
        assert!(rows.iter().all(|row| row.len() == Kernel::ALL.len() + 1));
    }
}
