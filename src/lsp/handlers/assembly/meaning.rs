//! What a word of a text of assembly means: annotations, macros, labels, constants.
//!
//! In: [`View`], a position.  Out: [`Told`], which a hover shows; nothing of words that mean nothing to orcls.

use tower_lsp::lsp_types::Position;

use crate::assembly::names::NameKind;
use crate::assembly::vocabulary;
use crate::assembly::{Definition, DefinitionKind, Source};

use super::super::super::assembly::includes::preprocessed;
use super::super::super::assembly::view::View;

/// Lines of a comment above a definition that are shown.
const MAX_COMMENT: usize = 16;
/// Longer texts of constants are cut.
const MAX_VALUE: usize = 120;

/// What is told of a word.
pub struct Told {
    /// As it is written.
    pub code: Option<String>,
    /// What it means, in orcls's words.
    pub meaning: Option<String>,
    /// The comment above it, in the words of its file.
    pub comment: Vec<String>,
    /// What it is and where; may be empty.
    pub place: String,
}

/// What the word at a position means.
pub fn meaning(view: &View<'_>, at: Position) -> Option<Told> {
    let (_, name) = view.name_at(at)?;
    if name.kind != NameKind::Word {
        return None;
    }
    let known = vocabulary::named(name.text).map(|word| word.meaning.to_owned());
    let done = preprocessed(view);
    if let Some(found) = view.find_macro(&done, name.text) {
        let text = view.snapshot.assembly.text(found.path).filter(|_| found.path != view.path);
        let comment = match &text {
            Some(text) => comment_above(found.source, found.definition.line, &|line| text.line(line).to_owned()),
            None => {
                let own = |line| view.document.text.line(line).to_owned();
                if found.path == view.path {
                    comment_above(found.source, found.definition.line, &own)
                } else {
                    Vec::new()
                }
            }
        };
        let place = place(view, found.path, found.definition);
        return Some(Told { code: Some(head(found.definition)), meaning: known, comment, place });
    }
    if let Some(known) = known {
        let word = vocabulary::named(name.text)?;
        return Some(Told {
            code: Some(format!("{} {}", word.name, word.takes).trim().to_owned()),
            meaning: Some(known),
            comment: Vec::new(),
            place: String::new(),
        });
    }
    let is_told = |found: &&Definition| {
        !matches!(found.kind, DefinitionKind::Alternative | DefinitionKind::Numeric | DefinitionKind::Macro)
    };
    let found = view.parsed.outline.named(name.text).find(is_told)?;
    let within = view.parsed.outline.symbol_at(found.line).filter(|around| around.name != found.name);
    let within = within.map_or(String::new(), |around| format!(" in {}", around.name));
    let value = found.value.as_ref().map_or(String::new(), |value| format!(" = {value}"));
    let told = format!("{} {}{value}, {}{within}", found.kind.word(), found.name, place(view, view.path, found));
    Some(Told { code: None, meaning: None, comment: Vec::new(), place: told })
}

/// The head of a macro, with the value of one that has no parameters.
fn head(definition: &Definition) -> String {
    let value = definition.value.as_ref().filter(|value| !value.is_empty() && definition.last == definition.line);
    let value = value.map_or(String::new(), |value| format!(" {}", value.chars().take(MAX_VALUE).collect::<String>()));
    format!("{}{value}", definition.signature())
}

fn place(view: &View<'_>, path: &std::path::Path, definition: &Definition) -> String {
    match path == view.path {
        true => format!("line {}", definition.line + 1),
        false => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            format!("{name}:{}", definition.line + 1)
        }
    }
}

/// The comment that ends in the line above a definition, without its marks.
fn comment_above(source: &Source, line: usize, text: &dyn Fn(u32) -> String) -> Vec<String> {
    let above = source.comments().iter().find(|comment| comment.end == line);
    let Some(comment) = above else { return Vec::new() };
    let lines = comment.clone().filter_map(|line| u32::try_from(line).ok()).map(text);
    let bare = lines.map(|line| {
        let line = line.trim().trim_start_matches("/**").trim_start_matches("/*").trim_end_matches("*/").to_owned();
        line.trim().trim_start_matches('*').trim().to_owned()
    });
    bare.filter(|line| !line.is_empty()).take(MAX_COMMENT).collect()
}
