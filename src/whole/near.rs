//! Which objects of a program an edited one has to be judged together with.
//!
//! In: an [`Index`], what the edited object looked like from outside and does now.  Out: [`Near`].
//! Holds afterwards: who could see a difference is among them, and who is needed to judge the edited object itself; of all
//! others the facts of the index are enough.
//!
//! | what changed | who could see it |
//! |---|---|
//! | the section, to or from one that may not be instrumented | who calls it from such code; who puts it into a slot |
//! | `endbr` at its start | who takes its address |
//! | whether it returns | who calls it |
//! | whether it is there, or is weak | all who use it |
//! | places inside of it | who refers to one |
//! | whether it has the key of a static call | who calls the trampoline |
//! | what it puts into a slot of paravirt operations | who calls through slots from code that may not be instrumented |

use rustc_hash::FxHashSet;

use super::facts::{Defined, Facts, STATIC_CALL, STATIC_CALL_KEY, Uses};
use super::index::Index;

/// So many objects are looked into at most; of the others the link tells.
const MOST: usize = 48;

/// See the top of the file.
#[derive(Clone, Default, Debug)]
pub(super) struct Near {
    /// Members to judge together with the edited object, in the order in which they are linked.
    pub members: Vec<usize>,
    /// How many more there would be.
    pub n_left: usize,
}

/// The members that an edit brings into play.
pub(super) fn near(index: &Index, edited: usize, old: &Facts, new: &Facts) -> Near {
    let mut found = FxHashSet::default();
    let mut slots = old.slots != new.slots;
    let names: FxHashSet<&str> = old.defined.iter().chain(&new.defined).map(|one| one.name.as_str()).collect();
    for name in names {
        let outside = index.definition(name, &[edited]);
        let own = [old, new].map(|facts| facts.defines(name).map(|one| (edited, one)));
        let [before, after] = own.map(|own| counts(own, outside));
        let wanted = sees(before, after);
        for &(user, uses) in index.users(name).iter().filter(|(user, _)| *user as usize != edited) {
            if uses.has(wanted) {
                found.insert(user as usize);
            }
            let fills = || index.facts(user as usize).is_some_and(|facts| facts.fills_slots);
            slots |= wanted.has(Uses::NOINSTR) && uses.has(Uses::ADDRESS.with(Uses::DATA)) && fills();
        }
    }
    let lacks = |facts: &Facts, key: &String| !facts.data.contains(key);
    let keys = [(old, new), (new, old)].into_iter();
    let keys = keys.flat_map(|(one, other)| one.data.iter().filter(move |key| lacks(other, key)));
    for call in keys.filter_map(|key| key.strip_prefix(STATIC_CALL_KEY)) {
        let users = index.users(&format!("{STATIC_CALL}{call}")).iter();
        found.extend(users.filter(|(_, uses)| uses.has(Uses::CALL)).map(|(user, _)| *user as usize));
    }
    if slots || new.calls_slots {
        found.extend(index.members_with(|facts| facts.fills_slots));
    }
    if slots {
        found.extend(index.members_with(|facts| facts.calls_slots));
    }
    let unret = || index.members_with(|facts| facts.unret);
    if old.unret || new.unret || enters(index, edited, old, new) {
        found.extend(unret());
    }
    found.remove(&edited);
    let mut members: Vec<usize> = found.into_iter().collect();
    members.sort_unstable();
    let n_left = members.len().saturating_sub(MOST);
    members.truncate(MOST);
    let mut found: FxHashSet<usize> = members.into_iter().collect();
    complete(index, edited, new, &mut found);
    let mut members: Vec<usize> = found.into_iter().collect();
    members.sort_unstable();
    Near { members, n_left }
}

/// Adds what those that were found cannot do without.
fn complete(index: &Index, edited: usize, new: &Facts, found: &mut FxHashSet<usize>) {
    let mut left: Vec<usize> = found.iter().copied().chain([edited]).collect();
    while let Some(member) = left.pop() {
        let facts = if member == edited { Some(new) } else { index.facts(member).map(AsRef::as_ref) };
        let Some(facts) = facts.filter(|_| found.len() <= 2 * MOST) else { continue };
        // A place inside of a function is looked for in that function.
        let inside = facts.used.iter().filter(|(_, uses)| uses.has(Uses::INSIDE));
        let functions = inside.filter_map(|(name, _)| index.definition(name, &[edited])).map(|(member, _)| member);
        // A slot is one of the table's.
        let slots = index.members_with(|other| other.has_slots && facts.fills_slots);
        for other in functions.chain(slots).filter(|other| *other != edited) {
            if found.insert(other) {
                left.push(other);
            }
        }
    }
}

/// The definition that a link takes: of weak ones the first, if there is no other.
pub(super) fn counts<'a>(
    own: Option<(usize, &'a Defined)>,
    outside: Option<(usize, &'a Defined)>,
) -> Option<&'a Defined> {
    match (own, outside) {
        (Some((at, own)), Some((other_at, other))) => {
            let gives_way = own.weak && (!other.weak || other_at < at);
            Some(if gives_way { other } else { own })
        }
        (own, outside) => own.or(outside).map(|(_, one)| one),
    }
}

/// Which uses of a function can tell the one from the other.
fn sees(before: Option<&Defined>, after: Option<&Defined>) -> Uses {
    let all = Uses::CALL.with(Uses::NOINSTR).with(Uses::ADDRESS).with(Uses::DATA).with(Uses::INSIDE);
    match (before, after) {
        (Some(before), Some(after)) => {
            let mut wanted = Uses::INSIDE;
            if before.noinstr != after.noinstr {
                wanted = wanted.with(Uses::NOINSTR);
            }
            if before.endbr != after.endbr {
                wanted = wanted.with(Uses::ADDRESS).with(Uses::DATA);
            }
            let ends = |one: &Defined| (one.never, one.weak, one.sized, one.kind);
            if ends(before) != ends(after) {
                wanted = wanted.with(Uses::CALL);
            }
            wanted
        }
        (None, None) => Uses::default(),
        _ => all,
    }
}

/// Whether code that the untraining check starts in leads to the edited object.
fn enters(index: &Index, edited: usize, old: &Facts, new: &Facts) -> bool {
    let starts: Vec<u32> = index.members_with(|facts| facts.unret).map(|member| member as u32).collect();
    let is_called = |one: &Defined| {
        let called = |(user, uses): &(u32, Uses)| uses.has(Uses::CALL) && starts.contains(user);
        one.noinstr && index.users(&one.name).iter().any(called)
    };
    !starts.contains(&(edited as u32)) && old.defined.iter().chain(&new.defined).any(is_called)
}
