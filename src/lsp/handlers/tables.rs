//! `orcls/cfi`, `orcls/alternatives` and `orcls/orc`: the tables of the command line, for a line or all of a file of the
//! editor, or for an object.
//!
//! In: [`Snapshot`], a place.  Out: the JSON of the command of the same name, or null where nothing is known.
//! Holds afterwards: files are named as they lie on the disk, and lines are those of the text that the user sees.

use std::sync::Arc;

use serde_json::{Value, json};
use tower_lsp::lsp_types::{Position, Url};

use crate::cancel::{CancelToken, Cancelled};
use crate::ids::InsnId;
use crate::report::view::View;
use crate::report::{Select, alternatives as alternatives_of, first_rows, orc_listing};

use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::super::verdict::{Anatomy, Trouble, Verdict};
use super::{MOST_ROWS, PlaceParams};

/// A place of the text, in the words of the debug information.
pub struct Spot<'a> {
    /// The verdict that knows it.
    pub verdict: &'a Verdict,
    /// The insides of its object.
    pub anatomy: &'a Anatomy,
    /// The line, or everything of the object.
    pub select: Select,
}

impl Spot<'_> {
    /// The instructions of the line, in the order of their addresses: its own, and those of functions inlined there.
    pub fn insns(&self) -> Vec<InsnId> {
        let Some((name, line)) = &self.select.at else { return Vec::new() };
        View::new(&self.anatomy.analysis, &self.anatomy.lines).insns_of_line(name, *line)
    }

    /// The object, as a person knows it.
    pub fn object(&self) -> String {
        let object = self.verdict.build.as_ref().map_or(&self.verdict.source, |build| &build.object);
        object.display().to_string()
    }
}

/// Where a place of the text went to in the code: one spot for each open file that was made from it.
pub fn spots<'a>(snapshot: &'a Snapshot, uri: &Url, position: Option<Position>) -> Vec<Spot<'a>> {
    let Some(document) = snapshot.documents.get(uri) else {
        return Vec::new();
    };
    let Some(path) = document.path.as_deref() else {
        return Vec::new();
    };
    let of_unit = |verdict: &'a Arc<Verdict>| {
        let anatomy = verdict.anatomy.as_ref()?;
        let Some(position) = position else {
            return Some(Spot { verdict, anatomy, select: Select::default() });
        };
        let line = match verdict.versions.get(path) {
            Some(version) => document.backward(*version, position.line)?,
            None => position.line,
        };
        let name = anatomy.name(path, verdict.directory())?;
        Some(Spot { verdict, anatomy, select: Select { function: None, at: Some((name.to_string(), line + 1)) } })
    };
    snapshot.users_of(path).filter_map(|unit| unit.last.as_ref()).filter_map(of_unit).collect()
}

/// `orcls/cfi`
pub fn cfi(snapshot: &Snapshot, params: &PlaceParams, cancel: &CancelToken) -> Result<Value, Cancelled> {
    if let Some(listing) = super::unwind::cfi(snapshot, params) {
        return Ok(listing);
    }
    table(snapshot, params, cancel, |spot| {
        let listing = first_rows(&spot.object(), &spot.anatomy.analysis, &spot.anatomy.lines, &spot.select, MOST_ROWS);
        (!listing.instructions.is_empty(), serde_json::to_value(listing))
    })
}

/// `orcls/alternatives`
pub fn alternatives(snapshot: &Snapshot, params: &PlaceParams, cancel: &CancelToken) -> Result<Value, Cancelled> {
    table(snapshot, params, cancel, |spot| {
        let listing = alternatives_of(&spot.object(), &spot.anatomy.analysis, &spot.anatomy.lines, &spot.select);
        (!listing.groups.is_empty(), serde_json::to_value(listing))
    })
}

/// `orcls/orc`
pub fn orc(snapshot: &Snapshot, params: &PlaceParams, cancel: &CancelToken) -> Result<Value, Cancelled> {
    table(snapshot, params, cancel, |spot| {
        let listing = orc_listing(&spot.object(), &spot.anatomy.analysis, &spot.anatomy.lines, &spot.select);
        (listing.rows.as_ref().is_some_and(|rows| !rows.is_empty()), serde_json::to_value(listing))
    })
}

/// The first table that has rows, or an empty one; null when there is none at all.
fn table(
    snapshot: &Snapshot,
    params: &PlaceParams,
    cancel: &CancelToken,
    make: impl Fn(&Spot<'_>) -> (bool, serde_json::Result<Value>),
) -> Result<Value, Cancelled> {
    let uri = &params.text_document.uri;
    let object = object(snapshot, uri, cancel)?;
    let spots = match &object {
        Some(verdict) => verdict
            .anatomy
            .as_ref()
            .map(|anatomy| Spot { verdict, anatomy, select: Select::default() })
            .into_iter()
            .collect(),
        None => spots(snapshot, uri, params.position),
    };
    let mut empty = Value::Null;
    for spot in &spots {
        cancel.check()?;
        match make(spot) {
            (true, Ok(mut table)) => {
                lead_to_texts(&mut table, &Placer { snapshot, verdict: spot.verdict });
                return Ok(table);
            }
            (false, Ok(table)) => empty = table,
            (_, Err(error)) => tracing::warn!("a table can not be written as JSON: {error}"),
        }
    }
    Ok(empty)
}

/// Turns the places in a table, which are those of the debug information, into places in the texts at hand.
fn lead_to_texts(value: &mut Value, placer: &Placer<'_>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| lead_to_texts(item, placer)),
        Value::Object(keys) => {
            if let Some(file) = keys.get("file").and_then(Value::as_str).map(|name| placer.verdict.file(name)) {
                let line = keys.get("line").and_then(Value::as_u64).and_then(|line| u32::try_from(line).ok());
                if let Some(line) = line {
                    keys.insert("line".to_owned(), json!(placer.range(&file, line, None).start.line + 1));
                }
                keys.insert("file".to_owned(), json!(file));
            }
            keys.values_mut().filter(|value| !value.is_string()).for_each(|value| lead_to_texts(value, placer));
        }
        _ => {}
    }
}

/// The object itself, when the request names one.
fn object(snapshot: &Snapshot, uri: &Url, cancel: &CancelToken) -> Result<Option<Verdict>, Cancelled> {
    let path = uri.to_file_path().unwrap_or_default();
    let is_object = matches!(path.extension().and_then(|ending| ending.to_str()), Some("o" | "ko"));
    if !is_object || snapshot.documents.get(uri).is_some() {
        return Ok(None);
    }
    match snapshot.engine.inspect(&path, &snapshot.config, &snapshot.search(), cancel) {
        Ok(verdict) => Ok(Some(verdict)),
        Err(Trouble::Cancelled) => Err(Cancelled),
        Err(trouble) => {
            tracing::info!("{}: {trouble}", path.display());
            Ok(None)
        }
    }
}
