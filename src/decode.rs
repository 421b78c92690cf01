//! Decodes every executable section into a table of instructions.
//!
//! In: [`ElfImage`].  Out: [`InsnTable`] and what was odd about the encodings.
//! Holds afterwards: instructions of a section are in ascending order without gaps up to the section's end, or up to the
//! first that cannot be decoded, each with its length, its kind and its stack operations.
//!
//! Verdicts hang on what objtool's decoder sees, not on what a processor does. So `encoding` takes instructions apart by
//! the release's tables (`kernel::opcodes`), and `effect` says what they are; where releases differ, both ask `profile`. A disassembler is
//! used for the text that people see, in `text`, and for nothing else.

mod effect;
mod encoding;
mod heads;
mod interning;
mod pieces;
mod profile;
mod table;
mod text;
mod usage;

use crate::cancel::{CancelToken, Cancelled};
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId};
use crate::image::{ElfImage, Section};
use crate::kernel::rules::Rules;
use crate::symbols::Symbols;
use effect::Effect;
use encoding::Encoding;
pub(crate) use encoding::MAX_LEN;
use heads::Heads;
use interning::OpList;
use pieces::Decoder;
use profile::Profile;
pub use table::{Insn, InsnTable};
pub use text::{Disassembler, text};
pub use usage::{Access, Usage};

/// What an instruction is to the analysis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "SDM mnemonics and branch kinds")]
pub enum Kind {
    Other,
    Nop,
    JumpConditional,
    JumpUnconditional,
    JumpDynamic,
    JumpDynamicConditional,
    Call,
    CallDynamic,
    Return,
    /// syscall, sysret, iret and the like in releases that do not tell them apart.
    ContextSwitch,
    Syscall,
    Sysret,
    Bug,
    Trap,
    Stac,
    Clac,
    Std,
    Cld,
    Endbr,
    LeaRip,
}

impl Kind {
    /// Whether it is a jump or a call: what its relocation names is where it leads, not an address that it takes.
    pub fn leads_away(self) -> bool {
        matches!(
            self,
            Kind::Call
                | Kind::CallDynamic
                | Kind::JumpConditional
                | Kind::JumpUnconditional
                | Kind::JumpDynamic
                | Kind::JumpDynamicConditional
        )
    }
}

/// What was odd about an encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeNote {
    /// What it is.
    pub fault: Fault,
    /// Where.
    pub at: CodeLoc,
    /// objtool gives up on the object here. orcls gives up on the section.
    pub fatal: bool,
}

/// Decodes all executable sections of `image` as an objtool of these rules would. The notes are in the order in which
/// objtool would say them. What hangs on symbols is left to [`settle_irets`].
pub fn decode(
    image: &ElfImage,
    rules: &Rules,
    cancel: &CancelToken,
) -> Result<(InsnTable, Vec<DecodeNote>), Cancelled> {
    let profile = Profile::of(rules);
    let heads = Heads::of(&profile);
    Decoder { image, profile, heads, cancel }.all()
}

/// An `iret` in a function is no way out of the kernel.
pub fn settle_irets(insns: &mut InsnTable, symbols: &Symbols) {
    for id in std::mem::take(&mut insns.irets) {
        let at = insns.loc(id);
        if symbols.symbol_containing(at.section, at.offset).is_some_and(|symbol| symbols.is_function(symbol)) {
            let Effect { kind, ops, .. } = effect::iret_in_function();
            insns.change(id, kind, &OpList::from(ops));
        }
    }
}

/// The relative target of a jump or call as it is encoded, without its relocation: what is added to the offset behind
/// the instruction.
pub fn branch_immediate(section: &Section, insn: &Insn, rules: &Rules) -> i64 {
    let code = bytes_in(section, insn);
    match *code {
        [0x70..=0x7f | 0xe0..=0xe3 | 0xeb, byte] => return i64::from(byte as i8),
        [0xe8 | 0xe9, a, b, c, d] | [0x0f, 0x80..=0x8f, a, b, c, d] => {
            return i64::from(i32::from_le_bytes([a, b, c, d]));
        }
        _ => {}
    }
    let profile = Profile::of(rules);
    match encoding_of(code, &profile) {
        Some(e) if e.is_vector => 0,
        Some(e) if e.has_immediate => i64::from(e.immediate),
        Some(e) if profile.displacement_is_target => i64::from(e.displacement),
        _ => 0,
    }
}

/// The displacement of the instruction's memory operand as it is encoded.
pub fn displacement(image: &ElfImage, insns: &InsnTable, id: InsnId, rules: &Rules) -> Option<i64> {
    let e = encoding_of(bytes(image, insns, id), &Profile::of(rules))?;
    e.has_displacement.then_some(i64::from(e.displacement))
}

/// The bytes of an instruction.
pub fn bytes<'i>(image: &'i ElfImage, insns: &InsnTable, id: InsnId) -> &'i [u8] {
    bytes_in(image.section(insns.section_of(id)), insns.get(id))
}

fn bytes_in<'i>(section: &'i Section, insn: &Insn) -> &'i [u8] {
    section.code.get(insn.offset as usize..insn.end() as usize).unwrap_or(&[])
}

fn encoding_of(code: &[u8], profile: &Profile<'_>) -> Option<Encoding> {
    let mut encoding = Encoding::default();
    encoding.read(code, profile)?;
    Some(encoding)
}
