//! What differs between releases, each difference a named field, grouped by what it decides.
//!
//! Out: [`Rules`].  A stage asks a field; it never asks which release it is.  The values are in `releases`.
//! Holds afterwards: every field is read by a stage, and has at least two values among the releases.
//! Reads like: the `tools/objtool` folders of the trees that [`Kernel`] names. "From 6.6 on" and the like
//! speak of the releases that orcls knows, each in the point release that it was read of: the change itself may have come in
//! one between them, or with a point release. The numbers in brackets are the commits that made it, in Linus Torvalds'
//! tree; a type whose values came one after the other has them at its values.

use std::borrow::Cow;
use std::sync::Arc;

use super::Kernel;
use super::opcodes::Opcodes;

/// Defines a group of rules, whose fields a test can go through.
macro_rules! groups {
    ($($(#[$about:meta])* pub struct $group:ident { $($(#[$doc:meta])* pub $field:ident: $of:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug)]
            pub struct $group { $($(#[$doc])* pub $field: $of,)* }

            #[cfg(test)]
            impl $group {
                /// Each field with its value.
                fn fields(&self) -> Vec<(&'static str, String)> {
                    vec![$((stringify!($field), format!("{:?}", self.$field)),)*]
                }
            }
        )*
    };
}

/// A list of names: compiled in, or read from a tree.
pub type Names = Cow<'static, [Cow<'static, str>]>;

/// The number of an unwind hint's type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct HintNumber(pub u8);

/// The number of a register in an ORC entry or a hint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct OrcNumber(pub u8);

/// The numbers of the unwind hint types (`include/linux/objtool_types.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HintTypes {
    /// `UNWIND_HINT_TYPE_UNDEFINED`
    pub undefined: Option<HintNumber>,
    /// `UNWIND_HINT_TYPE_END_OF_STACK`
    pub end_of_stack: Option<HintNumber>,
    /// `UNWIND_HINT_TYPE_CALL`
    pub call: HintNumber,
    /// `UNWIND_HINT_TYPE_REGS`
    pub regs: HintNumber,
    /// `UNWIND_HINT_TYPE_REGS_PARTIAL`
    pub regs_partial: HintNumber,
    /// `UNWIND_HINT_TYPE_FUNC`
    pub func: HintNumber,
    /// `UNWIND_HINT_TYPE_ENTRY`
    pub entry: Option<HintNumber>,
    /// `UNWIND_HINT_TYPE_SAVE`
    pub save: HintNumber,
    /// `UNWIND_HINT_TYPE_RESTORE`
    pub restore: HintNumber,
}

/// The numbers of the ORC registers (`arch/x86/include/asm/orc_types.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct OrcRegs {
    pub prev_sp: OrcNumber,
    pub dx: OrcNumber,
    pub di: OrcNumber,
    pub bp: OrcNumber,
    pub sp: OrcNumber,
    pub r10: OrcNumber,
    pub r13: OrcNumber,
    pub bp_indirect: OrcNumber,
    pub sp_indirect: OrcNumber,
    pub ax: Option<OrcNumber>,
}

/// How an ORC entry is packed and printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrcLayout {
    /// Two type bits (ee9f8fce9964), and a bit `end` that came later; an unknown CFA is written as such.
    TypeAndEnd,
    /// Three type bits and `signal` (ffb1b4a41016, fb799447ae29); an unknown CFA is an error.
    TypeAndSignal,
}

/// How instructions are annotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Annotations {
    /// One `.discard.*` section of labels per kind.
    Labels,
    /// `.discard.annotate_insn`, with a kind per entry (2116b349e29a). The sections of labels went one after the other
    /// (22c3d5807968, bf5febebd99f, 317f2a64618c, 18aa6118a168, f0cd57c35a75, 112765ca1cb9, e7a174fb43d2).
    Generic,
}

/// The layout of `struct alt_instr` (`arch/x86/include/asm/alternative.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltEntry {
    /// Size of an entry.
    pub size: u64,
    /// Size of the feature, with its flags.
    pub feature_len: u64,
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
    /// On a stream: the stream is not followed (1154bbd326de, 2d12c6fb7875, c44b4b9eeb71).
    ByGroup,
}

/// What a broken path of the untraining check ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrokenUnret {
    /// The run, with an error and nothing written. Up to 6.1.
    Leaves,
    /// The run's checks. 6.6 and 6.12 (b745962cb975).
    EndsChecks,
    /// Nothing: it counts as a finding. From 6.18 on (c5995abe1547).
    IsCounted,
}

/// The order in which an instruction's alternates are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlternateOrder {
    /// As they stand in the tables.
    Written,
    /// The last one first (d54066546121).
    Reversed,
    /// As written; jump table entries reversed and before all others (7ad7a4a72050).
    WrittenTablesReversed,
}

/// How static jumps find their destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JumpRules {
    /// A relocation against a symbol makes a function's jump a sibling call; non-function code may jump into functions.
    SymbolIsSiblingLenient,
    /// A relocation against a symbol makes a function's jump a sibling call (5a9c361a416f).
    SymbolIsSibling,
    /// Only a jump to the start of another function is a sibling call (a05de0a772ce).
    StartIsSibling,
}

/// How a fatal finding is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FatalStyle {
    /// A warning line, subject to the once-per-function rule.
    Warning,
    /// At an instruction a warning line, else an error line; always printed (3e7be635937d).
    WarningAtInstruction,
    /// An error line, always printed (1fd1dc417243).
    Error,
}

/// What is said of a module's init or exit function whose `endbr` nothing refers to, so that objtool takes it away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModuleEntry {
    /// Nothing.
    Unsaid,
    /// That no indirect call may reach it (03d7a1053cf7).
    NotCallable,
    /// That it must not have this name (4fab2d7628dd).
    MagicName,
}

/// Which unreachable instructions are reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnreachableReport {
    /// The first one.
    First,
    /// All, with a hint at a missing `__noreturn` (5e3992fe7274, fedb724c3db5).
    All,
}

/// What becomes of an object that was linked from several ones where `--link` is not given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkedWithoutFlag {
    /// Nothing: it is like any other.
    Unnoticed,
    /// The flag is taken for given, which is told (753da4179d08).
    Forced,
    /// It is refused (fdf5ff2934f4).
    Refused,
}

/// Where the padding of functions is looked for that becomes their prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrefixSearch {
    /// NOPs in front of every function (9f2899fe36a6).
    Padding,
    /// NOPs in front of functions that are no prefix, cold part or static-call trampoline themselves (2058f6d1660e).
    PaddingOfPlainFunctions,
    /// What `__patchable_function_entries` lists (fe6a87e0abac).
    PatchableEntries,
}

/// What objtool adds to an object (`check` in `tools/objtool/check.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addition {
    /// `.static_call_sites` (1e7e47883830)
    StaticCalls,
    /// `.retpoline_sites` (134ab5bd1883)
    Retpolines,
    /// `.cfi_sites` (9a479f766be1)
    CfiSites,
    /// `.return_sites` (d9e9d2300681)
    Returns,
    /// `.call_sites` (00abd3840812)
    Calls,
    /// `__mcount_loc` (99d0021569c7)
    Mcount,
    /// Symbols of the padding in front of functions (9f2899fe36a6), or longer ones (fc0bb9915bce).
    Prefixes,
    /// `.ibt_endbr_seal` (89bc853eae4a)
    EndbrSeal,
    /// `.orc_unwind` and `.orc_unwind_ip` (627fce14809b)
    Orc,
}

/// Rust's functions that never return, by their mangled names, which begin with `_R`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RustNoreturn {
    /// A name that ends so.
    pub ends: Names,
    /// A name that has this in it.
    pub contains: Names,
    /// A name that has all of these in it and ends with the last one.
    pub all: Names,
}

/// All rules of a release.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The release.
    pub kernel: Kernel,
    /// How symbols are seen, looked up and made owners of code.
    pub symbols: SymbolRules,
    /// Functions that are known by name.
    pub lists: ListRules,
    /// Tables beside the code: annotations, alternatives, jump tables.
    pub tables: TableRules,
    /// Jumps and calls.
    pub branches: BranchRules,
    /// Unwind hints.
    pub hints: HintRules,
    /// State changes, and what a path may do.
    pub walk: WalkRules,
    /// Checks that need no path.
    pub checks: CheckRules,
    /// Numbers and formats.
    pub layout: LayoutRules,
    /// What is written into the object.
    pub write: WriteRules,
    /// What is printed.
    pub words: WordRules,
    /// Which flags go together.
    pub flags: FlagRules,
    /// What the tree's opcode map lists, where it is not what the release's does.
    pub opcodes: Option<Arc<Opcodes>>,
}

groups! {
    /// How symbols are seen, looked up and made owners of code (`elf.c`, `decode_instructions`).
    pub struct SymbolRules {
        /// Symbols of size 0 are found by their address. From 7.0 on (81cf39be3559, c2a3e7af3110).
        pub zero_size_found: bool,
        /// A symbol found by address stands for its canonical alias, and the smallest of several is found. From 7.0 on
        /// (9205a322cf96, 07e1c3fd86d7).
        pub lookup_resolves_alias: bool,
        /// Of symbols at one place with one size the first stands for all, whatever their types, and those with the
        /// smaller size are found first. Up to 5.15; later the last one of each type does (5da6aea375cd).
        pub first_of_any_type_is_canonical: bool,
        /// `.cold` makes a function of a symbol of any type, whose parent is looked for in the same source file first.
        /// From 7.0 on (024020e2b6ad, 2c2acca2eabf).
        pub cold_forces_function: bool,
        /// The longest name of a cold part's parent. Up to 6.1 (f404a58dcf0c).
        pub parent_name_limit: Option<u32>,
        /// An object without `.symtab` is refused. From 6.18 on (4ed9d82bf5b2).
        pub symtab_required: bool,
        /// A group whose signature symbol does not exist is refused. From 6.18 on (4ed9d82bf5b2).
        pub group_symbol_required: bool,
        /// `__pi_` in front of a thunk's name is looked through. From 6.18 on (419cbaf6a56a).
        pub wide_thunk_names: bool,
        /// `srso_alias_safe_ret` is an instruction inside another one. From 6.18 on (ab9fea59487d).
        pub srso_alias_embedded: bool,
        /// Calls of `__tsan_func_*` are those of a profiler. 6.1, 6.6 and 6.12 (0509811952e4, 573ad421cc55).
        pub tsan_is_profiling: bool,
        /// `.L` symbols are known as such. From 6.12 on (d5ab2bc36c6b).
        pub local_labels: bool,
        /// Symbols without a type own code. From 6.6 on (dbcdbdfdf137).
        pub notype_owns: bool,
        /// Code of replacements belongs to the function of the original, whoever's symbol it lies under. Up to 7.0
        /// (3ee67629b2b7).
        pub owner_copied_to_replacements: bool,
        /// A function at the very end of a section is spoken of as such, and other symbols there are passed over. From
        /// 6.6 on (cad90e5381d8).
        pub end_of_section_is_told: bool,
        /// Code before a section's first symbol lies in a hole. From 6.18 on (18e885099f1c).
        pub hole_before_first_symbol: bool,
    }

    /// Functions that are known by name. The tree's own lists take the place of these.
    pub struct ListRules {
        /// Functions that never return (`global_noreturns`; from 6.6 on `noreturns.h`).
        pub noreturn: Names,
        /// Weak functions may be on that list. From 6.6 on (1c47c8758a11).
        pub noreturn_weak: bool,
        /// Bindings other than local, global and weak may be on it. From 7.0 on (25eac74b6bdb).
        pub noreturn_any_global: bool,
        /// `noreturns.h` holds the list. From 6.5 on (6245ce4ab670); before, `check.c` did.
        pub noreturns_header: bool,
        /// Rust's functions that never return (`is_rust_noreturn`). From 6.12 on (56d680dd23c3, c431b00ca6af,
        /// c18f35e49049).
        pub rust_noreturn: Option<RustNoreturn>,
        /// Functions that may run with user access open (`uaccess_safe_builtin`).
        pub uaccess_safe: Names,
    }

    /// Tables beside the code (`special.c`, `add_*` and `read_*` in `check.c`).
    pub struct TableRules {
        /// How instructions are annotated: labels up to 6.12 (2116b349e29a).
        pub annotations: Annotations,
        /// `.discard.annotate_insn` must have a relocation per entry. From 7.0 on (3e4b5f66cf1a).
        pub annotation_relocs_required: bool,
        /// `.discard.noendbr` is read. From 6.1 to 6.12 (96db4a988d65, 22c3d5807968).
        pub noendbr_labels: bool,
        /// `.discard.unreachable` is read. Up to 6.6 (06e24745985c).
        pub unreachable_labels: bool,
        /// `.discard.validate_unret` is read. 6.6 and 6.12 (4708ea14bef3).
        pub unret_labels: bool,
        /// The target of an annotation of dead ends may be a local label. From 6.12 on (d5ab2bc36c6b).
        pub dead_ends_at_labels: bool,
        /// What is before a label of dead ends may lie in another section. Up to 6.1 (1c34496e5856).
        pub before_label_across_sections: bool,
        /// An annotation of ignored functions that names neither a function nor a section ends the run. From 6.18 on
        /// (c5995abe1547).
        pub ignored_symbol_type_is_fatal: bool,
        /// Entries for the same place get the longest of their lengths. From 6.12 on (d2a793dae219).
        pub alt_length_fixup: bool,
        /// Entries for the same place share a group, and with it the states. From 6.6 on (a706bb08c81a).
        pub alt_group_shared: bool,
        /// Relocations in replacements are allowed only at a branch in front. Up to 6.1 (270a69c4485d).
        pub alt_reloc_checked: bool,
        /// How alternatives are ignored. By group from 6.18 on.
        pub ignore_alternatives: IgnoreAlternatives,
        /// In which order alternates are followed.
        pub alternate_order: AlternateOrder,
        /// The tables of code that may be patched are read whatever the flags. Up to 6.1 (de6fbcedf5ab, be8374a5ba7c).
        pub special_always: bool,
        /// A jump table ends where any other one begins, not only where the function's next one does (be2f0b1e1264,
        /// ef753d66051c).
        pub table_start_marks: bool,
        /// An entry of a jump table that leads to the function's end is passed over. From 6.6 on (3724062ca2b1).
        pub table_end_of_function_skipped: bool,
        /// Entries of a jump table with narrow relocations are 4 bytes. From 6.18 on (091bf313f8a8).
        pub table_entry_width_by_type: bool,
        /// An entry of a jump table leads to symbol and addend; before, the symbol's value does not count. From 6.18 on
        /// (ab6ce22b7896).
        pub table_target_has_symbol: bool,
        /// A jump table that is addressed relative to the instruction is told. From 6.18 on (eeff7ac61526,
        /// 87cb582d2f55).
        pub table_quirk_reported: bool,
        /// Aliases of functions have no tables of their own. From 7.0 on (a91a61b29043).
        pub table_skips_aliases: bool,
        /// Jump tables are looked for in the order of the symbol table, not of sections. From 7.0 on (dd590d4d57eb).
        pub table_symbols_in_symtab_order: bool,
        /// `.data.rel.ro*` may hold jump tables. From 6.12 on (73cfc53cc3b6).
        pub relro_is_rodata: bool,
        /// Where tables of C code are that have a symbol of their own (73cfc53cc3b6).
        pub c_jump_table: &'static str,
    }

    /// Jumps and calls (`add_jump_destinations`, `add_call_destinations`, `annotate_call_site`).
    pub struct BranchRules {
        /// How static jumps find their destination.
        pub jumps: JumpRules,
        /// Jumps are resolved before special tables are read, so that code of replacements has no owner yet. Up to 5.15
        /// (34c861e80647).
        pub jumps_before_tables: bool,
        /// A jump without relocation to a thunk is what the thunk is. From 6.12 on (34de4fe7d132).
        pub local_thunk_jumps: bool,
        /// A PC-relative addend counts from the instruction's end; before, 4 is added whatever follows. From 7.0 on
        /// (41d24d785897).
        pub adjusted_addend: bool,
        /// A jump to the end of its function is passed over where unreachable code is. From 6.6 on (0d7597749f5a).
        pub jump_to_end_ignored: bool,
        /// Calls of instructions inside others are not listed. From 6.18 on (ab9fea59487d).
        pub embedded_not_listed: bool,
        /// Only jumps of functions are sibling calls. Up to 6.1 (5a9c361a416f).
        pub sibling_needs_function: bool,
        /// Calls in replacements count: they are listed, and those of functions that never return end the path. From
        /// 6.18 on (ab9fea59487d).
        pub calls_in_replacements: bool,
        /// Whether a call returns is decided when a path reaches it, jump tables known, and follows local sibling
        /// calls. Up to 5.15 (0e5b613b4d4b, 26ff604102c9).
        pub dead_ends_in_walk: bool,
        /// `__fentry__` calls become NOPs without `--mnop`. Up to 6.1 (280981d6994e).
        pub fentry_always_nop: bool,
    }

    /// Unwind hints (`read_unwind_hints`).
    pub struct HintRules {
        /// The place is the addend alone. Up to 6.6 (e91c5e4c21b0).
        pub offset_is_addend: bool,
        /// The place is symbol and addend; between, only section symbols and local labels are allowed. From 7.0 on
        /// (a040ab73dfd1).
        pub symbol_and_addend: bool,
        /// The byte behind the type says that the stack ends; later, that the frame is a signal's. Up to 6.1
        /// (ffb1b4a41016, fb799447ae29).
        pub byte_is_end: bool,
        /// AX and the indirect BP may be bases. From 7.2 on (96f3b16a9de5).
        pub ax_and_bp_indirect: bool,
        /// Partial registers at a global symbol start the untraining check. Up to 6.1 (4708ea14bef3).
        pub partial_regs_start_unret: bool,
        /// Partial registers at a global symbol without `endbr` end the run. From 6.18 on (c5995abe1547).
        pub entry_without_endbr_is_fatal: bool,
    }

    /// State changes, and what a path may do (`update_cfi_state`, `validate_branch`).
    pub struct WalkRules {
        /// A copy of a register's saved value is known as such. From 6.6 on (7fdaa640c810).
        pub vals_copied: bool,
        /// `lea` from the frame pointer keeps the frame's size where the CFA is at the frame pointer itself. From 6.12
        /// on (da5b2ad1c2f1).
        pub lea_bp_checked: bool,
        /// A restore hint that a path starts with waits for its save. From 6.6 on (10b4c4bce3f5).
        pub restore_deferred: bool,
        /// Whether to ignore code is a property of the function, not of each instruction. From 6.18 on (c84301d706c5).
        pub ignore_is_per_symbol: bool,
        /// Every register whose rule differs is told, not only the first. From 6.18 on (c5995abe1547).
        pub all_register_mismatches: bool,
        /// A conflict of alternatives is at the start of the group and names the instruction. From 6.6 on
        /// (a706bb08c81a).
        pub conflict_at_original: bool,
        /// Names of functions that may fall through: the padding of others (9f2899fe36a6, 26a9f90b6101, 7b38dec3c5af,
        /// 3c68a92d17ad).
        pub prefix_functions: &'static [&'static str],
        /// Only functions are such prefixes. From 7.0 on (a1526bcfcb6c).
        pub prefix_function_must_be_function: bool,
        /// A function that falls through counts as warned about. From 6.18 on (c5995abe1547, c5610071a69d).
        pub fall_through_warns_function: bool,
        /// Only objects with `.comment` fall through, and whatever is said of unreachable code. Up to 5.15
        /// (08feafe8d195, 6b023c784204).
        pub fall_through_needs_comment: bool,
        /// `--no-unreachable` and its like silence a path that runs off its section. From 6.1 on (6b023c784204).
        pub end_of_section_silenced: bool,
        /// Hints in ignored code are followed, which is told. Up to 5.15 (5b284b193368).
        pub ignored_hints_followed: bool,
        /// User access is checked without `--uaccess`. Up to 5.15 (e1a9dda74dbf).
        pub uaccess_always: bool,
        /// Missing `int3` is found where a path leads, by what stands behind. Up to 5.15 (c2bdd61c98d9).
        pub sls_in_walk: bool,
        /// The noinstr state needs `--link`. Up to 6.12 (a8d39a62c6f5).
        pub noinstr_needs_link: bool,
        /// `.cpuidle.text` is noinstr. From 6.6 on (2b5a0e425e6e).
        pub cpuidle_is_noinstr: bool,
        /// Static-call trampolines may be called from noinstr code. From 6.6 on (2b5a0e425e6e).
        pub static_call_tramp_is_noinstr: bool,
        /// The tables of paravirt operations, which are looked through (db2b0c5d7b6f, bc5e8e2fa2e2, 817f66e39e39,
        /// 7aef17f367c9, b0b449e6fec4).
        pub pv_ops_tables: &'static [&'static str],
        /// The tables fill the slots of the first one. Up to 6.18 (f88dc319fcb6).
        pub pv_ops_share_slots: bool,
        /// A slot that is filled with no function ends the run; before, it is not looked at. From 6.18 on
        /// (c5995abe1547).
        pub pv_function_required: bool,
        /// A slot's function is named, slot by slot. 6.1 only (db2b0c5d7b6f, 0932dbe1f568).
        pub pv_ops_named: bool,
        /// A switch of the context ends the untraining check outside of functions. From 6.6 on (a8df7d0ef92e).
        pub unret_ends_at_context_switch: bool,
        /// What a broken path of the untraining check ends.
        pub broken_unret: BrokenUnret,
    }

    /// Checks that need no path (`validate_reachable_instructions`, `validate_ibt` and others in `check.c`).
    pub struct CheckRules {
        /// Which unreachable instructions are reported.
        pub unreachable: UnreachableReport,
        /// The untraining check comes before the search for unreachable code. Up to 5.15, which took the check over
        /// (a09a6e2399ba) without what it was built on (7dce62041ac3).
        pub unret_before_unreachable: bool,
        /// Findings of other checks than the walk leave the search for unreachable code on. From 6.18 on
        /// (c5995abe1547).
        pub unreachable_after_other_warnings: bool,
        /// With `--link`, code between symbols is marked before the walk. From 7.0 on (c9e9b85d41f9).
        pub holes_marked_first: bool,
        /// With `--link`, code between symbols is what the linker left of a dropped function. From 6.1 on
        /// (4adb23686795, 753da4179d08).
        pub holes_known: bool,
        /// `.fixup` may be unreachable. Up to 5.15 (82a8954acd93).
        pub fixup_exempt: bool,
        /// A static-call trampoline may be unreachable. From 6.1 on (2105a92748e8).
        pub trampolines_exempt: bool,
        /// `--cfi` looks for indirect calls without a check. From 6.18 on (894af4a1cde6).
        pub cfi_checked: bool,
        /// Sections whose relocations may lead to any code, beside those that all releases leave alone (d5173f753750,
        /// 72e4b6b44e9f, c3b7d044fc5a, 164c9201e1da, b525fcaf0a76, 315ad8780a12, d5dc95836147, 3c6f9f77e618).
        pub ibt_exempt: &'static [&'static str],
        /// Any section with `__patchable_function_entries` in its name is left alone. Up to 6.18 (164c9201e1da).
        pub ibt_patchable_is_substring: bool,
        /// A relocation that leads to a static-call trampoline is left alone. Up to 6.12 (ed1cb76ebdeb).
        pub ibt_skips_static_calls: bool,
        /// A cold part's reference to its own function counts as one from inside. From 6.6 on (72178d5d1a38).
        pub ibt_compares_parents: bool,
        /// The end of a function or section may be referred to. From 6.6 on (08ef8c40112b).
        pub ibt_range_ends: bool,
        /// What is said of a module's entry functions.
        pub module_entry: ModuleEntry,
    }

    /// Numbers and formats.
    pub struct LayoutRules {
        /// `struct alt_instr`: 12 bytes up to 6.1 (5d1dd961e743).
        pub alt_entry: AltEntry,
        /// `struct bug_entry` has a format. From 7.0 on (0a52d339d35d).
        pub bug_has_format: bool,
        /// The hints' types (fb799447ae29, 4708ea14bef3).
        pub hints: HintTypes,
        /// How an ORC entry is packed and printed.
        pub orc: OrcLayout,
        /// The registers of ORC entries and hints: renumbered in 7.2 (1735858caa4b, 96f3b16a9de5).
        pub orc_regs: OrcRegs,
    }

    /// What is written into the object.
    pub struct WriteRules {
        /// What is added, in this order.
        pub additions: &'static [Addition],
        /// `.cfi_sites` needs `--fineibt`. From 7.2 on (fc0bb9915bce).
        pub cfi_sites_for_fineibt: bool,
        /// `.cfi_sites` is in the order of the symbol table, not of sections. From 7.0 on (dd590d4d57eb).
        pub cfi_sites_in_symtab_order: bool,
        /// `--cfi` makes the symbols of preambles longer. From 7.2 on (fc0bb9915bce).
        pub cfi_symbols_grow: bool,
        /// Where prefixes are looked for.
        pub prefix_search: PrefixSearch,
        /// A name that is too long for a prefix symbol is told. From 7.0 on (2058f6d1660e).
        pub prefix_name_limited: bool,
        /// `sh_addralign` of `__mcount_loc`: 1 up to 6.1 (86ea7f361537).
        pub mcount_loc_align: u64,
        /// A group's signature is renumbered with its symbol. From 6.18 on (2cb291596e2c).
        pub group_follows_its_symbol: bool,
        /// Relocations that turn out to be not needed leave an empty entry. From 6.6 on (6342a20efbd8).
        pub relocs_reserved: bool,
        /// A run that ended early writes nothing. From 6.18 on (0b10177114d1, bb62243943db).
        pub nothing_after_refusal: bool,
        /// A fatal finding of a section writer leaves the table of unwind information, which is a command of its own.
        /// Up to 5.15 (b51277eb9775).
        pub orc_after_fatal: bool,
    }

    /// What is printed.
    pub struct WordRules {
        /// How a fatal finding is printed.
        pub fatal: FatalStyle,
        /// At an instruction, one warning for a function, and one for its cold part. From 6.6 on (5e3992fe7274).
        pub once_per_function: bool,
        /// `--verbose` prints the way to a finding. From 6.6 on (ced23d2e3762).
        pub verbose_is_backtrace: bool,
        /// A place is a function with `()` behind its name, or a section. Up to 5.15 (2bc3dec7055e).
        pub place_is_called: bool,
        /// Some findings are printed with the section in which the walk started. Up to 6.1 (246b2c85487a).
        pub walk_start_section: bool,
        /// A path that runs off its section is said of the function. From 6.18 on (c5995abe1547, 188d90f817e1).
        pub end_of_section_names_function: bool,
        /// The section that a path runs off is the one in which the walk started. Up to 6.18 (4cdee7888f42).
        pub end_of_section_is_walk_start: bool,
        /// The advice for a missing `__noreturn` names the lists. From 6.18 on (acae6b5bfffe).
        pub noreturn_hint_names_lists: bool,
        /// What stands before the names of the configuration's mitigations. From 6.12 on (aefb2f2e619b, 0911b8c52c4d).
        pub mitigation_prefix: &'static str,
        /// How a tail call is spelled (246b2c85487a).
        pub tail_word: &'static str,
        /// The instruction is repeated in front of the way to it. From 7.0 on (0bb080ba6469).
        pub insn_repeated_in_backtrace: bool,
        /// A jump's missing destination is named by its symbol. From 7.0 on (a05de0a772ce).
        pub jump_destination_symbolic: bool,
    }

    /// Which flags go together (`opts_valid`).
    pub struct FlagRules {
        /// Flags are those of the sub-commands `check` and `orc`, which always follow all code, and `--vmlinux` stands for
        /// noinstr code alone. Up to 5.15 (b51277eb9775).
        pub sub_commands: bool,
        /// `--unret` alone is refused for want of `--rethunk`. Up to 6.12 (764d956145f2).
        pub unret_alone_needs_rethunk: bool,
        /// `--cfi` is refused without `--prefix`. From 7.2 on (fc0bb9915bce).
        pub cfi_needs_prefix: bool,
        /// `--noabs` is an action. From 6.18 on (0d6e4563fc03).
        pub noabs_is_action: bool,
        /// What becomes of several source files in one object without `--link`.
        pub linked: LinkedWithoutFlag,
        /// How `--werror` is spelled: `Werror` in 6.18 (bb62243943db, 56754f0f46f6).
        pub werror_word: &'static str,
        /// What is said where no action is asked for (b13e9f6da4cc, b51277eb9775).
        pub no_action: &'static str,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustc_hash::{FxHashMap, FxHashSet};

    use super::*;

    fn fields(rules: &Rules) -> Vec<(&'static str, &'static str, String)> {
        let groups = [
            ("symbols", rules.symbols.fields()),
            ("lists", rules.lists.fields()),
            ("tables", rules.tables.fields()),
            ("branches", rules.branches.fields()),
            ("hints", rules.hints.fields()),
            ("walk", rules.walk.fields()),
            ("checks", rules.checks.fields()),
            ("layout", rules.layout.fields()),
            ("write", rules.write.fields()),
            ("words", rules.words.fields()),
            ("flags", rules.flags.fields()),
        ];
        let each = |(group, fields): (_, Vec<_>)| fields.into_iter().map(move |(field, value)| (group, field, value));
        groups.into_iter().flat_map(each).collect()
    }

    #[test]
    fn every_rule_differs_between_two_releases() {
        let mut values: FxHashMap<_, FxHashSet<String>> = FxHashMap::default();
        for kernel in Kernel::ALL {
            for (group, field, value) in fields(kernel.rules()) {
                values.entry((group, field)).or_default().insert(value);
            }
        }
        let same: Vec<_> = values.iter().filter(|(_, values)| values.len() < 2).map(|(field, _)| *field).collect();
        assert!(same.is_empty(), "the same in all releases: {same:?}");
    }

    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                // What defines the rules is no reader of them.
                if !path.ends_with("src/kernel") {
                    sources(&path, text);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.extend(std::fs::read_to_string(&path).unwrap().split_whitespace());
            }
        }
    }

    /// In its own words, or at the values of its type.
    #[test]
    fn every_rule_names_the_commit_that_made_it() {
        // What the tree's own files list, which many commits made.
        const LISTS: [&str; 2] = ["noreturn", "uaccess_safe"];
        let text = include_str!("rules.rs");
        let names_commit = |words: &str| {
            words
                .split(|c: char| !c.is_ascii_alphanumeric())
                .any(|word| word.len() == 12 && word.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
        };
        let (types, groups) = text.split_once("\ngroups! {").unwrap();
        let groups = groups.split_once("\n}\n").unwrap().0;
        let of_type = |name: &str| {
            let definition =
                types.split_once(&format!("pub enum {name} {{")).and_then(|(_, rest)| rest.split_once("\n}"));
            definition.is_some_and(|(values, _)| names_commit(values))
        };
        let element = |of: &str| of.trim_end_matches([',', ']']).trim_start_matches("&'static [").to_owned();
        let mut words = String::new();
        let mut silent = Vec::new();
        let mut n_fields = 0;
        for line in groups.lines().map(str::trim) {
            if let Some(more) = line.strip_prefix("///") {
                words.push_str(more);
            } else {
                if let Some((name, of)) = line.strip_prefix("pub ").and_then(|field| field.split_once(": ")) {
                    n_fields += 1;
                    if !names_commit(&words) && !of_type(&element(of)) && !LISTS.contains(&name) {
                        silent.push(name);
                    }
                }
                words.clear();
            }
        }
        assert_eq!(n_fields, fields(Kernel::V6_12.rules()).len());
        assert!(silent.is_empty(), "without a commit: {silent:?}");
    }

    #[test]
    fn every_rule_is_read() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let unread = |(group, field, _): &(&str, &str, _)| {
            let name = format!("{group}.{field}");
            !text
                .match_indices(&name)
                .any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let unread: Vec<_> = fields(Kernel::V6_12.rules()).into_iter().filter(unread).collect();
        assert!(unread.is_empty(), "no stage reads {unread:?}");
    }
}
