//! Judges programs, at once by what is known of their objects, and by a link.
//!
//! In: an object that takes the place of a member.  Out: [`Judged`].
//! Holds afterwards: a finding of another member is listed only if the members as the build left them do not have it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashSet;

use crate::analysis::Analysis;
use crate::build::Finder;
use crate::cancel::CancelToken;
use crate::files::Stamp;
use crate::kernel::{Kernel, KernelChoice};
use crate::source_map::Lines;

use super::facts;
use super::index::{Index, Reading};
use super::instant::{AtOnce, Part, judge};
use super::judging::{Judging, Question};
use super::kept::Cache;
use super::program::{Archives, Program, Unavailable};
use super::verdict::{Judged, Key, Verdict};

/// So many objects are read anew while an editor waits; after a build that made more, that is done when it rests.
const MOST_AT_ONCE: usize = 8;

/// The findings of the members as the build left them.
struct Before {
    whole: PathBuf,
    members: Arc<Vec<String>>,
    /// Other stamps, another link.
    stamps: Vec<Option<Stamp>>,
    findings: Arc<FxHashSet<Key>>,
}

/// What is known of the objects of the last program.
#[derive(Default)]
struct Indexed {
    index: Option<Arc<Index>>,
    /// Whether the user's cache has been looked into for it.
    was_looked_for: Option<PathBuf>,
    /// Whether it is in the cache as it is.
    is_kept: bool,
}

/// Judges whole programs; it remembers what it knows of the last one.
#[derive(Default)]
pub struct Whole {
    archives: Archives,
    before: Mutex<Option<Before>>,
    indexed: Mutex<Indexed>,
    cache: Cache,
}

impl Whole {
    /// One that keeps its indexes in the user's cache.
    pub fn with_cache() -> Whole {
        Whole { cache: Cache::of_user(), ..Whole::default() }
    }

    /// One that keeps its indexes in this folder.
    pub fn keeping_in(folder: &Path) -> Whole {
        Whole { cache: Cache::at(folder), ..Whole::default() }
    }

    /// Judges an object as the part of its tree's `vmlinux.o` that it is.
    pub fn judge(&self, question: &Question<'_>, cancel: &CancelToken) -> Result<Judged, Unavailable> {
        let (program, member) = question.program(&self.archives)?;
        let judging = Judging { program: &program, question, cancel };
        let before = self.before(&judging)?;
        let after = judging.link(Some((member, question.object)))?;
        let name = program.members.get(member).map_or("", String::as_str);
        Ok(after.judged(name, &before))
    }

    /// The same without a link, by what is known of the other objects. `analysis` is that of the object.
    pub fn judge_at_once(
        &self,
        question: &Question<'_>,
        analysis: &Analysis,
        cancel: &CancelToken,
    ) -> Result<AtOnce, Unavailable> {
        let (program, member) = question.program(&self.archives)?;
        let judging = Judging { program: &program, question, cancel };
        let index = self.index(&judging, analysis.kernel, Some(MOST_AT_ONCE))?;
        let (facts, kernel) = (facts::of(analysis), analysis.kernel);
        let part = Part { index: &index, member, facts: &facts, kernel };
        judge(&judging, &part)
    }

    /// Brings what is known of the objects of a program up to date, and keeps it for the next session. How many objects it
    /// is known of.
    pub fn prepare(&self, question: &Question<'_>, kernel: Kernel, cancel: &CancelToken) -> Result<usize, Unavailable> {
        let (program, _) = question.program(&self.archives)?;
        let judging = Judging { program: &program, question, cancel };
        let index = self.index(&judging, kernel, None)?;
        let mut indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        if !indexed.is_kept && indexed.index.as_ref().is_some_and(|known| Arc::ptr_eq(known, &index)) {
            // What cannot be kept is not tried again before it changes.
            indexed.is_kept = true;
            drop(indexed);
            self.cache.write(&index, program.is_complete);
        }
        Ok(index.members.len())
    }

    /// The index of a program, as its objects are now. With `most`, no more objects than so many are read for it.
    fn index(&self, judging: &Judging<'_>, kernel: Kernel, most: Option<usize>) -> Result<Arc<Index>, Unavailable> {
        let program = judging.program;
        let (_, tree) = judging.rules();
        let options = program.flags.options.clone().unwrap_or_default();
        let reading = Reading { options: &options, kernel: KernelChoice::Fixed(kernel), tree: tree.as_deref() };
        let key = reading.key();
        let mut indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |index: &Arc<Index>| index.whole == program.whole && index.key == key;
        if !indexed.index.as_ref().is_some_and(is_of) && indexed.was_looked_for.as_ref() != Some(&program.whole) {
            indexed.was_looked_for = Some(program.whole.clone());
            indexed.index = self.cache.read(&program.directory, &program.whole, &key).map(Arc::new);
            indexed.is_kept = indexed.index.is_some();
        }
        let known = indexed.index.clone().filter(is_of);
        if let Some(index) = known.as_ref().filter(|index| index.is_fresh(program)) {
            return Ok(Arc::clone(index));
        }
        let n_stale = known.as_ref().map_or(usize::MAX, |index| index.n_stale(program));
        if most.is_some_and(|most| n_stale > most) {
            return Err(Unavailable::NoIndex);
        }
        let index =
            Index::of(program, &reading, known.as_deref(), judging.cancel).map_err(|_| Unavailable::Cancelled)?;
        let index = Arc::new(index);
        (indexed.index, indexed.is_kept) = (Some(Arc::clone(&index)), false);
        Ok(index)
    }

    /// Whether the object at `path` is part of a `vmlinux.o` or module of `directory`, and that can be judged.
    pub fn is_part(&self, directory: &Path, path: &Path, finder: &Finder) -> Result<(), Unavailable> {
        Program::with_member(directory, path, finder, &self.archives).map(|_| ())
    }

    /// Links an object into its tree's `vmlinux.o`, and judges that.
    pub fn linked(&self, question: &Question<'_>, cancel: &CancelToken) -> Result<(Analysis, Lines), Unavailable> {
        let (program, member) = question.program(&self.archives)?;
        let judging = Judging { program: &program, question, cancel };
        let Verdict { analysis, places } = judging.link(Some((member, question.object)))?;
        Ok((analysis, Lines::elsewhere(places)))
    }

    fn before(&self, judging: &Judging<'_>) -> Result<Arc<FxHashSet<Key>>, Unavailable> {
        let Program { whole, members, .. } = judging.program;
        let stamps = judging.program.stamps();
        let mut slot = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*slot
            && before.whole == *whole
            && before.members == *members
            && before.stamps == stamps
        {
            return Ok(Arc::clone(&before.findings));
        }
        let verdict = judging.link(None)?;
        let findings = Arc::new(verdict.printed().map(|finding| verdict.key(finding)).collect());
        let (whole, members) = (whole.clone(), Arc::clone(members));
        *slot = Some(Before { whole, members, stamps, findings: Arc::clone(&findings) });
        Ok(findings)
    }
}
