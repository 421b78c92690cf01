//! An index in the user's cache, for the next session.
//!
//! In: an [`Index`].  Out: a file per linked object; read again, the index that was written.
//! Holds afterwards: the tree is not written to. A file that is not whole, is of another version of orcls, of another tree
//! or was read by other rules is no index; whether its objects are still the same is for the reader to ask. Several servers
//! may write at once: each renames a whole file into place. At most [`MOST`] are kept.

use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::files;

use super::index::{Index, Known};

/// Another number, another meaning of what is written.
const FORMAT: u32 = 2;
/// Files that are kept; the one that was written longest ago goes.
const MOST: usize = 8;
/// A full-size kernel's has a few ten megabytes.
const MAX_FILE: u64 = 128 << 20;
const ENDING: &str = "index";

#[derive(Serialize, Deserialize)]
struct Written {
    directory: PathBuf,
    whole: PathBuf,
    key: String,
    is_whole: bool,
    members: Vec<Known>,
}

/// Where indexes are kept; nowhere, for a user without a cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The user's (XDG Base Directory Specification, `XDG_CACHE_HOME`).
    pub(super) fn of_user() -> Cache {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Cache { folder: cache.map(|cache| cache.join("orcls").join("index")) }
    }

    /// In this folder.
    pub(super) fn at(folder: &Path) -> Cache {
        Cache { folder: Some(folder.to_owned()) }
    }

    fn file(&self, whole: &Path) -> Option<PathBuf> {
        let mut hasher = FxHasher::default();
        hasher.write(whole.as_os_str().as_encoded_bytes());
        Some(self.folder.as_ref()?.join(format!("{:016x}.{ENDING}", hasher.finish())))
    }

    /// The index of what is linked to `whole` in a build directory, as it was kept.
    pub(super) fn read(&self, directory: &Path, whole: &Path, key: &str) -> Option<Index> {
        let bytes = files::read(&self.file(whole)?, MAX_FILE).ok()?;
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let (head, body) = (bytes.get(..end)?, bytes.get(end + 1..)?);
        if head != head_of(body).as_bytes() {
            return None;
        }
        let written: Written = serde_json::from_slice(body).ok()?;
        let Written { directory: of, whole: to, key: by, is_whole, members } = written;
        (of == directory && to == whole && by == key).then(|| Index::from((of, to), by, members, is_whole))
    }

    /// Keeps an index; whether that was done. Where not, the next session makes it anew.
    pub(super) fn write(&self, index: &Index, is_whole: bool) -> bool {
        let (Some(path), Some(folder)) = (self.file(&index.whole), &self.folder) else { return false };
        let (directory, whole, key) = (index.directory.clone(), index.whole.clone(), index.key.clone());
        let written = Written { directory, whole, key, is_whole, members: index.members.clone() };
        let Some(body) = serde_json::to_vec(&written).ok().filter(|body| (body.len() as u64) < MAX_FILE) else {
            return false;
        };
        let mut bytes = head_of(&body).into_bytes();
        bytes.push(b'\n');
        bytes.extend(body);
        let own = folder.join(format!(".{}.{:?}", std::process::id(), std::thread::current().id()));
        let put =
            || fs::create_dir_all(folder).and_then(|()| fs::write(&own, bytes)).and_then(|()| fs::rename(&own, &path));
        let is_kept = put().is_ok();
        if !is_kept {
            // It may not even have been begun.
            let _ = fs::remove_file(&own);
        }
        tidy(folder);
        is_kept
    }
}

/// Says what the rest of a file is: whose, how long, and a sum of it.
fn head_of(body: &[u8]) -> String {
    let mut hasher = FxHasher::default();
    hasher.write(body);
    let version = env!("CARGO_PKG_VERSION");
    format!("orcls-index {FORMAT} {version} {} {:016x}", body.len(), hasher.finish())
}

/// Removes what is too much.
fn tidy(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let of_index = |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING);
    let mut kept: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(of_index)
        .filter_map(|path| Some((fs::metadata(&path).and_then(|meta| meta.modified()).ok()?, path)))
        .collect();
    kept.sort();
    let n_left = kept.len().saturating_sub(MOST);
    for (_, path) in kept.into_iter().take(n_left) {
        let _ = fs::remove_file(path);
    }
}
