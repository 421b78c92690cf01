//! Goes on where objtool stops, and brings both results together.
//!
//! In: objtool's findings, and a second walk that never gives up a function.  Out: all findings, each with its states
//! and path, and objtool's text where objtool prints one.

use crate::cancel::{CancelToken, Cancelled};
use crate::finding::Finding;
use crate::follow::{CfiMap, Input, Policy, Scope, follow};
use crate::ledger::Ledger;

/// The second walk's states, and the findings of both.
pub(super) fn everything(
    input: Input<'_>,
    objtool: &Ledger,
    cancel: &CancelToken,
) -> Result<(CfiMap, Vec<Finding>), Cancelled> {
    let options = input.options;
    let mut ledger = Ledger::default();
    let scope = if options.stackval || options.orc || options.uaccess { Scope::All } else { Scope::Noinstr };
    let (states, _) = follow(input, Policy::Everything, scope, &mut ledger, cancel)?;
    let mut more: Vec<Option<Finding>> = ledger.findings.into_iter().map(Some).collect();
    let mut findings = Vec::with_capacity(more.len());
    for known in &objtool.findings {
        let twin = more.iter_mut().find(|slot| slot.as_ref().is_some_and(|finding| same(finding, known)));
        let finding = match twin.and_then(Option::take) {
            Some(detailed) => Finding { objtool: known.objtool.clone(), ..detailed },
            None => known.clone(),
        };
        findings.push(finding);
    }
    findings.extend(more.into_iter().flatten().map(|finding| Finding { objtool: None, ..finding }));
    Ok((states, findings))
}

/// Whether two findings are one: the same kind at the same place.
fn same(a: &Finding, b: &Finding) -> bool {
    std::mem::discriminant(&a.fault) == std::mem::discriminant(&b.fault) && a.at == b.at && a.insn == b.insn
}
