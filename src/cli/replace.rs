//! A file put into another's place, at once and as a whole.
//!
//! In: the path of a file that is there or not, and what is written.  Out: the same path with the new file.
//! Holds afterwards: whoever opens the path finds the old file or the new one, never a part. Whatever kills the process while
//! it writes leaves no other file behind; one that is killed in the moment of the change may leave a name beside the file,
//! and the next change of the same file removes it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock};
use rustix::io::Errno;
use tempfile::TempPath;

/// What a file beside the one that it replaces is called.
const PREFIX: &str = ".orcls-";

/// The file that is being written.
pub(crate) struct Replacement {
    draft: Draft,
    target: PathBuf,
}

enum Draft {
    /// Without a name, so that nothing of it is left if the process is killed.
    Nameless(File),
    /// Where the file system has no files without a name.
    Named(tempfile::NamedTempFile),
}

impl Replacement {
    /// Begins a file for the place of `target`. A link leads to the file that is meant.
    pub(crate) fn of(target: &Path) -> io::Result<Replacement> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let draft = match rustix::fs::open(folder(&target), flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Draft::Nameless(file.into()),
            Err(_) => tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder(&target)).map(Draft::Named)?,
        };
        Ok(Replacement { draft, target })
    }

    /// What the new file's bytes are written to.
    pub(crate) fn file(&self) -> &File {
        match &self.draft {
            Draft::Nameless(file) => file,
            Draft::Named(file) => file.as_file(),
        }
    }

    /// The file whose place it takes.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Takes the place of whatever had the name.
    pub(crate) fn publish(self) -> io::Result<()> {
        match self.draft {
            Draft::Named(file) => file.into_temp_path().persist(&self.target),
            // A link takes no other file's place, so the file has a name of its own for a moment, and is locked until it is gone.
            Draft::Nameless(file) => return exchanged(named(&file, &self.target)?, &self.target),
        }
        .map_err(|error| error.error)
    }
}

/// Gives the file of one name the other, and removes the one that had it: as renaming does, which in ext4 waits until the
/// file is on its way to the disk (`auto_da_alloc`, fs/ext4/namei.c). While it has our name, the old file is locked like the new one.
fn exchanged(own: TempPath, target: &Path) -> io::Result<()> {
    if let Some(_old) = held(target)
        && rustix::fs::renameat_with(CWD, own.as_os_str(), CWD, target, RenameFlags::EXCHANGE).is_ok()
    {
        return own.close();
    }
    own.persist(target).map_err(|error| error.error)
}

fn folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file without a name one beside `target`: always the same, so that what a killed process has left there is found,
/// unless another process changes the same file at this moment.
fn named(file: &File, target: &Path) -> io::Result<TempPath> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |path: &Path| rustix::fs::linkat(CWD, &own, CWD, path, AtFlags::SYMLINK_FOLLOW);
    if let Some(name) = target.file_name() {
        let mut usual = OsString::from(PREFIX);
        usual.push(name);
        let usual = target.with_file_name(usual);
        // Who holds the lock is alive. Where there are no locks, nothing tells the dead from the living.
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let linked = match link(&usual) {
                Err(Errno::EXIST) if removed(&usual) => link(&usual),
                linked => linked,
            };
            if linked.is_ok() {
                return TempPath::try_from_path(usual);
            }
        }
    }
    let at = tempfile::Builder::new().prefix(PREFIX).make_in(folder(target), |path| Ok(link(path)?))?;
    Ok(at.into_temp_path())
}

/// Removes what a killed process of this user has left.
fn removed(path: &Path) -> bool {
    // While the lock is held, nobody else gives the name to another file.
    let is_own = |left: &File| left.metadata().is_ok_and(|left| left.uid() == rustix::process::geteuid().as_raw());
    held(path).is_some_and(|left| is_own(&left) && fs::remove_file(path).is_ok())
}

/// The file that has this name, locked; `None` where there is none, or somebody else has the lock.
fn held(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    // It may have lost its name before the lock was there.
    let (held, there) = (file.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    ((held.dev(), held.ino()) == (there.dev(), there.ino()) && held.is_file()).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn replaced(target: &Path, text: &str) {
        let replacement = Replacement::of(target).expect("a file");
        replacement.file().write_all(text.as_bytes()).expect("room");
        replacement.publish().expect("it takes the place");
        assert_eq!(fs::read_to_string(target).expect("a file"), text);
    }

    #[test]
    fn a_file_takes_the_place_of_another_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.o");
        for text in ["first", "second", "third"] {
            replaced(&target, text);
            assert_eq!(names(folder.path()), ["a.o"]);
        }
        // Somebody else is exchanging it: it is renamed over.
        let lock = held(&target).expect("it is there");
        replaced(&target, "fourth");
        assert_eq!(names(folder.path()), ["a.o"]);
        drop(lock);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.o");
        fs::write(folder.path().join(".orcls-a.o"), "left").expect("room");
        replaced(&target, "new");
        assert_eq!(names(folder.path()), ["a.o"]);
    }

    #[test]
    fn what_another_process_is_about_to_rename_is_left_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.o");
        let other = Replacement::of(&target).expect("a file");
        let Draft::Nameless(file) = &other.draft else { return };
        let its = named(file, &target).expect("a name");
        replaced(&target, "new");
        assert_eq!(names(folder.path()), [".orcls-a.o", "a.o"]);
        its.persist(&target).expect("its name is still its own");
        assert_eq!(names(folder.path()), ["a.o"]);
    }

    #[test]
    fn a_name_that_has_no_room_for_more_is_no_obstacle() {
        let folder = tempfile::tempdir().expect("a folder");
        replaced(&folder.path().join("a".repeat(255)), "new");
        assert_eq!(names(folder.path()), ["a".repeat(255)]);
    }

    #[test]
    fn what_is_no_file_of_ours_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(".orcls-a.o")).expect("a folder");
        std::os::unix::fs::symlink("a.o", folder.path().join(".orcls-b.o")).expect("a link");
        replaced(&folder.path().join("a.o"), "new");
        replaced(&folder.path().join("b.o"), "new");
        assert_eq!(names(folder.path()), [".orcls-a.o", ".orcls-b.o", "a.o", "b.o"]);
    }
}
