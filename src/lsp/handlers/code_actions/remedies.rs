//! From a remedy to the changes of the text that it may be.
//!
//! In: a [`Remedy`] that the cause's kind allows, and the case.  Out: [`Fix`]es, the most likely first.

use crate::report::Remedy;

use super::case::Case;
use super::patch::{Fix, Patch};
use super::{calls, data, declarations, directives, flags, functions, hints, labels, nops, realign, stack};

/// What may help, the most likely first.
pub(super) fn fixes(case: &Case<'_>) -> Vec<Fix> {
    case.cause.kind.remedies().iter().flat_map(|&remedy| propose(remedy, case)).collect()
}

fn propose(remedy: Remedy, case: &Case<'_>) -> Vec<Fix> {
    match remedy {
        Remedy::Balance => stack::balance(case),
        Remedy::Nops => nops::fixes(case),
        Remedy::Frame => functions::frame(case).into_iter().collect(),
        Remedy::CallConstraint => functions::call_constraint(case).into_iter().collect(),
        Remedy::Return => functions::ending(case),
        Remedy::KernelReturn => functions::kernel_return(case),
        Remedy::Trap => functions::trap(case).into_iter().collect(),
        Remedy::Code => functions::code_instead_of_function(case).into_iter().collect(),
        Remedy::Size => functions::size(case),
        Remedy::EndUserAccess => flags::end_user_access(case),
        Remedy::ClearDirectionFlag => flags::clear_direction(case),
        Remedy::RemoveFlagChange => flags::remove_change(case),
        Remedy::Exempt => exempt(case).into_iter().collect(),
        Remedy::HintsAround => realign::hints_around(case),
        Remedy::Drap => realign::drap(case),
        Remedy::KernelReturnHeader => declarations::kernel_return_header(case),
        Remedy::AlwaysInline => declarations::always_inline(case),
        Remedy::Noreturn => declarations::noreturn(case),
        Remedy::Bug => declarations::bug(case),
        Remedy::Nospec => calls::nospec(case),
        Remedy::IntraCall => calls::intra_call(case),
        Remedy::Function => labels::function(case),
        Remedy::Endbr => labels::endbr(case),
        Remedy::Noendbr => labels::noendbr(case),
        Remedy::Rodata => data::rodata(case),
        Remedy::AnnotateTable => data::annotate_table(case),
        Remedy::CorrectHint => hints::correct(case),
        Remedy::Directive => directives::fixes(case),
    }
}

/// The function is not looked at any more, and cannot be unwound through.
fn exempt(case: &Case<'_>) -> Option<Fix> {
    let name = case.finding.function.as_deref()?;
    let line = if case.assembly {
        format!("STACK_FRAME_NON_STANDARD {name}")
    } else {
        format!("STACK_FRAME_NON_STANDARD({name});")
    };
    let header = case.include("linux/objtool.h");
    let patches = header.into_iter().chain([Patch::insert(case.lines.len(), vec![line])]).collect();
    let title = format!("Exempt {name} with `STACK_FRAME_NON_STANDARD`: it can no longer be unwound");
    Some(Fix::last_resort(title, patches))
}
