//! Tells which objects a folder's makefile takes out of objtool's hands.
//!
//! In: the folder of the sources, an object's name, the configuration.  Out: whether objtool is run on it.
//! Holds afterwards: conditions on the configuration are followed, of others both sides count.
//! Reads like: linux Documentation of `OBJECT_FILES_NON_STANDARD` in tools/objtool/Documentation (behaviour only).

use std::path::Path;

use crate::files;

/// Whether the makefile in `folder` leaves objtool on for `object`. `is_set` answers for a symbol of the configuration.
pub(super) fn is_standard(folder: &Path, object: &str, is_set: &dyn Fn(&str) -> bool) -> bool {
    let makefile = ["Kbuild", "Makefile"].iter().find_map(|name| files::text(&folder.join(name), files::SOURCE).ok());
    makefile.is_none_or(|text| !says_non_standard(&text, object, is_set))
}

fn says_non_standard(text: &str, object: &str, is_set: &dyn Fn(&str) -> bool) -> bool {
    let own = format!("OBJECT_FILES_NON_STANDARD_{object}");
    let (mut of_file, mut of_folder) = (None, false);
    // Of each open condition whether its lines count.
    let mut open: Vec<bool> = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let word = line.split_whitespace().next().unwrap_or_default();
        match word {
            "ifdef" | "ifndef" | "ifeq" | "ifneq" => open.push(condition(line, is_set)),
            "else" => {
                if let Some(last) = open.last_mut() {
                    *last = !*last;
                }
            }
            "endif" => {
                open.pop();
            }
            _ if open.iter().all(|counts| *counts) => {
                let Some((name, value)) = assignment(line, is_set) else { continue };
                if name == own {
                    of_file = Some(value);
                } else if name == "OBJECT_FILES_NON_STANDARD" {
                    of_folder = value;
                }
            }
            _ => {}
        }
    }
    of_file.unwrap_or(of_folder)
}

/// The name and whether `y` is assigned.
fn assignment(line: &str, is_set: &dyn Fn(&str) -> bool) -> Option<(String, bool)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches([':', '+', '?']).trim().replace("$(BITS)", "64");
    let value = value.trim();
    let symbol = value.strip_prefix("$(CONFIG_").and_then(|rest| rest.strip_suffix(')'));
    Some((name, symbol.map_or(value == "y", is_set)))
}

fn condition(line: &str, is_set: &dyn Fn(&str) -> bool) -> bool {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let symbol = |text: &str| text.trim().strip_prefix("CONFIG_").map(is_set);
    let compared = || {
        let (symbol, value) = rest.strip_prefix("($(CONFIG_")?.split_once(')')?;
        let value = value.trim_start_matches(',').trim_end_matches(')').trim();
        let is = is_set(symbol);
        match value {
            "y" => Some(is),
            "" => Some(!is),
            _ => None,
        }
    };
    let answer = match word {
        "ifdef" => symbol(rest),
        "ifndef" => symbol(rest).map(|is| !is),
        "ifeq" => compared(),
        _ => compared().map(|is| !is),
    };
    answer.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, object: &str, standard: bool) {
        assert_eq!(!says_non_standard(text, object, &|symbol| symbol == "FRAME_POINTER"), standard, "{object}");
    }

    #[test]
    fn a_file_wins_over_its_folder() {
        let text = "OBJECT_FILES_NON_STANDARD := y\nOBJECT_FILES_NON_STANDARD_a.o := n\n";
        check(text, "a.o", true);
        check(text, "b.o", false);
        check("obj-y += a.o\n", "a.o", true);
    }

    #[test]
    fn conditions_on_the_configuration_are_followed() {
        let text = "ifdef CONFIG_FRAME_POINTER\nOBJECT_FILES_NON_STANDARD_ftrace_$(BITS).o := y\nelse\n\
                    OBJECT_FILES_NON_STANDARD_b.o := y\nendif\nifeq ($(CONFIG_X),y)\nOBJECT_FILES_NON_STANDARD := y\nendif\n\
                    OBJECT_FILES_NON_STANDARD_c.o := $(CONFIG_FRAME_POINTER)\n";
        check(text, "ftrace_64.o", false);
        check(text, "b.o", true);
        check(text, "c.o", false);
    }
}
