//! What the files of the workspace define and name, so that a question reads no more of them than what answers it.
//!
//! In: the workspace folders.  Out: [`Index`]: the files of C that define a symbol, the files of assembly that have a word.
//! Holds afterwards: a file is read again when it is another one than before, for its names only; what is told is to be
//! looked up in the text at hand, so that an old entry misleads nobody; at most `MAX_NAMES` names are kept, each in eight
//! bytes. Nothing is told before all files were read.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHasher};

use crate::assembly::is_assembly_name;
use crate::c_symbols;
use crate::cancel::{CancelToken, Cancelled};
use crate::files::{self, Stamp};

use super::list::{ASSEMBLY, walk};

/// More names are not kept.
const MAX_NAMES: usize = 8 << 20;
/// Larger files are not read.
const MAX_FILE: u64 = 4 << 20;
/// How long what was read holds, if nobody tells of a change.
const AGE: Duration = Duration::from_secs(60);
/// A change that is told of is looked for so soon at the earliest: a build writes a thousand files.
const SETTLE: Duration = Duration::from_secs(2);

/// A name, for comparing.
fn digest(name: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(name.as_bytes());
    (hasher.finish() >> 32) as u32
}

/// The names of a file.
#[derive(Clone, Debug)]
struct Entry {
    stamp: Stamp,
    names: Arc<[u32]>,
}

/// All names, to be looked up.
#[derive(Debug, Default)]
struct Table {
    files: Vec<Arc<Path>>,
    /// Each name with a file of C that defines it, by name.
    defined: Vec<(u32, u32)>,
    /// Each name with a file of assembly that it occurs in, by name.
    named: Vec<(u32, u32)>,
    /// The files of assembly.
    assembly: Arc<Vec<PathBuf>>,
}

impl Table {
    fn of(&self, list: &[(u32, u32)], name: &str) -> Vec<Arc<Path>> {
        let name = digest(name);
        let first = list.partition_point(|(other, _)| *other < name);
        let all = list.get(first..).unwrap_or_default().iter().take_while(|(other, _)| *other == name);
        all.filter_map(|(_, file)| self.files.get(*file as usize).cloned()).collect()
    }
}

#[derive(Debug, Default)]
struct State {
    roots: Vec<PathBuf>,
    /// When the last reading began.
    begun: Option<Instant>,
    is_running: bool,
    /// A change was told of since.
    is_stale: bool,
    files: FxHashMap<Arc<Path>, Entry>,
    table: Option<Arc<Table>>,
}

/// The index. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Index(Arc<Mutex<State>>);

impl Index {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock may panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the folders are to be read now; if so, [`read`](Index::read) has to follow.
    pub fn begin(&self, roots: &[PathBuf]) -> bool {
        let mut state = self.lock();
        let age = state.begun.map(|begun| begun.elapsed());
        let is_old = age.is_none_or(|age| age >= AGE || (state.is_stale && age >= SETTLE));
        if roots.is_empty() || state.is_running || (!is_old && state.roots == roots) {
            return false;
        }
        if state.roots != roots {
            // What other folders hold is not the answer.
            (state.roots, state.table) = (roots.to_vec(), None);
        }
        (state.is_running, state.is_stale, state.begun) = (true, false, Some(Instant::now()));
        true
    }

    /// What was begun will not be done.
    pub fn give_up(&self) {
        let mut state = self.lock();
        (state.is_running, state.begun) = (false, None);
    }

    /// Files have changed.
    pub fn touch(&self) {
        self.lock().is_stale = true;
    }

    /// Reads what has changed in the folders.
    pub fn read(&self, roots: &[PathBuf], cancel: &CancelToken) -> Result<(), Cancelled> {
        let mut paths = Vec::new();
        let endings = [&ASSEMBLY[..], &["c"]].concat();
        for root in roots {
            paths.extend(walk(root, &endings, cancel)?);
        }
        // What is asked for first is read first.
        paths.sort_by_cached_key(|path| (!is_assembly_name(path), path.clone()));
        paths.dedup();
        let mut n_names = 0;
        let mut kept: FxHashMap<Arc<Path>, Entry> = FxHashMap::default();
        for path in paths {
            cancel.check()?;
            let Some(stamp) = Stamp::of(&path) else { continue };
            let known =
                self.lock().files.get_key_value(path.as_path()).map(|(path, entry)| (path.clone(), entry.clone()));
            let (path, entry) = match known.filter(|(_, entry)| entry.stamp == stamp) {
                Some(known) => known,
                None => {
                    let path: Arc<Path> = path.into();
                    let entry = Entry { stamp, names: names(&path).into() };
                    self.lock().files.insert(Arc::clone(&path), entry.clone());
                    (path, entry)
                }
            };
            n_names += entry.names.len();
            if n_names > MAX_NAMES {
                tracing::warn!("more names than are kept: definitions in {} and behind are not found", path.display());
                break;
            }
            kept.insert(path, entry);
        }
        let table = table(&kept);
        let mut state = self.lock();
        (state.files, state.table, state.is_running) = (kept, Some(Arc::new(table)), false);
        Ok(())
    }

    fn table(&self) -> Option<Arc<Table>> {
        self.lock().table.clone()
    }

    /// The files of C that define a symbol; `None` as long as not all were read.
    pub fn defining(&self, name: &str) -> Option<Vec<Arc<Path>>> {
        self.table().map(|table| table.of(&table.defined, name))
    }

    /// The files of assembly that a word occurs in.
    pub fn naming(&self, name: &str) -> Option<Vec<Arc<Path>>> {
        self.table().map(|table| table.of(&table.named, name))
    }

    /// The files of assembly, in order.
    pub fn assembly(&self) -> Option<Arc<Vec<PathBuf>>> {
        self.table().map(|table| Arc::clone(&table.assembly))
    }

    /// Whether a file does not define a symbol, as far as files were read by now.
    pub fn lacks(&self, path: &Path, name: &str) -> bool {
        self.lock().files.get(path).is_some_and(|entry| entry.names.binary_search(&digest(name)).is_err())
    }
}

/// The names of a file, in order: what C defines, and every word of assembly.
fn names(path: &Path) -> Vec<u32> {
    let Ok(text) = files::text(path, MAX_FILE) else { return Vec::new() };
    let mut names: Vec<u32> = match is_assembly_name(path) {
        true => words(&text).map(digest).collect(),
        false => c_symbols::symbols(&text).iter().map(|symbol| digest(&symbol.name)).collect(),
    };
    names.sort_unstable();
    names.dedup();
    names
}

/// The words of a text of assembly, those of comments too.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$') || !c.is_ascii();
    text.split(move |c| !is_part(c)).filter(|word| !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit()))
}

fn table(files: &FxHashMap<Arc<Path>, Entry>) -> Table {
    let mut paths: Vec<&Arc<Path>> = files.keys().collect();
    paths.sort();
    let mut table = Table::default();
    let mut assembly = Vec::new();
    for path in paths {
        let Ok(number) = u32::try_from(table.files.len()) else { break };
        let list = match is_assembly_name(path) {
            true => {
                assembly.push(path.to_path_buf());
                &mut table.named
            }
            false => &mut table.defined,
        };
        list.extend(files.get(path).iter().flat_map(|entry| entry.names.iter()).map(|name| (*name, number)));
        table.files.push(Arc::clone(path));
    }
    for list in [&mut table.defined, &mut table.named] {
        list.sort_unstable();
        list.shrink_to_fit();
    }
    table.assembly = Arc::new(assembly);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(list: Option<Vec<Arc<Path>>>, folder: &Path) -> Vec<String> {
        let list = list.expect("read");
        list.iter().map(|path| path.strip_prefix(folder).expect("inside").display().to_string()).collect()
    }

    #[test]
    fn changes_are_read_and_nothing_is_told_before_all_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("a.c", "int f(void)\n{\n}\nstatic int g;\n");
        write("b.S", "f:\tcall h # word\n");
        write("c.S", "\tjmp f\n");
        let (index, roots, cancel) = (Index::default(), [folder.path().to_owned()], CancelToken::default());
        assert!(index.begin(&roots) && !index.begin(&roots));
        assert_eq!(index.defining("f"), None);
        index.read(&roots, &cancel).expect("not cancelled");
        assert_eq!(told(index.defining("f"), folder.path()), ["a.c"]);
        assert!(told(index.defining("g"), folder.path()).is_empty());
        assert_eq!(told(index.naming("f"), folder.path()), ["b.S", "c.S"]);
        assert_eq!(told(index.naming("word"), folder.path()), ["b.S"]);
        assert!(index.lacks(&folder.path().join("a.c"), "g") && !index.lacks(&folder.path().join("a.c"), "f"));

        write("a.c", "int longer(void)\n{\n}\n");
        std::fs::remove_file(folder.path().join("c.S")).expect("removed");
        assert!(!index.begin(&roots));
        index.read(&roots, &cancel).expect("not cancelled");
        assert!(told(index.defining("f"), folder.path()).is_empty());
        assert_eq!(told(index.defining("longer"), folder.path()), ["a.c"]);
        assert_eq!(told(index.naming("f"), folder.path()), ["b.S"]);

        // Other folders: what is known of these does not count.
        let other = tempfile::tempdir().expect("a folder");
        assert!(index.begin(&[other.path().to_owned()]));
        assert_eq!(index.defining("longer"), None);
        index.give_up();
        assert!(index.begin(&roots));
    }

    #[test]
    fn a_reading_that_is_cancelled_tells_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.c"), "int f;\n").expect("written");
        let (index, roots, cancel) = (Index::default(), [folder.path().to_owned()], CancelToken::default());
        cancel.cancel();
        assert!(index.begin(&roots));
        assert!(index.read(&roots, &cancel).is_err());
        assert_eq!(index.defining("f"), None);
    }
}
