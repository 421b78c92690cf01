//! What other objects of the same build say: which functions they declare never to return; and the Rust texts that an
//! object was made from.
//!
//! In: an object's path, the tree it was built in.  Out: answers that a report asks for.
//! Holds afterwards: an object of the tree is read when it is asked about first, and again when it has changed; one that
//! is missing, too large or without debug info declares nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::analysis::Analysis;
use crate::build::Finder;
use crate::files;
use crate::image::{ElfImage, FileStore};
use crate::mangled;
use crate::report::rust::naked::{self, SourceText};
use crate::source_map::{Lines, SourceMap};

/// Larger objects are not read for a list of names.
const MAX_OBJECT: u64 = 1 << 30;
/// Larger texts are no sources.
const MAX_TEXT: u64 = 16 << 20;
/// A crate of more files is not looked through for a function.
const MAX_TEXTS: usize = 4096;

/// The objects of the kernel's own crates, by the crate that a name starts with.
const CRATES: [(&str, &str); 4] = [
    ("core", "rust/core.o"),
    ("alloc", "rust/alloc.o"),
    ("kernel", "rust/kernel.o"),
    ("compiler_builtins", "rust/compiler_builtins.o"),
];

/// What was read from objects, kept for as long as they stay the same.
#[derive(Debug, Default)]
pub struct TreeObjects {
    read: Mutex<FxHashMap<PathBuf, (Option<SystemTime>, Names)>>,
}

/// Functions by their paths.
type Names = Arc<FxHashSet<String>>;

impl TreeObjects {
    /// The object in the build tree `root` that declares the function `symbol` never to return.
    pub fn declares(&self, root: &Path, symbol: &str) -> Option<String> {
        let key = mangled::key(symbol);
        if !mangled::is_mangled(symbol) {
            return None;
        }
        let named =
            |name: &str| key.trim_start_matches('<').strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
        // Methods of built-in types are `core`'s: `<[T]>::copy_from_slice::len_mismatch_fail`.
        let own =
            CRATES.iter().find(|(name, _)| named(name)).or_else(|| CRATES.iter().find(|(name, _)| *name == "core"));
        let (_, object) = own?;
        self.of(&root.join(object)).contains(&*key).then(|| format!("the tree's own {object}"))
    }

    fn of(&self, object: &Path) -> Names {
        let written = std::fs::metadata(object).and_then(|meta| meta.modified()).ok();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = read.get(object).filter(|(of, _)| *of == written) {
            return Arc::clone(known);
        }
        let names: Names = Arc::new(declared(object).unwrap_or_default());
        read.insert(object.to_owned(), (written, Arc::clone(&names)));
        names
    }
}

fn declared(object: &Path) -> Option<FxHashSet<String>> {
    std::fs::metadata(object).ok().filter(|meta| meta.is_file() && meta.len() <= MAX_OBJECT)?;
    let store = FileStore::open(object).ok()?;
    let image = ElfImage::read(&store).ok()?;
    let map = SourceMap::load(&store, &image).ok()?;
    let functions = map.functions().into_iter().filter(|function| function.noreturn);
    Some(functions.map(|function| mangled::key(&function.name).into_owned()).collect())
}

/// The build tree that holds the kernel's own crates, for an object of the tree or of a module built against it.
pub fn root_of(finder: &Finder, object: &Path) -> Option<PathBuf> {
    let has_core = |root: &Path| root.join(CRATES[0].1).exists();
    let built_in = finder.object(object).ok().map(|build| build.directory).filter(|root| has_core(root));
    built_in.or_else(|| {
        let object = std::path::absolute(object).ok()?;
        object.ancestors().skip(1).find(|root| has_core(root)).map(Path::to_owned)
    })
}

/// The lines of an object, those of its naked functions found in its texts. `text_of` gives a file's text.
pub fn with_naked_functions(
    lines: Lines,
    analysis: &Analysis,
    object: &Path,
    finder: &Finder,
    text_of: &dyn Fn(&Path) -> Option<Arc<str>>,
) -> Lines {
    if !naked::is_rust_object(analysis) {
        return lines;
    }
    let unplaced = naked::unplaced(analysis, lines.map(&analysis.image).ok());
    if unplaced.is_empty() {
        return lines;
    }
    let mut files = finder.rust_files(object);
    if files.is_empty() {
        let by_crate = naked::crate_name(analysis).map(|name| object.with_file_name(format!("{name}.rs")));
        files.extend([object.with_extension("rs")].into_iter().chain(by_crate).filter(|file| file.exists()));
        files.dedup();
    }
    let text = |file: &PathBuf| -> Option<SourceText> { Some((file.to_str()?.into(), text_of(file)?)) };
    let texts: Vec<SourceText> = files.iter().take(MAX_TEXTS).filter_map(text).collect();
    let rows = naked::rows(analysis, &unplaced, &texts);
    lines.with_text_rows(&analysis.image, rows)
}

/// The text of a file on disk.
pub fn read_text(file: &Path) -> Option<Arc<str>> {
    files::text(file, MAX_TEXT).ok().map(Arc::from)
}
