//! Goes on where objtool stops, and brings both results together.
//!
//! In: objtool's findings, and a second walk that never gives up a function.  Out: all findings, each with its states
//! and path, and objtool's text where objtool prints one.

use std::collections::VecDeque;
use std::mem::{Discriminant, discriminant};

use rustc_hash::FxHashMap;

use crate::cancel::{CancelToken, Cancelled};
use crate::findings::{Fault, Finding};
use crate::follow::{CfiMap, Input, Policy, Scope, follow};
use crate::ids::{CodeLoc, InsnId};
use crate::ledger::Ledger;

/// The second walk's states, and the findings of both.
pub(super) fn everything(
    input: Input<'_>,
    objtool: &[Finding],
    size: u64,
    cancel: &CancelToken,
) -> Result<(CfiMap, Vec<Finding>), Cancelled> {
    let options = input.options;
    let mut ledger = Ledger::new(input.rules, input.options).for_object(size);
    let scope = if options.stackval || options.orc || options.uaccess { Scope::All } else { Scope::Noinstr };
    let (states, _) = follow(input, Policy::Everything, scope, &mut ledger, cancel)?;
    let mut twins: FxHashMap<Likeness, VecDeque<usize>> = FxHashMap::default();
    for (index, finding) in ledger.findings.iter().enumerate() {
        twins.entry(likeness(finding)).or_default().push_back(index);
    }
    let mut more: Vec<Option<Finding>> = ledger.findings.into_iter().map(Some).collect();
    let mut findings = Vec::with_capacity(more.len());
    for known in objtool {
        let twin = twins.get_mut(&likeness(known)).and_then(VecDeque::pop_front);
        let finding = match twin.and_then(|index| more[index].take()) {
            Some(detailed) => Finding { objtool: known.objtool.clone(), ..detailed },
            None => known.clone(),
        };
        findings.push(finding);
    }
    findings.extend(more.into_iter().flatten());
    Ok((states, findings))
}

/// Two findings that have this in common are one: the same kind at the same place.
type Likeness = (Discriminant<Fault>, Option<CodeLoc>, Option<InsnId>);

fn likeness(finding: &Finding) -> Likeness {
    (discriminant(&finding.fault), finding.at, finding.insn)
}
