//! Objects that define nothing.

use super::Told;
use super::scene::Suspect;
use crate::findings::Fault;
use crate::report::CauseKind;

/// A build that leaves the whole file out.
pub(super) fn nothing_defined(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::BadObject { text } = &suspect.finding.fault else { return None };
    let image = suspect.image();
    let defines = image.symbols().any(|(_, symbol)| !symbol.is_undefined() && !symbol.is_section());
    let has_code = image.sections().any(|(_, section)| section.is_code() && section.size > 0);
    if defines || has_code || !(text.contains("symtab") || text.contains("symbol")) {
        return None;
    }
    let says =
        "the file defines nothing in this build: the object has no symbols, which this release's objtool refuses";
    let told = Told::new(CauseKind::NothingDefined, says.to_owned());
    let Some((file, source)) = suspect.main_text() else { return Some(told) };
    let is_condition = |line: &&String| line.trim_start().starts_with("#if");
    let is_guard = |line: &str| line.trim_start().starts_with("#ifndef __ASSEMBL");
    let at = source.lines.iter().position(|line| is_condition(&line) && !is_guard(line));
    let Some(at) = at else { return Some(told) };
    let line = (file, at as u32 + 1);
    let condition = source.lines[at].trim().to_owned();
    let message = format!(
        "the file defines nothing in this build (`{condition}` at line {} leaves its code out): the object has no symbols, \
         which this release's objtool refuses",
        line.1
    );
    let told = Told { message, ..told };
    let remark = suspect.remark(&line, "this condition leaves the code out in this configuration");
    Some(told.about(condition).with([remark]).on(Some(line)))
}
