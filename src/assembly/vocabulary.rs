//! The words of the kernel's assembly: annotations and hints, directives, registers.
//!
//! In: nothing, or a word.  Out: what the word means, in a sentence or two.
//! Holds afterwards: each list is sorted, without doubles.
//! Reads like: include/linux/objtool.h, include/linux/linkage.h, arch/x86/include/asm/{unwind_hints,nospec-branch,ibt}.h;
//! tools/objtool/Documentation/objtool.txt; "GNU as", "Pseudo Ops".

/// A word and what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What may follow it, as one writes it.
    pub takes: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn word(name: &'static str, takes: &'static str, meaning: &'static str) -> Word {
    Word { name, takes, meaning }
}

/// Macros that say something about code to objtool, the unwinder or the linker.
pub const MACROS: &[Word] = &[
    word(
        "ALTERNATIVE",
        "\"original\", \"replacement\", feature",
        "Code that is patched at boot where the processor has the feature. Every arm must leave the stack as the others do at each byte where their instructions meet.",
    ),
    word(
        "ALTERNATIVE_2",
        "\"original\", \"replacement\", feature, \"replacement\", feature",
        "An alternative with two replacements; the last one whose feature is there is patched in.",
    ),
    word(
        "ALTERNATIVE_3",
        "\"original\", \"replacement\", feature, \"replacement\", feature, \"replacement\", feature",
        "An alternative with three replacements; the last one whose feature is there is patched in.",
    ),
    word(
        "ANNOTATE_INTRA_FUNCTION_CALL",
        "",
        "The call that follows stays within its function, as in return stack stuffing: the pushed return address is treated as data.",
    ),
    word("ANNOTATE_NOENDBR", "", "The address here is taken, but no indirect branch goes to it: no ENDBR is needed."),
    word("ANNOTATE_REACHABLE", "", "The code here is reached, though the instruction before it seems to end its path."),
    word("ANNOTATE_RETPOLINE_SAFE", "", "The indirect branch that follows needs no retpoline."),
    word("ANNOTATE_UNRET_SAFE", "", "The return that follows needs no return thunk."),
    word("CALL_NOSPEC", "reg", "An indirect call by way of the retpoline thunk of the register."),
    word(
        "ENCODE_FRAME_POINTER",
        "ptregs_offset=0",
        "With frame pointers, makes rbp say that pt_regs are on the stack.",
    ),
    word("ENDBR", "", "Where indirect branches may go with IBT: endbr64, or nothing without CONFIG_X86_KERNEL_IBT."),
    word("EXPORT_SYMBOL", "name", "Modules may use the symbol."),
    word("EXPORT_SYMBOL_GPL", "name", "Modules under the GPL may use the symbol."),
    word("FRAME_BEGIN", "", "With frame pointers, pushes rbp and copies rsp to it."),
    word("FRAME_END", "", "With frame pointers, pops rbp."),
    word("JMP_NOSPEC", "reg", "An indirect jump by way of the retpoline thunk of the register."),
    word("REACHABLE", "", "The code here is reached, though the instruction before it seems to end its path."),
    word("RET", "", "A return: ret, or a jump to the return thunk, as the mitigations ask for."),
    word(
        "STACK_FRAME_NON_STANDARD",
        "func",
        "objtool does not follow the function's stack. It gets no ORC rows of its own.",
    ),
    word("STACK_FRAME_NON_STANDARD_FP", "func", "With frame pointers, objtool does not follow the function's stack."),
    word("SYM_CODE_END", "name", "Ends code that SYM_CODE_START began."),
    word(
        "SYM_CODE_START",
        "name",
        "Begins code that is not called like a function, such as an entry point. It needs an unwind hint before objtool can follow its stack.",
    ),
    word("SYM_CODE_START_LOCAL", "name", "As SYM_CODE_START, for a symbol of this file alone."),
    word("SYM_CODE_START_NOALIGN", "name", "As SYM_CODE_START, without alignment."),
    word("SYM_DATA", "name, data", "Data with a symbol, in one line."),
    word("SYM_DATA_END", "name", "Ends data that SYM_DATA_START began."),
    word("SYM_DATA_START", "name", "Begins data."),
    word("SYM_FUNC_ALIAS", "alias, name", "Another name of a function."),
    word("SYM_FUNC_ALIAS_WEAK", "alias, name", "Another, weak name of a function."),
    word("SYM_FUNC_END", "name", "Ends a function."),
    word(
        "SYM_FUNC_START",
        "name",
        "Begins a function with C's calling convention: the return address is on top of the stack, and the caller's registers must be restored at the return.",
    ),
    word("SYM_FUNC_START_LOCAL", "name", "As SYM_FUNC_START, for a symbol of this file alone."),
    word("SYM_FUNC_START_NOALIGN", "name", "As SYM_FUNC_START, without alignment."),
    word("SYM_FUNC_START_WEAK", "name", "As SYM_FUNC_START, for a weak symbol."),
    word("SYM_INNER_LABEL", "name, linkage", "A symbol within code."),
    word(
        "SYM_TYPED_FUNC_START",
        "name",
        "As SYM_FUNC_START, with a hash of the function's type for kCFI: it may be called by pointer.",
    ),
    word("UNTRAIN_RET", "", "Makes returns safe after the kernel was entered (retbleed)."),
    word("UNTRAIN_RET_FROM_CALL", "", "As UNTRAIN_RET, within a function that was called."),
    word("UNTRAIN_RET_VM", "", "As UNTRAIN_RET, after a guest has run."),
    word("UNWIND_HINT_EMPTY", "", "There is no caller's frame here (releases before 6.4)."),
    word("UNWIND_HINT_END_OF_STACK", "", "The stack ends here: whoever unwinds is done."),
    word(
        "UNWIND_HINT_ENTRY",
        "",
        "The kernel is entered here, from user space or by a processor's exception: the stack ends here, and returns have to be made safe first.",
    ),
    word("UNWIND_HINT_FUNC", "", "The stack is here as at the start of a function: the return address on top."),
    word(
        "UNWIND_HINT_IRET_ENTRY",
        "base=%rsp offset=0 signal=1",
        "The kernel is entered here with the processor's frame of an exception at base+offset.",
    ),
    word(
        "UNWIND_HINT_IRET_REGS",
        "base=%rsp offset=0 signal=1",
        "The processor's frame of an exception (rip, cs, flags, rsp, ss) is at base+offset.",
    ),
    word(
        "UNWIND_HINT_REGS",
        "base=%rsp offset=0 indirect=0 extra=1 partial=0 signal=1",
        "A struct pt_regs is at base+offset. With extra=0 or partial=1 only a part of it is.",
    ),
    word("UNWIND_HINT_RESTORE", "", "The stack is as it was at the last UNWIND_HINT_SAVE of this function."),
    word("UNWIND_HINT_SAVE", "", "Keeps the state of the stack for UNWIND_HINT_RESTORE."),
    word("UNWIND_HINT_UNDEFINED", "", "Where the caller's frame is cannot be told here: nobody may unwind."),
    word(
        "VALIDATE_UNRET_BEGIN",
        "",
        "From here on every path must pass VALIDATE_UNRET_END before a return (checked with --unret).",
    ),
    word("VALIDATE_UNRET_END", "", "From here on returns are safe."),
    word("_ASM_EXTABLE", "from, to", "A fault at the first label continues at the second."),
    word("_ASM_EXTABLE_TYPE", "from, to, type", "A fault at the first label is handled as the type says."),
    word(
        "_ASM_EXTABLE_UA",
        "from, to",
        "A fault of an access to user space at the first label continues at the second.",
    ),
];

/// Directives of the assembler.
pub const DIRECTIVES: &[Word] = &[
    word(".align", "bytes", "Aligns to as many bytes."),
    word(".ascii", "\"text\"", "A text without a zero at its end."),
    word(".asciz", "\"text\"", "A text with a zero at its end."),
    word(".balign", "bytes", "Aligns to as many bytes."),
    word(".byte", "value", "Bytes."),
    word(".cfi_adjust_cfa_offset", "offset", "The CFA moves by the offset (user space)."),
    word(".cfi_def_cfa", "register, offset", "The CFA is the register plus the offset (user space)."),
    word(".cfi_def_cfa_offset", "offset", "The CFA is at another offset from its register (user space)."),
    word(".cfi_def_cfa_register", "register", "The CFA is relative to another register (user space)."),
    word(".cfi_endproc", "", "Ends the unwind table of a function."),
    word(".cfi_offset", "register, offset", "The register is saved at the offset from the CFA (user space)."),
    word(
        ".cfi_rel_offset",
        "register, offset",
        "The register is saved at the offset from the CFA's register (user space).",
    ),
    word(".cfi_remember_state", "", "Keeps all rules for .cfi_restore_state."),
    word(".cfi_restore", "register", "The register is again what it was at the start of the function."),
    word(".cfi_restore_state", "", "The rules are those of the last .cfi_remember_state."),
    word(".cfi_startproc", "", "Begins the unwind table of a function."),
    word(".cfi_undefined", "register", "The caller's value of the register is lost."),
    word(".code16", "", "Code for 16-bit mode follows."),
    word(".code32", "", "Code for 32-bit mode follows."),
    word(".code64", "", "Code for 64-bit mode follows."),
    word(".else", "", "Otherwise."),
    word(".elseif", "expression", "Otherwise, if the expression is not zero."),
    word(".endif", "", "Ends .if."),
    word(".endm", "", "Ends .macro."),
    word(".endr", "", "Ends .rept, .irp or .irpc."),
    word(".equ", "name, value", "Gives a name a value."),
    word(".error", "\"text\"", "Ends the assembly with an error."),
    word(".exitm", "", "Leaves a macro."),
    word(".fill", "count, size, value", "Copies of a value."),
    word(".global", "name", "Other files can see the symbol."),
    word(".globl", "name", "Other files can see the symbol."),
    word(".hidden", "name", "The symbol is not seen outside of the linked file."),
    word(".if", "expression", "If the expression is not zero."),
    word(".ifb", "argument", "If nothing follows."),
    word(".ifc", "text, text", "If both texts are the same."),
    word(".ifdef", "name", "If the symbol is defined."),
    word(".ifnb", "argument", "If something follows."),
    word(".ifnc", "text, text", "If the texts differ."),
    word(".ifndef", "name", "If the symbol is not defined."),
    word(".incbin", "\"file\"", "The bytes of a file."),
    word(".include", "\"file\"", "The statements of a file."),
    word(".int", "value", "Values of four bytes."),
    word(".irp", "name, values", "Repeats statements with each of the values."),
    word(".irpc", "name, characters", "Repeats statements with each of the characters."),
    word(".local", "name", "The symbol is of this file alone."),
    word(".long", "value", "Values of four bytes."),
    word(".macro", "name parameters", "Begins a macro."),
    word(".nops", "bytes", "As many bytes of no-ops."),
    word(".octa", "value", "Values of sixteen bytes."),
    word(".org", "position", "Moves on to a position."),
    word(".p2align", "exponent", "Aligns to a power of two."),
    word(".popsection", "", "Goes on with the section before .pushsection."),
    word(".previous", "", "Goes on with the section before this one."),
    word(".purgem", "name", "Forgets a macro."),
    word(".pushsection", "name, \"flags\"", "Goes on with another section, until .popsection."),
    word(".quad", "value", "Values of eight bytes."),
    word(".rept", "count", "Repeats statements."),
    word(".section", "name, \"flags\"", "Goes on with another section."),
    word(".set", "name, value", "Gives a name a value."),
    word(".short", "value", "Values of two bytes."),
    word(".size", "name, expression", "How many bytes a symbol has."),
    word(".skip", "bytes, value", "As many bytes of a value."),
    word(".string", "\"text\"", "A text with a zero at its end."),
    word(".text", "", "Goes on with the section .text."),
    word(".type", "name, @function", "What a symbol is."),
    word(".weak", "name", "Another definition of the symbol is preferred."),
    word(".word", "value", "Values of two bytes."),
    word(".zero", "bytes", "As many zeros."),
];

/// Registers that are named by more than a number.
const NAMED: &[&str] = &[
    "ah", "al", "ax", "bh", "bl", "bp", "bpl", "bx", "ch", "cl", "cs", "cx", "dh", "di", "dil", "dl", "ds", "dx",
    "eax", "ebp", "ebx", "ecx", "edi", "edx", "es", "esi", "esp", "fs", "gs", "rax", "rbp", "rbx", "rcx", "rdi", "rdx",
    "rip", "rsi", "rsp", "si", "sil", "sp", "spl", "ss",
];

/// All registers, without the percent sign.
pub fn registers() -> impl Iterator<Item = String> {
    let general = (8..16).flat_map(|n| ["", "b", "d", "w"].map(|width| format!("r{n}{width}")));
    let counted = |name: &'static str, n: u32| (0..n).map(move |at| format!("{name}{at}"));
    let control = [0, 2, 3, 4, 8].map(|n| format!("cr{n}"));
    let debug = [0, 1, 2, 3, 6, 7].map(|n| format!("dr{n}"));
    let vectors = counted("xmm", 32).chain(counted("ymm", 32)).chain(counted("zmm", 32)).chain(counted("k", 8));
    NAMED.iter().map(|name| (*name).to_owned()).chain(general).chain(control).chain(debug).chain(vectors)
}

/// A macro or a directive by its name.
pub fn named(name: &str) -> Option<&'static Word> {
    let list = if name.starts_with('.') { DIRECTIVES } else { MACROS };
    let at = list.binary_search_by(|word| word.name.cmp(name)).ok()?;
    list.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [MACROS, DIRECTIVES] {
            assert!(list.windows(2).all(|pair| pair[0].name < pair[1].name));
        }
        assert!(NAMED.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn words_are_found() {
        assert_eq!(named("ENDBR").map(|word| word.name), Some("ENDBR"));
        assert_eq!(named(".macro").map(|word| word.takes), Some("name parameters"));
        assert_eq!(named("nope"), None);
        assert!(registers().any(|name| name == "r10d") && registers().any(|name| name == "zmm31"));
    }
}
