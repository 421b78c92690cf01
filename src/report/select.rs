//! Which part of an object to show.
//!
//! In: a function's name, a line.  Out: [`Select`], which picks instructions.

use crate::ids::InsnId;
use crate::report::view::{View, demangled};

/// Which part of an object to show. All of it when nothing is set.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// Only this function: its symbol, or its demangled name.
    pub function: Option<String>,
    /// Only the code of this line; the file may be given by the end of its path.
    pub at: Option<(String, u32)>,
}

impl Select {
    /// The chosen ones among `insns`.
    pub fn insns(&self, view: &View<'_>, insns: impl Iterator<Item = InsnId>) -> Vec<InsnId> {
        insns.filter(|&insn| self.takes(view, insn)).collect()
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.function.is_none() && self.at.is_none()
    }

    /// Whether an instruction is chosen.
    pub fn takes(&self, view: &View<'_>, insn: InsnId) -> bool {
        self.takes_function(view, insn) && self.takes_line(view, insn)
    }

    fn takes_function(&self, view: &View<'_>, insn: InsnId) -> bool {
        let Some(wanted) = &self.function else { return true };
        view.function(insn).is_some_and(|name| name == *wanted || demangled(&name) == *wanted)
    }

    fn takes_line(&self, view: &View<'_>, insn: InsnId) -> bool {
        let Some((file, wanted)) = &self.at else { return true };
        let Some(place) = view.place(view.analysis.insns.loc(insn)) else { return false };
        let own = (Some(place.file), place.line);
        let calls = place.inlined.into_iter().map(|frame| (frame.file, frame.line));
        std::iter::once(own)
            .chain(calls)
            .any(|(name, line)| line == Some(*wanted) && name.is_some_and(|name| same_file(&name, file)))
    }
}

/// Whether `wanted` is the end of the path `name`. Steps like `./` do not count.
pub fn same_file(name: &str, wanted: &str) -> bool {
    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path.rsplit('/').filter(|part| !part.is_empty() && *part != ".")
    }
    let mut of_name = parts(name);
    parts(wanted).all(|part| of_name.next() == Some(part)) && (!wanted.starts_with('/') || of_name.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_the_end_of_its_path() {
        assert!(same_file("/build/./arch/x86/lib/copy.S", "lib/copy.S"));
        assert!(same_file("/build/./arch/x86/lib/copy.S", "/build/arch/x86/lib/copy.S"));
        assert!(!same_file("/build/./arch/x86/lib/copy.S", "/arch/x86/lib/copy.S"));
        assert!(!same_file("/build/arch/x86/lib/memcopy.S", "copy.S"));
        assert!(!same_file("copy.S", "lib/copy.S"));
    }
}
