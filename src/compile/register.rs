//! The user's own list of private folders, so that those of dead processes can be told and removed.
//!
//! In: a folder that this process has made.  Out: [`Entry`], which says that the process lives for as long as it is held.
//! Holds afterwards: nothing is removed because of its name. A folder is removed when an entry that orcls wrote, into a
//! folder that only the user can write, names it by path, device and inode number, and nobody holds the entry's lock;
//! and then only what orcls puts into such a folder.
//!
//! An entry gets its name when it is already locked. So no process ever sees the unlocked entry of a living one.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// Entries that are being written.
const UNNAMED: &str = ".new-";
/// Nobody writes an entry for as long as this.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);
/// An entry is a path and two numbers.
const MAX_ENTRY: u64 = 16 << 10;

/// What an entry says.
#[derive(Serialize, Deserialize)]
struct Claim {
    folder: PathBuf,
    device: u64,
    inode: u64,
}

/// The user's list.
#[derive(Clone, Debug)]
pub struct Register {
    folder: PathBuf,
}

impl Register {
    /// The list in the user's cache (XDG Base Directory Specification, `XDG_CACHE_HOME`). There is none for a user who
    /// has no such folder of their own; nothing is removed then.
    pub fn of_user() -> Option<Register> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Register::in_folder(cache.join("orcls").join("running"))
    }

    pub(super) fn in_folder(folder: PathBuf) -> Option<Register> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        let meta = fs::symlink_metadata(&folder).ok()?;
        (meta.is_dir() && is_mine(&meta) && meta.permissions().mode() & 0o022 == 0).then_some(Register { folder })
    }

    /// Enters a folder that this process has made.
    pub fn enter(&self, folder: &Path) -> io::Result<Entry> {
        let meta = fs::symlink_metadata(folder)?;
        let claim = Claim { folder: folder.to_owned(), device: meta.dev(), inode: meta.ino() };
        let mut file = tempfile::Builder::new().prefix(UNNAMED).tempfile_in(&self.folder)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(&serde_json::to_vec(&claim)?)?;
        let name = format!("{:x}-{:x}", claim.device, claim.inode);
        let path = self.folder.join(name);
        // A dead process's folder of this number is gone, and its entry with it from here on.
        let file = NamedTempFile::persist(file, &path).map_err(|error| error.error)?;
        Ok(Entry { path, file })
    }

    /// Removes the folders of processes that are gone.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            drop(self.sweep_one(&entry.path()));
        }
    }

    fn sweep_one(&self, path: &Path) -> io::Result<()> {
        // The list is the user's own, but a FIFO in it would still wait for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty())?);
        let meta = file.metadata()?;
        if !meta.is_file() || !is_mine(&meta) {
            return Ok(());
        }
        let is_unnamed = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNNAMED));
        if is_unnamed && !is_old(&meta) {
            return Ok(());
        }
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // Another process may have put its own entry in this one's place.
        if fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (meta.dev(), meta.ino())) {
            if !is_unnamed && let Ok(claim) = read(&file) {
                remove_jobs(&claim.folder, claim.device, claim.inode);
            }
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// A folder's entry. Its lock goes with this value or with the process, whichever ends first.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    file: File,
}

impl Entry {
    /// Takes the entry off the list; its folder is gone.
    pub fn leave(self) {
        let mine = self.file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        let there = fs::symlink_metadata(&self.path).map(|meta| (meta.dev(), meta.ino())).ok();
        if mine.is_some() && mine == there {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn is_mine(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

fn is_old(meta: &Metadata) -> bool {
    meta.modified().is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > OLD))
}

fn read(file: &File) -> io::Result<Claim> {
    let mut bytes = Vec::new();
    file.take(MAX_ENTRY).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Removes what orcls puts into its folder, and the folder if nothing else is in it; nothing if it is another folder.
pub(super) fn remove_jobs(folder: &Path, device: u64, inode: u64) {
    let is_it = |meta: Metadata| meta.is_dir() && is_mine(&meta) && (meta.dev(), meta.ino()) == (device, inode);
    if !fs::symlink_metadata(folder).is_ok_and(is_it) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_job = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_job && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    drop(fs::remove_dir(folder));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _parent: tempfile::TempDir,
        shared: PathBuf,
        register: Register,
    }

    fn place() -> Place {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let shared = parent.path().join("shared");
        fs::create_dir(&shared).expect("a folder");
        let register = Register::in_folder(parent.path().join("cache/orcls")).expect("a list");
        Place { _parent: parent, shared, register }
    }

    /// A folder as a killed process leaves it.
    fn abandoned(place: &Place, name: &str) -> PathBuf {
        let folder = place.shared.join(name);
        fs::create_dir_all(folder.join("0")).expect("a folder");
        fs::write(folder.join("0/out.o"), "x").expect("a file");
        drop(place.register.enter(&folder).expect("an entry"));
        folder
    }

    #[test]
    fn folders_of_the_dead_go_and_those_of_the_living_stay() {
        let place = place();
        let left = abandoned(&place, "orcls-left");
        let used = place.shared.join("orcls-used");
        fs::create_dir(&used).expect("a folder");
        let entry = place.register.enter(&used).expect("an entry");
        place.register.sweep();
        assert!(!left.exists() && used.exists());
        fs::remove_dir(&used).expect("it can be removed");
        entry.leave();
        assert_eq!(fs::read_dir(&place.register.folder).expect("a list").count(), 0);
    }

    #[test]
    fn what_another_made_stays_whatever_its_name() {
        let place = place();
        let clone = place.shared.join("orcls-demo");
        fs::create_dir_all(clone.join("0")).expect("a folder");
        fs::write(clone.join("lock"), "").expect("a file");
        // One that stands where an abandoned folder stood, and one that somebody has put files into.
        let replaced = abandoned(&place, "orcls-replaced");
        fs::rename(&replaced, place.shared.join("elsewhere")).expect("it can be moved");
        fs::create_dir_all(replaced.join("0")).expect("a folder");
        let filled = abandoned(&place, "orcls-filled");
        fs::write(filled.join("notes"), "mine").expect("a file");
        place.register.sweep();
        assert!(clone.join("lock").exists() && clone.join("0").exists());
        assert!(replaced.join("0").exists());
        assert!(place.shared.join("elsewhere/0/out.o").exists());
        assert!(filled.join("notes").exists());
    }

    #[test]
    fn a_fifo_or_a_forged_entry_does_no_harm() {
        let place = place();
        let victim = place.shared.join("victim");
        fs::create_dir_all(victim.join("0")).expect("a folder");
        let forged = Claim { folder: victim.clone(), device: 0, inode: 0 };
        fs::write(place.register.folder.join("a"), serde_json::to_vec(&forged).expect("text")).expect("a file");
        fs::write(place.register.folder.join("b"), "no claim").expect("a file");
        let fifo = place.register.folder.join("fifo");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, Mode::RWXU, 0).expect("a FIFO");
        place.register.sweep();
        assert!(victim.join("0").exists() && fifo.exists());
    }

    #[test]
    fn many_starts_at_once_disturb_nobody() {
        let place = place();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (register, shared) = (&place.register, &place.shared);
                scope.spawn(move || {
                    for turn in 0..50 {
                        register.sweep();
                        let folder = shared.join(format!("orcls-{thread}-{turn}"));
                        fs::create_dir(&folder).expect("a folder");
                        let entry = register.enter(&folder).expect("an entry");
                        fs::create_dir(folder.join("0")).expect("the folder is still there");
                        register.sweep();
                        fs::write(folder.join("0/out.o"), "x").expect("the folder is still there");
                        fs::remove_dir_all(&folder).expect("it can be removed");
                        entry.leave();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&place.register.folder).expect("a list").count(), 0);
    }
}
