//! Prints what is known of objtool's lines.
//!
//! In: [`Answer`]s.  Out: text for people, for quickfix lists and problem matchers, for GitHub Actions.

use super::answers::{Answer, Status};
use crate::cli::output::{BOLD, CODE};
use crate::findings::Level;

/// What is put under a line for people.
pub(super) fn text(answer: &Answer) -> String {
    let mut text = answer.drawn.trim_end().to_owned();
    if !text.is_empty() {
        text.push('\n');
    }
    if let Some(note) = &answer.note {
        text.push_str(&format!("   = {BOLD}note{BOLD:#}: {note}\n"));
    }
    if let (None, Some(code)) = (&answer.finding, answer.code)
        && answer.status != Status::Found
    {
        let entry = code.entry();
        text.push_str(&format!("   = {BOLD}what it means{BOLD:#}: {}\n", entry.meaning().replace('\n', " ")));
        text.push_str(&format!("   = {BOLD}help{BOLD:#}: {CODE}orcls explain {code}{CODE:#} says more\n"));
    }
    if let Some(fix) = &answer.fix
        && (answer.finding.is_some() || answer.status != Status::Found)
    {
        text.push_str(&format!("   = {BOLD}what to do{BOLD:#}: {fix}\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The line of an error file; objtool's own, with what is to be said, where there is no place.
pub(super) fn errorfile(answer: &Answer, line: &str) -> String {
    let Some((finding, place)) = answer.finding.as_ref().zip(answer.place.as_ref()) else {
        let line = line.trim_end();
        return match &answer.note {
            Some(note) => format!("{line} [orcls: {}]\n", note.replace('\n', " ")),
            None => format!("{line}\n"),
        };
    };
    let note = answer.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    let (file, at, column) = (&place.file, place.line, place.column);
    let message = finding.message.replace('\n', " ");
    format!("{file}:{at}:{column}: {}: {message} [{}]{note}\n", word(answer.level), finding.code)
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// An annotation of GitHub Actions ("Workflow commands", "Setting a warning message").
pub(super) fn github(answer: &Answer) -> String {
    let mut properties = Vec::new();
    if let Some(place) = &answer.place {
        let file = property(&place.file);
        properties.push(format!("file={file},line={},col={}", place.line, place.column));
    }
    let title = answer.code.map_or_else(|| "objtool".to_owned(), |code| code.to_string());
    properties.push(format!("title={}", property(&title)));
    let mut message = match &answer.finding {
        Some(finding) => format!("{}\nobjtool: {}", finding.message, answer.objtool),
        None => format!("{}: {}", answer.object, answer.objtool),
    };
    if let Some(note) = &answer.note {
        message.push_str(&format!("\nnote: {note}"));
    }
    format!("::{} {}::{}\n", word(answer.level), properties.join(","), data(&message))
}

/// The text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A value before the text of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
