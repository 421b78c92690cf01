//! Reads the words of an objtool command as flags.
//!
//! In: the words between the program and the object.  Out: [`Recipe`].
//! Holds afterwards: a word that orcls does not know hides no other; sub-commands of releases up to 5.17 come to the
//! flags that later releases have for the same work.
//! Reads like: linux tools/objtool/builtin-check.c, of 5.15 also builtin-orc.c (behaviour only).

use clap::{CommandFactory, Parser};
use rustc_hash::FxHashSet;

use crate::options::Options;

/// Flags as one recipe has them.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Recipe {
    /// The flags.
    pub options: Options,
    /// As they are spelled.
    pub words: Vec<String>,
    /// Words that orcls does not know.
    pub unknown: Vec<String>,
}

/// objtool's own command line.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[allow(dead_code, reason = "a recipe may name other files, which are nothing to go by")]
    objects: Vec<String>,
}

impl Recipe {
    /// The recipe with these words.
    pub(super) fn new(words: &[String]) -> Recipe {
        let (options, unknown) = match words.first().map(String::as_str) {
            Some("check" | "orc") => with_subcommand(words),
            _ => parse(words),
        };
        Recipe { options, words: words.to_vec(), unknown }
    }
}

fn parse(words: &[String]) -> (Options, Vec<String>) {
    let (mut rest, mut unknown) = known_flags(words);
    for _ in 0..MOST_MISTAKES {
        match CommandLine::try_parse_from(&rest) {
            Ok(line) => return (line.options, unknown),
            Err(error) => {
                // A flag of a later release must not hide those that are known.
                let culprit = match error.get(clap::error::ContextKind::InvalidArg) {
                    Some(clap::error::ContextValue::String(argument)) => {
                        let name = argument.split([' ', '=', '<']).next().unwrap_or(argument).to_owned();
                        rest.iter().position(|word| word.split('=').next() == Some(&name))
                    }
                    _ => None,
                };
                let Some(at) = culprit else { break };
                unknown.push(rest.remove(at));
            }
        }
    }
    unknown.extend(rest);
    (Options::default(), unknown)
}

/// Each mistake in flags that are known costs another look at all of them.
const MOST_MISTAKES: usize = 16;

/// The words without the long flags that no release has, and those.
fn known_flags(words: &[String]) -> (Vec<String>, Vec<String>) {
    let command = CommandLine::command();
    let known: FxHashSet<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let is_known = |word: &&String| match word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
        Some(flag) => known.contains(flag.split('=').next().unwrap_or(flag)),
        None => true,
    };
    let (known, unknown): (Vec<&String>, Vec<&String>) = words.iter().partition(is_known);
    (known.into_iter().cloned().collect(), unknown.into_iter().cloned().collect())
}

/// A command of a release with sub-commands, which does most of its work unasked.
fn with_subcommand(words: &[String]) -> (Options, Vec<String>) {
    let mut options = Options {
        orc: words.first().is_some_and(|word| word == "orc"),
        stackval: true,
        static_call: true,
        hacks: vec!["jump_label".to_owned(), "noinstr".to_owned()],
        ..Options::default()
    };
    let mut unknown = Vec::new();
    for word in words {
        match word.as_str() {
            "check" | "orc" | "generate" | "--backtrace" | "--stats" => {}
            "--no-fp" => options.stackval = false,
            "--no-unreachable" => options.no_unreachable = true,
            "--retpoline" => options.retpoline = true,
            "--rethunk" => options.rethunk = true,
            "--unret" => options.unret = true,
            "--module" => options.module = true,
            "--uaccess" => options.uaccess = true,
            "--noinstr" => options.noinstr = true,
            "--vmlinux" => options.link = true,
            "--duplicate" => options.duplicate = true,
            "--mcount" => options.mcount = true,
            "--sls" => options.sls = true,
            _ => unknown.push(word.clone()),
        }
    }
    (options, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        Recipe::new(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_debian_passes_is_understood() {
        let recipe = recipe(
            "--hacks=jump_label --hacks=noinstr --hacks=skylake --orc --retpoline --rethunk --static-call --uaccess --prefix=16",
        );
        assert!(recipe.unknown.is_empty());
        let options = recipe.options;
        assert!(options.orc && options.retpoline && options.rethunk && options.static_call && options.uaccess);
        assert_eq!(options.prefix, Some(16));
        assert!(options.hacks().skylake);
    }

    #[test]
    fn an_unknown_flag_does_not_hide_the_others() {
        let recipe = recipe("--orc --klp-symids --from-the-future=3 --uaccess");
        assert_eq!(recipe.unknown, ["--klp-symids", "--from-the-future=3"]);
        assert!(recipe.options.orc && recipe.options.uaccess);
    }

    #[test]
    fn flags_that_nobody_knows_cost_one_look_however_many_they_are() {
        let many: Vec<String> = (0..20_000).map(|n| format!("--unknown-{n}=1")).collect();
        let recipe = Recipe::new(&[vec!["--orc".to_owned()], many.clone(), vec!["--uaccess".to_owned()]].concat());
        assert_eq!(recipe.unknown, many);
        assert!(recipe.options.orc && recipe.options.uaccess);
        // Mistakes in what is known are counted.
        let wrong: Vec<String> = (0..20_000).map(|_| "--prefix=x".to_owned()).collect();
        assert_eq!(Recipe::new(&wrong).unknown.len(), wrong.len());
    }

    #[test]
    fn sub_commands_do_most_of_their_work_unasked() {
        let recipe = recipe("orc generate --no-fp --retpoline --from-the-past");
        let options = recipe.options;
        assert!(options.orc && options.static_call && options.retpoline && !options.stackval && !options.uaccess);
        assert_eq!(options.hacks, ["jump_label", "noinstr"]);
        assert_eq!(recipe.unknown, ["--from-the-past"]);
    }
}
