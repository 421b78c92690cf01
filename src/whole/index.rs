//! What is known of all objects of a program, by the names that they share.
//!
//! In: a [`Program`].  Out: [`Index`]: who defines a name, and who uses it how.
//! Holds afterwards: the facts of an object are those of its file as it was stamped; one that another file has taken the
//! place of is read again, the others are not, and is judged again only where something else is in it. An object that cannot
//! be read is missing, which the index says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::analysis::{self, Config, Policy};
use crate::cancel::{CancelToken, Cancelled};
use crate::files::Stamp;
use crate::image::{Digest, ElfImage, FileStore, Store};
use crate::kernel::KernelChoice;
use crate::kernel::tree::TreeFacts;
use crate::options::Options;
use crate::parallel;

use super::facts::{self, Defined, Facts, Uses};
use super::program::Program;

/// A member, and what is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    pub name: String,
    pub stamp: Option<Stamp>,
    /// What was in the file; `None` for one that cannot be read.
    pub content: Option<Content>,
}

/// What is known of an object, whichever file it is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Content {
    pub digest: Digest,
    pub facts: Arc<Facts>,
}

/// By which rules objects are read.
pub(super) struct Reading<'a> {
    pub options: &'a Options,
    pub kernel: KernelChoice,
    pub tree: Option<&'a TreeFacts>,
}

impl Reading<'_> {
    /// What facts depend on besides the objects, as a text.
    pub(super) fn key(&self) -> String {
        format!("{:?} {:?} {:?}", self.kernel, self.options, self.tree)
    }

    /// What is known of the object in a file; where it is the same as `before`, that.
    fn content(&self, path: &Path, before: Option<&Content>, cancel: &CancelToken) -> Option<Content> {
        let store = FileStore::open(path).ok()?;
        let mut image = ElfImage::read(&store).ok()?;
        let digest = image.digest(&store).ok()?;
        if let Some(same) = before.filter(|before| before.digest == digest) {
            return Some(same.clone());
        }
        image.forget_additions();
        let options = Options { part: true, ..self.options.clone() };
        let config = Config { options, kernel: self.kernel, policy: Policy::Objtool, noreturn: Vec::new() };
        let analysis = analysis::analyse_image(image, &store as &dyn Store, &config, self.tree, cancel).ok()?;
        Some(Content { digest, facts: Arc::new(facts::of(&analysis)) })
    }
}

/// The objects of a program. See the top of the file.
#[derive(Debug)]
pub(super) struct Index {
    /// The build directory.
    pub directory: PathBuf,
    /// What the objects are linked into.
    pub whole: PathBuf,
    /// See [`Reading::key`].
    pub key: String,
    /// In the order in which they are linked.
    pub members: Vec<Known>,
    /// Whether these are all objects of the program, and all could be read.
    pub is_complete: bool,
    /// Who defines a name: the member, and which of its definitions.
    defined: FxHashMap<String, Vec<(u32, u32)>>,
    /// Who uses a name.
    users: FxHashMap<String, Vec<(u32, Uses)>>,
    /// Who defines a key of static calls.
    keys: FxHashMap<String, Vec<u32>>,
}

impl Index {
    /// The index of a program; of objects that have not changed since `before` was made, what is known is taken over.
    pub(super) fn of(
        program: &Program,
        reading: &Reading<'_>,
        before: Option<&Index>,
        cancel: &CancelToken,
    ) -> Result<Index, Cancelled> {
        let key = reading.key();
        let usable = before.filter(|before| before.whole == program.whole && before.key == key);
        let known: FxHashMap<&str, &Known> =
            usable.iter().flat_map(|before| &before.members).map(|known| (known.name.as_str(), known)).collect();
        let mut members = Vec::with_capacity(program.members.len());
        let mut missing = Vec::new();
        for name in program.members.iter() {
            let stamp = Stamp::of(&program.directory.join(name));
            let same = known.get(name.as_str()).filter(|known| known.stamp == stamp && stamp.is_some());
            if same.is_none() {
                missing.push(members.len());
            }
            let content = same.and_then(|known| known.content.clone());
            members.push(Known { name: name.clone(), stamp, content });
        }
        let n = missing.len();
        let read = |at: usize| {
            let member = members.get(at)?;
            member.stamp?;
            let path = program.directory.join(&member.name);
            let before = known.get(member.name.as_str()).and_then(|known| known.content.as_ref());
            let content = reading.content(&path, before, cancel)?;
            // A file that was written meanwhile is read again the next time.
            Some((at, content, Stamp::of(&path).filter(|stamp| Some(*stamp) == member.stamp)))
        };
        let found: Vec<_> = parallel::each(n > 1, missing, read).into_iter().flatten().collect();
        cancel.check()?;
        for (at, content, stamp) in found {
            if let Some(member) = members.get_mut(at) {
                (member.content, member.stamp) = (Some(content), stamp);
            }
        }
        let of = (program.directory.clone(), program.whole.clone());
        Ok(Index::from(of, key, members, program.is_complete))
    }

    /// Brings together what is known of members.
    pub(super) fn from(of: (PathBuf, PathBuf), key: String, members: Vec<Known>, is_whole: bool) -> Index {
        let (directory, whole) = of;
        let is_complete = is_whole && members.iter().all(|member| member.content.is_some());
        let mut defined: FxHashMap<String, Vec<(u32, u32)>> = FxHashMap::default();
        let mut users: FxHashMap<String, Vec<(u32, Uses)>> = FxHashMap::default();
        let mut keys: FxHashMap<String, Vec<u32>> = FxHashMap::default();
        let contents = (0u32..).zip(&members).filter_map(|(n, member)| Some((n, member.content.as_ref()?)));
        for (number, Content { facts, .. }) in contents {
            for (at, one) in (0u32..).zip(&facts.defined) {
                put(&mut defined, &one.name, (number, at));
            }
            for (name, uses) in &facts.used {
                put(&mut users, name, (number, *uses));
            }
            for name in &facts.data {
                put(&mut keys, name, number);
            }
        }
        Index { directory, whole, key, members, is_complete, defined, users, keys }
    }

    /// Whether every member is the file that the index was made of.
    pub(super) fn is_fresh(&self, program: &Program) -> bool {
        self.whole == program.whole
            && self.members.len() == program.members.len()
            && self
                .members
                .iter()
                .zip(program.members.iter())
                .all(|(known, name)| known.name == *name && known.stamp == Stamp::of(&self.directory.join(name)))
    }

    /// How many members of the program are other files than those that the index was made of.
    pub(super) fn n_stale(&self, program: &Program) -> usize {
        let known = self.members.iter().map(|known| (known.name.as_str(), known.stamp));
        let known: FxHashMap<&str, Option<Stamp>> = known.collect();
        let is_stale = |name: &&String| known.get(name.as_str()) != Some(&Stamp::of(&self.directory.join(name)));
        program.members.iter().filter(is_stale).count()
    }

    /// What is known of a member.
    pub(super) fn facts(&self, member: usize) -> Option<&Arc<Facts>> {
        self.members.get(member)?.content.as_ref().map(|content| &content.facts)
    }

    /// Who uses a name.
    pub(super) fn users(&self, name: &str) -> &[(u32, Uses)] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }

    /// What a name means where none of the members `without` defines it: a weak definition counts where there is no other.
    pub(super) fn definition(&self, name: &str, without: &[usize]) -> Option<(usize, &Defined)> {
        let all = self.defined.get(name)?.iter().map(|&(member, at)| (member as usize, at as usize));
        let all = all.filter(|(member, _)| !without.contains(member));
        let all = all.filter_map(|(member, at)| Some((member, self.facts(member)?.defined.get(at)?)));
        let mut all = all.peekable();
        let first = all.peek().copied();
        all.find(|(_, one)| !one.weak).or(first)
    }

    /// Whether some member, none of `without`, defines the data that is looked for by this name.
    pub(super) fn has_key(&self, name: &str, without: &[usize]) -> bool {
        self.keys.get(name).is_some_and(|all| all.iter().any(|member| !without.contains(&(*member as usize))))
    }

    /// The members of which this holds.
    pub(super) fn members_with<'a>(&'a self, is_one: impl Fn(&Facts) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
        let known = (0..self.members.len()).filter_map(|number| Some((number, self.facts(number)?)));
        known.filter(move |(_, facts)| is_one(facts)).map(|(number, _)| number)
    }
}

fn put<T>(map: &mut FxHashMap<String, Vec<T>>, name: &str, value: T) {
    match map.get_mut(name) {
        Some(values) => values.push(value),
        None => {
            map.insert(name.to_owned(), vec![value]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::build::Flags;
    use crate::kernel::Kernel;

    const SOURCE: &str = ".text\n.globl f\n.type f, @function\nf:\n\tcall g\n\tret\n.size f, .-f\n";

    fn assembled(folder: &Path, source: &str, more: &[&str]) {
        fs::write(folder.join("a.s"), source).expect("room");
        let done = Command::new("cc").args(["-c", "a.s", "-o", "a.o"]).args(more).current_dir(folder).status();
        assert!(done.expect("a compiler").success());
    }

    #[test]
    fn what_is_the_same_in_another_file_is_not_judged_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = Program {
            directory: folder.path().to_owned(),
            whole: folder.path().join("vmlinux.o"),
            members: Arc::new(vec!["a.o".to_owned()]),
            is_complete: true,
            flags: Flags::unknown(),
            linker: "ld".to_owned(),
        };
        let options = Options::default();
        let reading = Reading { options: &options, kernel: KernelChoice::Fixed(Kernel::V6_12), tree: None };
        let index = |before: Option<&Index>| {
            let index = Index::of(&program, &reading, before, &CancelToken::default()).expect("nobody cancels");
            assert!(index.is_complete && index.is_fresh(&program));
            index
        };
        let same = |a: &Index, b: &Index| Arc::ptr_eq(a.facts(0).expect("facts"), b.facts(0).expect("facts"));

        assembled(folder.path(), SOURCE, &[]);
        let first = index(None);
        assembled(folder.path(), SOURCE, &[]);
        assert!(!first.is_fresh(&program), "another file");
        let again = index(Some(&first));
        assert!(same(&first, &again), "the same content");
        assembled(folder.path(), &format!("\n{SOURCE}"), &["-g"]);
        let debug = index(Some(&again));
        assembled(folder.path(), &format!("\n\n{SOURCE}"), &["-g"]);
        let moved = index(Some(&debug));
        assert!(same(&debug, &moved), "other lines, the same code");
        for other in
            [SOURCE.replace("call g", "call h"), SOURCE.replace("ret", "nop; ret"), SOURCE.replace("globl", "weak")]
        {
            assembled(folder.path(), &other, &["-g"]);
            let changed = index(Some(&moved));
            assert!(!same(&moved, &changed), "{other}");
            assert_ne!(moved.facts(0), None);
        }
    }
}
