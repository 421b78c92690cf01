//! Unwind directives by macros of a project's own: glibc's `cfi_adjust_cfa_offset (8)`, `CFI_ADJUST_CFA_OFFSET 8`.
//!
//! In: lines of assembly.  Out: the same in GNU as' words, and back in the file's.
//! Holds afterwards: what is no directive stays as it is; what a macro is to expand to is known by its name only, so that
//! whatever is written by one has to be assembled before anybody is given it.
//! Reads like: glibc's `sysdeps/generic/sysdep.h`; binutils' `gas/doc/as.texi`, "CFI directives".

use std::borrow::Cow;
use std::collections::BTreeSet;

/// The directives, without what they begin with.
const NAMES: &[&str] = &[
    "startproc",
    "endproc",
    "def_cfa",
    "def_cfa_register",
    "def_cfa_offset",
    "adjust_cfa_offset",
    "offset",
    "rel_offset",
    "register",
    "restore",
    "undefined",
    "same_value",
    "remember_state",
    "restore_state",
    "return_column",
    "signal_frame",
    "escape",
    "window_save",
    "personality",
    "lsda",
    "val_offset",
];

/// How a file spells its directives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spelling {
    /// What names begin with.
    prefix: String,
    /// Whether names are in upper case.
    upper: bool,
    /// What stands before arguments.
    opens: &'static str,
    /// The directives that the text has a macro for, or uses one for.
    known: BTreeSet<&'static str>,
    /// Whether no others are written so.
    only_known: bool,
}

/// A directive by a macro in a line.
#[derive(Clone, Copy)]
struct Found<'a> {
    /// Where the macro's name starts, and where its use ends.
    start: usize,
    end: usize,
    prefix: &'a str,
    name: &'static str,
    upper: bool,
    opens: &'static str,
    arguments: &'a str,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '%' | '\\')
}

/// Where a statement ends at the latest: at a comment, a separator or the end of a string.
fn end_of_statement(rest: &str) -> usize {
    let comments = ["/*", "//"].iter().filter_map(|comment| rest.find(comment));
    comments.chain(rest.find([';', '#', '"', '`', '\n'])).min().unwrap_or(rest.len())
}

fn find(line: &str) -> Option<Found<'_>> {
    let text = line.trim_start();
    if text.starts_with('#') || text.starts_with(".macro") {
        return None;
    }
    let starts = line.char_indices().filter(|&(at, c)| {
        (c == '_' || c.eq_ignore_ascii_case(&'c')) && !line[..at].chars().next_back().is_some_and(is_word)
    });
    for (start, _) in starts {
        let rest = &line[start..];
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let bare = word.trim_start_matches('_');
        let upper = bare.starts_with("CFI_");
        if !upper && !bare.starts_with("cfi_") {
            continue;
        }
        let own = &bare[4..];
        let same = |name: &&&str| if upper { own == name.to_ascii_uppercase() } else { own == **name };
        let Some(name) = NAMES.iter().find(same) else { continue };
        let behind = &rest[word.len()..];
        let trimmed = behind.trim_start_matches([' ', '\t']);
        let (opens, arguments, length) = match trimmed.strip_prefix('(') {
            Some(inside) => {
                let mut depth = 1;
                let closes = inside.char_indices().find(|&(_, c)| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    depth == 0
                });
                let Some((closes, _)) = closes else { continue };
                let opens = if trimmed.len() == behind.len() { "(" } else { " (" };
                (opens, &inside[..closes], behind.len() - trimmed.len() + closes + 2)
            }
            None => {
                let end = end_of_statement(behind);
                (" ", behind[..end].trim(), behind[..end].trim_end().len())
            }
        };
        let prefix = &word[..word.len() - own.len()];
        return Some(Found { start, end: start + word.len() + length, prefix, name, upper, opens, arguments });
    }
    None
}

/// The line with its directive, if it is one by a macro, in GNU as' words.
pub fn plain(line: &str) -> Cow<'_, str> {
    let Some(found) = find(line) else { return Cow::Borrowed(line) };
    let space = if found.arguments.is_empty() { "" } else { " " };
    let (before, behind) = (&line[..found.start], &line[found.end..]);
    Cow::Owned(format!("{before}.cfi_{}{space}{}{behind}", found.name, found.arguments.trim()))
}

impl Spelling {
    /// That of a text, if macros are what it mostly has.
    pub fn of(text: &str) -> Option<Spelling> {
        let is_plain = |line: &&str| !line.trim_start().starts_with('#') && line.contains(".cfi_");
        let plain = text.lines().filter(is_plain).count();
        let found: Vec<Found<'_>> = text.lines().filter_map(find).collect();
        if found.len() <= plain {
            return None;
        }
        let first = found.first()?;
        // How arguments are given, of the first that has any.
        let usual = if first.upper { " " } else { " (" };
        let opens = found.iter().find(|found| !found.arguments.is_empty()).map_or(usual, |found| found.opens);
        let defined = text.lines().filter_map(|line| {
            let words = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("define")?;
            find(words.split('(').next()?)
        });
        let known = defined.chain(found.iter().copied()).map(|found| found.name).collect();
        Some(Spelling { prefix: first.prefix.to_owned(), upper: first.upper, opens, known, only_known: false })
    }

    /// The same of a project that has no macro but those that the text shows.
    pub fn narrowed(self) -> Option<Spelling> {
        (!self.only_known).then_some(Spelling { only_known: true, ..self })
    }

    /// The text with GNU as' directives in this spelling.
    pub fn write(&self, text: &str) -> String {
        let mut done = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(".cfi_") {
            let (before, from) = rest.split_at(start);
            done.push_str(before);
            let word = &from[..from[1..].find(|c| !is_word(c)).map_or(from.len(), |end| end + 1)];
            let behind = &from[word.len()..];
            let name = &word[".cfi_".len()..];
            if !NAMES.contains(&name) || self.only_known && !self.known.contains(name) {
                done.push_str(word);
                rest = behind;
                continue;
            }
            let end = end_of_statement(behind);
            let arguments = behind[..end].trim();
            done.push_str(&self.prefix);
            done.push_str(&if self.upper { name.to_ascii_uppercase() } else { name.to_owned() });
            if !arguments.is_empty() {
                done.push_str(self.opens);
                done.push_str(arguments);
                done.push_str(if self.opens.ends_with('(') { ")" } else { "" });
            }
            rest = &behind[behind[..end].trim_end().len()..];
        }
        done.push_str(rest);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_by_macros_are_read_and_written() {
        for (own, gas) in [
            ("\tcfi_adjust_cfa_offset (8)", "\t.cfi_adjust_cfa_offset 8"),
            ("\tcfi_rel_offset (%rbx, 0)", "\t.cfi_rel_offset %rbx, 0"),
            ("\tpush %rbx; CFI_ADJUST_CFA_OFFSET 8", "\tpush %rbx; .cfi_adjust_cfa_offset 8"),
            ("\t_CFI_OFFSET(%rbx, -16) /* kept */", "\t.cfi_offset %rbx, -16 /* kept */"),
            ("\tcfi_remember_state", "\t.cfi_remember_state"),
            ("\tCFI_DEF_CFA_REGISTER\trbp", "\t.cfi_def_cfa_register rbp"),
        ] {
            assert_eq!(plain(own), gas);
            let spelling = Spelling::of(own).unwrap_or_else(|| panic!("{own}"));
            assert_eq!(plain(&spelling.write(gas)), gas, "{own}");
        }
        for other in [
            "\t.cfi_offset %rbx, -16",
            "# define cfi_offset(reg, off) .cfi_offset reg, off",
            "\tcall cfi_offsets",
            "\tmov my.cfi_offset, %rax",
            "cfi_register_all:",
        ] {
            assert_eq!(plain(other), other);
            assert_eq!(Spelling::of(other), None);
        }
        let glibc = Spelling::of("\tcfi_def_cfa_offset (16)\n\tcfi_endproc\n").expect("a spelling");
        assert_eq!(
            glibc.write("Insert `.cfi_offset %rbx, -16` behind line 3"),
            "Insert `cfi_offset (%rbx, -16)` behind line 3"
        );
        assert_eq!(glibc.write("\t.cfi_escape 0x0f, 0x03 /* CFA */"), "\tcfi_escape (0x0f, 0x03) /* CFA */");
        assert_eq!(glibc.write("\t.cfi_sections .eh_frame"), "\t.cfi_sections .eh_frame");
    }

    #[test]
    fn what_is_broken_stays_as_it_is() {
        for broken in ["cfi_offset (%rbx", "\u{e4}cfi_offset (", "CFI_", "_", "cfi_offset((((", ".cfi_"] {
            let _ = (plain(broken), Spelling::of(broken));
        }
    }
}
