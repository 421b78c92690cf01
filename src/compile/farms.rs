//! Folders that look like others, but for a few texts: made once, and lent to one compile after the other.
//!
//! In: a folder, and texts to stand in place of some of its files.  Out: [`Lent`]: a folder with these texts, and links to
//! everything else.
//! Holds afterwards: a folder of thousands of files is linked once, not once for every key that is pressed; it is linked
//! anew when a file was added to it or removed. No two compiles have the same farm at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::job::Job;

/// More farms than these are not kept.
const MAX_IDLE: usize = 8;
/// A folder that was changed as shortly before may change again without a sign.
const SETTLED: Duration = Duration::from_secs(1);

/// The farms that nobody uses at the moment.
#[derive(Debug, Default)]
pub struct Farms {
    idle: Mutex<Vec<Farm>>,
}

#[derive(Debug)]
struct Farm {
    job: Job,
    real: PathBuf,
    /// Where texts stand.
    places: BTreeSet<PathBuf>,
    /// The folders that were linked, and when they were changed last; `None` for one that can not be relied on.
    folders: Vec<(PathBuf, Option<SystemTime>)>,
}

/// A farm in use; it goes back when this value is dropped.
#[derive(Debug)]
pub struct Lent<'a> {
    farms: &'a Farms,
    farm: Option<Farm>,
    /// Its folder.
    pub root: PathBuf,
    /// How many links were made for it now.
    pub made: usize,
}

impl Farms {
    /// A folder that looks like `real`, with `texts` in place of the files of these names; a new one is in a folder that
    /// `job` makes.
    pub fn lend<'a>(
        &'a self,
        job: impl FnOnce() -> io::Result<Job>,
        real: &Path,
        texts: &BTreeMap<PathBuf, String>,
    ) -> io::Result<Lent<'a>> {
        let places: BTreeSet<PathBuf> = texts.keys().cloned().collect();
        let (farm, made) = match self.take(real, &places) {
            Some(farm) => (farm, 0),
            None => Farm::plant(job()?, real, places)?,
        };
        let root = farm.root();
        for (place, text) in texts {
            fs::write(root.join(place), text)?;
        }
        Ok(Lent { farms: self, farm: Some(farm), root, made })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Farm>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, real: &Path, places: &BTreeSet<PathBuf>) -> Option<Farm> {
        let mut idle = self.idle();
        // One that has become old is of no use to anybody.
        let mut old = Vec::new();
        let mut at = 0;
        while let Some(farm) = idle.get(at) {
            if farm.real == real && farm.places == *places {
                let farm = idle.remove(at);
                if farm.is_current() {
                    return Some(farm);
                }
                old.push(farm);
            } else {
                at += 1;
            }
        }
        drop(idle);
        None
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.farms.idle();
        idle.extend(self.farm.take());
        let n_more = idle.len().saturating_sub(MAX_IDLE);
        let more: Vec<Farm> = idle.drain(..n_more).collect();
        // Removing thousands of links takes its time, and others wait.
        drop(idle);
        drop(more);
    }
}

impl Farm {
    fn plant(job: Job, real: &Path, places: BTreeSet<PathBuf>) -> io::Result<(Farm, usize)> {
        let mut farm = Farm { job, real: real.to_owned(), places, folders: Vec::new() };
        let root = farm.root();
        let inner: BTreeSet<PathBuf> =
            farm.places.iter().flat_map(|place| place.ancestors().skip(1)).map(Path::to_owned).collect();
        let mut made = 0;
        for folder in &inner {
            fs::create_dir_all(root.join(folder))?;
            let there = real.join(folder);
            farm.folders.push((there.clone(), changed(&there)));
            // A folder that does not exist yet has nothing to link to.
            for entry in fs::read_dir(there).into_iter().flatten().flatten() {
                let relative = folder.join(entry.file_name());
                if !farm.places.contains(&relative) && !inner.contains(&relative) {
                    symlink(entry.path(), root.join(&relative))?;
                    made += 1;
                }
            }
        }
        Ok((farm, made))
    }

    fn root(&self) -> PathBuf {
        self.job.path().join("farm")
    }

    fn is_current(&self) -> bool {
        self.folders.iter().all(|(folder, then)| then.is_some() && changed(folder) == *then)
    }
}

/// When a file was last added to a folder or removed.
fn changed(folder: &Path) -> Option<SystemTime> {
    let at = fs::metadata(folder).and_then(|meta| meta.modified()).ok()?;
    SystemTime::now().duration_since(at).is_ok_and(|age| age > SETTLED).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    /// A folder that nobody has touched for a while.
    fn settled(folder: &Path) {
        let then = SystemTime::now() - Duration::from_secs(60);
        fs::File::open(folder).and_then(|file| file.set_modified(then)).expect("the time can be set");
    }

    #[test]
    fn a_folder_is_linked_once_for_many_compiles() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let real = place.path().join("linux");
        fs::create_dir_all(real.join("sub")).expect("a folder");
        (0..100).for_each(|i| fs::write(real.join(format!("{i}.h")), "disk").expect("a file"));
        settled(&real);
        let scratch = Scratch::new().expect("a private folder");
        let farms = Farms::default();
        let texts = |text: &str| BTreeMap::from([(PathBuf::from("7.h"), text.to_owned())]);
        for turn in 0..20 {
            let lent = farms.lend(|| scratch.job(), &real, &texts(&format!("text {turn}"))).expect("a farm");
            assert_eq!(lent.made, if turn == 0 { 100 } else { 0 });
            assert_eq!(fs::read_to_string(lent.root.join("7.h")).expect("a text"), format!("text {turn}"));
            assert_eq!(fs::read_to_string(lent.root.join("8.h")).expect("a file"), "disk");
        }
        assert_eq!(fs::read_to_string(real.join("7.h")).expect("a file"), "disk");
        // Two at once have one each.
        let first = farms.lend(|| scratch.job(), &real, &texts("a")).expect("a farm");
        let second = farms.lend(|| scratch.job(), &real, &texts("b")).expect("a farm");
        assert_eq!((first.made, second.made), (0, 100));
        drop((first, second));
        // What was added is there, and other texts need another farm.
        fs::write(real.join("new.h"), "new").expect("a file");
        settled(&real);
        assert_eq!(farms.lend(|| scratch.job(), &real, &texts("c")).expect("a farm").made, 101);
        let other = BTreeMap::from([(PathBuf::from("8.h"), String::new())]);
        assert_eq!(farms.lend(|| scratch.job(), &real, &other).expect("a farm").made, 101);
    }

    #[test]
    fn few_farms_are_kept() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let scratch = Scratch::new().expect("a private folder");
        let farms = Farms::default();
        for i in 0..2 * MAX_IDLE {
            let texts = BTreeMap::from([(PathBuf::from(format!("{i}.h")), String::new())]);
            drop(farms.lend(|| scratch.job(), place.path(), &texts).expect("a farm"));
        }
        assert_eq!(farms.idle().len(), MAX_IDLE);
    }
}
