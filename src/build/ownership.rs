//! Whose word a compile command is: checked as git checks whose repository it reads.
//!
//! In: the file that a command was read from.  Out: why it is not taken, if so.
//! Holds afterwards: a command that another user could have written is not run, however the file was found: build
//! directories are looked for in every folder above a source, and some of these are shared.
//! Reads like: git-config(1), `safe.directory`.

use std::env;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Folders whose commands the user takes whoever owns them, in the form of `PATH`; `*` for all.
const SAFE: &str = "ORCLS_SAFE_DIRECTORIES";

/// Why the command in this file is not run.
pub fn complaint(file: &Path) -> Option<String> {
    let why = reason(file, &|id| is_trusted(id, own(), sudo()))?;
    let is_safe = |folder: &Path| folder == Path::new("*") || file.starts_with(folder);
    let safe = env::var_os(SAFE).is_some_and(|list| env::split_paths(&list).any(|folder| is_safe(&folder)));
    (!safe).then(|| format!("{} {why}; {SAFE} may name its folder", file.display()))
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Who became root to run this.
fn sudo() -> Option<u32> {
    env::var("SUDO_UID").ok()?.parse().ok()
}

/// The user, root, who needs no trick, and for root who became it.
fn is_trusted(owner: u32, own: u32, sudo: Option<u32>) -> bool {
    owner == own || owner == 0 || (own == 0 && Some(owner) == sudo)
}

fn reason(file: &Path, is_trusted: &dyn Fn(u32) -> bool) -> Option<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A link is its owner's word too.
    for meta in [file.symlink_metadata(), file.metadata()] {
        let meta = meta.ok()?;
        if !is_trusted(meta.uid()) {
            return Some(format!("belongs to another user ({})", meta.uid()));
        }
        if !meta.is_symlink() && is_open(&meta) {
            return Some("can be written by every user".to_owned());
        }
    }
    let meta = folder.metadata().ok()?;
    // In a sticky folder nobody replaces what belongs to others.
    if is_open(&meta) && meta.mode() & 0o1000 == 0 {
        return Some("is in a folder that every user can write".to_owned());
    }
    (!is_trusted(meta.uid())).then(|| format!("is in a folder of another user ({})", meta.uid()))
}

fn is_open(meta: &Metadata) -> bool {
    meta.mode() & 0o002 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_command_is_its_owner_s_word() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("compile_commands.json");
        fs::write(&file, "[]").expect("a file");
        assert_eq!(reason(&file, &|id| id == own()), None);
        assert!(reason(&file, &|id| id != own()).is_some_and(|why| why.contains("another user")));
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("the mode can be set");
        assert!(reason(&file, &|_| true).is_some_and(|why| why.contains("every user")));
        fs::set_permissions(&file, Permissions::from_mode(0o664)).expect("the mode can be set");
        assert_eq!(reason(&file, &|_| true), None);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("the mode can be set");
        assert!(reason(&file, &|_| true).is_some_and(|why| why.contains("folder")));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("the mode can be set");
        assert_eq!(reason(&file, &|_| true), None);
    }

    #[test]
    fn root_takes_the_word_of_who_became_root() {
        assert!(is_trusted(1000, 1000, None) && is_trusted(0, 1000, None));
        assert!(!is_trusted(1001, 1000, Some(1001)) && !is_trusted(1000, 0, None));
        assert!(is_trusted(1000, 0, Some(1000)));
    }
}
