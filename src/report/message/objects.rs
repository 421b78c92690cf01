//! Sentences about mitigations, and about what is wrong with the object before any path is followed.

use super::Speaker;
use crate::cfi::Base;
use crate::finding::Fault;
use crate::ids::{CodeLoc, SectionId};

impl Speaker<'_> {
    /// All that is not about paths.
    pub(super) fn objects(&self) -> Option<String> {
        self.mitigations().or_else(|| self.tables()).or_else(|| self.reading())
    }

    fn mitigations(&self) -> Option<String> {
        Some(match &self.finding.fault {
            Fault::NakedReturn => {
                "a plain return, where the build needs returns to go through the return thunk".to_owned()
            }
            Fault::IndirectBranch { call } => {
                let what = if *call { "call" } else { "jump" };
                format!("an indirect {what} without a retpoline, which the build needs")
            }
            Fault::IndirectCallWithoutCfi => "an indirect call without a check of its target's type (kCFI)".to_owned(),
            Fault::MissingInt3 { ret } => {
                let what = if *ret { "this return" } else { "this indirect jump" };
                format!("no `int3` behind {what}: the processor may run on in a straight line, speculatively")
            }
            Fault::EarlyIndirectBranch => "an indirect branch before the return predictor was untrained".to_owned(),
            Fault::ReturnBeforeUntrain => "a return before the return predictor was untrained".to_owned(),
            Fault::UnresolvedJumpAfterLink => {
                "where this jump leads is not known, although the object is linked".to_owned()
            }
            Fault::UnresolvedFunctionAfterLink { symbol } => {
                format!("{}() is called but not in the linked object", self.symbol(*symbol))
            }
            Fault::UnretEnd => "this path ends before the return predictor was untrained".to_owned(),
            Fault::UnretFailed => "whether the return predictor is untrained in time could not be followed".to_owned(),
            Fault::RelocationToNonEndbr { target } => {
                format!("the address of {} is taken, which does not start with `endbr`", self.code(*target))
            }
            Fault::DataRelocationToNonEndbr { target } => {
                format!("data holds the address of {}, which does not start with `endbr`", self.code(*target))
            }
            Fault::CorruptFunctionPointer => "a function pointer that leads into the middle of code".to_owned(),
            Fault::IretHintWithoutEndbr => "an interrupt enters here, but there is no `endbr`".to_owned(),
            Fault::NotIndirectCallTarget { name } => {
                format!("{name}() of a module is called through a pointer, but does not start with `endbr`")
            }
            Fault::MagicModuleName { name } => {
                format!("{name}() is found by its name alone; modules name it with module_init() or module_exit()")
            }
            Fault::FentryTailCall => {
                "a jump to __fentry__, which returns into its caller: it has to be called".to_owned()
            }
            Fault::PrefixNameTooLong { name } => format!("the name {name} is too long for a prefix symbol"),
            _ => return None,
        })
    }

    fn tables(&self) -> Option<String> {
        Some(match &self.finding.fault {
            Fault::SectionExists { section } => {
                format!("{section} is there already: objtool ran over this object before")
            }
            Fault::StaticCallTrampolineName { name } => format!("the static call trampoline {name} is not named as one"),
            Fault::StaticCallKeyMissing { name } => format!("the key {name} of a static call is not in the object"),
            Fault::AbsoluteRelocation { section, offset } => {
                format!("{} holds an absolute address, which is not allowed in this build", self.somewhere(*section, *offset))
            }
            Fault::ReplacementTooLong { actual, room } => {
                format!("a replacement has {actual} bytes, more than the {room} that it is to replace")
            }
            Fault::ParavirtConfusion => {
                "boot code fills a table of paravirt operations that is not in the object".to_owned()
            }
            Fault::ParavirtStoreUnknown => {
                "what boot code puts into a table of paravirt operations is no function".to_owned()
            }
            Fault::ParavirtTableUnknown { table, slot } => {
                format!("slot {slot} of {table} leads here, where no function starts")
            }
            Fault::AbsoluteAddressInList { list, .. } => {
                format!("this place goes into {list} with its absolute address, which is not allowed in this build")
            }
            Fault::UnexpectedRelocSymbolType { section, kind } => match kind {
                Some(kind) => format!("a relocation in {section} is against a symbol of type {kind}, not of a section or function"),
                None => format!("a relocation in {section} is against a symbol that is not of a section or function"),
            },
            Fault::BadAnnotationEntry { section } => format!("an entry of {section} points to no instruction"),
            Fault::AnnotateInsnMissingRelocs => ".discard.annotate_insn has no relocations".to_owned(),
            Fault::BadAnnotateInsnEntry { index, kind } => {
                format!("entry {index} of .discard.annotate_insn (kind {kind}) points to no instruction")
            }
            Fault::UnknownAnnotation { kind } => format!("an instruction annotation of the unknown kind {kind}"),
            Fault::DodgyNocfi => "an annotation against kCFI on something that is no function".to_owned(),
            Fault::DodgyEntsize { section } => format!("the linker left {section} with a wrong entry size"),
            Fault::HintsMissingRelocs => "the unwind hints have no relocations".to_owned(),
            Fault::HintsBadSize => "the unwind hints are not a whole number of entries".to_owned(),
            Fault::HintWithoutReloc { index } => format!("unwind hint {index} has no relocation"),
            Fault::HintWithoutInsn { index } => format!("unwind hint {index} points to no instruction"),
            Fault::HintBadRegister { register } => {
                format!("an unwind hint finds the frame from register {register}, which there is not")
            }
            Fault::ReachableWithoutInsn { section, offset, reachable } => {
                let what = if *reachable { "reachable" } else { "unreachable" };
                format!("the {what} annotation for {section}+{offset:#x} points to no instruction")
            }
            Fault::RetpolineSafeNotIndirect => {
                "annotated as safe without a retpoline, but no indirect branch, return or NOP".to_owned()
            }
            Fault::IntraCallNotCall => "annotated as a call within its function, but no direct call".to_owned(),
            Fault::SpecialBadSize { section, entry } => {
                format!("{section} is not a whole number of entries of {entry} bytes")
            }
            Fault::SpecialWithoutReloc { which } => format!("an entry has no relocation for {}", part(which)),
            Fault::SpecialWithoutInsn { which } => format!("{} of an entry does not start at an instruction", part(which)),
            Fault::SpecialRelocation => {
                "only a jump or call at its start may be relocated in a replacement: the kernel copies the code elsewhere".to_owned()
            }
            Fault::SpecialJumpWithoutDest => "a jump out of a replacement leads to no instruction".to_owned(),
            Fault::SpecialWithoutLastInsn => "the replacement of an alternative ends within an instruction".to_owned(),
            Fault::JumpLabelInsn => "a static branch stands on an instruction that is neither a NOP nor a jump".to_owned(),
            Fault::WeirdOverlap { actual, expected } => format!(
                "two alternatives overlap: this one replaces {expected} bytes, the one before it {actual} from the same place"
            ),
            Fault::EmptyAlternative => "an alternative that replaces no code".to_owned(),
            _ => return None,
        })
    }

    fn reading(&self) -> Option<String> {
        Some(match &self.finding.fault {
            Fault::UnexpectedMachine { machine } => format!("an object for another machine (ELF machine {machine})"),
            Fault::Undecodable { section, offset } => {
                format!("the bytes at {} are no instruction", self.somewhere(*section, *offset))
            }
            Fault::NoStartingInsn { symbol } => format!("{}() does not start at an instruction", self.symbol(*symbol)),
            Fault::FunctionAtSectionEnd { symbol } => {
                format!("{}() starts at the end of its section", self.symbol(*symbol))
            }
            Fault::InvalidLea { .. } => "`lea` of a register, which is no instruction".to_owned(),
            Fault::Enqcmd { .. } => {
                "`enqcmd`, which the kernel does not use: it depends on a register that tasks share".to_owned()
            }
            Fault::Notrack { .. } => "a `notrack` prefix, which switches indirect branch tracking off".to_owned(),
            Fault::NoParentFunction { symbol } => {
                format!("{}() is the cold part of a function that is not in the object", self.symbol(*symbol))
            }
            Fault::ParentNameTooLong { symbol, limit } => {
                format!(
                    "the name of {}() is longer than the {limit} characters that objtool looks at",
                    self.symbol(*symbol)
                )
            }
            Fault::IntraCallWithoutDest { section, offset } => {
                format!("a call within its function leads to {section}+{offset:#x}, where no instruction is")
            }
            Fault::UnannotatedIntraCall => {
                "a call to the middle of a function, without the annotation that it is meant".to_owned()
            }
            Fault::CallToNonFunction => "a call to something that is no function".to_owned(),
            Fault::CallWithoutDest { section, offset } => {
                format!("a call to {section}+{offset:#x}, where no symbol is")
            }
            Fault::JumpWithoutDest { symbolic, section, offset } => {
                let place = if symbolic.is_empty() { format!("{section}+{offset:#x}") } else { symbolic.clone() };
                format!("a jump to {place}, where no instruction is")
            }
            Fault::NoJumpTable => "the table of this indirect jump was not found".to_owned(),
            Fault::JumpTableQuirk => {
                "a jump table was not found, so unreachable instructions are not looked for".to_owned()
            }
            Fault::UnknownCfaBase { base } if *base == i32::from(Base::UNDEFINED.0) => {
                "it is not known how to find the frame here, and an ORC entry can not say so".to_owned()
            }
            Fault::UnknownCfaBase { base } => {
                format!("the frame is found from {}, which an ORC entry can not say", register(*base))
            }
            Fault::UnknownBpBase { base } => {
                format!("rbp is saved relative to {}, which an ORC entry can not say", register(*base))
            }
            Fault::UnknownHintType { kind } => format!("a frame of kind {kind}, which an ORC entry can not say"),
            Fault::BadObject { text } => format!("the object can not be analysed: {text}"),
            _ => return None,
        })
    }

    fn somewhere(&self, section: SectionId, offset: u64) -> String {
        self.code(CodeLoc::new(section, offset))
    }
}

/// A part of an entry of an alternatives, static branch or exception table.
fn part(which: &str) -> &str {
    match which {
        "orig" => "the original code",
        "new" => "the other code",
        "key" => "the key",
        other => other,
    }
}

fn register(base: i32) -> &'static str {
    match i8::try_from(base).map(Base) {
        Ok(base) => base.name(),
        Err(_) => "an unknown register",
    }
}
