//! Where the files are that a text of assembly includes, and what its compiler is told.
//!
//! In: a [`View`], its compile command if there is one.  Out: [`Preprocessed`].
//! Holds afterwards: without a command the folders are those of the kernel tree around the file; no compiler was asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assembly::preprocess::{Include, Includes, Options, Parsed, Preprocessed, preprocess};
use crate::build::Build;
use crate::build::normal;

use super::super::snapshot::Snapshot;
use super::files::Run;
use super::view::View;

/// A document after the preprocessor.
pub fn preprocessed(view: &View<'_>) -> Arc<Preprocessed> {
    let search = Search::of(view);
    let files = &view.snapshot.assembly;
    let options = (search.options.clone(), search.folders.clone());
    let fingerprint = view.parsed.fingerprint();
    let is_current = |path: &Path, parsed: &Arc<Parsed>| match view.snapshot.documents.of_path(path) {
        Some(document) => Arc::ptr_eq(&document.parsed(), parsed),
        None => files.is_current(path, parsed),
    };
    if let Some(done) = files.last_run(view.path, fingerprint, &options)
        && done.parts.iter().skip(1).all(|part| is_current(&part.path, &part.parsed))
    {
        return done;
    }
    let done = Arc::new(preprocess(view.path, Arc::clone(&view.parsed), &search.options, &search));
    files.keep_run(view.path, Run { fingerprint, options, done: Arc::clone(&done) });
    done
}

/// How the files of one text are found.
pub struct Search<'a> {
    snapshot: &'a Snapshot,
    options: Options,
    folders: Vec<PathBuf>,
}

impl<'a> Search<'a> {
    /// By the compile command of the text or of one that includes it, or else by the kernel tree around it.
    pub fn of(view: &View<'a>) -> Search<'a> {
        let snapshot = view.snapshot;
        let known = snapshot.users_of(view.path).find_map(|unit| unit.last.as_ref()?.build.clone());
        let build = known.or_else(|| snapshot.engine.build(view.path, &snapshot.search()));
        let (mut options, mut folders) = match build {
            Some(build) => by_command(&build),
            None => by_tree(view.path, snapshot),
        };
        let define = |name: &str| (name.to_owned(), "1".to_owned());
        if !options.defines.iter().any(|(name, _)| name == "__ASSEMBLY__") {
            options.defines.push(define("__ASSEMBLY__"));
        }
        options.defines.push(define("__ASSEMBLER__"));
        folders.dedup();
        options.configured = folders.iter().any(|folder| folder.join("generated/autoconf.h").is_file());
        Search { snapshot, options, folders }
    }

    /// The file that `include` means in a file at `from`.
    pub fn path(&self, from: &Path, include: &Include) -> Option<PathBuf> {
        let beside = from.parent().filter(|_| include.quoted);
        let mut all = beside.into_iter().chain(self.folders.iter().map(PathBuf::as_path));
        all.find_map(|folder| {
            let path = normal(&folder.join(&include.name));
            let is_there = self.snapshot.documents.of_path(&path).is_some() || path.is_file();
            is_there.then_some(path)
        })
    }

    /// What the compiler is told.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The folders in which names in brackets are looked for.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

impl Includes for Search<'_> {
    fn find(&self, from: &Path, include: &Include) -> Option<(PathBuf, Arc<Parsed>)> {
        let path = self.path(from, include)?;
        let parsed = self.snapshot.assembly.parsed(&self.snapshot.documents, &path)?;
        Some((path, parsed))
    }
}

/// `-I`, `-isystem`, `-iquote`, `-include` and `-D` of a command.
fn by_command(build: &Build) -> (Options, Vec<PathBuf>) {
    let (mut options, mut folders) = (Options::default(), Vec::new());
    let below = |name: &str| normal(&build.directory.join(name));
    let mut words = build.argv.iter().map(String::as_str);
    while let Some(word) = words.next() {
        for (flag, longer) in [("-isystem", true), ("-iquote", true), ("-include", true), ("-I", false), ("-D", false)]
        {
            let Some(rest) = word.strip_prefix(flag).filter(|rest| !longer || rest.is_empty()) else { continue };
            let value = if rest.is_empty() { words.next() } else { Some(rest) };
            let Some(value) = value else { break };
            match flag {
                "-include" => options.first.push(below(value)),
                "-D" => {
                    let (name, text) = value.split_once('=').unwrap_or((value, "1"));
                    options.defines.push((name.to_owned(), text.to_owned()));
                }
                _ => folders.push(below(value)),
            }
            break;
        }
    }
    (options, folders)
}

/// The folders of the kernel tree that a file is in: top-level Makefile, `LINUXINCLUDE`.
fn by_tree(path: &Path, snapshot: &Snapshot) -> (Options, Vec<PathBuf>) {
    let is_root =
        |folder: &&Path| folder.join("arch/x86/include/asm").is_dir() && folder.join("include/linux").is_dir();
    let Some(root) = path.ancestors().skip(1).find(is_root) else {
        return (Options::default(), Vec::new());
    };
    let mut roots = vec![root.to_owned()];
    roots.extend(snapshot.search().build_dir);
    let names = [
        "arch/x86/include",
        "arch/x86/include/generated",
        "include",
        "arch/x86/include/uapi",
        "arch/x86/include/generated/uapi",
        "include/uapi",
        "include/generated/uapi",
    ];
    let all = names.iter().flat_map(|name| roots.iter().map(move |root| root.join(name)));
    let folders: Vec<PathBuf> = all.filter(|folder| folder.is_dir()).collect();
    let define = |name: &str| (name.to_owned(), "1".to_owned());
    let options = Options {
        defines: vec![define("__KERNEL__"), define("CONFIG_X86_64"), define("CONFIG_X86")],
        first: vec![root.join("include/linux/kconfig.h")],
        configured: false,
    };
    (options, folders)
}
