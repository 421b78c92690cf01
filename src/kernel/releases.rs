//! The rules of each release.
//!
//! In: a [`Kernel`].  Out: its [`Rules`].
//! Reads like: `tools/objtool`, `arch/x86/lib` and the headers that it shares with the kernel, of the trees that
//! [`Kernel`] names. A release is given by what it does otherwise than its neighbour.

use std::sync::LazyLock;

use super::Kernel;
use super::lists;
use super::rules::Addition::*;
use super::rules::*;

/// The numbers of hints that 6.6 and later have.
const HINTS: HintTypes = HintTypes {
    undefined: Some(HintNumber(0)),
    end_of_stack: Some(HintNumber(1)),
    call: HintNumber(2),
    regs: HintNumber(3),
    regs_partial: HintNumber(4),
    func: HintNumber(5),
    entry: None,
    save: HintNumber(6),
    restore: HintNumber(7),
};

const REGS: OrcRegs = OrcRegs {
    prev_sp: OrcNumber(1),
    dx: OrcNumber(2),
    di: OrcNumber(3),
    bp: OrcNumber(4),
    sp: OrcNumber(5),
    r10: OrcNumber(6),
    r13: OrcNumber(7),
    bp_indirect: OrcNumber(8),
    sp_indirect: OrcNumber(9),
    ax: None,
};

fn v6_12() -> Rules {
    Rules {
        kernel: Kernel::V6_12,
        symbols: SymbolRules {
            zero_size_found: false,
            lookup_resolves_alias: false,
            first_of_any_type_is_canonical: false,
            cold_forces_function: false,
            parent_name_limit: None,
            symtab_required: false,
            group_symbol_required: false,
            wide_thunk_names: false,
            srso_alias_embedded: false,
            tsan_is_profiling: true,
            local_labels: true,
            notype_owns: true,
            owner_copied_to_replacements: true,
            end_of_section_is_told: true,
            hole_before_first_symbol: false,
        },
        lists: lists::of(Kernel::V6_12),
        tables: TableRules {
            annotations: Annotations::Labels,
            annotation_relocs_required: false,
            noendbr_labels: true,
            unreachable_labels: false,
            unret_labels: true,
            dead_ends_at_labels: true,
            before_label_across_sections: false,
            ignored_symbol_type_is_fatal: false,
            alt_length_fixup: true,
            alt_group_shared: true,
            alt_reloc_checked: false,
            ignore_alternatives: IgnoreAlternatives::ByInstruction,
            alternate_order: AlternateOrder::Reversed,
            special_always: false,
            table_start_marks: false,
            table_end_of_function_skipped: true,
            table_entry_width_by_type: false,
            table_target_has_symbol: false,
            table_quirk_reported: false,
            table_skips_aliases: false,
            table_symbols_in_symtab_order: false,
            relro_is_rodata: true,
            c_jump_table: ".data.rel.ro.c_jump_table",
        },
        branches: BranchRules {
            jumps: JumpRules::SymbolIsSibling,
            jumps_before_tables: false,
            local_thunk_jumps: true,
            adjusted_addend: false,
            jump_to_end_ignored: true,
            embedded_not_listed: false,
            sibling_needs_function: false,
            calls_in_replacements: false,
            dead_ends_in_walk: false,
            fentry_always_nop: false,
        },
        hints: HintRules {
            offset_is_addend: false,
            symbol_and_addend: false,
            byte_is_end: false,
            ax_and_bp_indirect: false,
            partial_regs_start_unret: false,
            entry_without_endbr_is_fatal: false,
        },
        walk: WalkRules {
            vals_copied: true,
            lea_bp_checked: true,
            restore_deferred: true,
            ignore_is_per_symbol: false,
            all_register_mismatches: false,
            conflict_at_original: true,
            prefix_functions: &["__cfi_", "__pfx_"],
            prefix_function_must_be_function: false,
            fall_through_warns_function: false,
            fall_through_needs_comment: false,
            end_of_section_silenced: true,
            ignored_hints_followed: false,
            uaccess_always: false,
            sls_in_walk: false,
            noinstr_needs_link: true,
            cpuidle_is_noinstr: true,
            static_call_tramp_is_noinstr: true,
            pv_ops_tables: &["pv_ops", "xen_cpu_ops", "xen_irq_ops", "xen_mmu_ops"],
            pv_ops_share_slots: true,
            pv_function_required: false,
            pv_ops_named: false,
            unret_ends_at_context_switch: true,
            broken_unret: BrokenUnret::EndsChecks,
        },
        checks: CheckRules {
            unreachable: UnreachableReport::All,
            unret_before_unreachable: false,
            unreachable_after_other_warnings: false,
            holes_marked_first: false,
            holes_known: true,
            fixup_exempt: false,
            trampolines_exempt: true,
            cfi_checked: false,
            ibt_exempt: &[".parainstructions", ".smp_locks"],
            ibt_patchable_is_substring: true,
            ibt_skips_static_calls: true,
            ibt_compares_parents: true,
            ibt_range_ends: true,
            module_entry: ModuleEntry::NotCallable,
        },
        layout: LayoutRules {
            alt_entry: AltEntry { size: 14, feature_len: 4, orig_len: 12, new_len: 13 },
            bug_has_format: false,
            hints: HINTS,
            orc: OrcLayout::TypeAndSignal,
            orc_regs: REGS,
        },
        write: WriteRules {
            additions: &[StaticCalls, Retpolines, CfiSites, Returns, Calls, Mcount, Prefixes, EndbrSeal, Orc],
            cfi_sites_for_fineibt: false,
            cfi_sites_in_symtab_order: false,
            cfi_symbols_grow: false,
            prefix_search: PrefixSearch::Padding,
            prefix_name_limited: false,
            mcount_loc_align: 8,
            group_follows_its_symbol: false,
            relocs_reserved: true,
            nothing_after_refusal: false,
            orc_after_fatal: false,
        },
        words: WordRules {
            fatal: FatalStyle::Warning,
            once_per_function: true,
            verbose_is_backtrace: true,
            place_is_called: false,
            walk_start_section: false,
            end_of_section_names_function: false,
            end_of_section_is_walk_start: true,
            noreturn_hint_names_lists: false,
            mitigation_prefix: "MITIGATION_",
            tail_word: "tail",
            insn_repeated_in_backtrace: false,
            jump_destination_symbolic: false,
        },
        flags: FlagRules {
            sub_commands: false,
            unret_alone_needs_rethunk: true,
            cfi_needs_prefix: false,
            noabs_is_action: false,
            linked: LinkedWithoutFlag::Forced,
            werror_word: "werror",
            no_action: "At least one action required",
        },
        opcodes: None,
    }
}

fn v6_6() -> Rules {
    let later = v6_12();
    Rules {
        kernel: Kernel::V6_6,
        symbols: SymbolRules { local_labels: false, ..later.symbols },
        lists: lists::of(Kernel::V6_6),
        tables: TableRules {
            unreachable_labels: true,
            dead_ends_at_labels: false,
            alt_length_fixup: false,
            relro_is_rodata: false,
            c_jump_table: ".rodata..c_jump_table",
            ..later.tables
        },
        branches: BranchRules { local_thunk_jumps: false, ..later.branches },
        hints: HintRules { offset_is_addend: true, ..later.hints },
        walk: WalkRules { lea_bp_checked: false, ..later.walk },
        words: WordRules { mitigation_prefix: "", ..later.words },
        flags: FlagRules { no_action: "At least one command required", ..later.flags },
        ..later
    }
}

fn v6_1() -> Rules {
    let later = v6_6();
    Rules {
        kernel: Kernel::V6_1,
        symbols: SymbolRules {
            parent_name_limit: Some(128),
            notype_owns: false,
            end_of_section_is_told: false,
            ..later.symbols
        },
        lists: lists::of(Kernel::V6_1),
        tables: TableRules {
            unret_labels: false,
            before_label_across_sections: true,
            alt_group_shared: false,
            alt_reloc_checked: true,
            alternate_order: AlternateOrder::Written,
            special_always: true,
            table_start_marks: true,
            table_end_of_function_skipped: false,
            ..later.tables
        },
        branches: BranchRules {
            jumps: JumpRules::SymbolIsSiblingLenient,
            jump_to_end_ignored: false,
            sibling_needs_function: true,
            fentry_always_nop: true,
            ..later.branches
        },
        hints: HintRules { byte_is_end: true, partial_regs_start_unret: true, ..later.hints },
        walk: WalkRules {
            vals_copied: false,
            restore_deferred: false,
            conflict_at_original: false,
            prefix_functions: &["__cfi_"],
            cpuidle_is_noinstr: false,
            static_call_tramp_is_noinstr: false,
            pv_ops_named: true,
            unret_ends_at_context_switch: false,
            broken_unret: BrokenUnret::Leaves,
            ..later.walk
        },
        checks: CheckRules {
            unreachable: UnreachableReport::First,
            ibt_compares_parents: false,
            ibt_range_ends: false,
            module_entry: ModuleEntry::Unsaid,
            ..later.checks
        },
        layout: LayoutRules {
            alt_entry: AltEntry { size: 12, feature_len: 2, orig_len: 10, new_len: 11 },
            hints: HintTypes {
                undefined: None,
                end_of_stack: None,
                call: HintNumber(0),
                regs: HintNumber(1),
                regs_partial: HintNumber(2),
                func: HintNumber(3),
                entry: Some(HintNumber(4)),
                save: HintNumber(5),
                restore: HintNumber(6),
            },
            orc: OrcLayout::TypeAndEnd,
            ..later.layout
        },
        write: WriteRules {
            additions: &[StaticCalls, Retpolines, Returns, Mcount, EndbrSeal, Orc],
            mcount_loc_align: 1,
            relocs_reserved: false,
            ..later.write
        },
        words: WordRules {
            once_per_function: false,
            verbose_is_backtrace: false,
            walk_start_section: true,
            tail_word: "Tail",
            ..later.words
        },
        ..later
    }
}

fn v5_15() -> Rules {
    let later = v6_1();
    Rules {
        kernel: Kernel::V5_15,
        symbols: SymbolRules { first_of_any_type_is_canonical: true, tsan_is_profiling: false, ..later.symbols },
        lists: lists::of(Kernel::V5_15),
        tables: TableRules { noendbr_labels: false, ..later.tables },
        branches: BranchRules { jumps_before_tables: true, dead_ends_in_walk: true, ..later.branches },
        walk: WalkRules {
            prefix_functions: &[],
            fall_through_needs_comment: true,
            end_of_section_silenced: false,
            ignored_hints_followed: true,
            uaccess_always: true,
            sls_in_walk: true,
            pv_ops_tables: &[],
            pv_ops_named: false,
            ..later.walk
        },
        checks: CheckRules {
            unret_before_unreachable: true,
            holes_known: false,
            fixup_exempt: true,
            trampolines_exempt: false,
            ..later.checks
        },
        write: WriteRules {
            additions: &[StaticCalls, Retpolines, Returns, Mcount, Orc],
            orc_after_fatal: true,
            ..later.write
        },
        words: WordRules { place_is_called: true, ..later.words },
        flags: FlagRules {
            sub_commands: true,
            unret_alone_needs_rethunk: false,
            linked: LinkedWithoutFlag::Unnoticed,
            no_action: "",
            ..later.flags
        },
        ..later
    }
}

fn v6_18() -> Rules {
    let earlier = v6_12();
    Rules {
        kernel: Kernel::V6_18,
        symbols: SymbolRules {
            symtab_required: true,
            group_symbol_required: true,
            wide_thunk_names: true,
            srso_alias_embedded: true,
            tsan_is_profiling: false,
            hole_before_first_symbol: true,
            ..earlier.symbols
        },
        lists: lists::of(Kernel::V6_18),
        tables: TableRules {
            annotations: Annotations::Generic,
            noendbr_labels: false,
            unret_labels: false,
            ignored_symbol_type_is_fatal: true,
            ignore_alternatives: IgnoreAlternatives::ByGroup,
            table_start_marks: true,
            table_entry_width_by_type: true,
            table_target_has_symbol: true,
            table_quirk_reported: true,
            ..earlier.tables
        },
        branches: BranchRules { embedded_not_listed: true, calls_in_replacements: true, ..earlier.branches },
        hints: HintRules { entry_without_endbr_is_fatal: true, ..earlier.hints },
        walk: WalkRules {
            ignore_is_per_symbol: true,
            all_register_mismatches: true,
            prefix_functions: &["__pfx_", "__cfi_", "__pi___pfx_", "__pi___cfi_"],
            fall_through_warns_function: true,
            noinstr_needs_link: false,
            pv_function_required: true,
            broken_unret: BrokenUnret::IsCounted,
            ..earlier.walk
        },
        checks: CheckRules {
            unreachable_after_other_warnings: true,
            cfi_checked: true,
            ibt_exempt: &[
                ".parainstructions",
                ".smp_locks",
                ".llvm.call-graph-profile",
                ".llvm_bb_addr_map",
                "__tracepoints",
            ],
            ibt_skips_static_calls: false,
            module_entry: ModuleEntry::MagicName,
            ..earlier.checks
        },
        write: WriteRules { group_follows_its_symbol: true, nothing_after_refusal: true, ..earlier.write },
        words: WordRules {
            fatal: FatalStyle::WarningAtInstruction,
            end_of_section_names_function: true,
            noreturn_hint_names_lists: true,
            ..earlier.words
        },
        flags: FlagRules {
            unret_alone_needs_rethunk: false,
            noabs_is_action: true,
            linked: LinkedWithoutFlag::Refused,
            werror_word: "Werror",
            ..earlier.flags
        },
        ..earlier
    }
}

fn v7_0() -> Rules {
    let earlier = v6_18();
    Rules {
        kernel: Kernel::V7_0,
        symbols: SymbolRules {
            zero_size_found: true,
            lookup_resolves_alias: true,
            cold_forces_function: true,
            ..earlier.symbols
        },
        lists: lists::of(Kernel::V7_0),
        tables: TableRules {
            annotation_relocs_required: true,
            alternate_order: AlternateOrder::WrittenTablesReversed,
            table_skips_aliases: true,
            table_symbols_in_symtab_order: true,
            ..earlier.tables
        },
        branches: BranchRules { jumps: JumpRules::StartIsSibling, adjusted_addend: true, ..earlier.branches },
        hints: HintRules { symbol_and_addend: true, ..earlier.hints },
        walk: WalkRules {
            prefix_function_must_be_function: true,
            pv_ops_tables: &["pv_ops", "pv_ops_lock"],
            pv_ops_share_slots: false,
            ..earlier.walk
        },
        checks: CheckRules {
            holes_marked_first: true,
            ibt_exempt: &[
                ".smp_locks",
                ".init.klp_funcs",
                ".llvm.call-graph-profile",
                ".llvm_bb_addr_map",
                "__tracepoints",
                ".return_sites",
                ".call_sites",
            ],
            ibt_patchable_is_substring: false,
            ..earlier.checks
        },
        layout: LayoutRules { bug_has_format: true, ..earlier.layout },
        write: WriteRules {
            cfi_sites_in_symtab_order: true,
            prefix_search: PrefixSearch::PaddingOfPlainFunctions,
            prefix_name_limited: true,
            ..earlier.write
        },
        words: WordRules {
            fatal: FatalStyle::Error,
            end_of_section_is_walk_start: false,
            insn_repeated_in_backtrace: true,
            jump_destination_symbolic: true,
            ..earlier.words
        },
        flags: FlagRules { werror_word: "werror", ..earlier.flags },
        opcodes: None,
    }
}

fn v7_2() -> Rules {
    let earlier = v7_0();
    Rules {
        kernel: Kernel::V7_2,
        symbols: SymbolRules { owner_copied_to_replacements: false, ..earlier.symbols },
        lists: lists::of(Kernel::V7_2),
        hints: HintRules { ax_and_bp_indirect: true, ..earlier.hints },
        layout: LayoutRules {
            orc_regs: OrcRegs {
                prev_sp: OrcNumber(8),
                dx: OrcNumber(2),
                di: OrcNumber(5),
                bp: OrcNumber(4),
                sp: OrcNumber(3),
                r10: OrcNumber(6),
                r13: OrcNumber(7),
                bp_indirect: OrcNumber(10),
                sp_indirect: OrcNumber(9),
                ax: Some(OrcNumber(1)),
            },
            ..earlier.layout
        },
        write: WriteRules {
            additions: &[StaticCalls, Retpolines, Returns, Calls, Mcount, Prefixes, CfiSites, EndbrSeal, Orc],
            cfi_sites_for_fineibt: true,
            cfi_symbols_grow: true,
            prefix_search: PrefixSearch::PatchableEntries,
            ..earlier.write
        },
        flags: FlagRules { cfi_needs_prefix: true, ..earlier.flags },
        ..earlier
    }
}

fn v7_3() -> Rules {
    let earlier = v7_2();
    Rules {
        kernel: Kernel::V7_3,
        lists: lists::of(Kernel::V7_3),
        checks: CheckRules {
            ibt_exempt: &[
                ".init.klp_funcs",
                ".llvm.call-graph-profile",
                ".llvm_bb_addr_map",
                "__tracepoints",
                ".return_sites",
                ".call_sites",
            ],
            ..earlier.checks
        },
        ..earlier
    }
}

/// In the order of [`Kernel::ALL`].
static RULES: LazyLock<[Rules; Kernel::ALL.len()]> =
    LazyLock::new(|| [v5_15(), v6_1(), v6_6(), v6_12(), v6_18(), v7_0(), v7_2(), v7_3()]);

impl Kernel {
    /// The release's rules, with the lists that are compiled in.
    pub fn rules(self) -> &'static Rules {
        &RULES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_own_rules() {
        for kernel in Kernel::ALL {
            assert_eq!(kernel.rules().kernel, kernel);
        }
    }
}
