//! The command line of objtool, as each release reads it.
//!
//! In: words, a release.  Out: [`Line`], or why the words are none of objtool's that orcls knows.
//! Holds afterwards: a word that is not known was not passed over.
//! Reads like: `check_options` in `tools/objtool/builtin-check.c` of the releases, and `parse-options` of tools/lib/subcmd.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::kernel::Kernel;
use crate::options::Options;

/// What objtool was asked to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Line {
    pub options: Options,
    pub object: PathBuf,
    /// Where the result goes, if not into the object.
    pub output: Option<PathBuf>,
    /// Only the table that the object has is printed.
    pub dump: bool,
}

/// Reads the words of a command line, the program left out.
pub(super) fn parse(words: &[OsString], kernel: Kernel) -> Result<Line, String> {
    let sub_commands = kernel.rules().flags.sub_commands;
    let mut line = Line::default();
    let mut rest = words;
    if sub_commands {
        rest = sub_command(words, &mut line)?;
    }
    let mut objects: Vec<PathBuf> = Vec::new();
    let mut only_objects = false;
    let mut at = 0;
    while let Some(word) = rest.get(at) {
        at += 1;
        let text = word.to_string_lossy();
        if only_objects || !text.starts_with('-') || text == "-" {
            objects.push(PathBuf::from(word));
        } else if text == "--" {
            only_objects = true;
        } else if let Some(long) = text.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let next = || rest.get(at).map(|next| next.to_string_lossy().into_owned());
            at += usize::from(line.take(name, value, next, kernel)?);
        } else {
            // Short flags may be written together; only the last one can have a value.
            let mut letters = text.chars().skip(1);
            while let Some(letter) = letters.next() {
                let name = short(letter, kernel).ok_or_else(|| unknown(&letter.to_string(), kernel))?;
                let value: String = letters.clone().collect();
                let takes = matches!(name, "hacks" | "output") && !value.is_empty();
                let given = takes.then(|| value.trim_start_matches('=').to_owned());
                let next = || rest.get(at).map(|next| next.to_string_lossy().into_owned());
                at += usize::from(line.take(name, given, next, kernel)?);
                if takes {
                    break;
                }
            }
        }
    }
    match <[PathBuf; 1]>::try_from(objects) {
        Ok([object]) => Ok(Line { object, ..line }),
        Err(objects) => Err(format!("objtool {kernel} takes one object, not {}", objects.len())),
    }
}

/// `check`, `orc generate`, `orc dump`.
fn sub_command<'a>(words: &'a [OsString], line: &mut Line) -> Result<&'a [OsString], String> {
    // Frame pointers are checked unless `--no-fp` is given.
    line.options.stackval = true;
    let word = |at: usize| words.get(at).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let used = match (word(0).as_str(), word(1).as_str()) {
        ("check", _) => 1,
        ("orc", "generate") => {
            line.options.orc = true;
            2
        }
        ("orc", "dump") => {
            line.dump = true;
            2
        }
        (other, _) => return Err(format!("objtool 5.15 has no command `{other}` that orcls knows")),
    };
    Ok(words.get(used..).unwrap_or_default())
}

fn unknown(name: &str, kernel: Kernel) -> String {
    format!(
        "`{name}` is no option of objtool {kernel} that orcls knows, and the tree has no objtool of its own to pass it on to"
    )
}

/// The long name of a short flag.
fn short(letter: char, kernel: Kernel) -> Option<&'static str> {
    if kernel.rules().flags.sub_commands {
        return Some(match letter {
            'f' => "no-fp",
            'u' => "no-unreachable",
            'r' => "retpoline",
            'm' => "module",
            'b' => "backtrace",
            'a' => "uaccess",
            's' => "stats",
            'd' => "duplicate",
            'n' => "noinstr",
            'l' => "vmlinux",
            'M' => "mcount",
            'B' => "backup",
            'S' => "sls",
            _ => return None,
        });
    }
    Some(match letter {
        'h' => "hacks",
        'i' => "ibt",
        'l' => "sls",
        'm' => "mcount",
        'n' => "noinstr",
        // 6.18 has an output file of its own (`--output`), and no short form of `--orc`.
        'o' if kernel >= Kernel::V6_18 => "output",
        'o' => "orc",
        'r' => "retpoline",
        's' => "stackval",
        't' => "static-call",
        'u' => "uaccess",
        'v' => "verbose",
        _ => return None,
    })
}

impl Line {
    /// Takes an option; says whether the next word was its value.
    fn take(
        &mut self,
        name: &str,
        value: Option<String>,
        next: impl Fn() -> Option<String>,
        kernel: Kernel,
    ) -> Result<bool, String> {
        let options = &mut self.options;
        let missing = || format!("--{name} needs a value");
        match name {
            "hacks" => {
                options.hacks.push(value.unwrap_or_else(|| "jump_label,noinstr,skylake".to_owned()));
                return Ok(false);
            }
            "dump" => {
                self.dump = true;
                return Ok(false);
            }
            "prefix" | "output" | "trace" => {
                let follows = value.is_none();
                let value = value.or_else(next).ok_or_else(missing)?;
                match name {
                    "prefix" => options.prefix = Some(value.parse().map_err(|_| missing())?),
                    "output" if kernel >= Kernel::V6_18 => self.output = Some(PathBuf::from(value)),
                    "trace" => options.trace = Some(value),
                    _ => return Err(unknown(name, kernel)),
                }
                return Ok(follows);
            }
            _ => {}
        }
        if value.is_some() {
            return Err(unknown(name, kernel));
        }
        let (flag, on) = match self.flag(name) {
            Some(flag) => (flag, true),
            None => {
                let positive = name.strip_prefix("no-").ok_or_else(|| unknown(name, kernel))?;
                // `--no-fp` of 5.15 is the one whose positive form is not spelled like it.
                let positive = if positive == "fp" { "stackval" } else { positive };
                (self.flag(positive).ok_or_else(|| unknown(name, kernel))?, false)
            }
        };
        *flag = on;
        Ok(false)
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        let options = &mut self.options;
        Some(match name {
            "stackval" => &mut options.stackval,
            "orc" => &mut options.orc,
            "uaccess" => &mut options.uaccess,
            "noinstr" => &mut options.noinstr,
            "retpoline" => &mut options.retpoline,
            "rethunk" => &mut options.rethunk,
            "sls" => &mut options.sls,
            "ibt" => &mut options.ibt,
            "unret" => &mut options.unret,
            "link" | "vmlinux" | "lto" => &mut options.link,
            "duplicate" => &mut options.duplicate,
            "module" => &mut options.module,
            "no-unreachable" => &mut options.no_unreachable,
            "cfi" => &mut options.cfi,
            "fineibt" => &mut options.fineibt,
            "static-call" => &mut options.static_call,
            "mcount" => &mut options.mcount,
            "mnop" => &mut options.mnop,
            "noabs" => &mut options.noabs,
            "dry-run" => &mut options.dry_run,
            "werror" | "Werror" => &mut options.werror,
            "verbose" => &mut options.verbose,
            "backtrace" => &mut options.backtrace,
            "stats" => &mut options.stats,
            "sec-address" => &mut options.sec_address,
            "backup" => &mut options.backup,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn each_release_reads_its_own_command_line() {
        let orc = |kernel, line: &str| parse(&words(line), kernel).unwrap();
        assert!(orc(Kernel::V6_12, "-o a.o").options.orc);
        let new = orc(Kernel::V7_3, "--orc -o out.o a.o");
        assert!(new.options.orc && new.output == Some(PathBuf::from("out.o")) && new.object.as_os_str() == "a.o");
        let old = orc(Kernel::V5_15, "orc generate --module --no-fp --retpoline a.o");
        assert!(old.options.orc && old.options.module && !old.options.stackval && old.options.retpoline);
        assert!(orc(Kernel::V5_15, "check a.o").options.stackval);
        assert!(orc(Kernel::V5_15, "orc dump a.o").dump);
        let build = orc(Kernel::V6_12, "--hacks=jump_label --hacks=noinstr --prefix=16 --prefix 8 -rsl a.o");
        assert_eq!((build.options.hacks.len(), build.options.prefix), (2, Some(8)));
        assert!(build.options.retpoline && build.options.stackval && build.options.sls);
        assert!(!orc(Kernel::V6_12, "--orc --no-orc a.o").options.orc);
        assert!(orc(Kernel::V6_12, "--orc --no-unreachable a.o").options.no_unreachable);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["--bogus a.o", "--orc", "--orc a.o b.o", "--prefix", "--prefix=x a.o", "-z a.o", "--orc=1 a.o"] {
            assert!(parse(&words(line), Kernel::V6_12).is_err(), "{line}");
        }
        assert!(parse(&words("klp diff a.o b.o"), Kernel::V7_3).is_err());
        assert!(parse(&words("--orc a.o"), Kernel::V5_15).is_err());
        assert!(parse(&words("--output x a.o"), Kernel::V6_12).is_err());
    }
}
