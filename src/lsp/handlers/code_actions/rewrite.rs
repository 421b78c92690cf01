//! The last fix for an unwind table: all directives of a function, written anew from the states of its code.
//!
//! In: a finding of the rules for user space, and a way to annotate a text.  Out: a [`Fix`].
//! Holds afterwards: nothing but directives is touched; what begins and ends the table, and what names a personality routine,
//! a signal frame or the outermost frame, stays.

use crate::annotate::Annotated;
use crate::assembly::spelling::plain;
use crate::findings::Code;

use super::case::Case;
use super::patch::{Fix, Patch};

/// Directives that are no statement about the frame.
const KEPT: [&str; 9] = [
    ".cfi_startproc",
    ".cfi_endproc",
    ".cfi_sections",
    ".cfi_personality",
    ".cfi_lsda",
    ".cfi_signal_frame",
    ".cfi_return_column",
    ".cfi_undefined",
    ".cfi_label",
];

/// A text without the directives of a function.
pub(super) struct Stripped {
    /// The text.
    pub text: String,
    /// The function.
    pub name: String,
    /// Of each line which one it was.
    lines: Vec<usize>,
    removed: Vec<usize>,
}

/// Takes out the directives of the finding's function; `None` where some share a line with others.
pub(super) fn stripped(case: &Case<'_>) -> Option<Stripped> {
    let of_table = |code: Code| code.slug().starts_with("unwind-");
    if !case.assembly || !of_table(case.finding.code) {
        return None;
    }
    let name = case.finding.function.clone()?;
    let label = format!("{name}:");
    let start = case.lines.iter().position(|line| line.trim_start().starts_with(&label))?;
    let closes = |line: &str| plain(line).contains(".cfi_endproc") || line.trim_start().starts_with(".size");
    let end = case.lines.iter().skip(start).position(|line| closes(line)).map_or(case.lines.len(), |at| start + at);
    let (mut text, mut lines, mut removed) = (String::new(), Vec::new(), Vec::new());
    for (at, line) in case.lines.iter().enumerate() {
        let plain = plain(line);
        let inside = (start..end).contains(&at) && plain.contains(".cfi_");
        let is_own_line = plain.trim_start().starts_with(".cfi_") && !line.contains(';');
        if inside && !is_own_line {
            return None;
        }
        if inside && !KEPT.iter().any(|kept| plain.trim_start().starts_with(kept)) {
            removed.push(at);
            continue;
        }
        lines.push(at);
        text.push_str(line);
        text.push('\n');
    }
    // What was taken out shows how the file writes its directives.
    let shown = removed.iter().filter_map(|&at| case.lines.get(at)?.split(['/', '#', '*']).next());
    text.push_str(&shown.fold("/*\n".to_owned(), |shown, line| shown + line + "\n"));
    text.push_str("*/\n");
    Some(Stripped { text, name, lines, removed })
}

impl Stripped {
    /// The fix, if the function could be written.
    pub(super) fn fix(&self, done: &Annotated) -> Option<Fix> {
        let number = done.written.iter().position(|function| function.name == self.name)?;
        // What goes into macros is for other functions, too.
        if done.edits.iter().any(|edit| edit.function.is_none()) {
            return None;
        }
        let mut patches: Vec<Patch> = Vec::new();
        for edit in done.edits.iter().filter(|edit| edit.function == Some(number)) {
            let before = self.text.get(..edit.at)?;
            if !before.is_empty() && !before.ends_with('\n') {
                return None;
            }
            let line = before.matches('\n').count();
            let at = self.lines.get(line).copied().unwrap_or_else(|| self.lines.last().map_or(0, |last| last + 1));
            patches.push(Patch::insert(at, edit.text.lines().map(str::to_owned).collect()));
        }
        if patches.is_empty() {
            return None;
        }
        patches.extend(self.removed.iter().map(|&at| Patch::delete(at)));
        let again = if self.removed.is_empty() { "" } else { " anew" };
        Some(Fix::new(format!("Write the unwind directives of {}{again}", self.name), patches))
    }
}
