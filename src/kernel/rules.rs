//! What differs between releases, each difference a named field.
//!
//! Out: [`Rules`], one constant per release.  A stage asks a field; it never asks which release it is.
//! Reads like: the `tools/objtool` folders of the packages that [`Kernel`](super::Kernel) names.

use super::Kernel;

/// The numbers of the unwind hint types (`include/linux/objtool_types.h`).
#[derive(Clone, Copy, Debug)]
pub struct HintTypes {
    /// `UNWIND_HINT_TYPE_UNDEFINED`
    pub undefined: Option<u8>,
    /// `UNWIND_HINT_TYPE_END_OF_STACK`
    pub end_of_stack: Option<u8>,
    /// `UNWIND_HINT_TYPE_CALL`
    pub call: u8,
    /// `UNWIND_HINT_TYPE_REGS`
    pub regs: u8,
    /// `UNWIND_HINT_TYPE_REGS_PARTIAL`
    pub regs_partial: u8,
    /// `UNWIND_HINT_TYPE_FUNC`
    pub func: u8,
    /// `UNWIND_HINT_TYPE_ENTRY`
    pub entry: Option<u8>,
    /// `UNWIND_HINT_TYPE_SAVE`
    pub save: u8,
    /// `UNWIND_HINT_TYPE_RESTORE`
    pub restore: u8,
}

/// The numbers of the ORC registers (`arch/x86/include/asm/orc_types.h`).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct OrcRegs {
    pub prev_sp: u8,
    pub dx: u8,
    pub di: u8,
    pub bp: u8,
    pub sp: u8,
    pub r10: u8,
    pub r13: u8,
    pub bp_indirect: u8,
    pub sp_indirect: u8,
    pub ax: Option<u8>,
}

/// How an ORC entry is packed and printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrcLayout {
    /// Two type bits and `end`; an unknown CFA is written as such.
    TypeAndEnd,
    /// Three type bits and `signal`; an unknown CFA is an error.
    TypeAndSignal,
}

/// How instructions are annotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Annotations {
    /// One `.discard.*` section of labels per kind.
    Labels,
    /// `.discard.annotate_insn`, with a kind per entry.
    Generic,
}

/// The layout of `struct alt_instr` (`arch/x86/include/asm/alternative.h`).
#[derive(Clone, Copy, Debug)]
pub struct AltEntry {
    /// Size of an entry.
    pub size: u64,
    /// Offset of the length of the original code.
    pub orig_len: u64,
    /// Offset of the length of the replacement.
    pub new_len: u64,
}

/// How `ANNOTATE_IGNORE_ALTERNATIVE`, STAC/CLAC and alternates in general are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IgnoreAlternatives {
    /// On an instruction: its alternates are not followed. Some CPU features stand for the original not to be followed.
    ByInstruction,
    /// On a stream: the stream is not followed.
    ByGroup,
}

/// The order in which an instruction's alternates are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlternateOrder {
    /// As they stand in the tables.
    Written,
    /// The last one first.
    Reversed,
    /// As written; jump table entries reversed and before all others.
    WrittenTablesReversed,
}

/// How static jumps find their destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JumpRules {
    /// A relocation against a symbol makes a function's jump a sibling call; non-function code may jump into functions.
    SymbolIsSiblingLenient,
    /// A relocation against a symbol makes a function's jump a sibling call.
    SymbolIsSibling,
    /// Only a jump to the start of another function is a sibling call.
    StartIsSibling,
}

/// How a fatal finding ends the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FatalStyle {
    /// A warning line, subject to the once-per-function rule.
    Warning,
    /// An error line, always printed.
    Error,
}

/// What is said of a module's init or exit function whose `endbr` nothing refers to, so that objtool takes it away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModuleEntry {
    /// Nothing.
    Unsaid,
    /// That no indirect call may reach it.
    NotCallable,
    /// That it must not have this name.
    MagicName,
}

/// Which unreachable instructions are reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnreachableReport {
    /// The first one.
    First,
    /// All, with a hint at a missing `__noreturn`.
    All,
}

/// What objtool adds to an object (`check` in `tools/objtool/check.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addition {
    /// `.static_call_sites`
    StaticCalls,
    /// `.retpoline_sites`
    Retpolines,
    /// `.cfi_sites`
    CfiSites,
    /// `.return_sites`
    Returns,
    /// `.call_sites`
    Calls,
    /// `__mcount_loc`
    Mcount,
    /// Symbols of the padding in front of functions, or longer ones.
    Prefixes,
    /// `.ibt_endbr_seal`
    EndbrSeal,
    /// `.orc_unwind` and `.orc_unwind_ip`
    Orc,
}

/// The differences, by name.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are named by what they say; the reference of each is the release's source")]
pub struct Rules {
    pub kernel: Kernel,
    // Symbols.
    pub zero_size_symbols_found: bool,
    pub lookup_resolves_alias: bool,
    pub cold_forces_function: bool,
    pub parent_name_limit: Option<u32>,
    pub symtab_required: bool,
    pub wide_thunk_names: bool,
    pub srso_alias_embedded: bool,
    pub tsan_is_profiling: bool,
    pub local_labels: bool,
    // Ownership.
    pub notype_owns: bool,
    pub owner_copied_to_replacements: bool,
    pub end_of_section_is_fatal: bool,
    // Noreturn.
    pub noreturn_list_weak: bool,
    pub noreturn_list_any_global: bool,
    pub rust_noreturn: bool,
    pub rust_noreturn_ends: &'static [&'static str],
    pub dead_end_in_replacements: bool,
    pub unreachable_annotation: bool,
    // Tables.
    pub annotations: Annotations,
    pub alt_entry: AltEntry,
    pub alt_not_in_feature: bool,
    pub alt_length_fixup: bool,
    pub alt_group_shared: bool,
    pub alt_reloc_checked: bool,
    pub ignore_alternatives: IgnoreAlternatives,
    pub alternate_order: AlternateOrder,
    pub special_always: bool,
    pub table_start_marks: bool,
    pub table_end_of_function_skipped: bool,
    pub table_entry_width_by_type: bool,
    pub table_quirk_reported: bool,
    pub table_skips_aliases: bool,
    pub table_symbols_in_symtab_order: bool,
    pub relro_is_rodata: bool,
    pub c_jump_table: &'static str,
    pub bug_has_format: bool,
    // Jumps and calls.
    pub jumps: JumpRules,
    pub adjusted_addend: bool,
    pub embedded_not_listed: bool,
    pub sibling_needs_function: bool,
    pub fentry_always_nop: bool,
    // Hints.
    pub hints: HintTypes,
    pub hint_offset_is_addend: bool,
    pub hint_symbol_and_addend: bool,
    pub hint_byte_is_end: bool,
    pub hint_ax_and_bp_indirect: bool,
    pub restore_deferred: bool,
    // State changes.
    pub vals_copied: bool,
    pub lea_bp_checked: bool,
    pub force_undefined: bool,
    // The walk.
    pub ignore_is_per_symbol: bool,
    pub once_per_function: bool,
    pub all_register_mismatches: bool,
    pub conflict_at_original: bool,
    pub walk_start_section_printed: bool,
    pub prefix_functions: &'static [&'static str],
    pub prefix_function_must_be_function: bool,
    pub end_of_section_names_function: bool,
    pub noinstr_needs_link: bool,
    pub cpuidle_is_noinstr: bool,
    pub static_call_tramp_is_noinstr: bool,
    pub pv_ops_share_slots: bool,
    pub pv_ops_named: bool,
    pub unret_ends_at_context_switch: bool,
    pub pv_ops_tables: &'static [&'static str],
    pub unreachable: UnreachableReport,
    pub unreachable_after_other_warnings: bool,
    pub link_hole_before_first_symbol: bool,
    pub holes_marked_first: bool,
    // Other checks.
    pub cfi_checked: bool,
    pub ibt_exempt: &'static [&'static str],
    pub ibt_skips_static_calls: bool,
    pub ibt_compares_parents: bool,
    pub ibt_range_ends: bool,
    pub module_entry: ModuleEntry,
    // Wording.
    pub noreturn_hint_names_lists: bool,
    pub mitigation_prefix: &'static str,
    pub tail_word: &'static str,
    pub insn_repeated_in_backtrace: bool,
    pub jump_destination_symbolic: bool,
    // Fatal ones.
    pub fatal: FatalStyle,
    // ORC.
    pub orc_layout: OrcLayout,
    pub orc_regs: OrcRegs,
    pub prefix_by_patchable_entries: bool,
    // Writing.
    pub additions: &'static [Addition],
    pub cfi_sites_for_fineibt: bool,
    pub cfi_symbols_grow: bool,
    pub mcount_loc_align: u64,
    pub group_follows_its_symbol: bool,
    pub relocs_reserved: bool,
    // Flags.
    pub unret_alone_needs_rethunk: bool,
    pub cfi_needs_prefix: bool,
    pub noabs_is_action: bool,
    pub no_action: &'static str,
}

use Addition::*;

const OLD_REGS: OrcRegs =
    OrcRegs { prev_sp: 1, dx: 2, di: 3, bp: 4, sp: 5, r10: 6, r13: 7, bp_indirect: 8, sp_indirect: 9, ax: None };

const V6_12: Rules = Rules {
    kernel: Kernel::V6_12,
    zero_size_symbols_found: false,
    lookup_resolves_alias: false,
    cold_forces_function: false,
    parent_name_limit: None,
    symtab_required: false,
    wide_thunk_names: false,
    srso_alias_embedded: false,
    tsan_is_profiling: true,
    local_labels: true,
    notype_owns: true,
    owner_copied_to_replacements: true,
    end_of_section_is_fatal: true,
    noreturn_list_weak: true,
    noreturn_list_any_global: false,
    rust_noreturn: true,
    rust_noreturn_ends: &[],
    dead_end_in_replacements: false,
    unreachable_annotation: false,
    annotations: Annotations::Labels,
    alt_entry: AltEntry { size: 14, orig_len: 12, new_len: 13 },
    alt_not_in_feature: false,
    alt_length_fixup: true,
    alt_group_shared: true,
    alt_reloc_checked: false,
    ignore_alternatives: IgnoreAlternatives::ByInstruction,
    alternate_order: AlternateOrder::Reversed,
    special_always: false,
    table_start_marks: false,
    table_end_of_function_skipped: true,
    table_entry_width_by_type: false,
    table_quirk_reported: false,
    table_skips_aliases: false,
    table_symbols_in_symtab_order: false,
    relro_is_rodata: true,
    c_jump_table: ".data.rel.ro.c_jump_table",
    bug_has_format: false,
    jumps: JumpRules::SymbolIsSibling,
    adjusted_addend: false,
    embedded_not_listed: false,
    sibling_needs_function: false,
    fentry_always_nop: false,
    hints: HintTypes {
        undefined: Some(0),
        end_of_stack: Some(1),
        call: 2,
        regs: 3,
        regs_partial: 4,
        func: 5,
        entry: None,
        save: 6,
        restore: 7,
    },
    hint_offset_is_addend: false,
    hint_symbol_and_addend: false,
    hint_byte_is_end: false,
    hint_ax_and_bp_indirect: false,
    restore_deferred: true,
    vals_copied: true,
    lea_bp_checked: true,
    force_undefined: true,
    ignore_is_per_symbol: false,
    once_per_function: true,
    all_register_mismatches: false,
    conflict_at_original: true,
    walk_start_section_printed: false,
    prefix_functions: &["__cfi_", "__pfx_"],
    prefix_function_must_be_function: false,
    end_of_section_names_function: false,
    noinstr_needs_link: true,
    cpuidle_is_noinstr: true,
    static_call_tramp_is_noinstr: true,
    pv_ops_share_slots: true,
    pv_ops_named: false,
    unret_ends_at_context_switch: true,
    pv_ops_tables: &["pv_ops", "xen_cpu_ops", "xen_irq_ops", "xen_mmu_ops"],
    unreachable: UnreachableReport::All,
    unreachable_after_other_warnings: false,
    link_hole_before_first_symbol: false,
    holes_marked_first: false,
    cfi_checked: false,
    ibt_exempt: &[".parainstructions", ".smp_locks"],
    ibt_skips_static_calls: true,
    ibt_compares_parents: true,
    ibt_range_ends: true,
    module_entry: ModuleEntry::NotCallable,
    noreturn_hint_names_lists: false,
    mitigation_prefix: "MITIGATION_",
    tail_word: "tail",
    insn_repeated_in_backtrace: false,
    jump_destination_symbolic: false,
    fatal: FatalStyle::Warning,
    orc_layout: OrcLayout::TypeAndSignal,
    orc_regs: OLD_REGS,
    prefix_by_patchable_entries: false,
    additions: &[StaticCalls, Retpolines, CfiSites, Returns, Calls, Mcount, Prefixes, EndbrSeal, Orc],
    cfi_sites_for_fineibt: false,
    cfi_symbols_grow: false,
    mcount_loc_align: 8,
    group_follows_its_symbol: false,
    relocs_reserved: true,
    unret_alone_needs_rethunk: true,
    cfi_needs_prefix: false,
    noabs_is_action: false,
    no_action: "At least one action required",
};

const V6_1: Rules = Rules {
    kernel: Kernel::V6_1,
    parent_name_limit: Some(128),
    local_labels: false,
    notype_owns: false,
    end_of_section_is_fatal: false,
    noreturn_list_weak: false,
    rust_noreturn: false,
    unreachable_annotation: true,
    alt_entry: AltEntry { size: 12, orig_len: 10, new_len: 11 },
    alt_not_in_feature: true,
    alt_length_fixup: false,
    alt_group_shared: false,
    alt_reloc_checked: true,
    alternate_order: AlternateOrder::Written,
    special_always: true,
    table_start_marks: true,
    table_end_of_function_skipped: false,
    relro_is_rodata: false,
    c_jump_table: ".rodata..c_jump_table",
    jumps: JumpRules::SymbolIsSiblingLenient,
    sibling_needs_function: true,
    fentry_always_nop: true,
    hints: HintTypes {
        undefined: None,
        end_of_stack: None,
        call: 0,
        regs: 1,
        regs_partial: 2,
        func: 3,
        entry: Some(4),
        save: 5,
        restore: 6,
    },
    hint_offset_is_addend: true,
    hint_byte_is_end: true,
    restore_deferred: false,
    vals_copied: false,
    lea_bp_checked: false,
    force_undefined: false,
    once_per_function: false,
    conflict_at_original: false,
    walk_start_section_printed: true,
    prefix_functions: &["__cfi_"],
    cpuidle_is_noinstr: false,
    static_call_tramp_is_noinstr: false,
    unreachable: UnreachableReport::First,
    ibt_compares_parents: false,
    ibt_range_ends: false,
    module_entry: ModuleEntry::Unsaid,
    pv_ops_named: true,
    unret_ends_at_context_switch: false,
    mitigation_prefix: "",
    tail_word: "Tail",
    orc_layout: OrcLayout::TypeAndEnd,
    additions: &[StaticCalls, Retpolines, Returns, Mcount, EndbrSeal, Orc],
    mcount_loc_align: 1,
    relocs_reserved: false,
    no_action: "At least one command required",
    ..V6_12
};

const V7_3: Rules = Rules {
    kernel: Kernel::V7_3,
    zero_size_symbols_found: true,
    lookup_resolves_alias: true,
    cold_forces_function: true,
    symtab_required: true,
    wide_thunk_names: true,
    srso_alias_embedded: true,
    tsan_is_profiling: false,
    owner_copied_to_replacements: false,
    noreturn_list_any_global: true,
    rust_noreturn_ends: &[
        "_4core3num20from_str_radix_panic",
        "_4core3num28from_ascii_bytes_radix_panic",
        "_4core3str16slice_error_fail",
    ],
    dead_end_in_replacements: true,
    annotations: Annotations::Generic,
    ignore_alternatives: IgnoreAlternatives::ByGroup,
    alternate_order: AlternateOrder::WrittenTablesReversed,
    table_start_marks: true,
    table_entry_width_by_type: true,
    table_quirk_reported: true,
    table_skips_aliases: true,
    table_symbols_in_symtab_order: true,
    bug_has_format: true,
    jumps: JumpRules::StartIsSibling,
    adjusted_addend: true,
    embedded_not_listed: true,
    hint_symbol_and_addend: true,
    hint_ax_and_bp_indirect: true,
    ignore_is_per_symbol: true,
    all_register_mismatches: true,
    prefix_functions: &["__pfx_", "__cfi_", "__pi___pfx_", "__pi___cfi_"],
    prefix_function_must_be_function: true,
    end_of_section_names_function: true,
    noinstr_needs_link: false,
    pv_ops_share_slots: false,
    pv_ops_tables: &["pv_ops", "pv_ops_lock"],
    unreachable_after_other_warnings: true,
    link_hole_before_first_symbol: true,
    holes_marked_first: true,
    cfi_checked: true,
    ibt_exempt: &[
        ".init.klp_funcs",
        ".llvm.call-graph-profile",
        ".llvm_bb_addr_map",
        "__tracepoints",
        ".return_sites",
        ".call_sites",
    ],
    ibt_skips_static_calls: false,
    module_entry: ModuleEntry::MagicName,
    insn_repeated_in_backtrace: true,
    noreturn_hint_names_lists: true,
    jump_destination_symbolic: true,
    fatal: FatalStyle::Error,
    orc_regs: OrcRegs {
        prev_sp: 8,
        dx: 2,
        di: 5,
        bp: 4,
        sp: 3,
        r10: 6,
        r13: 7,
        bp_indirect: 10,
        sp_indirect: 9,
        ax: Some(1),
    },
    prefix_by_patchable_entries: true,
    additions: &[StaticCalls, Retpolines, Returns, Calls, Mcount, Prefixes, CfiSites, EndbrSeal, Orc],
    cfi_sites_for_fineibt: true,
    cfi_symbols_grow: true,
    group_follows_its_symbol: true,
    unret_alone_needs_rethunk: false,
    cfi_needs_prefix: true,
    noabs_is_action: true,
    ..V6_12
};

impl Kernel {
    /// The release's rules.
    pub fn rules(self) -> &'static Rules {
        match self {
            Kernel::V6_1 => &V6_1,
            Kernel::V6_12 => &V6_12,
            Kernel::V7_3 => &V7_3,
        }
    }
}
