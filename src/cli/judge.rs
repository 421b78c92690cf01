//! Decides by whose rules and with which flags an object is judged, and analyses it.
//!
//! In: the options that analysing commands share, and an [`Input`].  Out: [`Judged`].
//! Holds afterwards: flags given on the command line win over those of the build, which win over a guess.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgAction, Args};

use super::inputs::{self, Input};
use crate::analysis::{self, Analysis, Config, Policy};
use crate::build::{Finder, FlagSource, Flags, Search};
use crate::cancel::CancelToken;
use crate::image::{FileStore, Store};
use crate::kernel::KernelChoice;
use crate::options::Options;
use crate::source_map::Lines;

/// Options that all analysing commands share.
#[derive(Args)]
pub(crate) struct Rules {
    /// Whose formats, checks and wording: auto, 6.1, 6.12 or 7.3
    #[arg(long, value_name = "RELEASE", default_value = "auto")]
    pub kernel: KernelChoice,
    /// The build directory, where the build of a file is looked for
    #[arg(long, short = 'p', value_name = "DIR")]
    pub build_dir: Option<PathBuf>,
    /// How many threads to use
    #[arg(long, short = 'j', value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Say on standard error how much time each stage took
    #[arg(long)]
    pub time: bool,
    /// Print help
    // objtool's own -h is --hacks.
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
    #[command(flatten)]
    pub options: Options,
}

/// The flags for an object, and why these.
pub(crate) struct Choice {
    pub options: Options,
    /// Where they come from, for a person.
    pub why: String,
    /// What the build gave, if anything was asked of it.
    pub build: Flags,
}

/// What became of an input.
pub(crate) enum Judged {
    /// It was analysed.
    Analysed(Box<Object>),
    /// It is none of the files that the build checks.
    Skipped,
    /// Why it could not be analysed.
    Failed(String),
}

/// An analysed object.
pub(crate) struct Object {
    /// As the user spells it.
    pub name: String,
    pub path: PathBuf,
    pub choice: Choice,
    pub analysis: Analysis,
    pub lines: Lines,
}

/// Judges objects one by one; shared by all threads.
pub(crate) struct Judge<'a> {
    rules: &'a Rules,
    finder: Finder,
    policy: Policy,
    cancel: CancelToken,
}

impl<'a> Judge<'a> {
    pub fn new(rules: &'a Rules, policy: Policy) -> Self {
        let search = Search { build_dir: rules.build_dir.clone(), roots: Vec::new() };
        Judge { rules, finder: Finder::new(search), policy, cancel: CancelToken::default() }
    }

    /// The finder that knows the builds.
    pub fn finder(&self) -> &Finder {
        &self.finder
    }

    /// The flags for the object at `path`.
    pub fn choose(&self, input: &Input) -> Choice {
        let given = &self.rules.options;
        // In a folder the build also says which objects it checks at all.
        let build = if given.any_action() && input.named { Flags::unknown() } else { self.finder.flags(&input.path) };
        if given.any_action() {
            return Choice { options: given.clone(), why: "given on the command line".to_owned(), build };
        }
        let (mut options, why) = match &build.options {
            Some(options) => (options.clone(), build.explained()),
            None => (usual(), format!("what distributions usually pass; {}", build.explained())),
        };
        add(&mut options, given);
        Choice { options, why, build }
    }

    /// Analyses the object.
    pub fn object(&self, input: &Input) -> Judged {
        let choice = self.choose(input);
        let is_unchecked = matches!(choice.build.source, FlagSource::NotChecked(_));
        if !input.named && (is_unchecked || inputs::is_foreign(&input.path)) {
            return Judged::Skipped;
        }
        let config = Config {
            options: choice.options.clone(),
            kernel: self.rules.kernel,
            policy: self.policy,
            noreturn: Vec::new(),
        };
        let name = input.name();
        let store: Arc<dyn Store> = match FileStore::open(&input.path) {
            Ok(store) => Arc::new(store),
            Err(error) => return Judged::Failed(format!("{name}: cannot open: {error}")),
        };
        match analysis::analyse(store.as_ref(), &config, &self.cancel) {
            Ok(analysis) => {
                let lines = Lines::new(store);
                Judged::Analysed(Box::new(Object { name, path: input.path.clone(), choice, analysis, lines }))
            }
            Err(error) => Judged::Failed(format!("{name}: {error}")),
        }
    }
}

/// The flags of a distribution's kernel, without those that only some configurations have.
fn usual() -> Options {
    let hacks = vec!["jump_label".to_owned(), "noinstr".to_owned()];
    Options { orc: true, uaccess: true, static_call: true, hacks, ..Options::default() }
}

/// Adds flags that ask for no check of their own to flags from elsewhere.
fn add(options: &mut Options, given: &Options) {
    options.link |= given.link;
    options.module |= given.module;
    options.no_unreachable |= given.no_unreachable;
    options.prefix = given.prefix.or(options.prefix);
    options.mnop |= given.mnop;
    options.fineibt |= given.fineibt;
    options.werror |= given.werror;
    options.verbose |= given.verbose;
    options.backtrace |= given.backtrace;
    options.stats |= given.stats;
    options.sec_address |= given.sec_address;
    options.trace = given.trace.clone().or(options.trace.take());
}
