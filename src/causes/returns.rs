//! Plain returns and indirect branches in assembly.

use super::scene::Suspect;
use super::{Told, toplevel};
use crate::decode::Kind;
use crate::findings::Fault;
use crate::report::CauseKind;

/// `ret` where `RET` is meant, a `RET` of the file's own, an indirect branch without a retpoline.
pub(super) fn plain(suspect: &Suspect<'_>) -> Option<Told> {
    let insn = suspect.finding.insn?;
    let shown = suspect.reported.file.clone().zip(suspect.reported.line);
    let line = shown.or_else(|| toplevel::line_of(suspect))?;
    let at = suspect.reported.line.is_none().then(|| line.clone());
    let text = suspect.text(&line)?;
    let statement = text.asm.on_line(line.1 as usize - 1).find(|statement| statement.is_instruction());
    if !text.asm.assembly && text.asm.block_at(line.1 as usize - 1).is_none() {
        return None;
    }
    let kind = match suspect.finding.fault {
        Fault::NakedReturn | Fault::MissingInt3 { ret: true } => CauseKind::PlainReturn,
        Fault::MissingInt3 { ret: false } => CauseKind::NoTrapBehindJump,
        Fault::IndirectBranch { .. } => CauseKind::PlainIndirectBranch,
        _ => return None,
    };
    let told = Told::new(kind, String::new()).on(Some(line.clone())).shown_at(at);
    let is_own = kind == CauseKind::PlainReturn && statement.is_some_and(|statement| statement.word() == "RET");
    if !is_own {
        return Some(told);
    }
    // The definition that is in force: the one that has what follows the return in the code.
    let trap = suspect.insns().next_in_section(insn).is_some_and(|next| suspect.kind(next) == Kind::Trap);
    let fits = |line: &&String| {
        let code = line.trim_start();
        let words: Vec<&str> = code.split_whitespace().collect();
        matches!(words.as_slice(), ["#define" | "#", "RET" | "define", ..])
            && words.contains(&"RET")
            && code.contains("int3") == trap
    };
    let is_macro = |line: &&String| line.trim_start().starts_with(".macro RET");
    let define =
        text.lines.iter().rposition(|line| fits(&line)).or_else(|| text.lines.iter().position(|line| is_macro(&line)));
    let Some(define) = define else { return Some(told) };
    let define = (line.0, define as u32 + 1);
    let says = format!(
        "a plain return: the file has a RET of its own (line {}), which does not know the return thunk and whatever else this \
         build needs; the kernel's is in <linux/linkage.h>",
        define.1
    );
    let remark = suspect.remark(&define, "`RET` is defined here, in place of the kernel's");
    Some(Told::new(CauseKind::OwnReturnMacro, says).about("RET").with([remark]).on(Some(define)))
}
