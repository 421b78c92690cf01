//! Macros of the kernel that define symbols by what they are given.
//!
//! In: a macro's name.  Out: which argument names what it defines, and how.
//! Holds afterwards: nothing is said of a macro that is not in the table. For x86-64.
//! Reads like: "Linux kernel 5.15 to 7.0", the headers named at each row (their macros' heads only).

/// What a macro makes.
pub(super) struct Made {
    /// Which argument names it, from 0.
    pub(super) argument: usize,
    /// The symbols, with `{}` for the argument.
    pub(super) patterns: &'static [&'static str],
    /// Others of the name go before it.
    pub(super) is_weak: bool,
}

const SAME: &[&str] = &["{}"];

fn nth(argument: usize, patterns: &'static [&'static str]) -> Option<Made> {
    Some(Made { argument, patterns, is_weak: false })
}

/// What a macro of this name makes.
pub(super) fn made(name: &str) -> Option<Made> {
    let counted =
        |start: &str| name.strip_prefix(start).is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
    // arch/x86/include/asm/syscall_wrapper.h
    if counted("SYSCALL_DEFINE") {
        return nth(0, &["__x64_sys_{}", "__ia32_sys_{}"]);
    }
    if counted("COMPAT_SYSCALL_DEFINE") {
        return nth(0, &["__ia32_compat_sys_{}", "__x64_compat_sys_{}", "__x32_compat_sys_{}"]);
    }
    // include/linux/filter.h
    if counted("BPF_CALL_") || counted("NOTRACE_BPF_CALL_") {
        return nth(0, SAME);
    }
    // include/linux/percpu-defs.h, arch/x86/include/asm/percpu.h
    if name.starts_with("DEFINE_PER_CPU") {
        return nth(1, SAME);
    }
    if name.starts_with("DEFINE_EARLY_PER_CPU") {
        return nth(1, &["{}", "{}_early_ptr", "{}_early_map"]);
    }
    match name {
        "COND_SYSCALL" => Some(Made { argument: 0, patterns: &["__x64_sys_{}", "__ia32_sys_{}"], is_weak: true }),
        "COND_SYSCALL_COMPAT" => {
            Some(Made { argument: 0, patterns: &["__ia32_compat_sys_{}", "__x64_compat_sys_{}"], is_weak: true })
        }
        // arch/x86/include/asm/idtentry.h
        "DEFINE_IDTENTRY"
        | "DEFINE_IDTENTRY_SW"
        | "DEFINE_IDTENTRY_ERRORCODE"
        | "DEFINE_IDTENTRY_RAW"
        | "DEFINE_IDTENTRY_RAW_ERRORCODE"
        | "DEFINE_IDTENTRY_IRQ"
        | "DEFINE_IDTENTRY_IST"
        | "DEFINE_IDTENTRY_DF"
        | "DEFINE_IDTENTRY_NMI"
        | "DEFINE_IDTENTRY_MCE"
        | "DEFINE_IDTENTRY_DEBUG"
        | "DEFINE_IDTENTRY_VC" => nth(0, SAME),
        "DEFINE_IDTENTRY_SYSVEC" | "DEFINE_IDTENTRY_SYSVEC_SIMPLE" => nth(0, &["{}", "fred_{}"]),
        "DEFINE_IDTENTRY_NOIST" | "DEFINE_IDTENTRY_MCE_USER" | "DEFINE_IDTENTRY_DEBUG_USER" => nth(0, &["noist_{}"]),
        "DEFINE_IDTENTRY_VC_KERNEL" => nth(0, &["kernel_{}"]),
        "DEFINE_IDTENTRY_VC_USER" => nth(0, &["user_{}"]),
        "DEFINE_FREDENTRY_MCE" | "DEFINE_FREDENTRY_NMI" | "DEFINE_FREDENTRY_DEBUG" => nth(0, &["fred_{}"]),
        // arch/x86/include/asm/paravirt.h
        "PV_CALLEE_SAVE_REGS_THUNK" | "__PV_CALLEE_SAVE_REGS_THUNK" => nth(0, &["__raw_callee_save_{}"]),
        "DEFINE_PARAVIRT_ASM" | "DEFINE_ASM_FUNC" => nth(0, SAME),
        // include/linux/static_call.h, static_call_types.h
        "DEFINE_STATIC_CALL" | "DEFINE_STATIC_CALL_NULL" | "DEFINE_STATIC_CALL_RET0" => {
            nth(0, &["__SCT__{}", "__SCK__{}"])
        }
        // include/linux/jump_label.h, and the heads of locks and lists
        "DEFINE_STATIC_KEY_TRUE"
        | "DEFINE_STATIC_KEY_FALSE"
        | "DEFINE_STATIC_KEY_TRUE_RO"
        | "DEFINE_STATIC_KEY_FALSE_RO"
        | "DEFINE_MUTEX"
        | "DEFINE_SPINLOCK"
        | "DEFINE_RAW_SPINLOCK"
        | "DEFINE_RWLOCK"
        | "DEFINE_SEQLOCK"
        | "DEFINE_SEMAPHORE"
        | "DEFINE_IDA"
        | "DEFINE_IDR"
        | "DEFINE_XARRAY"
        | "DEFINE_XARRAY_ALLOC"
        | "DECLARE_RWSEM"
        | "DECLARE_WAIT_QUEUE_HEAD"
        | "DECLARE_COMPLETION"
        | "DEFINE_SRCU"
        | "DEFINE_RATELIMIT_STATE"
        | "DECLARE_BITMAP"
        | "LIST_HEAD"
        | "HLIST_HEAD"
        | "ATOMIC_NOTIFIER_HEAD"
        | "BLOCKING_NOTIFIER_HEAD"
        | "RAW_NOTIFIER_HEAD" => nth(0, SAME),
        // include/linux/init.h
        "early_param_on_off" => nth(2, SAME),
        "DEFINE_STATIC_KEY_MAYBE" | "DEFINE_STATIC_KEY_MAYBE_RO" => nth(1, SAME),
        _ => None,
    }
}
