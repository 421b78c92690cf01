//! Decides by whose rules and with which flags an object is judged, and analyses it.
//!
//! In: the options that analysing commands share, and an [`Input`].  Out: [`Judged`].
//! Holds afterwards: flags given on the command line win over those of the build, which win over a guess.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{ArgAction, Args};
use rustc_hash::FxHashSet;

use super::inputs::{Input, Once};
use super::output;
use crate::analysis::{self, Analysis, Config, Policy};
use crate::build::{Build, Finder, FlagSource, Flags, Gap, Search, Skip, Unchecked, is_rust, ownership};
use crate::cancel::CancelToken;
use crate::compile::{CompileError, Request, Scratch, Unsaved, compile, confine};
use crate::files;
use crate::image::{ElfImage, LoadError, Store};
use crate::kernel::tree::TreeFacts;
use crate::kernel::{Kernel, KernelChoice};
use crate::options::Options;
use crate::source_map::Lines;
use crate::tree_objects::{self, TreeObjects};
use crate::whole::{Question, Whole};
use crate::{detect, guess, wording};

/// Options that all analysing commands share.
#[derive(Args)]
pub(crate) struct Rules {
    /// Whose formats, checks and wording: auto, or 5.15 to 7.3
    #[arg(long, value_name = "RELEASE", default_value = "auto")]
    pub kernel: KernelChoice,
    /// The build directory, where the build of a file is looked for
    #[arg(long, short = 'p', value_name = "DIR", value_parser = PathBufValueParser::new().try_map(folder))]
    pub build_dir: Option<PathBuf>,
    /// How many threads to use
    #[arg(long, short = 'j', value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Print the time per stage to stderr
    #[arg(long)]
    pub time: bool,
    /// Compile a source where the kernel does not lock programs in (no Landlock)
    #[arg(long)]
    pub trust: bool,
    /// Print help
    // objtool's own -h is --hacks.
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
    #[command(flatten)]
    pub options: Options,
}

fn folder(path: PathBuf) -> Result<PathBuf, &'static str> {
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => Err("it is a file, not a folder"),
        Err(_) => Err("there is no such folder"),
    }
}

impl Rules {
    /// Where builds are looked for.
    pub(super) fn search(&self) -> Search {
        Search { build_dir: self.build_dir.clone(), roots: Vec::new() }
    }
}

/// A compiler that takes longer has gone astray.
const COMPILE_TIME: Duration = Duration::from_secs(300);

/// What became of an input.
pub(crate) enum Judged {
    /// It was analysed.
    Analysed(Box<Object>),
    /// It is not checked.
    Skipped(Skip),
    /// Why it could not be analysed.
    Failed(String),
    /// Why objtool would not look at it, in its own line.
    Refused(String),
}

/// An object that can be read.
pub(crate) struct Opened {
    /// As the user spells it.
    pub name: String,
    pub store: Arc<dyn Store>,
    pub image: ElfImage,
    /// How long it took to read.
    read: Duration,
}

impl Opened {
    fn read(name: String, store: Arc<dyn Store>) -> Result<Opened, LoadError> {
        let start = Instant::now();
        let image = ElfImage::read(store.as_ref())?;
        Ok(Opened { name, store, image, read: start.elapsed() })
    }
}

/// An analysed object.
pub(crate) struct Object {
    /// As the user spells it.
    pub name: String,
    pub path: PathBuf,
    pub store: Arc<dyn Store>,
    pub analysis: Analysis,
    pub lines: Lines,
    /// Why these flags.
    pub flags_from: String,
    /// What the build checks and the object alone cannot decide.
    pub undecided: Vec<String>,
    /// Whether a link would decide some of it.
    pub left_to_link: bool,
    /// That its release is judged by another one's rules.
    pub caution: Option<String>,
    /// Why its build does not check it, if it does not; it is analysed because the command asks for it.
    pub skip: Option<Skip>,
    /// The file that alone was asked about, of a crate that has more.
    pub only: Option<PathBuf>,
    /// What the tree says of its objtool.
    pub tree: Option<Arc<TreeFacts>>,
}

fn stored(file: &Once<'_>) -> Result<Arc<dyn Store>, String> {
    file.store().cloned().map_err(|error| format!("{}: cannot open: {error}", file.input.name()))
}

/// Judges objects one by one; shared by all threads.
pub(crate) struct Judge<'a> {
    rules: &'a Rules,
    finder: Finder,
    policy: Policy,
    /// Flags besides those of the user and of the build.
    wanted: Options,
    /// Objects are judged as parts of `vmlinux.o`.
    whole: bool,
    /// The user has asked for the kernel's rules.
    told: bool,
    /// The stored table is compared with what objtool made it from.
    compares: bool,
    /// An objtool will judge the same object alone, with the same flags: nothing is left to a link.
    alone: bool,
    /// The objects that were found together, by absolute path; `None` where whatever is named is analysed.
    checked: Option<FxHashSet<PathBuf>>,
    /// The tree that the program is called in, which makes the object.
    within: Option<PathBuf>,
    /// Where sources are compiled; made when the first one is.
    scratch: OnceLock<Result<Scratch, String>>,
    cancel: CancelToken,
    tree_objects: TreeObjects,
    /// Complaints about trees.
    said: Mutex<FxHashSet<String>>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(rules: &'a Rules, policy: Policy) -> Self {
        let finder = Finder::once(rules.search());
        Judge {
            rules,
            finder,
            policy,
            wanted: Options::default(),
            whole: false,
            told: false,
            compares: false,
            alone: false,
            checked: None,
            within: None,
            scratch: OnceLock::new(),
            cancel: CancelToken::default(),
            tree_objects: TreeObjects::default(),
            said: Mutex::default(),
        }
    }

    /// The same, but an ORC table is made whether or not the build makes one.
    pub(super) fn for_orc(self) -> Self {
        Judge { wanted: Options { orc: true, ..Options::default() }, ..self }
    }

    /// The same as [`Judge::for_orc`], for the table that objtool has made of the object as it was before.
    pub(super) fn for_comparison(self) -> Self {
        Judge { compares: true, ..self.for_orc() }
    }

    /// The same, but each object is judged as an objtool judges it that is given this one.
    pub(super) fn for_verification(self) -> Self {
        Judge { alone: true, ..self }
    }

    /// The same, but objects are judged as parts of their trees' `vmlinux.o`.
    pub(super) fn judging_whole(self) -> Self {
        Judge { whole: true, ..self }
    }

    /// The same, but the user has asked for the kernel's rules, whatever the inputs are.
    pub(super) fn by_kernel_rules(self) -> Self {
        Judge { told: true, ..self }
    }

    /// The same, but only what the build has checked is judged. `found`: the objects that were found in folders.
    pub(super) fn for_check(self, found: FxHashSet<PathBuf>) -> Self {
        Judge { checked: Some(found), ..self }
    }

    /// The same, but what the tree at `root` says of objtool holds for every object.
    pub(super) fn within(self, root: Option<PathBuf>) -> Self {
        Judge { within: root, ..self }
    }

    /// Whether the user has said by what the inputs are to be judged, so that nothing follows from their build.
    fn is_told(&self) -> bool {
        self.told || self.rules.options.any_action() || self.rules.kernel != KernelChoice::Auto
    }

    /// Why the object is not checked, as far as its build and its first bytes say.
    fn skipped(&self, file: &Once<'_>, build: &Flags) -> Option<Skip> {
        let input = file.input;
        let found = self.checked.as_ref()?;
        if input.named && self.is_told() {
            return None;
        }
        let none = FxHashSet::default();
        let all = if input.named { &none } else { found };
        let skip = Skip::of_file(file.foreign(), &input.path, build, all)?;
        // What the object shows decides over its command.
        (skip != Skip::Unchecked(Unchecked::NotKernel)).then_some(skip)
    }

    /// Why the object is not checked, its contents asked as well. Slim LTO leaves nothing to judge, whoever asks.
    fn skipped_by_contents(&self, input: &Input, image: &ElfImage, build: &Flags) -> Option<Skip> {
        self.checked.as_ref()?;
        let skip = guess::skipped(build, image)?;
        (!(input.named && self.is_told()) || matches!(skip, Skip::Foreign(_))).then_some(skip)
    }

    /// The finder that knows the builds.
    pub(super) fn finder(&self) -> &Finder {
        &self.finder
    }

    /// How the object was compiled, if its build says so.
    pub(super) fn build_of(&self, object: &Object) -> Option<Build> {
        let by_object = self.finder.object(&object.path).ok().filter(|build| build.source.is_some());
        by_object.or_else(|| self.finder.source(std::path::Path::new(&object.name)).ok())
    }

    /// The object of the tree in which `object` was built that declares a function never to return.
    pub(super) fn declared_by(&self, object: &Object, symbol: &str) -> Option<String> {
        self.tree_objects.declares(&tree_objects::root_of(&self.finder, &object.path)?, symbol)
    }

    /// The release that the user chose, that the build is of, or that the object shows.
    pub(super) fn kernel(&self, input: &Input, object: &Opened) -> Kernel {
        self.named_kernel(input).unwrap_or_else(|| detect::detect(object.store.as_ref(), &object.image).0)
    }

    /// The release that the user chose or that the build is of.
    fn named_kernel(&self, input: &Input) -> Option<Kernel> {
        match self.rules.kernel {
            KernelChoice::Fixed(kernel) => Some(kernel),
            KernelChoice::Auto => self.finder.flags(&input.path).kernel().map(|(kernel, _)| kernel),
        }
    }

    /// Reads the object without judging it.
    pub(super) fn open(&self, input: &Input) -> Result<Opened, String> {
        Opened::read(input.name(), stored(&Once::new(input))?).map_err(|error| format!("{}: {error}", input.name()))
    }

    /// Analyses the object, or what the source compiles to.
    pub(super) fn object(&self, input: &Input) -> Judged {
        self.once(&Once::new(input))
    }

    /// The same for a file that somebody may have looked at.
    pub(super) fn once(&self, file: &Once<'_>) -> Judged {
        let input = file.input;
        if is_rust(&input.path) {
            return self.rust_source(input);
        }
        if input.is_source() {
            return self.source(input).unwrap_or_else(|why| Judged::Failed(format!("{}: {why}", input.name())));
        }
        let build = self.finder.flags(&input.path);
        if let Some(skip) = self.skipped(file, &build) {
            return Judged::Skipped(skip);
        }
        let opened = match stored(file).map(|store| Opened::read(input.name(), store)) {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return self.unreadable(input, &error),
            Err(why) => return Judged::Failed(why),
        };
        if let Some(words) = self.refused(input, &opened) {
            return Judged::Refused(format!("{}: error: objtool: {words}", input.name()));
        }
        if let Some(skip) = self.skipped_by_contents(input, &opened.image, &build) {
            return Judged::Skipped(skip);
        }
        let whole = self.whole.then(|| self.finder.object(&input.path));
        let analysed = match whole {
            None => self.analyse(opened, input, build),
            Some(Ok(build)) => self.linked(opened.name, &build, opened.store),
            Some(Err(error)) => Err(format!("{}: {error}", input.name())),
        };
        match analysed {
            Ok(object) => Judged::Analysed(Box::new(object)),
            Err(why) => Judged::Failed(why),
        }
    }

    /// An object that cannot be read shows no release, so what the user or the build says has to do.
    fn unreadable(&self, input: &Input, error: &LoadError) -> Judged {
        let kernel = self.named_kernel(input).unwrap_or(detect::ASSUMED);
        match wording::unreadable(error, kernel.rules()) {
            Some(line) => Judged::Refused(format!("{}: {line}", input.name())),
            None => Judged::Failed(format!("{}: {error}", input.name())),
        }
    }

    /// What objtool has against the flags of the command line. Those of a build it has taken.
    fn refused(&self, input: &Input, opened: &Opened) -> Option<&'static str> {
        let given = &self.rules.options;
        let linked = opened.image.is_linked();
        given.any_action().then(|| given.refused(self.kernel(input, opened).rules(), linked))?
    }

    /// Judges the object that the build made of a Rust file's crate. Compiling the text would run the tree's procedural
    /// macros within rustc, which is foreign code.
    fn rust_source(&self, input: &Input) -> Judged {
        let failed = |why: String| Judged::Failed(format!("{}: {why}", input.name()));
        if let Err(error) = std::fs::metadata(&input.path) {
            return failed(error.to_string());
        }
        let build = match self.finder.source(&input.path) {
            Ok(build) => build,
            Err(error) => {
                let what =
                    error.tried.first().map_or_else(String::new, |(file, why)| format!(" ({}: {why})", file.display()));
                return failed(format!(
                    "no object of the build was made from it{what}. Rust is judged by the objects that the build leaves: \
                     build the kernel or the module, and name its folder with --build-dir if it is elsewhere"
                ));
            }
        };
        if !build.object.exists() {
            let object = build.object.display();
            return failed(format!("{object} has not been built, and orcls does not compile Rust: build it first"));
        }
        let written = |path: &std::path::Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if written(&input.path) > written(&build.object) {
            let object = build.object.display();
            output::remark(&format!(
                "{}: newer than {object}: what follows is about the text that was built",
                input.name()
            ));
        }
        let is_whole = build
            .source
            .as_deref()
            .is_some_and(|source| crate::compile::real_path(source) == crate::compile::real_path(&input.path));
        let object = Input { path: build.object, named: true };
        match self.object(&object) {
            Judged::Analysed(mut judged) => {
                judged.only = (!is_whole).then(|| input.path.clone());
                Judged::Analysed(judged)
            }
            other => other,
        }
    }

    /// Compiles the source as the build does, and analyses the result.
    fn source(&self, input: &Input) -> Result<Judged, String> {
        let build = self
            .finder
            .source(&input.path)
            .map_err(|error| format!("no compile command is known. {}", error.advice()))?;
        if let Some(why) = build.flags.unchecked()
            && *why != Unchecked::NotKernel
            && self.checked.is_some()
            && !self.is_told()
        {
            return Ok(Judged::Skipped(Skip::Unchecked(why.clone())));
        }
        self.compiled(input, &build)
    }

    /// Analyses what the source of `build` compiles to.
    pub(super) fn compiled(&self, input: &Input, build: &Build) -> Result<Judged, String> {
        let source = build.source.as_deref().ok_or("its build names no source")?;
        let text = files::read(source, files::SOURCE).map_err(|error| format!("{}: {error}", source.display()))?;
        let text = String::from_utf8_lossy(&text);
        let request = Request {
            argv: &build.argv,
            directory: &build.directory,
            source: Unsaved { path: source, text: &text },
            others: &[],
            compilers: &[],
            time: COMPILE_TIME,
        };
        let scratch = self.scratch()?;
        if let Some(why) = ownership::complaint(build.origin.path()).filter(|_| !self.rules.trust) {
            return Err(format!("the compile command is not run: {why}"));
        }
        if let Some(why) = confine::missing().filter(|_| !self.rules.trust) {
            let command = build.argv.join(" ");
            return Err(format!(
                "{why}. This would be run in {}, and only its options are checked:\n{command}\n--trust runs it",
                build.directory.display()
            ));
        }
        let compiled = compile(&request, scratch, &self.cancel).map_err(|error| match error {
            CompileError::Rejected { words, .. } => format!("it does not compile\n{}", words.trim_end()),
            other => other.to_string(),
        })?;
        if self.whole {
            let linked = self.linked(input.name(), build, Arc::new(compiled.object))?;
            return Ok(Judged::Analysed(Box::new(linked)));
        }
        let opened = Opened::read(input.name(), Arc::new(compiled.object)).map_err(|error| error.to_string())?;
        if let Some(skip) = self.skipped_by_contents(input, &opened.image, &build.flags) {
            return Ok(Judged::Skipped(skip));
        }
        let object = Input { path: build.object.clone(), named: true };
        self.analyse(opened, &object, build.flags.clone()).map(|object| Judged::Analysed(Box::new(object)))
    }

    /// The `vmlinux.o` that an object becomes a part of.
    fn linked(&self, name: String, build: &Build, store: Arc<dyn Store>) -> Result<Object, String> {
        let question = Question {
            directory: &build.directory,
            path: &build.object,
            object: &store,
            kernel: self.rules.kernel,
            noreturn: &[],
            finder: &self.finder,
            scratch: self.scratch()?,
            texts: None,
        };
        let (analysis, lines) = Whole::default().linked(&question, &self.cancel).map_err(|why| why.to_string())?;
        let flags_from = format!("vmlinux.o of {}", build.directory.display());
        let tree = build.flags.kernel().and_then(|(kernel, _)| build.flags.facts(kernel));
        Ok(Object {
            name,
            path: build.object.clone(),
            store,
            analysis,
            lines,
            flags_from,
            undecided: Vec::new(),
            left_to_link: false,
            caution: build.flags.caution(),
            skip: None,
            only: None,
            tree,
        })
    }

    fn scratch(&self) -> Result<&Scratch, String> {
        self.scratch.get_or_init(|| Scratch::new().map_err(|error| error.to_string())).as_ref().map_err(String::clone)
    }

    fn analyse(&self, opened: Opened, input: &Input, build: Flags) -> Result<Object, String> {
        let Opened { name, store, mut image, read } = opened;
        let (options, flags_from) = self.choose(&image, &build);
        let (kernel, evidence) = match (self.rules.kernel, build.kernel()) {
            (KernelChoice::Auto, Some((kernel, evidence))) => (kernel, Some(evidence)),
            (KernelChoice::Auto, None) => {
                let (kernel, evidence) = detect::detect(store.as_ref(), &image);
                (kernel, Some(evidence))
            }
            (KernelChoice::Fixed(kernel), _) => (kernel, None),
        };
        // Who names a release wants that one, not what this tree has made of it.
        let tree = match &self.within {
            Some(root) => TreeFacts::of(root, kernel),
            None if self.rules.kernel == KernelChoice::Auto => build.facts(kernel),
            None => None,
        };
        if let Some(tree) = &tree {
            self.complain_once(&tree.problems);
        }
        let caution = if self.rules.kernel == KernelChoice::Auto { build.caution() } else { None };
        // Where objtool has been at this very object: of one that was linked from such the table is all that there is.
        let is_its_own = self.rules.options.any_action() || matches!(build.source, FlagSource::Own(_));
        let compares = self.compares && is_its_own && !image.is_finished_module();
        if compares || (self.checked.is_some() && !self.rules.options.any_action()) {
            // The build's log is about the object as it was before objtool wrote to it.
            image.forget_additions();
        }
        let gaps = if self.rules.options.any_action() { Vec::new() } else { build.undecided.clone() };
        let kernel = KernelChoice::Fixed(kernel);
        let config = Config { options, kernel, policy: self.policy, noreturn: Vec::new() };
        let analysis = analysis::analyse_image(image, store.as_ref(), &config, tree.as_deref(), &self.cancel);
        let mut analysis = analysis.map_err(|error| format!("{name}: {error}"))?;
        if let Some((_, first)) = analysis.timing.first_mut() {
            *first += read;
        }
        if let Some(evidence) = evidence {
            analysis.kernel_evidence = evidence;
        }
        let is_closed = |gap: &Gap| self.checked.as_ref().is_some_and(|all| gap.is_closed_by(&input.path, all));
        let open: Vec<&Gap> = gaps.iter().filter(|gap| gap.is_open(&analysis.open) && !is_closed(gap)).collect();
        let left_to_link = open.iter().any(|gap| matches!(gap, Gap::Link(..)));
        let undecided = open.iter().map(ToString::to_string).collect();
        let skip = guess::skipped(&build, &analysis.image);
        let text_of = |name: &str| tree_objects::read_text(std::path::Path::new(name));
        let lines = Lines::new(Arc::clone(&store)).with_texts(Box::new(text_of));
        let lines =
            tree_objects::with_naked_functions(lines, &analysis, &input.path, &self.finder, &tree_objects::read_text);
        Ok(Object {
            name,
            path: input.path.clone(),
            store,
            analysis,
            lines,
            flags_from,
            undecided,
            left_to_link,
            caution,
            skip,
            only: None,
            tree,
        })
    }

    /// Says what is wrong with a tree's files, which all of its objects share.
    fn complain_once(&self, problems: &[String]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in problems {
            if !said.contains(problem) {
                output::complain(problem);
                said.insert(problem.clone());
            }
        }
    }

    /// The flags for an object, and where they come from.
    fn choose(&self, image: &ElfImage, build: &Flags) -> (Options, String) {
        let given = &self.rules.options;
        let (mut options, from) = if given.any_action() {
            (given.clone(), "the command line".to_owned())
        } else if let Some(options) = &build.options {
            (options.clone(), build.explained())
        } else {
            let guess = guess::flags(image);
            let mut from = format!("what the object shows, since they are {}", build.explained());
            guess.evidence.iter().for_each(|sign| from.push_str(&format!("; {sign}")));
            (guess.options, from)
        };
        add(&mut options, given);
        options.orc |= self.wanted.orc;
        options.part &= !self.alone;
        (options, from)
    }
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
    options.disas = given.disas.clone().or(options.disas.take());
    options.wide |= given.wide;
    options.trace = given.trace.clone().or(options.trace.take());
}
