//! Functions that do not return, by their names.
//!
//! In: a symbol's name.  Out: whether a call of it is the end of a path.
//! Holds afterwards: a name that is missing here costs little: a row behind the call that does not fit says the same.
//! Reads like: the manual pages of the C library; the Itanium C++ ABI, "Exception Handling"; libstdc++'s
//! `functexcept.h`; Rust's `core::panicking`.

use std::sync::OnceLock;

use rustc_hash::FxHashSet;

/// C and its run time, C++ and its run time.
const NAMES: &[&str] = &[
    "abort",
    "exit",
    "_exit",
    "_Exit",
    "quick_exit",
    "thrd_exit",
    "pthread_exit",
    "__pthread_exit",
    "__pthread_unwind",
    "__pthread_unwind_next",
    "longjmp",
    "_longjmp",
    "siglongjmp",
    "__longjmp",
    "__longjmp_chk",
    "__libc_longjmp",
    "__libc_siglongjmp",
    "____longjmp_chk",
    "__assert",
    "__assert_fail",
    "__assert_perror_fail",
    "__libc_assert_fail",
    "__malloc_assert",
    "__stack_chk_fail",
    "__stack_chk_fail_local",
    "__chk_fail",
    "__fortify_fail",
    "__libc_fatal",
    "__libc_message",
    "_dl_fatal_printf",
    "_dl_signal_error",
    "_dl_signal_exception",
    "__libc_start_call_main",
    "err",
    "errx",
    "verr",
    "verrx",
    "_Unwind_Resume",
    "__cxa_throw",
    "__cxa_rethrow",
    "__cxa_bad_cast",
    "__cxa_bad_typeid",
    "__cxa_throw_bad_array_new_length",
    "__cxa_throw_bad_array_length",
    "__cxa_call_unexpected",
    "__cxa_call_terminate",
    "__cxa_pure_virtual",
    "__cxa_deleted_virtual",
    "__clang_call_terminate",
    "_ZSt9terminatev",
    "_ZSt10unexpectedv",
    "rust_panic",
    "rust_begin_unwind",
    "__rust_start_panic_abort",
    "g_assertion_message",
    "g_assertion_message_expr",
    "OPENSSL_die",
    "png_error",
];

/// Whether a call of `name` is the end of a path.
pub(super) fn returns_never(name: &str) -> bool {
    static SET: OnceLock<FxHashSet<&str>> = OnceLock::new();
    let set = SET.get_or_init(|| NAMES.iter().copied().collect());
    set.contains(name) || is_throw_of_libstdcxx(name) || is_panic_of_rust(name)
}

/// `std::__throw_...`.
fn is_throw_of_libstdcxx(name: &str) -> bool {
    let rest = name.strip_prefix("_ZSt").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    rest.is_some_and(|rest| rest.starts_with("__throw_"))
}

/// What `core`, `alloc` and `std` panic by.
fn is_panic_of_rust(name: &str) -> bool {
    if !name.starts_with("_ZN") && !name.starts_with("_R") {
        return false;
    }
    let parts = [
        "4core9panicking",
        "3std9panicking11begin_panic",
        "3std9panicking20rust_panic_with_hook",
        "13unwrap_failed",
        "13expect_failed",
        "18handle_alloc_error",
        "17capacity_overflow",
        "12handle_error",
        "_index_len_fail",
        "_index_order_fail",
        "_index_overflow_fail",
        "15slice_error_fail",
        "17len_mismatch_fail",
    ];
    parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_languages() {
        for name in ["abort", "_ZSt20__throw_length_errorPKc", "_ZN4core9panicking5panic17h0123456789abcdefE"] {
            assert!(returns_never(name), "{name}");
        }
        for name in ["abortive", "_ZSt4moveIiEvv", "_ZN4core3fmt9Formatter3padE", "13unwrap_failed"] {
            assert!(!returns_never(name), "{name}");
        }
    }
}
