//! `textDocument/completion` and `signatureHelp` for assembly.
//!
//! In: [`Snapshot`], a position.  Out: words that fit there, those of the text first; the parameters of the macro at hand.

use std::collections::BTreeMap;

use tower_lsp::lsp_types::*;

use crate::assembly::expand::{macro_arguments, split_word};
use crate::assembly::preprocess::Preprocessed;
use crate::assembly::vocabulary::{self, Word};
use crate::assembly::{Definition, DefinitionKind};

use super::super::super::assembly::includes::{Search, preprocessed};
use super::super::super::assembly::view::View;
use super::super::super::snapshot::Snapshot;

/// More words than these are cut off; the client asks again as the word grows.
const MAX_ITEMS: usize = 300;

/// `textDocument/completion`
pub fn completion(snapshot: &Snapshot, params: &CompletionParams) -> Option<CompletionResponse> {
    let at = &params.text_document_position;
    let view = View::of(snapshot, &at.text_document.uri)?;
    let line = at.position.line as usize;
    let code = view.parsed.source.line(line);
    let column = view.document.text.column(at.position, view.encoding());
    let before = code.get(..column)?;
    let raw = view.document.text.line(at.position.line).get(..column)?;
    // Within a comment there is nothing to complete.
    if before.trim_end() != raw.trim_end() && !raw.trim_end().ends_with('\\') {
        return None;
    }
    let mut list = List { view: &view, prefix: "", items: BTreeMap::new(), replaced: Range::default() };
    list.fill(line, before)?;
    let prefix_start = column - list.prefix.len();
    list.replaced = view.range(line, prefix_start, list.prefix.len());
    Some(CompletionResponse::List(list.finish()))
}

/// Words by how near they are, then by name.
struct List<'a> {
    view: &'a View<'a>,
    prefix: &'a str,
    items: BTreeMap<(u8, String), Item>,
    replaced: Range,
}

struct Item {
    kind: CompletionItemKind,
    detail: String,
    text: Option<&'static str>,
}

impl<'a> List<'a> {
    fn add(&mut self, near: u8, name: &str, kind: CompletionItemKind, detail: String) {
        let fits = name.get(..self.prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.prefix));
        if fits && name != self.prefix && !self.items.keys().any(|(other, own)| *other < near && own == name) {
            let text = vocabulary::named(name).map(|word| word.meaning);
            self.items.entry((near, name.to_owned())).or_insert(Item { kind, detail, text });
        }
    }

    fn word(&mut self, near: u8, word: &Word, kind: CompletionItemKind) {
        self.add(near, word.name, kind, format!("{} {}", word.name, word.takes).trim().to_owned());
    }

    fn fill(&mut self, line: usize, before: &'a str) -> Option<()> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
        let start = before.rfind(|c: char| !is_word(c)).map_or(0, |at| at + 1);
        self.prefix = &before[start..];
        let ahead = &before[..start];
        if self.view.parsed.source.kind(line).is_directive() && self.directive(ahead, before) {
            return Some(());
        }
        if ahead.ends_with('%') {
            vocabulary::registers()
                .for_each(|name| self.add(0, &name, CompletionItemKind::VARIABLE, "register".to_owned()));
            return Some(());
        }
        if ahead.ends_with('\\') {
            let outline = &self.view.parsed.outline;
            let within = outline.macro_at(line).and_then(|at| outline.definitions.get(at))?;
            for parameter in &within.parameters {
                self.add(0, &parameter.name, CompletionItemKind::VARIABLE, parameter.written());
            }
            return Some(());
        }
        // The statement so far: alternatives are statements within strings.
        let inner = ahead.rfind([';', '"']).map_or(ahead, |at| &ahead[at + 1..]);
        let statement = inner.rsplit_once(": ").map_or(inner, |(_, rest)| rest).trim_start();
        let done = preprocessed(self.view);
        if statement.trim_end_matches(':').is_empty() || statement.trim_end().ends_with(':') {
            self.statement(&done);
        } else {
            self.operand(&done, line, statement, ahead);
        }
        Some(())
    }

    /// What may begin a statement.
    fn statement(&mut self, done: &Preprocessed) {
        if self.prefix.starts_with('.') {
            vocabulary::DIRECTIVES.iter().for_each(|word| self.word(1, word, CompletionItemKind::KEYWORD));
        }
        for found in &self.view.parsed.outline.definitions {
            if matches!(found.kind, DefinitionKind::Macro) {
                self.add(0, &found.name, CompletionItemKind::FUNCTION, found.signature());
            }
        }
        let included: Vec<(String, String, bool)> = done
            .names()
            .filter(|name| name.len() > self.prefix.len() && !self.prefix.is_empty())
            .filter(|name| name.get(..self.prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.prefix)))
            .filter_map(|name| {
                done.macros(name).first().map(|(_, found)| (name.to_owned(), found.signature(), is_statement(found)))
            })
            .collect();
        for (name, signature, _) in included.iter().filter(|(_, _, is_statement)| *is_statement) {
            self.add(2, name, CompletionItemKind::FUNCTION, signature.clone());
        }
        vocabulary::MACROS.iter().for_each(|word| self.word(1, word, CompletionItemKind::FUNCTION));
    }

    fn operand(&mut self, done: &Preprocessed, line: usize, statement: &str, ahead: &str) {
        let (word, _) = split_word(statement);
        let outline = &self.view.parsed.outline;
        if word.starts_with("SYM_") && word.contains("_END") {
            let open = outline.definitions.iter().rev().find(|found| found.line < line && begins_symbol(found));
            if let Some(open) = open {
                self.add(0, &open.name, CompletionItemKind::FUNCTION, open.kind.word().to_owned());
            }
            return;
        }
        if let Some(found) = self.view.find_macro(done, word) {
            for parameter in &found.definition.parameters {
                self.add(0, &format!("{}=", parameter.name), CompletionItemKind::FIELD, parameter.written());
            }
        }
        let scope = outline.macro_at(line);
        for found in &outline.definitions {
            let (near, kind) = match found.kind {
                DefinitionKind::Local | DefinitionKind::Label | DefinitionKind::Inner => {
                    (1, CompletionItemKind::REFERENCE)
                }
                DefinitionKind::Function | DefinitionKind::Code | DefinitionKind::Alias => {
                    (1, CompletionItemKind::FUNCTION)
                }
                DefinitionKind::Data => (1, CompletionItemKind::VARIABLE),
                DefinitionKind::Constant | DefinitionKind::Define => (1, CompletionItemKind::CONSTANT),
                DefinitionKind::Macro | DefinitionKind::Numeric | DefinitionKind::Alternative => continue,
            };
            if found.in_macro.is_none() || found.in_macro == scope {
                self.add(near, &found.name, kind, found.kind.word().to_owned());
            }
        }
        // The features of an alternative; other constants once the word has begun.
        let of_alternative = word.starts_with("ALTERNATIVE") && ahead.matches('"').count().is_multiple_of(2);
        let start = match (of_alternative, self.prefix.len()) {
            (true, 0) => "X86_FEATURE_",
            (_, 0) => return,
            _ => self.prefix,
        };
        let constants: Vec<String> = done
            .defined()
            .filter(|name| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)))
            .map(str::to_owned)
            .collect();
        for name in constants {
            let detail = done.text(&name).unwrap_or("macro").to_owned();
            self.add(2, &name, CompletionItemKind::CONSTANT, detail);
        }
    }

    /// The preprocessor's words, and files to include. Whether there is nothing else to add.
    fn directive(&mut self, ahead: &'a str, before: &'a str) -> bool {
        let bare = ahead.trim_start();
        if bare.trim_end() == "#" {
            for word in ["define", "elif", "else", "endif", "error", "if", "ifdef", "ifndef", "include", "undef"] {
                self.add(0, word, CompletionItemKind::KEYWORD, String::new());
            }
            return true;
        }
        let Some(rest) = bare.strip_prefix('#').map(str::trim_start).and_then(|rest| rest.strip_prefix("include"))
        else {
            return false;
        };
        let quoted = rest.trim_start().starts_with('"');
        let Some(open) = before.find(['"', '<']) else { return true };
        let typed = &before[open + 1..];
        let (folder, name) = typed.rsplit_once('/').map_or(("", typed), |(folder, name)| (folder, name));
        self.prefix = name;
        let search = Search::of(self.view);
        let beside = self.view.path.parent().filter(|_| quoted);
        let folders: Vec<_> =
            beside.into_iter().chain(search.folders().iter().map(std::path::PathBuf::as_path)).collect();
        for place in folders {
            for entry in std::fs::read_dir(place.join(folder)).into_iter().flatten().flatten().take(4 * MAX_ITEMS) {
                let file = entry.file_name().to_string_lossy().into_owned();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        self.add(1, &format!("{file}/"), CompletionItemKind::FOLDER, String::new())
                    }
                    _ if file.ends_with(".h") || file.ends_with(".S") => {
                        self.add(0, &file, CompletionItemKind::FILE, String::new());
                    }
                    _ => {}
                }
            }
        }
        true
    }

    fn finish(self) -> CompletionList {
        let is_incomplete = self.items.len() > MAX_ITEMS || self.prefix.is_empty();
        let markdown = self.view.snapshot.session.markdown;
        let items = self.items.into_iter().take(MAX_ITEMS).map(|((near, name), item)| CompletionItem {
            sort_text: Some(format!("{near}{name}")),
            kind: Some(item.kind),
            detail: (!item.detail.is_empty()).then_some(item.detail),
            documentation: item.text.map(|text| match markdown {
                true => {
                    Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value: text.to_owned() })
                }
                false => Documentation::String(text.to_owned()),
            }),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit { range: self.replaced, new_text: name.clone() })),
            label: name,
            ..CompletionItem::default()
        });
        CompletionList { is_incomplete, items: items.collect() }
    }
}

fn begins_symbol(found: &Definition) -> bool {
    matches!(found.kind, DefinitionKind::Function | DefinitionKind::Code | DefinitionKind::Data)
}

/// Whether a macro of a header may stand for a statement: one of the assembler, or one of the preprocessor that is written in
/// several lines.
fn is_statement(found: &Definition) -> bool {
    let has_mnemonic = |value: &String| value.contains(['%', ';']) || value.starts_with('.');
    found.kind == DefinitionKind::Macro
        || (found.kind == DefinitionKind::Define
            && (found.last > found.line || found.value.as_ref().is_some_and(has_mnemonic)))
}

/// `textDocument/signatureHelp`: the macro that the statement under the cursor uses.
pub fn signature_help(snapshot: &Snapshot, params: &SignatureHelpParams) -> Option<SignatureHelp> {
    let at = &params.text_document_position_params;
    let view = View::of(snapshot, &at.text_document.uri)?;
    let source = &view.parsed.source;
    let column = view.document.text.column(at.position, view.encoding());
    let line = at.position.line as usize;
    // A statement may have begun on an earlier line.
    let first = source.first_of(line.min(source.n_lines().saturating_sub(1)));
    let mut text: String = (first..line).map(|line| source.line(line)).collect::<Vec<_>>().join(" ");
    text.push(' ');
    text.push_str(source.line(line).get(..column)?);
    let statement = crate::assembly::lines::pieces(&text).into_iter().next_back()?;
    if statement.is_label {
        return None;
    }
    let (word, rest) = split_word(statement.text);
    if statement.text.len() == word.len() && !text.ends_with(|c: char| c.is_whitespace()) {
        return None;
    }
    let done = preprocessed(&view);
    let (head, parameters) = match view.find_macro(&done, word) {
        Some(found) if !found.definition.parameters.is_empty() => {
            let written = found.definition.parameters.iter().map(|one| one.written()).collect::<Vec<_>>();
            (found.definition.signature(), written)
        }
        _ => {
            let known = vocabulary::named(word).filter(|known| !known.takes.is_empty())?;
            let separator = if known.takes.contains(", ") { ", " } else { " " };
            let list = known.takes.split(separator).map(str::to_owned).collect();
            (format!("{} {}", known.name, known.takes), list)
        }
    };
    let active = active(rest.trim_start_matches('('), &parameters, text.ends_with([' ', '\t', ',']));
    let documentation = vocabulary::named(word).map(|known| Documentation::String(known.meaning.to_owned()));
    let labels = parameters
        .into_iter()
        .map(|label| ParameterInformation { label: ParameterLabel::Simple(label), documentation: None });
    Some(SignatureHelp {
        signatures: vec![SignatureInformation {
            label: head,
            documentation,
            parameters: Some(labels.collect()),
            active_parameter: Some(active),
        }],
        active_signature: Some(0),
        active_parameter: Some(active),
    })
}

/// The parameter that the last of the arguments so far is for.
fn active(arguments: &str, parameters: &[String], begins_next: bool) -> u32 {
    let given = macro_arguments(arguments);
    let name = |written: &String| written.split([':', '=']).next().unwrap_or_default().to_owned();
    let mut at = 0;
    for (number, argument) in given.iter().enumerate() {
        let named =
            argument.split_once('=').and_then(|(own, _)| parameters.iter().position(|one| name(one) == own.trim()));
        at = named.unwrap_or(if number == 0 { 0 } else { at + 1 });
    }
    let next = usize::from(begins_next && !given.is_empty());
    u32::try_from((at + next).min(parameters.len().saturating_sub(1))).unwrap_or(0)
}
