//! Tables of jump targets that objtool does not find.

use std::sync::Arc;

use super::scene::{Line, Suspect};
use super::{Told, unreached};
use crate::decode::Kind;
use crate::findings::Fault;
use crate::ids::InsnId;
use crate::image::Reloc;
use crate::report::CauseKind;

/// `SHF_WRITE`
const WRITABLE: u64 = 1;
/// The load of a table's entry stands near its jump.
const REACH: usize = 24;

/// An indirect jump through a table in writable data.
pub(super) fn writable(suspect: &Suspect<'_>) -> Option<Told> {
    let (insn, ended) = match suspect.finding.fault {
        Fault::SiblingCallWithModifiedFrame | Fault::NoJumpTable | Fault::JumpTableQuirk => {
            (suspect.finding.insn?, false)
        }
        // Where the jump leads is what no path reaches.
        Fault::Unreachable => (unreached::ender(suspect)?, true),
        _ => return None,
    };
    if !matches!(suspect.kind(insn), Kind::JumpDynamic | Kind::JumpDynamicConditional) {
        return None;
    }
    let at = suspect.line(insn).filter(|_| ended);
    let jump = suspect.words(insn);
    let Some((load, reloc)) = table_load(suspect, insn) else {
        // Where an asm statement has moved the stack pointer, it is a call like any other, and not the jump is at fault.
        let mut moved = suspect.finding.cause.iter();
        if ended || moved.any(|step| suspect.asm_statement(step.insn).is_some()) {
            return None;
        }
        let says = format!(
            "`{jump}` leads where objtool does not know: it found no table for it, and takes it for a jump to another function"
        );
        return Some(Told::new(CauseKind::UnknownTable, says).on(suspect.line(insn)));
    };
    let symbol = suspect.image().symbol(reloc.symbol);
    let section = suspect.image().section(symbol.section);
    let name = name(suspect, load, &reloc);
    let shown = name.as_ref().map_or_else(|| "the table".to_owned(), |name| format!("the table `{name}`"));
    let line = name.as_ref().and_then(|name| definition(suspect, name));
    let place = line.as_ref().map(|line| format!(" ({})", suspect.place(line))).unwrap_or_default();
    let remark = line.as_ref().map(|line| suspect.remark(line, "the table of the jump is defined here"));
    let (kind, says) = if section.flags & WRITABLE != 0 && !section.name.contains("c_jump_table") {
        let c = suspect.is_compiled(insn);
        let how =
            if c { "mark it with __annotate_jump_table, or make its entries const" } else { "put it into .rodata" };
        let says = format!(
            "{shown}{place} of this jump is in {}, and objtool looks for tables in read-only data only, so it takes `{jump}` for \
             a jump to another function: {how}",
            section.name
        );
        (CauseKind::WritableTable, says)
    } else if name.is_some() && suspect.is_compiled(insn) {
        let says = format!(
            "{shown}{place} of this jump is an object with a name: objtool knows the compiler's own tables, and those marked with \
             __annotate_jump_table, and takes `{jump}` for a jump to another function"
        );
        (CauseKind::NamedTable, says)
    } else {
        let says = format!(
            "objtool did not recognise {shown}{place} of this jump, in {}, and takes `{jump}` for a jump to another function",
            section.name
        );
        (CauseKind::UnknownTable, says)
    };
    let jump_here = at.as_ref().map(|_| suspect.step(insn, "this jump is what would lead to the code"));
    let told = Told::new(kind, says).with(remark).with(jump_here).on(line).shown_at(at);
    Some(match name {
        Some(name) => told.about(name),
        None => told,
    })
}

/// The instruction that loads an entry of the table, and where the table is.
fn table_load(suspect: &Suspect<'_>, jump: InsnId) -> Option<(InsnId, Reloc)> {
    let near = std::iter::successors(Some(jump), |&insn| suspect.insns().prev_in_section(insn)).take(REACH);
    let mut same = near.take_while(|&insn| suspect.flow().owner(insn) == suspect.flow().owner(jump));
    same.find_map(|insn| {
        let reloc = suspect.reloc(insn)?;
        let section = suspect.image().symbol(reloc.symbol).section;
        let is_data = section.0 != 0 && !suspect.image().section(section).is_code();
        let reads = suspect.usage(insn).memory.iter().any(|access| access.read && access.indexed);
        let is_address = suspect.words(insn).starts_with("lea") || suspect.words(insn).starts_with("mov $");
        (is_data && (reads || is_address)).then_some((insn, reloc))
    })
}

/// What the source calls the table.
fn name(suspect: &Suspect<'_>, load: InsnId, reloc: &Reloc) -> Option<String> {
    let symbol = suspect.image().symbol(reloc.symbol);
    if !symbol.is_section() {
        let name = suspect.image().symbol_name(reloc.symbol);
        return Some(own_part(name).to_owned());
    }
    if let Some(statement) = suspect.statement(load).filter(|_| !suspect.is_compiled(load)) {
        let operand = statement.operands().trim_start_matches(['*', '$']);
        let name = operand.split(['(', '+', ',']).next()?;
        return (!name.is_empty() && !name.contains('%')).then(|| name.to_owned());
    }
    // A variable of the compiler's that only its section names: the symbol that covers the place.
    let offset = u64::try_from(reloc.addend).ok()?;
    let covers = |symbol: &crate::image::Symbol, section| {
        symbol.section == section && symbol.value <= offset && offset < symbol.value + symbol.size.max(1)
    };
    let found = suspect.image().symbols().find(|(_, other)| !other.is_section() && covers(other, symbol.section));
    let name = suspect.image().symbol_name(found?.0);
    Some(own_part(name).to_owned())
}

/// Where a table is defined: by the debug info in C, by its label in assembly.
fn definition(suspect: &Suspect<'_>, name: &str) -> Option<Line> {
    let (main, text) = suspect.main_text()?;
    if let Some(label) = text.asm.label(name) {
        return Some((main, label.line as u32 + 1));
    }
    let declared = suspect.declarations(name).into_iter().find(|declared| !declared.function);
    declared.map(|declared| (Arc::clone(&declared.file), declared.line))
}

/// What the source calls a local variable: compilers put a number behind it, or its function before it.
fn own_part(symbol: &str) -> &str {
    let is_name = |part: &&str| part.starts_with(|c: char| c.is_alphabetic() || c == '_');
    symbol.split('.').rfind(is_name).unwrap_or(symbol)
}

#[cfg(test)]
mod tests {
    use super::own_part;

    #[test]
    fn local_variables_are_told_by_their_own_names() {
        assert_eq!(["ways.0", "decode.ways", ".Ltable", "plain"].map(own_part), ["ways", "ways", "Ltable", "plain"]);
    }
}
