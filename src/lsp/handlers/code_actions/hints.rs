//! Fixes of unwind hints.
//!
//! In: a case.  Out: [`Fix`]es.

use super::case::Case;
use super::patch::{Fix, Patch};

/// A hint that does not fit goes.
pub(super) fn correct(case: &Case<'_>) -> Vec<Fix> {
    let Some(at) = case.at else { return Vec::new() };
    let alone: Vec<_> = case.text.on_line(at).collect();
    let is_hint = matches!(alone.as_slice(), [only] if only.word().starts_with("UNWIND_HINT"));
    let whole_line = case.assembly || case.trimmed(at).starts_with("UNWIND_HINT");
    let title = format!("Remove `{}` in line {}", case.trimmed(at), at + 1);
    (is_hint && whole_line).then(|| Fix::new(title, vec![Patch::delete(at)])).into_iter().collect()
}
