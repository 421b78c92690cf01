//! Where a symbol that no assembly defines is defined in C, and which of several definitions a text means.
//!
//! In: [`View`], a name.  Out: [`Place`]s, as they are in the texts at hand.
//! Holds afterwards: a place is one where C defines the symbol for other files. Before the workspace is indexed, its files
//! are read until one is found.
//!
//! Of several definitions those are left out that cannot be meant:
//!
//! | case | left out |
//! |---|---|
//! | 1 | those of programs of their own that the text is no part of: `arch/x86/boot`, `tools` |
//! | 2 | `NAME_32.c`, where the same is found elsewhere, or `NAME_64.c` for a text that is `_32.S` itself |
//! | 3 | those in lines that the configuration leaves out |
//! | 4 | those of files without an object, where others have one |
//! | 5 | weak ones, where others are not |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assembly::condition::Known;
use crate::assembly::preprocess::{Include, Includes, Options, Parsed, preprocess};
use crate::c_symbols::symbols;
use crate::cancel::{CancelToken, Cancelled};
use crate::files;

use super::super::super::assembly::includes::Search;
use super::super::super::assembly::view::{Place, View};

/// Bytes of C that are read for one symbol before the workspace is indexed.
const MAX_SEARCHED: u64 = 256 << 20;
/// More files of C that define one symbol are not looked into.
const MAX_FILES: usize = 64;

/// A definition.
struct Found {
    place: Place,
    is_weak: bool,
}

/// Where C defines a symbol that the text means.
pub fn in_c(view: &View<'_>, name: &str, cancel: &CancelToken) -> Result<Vec<Place>, Cancelled> {
    let index = view.snapshot.assembly.index();
    let programs = Programs::of(view);
    let Some(mut paths) = index.defining(name) else { return by_reading(view, &programs, name, cancel) };
    // Of an open document the text counts.
    let open = view.snapshot.documents.all();
    let open = open.iter().filter_map(|document| document.path.as_deref());
    paths.extend(open.filter(|path| is_c(path) && programs.root_of(path).is_some()).map(Arc::from));
    paths.sort();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths.iter().filter(|path| programs.is_same(path)).take(MAX_FILES) {
        cancel.check()?;
        found.extend(in_file(view, path, name));
    }
    Ok(meant(view, &programs, found))
}

fn is_c(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "c")
}

/// What is written in a file: in its document, if it is open.
fn text_of(view: &View<'_>, path: &Path) -> Option<String> {
    match view.snapshot.documents.of_path(path) {
        Some(document) => Some(document.text.as_str().to_owned()),
        None => files::text(path, files::SOURCE).ok(),
    }
}

/// The definitions of a symbol in one file.
fn in_file(view: &View<'_>, path: &Path, name: &str) -> Vec<Found> {
    let Some(text) = text_of(view, path) else { return Vec::new() };
    let same = symbols(&text).into_iter().filter(|symbol| symbol.name == name);
    let found = same.map(|symbol| {
        let before = text.get(..symbol.at).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let place = Place { path: path.to_owned(), line, column, length: symbol.length };
        Found { place, is_weak: symbol.is_weak }
    });
    found.collect()
}

/// As long as the index is not there: the folders near the text first.
fn by_reading(
    view: &View<'_>,
    programs: &Programs<'_>,
    name: &str,
    cancel: &CancelToken,
) -> Result<Vec<Place>, Cancelled> {
    let near =
        ["arch/x86", "kernel", "lib", "mm", "init", "fs", "block", "crypto", "drivers", "net", "security", "sound"];
    let mut left = MAX_SEARCHED;
    for (root, is_kernel) in &programs.roots {
        let beside = view.path.parent().filter(|folder| folder.starts_with(root)).map(Path::to_owned);
        let mut folders: Vec<PathBuf> = beside.into_iter().collect();
        match is_kernel {
            true => folders.extend(near.iter().map(|name| root.join(name))),
            false => folders.push(root.clone()),
        }
        for folder in folders {
            let found = below(view, programs, &folder, name, &mut left, cancel)?;
            if !found.is_empty() {
                return Ok(meant(view, programs, found));
            }
        }
    }
    Ok(Vec::new())
}

fn below(
    view: &View<'_>,
    programs: &Programs<'_>,
    folder: &Path,
    name: &str,
    left: &mut u64,
    cancel: &CancelToken,
) -> Result<Vec<Found>, Cancelled> {
    let mut found = Vec::new();
    let index = view.snapshot.assembly.index();
    for path in view.snapshot.assembly.below(folder, &["c"], cancel)?.iter() {
        cancel.check()?;
        let is_open = view.snapshot.documents.of_path(path).is_some();
        if !programs.is_same(path) || (!is_open && index.lacks(path, name)) {
            continue;
        }
        let Some(size) = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len()) else {
            continue;
        };
        *left = left.saturating_sub(size);
        if *left == 0 {
            break;
        }
        found.extend(in_file(view, path, name));
    }
    Ok(found)
}

/// The programs that the files of the workspace folders are parts of.
pub struct Programs<'a> {
    text: &'a Path,
    /// The workspace folders, and whether each is a kernel's.
    roots: Vec<(PathBuf, bool)>,
}

impl<'a> Programs<'a> {
    /// Those of the workspace that the text is in.
    pub fn of(view: &View<'a>) -> Programs<'a> {
        let with_kind = |root: PathBuf| {
            let is_kernel = is_kernel(&root);
            (root, is_kernel)
        };
        Programs { text: view.path, roots: view.roots().into_iter().map(with_kind).collect() }
    }

    /// The workspace folder that a file is in, and whether it is a kernel's.
    fn root_of(&self, path: &Path) -> Option<&(PathBuf, bool)> {
        self.roots.iter().find(|(root, _)| path.starts_with(root))
    }

    /// Case 1: whether a file may be a part of the program that the text is a part of.
    pub fn is_same(&self, path: &Path) -> bool {
        let Some((root, true)) = self.root_of(path) else { return true };
        let (own, other) = (program(root, self.text), program(root, path));
        // The boot code and the tools bring in files of the kernel's by `#include`.
        own == other || other == Path::new("")
    }

    /// Whether a file is a part of the very program that the text is a part of.
    pub fn is_own(&self, path: &Path) -> bool {
        self.of_kernel(path) == self.of_kernel(self.text)
    }

    fn of_kernel<'p>(&self, path: &'p Path) -> &'p Path {
        let root = self.roots.iter().find(|(root, is_kernel)| *is_kernel && path.starts_with(root));
        root.map_or(Path::new(""), |(root, _)| program(root, path))
    }
}

fn is_kernel(root: &Path) -> bool {
    root.join("arch/x86").is_dir()
}

/// The folder of the program that a file of a kernel tree is a part of; that of the kernel is empty.
fn program<'a>(root: &Path, path: &'a Path) -> &'a Path {
    const KERNEL: &str = "";
    let Ok(below) = path.strip_prefix(root) else { return Path::new(KERNEL) };
    let is_in = |folder: &str| below.starts_with(folder);
    let is_named = |names: &[&str]| names.iter().any(|name| below.file_name().is_some_and(|own| own == *name));
    // arch/x86/boot/compressed/Makefile links the stub of EFI.
    if is_in("arch/x86/boot/compressed") || is_in("drivers/firmware/efi/libstub") {
        return Path::new("arch/x86/boot/compressed");
    }
    if is_in("arch/x86/entry/vdso") && is_named(&["vma.c", "extable.c"]) {
        return Path::new(KERNEL);
    }
    let own = [
        "arch/x86/boot/startup",
        "arch/x86/boot",
        "arch/x86/realmode/rm",
        "arch/x86/purgatory",
        "arch/x86/entry/vdso",
        "arch/x86/um",
        "arch/um",
    ];
    match own.into_iter().find(|folder| is_in(folder)) {
        // It is linked into the kernel and into what unpacks it.
        Some("arch/x86/boot/startup") => Path::new(KERNEL),
        Some(folder) => Path::new(folder),
        None if ["tools", "scripts", "samples", "usr", "Documentation", "arch/x86/tools"].into_iter().any(is_in) => {
            below.parent().unwrap_or(below)
        }
        None => Path::new(KERNEL),
    }
}

/// Those of several definitions that may be meant.
fn meant(view: &View<'_>, programs: &Programs<'_>, mut found: Vec<Found>) -> Vec<Place> {
    prefer(&mut found, |found| programs.is_own(&found.place.path));
    prefer(&mut found, |found| is_own_width(view, &found.place.path));
    if found.len() > 1 {
        let search = Search::of(view);
        let mut kept: Option<(PathBuf, Vec<Known>)> = None;
        prefer(&mut found, |found| {
            let path = &found.place.path;
            if kept.as_ref().is_none_or(|(of, _)| of != path) {
                kept = Some((path.clone(), kept_lines(view, &search, path)));
            }
            kept.as_ref().and_then(|(_, kept)| kept.get(found.place.line)) != Some(&Known::No)
        });
        let built = view.snapshot.search().build_dir;
        prefer(&mut found, |found| {
            let path = &found.place.path;
            let of_build = programs
                .root_of(path)
                .zip(built.as_ref())
                .and_then(|((root, _), built)| Some(built.join(path.strip_prefix(root).ok()?)));
            of_build.unwrap_or_else(|| path.clone()).with_extension("o").is_file()
        });
        prefer(&mut found, |found| !found.is_weak);
    }
    let mut places: Vec<Place> = found.into_iter().map(|found| found.place).collect();
    places.dedup();
    places
}

/// Keeps those that are wanted, if there are such.
pub fn prefer<T>(found: &mut Vec<T>, mut is_wanted: impl FnMut(&T) -> bool) {
    let wanted: Vec<bool> = found.iter().map(&mut is_wanted).collect();
    if wanted.contains(&true) {
        let mut wanted = wanted.into_iter();
        found.retain(|_| wanted.next().unwrap_or(true));
    }
}

/// Case 2: the kernel keeps what differs in `NAME_32.c` and `NAME_64.c`.
pub fn is_own_width(view: &View<'_>, path: &Path) -> bool {
    let other = if is_of_width(view.path, "_32") { "_64" } else { "_32" };
    !is_of_width(path, other)
}

fn is_of_width(path: &Path, end: &str) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(end))
}

/// Of each line of a file of C whether the configuration keeps it.
fn kept_lines(view: &View<'_>, search: &Search<'_>, path: &Path) -> Vec<Known> {
    let text = text_of(view, path).unwrap_or_default();
    let mut options: Options = search.options().clone();
    options.defines.retain(|(name, _)| !name.starts_with("__ASSEMBL"));
    let only = Configuration { search, first: &options.first, path };
    let done = preprocess(path, Arc::new(Parsed::of_directives(&text)), &options, &only);
    done.parts.first().map(|part| part.kept_lines().to_vec()).unwrap_or_default()
}

/// Finds what every compile includes, and nothing of what the text does: that is a thousand headers.
struct Configuration<'a> {
    search: &'a Search<'a>,
    first: &'a [PathBuf],
    path: &'a Path,
}

impl Includes for Configuration<'_> {
    fn find(&self, from: &Path, include: &Include) -> Option<(PathBuf, Arc<Parsed>)> {
        let is_first = self.first.iter().any(|first| first.display().to_string() == include.name);
        (from != self.path || is_first).then(|| self.search.find(from, include)).flatten()
    }
}
