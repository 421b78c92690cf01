//! Judges an edited object at once: with the few objects that the edit concerns, and stubs for all others.
//!
//! In: an [`Index`], the edited object and what it looks like from outside.  Out: [`AtOnce`].
//! Holds afterwards: what is found is what a link of the whole program would bring, as far as the objects that were looked
//! into go; nothing was run.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::image::{ElfImage, FileStore, LoadError, Store};
use crate::kernel::{Kernel, KernelChoice};
use crate::options::Options;

use super::draft::Draft;
use super::facts::{Defined, Facts, STATIC_CALL, STATIC_CALL_KEY, Uses};
use super::index::Index;
use super::join::{self, JoinError};
use super::judging::Judging;
use super::link::Linked;
use super::near::{Near, counts, near};
use super::program::Unavailable;
use super::stubs;
use super::verdict::Judged;

/// What was found without a link.
#[derive(Clone, Debug)]
pub struct AtOnce {
    /// The findings.
    pub judged: Judged,
    /// How many objects the index knows.
    pub n_objects: usize,
    /// How many more objects the edit concerns than were looked into.
    pub n_left: usize,
    /// Functions of which nothing is known, because not all objects of the program are built.
    pub unknown: Vec<String>,
}

/// An object as a part of its program: the edited one, or as the build left it.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub index: &'a Index,
    /// Which member it is.
    pub member: usize,
    /// What it looks like from outside.
    pub facts: &'a Facts,
    pub kernel: Kernel,
}

impl Part<'_> {
    /// What is known of a member: of the part itself, what it looks like.
    fn of(&self, member: usize) -> Option<&Facts> {
        if member == self.member { Some(self.facts) } else { self.index.facts(member).map(AsRef::as_ref) }
    }
}

/// Judges the part.
pub(super) fn judge(judging: &Judging<'_>, part: &Part<'_>) -> Result<AtOnce, Unavailable> {
    let Part { index, member, facts, .. } = part;
    let old = index.facts(*member).ok_or_else(|| Unavailable::NotMember(judging.question.path.to_owned()))?;
    let near = near(index, *member, old, facts);
    let (after, unknown) = verdict(judging, part, &near, judging.question.object)?;
    let name = judging.program.members.get(*member).map_or("", String::as_str);
    let before = if after.is_about_others(name) {
        let path = judging.program.directory.join(name);
        let unreadable = |error: std::io::Error| Unavailable::Unreadable { file: path.clone(), why: error.to_string() };
        let object: Arc<dyn Store> = Arc::new(FileStore::open(&path).map_err(unreadable)?);
        let (before, _) = verdict(judging, &Part { facts: old, ..*part }, &near, &object)?;
        before.printed().map(|finding| before.key(finding)).collect()
    } else {
        FxHashSet::default()
    };
    let mut judged = after.judged(name, &before);
    if after.analysis.gave_up.is_some() && judged.own.is_empty() {
        // The edited object is not what objtool would stop at: stubs do not do for what it looks for.
        let stopped = after.printed().last().and_then(|finding| finding.objtool.as_ref());
        let why = stopped.map_or("objtool would stop there", |line| line.text.as_str());
        return Err(Unavailable::NotAnalysed(format!("the objects that the text concerns do not do alone: {why}")));
    }
    for finding in judged.own.iter_mut().chain(judged.elsewhere.iter_mut().map(|other| &mut other.finding)) {
        // Where a section's piece starts is known once all is linked.
        let counts_from_a_section = |text: &String| {
            after
                .analysis
                .image
                .sections()
                .any(|(_, section)| !section.name.is_empty() && text.contains(&format!("{}+0x", section.name)))
        };
        if finding.objtool.as_ref().is_some_and(counts_from_a_section) {
            finding.objtool = None;
        }
    }
    let n_objects = index.members.len();
    Ok(AtOnce { judged, n_objects, n_left: near.n_left, unknown })
}

fn verdict(
    judging: &Judging<'_>,
    part: &Part<'_>,
    near: &Near,
    object: &Arc<dyn Store>,
) -> Result<(super::verdict::Verdict, Vec<String>), Unavailable> {
    let failed = |error: JoinError| Unavailable::NotLinked(error.to_string());
    let options = judging.program.flags.options.clone().unwrap_or_default();
    let (linked, unknown) = linked(judging, part, near, object.as_ref(), &options).map_err(failed)?;
    let (_, tree) = judging.rules();
    let kernel = KernelChoice::Fixed(part.kernel);
    let verdict = judging.verdict(linked, Some((part.member, object)), kernel, tree.as_deref())?;
    Ok((verdict, unknown))
}

/// Joins the object with those near it, and with stubs for what they use of others.
fn linked(
    judging: &Judging<'_>,
    part: &Part<'_>,
    near: &Near,
    object: &dyn Store,
    options: &Options,
) -> Result<(Linked, Vec<String>), JoinError> {
    let index = part.index;
    let mut draft = Draft::default();
    let mut begun = FxHashSet::default();
    let mut add = |member: usize, store: &dyn Store| {
        let mut image = ElfImage::read(store)?;
        image.forget_additions();
        let name = index.members.get(member).map_or("", |known| known.name.as_str());
        for (_, section) in image.sections().filter(|(_, section)| section.is_code() && section.size > 0) {
            if begun.insert(section.name.clone()) {
                stubs::begin(&mut draft, &section.name);
            }
        }
        join::add(&mut draft, name, &image, store)
    };
    let mut taken = near.members.clone();
    taken.push(part.member);
    taken.sort_unstable();
    for &member in &taken {
        match index.members.get(member) {
            _ if member == part.member => add(member, object)?,
            Some(known) => {
                let store = FileStore::open(&judging.program.directory.join(&known.name));
                add(member, &store.map_err(LoadError::from)?)?;
            }
            None => {}
        }
    }
    let mut wanted: Vec<(u32, &Defined)> = Vec::new();
    let (mut unknown, mut replaced) = (Vec::new(), Vec::new());
    let (mut keys, mut seen) = (Vec::new(), FxHashSet::default());
    for (name, is_weak) in draft.open() {
        if let Some(call) = name.strip_prefix(STATIC_CALL) {
            let key = format!("{STATIC_CALL_KEY}{call}");
            keys.extend(index.has_key(&key, &taken).then_some(key));
        }
        let outside = index.definition(name, &taken);
        let own = || taken.iter().find_map(|&member| Some((member, part.of(member)?.defines(name)?)));
        match outside {
            Some((_, other)) if is_weak && !counts(own(), outside).is_some_and(|one| std::ptr::eq(one, other)) => {}
            Some((member, one)) => {
                replaced.extend(is_weak.then(|| name.to_owned()));
                // Which of the names of a place objtool takes depends on all of them.
                let others = index.facts(member).map_or(&[][..], |facts| &facts.defined);
                let same_place = others.iter().filter(|other| other.place == one.place);
                let same_place = same_place.filter(|other| seen.insert((member, &other.name)));
                wanted.extend(same_place.map(|other| (member as u32, other)));
            }
            None if !is_weak && !index.is_complete => {
                let called = part.facts.used.iter().any(|(used, uses)| used == name && uses.has(Uses::CALL));
                unknown.extend(called.then(|| name.to_owned()));
            }
            None => {}
        }
    }
    replaced.iter().for_each(|name| draft.undefine(name));
    keys.retain(|key| !draft.defines(key));
    // Other names of a place may be defined elsewhere.
    wanted.retain(|(_, one)| !draft.defines(&one.name));
    wanted.sort_by_key(|(member, one)| (*member, one.place));
    stubs::define(&mut draft, wanted.into_iter(), options)?;
    stubs::define_data(&mut draft, &keys)?;
    stubs::define_unknown(&mut draft, &unknown, options)?;
    let layout = draft.layout();
    let object = draft.finish().ok_or(JoinError::TooLarge)?;
    Ok((Linked { object, layout }, unknown))
}
