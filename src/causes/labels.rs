//! Labels: those that are called, those whose address is taken, code that has none.

use std::sync::Arc;

use super::scene::{Line, Suspect};
use super::{Told, source};
use crate::cfi::{Base, Dest, Source};
use crate::decode::{self, Kind};
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId};
use crate::image::STT_NOTYPE;
use crate::report::CauseKind;

/// A call to a label without a type, to one without a symbol, or only for its return address.
pub(super) fn called(suspect: &Suspect<'_>) -> Option<Told> {
    let untyped = match suspect.finding.fault {
        Fault::CallToNonFunction => true,
        Fault::UnannotatedIntraCall | Fault::CallWithoutDest { .. } => false,
        _ => return None,
    };
    let insn = suspect.finding.insn?;
    let written = suspect.statement(insn).map(|statement| statement.operands().trim_start_matches('*').to_owned());
    let name =
        written.filter(|name| !name.is_empty() && !name.contains(['\\', '%', '('])).or_else(|| suspect.callee(insn))?;
    let name = name.split(['+', '-', ' ']).next().unwrap_or_default().to_owned();
    let line = source::label(suspect, &name);
    let untyped = untyped || is_plain_label(suspect, insn, &name);
    let remark = |text: String| line.as_ref().map(|line| suspect.remark(line, text));
    let told = if untyped {
        let says = format!(
            "call to {name}, a label without a type: nothing says that it is a function (`.type {name}, @function`, or \
             SYM_FUNC_START and SYM_FUNC_END)"
        );
        Told::new(CauseKind::UntypedLabel, says).with(remark(format!("`{name}` is defined here, as a plain label")))
    } else if drops_return_address(suspect, insn) {
        let says = format!(
            "call to {name} within the function, only for the return address that it pushes: that has to be annotated with \
             ANNOTATE_INTRA_FUNCTION_CALL"
        );
        Told::new(CauseKind::IntraCall, says)
    } else if name.starts_with(".L") || name.starts_with(|c: char| c.is_ascii_digit()) {
        let owner = target(suspect, insn).and_then(|target| suspect.owner(target));
        let middle = match owner.filter(|owner| Some(*owner) != suspect.owner(insn)) {
            Some(owner) => format!("in the middle of {}()", suspect.view().name(owner)),
            None => "so objtool cannot tell the helper from the middle of a function".to_owned(),
        };
        let says = format!(
            "call to {name}: a local label leaves no symbol, {middle}; give it a name of its own with SYM_FUNC_START_LOCAL and \
             SYM_FUNC_END"
        );
        Told::new(CauseKind::LocalLabel, says).with(remark(format!("`{name}` is defined here")))
    } else {
        let says = format!(
            "call to {name}, where no function starts: it is in the middle of one, or has no symbol of type function"
        );
        Told::new(CauseKind::CallIntoFunction, says).with(remark(format!("`{name}` is defined here")))
    };
    // In a macro, the call itself is the place to change.
    let on = if told.kind == CauseKind::IntraCall { suspect.line(insn) } else { line };
    Some(told.about(name).on(on))
}

/// Whether a call leads to a label that has a symbol without a type, and belongs to no function.
fn is_plain_label(suspect: &Suspect<'_>, call: InsnId, name: &str) -> bool {
    let Some(target) = target(suspect, call) else { return false };
    let at = suspect.insns().loc(target);
    let is_it = |symbol: &crate::image::Symbol| (symbol.section, symbol.value) == (at.section, at.offset);
    let mut there = suspect.image().symbols().filter(|(_, symbol)| symbol.kind == STT_NOTYPE && is_it(symbol));
    there.any(|(id, _)| suspect.image().symbol_name(id) == name) && suspect.owner(target).is_none()
}

/// Whether what is called takes the return address off the stack before it returns.
fn drops_return_address(suspect: &Suspect<'_>, call: InsnId) -> bool {
    let Some(target) = target(suspect, call) else { return false };
    let next = suspect.insns().next_in_section(call);
    if next == Some(target) {
        return true;
    }
    let mut depth = 0i64;
    for insn in std::iter::successors(Some(target), |&insn| suspect.insns().next_in_section(insn)).take(MOST_LOOKED_AT)
    {
        match suspect.kind(insn) {
            Kind::Return => return depth < 0,
            Kind::JumpUnconditional | Kind::JumpDynamic => return false,
            _ => {}
        }
        for op in suspect.insns().ops(insn) {
            depth += i64::from(op.growth());
            let stores = matches!(op.dest, Dest::Indirect(Base::SP, 0)) && !matches!(op.src, Source::Pop);
            if depth < 0 || (depth == 0 && stores) {
                return true;
            }
        }
    }
    false
}

const MOST_LOOKED_AT: usize = 64;

/// Where a direct call leads within its section.
fn target(suspect: &Suspect<'_>, call: InsnId) -> Option<InsnId> {
    let (at, insn) = (suspect.insns().loc(call), suspect.insns().get(call));
    if let Some(reloc) = suspect.reloc(call) {
        let symbol = suspect.image().symbol(reloc.symbol);
        let offset = symbol.value.wrapping_add_signed(reloc.addend.wrapping_add(4));
        return suspect.insns().at(CodeLoc::new(symbol.section, offset));
    }
    let by = decode::branch_immediate(suspect.image().section(at.section), insn, &suspect.view().analysis.rules);
    suspect.insns().at(CodeLoc::new(at.section, u64::from(insn.end()).wrapping_add_signed(by)))
}

/// The address of code without `endbr` is taken.
pub(super) fn address_taken(suspect: &Suspect<'_>) -> Option<Told> {
    let target = match suspect.finding.fault {
        Fault::RelocationToNonEndbr { target } | Fault::DataRelocationToNonEndbr { target } => target,
        _ => return None,
    };
    let insn = suspect.insns().at(target)?;
    let symbols = &suspect.view().analysis.symbols;
    let function = symbols.function_at(target.section, target.offset);
    let line = suspect.line(insn);
    if let Some(function) = function {
        let name = suspect.view().name(function);
        if suspect.is_compiled(insn) {
            // Told as a missing option.
            return None;
        }
        let label = source::label(suspect, &name).or(line);
        let place = label.as_ref().map(|line| format!(" ({})", suspect.place(line))).unwrap_or_default();
        let says = format!("the address of {name}(){place} is taken, and the function does not start with `endbr`");
        let remark = label.as_ref().map(|line| suspect.remark(line, format!("{name}() starts here, without `endbr`")));
        return Some(Told::new(CauseKind::FunctionWithoutEndbr, says).about(name).with(remark).on(label));
    }
    let line = line?;
    let (name, label) = point(suspect, target, &line);
    let owner = suspect.owner(insn).map(|owner| format!(" in {}()", suspect.view().name(owner))).unwrap_or_default();
    let says = match &name {
        Some(name) => format!(
            "the address of `{name}`{owner} is taken, and no `endbr` is there; where nothing jumps to it, say so with \
             ANNOTATE_NOENDBR"
        ),
        None => format!(
            "the address of {}{owner} is taken, and no `endbr` is there; where nothing jumps to it, say so with ANNOTATE_NOENDBR",
            suspect.place(&line)
        ),
    };
    let shown = name.as_ref().map_or_else(|| "the place".to_owned(), |name| format!("`{name}`"));
    let label = label.unwrap_or_else(|| line.clone());
    let told = Told::new(CauseKind::AddressOfPoint, says).with([suspect.remark(&label, format!("{shown} is here"))]);
    let told = told.about(name.unwrap_or_default());
    Some(told.on(Some(line)))
}

/// The name of a place within a function, and where it is written.
fn point(suspect: &Suspect<'_>, target: CodeLoc, line: &Line) -> (Option<String>, Option<Line>) {
    let symbols = &suspect.view().analysis.symbols;
    let by_symbol =
        symbols.symbol_at(target.section, target.offset).filter(|&id| !suspect.image().symbol(id).is_section());
    if let Some(symbol) = by_symbol {
        let name = suspect.view().name(symbol);
        let label = source::label(suspect, &name);
        return (Some(name), label);
    }
    let Some(text) = suspect.text(line) else { return (None, None) };
    let statements = &text.asm.statements;
    let at = statements.partition_point(|statement| statement.line < line.1 as usize - 1);
    let before = statements[..at].iter().rev().take_while(|statement| !statement.is_instruction());
    let on = statements[at..].iter().take_while(|statement| statement.line == line.1 as usize - 1);
    let label = on.chain(before).find(|statement| statement.label().is_some());
    let name = label.and_then(|statement| statement.label()).map(str::to_owned);
    (name, label.map(|statement| (Arc::clone(&line.0), statement.line as u32 + 1)))
}

/// Code that belongs to no symbol.
pub(super) fn unnamed(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::Unreachable = suspect.finding.fault else { return None };
    let insn = suspect.finding.insn?;
    if suspect.flow().owner(insn).is_some() {
        return None;
    }
    let section = suspect.view().section_name(suspect.insns().section_of(insn)).to_owned();
    let line = suspect.line(insn)?;
    let (_, label) = point(suspect, suspect.insns().loc(insn), &line);
    // The first label of the stretch of code.
    let start = suspect.text(&line).and_then(|text| {
        let statements = &text.asm.statements;
        let at = statements.partition_point(|statement| statement.line < line.1 as usize - 1);
        let labels = statements[..at].iter().rev().take_while(|statement| {
            statement
                .label()
                .is_none_or(|label| label.starts_with(".L") || label.starts_with(|c: char| c.is_ascii_digit()))
                && !statement.text.starts_with('.')
                || statement.label().is_some_and(|label| label.starts_with(".L"))
        });
        labels
            .filter(|statement| statement.label().is_some())
            .last()
            .map(|found| (Arc::clone(&line.0), found.line as u32 + 1))
    });
    if let Some(told) = untyped(suspect, insn) {
        return Some(told);
    }
    let label = start.or(label).unwrap_or_else(|| line.clone());
    let says = format!(
        "no symbol covers this code of {section} (labels that start with .L leave none), so that nothing leads here for objtool: \
         give it a name and a type, with SYM_FUNC_START or SYM_CODE_START"
    );
    let told = Told::new(CauseKind::UnnamedCode, says).about(section);
    Some(told.with([suspect.remark(&label, "the code without a symbol starts here")]).on(Some(label)))
}

/// A symbol before the code that says neither what it is nor how large.
fn untyped(suspect: &Suspect<'_>, insn: InsnId) -> Option<Told> {
    let at = suspect.insns().loc(insn);
    let is_before = |symbol: &crate::image::Symbol| symbol.section == at.section && symbol.value <= at.offset;
    let plain = suspect
        .image()
        .symbols()
        .filter(|(_, symbol)| is_before(symbol) && symbol.kind == STT_NOTYPE && symbol.size == 0);
    let (id, _) = plain.max_by_key(|(_, symbol)| symbol.value)?;
    let name = suspect.view().name(id);
    let line = source::label(suspect, &name)?;
    let says = format!(
        "{name} is a plain label: nothing says that a function starts there (`.type {name}, @function` and `.size`, or SYM_FUNC_START \
         and SYM_FUNC_END), so that nothing leads to its code for objtool"
    );
    let remark = suspect.remark(&line, format!("`{name}` is defined here, as a plain label"));
    Some(Told::new(CauseKind::UntypedLabel, says).about(name).with([remark]).on(Some(line)))
}
