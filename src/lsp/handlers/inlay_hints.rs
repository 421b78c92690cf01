//! Inlay hints: the CFA behind each assembly line that changes it, and how deep the stack is at a call.
//!
//! In: [`Snapshot`], a range.  Out: hints, in the order of the lines.

use std::collections::BTreeMap;

use tower_lsp::lsp_types::*;

use crate::assembly::is_assembly_name;
use crate::decode::Kind;
use crate::ids::InsnId;
use crate::report::calls::is_tracer;
use crate::report::view::View;
use crate::report::words;

use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::tables::spots;
use super::unwind;

/// What one line does to the frame.
struct Effect {
    /// At its first instruction; the inner `None` where the CFA is not known.
    before: Option<Option<String>>,
    after: Option<String>,
    depth_at_call: Option<i32>,
}

/// The hints of a range.
pub fn inlay_hints(snapshot: &Snapshot, params: &InlayHintParams) -> Option<Vec<InlayHint>> {
    if !snapshot.config.inlay_hints {
        return Some(Vec::new());
    }
    let (document, _) = snapshot.unit(&params.text_document.uri)?;
    let path = document.path.as_deref()?;
    let assembly = is_assembly_name(path);
    let Some(spot) = spots(snapshot, &params.text_document.uri, None).into_iter().next() else {
        return unwind::inlay_hints(snapshot, params);
    };
    let placer = Placer { snapshot, verdict: spot.verdict };
    let view = View::new(&spot.anatomy.analysis, &spot.anatomy.lines);
    let mut effects: BTreeMap<u32, Effect> = BTreeMap::new();
    let insns = &spot.anatomy.analysis.insns;
    for id in (0..insns.n_real()).map(InsnId::from_index) {
        if spot.anatomy.analysis.states.state(id).is_none() || view.is_replacement(id) {
            continue;
        }
        let place = view.source_line(id);
        let (Some(file), Some(line)) = (place.file, place.line) else { continue };
        if placer.file(&file) == path {
            collect(
                &view,
                id,
                effects.entry(line).or_insert(Effect { before: None, after: None, depth_at_call: None }),
            );
        }
    }
    let wanted = params.range.start.line..=params.range.end.line;
    let mut hints = Vec::new();
    for (line, effect) in effects {
        let range = placer.range(path, line, None);
        if !wanted.contains(&range.end.line) {
            continue;
        }
        if let Some(after) =
            effect.after.filter(|after| assembly && effect.before.as_ref().and_then(Option::as_ref) != Some(after))
        {
            hints.push(hint(range.end, format!("cfa = {after}"), "How the CFA is computed behind this line"));
        }
        if let Some(depth) = effect.depth_at_call {
            hints.push(hint(range.end, format!("{depth} bytes deep"), "Bytes of stack in use at the call"));
        }
    }
    Some(hints)
}

fn collect(view: &View<'_>, id: InsnId, effect: &mut Effect) {
    let analysis = view.analysis;
    let cfa_at = |id: InsnId| {
        let cfa = analysis.states.state(id)?.cfa;
        (cfa.base != crate::cfi::Base::UNDEFINED).then(|| format!("{}{:+}", cfa.base.name(), cfa.offset))
    };
    effect.before.get_or_insert_with(|| cfa_at(id));
    let ends = matches!(analysis.insns.kind(id), Kind::Return | Kind::JumpUnconditional | Kind::JumpDynamic);
    if let Some(next) = analysis.flow.next(&analysis.insns, id).filter(|_| !ends) {
        effect.after = cfa_at(next);
    }
    if matches!(analysis.insns.kind(id), Kind::Call | Kind::CallDynamic) {
        // Tracing's call is the compiler's; entry code has no frame that could be deep.
        let is_traced = analysis.flow.callee(id).is_some_and(|callee| is_tracer(analysis.image.symbol_name(callee)));
        let state = analysis.states.state(id).filter(|state| {
            !is_traced && state.stack_size > 0 && words::special_frame(state, analysis.kernel).is_none()
        });
        effect.depth_at_call = effect.depth_at_call.max(state.map(|state| state.stack_size));
    }
}

fn hint(position: Position, label: String, tooltip: &str) -> InlayHint {
    InlayHint {
        position,
        label: InlayHintLabel::String(label),
        kind: None,
        text_edits: None,
        tooltip: Some(InlayHintTooltip::String(tooltip.to_owned())),
        padding_left: Some(true),
        padding_right: None,
        data: None,
    }
}
