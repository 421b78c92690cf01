//! Instructions of another vendor's processors, which objtool reads as something else.

use super::Told;
use super::scene::Suspect;
use crate::decode;
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId};
use crate::report::CauseKind;

/// XOP, TBM, LWP and FMA4 begin with a byte that is `pop` elsewhere, or are not known to the decoder.
pub(super) fn foreign(suspect: &Suspect<'_>) -> Option<Told> {
    let insn = place(suspect)?;
    let line = suspect.line(insn);
    let place = line.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    let march = suspect.scene.sources.command.iter().find(|word| word.starts_with("-march="));
    let option = march.map_or_else(|| "`-march=`".to_owned(), |march| format!("`{march}`"));
    let message = format!(
        "an instruction{place} is one of AMD's own (XOP, TBM), which this release's objtool reads as something else: the \
         compiler may use it because of {option}"
    );
    let told = Told::new(CauseKind::ForeignEncoding, message);
    let told = told.with([suspect.step(insn, "objtool reads other instructions here than the processor")]);
    Some(told.on(line))
}

fn place(suspect: &Suspect<'_>) -> Option<InsnId> {
    let is_foreign = |&insn: &InsnId| is_xop(decode::bytes(suspect.image(), suspect.insns(), insn));
    match &suspect.finding.fault {
        Fault::Undecodable { section, offset } => {
            let code = suspect.image().section(*section).code.get(usize::try_from(*offset).ok()?..)?;
            let before = CodeLoc::new(*section, offset.checked_sub(1)?);
            suspect.insns().containing(before).filter(|_| is_xop(code))
        }
        _ => (0..suspect.finding.states.len()).find_map(|state| suspect.way(state).into_iter().find(is_foreign)),
    }
}

/// The XOP prefix is `pop` to memory with a register field that `pop` does not have.
/// AMD64 Architecture Programmer's Manual, volume 3, §1.2.9.
fn is_xop(code: &[u8]) -> bool {
    matches!(code, [0x8f, second, ..] if second & 0x1f >= 8)
}
