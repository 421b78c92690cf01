//! What a walk does about findings, as a table that the walk is given: it never asks which policy it has.
//!
//! In: [`Policy`], the name that callers use.  Out: [`Conduct`], one field per decision.
//! Holds afterwards: another policy is another row here, and no change of the walk.

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// As objtool does: a function's first finding ends it.
    Objtool,
    /// Everything: continue after a finding. What objtool would print is known for each finding.
    Everything,
}

/// The decisions of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Conduct {
    /// A finding ends the walk of the whole function; else only its path, or nothing where the state is still known.
    pub ends_function: bool,
    /// The same fault at the same instruction is told once, however many paths lead there.
    pub once_per_place: bool,
    /// Findings get the states that they are about, the paths to them, and their causes. Costs memory per branch.
    pub keeps_paths: bool,
    /// A branch to a place that was visited with the same state need not be entered: nothing is lost that objtool prints.
    pub skips_visited_targets: bool,
}

impl Policy {
    pub(super) fn conduct(self) -> Conduct {
        match self {
            Policy::Objtool => {
                Conduct { ends_function: true, once_per_place: false, keeps_paths: false, skips_visited_targets: true }
            }
            Policy::Everything => {
                Conduct { ends_function: false, once_per_place: true, keeps_paths: true, skips_visited_targets: false }
            }
        }
    }
}
