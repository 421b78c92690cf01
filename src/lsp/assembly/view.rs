//! An open document of assembly, and places in it and in other files.
//!
//! In: [`Snapshot`], a document.  Out: [`View`], ranges and locations.
//! Holds afterwards: ranges are in the client's columns.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tower_lsp::lsp_types::{Location, Position, Range, Url};

use crate::assembly::condition::Known;
use crate::assembly::expand::Found;
use crate::assembly::names::{Name, name_at};
use crate::assembly::preprocess::{Parsed, Part, Preprocessed};
use crate::assembly::{Definition, DefinitionKind, is_assembly_name};

use super::super::documents::Document;
use super::super::position::{Encoding, Text};
use super::super::snapshot::Snapshot;

/// Whether a header holds macros of the assembler and no C: `arch/x86/entry/calling.h`.
fn is_assembly_header(path: &Path, parsed: &Parsed) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let has_macros = || parsed.outline.definitions.iter().any(|found| found.kind == DefinitionKind::Macro);
    let is_c = |line: &str| {
        ["static ", "extern ", "struct ", "typedef ", "enum ", "union ", "void ", "}"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    matches!(ending, Some("h" | "inc"))
        && has_macros()
        && !(0..parsed.source.n_lines()).any(|line| is_c(parsed.source.line(line)))
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 0.
    pub line: usize,
    /// The first byte of the line.
    pub column: usize,
    /// How many bytes.
    pub length: usize,
}

impl Place {
    /// The place of a definition's name.
    pub fn of(path: &Path, definition: &Definition) -> Place {
        Place { path: path.to_owned(), line: definition.line, column: definition.column, length: definition.name.len() }
    }
}

/// An open document of assembly.
pub struct View<'a> {
    /// The state of the server.
    pub snapshot: &'a Snapshot,
    /// The document.
    pub document: &'a Arc<Document>,
    /// Its file.
    pub path: &'a Path,
    /// What is written in it.
    pub parsed: Arc<Parsed>,
}

impl<'a> View<'a> {
    /// The document of this name, if it is assembly.
    pub fn of(snapshot: &'a Snapshot, uri: &Url) -> Option<View<'a>> {
        let document = snapshot.documents.get(uri)?;
        let path = document.path.as_deref()?;
        if is_assembly_name(path) {
            return Some(View { snapshot, document, path, parsed: document.parsed() });
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !matches!(ending, Some("h" | "inc")) {
            return None;
        }
        let parsed = document.parsed();
        is_assembly_header(path, &parsed).then_some(View { snapshot, document, path, parsed })
    }

    /// The name under a position.
    pub fn name_at(&self, at: Position) -> Option<(usize, Name<'_>)> {
        let column = self.document.text.column(at, self.encoding());
        let line = at.line as usize;
        Some((line, name_at(self.parsed.source.line(line), column)?))
    }

    /// The client's unit of columns.
    pub fn encoding(&self) -> Encoding {
        self.snapshot.session.encoding
    }

    /// The workspace folders; without any, the folder of the text.
    pub fn roots(&self) -> Vec<PathBuf> {
        match self.snapshot.session.roots.as_slice() {
            [] => self.path.parent().map(Path::to_owned).into_iter().collect(),
            roots => roots.to_vec(),
        }
    }

    /// A range within a line of the document.
    pub fn range(&self, line: usize, column: usize, length: usize) -> Range {
        span(&self.document.text, line, column, length, self.encoding())
    }

    /// The lines from `first` to the end of `last`.
    pub fn lines(&self, first: usize, last: usize) -> Range {
        let text = &self.document.text;
        let end = u32::try_from(last).unwrap_or(u32::MAX).min(text.n_lines().saturating_sub(1));
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        Range::new(Position::new(first, 0), text.in_line(end, text.line(end).len(), self.encoding()))
    }

    /// Whether a definition of the document is in lines that the preprocessor keeps.
    pub fn kept(&self, preprocessed: &Preprocessed, line: usize) -> bool {
        preprocessed.parts.first().is_none_or(|part| part.kept(line) != Known::No)
    }

    /// The locations of places, in the client's columns.
    pub fn locations(&self, places: &[Place]) -> Vec<Location> {
        // Many places are in one file.
        let mut locations = Vec::new();
        for of_file in places.chunk_by(|a, b| a.path == b.path) {
            let Some((uri, text)) = of_file.first().and_then(|place| self.text_of(&place.path)) else { continue };
            locations.extend(of_file.iter().map(|place| {
                let range = span(&text, place.line, place.column, place.length, self.encoding());
                Location { uri: uri.clone(), range }
            }));
        }
        locations
    }

    /// The location of a place.
    pub fn location(&self, place: &Place) -> Option<Location> {
        self.locations(std::slice::from_ref(place)).pop()
    }

    /// A file as the client names it, and its text.
    fn text_of(&self, path: &Path) -> Option<(Url, Arc<Text>)> {
        let snapshot = self.snapshot;
        match snapshot.documents.of_path(path) {
            Some(document) => Some((document.uri.clone(), Arc::clone(&document.text))),
            None => Some((Url::from_file_path(path).ok()?, snapshot.assembly.text(path)?)),
        }
    }

    /// The macro of a name that counts in the document.
    pub fn find_macro<'m>(&'m self, preprocessed: &'m Preprocessed, name: &str) -> Option<Found<'m>> {
        let is_macro = |found: &&Definition| matches!(found.kind, DefinitionKind::Macro | DefinitionKind::Define);
        let own = self.parsed.outline.named(name).filter(is_macro).filter(|found| self.kept(preprocessed, found.line));
        if let Some(definition) = own.last() {
            let kept = preprocessed.parts.first().map_or(&[][..], Part::kept_lines);
            return Some(Found { path: self.path, source: &self.parsed.source, definition, kept });
        }
        let included = preprocessed.macros(name).into_iter().find(|(part, _)| part.path != self.path);
        included.map(|(part, definition)| Found {
            path: &part.path,
            source: &part.parsed.source,
            definition,
            kept: part.kept_lines(),
        })
    }
}

fn span(text: &Text, line: usize, column: usize, length: usize, encoding: Encoding) -> Range {
    let line = u32::try_from(line).unwrap_or(u32::MAX);
    Range::new(text.in_line(line, column, encoding), text.in_line(line, column + length, encoding))
}
