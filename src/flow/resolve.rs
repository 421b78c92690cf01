//! The preparation passes, in the release's order.
//!
//! In: image, symbols, instructions.  Out: [`FlowGraph`], and the instructions with alternatives' padding appended.
//! Holds afterwards: see [`super`].

use crate::cancel::{CancelToken, Cancelled};
use crate::decode::{DecodeNote, InsnTable};
use crate::image::{ElfImage, Store};
use crate::kernel::rules::{Annotations, Rules};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::parallel;
use crate::symbols::Symbols;

use super::branches::Census;
use super::builder::Builder;
use super::names::Noreturn;
use super::{Flags, FlowGraph};

/// What flow is resolved from.
pub struct Input<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Its bytes, for the tables that the image left in the file.
    pub store: &'a dyn Store,
    /// The release's rules.
    pub rules: &'a Rules,
    /// The flags.
    pub options: &'a Options,
    /// Functions that never return, besides those that the release knows.
    pub noreturn: &'a [String],
    /// The object is a linked module without its annotations.
    pub finished_module: bool,
}

/// Runs all passes. A broken table ends objtool; here the pass goes on with the next entry, and what the other passes
/// find is kept as something that objtool would not have said.
pub fn resolve(
    input: &Input<'_>,
    symbols: Symbols,
    insns: InsnTable,
    notes: &[DecodeNote],
    ledger: &mut Ledger,
    cancel: &CancelToken,
) -> Result<(Symbols, InsnTable, FlowGraph), Cancelled> {
    let n = insns.len();
    // Room for the padding of alternatives. Room that is not needed costs no memory; moving everything would.
    let room = n / 16 + 16;
    let Census { branches, lea_rip, bugs } = Census::of(insns.as_slice());
    let mut flags = parallel::filled(n, room, |_| Flags::default());
    bugs.into_iter().for_each(|bug| flags[bug.index()] = Flags::DEAD_END);
    let mut builder = Builder {
        image: input.image,
        store: input.store,
        rules: input.rules,
        options: input.options,
        hacks: input.options.hacks(),
        finished_module: input.finished_module,
        ibt: input.options.ibt || (input.finished_module && input.image.section_by_name(".ibt_endbr_seal").is_some()),
        noreturn: Noreturn::new(input.rules, input.noreturn),
        dead_end_functions: vec![None; input.image.symbols.len()],
        symbols,
        graph: FlowGraph {
            branches,
            lea_rip,
            flags,
            sections: super::owners::section_traits(input.image, input.options, input.rules),
            unreachables_ignored: input.options.no_unreachable,
            ..FlowGraph::default()
        },
        insns,
        ledger,
    };
    builder.run(notes, cancel)?;
    Ok((builder.symbols, builder.insns, builder.graph))
}

impl Builder<'_> {
    fn run(&mut self, notes: &[DecodeNote], cancel: &CancelToken) -> Result<(), Cancelled> {
        let pv_ops = self.find_pv_ops();
        self.assign_owners(notes, pv_ops);
        cancel.check()?;
        if self.rules.branches.dead_ends_in_walk {
            self.label_dead_ends();
        }
        self.mark_ignored();
        let frames = self.finished_module.then(|| self.stored_frames());
        if let Some(frames) = &frames {
            self.recover_ignored(frames);
        }
        self.mark_uaccess_safe();
        let generic = self.rules.tables.annotations == Annotations::Generic;
        if generic {
            self.annotate_early();
        } else {
            self.label_ignore_alts();
            if self.rules.tables.noendbr_labels {
                self.label_noendbr();
            }
        }
        if self.rules.branches.jumps_before_tables {
            self.add_jumps();
        }
        let o = self.options;
        if self.rules.tables.special_always || o.stackval || o.orc || o.uaccess || o.noinstr || self.hacks.jump_label {
            self.add_special();
        }
        cancel.check()?;
        if !self.rules.branches.jumps_before_tables {
            self.add_jumps();
        }
        cancel.check()?;
        if generic {
            self.annotate_intra_calls();
        } else {
            self.label_intra_calls();
        }
        self.add_calls();
        cancel.check()?;
        if !generic && !self.rules.branches.dead_ends_in_walk {
            self.label_dead_ends();
        }
        if self.finished_module {
            self.recover_warnings();
        }
        self.add_tables();
        self.order_alternates();
        self.read_hints();
        debug_assert!(
            self.graph.branches.kinds_within(0..self.insns.n_real()).all(|(id, kind)| kind == self.insns.kind(id)),
            "branches are what the table has them for"
        );
        if generic {
            self.mark_holes();
            self.annotate_late();
        } else {
            self.label_retpoline_safe();
            self.label_instr();
            self.label_unret();
        }
        if let Some(frames) = &frames {
            self.recover_hints(frames);
            self.recover_ignored_alternatives(frames);
        }
        if self.rules.branches.dead_ends_in_walk {
            self.mark_dead_calls();
        }
        self.graph.saves.sort_unstable();
        self.graph.declared.sort_unstable();
        self.graph.declared.dedup();
        Ok(())
    }
}
