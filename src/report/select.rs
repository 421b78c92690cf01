//! Which part of an object to show.
//!
//! In: a function's name, a line.  Out: [`Select`], which picks instructions.
//! Holds afterwards: for a line only the code of that line is looked at, however large the object.

use crate::ids::{InsnId, SymbolId};
use crate::report::view::{View, demangled};

/// Which part of an object to show. All of it when nothing is set.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// Only this function: its symbol, or its demangled name.
    pub function: Option<String>,
    /// Only the code of this line, and of the calls that were inlined there; the file may be given by the end of its path.
    pub at: Option<(String, u32)>,
}

impl Select {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.function.is_none() && self.at.is_none()
    }

    /// The chosen instructions, in address order per section, which is the order of their ids.
    pub fn insns(&self, view: &View<'_>) -> Vec<InsnId> {
        let mut chosen = match &self.at {
            Some((file, line)) => view.insns_of_line(file, *line),
            None => all(view),
        };
        if let Some(wanted) = &self.function {
            let image = &view.analysis.image;
            let named = |id: SymbolId| {
                let name = image.symbol_name(id);
                name == wanted || demangled(name) == *wanted
            };
            let symbols: Vec<SymbolId> = image.symbols().map(|(id, _)| id).filter(|&id| named(id)).collect();
            chosen.retain(|&insn| view.analysis.flow.owner(insn).is_some_and(|owner| symbols.contains(&owner)));
        }
        chosen
    }
}

fn all(view: &View<'_>) -> Vec<InsnId> {
    let code = view.analysis.image.sections().filter(|(_, section)| section.is_code());
    code.flat_map(|(id, _)| view.analysis.insns.of_section(id)).collect()
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
