//! Help: examples and exit statuses, `-h` beside objtool's `-h`, objtool's options in a part of their own, manual pages and
//! completions.
//!
//! In: the command line's definition, words.  Out: the definition with help as a person wants it; files for shells and `man`.
//! Holds afterwards: how words are parsed is as it was, but for a `-h` that can only be meant as a question.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, Command, ValueEnum};

use super::{Verdict, output};

/// The heading of objtool's options (`crate::options`).
const OF_OBJTOOL: &str = "objtool's own options";

/// Commands, by their path, with what is told after their options.
const MORE: &[(&[&str], &str)] = &[
    (
        &["check"],
        "Examples:
  orcls check kernel/sched/core.o                what objtool would say of it, and where it comes from
  orcls check arch/x86/entry/entry_64.S          compile it as the build does, and check that
  orcls check -j8 .                              all objects of a build
  orcls check --format sarif . > orcls.sarif     for a code review
  orcls check --whole -p ../build kernel/fork.c  as a part of vmlinux.o

Exit status: 0 nothing found, 1 findings, 2 something could not be analysed, or nothing was.",
    ),
    (
        &["cfi"],
        "Examples:
  orcls cfi entry_64.o --function error_entry    the state before each of its instructions
  orcls cfi core.o --at core.c:6504              that line alone
  orcls cfi core.o --format json | jq .          for a script

Exit status: 0 printed, 2 there is nothing to print, or it could not be analysed.",
    ),
    (
        &["alternatives"],
        "Examples:
  orcls alternatives entry_64.o                            each place that is patched at boot
  orcls alternatives entry_64.o --function error_entry

Exit status: 0 printed, 2 it could not be analysed.",
    ),
    (
        &["orc"],
        "Examples:
  orcls orc show core.o          the table that the object needs
  orcls orc diff vmlinux.o       whether the one that it has is the same
  orcls orc write a.o -o b.o     a copy with its table",
    ),
    (&["orc", "show"], "Exit status: 0 printed, 2 something could not be analysed."),
    (&["orc", "dump"], "Exit status: 0 printed, 2 something could not be read."),
    (&["orc", "diff"], "Exit status: 0 the same, 1 they differ, 2 something could not be analysed."),
    (&["orc", "write"], "Exit status: 0 written, 1 written, with findings, 2 not written."),
    (
        &["explain"],
        "Examples:
  orcls explain                                  all codes
  orcls explain return-with-modified-frame       one of them
  orcls explain \"unreachable instruction\"        whatever has these words

Exit status: 0 printed, 2 nothing is called so.",
    ),
    (
        &["doctor"],
        "Examples:
  orcls doctor kernel/fork.c     which command, object, flags and release an editor would use, and why

Exit status: 0 the file can be analysed, 2 it cannot.",
    ),
    (
        &["verify"],
        "Examples:
  orcls verify kernel/           the tree's own objtool and orcls side by side, on copies

Exit status: 0 they agree, 1 they differ, 2 something could not be compared.",
    ),
    (&["noreturn"], "Exit status: 0 none, 1 some were listed, 2 something could not be read."),
    (
        &["completions"],
        "Examples:
  orcls completions bash > ~/.local/share/bash-completion/completions/orcls
  orcls completions zsh > ~/.zfunc/_orcls        with ~/.zfunc on $fpath
  orcls completions fish > ~/.config/fish/completions/orcls.fish",
    ),
    (
        &["man"],
        "Examples:
  orcls man ~/.local/share/man/man1              a page per command",
    ),
];

/// Told after the list of commands.
const AT_THE_END: &str =
    "Exit status: 0 nothing found, 1 findings, 2 something could not be done (said on standard error).
`orcls COMMAND --help` has examples. `orcls check --help objtool` lists the options that are objtool's own.";

/// What the words ask for besides a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// orcls's own options.
    Own,
    /// objtool's options too.
    WithObjtool,
}

/// The definition with its help.
pub(crate) fn with_help(command: Command, shown: Shown) -> Command {
    let command = MORE.iter().fold(command, |command, (path, text)| more(command, path, text));
    arrange(command, shown).after_help(AT_THE_END)
}

fn more(command: Command, path: &[&'static str], text: &'static str) -> Command {
    match path.split_first() {
        None => command.after_help(text),
        Some((first, rest)) => {
            let known = command.get_subcommands().any(|sub| sub.get_name() == *first);
            if known { command.mut_subcommand(first, |sub| more(sub, rest, text)) } else { command }
        }
    }
}

fn arrange(command: Command, shown: Shown) -> Command {
    let of_objtool = |arg: clap::Arg| match arg.get_help_heading() == Some(OF_OBJTOOL) && shown == Shown::Own {
        true => arg.hide(true),
        false => arg,
    };
    command.mut_args(of_objtool).mut_subcommands(|sub| arrange(sub, shown))
}

/// The words as they are parsed, and what help shows. `--help objtool` is `--help` with objtool's options; `-h` is `--help`
/// unless objtool's own options are beside it, whose `--hacks` it would be.
pub(crate) fn words(words: Vec<OsString>, definition: &Command) -> (Vec<OsString>, Shown) {
    let command = words.iter().skip(1).find(|word| !starts_with_dash(word));
    let sub = command.and_then(|name| definition.find_subcommand(name));
    if command.is_some_and(|name| name == "objtool") {
        return (words, Shown::Own);
    }
    let at_help = words.iter().position(|word| word == "--help" || word == "-h");
    if let Some(at) = at_help
        && words.get(at + 1).is_some_and(|next| next == "objtool")
    {
        let mut words = words;
        words.truncate(at);
        words.push("--help".into());
        return (words, Shown::WithObjtool);
    }
    let is_objtools = |word: &OsString| {
        let Some(word) = word.to_str().filter(|word| *word != "-h") else { return false };
        let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
        let mut arguments = sub.into_iter().flat_map(Command::get_arguments);
        word.starts_with('-')
            && arguments.any(|arg| {
                let long = word.starts_with("--") && arg.get_long() == Some(name);
                let short = !word.starts_with("--") && arg.get_short().is_some_and(|short| name.starts_with(short));
                arg.get_help_heading() == Some(OF_OBJTOOL) && (long || short)
            })
    };
    if words.iter().any(|word| word == "-h") && !words.iter().any(is_objtools) {
        let asked = words.into_iter().map(|word| if word == "-h" { "--help".into() } else { word });
        return (asked.collect(), Shown::Own);
    }
    (words, Shown::Own)
}

fn starts_with_dash(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// A shell that completes words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Arguments of `completions`.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args)]
pub(crate) struct Man {
    /// The folder for the pages; without it, the page of `orcls` itself is printed
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Runs `completions`.
pub(crate) fn completions(arguments: &Completions, definition: Command) -> anyhow::Result<Verdict> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    let mut definition = with_help(definition, Shown::WithObjtool);
    clap_complete::generate(shell, &mut definition, "orcls", &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(Verdict::Clean)
}

/// Runs `man`.
pub(crate) fn man(arguments: &Man, definition: Command) -> anyhow::Result<Verdict> {
    let definition = with_help(definition, Shown::WithObjtool).disable_help_subcommand(true);
    match &arguments.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            clap_mangen::generate_to(definition, folder)?;
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(definition).render(&mut text)?;
            output::print(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(Verdict::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::definition;

    #[track_caller]
    fn check(line: &str, expected: &str, shown: Shown) {
        let split = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(words(split(line), &definition()), (split(expected), shown), "{line}");
    }

    #[test]
    fn h_is_a_question_unless_it_is_objtool_s() {
        check("orcls check -h", "orcls check --help", Shown::Own);
        check("orcls check -h a.o", "orcls check --help a.o", Shown::Own);
        check("orcls check -s -h a.o", "orcls check -s -h a.o", Shown::Own);
        check("orcls check --orc -h a.o", "orcls check --orc -h a.o", Shown::Own);
        check("orcls objtool -h a.o", "orcls objtool -h a.o", Shown::Own);
        check("orcls -h", "orcls --help", Shown::Own);
        check("orcls check --help objtool", "orcls check --help", Shown::WithObjtool);
    }

    #[test]
    fn help_has_examples_and_leaves_objtool_s_options_out() {
        let help = |shown| {
            let mut command = with_help(definition(), shown);
            command.find_subcommand_mut("check").expect("a command").render_long_help().to_string()
        };
        let (own, all) = (help(Shown::Own), help(Shown::WithObjtool));
        assert!(own.contains("Examples:") && own.contains("Exit status: 0 nothing found, 1 findings"));
        assert!(!own.contains("--uaccess") && all.contains("--uaccess") && all.contains("--orc"));
    }

    #[test]
    fn every_command_that_is_told_of_is_there() {
        let definition = definition();
        for (path, _) in MORE {
            let found = path.iter().try_fold(&definition, |command, name| command.find_subcommand(name));
            assert!(found.is_some(), "{path:?}");
        }
    }
}
