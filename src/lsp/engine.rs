//! The real engine: finds the build, compiles the text or reads the object, analyses it and words the findings.
//!
//! In: [`Task`].  Out: [`Verdict`] or [`Trouble`].
//! Holds afterwards: what can not be compiled is judged by the object that the build has left, and the verdict says so.
//!
//! | case | text | object | compiler | judged by |
//! |---|---|---|---|---|
//! | 1 | any | any | may not run, or the text is Rust | the object |
//! | 2 | as on disk, like all it includes | newer than all of it, with lines | may run | the object |
//! | 3 | any other | any | may run | the text |
//! | 4 | any | any | refused (a plugin, a compiler that is not allowed) | the object |

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::analysis::{self, AnalysisError, Policy};
use crate::annotate::{self, Annotated, Question};
use crate::build::nearest::nearest;
use crate::build::{Build, Finder, Flags, Foreign, Search, Skip, Unchecked, is_rust, normal, ownership};
use crate::cancel::CancelToken;
use crate::causes::{self, Sources};
use crate::compile::complaints::Complaint;
use crate::compile::{self, CompileError, Request, Scratch, Unsaved};
use crate::detect;
use crate::files;
use crate::guess;
use crate::image::{ElfImage, FileStore, Store};
use crate::kernel::KernelChoice;
use crate::kernel::tree::TreeFacts;
use crate::report::rust::Surroundings;
use crate::report::{self, Report};
use crate::source_map::{Lines, TextOf, is_rust_library};
use crate::tree_objects::{self, TreeObjects};
use crate::unwind;
use crate::whole::{Question as WholeQuestion, Whole};

use super::config::{CompileMode, Config, Trust};
use super::documents::Document;
use super::known::KnownFindings;
use super::names::Names;
use super::pages::Pages;
use super::recent::Recent;
use super::tables::Tables;
use super::verdict::{Anatomy, Basis, Engine, Scope, Stamp, Task, Timing, Trouble, Verdict, written};
use super::whole;

/// Runs compilers and analyses.
pub struct Toolchain {
    scratch: Scratch,
    pages: Pages,
    known: KnownFindings,
    finder: Mutex<Option<(Search, Arc<Finder>)>>,
    tree_objects: TreeObjects,
    whole: Whole,
    recent: Recent,
    compiles: AtomicUsize,
}

impl Toolchain {
    /// An engine with a private folder of its own.
    pub fn new() -> std::io::Result<Toolchain> {
        let (scratch, pages) = (Scratch::new()?, Pages::in_cache());
        Ok(Toolchain {
            scratch,
            pages,
            known: KnownFindings::default(),
            finder: Mutex::new(None),
            tree_objects: TreeObjects::default(),
            whole: Whole::with_cache(),
            recent: Recent::default(),
            compiles: AtomicUsize::new(0),
        })
    }

    /// How many compiles were begun.
    pub fn n_compiles(&self) -> usize {
        self.compiles.load(Ordering::Relaxed)
    }

    /// The finder for this search; it keeps what it has read for as long as the search stays the same.
    fn finder(&self, search: &Search) -> Arc<Finder> {
        let mut slot = self.finder.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some((of, finder)) if of == search => Arc::clone(finder),
            _ => {
                let finder = Arc::new(Finder::new(search.clone()));
                *slot = Some((search.clone(), Arc::clone(&finder)));
                finder
            }
        }
    }
}

impl Toolchain {
    /// What is asked about the object of a verdict as a part of its program.
    fn question<'a>(&'a self, verdict: &'a Verdict, task: &'a Task, finder: &'a Finder) -> Option<WholeQuestion<'a>> {
        let (build, anatomy) = (verdict.build.as_ref()?, verdict.anatomy.as_ref()?);
        Some(WholeQuestion {
            directory: &build.directory,
            path: &build.object,
            object: &anatomy.object,
            kernel: task.config.kernel,
            noreturn: &task.config.noreturn,
            finder,
            scratch: &self.scratch,
            texts: anatomy.lines.texts(),
        })
    }

    /// Adds to a verdict on an object what is known at once of it as a part of its program.
    fn at_once(&self, verdict: Verdict, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        let finder = self.finder(&task.search);
        let asked = self.question(&verdict, task, &finder).zip(verdict.anatomy.as_ref());
        let found = asked.map(|(question, anatomy)| self.whole.judge_at_once(&question, &anatomy.analysis, cancel));
        cancel.check()?;
        match found {
            Some(Ok(found)) => Ok(whole::at_once(verdict, found, &Names::new(task))),
            Some(Err(why)) => {
                tracing::debug!("{}: not judged by the index: {why}", verdict.source.display());
                Ok(verdict)
            }
            None => Ok(verdict),
        }
    }
}

impl Engine for Toolchain {
    fn judge(&self, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        let begin = Instant::now();
        let finder = self.finder(&task.search);
        let build = match finder.source(&task.source) {
            Ok(build) => build,
            Err(not_found) => nearest(&finder, &task.source).ok_or(Trouble::NoCommand(not_found))?,
        };
        let scope = if may_run(&task.config) { whole::scope(&build, &finder, &self.whole) } else { Scope::Alone };
        let (build, names) = (Arc::new(build), Names::new(task));
        let facts = build.flags.tree.as_ref().map_or_else(Vec::new, |tree| TreeFacts::files_of(&tree.root));
        let files = [build.object.as_path(), build.origin.path()].into_iter().chain(facts.iter().map(PathBuf::as_path));
        let stamps: Vec<Stamp> = files.map(Stamp::of).collect();
        let tree = Tree { finder: &finder, objects: &self.tree_objects };
        let may_keep = may_run(&task.config) && !is_rust(&task.source);
        let known = if may_keep { self.recent.find(task, &build) } else { None };
        let mut verdict = match known {
            Some(verdict) => Verdict { timing: Timing { compile: Duration::ZERO, own: begin.elapsed() }, ..verdict },
            None => {
                let (since, counter) = (SystemTime::now(), &self.compiles);
                let judging = Judging { task, build: Arc::clone(&build), tree, stamps, names, begin, counter, cancel };
                let verdict = judging.judge(&self.scratch)?;
                if may_keep {
                    self.recent.keep(task, &build, &verdict, since);
                }
                verdict
            }
        };
        verdict.scope = scope;
        if verdict.scope == Scope::Pending && verdict.unchecked.is_none() {
            verdict = self.at_once(verdict, task, cancel)?;
        }
        self.known.leave_out(&mut verdict, &task.config, &task.search);
        verdict.pages = self.pages.addresses(verdict.codes());
        Ok(verdict)
    }

    fn judge_whole(&self, verdict: &Verdict, task: &Task, cancel: &CancelToken) -> Result<Verdict, Trouble> {
        let Some(anatomy) = &verdict.anatomy else { return Err(Trouble::Cancelled) };
        let finder = self.finder(&task.search);
        let question = self.question(verdict, task, &finder).ok_or(Trouble::Cancelled)?;
        let judged = self.whole.judge(&question, cancel);
        cancel.check()?;
        // What is typed next is judged at once.
        let prepared = self.whole.prepare(&question, anatomy.analysis.kernel, cancel);
        cancel.check()?;
        if let Err(why) = &prepared {
            tracing::info!("{}: {why}", verdict.source.display());
        }
        let mut verdict = verdict.clone();
        if judged.is_err() && verdict.by_index.is_none() {
            verdict = self.at_once(verdict, task, cancel)?;
        }
        let mut verdict = whole::joined(verdict, judged, &Names::new(task));
        self.known.leave_out(&mut verdict, &task.config, &task.search);
        verdict.pages = self.pages.addresses(verdict.codes());
        Ok(verdict)
    }

    fn build(&self, source: &Path, search: &Search) -> Option<Arc<Build>> {
        let finder = self.finder(search);
        finder.source(source).ok().or_else(|| nearest(&finder, source)).map(Arc::new)
    }

    fn annotate(&self, task: &Task, cancel: &CancelToken) -> Result<Annotated, Trouble> {
        let finder = self.finder(&task.search);
        let build = finder.source(&task.source).map_err(Trouble::NoCommand)?;
        if !may_run(&task.config) {
            return Err(Trouble::NotChecked("nothing may be compiled".to_owned()));
        }
        if let Some(why) = ownership::complaint(build.origin.path()) {
            return Err(Trouble::Refused(format!("the compile command is not run: {why}")));
        }
        let others: Vec<_> =
            task.others().filter_map(|document| Some((document.path.as_deref()?, &**document))).collect();
        let others = others.iter().filter(|(path, document)| !is_saved(path, document));
        let others: Vec<_> = others.map(|(path, document)| Unsaved { path, text: document.text.as_str() }).collect();
        let assemble = |text: &str| {
            let request = Request {
                argv: &build.argv,
                directory: &build.directory,
                source: Unsaved { path: &task.source, text },
                others: &others,
                compilers: &task.config.compilers,
                time: task.config.compile_timeout,
            };
            let compiled = compile::compile(&request, &self.scratch, cancel).map_err(|error| error.to_string())?;
            Ok(compiled.object)
        };
        let preprocessed = task.source.extension().is_some_and(|ending| ending == "S" || ending == "sx");
        let question = Question { text: task.document.text.as_str(), preprocessed, only: None, assemble: &assemble };
        let done = annotate::annotate(&question, cancel);
        cancel.check()?;
        done.map_err(|trouble| match trouble {
            annotate::Trouble::Cancelled => Trouble::Cancelled,
            other => Trouble::Failed(other.to_string()),
        })
    }

    fn inspect(
        &self,
        object: &Path,
        config: &Config,
        search: &Search,
        cancel: &CancelToken,
    ) -> Result<Verdict, Trouble> {
        let begin = Instant::now();
        let finder = self.finder(search);
        let build = finder.object(object).ok();
        let flags = build.as_ref().map_or_else(Flags::unknown, |build| build.flags.clone());
        let store: Arc<dyn Store> = Arc::new(FileStore::open(object).map_err(|error| failed(object, &error))?);
        if let Some(what) = Foreign::of(object) {
            return Err(Trouble::NotChecked(Skip::Foreign(what).words()));
        }
        let (analysis, notes) = analyse(&store, &flags, config, cancel)?;
        let tree = Tree { finder: &finder, objects: &self.tree_objects };
        let directory = build.as_ref().map_or(Path::new("/"), |build| &build.directory).to_owned();
        let text_of = move |name: &str| tree_objects::read_text(&normal(&directory.join(name)));
        let lines = tree.lines(Arc::clone(&store), object, &analysis, Box::new(text_of.clone()));
        let mut report = tree.report(object, &analysis, &lines, &text_of, build.as_ref());
        let unchecked = unchecked(&flags, config, &analysis);
        if unchecked.is_some() {
            report.findings.clear();
        }
        let names = Names::default();
        let files = names.of_report(&report, build.as_ref().map_or(Path::new("/"), |build| &build.directory));
        // Without a build, what is wrong with the object as a whole stands where something else is wrong with it.
        let named = report.findings.iter().find_map(|finding| files.get(finding.file.as_ref()?).cloned());
        let source = build.as_ref().and_then(|build| build.source.clone()).or(named);
        let source = source.unwrap_or_else(|| object.to_owned());
        let mut verdict = Verdict::new(source, Basis::Object(written(object)), report);
        verdict.notes = notes;
        verdict.unchecked = unchecked;
        self.known.leave_out(&mut verdict, config, search);
        verdict.files = files;
        verdict.pages = self.pages.addresses(verdict.codes());
        verdict.texts = names.texts(verdict.files.values());
        verdict.build = build.map(Arc::new);
        verdict.anatomy = Some(Arc::new(Anatomy::new(analysis, store, lines)));
        verdict.timing = Timing { compile: Duration::ZERO, own: begin.elapsed() };
        Ok(verdict)
    }
}

/// What the status says of a Rust file.
const RUST_IS_NOT_COMPILED: &str = "Rust is judged by the object that the build has left, and again after each build: compiling the text at hand would run the tree's procedural macros within rustc, which is foreign code";

/// Whether programs may be run for the workspace.
fn may_run(config: &Config) -> bool {
    config.trust != Trust::Untrusted && config.compile != CompileMode::Off
}

/// What is known of the other files of a build.
#[derive(Clone, Copy)]
struct Tree<'a> {
    finder: &'a Finder,
    objects: &'a TreeObjects,
}

impl Tree<'_> {
    fn lines(self, store: Arc<dyn Store>, object: &Path, analysis: &analysis::Analysis, texts: Box<TextOf>) -> Lines {
        let lines = Lines::new(store).with_texts(texts);
        tree_objects::with_naked_functions(lines, analysis, object, self.finder, &tree_objects::read_text)
    }

    /// The report with what the texts and the other objects add to it. Nothing is shown in files of Rust's own library.
    fn report(
        self,
        object: &Path,
        analysis: &analysis::Analysis,
        lines: &Lines,
        text_of: &dyn Fn(&str) -> Option<Arc<str>>,
        build: Option<&Build>,
    ) -> Report {
        let declared_by = |symbol: &str| self.objects.declares(&tree_objects::root_of(self.finder, object)?, symbol);
        let mut report = report::report(&object.display().to_string(), analysis, lines);
        report::labels::name_lines_by_text(&mut report, analysis, lines, text_of);
        report::statements::name_asm_statements(&mut report, analysis, lines, text_of);
        report::conditions::tell_conditions(&mut report, analysis, lines, text_of);
        let main = build.and_then(|build| build.source.as_deref()).map(Path::to_string_lossy);
        let command = build.map_or(&[][..], |build| &build.argv);
        causes::explain(&mut report, analysis, lines, &Sources { text_of, main: main.as_deref(), command });
        report::macros::name_macro_lines(&mut report, main.as_deref(), text_of);
        report::rust::tell(&mut report, analysis, lines, &Surroundings { text_of, declared_by: &declared_by });
        report.findings.retain(|finding| !finding.file.as_deref().is_some_and(is_rust_library));
        report
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Failed(format!("{}: {error}", path.display()))
}

/// One judgement of a source file.
struct Judging<'a> {
    task: &'a Task,
    build: Arc<Build>,
    tree: Tree<'a>,
    /// Taken before anything was read: what changes meanwhile has changed since.
    stamps: Vec<Stamp>,
    names: Names,
    begin: Instant,
    /// Counts compiles.
    counter: &'a AtomicUsize,
    cancel: &'a CancelToken,
}

impl Judging<'_> {
    fn judge(self, scratch: &Scratch) -> Result<Verdict, Trouble> {
        let config = &self.task.config;
        if is_rust(&self.task.source) {
            // Case 1, always.
            let mut verdict = self.by_object(Vec::new())?;
            verdict.notes.insert(0, RUST_IS_NOT_COMPILED.to_owned());
            return Ok(verdict);
        }
        if !may_run(config) {
            // Case 1.
            return self.by_object(Vec::new());
        }
        let unsaved = self.unsaved();
        if unsaved.is_empty()
            && let Some(verdict) = self.by_fresh_object()?
        {
            // Case 2.
            return Ok(verdict);
        }
        match self.by_text(scratch, &unsaved) {
            Err(Trouble::Refused(why)) => {
                // Case 4.
                self.by_object(vec![why])
            }
            // Case 3.
            verdict => verdict,
        }
    }

    /// The open documents whose text is not that of their file.
    fn unsaved(&self) -> Vec<(&Path, &Document)> {
        let open = self.task.others().chain([&self.task.document]);
        let named = open.filter_map(|document| Some((document.path.as_deref()?, &**document)));
        named.filter(|(path, document)| !is_saved(path, document)).collect()
    }

    /// Why there is no object, as the client is told.
    fn trouble(&self, error: CompileError) -> Trouble {
        match error {
            CompileError::Cancelled => Trouble::Cancelled,
            CompileError::Refused(why) => Trouble::Refused(format!("the compile command is not run: {why}")),
            CompileError::Rejected { first, complaints, .. } => {
                let named = |complaint: Complaint| Complaint { file: self.names.shown(&complaint.file), ..complaint };
                let complaints = complaints.into_iter().map(named).collect();
                Trouble::NotCompiled { first, complaints, version: self.task.document.version }
            }
            CompileError::TimedOut(_) | CompileError::TooLarge(_) | CompileError::Io(_) => {
                Trouble::Failed(error.to_string())
            }
        }
    }

    fn by_text(&self, scratch: &Scratch, unsaved: &[(&Path, &Document)]) -> Result<Verdict, Trouble> {
        let task = self.task;
        // A file may be compiled as a part of another one, which includes it.
        let main = match &self.build.source {
            Some(source) if !self.names.same(source, &task.source) => source.as_path(),
            _ => task.source.as_path(),
        };
        let on_disk;
        let text = match task.others().find(|other| other.path.as_deref() == Some(main)) {
            Some(document) => document.text.as_str(),
            None if main == task.source => task.document.text.as_str(),
            None => {
                on_disk = files::text(main, files::SOURCE).map_err(|error| failed(main, &error))?;
                &on_disk
            }
        };
        let others: Vec<_> = unsaved
            .iter()
            .filter(|(path, _)| *path != main)
            .map(|(path, document)| Unsaved { path, text: document.text.as_str() })
            .collect();
        if let Some(why) = ownership::complaint(self.build.origin.path()) {
            return Err(Trouble::Refused(format!("the compile command is not run: {why}")));
        }
        let request = Request {
            argv: &self.build.argv,
            directory: &self.build.directory,
            source: Unsaved { path: main, text },
            others: &others,
            compilers: &task.config.compilers,
            time: task.config.compile_timeout,
        };
        self.counter.fetch_add(1, Ordering::Relaxed);
        let compiled = compile::compile(&request, scratch, self.cancel).map_err(|error| self.trouble(error))?;
        let mut notes = Vec::new();
        if compiled.without_lto {
            notes.push("the build optimises at link time; the text was compiled without that".to_owned());
        }
        let mut verdict = self.verdict(Arc::new(compiled.object), Basis::Buffer, notes)?;
        verdict.includes = self.names.shown_all(compiled.files);
        verdict.includes.retain(|file| *file != task.source);
        let open = task.others().chain([&task.document]);
        verdict.versions = open.filter_map(|document| Some((document.path.clone()?, document.version))).collect();
        verdict.timing = Timing { compile: compiled.took, own: self.begin.elapsed().saturating_sub(compiled.took) };
        Ok(verdict)
    }

    /// The verdict of the object, if it was built from what is on disk, and that is what the user sees.
    fn by_fresh_object(&self) -> Result<Option<Verdict>, Trouble> {
        let Some(built) = written(&self.build.object) else {
            return Ok(None);
        };
        if written(&self.task.source).is_none_or(|edited| edited > built) {
            return Ok(None);
        }
        let verdict = self.by_object(Vec::new())?;
        let has_lines = verdict.anatomy.as_ref().is_some_and(|anatomy| anatomy.map().is_some());
        let is_older = verdict.includes.iter().any(|file| written(file).is_some_and(|edited| edited > built));
        Ok((has_lines && !is_older).then_some(verdict))
    }

    fn by_object(&self, notes: Vec<String>) -> Result<Verdict, Trouble> {
        let object = &self.build.object;
        if !object.exists() {
            return Err(match notes.into_iter().next() {
                Some(why) => Trouble::Refused(why),
                None => Trouble::ObjectMissing(object.clone()),
            });
        }
        let built = written(object);
        let store = FileStore::open(object).map_err(|error| failed(object, &error))?;
        let mut verdict = self.verdict(Arc::new(store), Basis::Object(built), notes)?;
        let names = verdict.anatomy.as_deref().and_then(Anatomy::map).map(|map| map.files()).unwrap_or_default();
        verdict.includes = self.names.shown_all(names.iter().map(|name| self.build.directory.join(&**name)));
        verdict.includes.retain(|file| *file != self.task.source);
        // A text belongs to the object when it is on disk and was there first. What has been typed since leads back to it.
        let before = self.task.previous.as_ref().filter(|previous| previous.basis == verdict.basis);
        let version = |path: &Path, document: &Document| {
            if is_saved(path, document) && written(path) <= built {
                return Some(document.version);
            }
            before?.versions.get(path).copied().filter(|version| *version < document.version)
        };
        let open = self.task.others().chain([&self.task.document]);
        let named = open.filter_map(|document| Some((document.path.clone()?, document)));
        verdict.versions =
            named.filter_map(|(path, document)| Some((path.clone(), version(&path, document)?))).collect();
        verdict.timing.own = self.begin.elapsed();
        Ok(verdict)
    }

    /// The text of a file that the debug information names, as it was compiled.
    fn text_of(&self, name: &str) -> Option<Arc<str>> {
        let path = normal(&self.build.directory.join(name));
        let mut open = self.task.others().chain([&self.task.document]);
        match open.find(|document| document.path.as_deref().is_some_and(|own| self.names.same(own, &path))) {
            Some(document) => Some(document.text.as_str().into()),
            None => files::text(&path, files::SOURCE).ok().map(Arc::from),
        }
    }

    /// The text that is judged, by the names that the debug information may have for it.
    fn own_text(&self) -> Box<TextOf> {
        let (names, directory) = (self.names.clone(), self.build.directory.clone());
        let (path, text): (_, Arc<str>) = (self.task.source.clone(), self.task.document.text.as_str().into());
        Box::new(move |name| {
            let is_own = names.same(&path, &normal(&directory.join(name)));
            is_own.then(|| Arc::clone(&text))
        })
    }

    /// Code of another word size has no objtool to contradict.
    fn explained(&self, trouble: Trouble) -> Trouble {
        match (self.build.flags.unchecked(), trouble) {
            (Some(why), Trouble::Failed(_)) => Trouble::NotChecked(why.words().to_owned()),
            (_, trouble) => trouble,
        }
    }

    /// What the rules for user space find, if the object is for user space and no kernel build made it.
    fn by_user_rules(&self, store: &Arc<dyn Store>) -> Result<Option<(Report, Tables)>, Trouble> {
        let task = self.task;
        let flags = &self.build.flags;
        if flags.options.is_some() || flags.for_kernel || !matches!(task.config.kernel, KernelChoice::Auto) {
            return Ok(None);
        }
        let names = ElfImage::section_names(store.as_ref()).map_err(|error| Trouble::Failed(error.to_string()))?;
        let is_vdso = flags.unchecked() == Some(&Unchecked::Vdso);
        if !is_vdso && !unwind::is_user_space(names.iter().map(String::as_str)) {
            return Ok(None);
        }
        let image = ElfImage::read(store.as_ref()).map_err(|error| Trouble::Failed(error.to_string()))?;
        let judgement = unwind::judge(store.as_ref(), &image, self.cancel)?;
        let lines = Lines::new(Arc::clone(store));
        let findings = report::unwind::findings(&image, &judgement, &lines, &|name| self.text_of(name));
        let no_source = lines.map(&image).err().map(ToString::to_string);
        let report = Report {
            object: self.build.object.display().to_string(),
            kernel: None,
            findings,
            unjudged: Vec::new(),
            no_source,
        };
        Ok(Some((report, Tables::new(image, Arc::clone(store), lines, judgement.without_table))))
    }

    fn verdict(&self, store: Arc<dyn Store>, basis: Basis, notes: Vec<String>) -> Result<Verdict, Trouble> {
        let flags = &self.build.flags;
        if let Some((report, tables)) = self.by_user_rules(&store)? {
            let mut verdict = Verdict::new(self.task.source.clone(), basis, report);
            verdict.tables = Some(Arc::new(tables));
            verdict.build = Some(Arc::clone(&self.build));
            verdict.stamps.clone_from(&self.stamps);
            verdict.files = self.names.of_report(&verdict.report, &self.build.directory);
            verdict.texts = self.names.texts(verdict.files.values());
            verdict.notes = notes.into_iter().chain(self.build.notes.iter().cloned()).collect();
            verdict
                .notes
                .push("judged by the rules for user space: unwind tables against what the code does".to_owned());
            return Ok(verdict);
        }
        let judged = analyse(&store, flags, &self.task.config, self.cancel);
        let (analysis, more) = judged.map_err(|trouble| self.explained(trouble))?;
        let lines = self.tree.lines(Arc::clone(&store), &self.build.object, &analysis, self.own_text());
        let mut report =
            self.tree.report(&self.build.object, &analysis, &lines, &|name| self.text_of(name), Some(&self.build));
        let is_whole = |source: &Path| self.names.same(source, &self.task.source);
        if is_rust(&self.task.source) && !self.build.source.as_deref().is_some_and(is_whole) {
            // A file of a crate does not speak for what has no line in any.
            report.findings.retain(|finding| finding.line.is_some());
        }
        let mut notes: Vec<String> = notes.into_iter().chain(more).chain(self.build.notes.iter().cloned()).collect();
        notes.extend(flags.caution());
        let unchecked = unchecked(flags, &self.task.config, &analysis);
        if unchecked.is_some() {
            report.findings.clear();
        }
        self.cancel.check()?;
        let mut verdict = Verdict::new(self.task.source.clone(), basis, report);
        verdict.build = Some(Arc::clone(&self.build));
        verdict.stamps.clone_from(&self.stamps);
        verdict.files = self.names.of_report(&verdict.report, &self.build.directory);
        verdict.texts = self.names.texts(verdict.files.values());
        verdict.anatomy = Some(Arc::new(Anatomy::new(analysis, store, lines)));
        verdict.notes = notes;
        verdict.unchecked = unchecked;
        Ok(verdict)
    }
}

/// Why kernel rules accuse nobody here, if so. Who names a release wants its rules, whatever the code is.
fn unchecked(flags: &Flags, config: &Config, analysis: &analysis::Analysis) -> Option<String> {
    let skip = guess::skipped(flags, &analysis.image)?;
    let is_told = config.kernel != KernelChoice::Auto && skip == Skip::Unchecked(Unchecked::NotKernel);
    (!is_told).then(|| skip.words())
}

/// Analyses an object by the flags that its build uses, or that it shows.
fn analyse(
    store: &Arc<dyn Store>,
    flags: &Flags,
    config: &Config,
    cancel: &CancelToken,
) -> Result<(analysis::Analysis, Vec<String>), Trouble> {
    let mut image = ElfImage::read(store.as_ref()).map_err(|error| Trouble::Failed(error.to_string()))?;
    let mut notes = Vec::new();
    let options = match &flags.options {
        Some(options) => options.clone(),
        None => {
            let guess = guess::flags(&image);
            notes.push(format!("objtool's flags are {}; taken from what the object shows", flags.explained()));
            guess.options
        }
    };
    // The tree that a file is built in knows its release better than the object shows it.
    let (kernel, evidence) = match (config.kernel, flags.kernel()) {
        (KernelChoice::Auto, Some((kernel, evidence))) => (kernel, Some(evidence)),
        (KernelChoice::Auto, None) => {
            let (kernel, evidence) = detect::detect(store.as_ref(), &image);
            (kernel, Some(evidence))
        }
        (KernelChoice::Fixed(kernel), _) => (kernel, None),
    };
    // The build's log is about the object as it was before objtool wrote to it.
    image.forget_additions();
    let tree = if config.kernel == KernelChoice::Auto { flags.facts(kernel) } else { None };
    notes.extend(tree.iter().flat_map(|tree| tree.problems.iter().cloned()));
    let kernel = KernelChoice::Fixed(kernel);
    let config = analysis::Config { options, kernel, policy: Policy::Everything, noreturn: config.noreturn.clone() };
    match analysis::analyse_image(image, store.as_ref(), &config, tree.as_deref(), cancel) {
        Ok(mut analysis) => {
            if let Some(evidence) = evidence {
                analysis.kernel_evidence = evidence;
            }
            let gaps = flags.undecided.iter().filter(|gap| gap.is_open(&analysis.open));
            let notes = gaps.map(ToString::to_string).chain(notes).collect();
            Ok((analysis, notes))
        }
        Err(AnalysisError::Cancelled(_)) => Err(Trouble::Cancelled),
        Err(AnalysisError::Load(error)) => Err(Trouble::Failed(error.to_string())),
    }
}

/// Whether the document is what its file holds.
fn is_saved(path: &Path, document: &Document) -> bool {
    let text = document.text.as_str().as_bytes();
    // Most unsaved texts have another length, which is known without reading.
    std::fs::metadata(path).is_ok_and(|meta| meta.len() == text.len() as u64)
        && files::read(path, files::SOURCE).is_ok_and(|bytes| bytes == text)
}
