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

/// What the environment adds to the command line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Surroundings {
    /// `OBJTOOL_ARGS`: more words.
    pub args: Option<String>,
    /// `OBJTOOL_VERBOSE`.
    pub verbose: bool,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Surroundings {
        let value = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Surroundings {
            args: value("OBJTOOL_ARGS"),
            verbose: value("OBJTOOL_VERBOSE").is_some_and(|value| value == "1"),
        }
    }
}

/// objtool takes no more words than this from the environment.
const MAX_WORDS: usize = 15;

/// Reads the words of a command line, the program left out, and before them those of the environment.
pub(super) fn parse(words: &[OsString], around: &Surroundings, kernel: Kernel) -> Result<Line, String> {
    let sub_commands = kernel.rules().flags.sub_commands;
    let mut line = Line::default();
    let mut rest = words;
    if sub_commands {
        rest = sub_command(words, &mut line)?;
    }
    if let Some(args) = &around.args {
        let words: Vec<OsString> = args.split(' ').take(MAX_WORDS).map(OsString::from).collect();
        line.read(&words, kernel)?;
    }
    // The variable came with the flag.
    line.options.verbose |= around.verbose && kernel >= Kernel::V6_6;
    let objects = line.read(rest, kernel)?;
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
        ("orc", word) if word.starts_with("gen") => {
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
        'd' if kernel >= Kernel::V7_0 => "disas",
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

/// Whether the release's objtool has an option that others lack, by its positive form. 5.15 has a list of its own.
fn has(name: &str, kernel: Kernel) -> bool {
    if kernel.rules().flags.sub_commands {
        return matches!(
            name,
            "fp" | "unreachable"
                | "no-unreachable"
                | "retpoline"
                | "rethunk"
                | "unret"
                | "module"
                | "backtrace"
                | "uaccess"
                | "stats"
                | "duplicate"
                | "noinstr"
                | "vmlinux"
                | "mcount"
                | "backup"
                | "sls"
        );
    }
    match name {
        "vmlinux" | "lto" | "duplicate" => false,
        "prefix" | "cfi" | "mnop" | "verbose" => kernel >= Kernel::V6_6,
        "noabs" | "output" => kernel >= Kernel::V6_18,
        "Werror" | "werror" => kernel.rules().flags.werror_word == name && kernel >= Kernel::V6_18,
        "fineibt" => kernel >= Kernel::V7_2,
        "trace" | "disas" | "wide" => kernel >= Kernel::V7_0,
        "backup" => kernel != Kernel::V6_18,
        _ => true,
    }
}

impl Line {
    /// Takes words; answers with those that are no options.
    fn read(&mut self, words: &[OsString], kernel: Kernel) -> Result<Vec<PathBuf>, String> {
        let mut others: Vec<PathBuf> = Vec::new();
        let mut only_others = false;
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            let text = word.to_string_lossy();
            let next = |at: usize| words.get(at).map(|next| next.to_string_lossy().into_owned());
            if only_others || !text.starts_with('-') || text == "-" {
                others.push(PathBuf::from(word));
            } else if text == "--" {
                only_others = true;
            } else if let Some(long) = text.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                at += usize::from(self.take(name, value, next(at), kernel)?);
            } else {
                // Short flags may be written together; only the last one can have a value.
                let mut letters = text.chars().skip(1);
                while let Some(letter) = letters.next() {
                    let name = short(letter, kernel).ok_or_else(|| unknown(&letter.to_string(), kernel))?;
                    let value: String = letters.clone().collect();
                    let takes = matches!(name, "hacks" | "output" | "disas") && !value.is_empty();
                    let given = takes.then(|| value.trim_start_matches('=').to_owned());
                    at += usize::from(self.take(name, given, next(at), kernel)?);
                    if takes {
                        break;
                    }
                }
            }
        }
        Ok(others)
    }

    /// Whether objtool prints, for what was asked, what orcls has in no form or in another one: numbers, disassembly.
    pub(super) fn is_in_objtools_own_form(&self, kernel: Kernel) -> bool {
        let Options { stats, trace, disas, verbose, backtrace, .. } = &self.options;
        // Since 7.0 a way is told with its disassembly.
        let way = *backtrace && kernel >= Kernel::V7_0;
        *stats || *verbose || way || trace.is_some() || disas.is_some()
    }

    /// Takes an option; says whether the next word was its value.
    fn take(
        &mut self,
        name: &str,
        value: Option<String>,
        next: Option<String>,
        kernel: Kernel,
    ) -> Result<bool, String> {
        let positive = name.strip_prefix("no-").unwrap_or(name);
        if !has(positive, kernel) {
            return Err(unknown(name, kernel));
        }
        let options = &mut self.options;
        let missing = || format!("--{name} needs a value");
        match name {
            "hacks" => {
                options.hacks.push(value.unwrap_or_else(|| "jump_label,noinstr,skylake".to_owned()));
                return Ok(false);
            }
            "disas" => {
                options.disas = Some(value.unwrap_or_else(|| "*".to_owned()));
                return Ok(false);
            }
            "dump" => {
                self.dump = true;
                return Ok(false);
            }
            "prefix" | "output" | "trace" => {
                let follows = value.is_none();
                let value = value.or(next).ok_or_else(missing)?;
                match name {
                    "prefix" => options.prefix = Some(value.parse().map_err(|_| missing())?),
                    "output" => self.output = Some(PathBuf::from(value)),
                    _ => options.trace = Some(value),
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
            "wide" => &mut options.wide,
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
        let orc = |kernel, line: &str| parse(&words(line), &Surroundings::default(), kernel).unwrap();
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
    fn the_environment_comes_first() {
        let around = |args: &str| Surroundings { args: Some(args.to_owned()), verbose: true };
        let read = |line: &str, args: &str, kernel| parse(&words(line), &around(args), kernel);
        let line = read("--orc --no-sls a.o", "--backtrace  --sls word", Kernel::V6_12).unwrap();
        assert!(line.options.backtrace && line.options.orc && !line.options.sls && line.options.verbose);
        assert_eq!(line.object, PathBuf::from("a.o"));
        assert!(!read("--orc a.o", "", Kernel::V6_1).unwrap().options.verbose);
        assert!(read("--orc a.o", "--bogus", Kernel::V6_12).is_err());
        assert!(read("orc generate a.o", "--backtrace", Kernel::V5_15).unwrap().options.backtrace);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let parse = |words: &[OsString], kernel| parse(words, &Surroundings::default(), kernel);
        for line in ["--bogus a.o", "--orc", "--orc a.o b.o", "--prefix", "--prefix=x a.o", "-z a.o", "--orc=1 a.o"] {
            assert!(parse(&words(line), Kernel::V6_12).is_err(), "{line}");
        }
        assert!(parse(&words("klp diff a.o b.o"), Kernel::V7_3).is_err());
        assert!(parse(&words("--orc a.o"), Kernel::V5_15).is_err());
        assert!(parse(&words("--output x a.o"), Kernel::V6_12).is_err());
        for (line, has, lacks) in [
            ("--orc --Werror a.o", Kernel::V6_18, Kernel::V7_3),
            ("--orc --werror a.o", Kernel::V7_0, Kernel::V6_18),
            ("--orc --verbose a.o", Kernel::V6_6, Kernel::V6_1),
            ("--orc --prefix=16 a.o", Kernel::V6_12, Kernel::V6_1),
            ("--orc --fineibt a.o", Kernel::V7_2, Kernel::V7_0),
            ("--orc --backup a.o", Kernel::V6_12, Kernel::V6_18),
            ("check --vmlinux a.o", Kernel::V5_15, Kernel::V6_12),
        ] {
            assert!(parse(&words(line), has).is_ok(), "{has} {line}");
            assert!(parse(&words(line), lacks).is_err(), "{lacks} {line}");
        }
    }
}
