//! Whether the object has lists that objtool would add.
//!
//! In: names of sections, flags.  Out: a finding per list that is there.
//! Holds afterwards: lists of static calls are left to [`super::static_calls`], the ORC table to [`crate::analysis`].
//! Reads like: the functions `create_*_sections` in `tools/objtool/check.c`.

use crate::findings::Fault;
use crate::follow::Input;
use crate::kernel::rules::Addition;
use crate::ledger::{Ledger, Weight};

/// Each list that the flags ask for and that is there, whether or not anything would be put into it.
pub fn existing_lists(input: &Input<'_>, ledger: &mut Ledger) {
    for &addition in input.rules.write.additions {
        let Some(section) = list(addition) else { continue };
        let asked = input.options.adds(addition, input.rules);
        if asked && !ledger.stopped() && input.image.section_by_name(section).is_some() {
            ledger.plain(Weight::Warning, Fault::SectionExists { section }, None, None, None);
        }
    }
}

/// Where a list of instructions is written to.
fn list(addition: Addition) -> Option<&'static str> {
    Some(match addition {
        Addition::Retpolines => ".retpoline_sites",
        Addition::CfiSites => ".cfi_sites",
        Addition::Returns => ".return_sites",
        Addition::Calls => ".call_sites",
        Addition::Mcount => "__mcount_loc",
        Addition::EndbrSeal => ".ibt_endbr_seal",
        Addition::StaticCalls | Addition::Prefixes | Addition::Orc => return None,
    })
}
