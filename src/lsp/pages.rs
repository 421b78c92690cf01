//! The pages that findings link to, as files that an editor can open without a network.
//!
//! In: codes of findings.  Out: a file and its address for each.
//! Holds afterwards: a page is written when a finding of its code is shown for the first time, into the user's cache.

use std::fs;
use std::path::PathBuf;

use rustc_hash::FxHashMap;
use tower_lsp::lsp_types::Url;

use crate::findings::Code;

/// Where pages are kept; nowhere, for a user without a cache.
#[derive(Clone, Debug)]
pub struct Pages {
    folder: Option<PathBuf>,
}

impl Pages {
    /// The pages of this version, in the user's cache (XDG Base Directory Specification, `XDG_CACHE_HOME`).
    pub fn in_cache() -> Pages {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Pages { folder: cache.map(|cache| cache.join("orcls").join(env!("CARGO_PKG_VERSION"))) }
    }

    /// The address of each page. Pages that are not there are written; one that can not be has no address.
    pub fn addresses(&self, codes: impl Iterator<Item = Code>) -> FxHashMap<Code, Url> {
        let mut addresses = FxHashMap::default();
        for code in codes {
            if !addresses.contains_key(&code) {
                addresses.extend(self.address(code).map(|address| (code, address)));
            }
        }
        addresses
    }

    fn address(&self, code: Code) -> Option<Url> {
        let folder = self.folder.as_deref()?;
        let (path, page) = (folder.join(format!("{code}.md")), code.entry().page);
        if fs::read(&path).is_ok_and(|bytes| bytes == page.as_bytes()) {
            return Url::from_file_path(path).ok();
        }
        fs::create_dir_all(folder).ok()?;
        // Several servers may write at once: each renames a whole page into place.
        let own = folder.join(format!(".{code}.{}", std::process::id()));
        fs::write(&own, page).and_then(|()| fs::rename(&own, &path)).ok()?;
        Url::from_file_path(path).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_written_and_repaired() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pages = Pages { folder: Some(folder.path().join("new")) };
        let code = Code::NakedReturn;
        let address = pages.addresses([code, code].into_iter()).remove(&code).expect("an address");
        let path = address.to_file_path().expect("a file");
        assert_eq!(fs::read_to_string(&path).expect("a page"), code.entry().page);
        fs::write(&path, "half a pa").expect("it can be written");
        pages.addresses([code].into_iter());
        assert_eq!(fs::read_to_string(&path).expect("a page"), code.entry().page);
        assert!(Pages { folder: None }.addresses([code].into_iter()).is_empty());
    }
}
