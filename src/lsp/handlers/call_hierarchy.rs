//! The call hierarchy of assembly, with the depth of the stack at each call.
//!
//! In: [`Snapshot`], a place or a function.  Out: its callers and callees, in the order of their addresses.
//! Holds afterwards: calls are those of the objects of open files; in C the hierarchy is left to others, but functions of C
//! are shown where assembly calls them or is called by them.

use std::path::PathBuf;

use rustc_hash::FxHashMap;
use serde_json::json;
use tower_lsp::lsp_types::*;

use crate::ids::SymbolId;
use crate::report::calls::Call;
use crate::report::demangled;
use crate::report::summary::words_of;
use crate::report::view::{SourceLine, View as CodeView};

use super::super::assembly::view::View;
use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::super::verdict::{Anatomy, Verdict};
use super::tables::spots;

/// `textDocument/prepareCallHierarchy`
pub fn prepare(snapshot: &Snapshot, params: &CallHierarchyPrepareParams) -> Option<Vec<CallHierarchyItem>> {
    let at = &params.text_document_position_params;
    let view = View::of(snapshot, &at.text_document.uri)?;
    let named = view.name_at(at.position).map(|(_, name)| name.text.to_owned());
    let around = view.parsed.outline.symbol_at(at.position.line as usize).map(|found| found.name.clone());
    let all = spots(snapshot, &at.text_document.uri, None);
    for spot in &all {
        let unit = Object::new(snapshot, spot.verdict, spot.anatomy);
        let symbol = named.iter().chain(&around).find_map(|name| unit.symbol(name));
        if let Some(symbol) = symbol {
            return unit.item(symbol, None).map(|item| vec![item]);
        }
    }
    None
}

/// An object of an open file.
struct Object<'a> {
    placer: Placer<'a>,
    anatomy: &'a Anatomy,
    code: CodeView<'a>,
}

impl<'a> Object<'a> {
    fn new(snapshot: &'a Snapshot, verdict: &'a Verdict, anatomy: &'a Anatomy) -> Object<'a> {
        let code = CodeView::new(&anatomy.analysis, &anatomy.lines);
        Object { placer: Placer { snapshot, verdict }, anatomy, code }
    }

    /// All open files whose objects are known.
    fn all(snapshot: &'a Snapshot) -> impl Iterator<Item = Object<'a>> {
        snapshot.units.iter().filter_map(move |unit| {
            let verdict = unit.last.as_ref()?;
            Some(Object::new(snapshot, verdict, verdict.anatomy.as_ref()?))
        })
    }

    fn symbol(&self, name: &str) -> Option<SymbolId> {
        let analysis = &self.anatomy.analysis;
        analysis.symbols.by_name(&analysis.image, name).filter(|symbol| {
            let calls = || self.anatomy.calls();
            let is_used = || calls().to(*symbol).next().is_some() || calls().from(*symbol).next().is_some();
            analysis.image.symbol(*symbol).is_function() || is_used()
        })
    }

    /// The function as the client gets it; `detail` says how deep a call is.
    fn item(&self, symbol: SymbolId, detail: Option<String>) -> Option<CallHierarchyItem> {
        let analysis = &self.anatomy.analysis;
        let name = analysis.image.symbol_name(symbol);
        let summary = self.anatomy.functions().iter().find(|summary| summary.symbol == symbol);
        let first = || {
            let first = analysis.insns.at(analysis.image.symbol(symbol).place()?)?;
            Some(self.code.source_line(first))
        };
        let line = summary.map(|summary| SourceLine { file: summary.file.clone(), line: summary.line }).or_else(first);
        let place = line.and_then(|line| Some((self.placer.file(line.file.as_deref()?), line.line?)));
        let (file, range) = match place {
            Some((file, line)) => {
                let range = self.placer.range(&file, line, None);
                (file, range)
            }
            // A function of another object: an open file may have it.
            None => elsewhere(self.placer.snapshot, name)
                .unwrap_or_else(|| (self.placer.verdict.source.clone(), Range::default())),
        };
        let detail = detail.or_else(|| summary.map(words_of));
        Some(CallHierarchyItem {
            name: demangled(name),
            kind: SymbolKind::FUNCTION,
            tags: None,
            detail,
            uri: self.placer.uri(&file)?,
            range,
            selection_range: range,
            data: Some(json!(name)),
        })
    }

    /// Where a call is, in the texts at hand.
    fn range(&self, call: &Call) -> Option<(PathBuf, Range)> {
        let place = self.code.source_line(call.insn);
        let file = self.placer.file(place.file.as_deref()?);
        let range = self.placer.range(&file, place.line?, None);
        Some((file, range))
    }

    /// `24 bytes deep, noinstr, user access open`
    fn words(&self, calls: &[&Call]) -> String {
        let analysis = &self.anatomy.analysis;
        let deepest = calls.iter().filter_map(|call| call.depth).max();
        let mut words = vec![match deepest {
            Some(1) => "1 byte deep".to_owned(),
            Some(depth) => format!("{depth} bytes deep"),
            None => "depth unknown".to_owned(),
        }];
        let of_section = |call: &&&Call| {
            let section = analysis.insns.section_of(call.insn);
            self.code.section_name(section).contains("noinstr") || self.code.section_name(section) == ".entry.text"
        };
        if calls.iter().any(|call| of_section(&call)) {
            words.push("noinstr".to_owned());
        }
        if calls.iter().any(|call| call.user_access) {
            words.push("user access open".to_owned());
        }
        if calls.iter().all(|call| call.is_tail) {
            words.push("by a jump".to_owned());
        }
        words.join(", ")
    }
}

/// Where an open file has a function.
fn elsewhere(snapshot: &Snapshot, name: &str) -> Option<(PathBuf, Range)> {
    Object::all(snapshot).find_map(|object| {
        let summary = object.anatomy.functions().iter().find(|summary| summary.function == name)?;
        let file = object.placer.file(summary.file.as_deref()?);
        let range = object.placer.range(&file, summary.line?, None);
        Some((file, range))
    })
}

fn name_of(item: &CallHierarchyItem) -> String {
    item.data.as_ref().and_then(|data| data.as_str()).map_or_else(|| item.name.clone(), str::to_owned)
}

/// Calls by the function on their other end, in their order.
fn grouped(calls: Vec<Call>, other: fn(&Call) -> SymbolId) -> Vec<(SymbolId, Vec<Call>)> {
    let mut groups: Vec<(SymbolId, Vec<Call>)> = Vec::new();
    let mut places: FxHashMap<SymbolId, usize> = FxHashMap::default();
    for call in calls {
        let symbol = other(&call);
        let at = *places.entry(symbol).or_insert_with(|| {
            groups.push((symbol, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, group)) = groups.get_mut(at) {
            group.push(call);
        }
    }
    groups
}

/// `callHierarchy/incomingCalls`: callers in all objects of open files.
pub fn incoming(snapshot: &Snapshot, params: &CallHierarchyIncomingCallsParams) -> Vec<CallHierarchyIncomingCall> {
    let name = name_of(&params.item);
    let mut found = Vec::new();
    for object in Object::all(snapshot) {
        let analysis = &object.anatomy.analysis;
        let Some(symbol) = analysis.symbols.by_name(&analysis.image, &name) else { continue };
        let calls: Vec<Call> = object.anatomy.calls().to(symbol).copied().collect();
        for (caller, calls) in grouped(calls, |call| call.caller) {
            let words = object.words(&calls.iter().collect::<Vec<_>>());
            let Some(from) = object.item(caller, Some(words)) else { continue };
            let ranges = calls.iter().filter_map(|call| Some(object.range(call)?.1)).collect();
            found.push(CallHierarchyIncomingCall { from, from_ranges: ranges });
        }
    }
    found
}

/// `callHierarchy/outgoingCalls`: what the function calls, by name, also in other objects.
pub fn outgoing(snapshot: &Snapshot, params: &CallHierarchyOutgoingCallsParams) -> Vec<CallHierarchyOutgoingCall> {
    let name = name_of(&params.item);
    for object in Object::all(snapshot) {
        let analysis = &object.anatomy.analysis;
        let is_here = |symbol: &SymbolId| analysis.image.symbol(*symbol).place().is_some();
        let Some(symbol) = analysis.symbols.by_name(&analysis.image, &name).filter(is_here) else { continue };
        let calls: Vec<Call> = object.anatomy.calls().from(symbol).copied().collect();
        let mut found = Vec::new();
        for (callee, calls) in grouped(calls, |call| call.callee) {
            let words = object.words(&calls.iter().collect::<Vec<_>>());
            let Some(to) = object.item(callee, Some(words)) else { continue };
            let ranges = calls.iter().filter_map(|call| Some(object.range(call)?.1)).collect();
            found.push(CallHierarchyOutgoingCall { to, from_ranges: ranges });
        }
        return found;
    }
    Vec::new()
}
