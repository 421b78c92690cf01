//! What a part of a linked object leaves open: checks that hang on what other parts define.
//!
//! In: the part's code.  Out: the checks, each once.
//! Holds afterwards: a check that is not named is decided by the part's own code.

use crate::decode::Kind;
use crate::flow::Flags;
use crate::follow::Input;
use crate::options::LinkCheck;

/// The checks of the linked object that this part of it does not decide.
pub fn open(input: &Input<'_>) -> Vec<LinkCheck> {
    if !input.options.part {
        // Its own flags ask for none of them.
        return vec![LinkCheck::Noinstr, LinkCheck::Unret, LinkCheck::Ibt];
    }
    let mut open = Vec::new();
    let noinstr = |input: &Input<'_>| {
        let sections = input.image.sections().filter(|(id, _)| input.flow.section(*id).noinstr);
        let mut code = sections.flat_map(|(id, _)| input.insns.of_section(id));
        code.any(|id| match input.insns.kind(id) {
            Kind::CallDynamic | Kind::JumpDynamic => input.calls_through_other_part(id),
            _ => input.flow.callee(id).is_some_and(|callee| input.is_of_other_part(callee)),
        })
    };
    if input.options.noinstr && noinstr(input) {
        open.push(LinkCheck::Noinstr);
    }
    // The way from entry leads through code that may not be instrumented.
    let is_entered = input.flow.declared(Flags::UNRET).next().is_some()
        || input.image.sections().any(|(id, section)| section.size > 0 && input.flow.section(id).noinstr);
    if input.options.unret && is_entered {
        open.push(LinkCheck::Unret);
    }
    if input.options.ibt && !input.insns.is_empty() {
        open.push(LinkCheck::Ibt);
    }
    open
}
