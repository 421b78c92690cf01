//! The parts of what is said of a fault: its code, what it comes from, objtool's words, a sentence for people.
//!
//! In: what a function of a family of faults puts together; later the names of the object ([`Names`]) and the place of the
//! finding ([`Scene`]).  Out: text, where somebody asks for it.
//! Holds afterwards: [`Told`] has no default; who makes one gives all parts.

use super::{Code, Mismatch};
use crate::cfi::CfiState;
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::kernel::rules::Rules;

/// What objtool's words name: the object, in the release's terms.
pub trait Names {
    /// The release.
    fn rules(&self) -> &Rules;
    /// A symbol, as the object spells it.
    fn symbol(&self, id: SymbolId) -> &str;
    /// A section.
    fn section(&self, id: SectionId) -> &str;
    /// A place, as a symbol and an offset.
    fn place(&self, at: CodeLoc) -> String;
    /// The place of an instruction.
    fn insn(&self, id: InsnId) -> String;
}

/// What a sentence for people can ask about the finding and the code around it.
pub trait Scene {
    /// A symbol, demangled.
    fn symbol(&self, id: SymbolId) -> String;
    /// A symbol's name, demangled.
    fn demangled(&self, name: &str) -> String;
    /// A section.
    fn section(&self, id: SectionId) -> &str;
    /// The section that the finding is in.
    fn own_section(&self) -> Option<SectionId>;
    /// The instruction that the finding is about, between backticks; `otherwise` where there is none.
    fn insn_or(&self, otherwise: &str) -> String;
    /// A place as a symbol and an offset, where no line would do: `f+0x1f`.
    fn symbolic(&self, at: CodeLoc) -> String;
    /// A place: `line 41`, `list.h:41`, or `.text+0x1f`.
    fn code(&self, at: CodeLoc) -> String;
    /// The first of the finding's states.
    fn state(&self) -> Option<&CfiState>;
    /// The sentence and what caused it: `...: pushed at line 193, never popped`.
    fn because(&self, sentence: String) -> String;
    /// What leaves the function, and how the frame differs from that at its start.
    fn modified(&self, what: &str) -> String;
    /// Why the frame pointer is no frame pointer in a state.
    fn missing_frame(&self, state: &CfiState) -> String;
    /// What two paths disagree about.
    fn mismatch(&self, mismatch: &Mismatch) -> String;
    /// What two arms disagree about.
    fn conflict(&self, insn: InsnId, original: InsnId) -> String;
}

type MakeWords<'a> = dyn Fn(&dyn Names) -> String + 'a;
type MakeSentence<'a> = dyn Fn(&dyn Scene) -> String + 'a;

/// objtool's words, without the place in front of them.
pub enum Words<'a> {
    /// objtool does not see the fault.
    Silent,
    /// The same in every release and for every object.
    Plain(&'static str),
    /// Words with names in them, or other words per release.
    Made(Box<MakeWords<'a>>),
}

impl Words<'_> {
    /// The words; none where objtool is silent.
    pub fn text(&self, names: &dyn Names) -> Option<String> {
        match self {
            Words::Silent => None,
            Words::Plain(text) => Some((*text).to_owned()),
            Words::Made(make) => Some(make(names)),
        }
    }
}

/// A sentence for people. It starts small and has no final dot.
pub enum Sentence<'a> {
    /// The same wherever it is.
    Plain(&'static str),
    /// A sentence with names and lines in it.
    Made(Box<MakeSentence<'a>>),
}

impl Sentence<'_> {
    /// The sentence.
    pub fn text(&self, scene: &dyn Scene) -> String {
        match self {
            Sentence::Plain(text) => (*text).to_owned(),
            Sentence::Made(make) => make(scene),
        }
    }
}

/// Words that have to be made.
pub(super) fn words<'a>(make: impl Fn(&dyn Names) -> String + 'a) -> Words<'a> {
    Words::Made(Box::new(make))
}

/// A sentence that has to be made.
pub(super) fn sentence<'a>(make: impl Fn(&dyn Scene) -> String + 'a) -> Sentence<'a> {
    Sentence::Made(Box::new(make))
}

/// `call to foo()`, `indirect call`, `call through pv_ops[3]`.
pub(super) fn call_to(scene: &dyn Scene, callee: &str) -> String {
    match callee {
        "{dynamic}" => "indirect call".to_owned(),
        slot if slot.contains('[') => format!("call through {slot}"),
        name => format!("call to {}()", scene.demangled(name)),
    }
}

/// What on the path a fault comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin<'a> {
    /// Nothing: what is at the place, or in a table, is wrong by itself.
    Here,
    /// Stack operations that nothing takes back before the function is left.
    LeftOver,
    /// Stack operations that one of two paths has and the other has not; what the states disagree about, if it is known.
    Meeting(Option<&'a Mismatch>),
    /// Whatever moved the stack pointer.
    Moves,
    /// What made the CFA depend on a register that was lost.
    LostBase,
    /// The code ends where it should not; a lost CFA may have led there.
    EndOfCode,
    /// The code goes on where it should have ended.
    RunsOn,
    /// A jump leads here, where no instruction is.
    Nowhere(CodeLoc),
    /// Data points here. It has no line of its own; this may have one.
    PointsTo(CodeLoc),
    /// The last `stac`.
    OpenedAccess,
    /// The last `clac`.
    ClosedAccess,
    /// The last `std`.
    SetDirection,
    /// The last `cld`.
    ClearedDirection,
}

/// All that is said of a fault.
pub struct Told<'a> {
    /// Its stable name.
    pub code: Code,
    /// What on the path it comes from.
    pub origin: Origin<'a>,
    /// What objtool prints for it.
    pub objtool: Words<'a>,
    /// What is wrong, in words and with names, and the one reason that decides it.
    pub sentence: Sentence<'a>,
}
