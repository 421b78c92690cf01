//! Functions that objtool knows by name.
//!
//! In: the lists of the rules.  Out: [`Noreturn`].

use std::borrow::Cow;

use rustc_hash::FxHashSet;

use crate::image::{STB_GLOBAL, STB_LOCAL, STB_WEAK};
use crate::kernel::rules::Rules;
use crate::mangled;

/// The functions that never return, as a release knows them.
pub struct Noreturn<'a> {
    names: FxHashSet<&'a str>,
    project: &'a [String],
    /// The project's Rust functions by their paths: the hash in a name changes with the compiler.
    rust: FxHashSet<String>,
    rules: &'a Rules,
}

impl<'a> Noreturn<'a> {
    /// The release's list and the project's own.
    pub fn new(rules: &'a Rules, project: &'a [String]) -> Self {
        let is_rust = |name: &&String| name.contains("::") || mangled::is_mangled(name);
        let rust = project.iter().filter(is_rust).map(|name| mangled::plain(name)).collect();
        Noreturn { names: rules.lists.noreturn.iter().map(|name| &**name).collect(), project, rust, rules }
    }

    /// Whether a symbol of this binding can be on a list.
    pub fn knows(&self, binding: u8) -> bool {
        binding != STB_LOCAL || !self.project.is_empty()
    }

    /// Whether a symbol of this name and binding is on a list.
    pub fn lists(&self, name: &str, binding: u8) -> bool {
        let bound = match binding {
            STB_GLOBAL => true,
            STB_WEAK => self.rules.lists.noreturn_weak,
            STB_LOCAL => false,
            _ => self.rules.lists.noreturn_any_global,
        };
        (bound && (self.names.contains(name) || self.is_rust(name)))
            || self.project.iter().any(|own| own == name)
            || (!self.rust.is_empty() && mangled::is_mangled(name) && self.rust.contains(&mangled::plain(name)))
    }

    /// Rust's panics, whose mangled names end with a crate's disambiguator in between.
    fn is_rust(&self, name: &str) -> bool {
        let Some(rust) = self.rules.lists.rust_noreturn.as_ref().filter(|_| name.starts_with("_R")) else {
            return false;
        };
        let has = |part: &Cow<'static, str>| name.contains(&**part);
        rust.ends.iter().any(|end| name.ends_with(&**end))
            || rust.contains.iter().any(has)
            || rust.all.last().is_some_and(|end| name.ends_with(&**end) && rust.all.iter().all(has))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    #[test]
    fn a_projects_rust_functions_are_known_by_path_and_by_any_name() {
        let listed =
            |own: &str, name: &str| Noreturn::new(Kernel::V6_12.rules(), &[own.to_owned()]).lists(name, STB_GLOBAL);
        let (old, new) = ("_RNvCsfIZDjVmhDHd_4drvA5fatal", "_RNvCs2z1Piulx3M7_4drvA5fatal");
        assert!(listed("drvA::fatal", new));
        assert!(listed(old, new) && listed(old, old));
        assert!(!listed("drvA::other", new));
        assert!(!listed("drvA::fatal", "fatal"));
    }
}
