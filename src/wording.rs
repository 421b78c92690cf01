//! objtool's own words for each finding, in each release's wording.
//!
//! In: a [`Fault`] and the object's names.  Out: the text behind `objtool: `.
//! Reads like: the message catalogue of the releases; the words are objtool's interface, which scripts match.

use crate::decode::InsnTable;
use crate::finding::{Fault, Level, Mismatch, ObjtoolLine};
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, LoadError};
use crate::kernel::rules::{FatalStyle, Rules};
use crate::options::Options;
use crate::symbols::Symbols;

/// What names are taken from.
#[derive(Clone, Copy)]
pub struct Naming<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Its instructions.
    pub insns: &'a InsnTable,
    /// Its symbols.
    pub symbols: &'a Symbols,
    /// The release.
    pub rules: &'static Rules,
    /// The flags.
    pub options: &'a Options,
}

impl Naming<'_> {
    /// A place as objtool names it: the function that contains it, else any symbol, else the section.
    pub fn place(&self, at: CodeLoc) -> String {
        let section = self.section(at.section);
        let code = self.image.section(at.section).is_code();
        let symbol = if code { self.symbols.function_containing(at.section, at.offset) } else { None }
            .or_else(|| self.symbols.symbol_containing(at.section, at.offset));
        match symbol {
            Some(id) => {
                let inside = at.offset.wrapping_sub(self.image.symbol(id).value);
                let text = format!("{}+0x{inside:x}", self.symbol(id));
                if self.options.sec_address { format!("{text} ({section}+0x{:x})", at.offset) } else { text }
            }
            None => format!("{section}+0x{:x}", at.offset),
        }
    }

    fn section(&self, id: SectionId) -> &str {
        &self.image.section(id).name
    }

    fn symbol(&self, id: SymbolId) -> &str {
        self.image.symbol_name(id)
    }

    fn insn(&self, id: InsnId) -> String {
        self.place(self.insns.loc(id))
    }

    /// The text, without the place in front of it.
    pub fn text(&self, fault: &Fault) -> String {
        if let Some(text) = plain(fault) {
            return text.to_owned();
        }
        match fault {
            Fault::StackStateMismatch(mismatch) => mismatch_text(mismatch),
            _ => self.walk_text(fault).or_else(|| self.preparation_text(fault)).unwrap_or_default(),
        }
    }

    fn walk_text(&self, fault: &Fault) -> Option<String> {
        Some(match fault {
            Fault::AlternativeStackConflict { insn, .. } if self.rules.conflict_at_original => {
                format!("stack layout conflict in alternatives: {}", self.insn(*insn))
            }
            Fault::AlternativeStackConflict { .. } => "stack layout conflict in alternatives".to_owned(),
            Fault::FallsThrough { from, to } => {
                format!("{}() falls through to next function {}()", self.symbol(*from), self.symbol(*to))
            }
            Fault::UnexpectedEndOfSection { function, section } => {
                let section = section.map_or("", |id| self.section(id));
                if self.rules.end_of_section_names_function {
                    let function = function.map_or(String::new(), |id| format!("{}(): ", self.symbol(id)));
                    format!("{function}unexpected end of section {section}")
                } else {
                    format!("{section}: unexpected end of section")
                }
            }
            Fault::CallLeavesNoinstr { callee } => format!("call to {callee}() leaves .noinstr.text section"),
            Fault::CallWithUaccess { callee } => format!("call to {callee}() with UACCESS enabled"),
            Fault::CallWithDirectionFlag { callee } => format!("call to {callee}() with DF set"),
            Fault::ParavirtOp { slot, target } => format!("pv_ops[{slot}]: {}", self.symbol(*target)),
            Fault::MissingSize { symbol } => format!("{}() is missing an ELF size annotation", self.symbol(*symbol)),
            Fault::MissingNoreturn { callee } => {
                let callee = self.symbol(*callee);
                if self.rules.noreturn_hint_names_lists {
                    format!("{callee}() missing __noreturn in .c/.h or NORETURN() in noreturns.h")
                } else {
                    format!("{callee}() is missing a __noreturn annotation")
                }
            }
            Fault::NakedReturn => format!("'naked' return found in {}RETHUNK build", self.rules.mitigation_prefix),
            Fault::IndirectBranch { call } => {
                let what = if *call { "call" } else { "jump" };
                format!("indirect {what} found in {}RETPOLINE build", self.rules.mitigation_prefix)
            }
            Fault::FentryTailCall => {
                format!("{} call to __fentry__ !?!?", self.rules.tail_word)
            }
            Fault::UnresolvedFunctionAfterLink { symbol } => {
                format!("Unresolved function after linking!?: {}", self.symbol(*symbol))
            }
            Fault::RelocationToNonEndbr { target } => format!("relocation to !ENDBR: {}", self.place(*target)),
            Fault::DataRelocationToNonEndbr { target } => format!("data relocation to !ENDBR: {}", self.place(*target)),
            Fault::NotIndirectCallTarget { name } => format!("{name}(): not an indirect call target"),
            Fault::MagicModuleName { name } => {
                // The exit function is told the same.
                format!("{name}(): Magic init_module() function name is deprecated, use module_init(fn) instead")
            }
            _ => return None,
        })
    }

    fn preparation_text(&self, fault: &Fault) -> Option<String> {
        let name = |id: &SymbolId| self.symbol(*id);
        let at = |section: &SectionId, offset: &u64| format!("{}:0x{offset:x}", self.section(*section));
        Some(match fault {
            // The words of these three leave one out.
            Fault::SectionExists { section: section @ (".retpoline_sites" | ".return_sites" | ".ibt_endbr_seal") } => {
                format!("file already has {section}, skipping")
            }
            Fault::SectionExists { section } => format!("file already has {section} section, skipping"),
            Fault::StaticCallTrampolineName { name } => format!("static_call: trampoline name malformed: {name}"),
            Fault::StaticCallKeyMissing { name } => {
                format!("static_call: can't find static_call_key symbol: {name}")
            }
            Fault::AbsoluteRelocation { section, offset } => {
                format!("section {} has absolute relocation at offset 0x{offset:x}", self.section(*section))
            }
            Fault::ParavirtTableUnknown { table, slot } => format!("can't find func at {table}[{slot}]"),
            Fault::AbsoluteAddressInList { list, offset } => {
                format!("section {list} has absolute relocation at offset 0x{offset:x}")
            }
            Fault::PrefixNameTooLong { name } => format!("{name}: symbol name too long, can't create __pfx_ symbol"),
            Fault::UnexpectedMachine { machine } => format!("unexpected ELF machine type {machine}"),
            Fault::Undecodable { section, offset } => format!("can't decode instruction at {}", at(section, offset)),
            Fault::NoStartingInsn { symbol } => format!("{}(): can't find starting instruction", name(symbol)),
            Fault::FunctionAtSectionEnd { symbol } => format!("{}(): STT_FUNC at end of section", name(symbol)),
            Fault::InvalidLea { section, offset } => format!("invalid LEA encoding at {}", at(section, offset)),
            Fault::Enqcmd { section, offset } => {
                format!("ENQCMD instruction at {}:{offset:x}", self.section(*section))
            }
            Fault::Notrack { section, offset } => format!("notrack prefix found at {}", at(section, offset)),
            Fault::NoParentFunction { symbol } => format!("{}(): can't find parent function", name(symbol)),
            Fault::ParentNameTooLong { symbol, limit } => {
                format!("{}(): parent function name exceeds maximum length of {limit} characters", name(symbol))
            }
            Fault::UnexpectedRelocSymbolType { section, kind: Some(kind) } => {
                format!("unexpected relocation symbol type in {section}: {kind}")
            }
            Fault::UnexpectedRelocSymbolType { section, kind: None } => {
                format!("unexpected relocation symbol type in {section}")
            }
            Fault::BadAnnotationEntry { section } => format!("bad {section} entry"),
            Fault::BadAnnotateInsnEntry { index, kind } => {
                format!("bad .discard.annotate_insn entry: {index} of type {kind}")
            }
            Fault::UnknownAnnotation { kind } => format!("Unknown annotation type: {kind}"),
            Fault::DodgyEntsize { section } => format!("{section}: dodgy linker, sh_entsize != 8"),
            Fault::HintWithoutReloc { index } => format!("can't find reloc for unwind_hints[{index}]"),
            Fault::HintWithoutInsn { index } => format!("can't find insn for unwind_hints[{index}]"),
            Fault::HintBadRegister { register } => format!("unsupported unwind_hint sp base reg {register}"),
            Fault::ReachableWithoutInsn { section, offset, reachable } => {
                format!("can't find {}reachable insn at {section}+0x{offset:x}", if *reachable { "" } else { "un" })
            }
            Fault::IntraCallWithoutDest { section, offset } => {
                format!("can't find call dest at {section}+0x{offset:x}")
            }
            Fault::CallWithoutDest { section, offset } => {
                format!("can't find call dest symbol at {section}+0x{offset:x}")
            }
            Fault::JumpWithoutDest { section, offset, symbolic } => {
                if self.rules.jump_destination_symbolic {
                    format!("can't find jump dest instruction at {symbolic}")
                } else {
                    format!("can't find jump dest instruction at {section}+0x{offset:x}")
                }
            }
            Fault::SpecialBadSize { section, entry } => format!("{section} size not a multiple of {entry}"),
            Fault::SpecialWithoutReloc { which } => format!("can't find {which} reloc"),
            Fault::SpecialWithoutInsn { which } => format!("special: can't find {which} instruction"),
            Fault::WeirdOverlap { actual, expected } => {
                format!("weirdly overlapping alternative! {actual} != {expected}")
            }
            Fault::UnknownCfaBase { base } => format!("unknown CFA base reg {base}"),
            Fault::UnknownBpBase { base } => format!("unknown BP base reg {base}"),
            Fault::UnknownHintType { kind } => format!("unknown unwind hint type {kind}"),
            Fault::BadObject { text } => text.clone(),
            _ => return None,
        })
    }
}

/// What objtool says of an object that it can not read; `None` where it leaves the words to its ELF library.
pub fn unreadable(error: &LoadError, rules: &Rules) -> Option<ObjtoolLine> {
    let text = match error {
        LoadError::SymbolWithoutSection { name, .. } => format!("couldn't find section for symbol {name}"),
        LoadError::RelocsWithoutSection { relocs, .. } => {
            format!("can't find base section for reloc section {relocs}")
        }
        // objtool prints the number as a signed one.
        LoadError::RelocWithoutSymbol { relocs, symbol } => {
            format!("can't find reloc entry symbol {} for {relocs}", *symbol as i32)
        }
        _ => return None,
    };
    let level = match rules.fatal {
        FatalStyle::Warning => Level::Warning,
        FatalStyle::Error => Level::Error,
    };
    Some(ObjtoolLine { level, text })
}

fn mismatch_text(mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Cfa(a, b) => {
            format!("stack state mismatch: cfa1={}{:+} cfa2={}{:+}", a.base.0, a.offset, b.base.0, b.offset)
        }
        Mismatch::Register(i, a, b) => {
            format!("stack state mismatch: reg1[{i}]={}{:+} reg2[{i}]={}{:+}", a.base.0, a.offset, b.base.0, b.offset)
        }
        Mismatch::Type(a, b) => format!("stack state mismatch: type1={a} type2={b}"),
        Mismatch::Drap((d1, r1, o1), (d2, r2, o2)) => {
            format!("stack state mismatch: drap1={}({r1},{o1}) drap2={}({r2},{o2})", u8::from(*d1), u8::from(*d2))
        }
    }
}

/// Texts without values.
fn plain(fault: &Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::UndefinedStackState => "undefined stack state",
        Fault::UnsupportedStackRegisterModification => "unsupported stack register modification",
        Fault::UnsupportedStackRealignment => "unsupported stack pointer realignment",
        Fault::UnknownStackInsn => "unknown stack-related instruction",
        Fault::UnknownStackMemoryOperation => "unknown stack-related memory operation",
        Fault::CfiMissing => "CFI missing",
        Fault::PushfStackExhausted => "PUSHF stack exhausted",
        Fault::IgnoredFunctionReached => "BUG: why am I validating an ignored function?",
        Fault::RestoreWithoutSave => "no corresponding CFI save for CFI restore",
        Fault::RestoreBeforeSave => "objtool isn't smart enough to handle this CFI save/restore combo",
        Fault::CallWithoutFramePointer => "call without frame pointer save/setup",
        Fault::SiblingCallWithModifiedFrame => "sibling call from callable instruction with modified stack frame",
        Fault::UnsupportedInstruction => "unsupported instruction in callable function",
        Fault::UaccessRecursive => "recursive UACCESS enable",
        Fault::UaccessRedundant => "redundant UACCESS disable",
        Fault::UaccessSafeDisables => "UACCESS-safe disables UACCESS",
        Fault::DirectionFlagRecursive => "recursive STD",
        Fault::DirectionFlagRedundant => "redundant CLD",
        Fault::ReturnWithInstrumentation => "return with instrumentation enabled",
        Fault::ReturnWithUaccess => "return with UACCESS enabled",
        Fault::ReturnWithoutUaccess => "return with UACCESS disabled from a UACCESS-safe function",
        Fault::ReturnWithDirectionFlag => "return with DF set",
        Fault::ReturnWithModifiedFrame => "return with modified stack frame",
        Fault::FramePointerScratched => "BP used as a scratch register",
        Fault::Unreachable => "unreachable instruction",
        Fault::IndirectCallWithoutCfi => "no-cfi indirect call!",
        Fault::MissingInt3 { ret: true } => "missing int3 after ret",
        Fault::MissingInt3 { ret: false } => "missing int3 after indirect jump",
        Fault::EarlyIndirectBranch => "early indirect call",
        Fault::ReturnBeforeUntrain => "RET before UNTRAIN",
        Fault::UnresolvedJumpAfterLink => "unresolved jump target after linking?!?",
        Fault::UnretEnd => "teh end!",
        Fault::UnretFailed => "Failed UNRET validation",
        Fault::CorruptFunctionPointer => "corrupt function pointer reference",
        Fault::IretHintWithoutEndbr => "UNWIND_HINT_IRET_REGS without ENDBR",
        Fault::AnnotateInsnMissingRelocs => "bad .discard.annotate_insn section: missing relocs",
        Fault::DodgyNocfi => "dodgy NOCFI annotation",
        Fault::HintsMissingRelocs => "missing .rela.discard.unwind_hints section",
        Fault::HintsBadSize => "struct unwind_hint size mismatch",
        Fault::RetpolineSafeNotIndirect => "retpoline_safe hint not an indirect jump/call/ret/nop",
        Fault::IntraCallNotCall => "intra_function_call not a direct call",
        Fault::UnannotatedIntraCall => "unannotated intra-function call",
        Fault::CallToNonFunction => "unsupported call to non-function",
        Fault::SpecialRelocation => "unsupported relocation in alternatives section",
        Fault::SpecialJumpWithoutDest => "can't find alternative jump destination",
        Fault::SpecialWithoutLastInsn => "can't find last new alternative instruction",
        Fault::JumpLabelInsn => "unsupported instruction at jump label",
        Fault::ParavirtConfusion => "paravirt confusion",
        Fault::ParavirtStoreUnknown => "no func for pv_ops[]",
        Fault::EmptyAlternative => "empty alternative entry",
        Fault::NoJumpTable => "can't find switch jump table",
        Fault::JumpTableQuirk => "ignoring unreachables due to jump table quirk",
        _ => return None,
    })
}
