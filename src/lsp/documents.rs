//! The open documents, as the client last described them.
//!
//! In: didOpen, didChange, didClose.  Out: [`Document`]s with their text, version and the edits since an older version.
//! Holds afterwards: a document's text is what the client shows at that version.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;
use tower_lsp::lsp_types::{
    DidChangeTextDocumentParams, DidOpenTextDocumentParams, TextDocumentContentChangeEvent, Url,
};

use crate::assembly::preprocess::Parsed;

use super::moves::Moves;
use super::position::{Encoding, LineEdit, Text};

/// How many edits are remembered. A text that is older than that has lost its way to the current one.
const MAX_EDITS: usize = 4096;

/// One open document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name, as the client spells it.
    pub uri: Url,
    /// The file, if it is one.
    pub path: Option<PathBuf>,
    /// The client's number for the text.
    pub version: i32,
    /// The text.
    pub text: Arc<Text>,
    /// The text read as assembly, at the first question for it.
    parsed: Arc<OnceLock<Arc<Parsed>>>,
    /// Edits that changed the number of lines, each with the version that it led to, oldest first.
    edits: Arc<Vec<(i32, LineEdit)>>,
    /// Versions that are the text at hand but for where lines are, and where they went. Lines of other versions are
    /// followed edit by edit.
    same: Vec<(i32, Arc<Moves>)>,
    /// Versions older than this one have no known way to the current text.
    oldest: i32,
}

impl Document {
    /// Where a line (counted from 0) of the text at `version` is in the current one.
    pub fn forward(&self, version: i32, line: u32) -> Option<u32> {
        if let Some(moves) = self.moves(version) {
            return Some(moves.forward(line));
        }
        let known = version >= self.oldest;
        known.then(|| self.edits_since(version).fold(line, |line, edit| edit.forward(line)))
    }

    /// The line of the text at `version` that a current line came from; `None` for a line that is newer.
    pub fn backward(&self, version: i32, line: u32) -> Option<u32> {
        if let Some(moves) = self.moves(version) {
            return moves.backward(line);
        }
        if version < self.oldest {
            return None;
        }
        self.edits_since(version).rev().try_fold(line, |line, edit| edit.backward(line))
    }

    /// Where the lines of the text at `version` went, if that is the text at hand but for where its lines are.
    pub fn moves(&self, version: i32) -> Option<&Moves> {
        self.same.iter().find(|(of, _)| *of == version).map(|(_, moves)| &**moves)
    }

    /// Whether a compiler makes the same of the text at `version` as of the one at hand, as far as that is known.
    pub fn is_as_at(&self, version: i32) -> bool {
        self.version == version || self.moves(version).is_some()
    }

    /// The same document with another text, to try something out.
    pub fn with_text(&self, text: String) -> Document {
        Document { text: Arc::new(Text::new(text)), parsed: Arc::default(), ..self.clone() }
    }

    /// The text read as assembly.
    pub fn parsed(&self) -> Arc<Parsed> {
        Arc::clone(self.parsed.get_or_init(|| Arc::new(Parsed::read(self.text.as_str()))))
    }

    fn edits_since(&self, version: i32) -> impl DoubleEndedIterator<Item = &LineEdit> {
        let start = self.edits.partition_point(|(led_to, _)| *led_to <= version);
        self.edits.iter().skip(start).map(|(_, edit)| edit)
    }

    fn apply(&mut self, change: TextDocumentContentChangeEvent, version: i32, encoding: Encoding) {
        let (text, edit) = match change.range {
            Some(range) => self.text.replace(range, &change.text, encoding),
            None => replace_all(&self.text, change.text),
        };
        self.text = Arc::new(text);
        self.parsed = Arc::default();
        self.same = Vec::new();
        if edit.removed != 0 || edit.inserted != 0 {
            let edits = Arc::make_mut(&mut self.edits);
            edits.push((version, edit));
            if edits.len() > MAX_EDITS {
                let cut = MAX_EDITS / 2;
                self.oldest = edits.get(cut - 1).map_or(version, |(led_to, _)| *led_to);
                edits.drain(..cut);
            }
        }
    }
}

/// A client that sends whole texts: the lines that changed are those between the common start and the common end.
fn replace_all(old: &Text, new: String) -> (Text, LineEdit) {
    let new = Text::new(new);
    let shorter = old.n_lines().min(new.n_lines());
    let above = (0..shorter).take_while(|&i| old.line(i) == new.line(i)).count() as u32;
    let below = (1..=shorter - above)
        .take_while(|&i| old.line(old.n_lines() - i) == new.line(new.n_lines() - i))
        .count() as u32;
    let edit = LineEdit {
        first: above,
        at_line_start: true,
        removed: old.n_lines() - below - above,
        inserted: new.n_lines() - below - above,
    };
    (new, edit)
}

/// All open documents. A copy costs nothing, however many they are.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    by_uri: Arc<FxHashMap<Url, Arc<Document>>>,
    /// By file: the document opened last.
    by_path: Arc<FxHashMap<PathBuf, Url>>,
    /// Ordered by name, when somebody asks for it.
    ordered: Arc<OnceLock<Arc<[Arc<Document>]>>>,
}

impl Documents {
    /// Takes a document that the client opened. Opening it again replaces it.
    pub fn open(&mut self, params: DidOpenTextDocumentParams) -> Arc<Document> {
        let item = params.text_document;
        let document = Arc::new(Document {
            path: item.uri.to_file_path().ok(),
            uri: item.uri.clone(),
            version: item.version,
            text: Arc::new(Text::new(item.text)),
            parsed: Arc::default(),
            edits: Arc::default(),
            same: Vec::new(),
            oldest: item.version,
        });
        if let Some(path) = &document.path {
            Arc::make_mut(&mut self.by_path).insert(path.clone(), item.uri.clone());
        }
        Arc::make_mut(&mut self.by_uri).insert(item.uri, Arc::clone(&document));
        self.ordered = Arc::default();
        document
    }

    /// Applies changes in their order; `None` for a document that is not open.
    pub fn change(&mut self, params: DidChangeTextDocumentParams, encoding: Encoding) -> Option<Arc<Document>> {
        self.ordered = Arc::default();
        let slot = Arc::make_mut(&mut self.by_uri).get_mut(&params.text_document.uri)?;
        let document = Arc::make_mut(slot);
        for change in params.content_changes {
            document.apply(change, params.text_document.version, encoding);
        }
        document.version = params.text_document.version;
        Some(Arc::clone(slot))
    }

    /// Takes down where the lines of the text at `version` of an open document went.
    pub fn moved(&mut self, uri: &Url, version: i32, moves: Moves) {
        self.ordered = Arc::default();
        if let Some(slot) = Arc::make_mut(&mut self.by_uri).get_mut(uri) {
            Arc::make_mut(slot).same.push((version, Arc::new(moves)));
        }
    }

    /// Forgets a document.
    pub fn close(&mut self, uri: &Url) -> Option<Arc<Document>> {
        let closed = Arc::make_mut(&mut self.by_uri).remove(uri)?;
        self.ordered = Arc::default();
        if let Some(path) = &closed.path
            && self.by_path.get(path) == Some(uri)
        {
            let other = self.by_uri.values().find(|other| other.path == closed.path).map(|other| other.uri.clone());
            match other {
                Some(other) => Arc::make_mut(&mut self.by_path).insert(path.clone(), other),
                None => Arc::make_mut(&mut self.by_path).remove(path),
            };
        }
        Some(closed)
    }

    /// The document of this name.
    pub fn get(&self, uri: &Url) -> Option<&Arc<Document>> {
        self.by_uri.get(uri)
    }

    /// The document that shows this file.
    pub fn of_path(&self, path: &std::path::Path) -> Option<&Arc<Document>> {
        // Names differ in spelling: compare paths, not names.
        self.by_uri.get(self.by_path.get(path)?)
    }

    /// All documents, ordered by name.
    pub fn all(&self) -> Arc<[Arc<Document>]> {
        let order = || {
            let mut all: Vec<_> = self.by_uri.values().cloned().collect();
            all.sort_by(|a, b| a.uri.cmp(&b.uri));
            all.into()
        };
        Arc::clone(self.ordered.get_or_init(order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_lsp::lsp_types::{Position, Range, TextDocumentItem, VersionedTextDocumentIdentifier};

    fn opened(text: &str) -> (Documents, Url) {
        let uri = Url::parse("file:///x/a.S").expect("a valid name");
        let mut documents = Documents::default();
        let item = TextDocumentItem::new(uri.clone(), "asm".to_owned(), 1, text.to_owned());
        documents.open(DidOpenTextDocumentParams { text_document: item });
        (documents, uri)
    }

    fn edit(
        documents: &mut Documents,
        uri: &Url,
        version: i32,
        range: Option<(u32, u32)>,
        text: &str,
    ) -> Arc<Document> {
        let range = range.map(|(from, to)| Range::new(Position::new(from, 0), Position::new(to, 0)));
        let params = DidChangeTextDocumentParams {
            text_document: VersionedTextDocumentIdentifier::new(uri.clone(), version),
            content_changes: vec![TextDocumentContentChangeEvent { range, range_length: None, text: text.to_owned() }],
        };
        documents.change(params, Encoding::Utf16).expect("the document is open")
    }

    #[test]
    fn lines_move_through_several_versions() {
        let (mut documents, uri) = opened("0\n1\n2\n3\n");
        edit(&mut documents, &uri, 2, Some((1, 1)), "a\n");
        edit(&mut documents, &uri, 3, Some((0, 0)), "b\n");
        let document = edit(&mut documents, &uri, 4, Some((4, 5)), "");
        assert_eq!(document.text.as_str(), "b\n0\na\n1\n3\n");
        assert_eq!((0..4).map(|l| document.forward(1, l)).collect::<Vec<_>>(), [Some(1), Some(3), Some(4), Some(4)]);
        assert_eq!(
            (0..5).map(|l| document.backward(1, l)).collect::<Vec<_>>(),
            [None, Some(0), None, Some(1), Some(3)]
        );
        assert_eq!(document.forward(4, 2), Some(2));
    }

    #[test]
    fn whole_texts_keep_the_lines_around_the_change() {
        let (mut documents, uri) = opened("0\n1\n2\n3\n");
        let document = edit(&mut documents, &uri, 2, None, "0\n1\nx\ny\n3\n");
        assert_eq!(document.text.as_str(), "0\n1\nx\ny\n3\n");
        assert_eq!((0..4).filter_map(|l| document.forward(1, l)).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert_eq!(document.backward(1, 4), Some(3));
        let same = edit(&mut documents, &uri, 3, None, "0\n1\nx\ny\n3\n");
        assert_eq!((0..5).filter_map(|l| same.forward(2, l)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_version_that_is_too_old_has_no_lines() {
        let (mut documents, uri) = opened("0\n");
        for version in 2..(MAX_EDITS as i32 + 10) {
            edit(&mut documents, &uri, version, Some((0, 0)), "x\n");
        }
        let version = MAX_EDITS as i32 + 9;
        let document = edit(&mut documents, &uri, version + 1, Some((0, 0)), "x\n");
        assert_eq!(document.forward(1, 0), None);
        assert_eq!(document.forward(version, 3), Some(4));
    }
}
