//! The files of a folder and of those in it.
//!
//! In: a folder, endings.  Out: paths, in their order.
//! Holds afterwards: no link to a folder was followed; of a kernel tree, the parts of other architectures are left out; no
//! more than `MAX_ENTRIES` files and folders were looked at.

use std::path::{Path, PathBuf};

use crate::cancel::{CancelToken, Cancelled};

/// Endings of assembly that is looked for.
pub(super) const ASSEMBLY: [&str; 3] = ["S", "s", "sx"];
/// Folders and files that are looked at in one workspace.
const MAX_ENTRIES: usize = 400_000;

/// The files below `root` whose names end with one of `endings`.
pub(super) fn walk(root: &Path, endings: &[&str], cancel: &CancelToken) -> Result<Vec<PathBuf>, Cancelled> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    let mut left = MAX_ENTRIES;
    while let Some(folder) = waiting.pop() {
        cancel.check()?;
        let is_arch = folder.file_name().is_some_and(|name| name == "arch") && folder.join("x86").is_dir();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(sorted(found));
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            // A link to a folder may lead anywhere, also in a circle.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && (!is_arch || name == "x86") => waiting.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
                    if endings.contains(&ending) {
                        found.push(entry.path());
                    }
                }
                _ => {}
            }
        }
    }
    Ok(sorted(found))
}

fn sorted(mut list: Vec<PathBuf>) -> Vec<PathBuf> {
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_architectures_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["arch/x86/a.S", "arch/arm64/b.S", "lib/c.S", "lib/d.c", ".git/e.S"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, "").expect("written");
        }
        let list = walk(folder.path(), &["S"], &CancelToken::default()).expect("not cancelled");
        let names: Vec<_> = list.iter().filter_map(|path| path.strip_prefix(folder.path()).ok()).collect();
        assert_eq!(names, [Path::new("arch/x86/a.S"), Path::new("lib/c.S")]);
    }
}
