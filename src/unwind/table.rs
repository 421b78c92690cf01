//! The rows of `.eh_frame` and `.debug_frame`: how the caller is found, by place in the code.
//!
//! In: [`ElfImage`], [`Addresses`].  Out: [`Tables`].
//! Holds afterwards: the rows of a description lie one behind the other within its code; expressions are bytes that can
//! be read again.
//! Reads like: DWARF 5 §6.4 and §7.24; LSB 5.0 core, §10.6 (`.eh_frame`); x86-64 psABI §4.2.4.

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EndianSlice, FrameDescriptionEntry,
    LittleEndian, Pointer, UnwindSection,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::machine::{self, Initial};
use super::pads::{self, Pad};
use super::relocated::Addresses;
use super::value::{CALLEE_SAVED, RA, Reg};
use crate::ids::SectionId;
use crate::image::{ElfImage, Store};

/// What gimli reads from.
pub type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Bytes of an expression: a range of [`Tables::expressions`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Expression {
    /// Where it starts.
    pub start: u32,
    /// How long it is.
    pub len: u32,
}

/// How the CFA is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CfaRule {
    /// Nothing is said.
    None,
    /// A register and a number.
    Register {
        /// The register.
        reg: u16,
        /// What is added.
        offset: i32,
    },
    /// What an expression comes to.
    Expression(Expression),
}

/// How a register of the caller is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// It is as it was.
    Same,
    /// In memory, so far above the CFA.
    Offset(i32),
    /// It is the CFA and a number.
    IsOffset(i32),
    /// In another register.
    Register(u16),
    /// In memory, at what an expression comes to.
    Expression(Expression),
    /// It is what an expression comes to.
    IsExpression(Expression),
    /// It is lost; for the return address: nobody called.
    Undefined,
}

/// The registers that rows are judged by: those a function gives back, and the return address.
pub const JUDGED: [Reg; 7] =
    [CALLEE_SAVED[0], CALLEE_SAVED[1], CALLEE_SAVED[2], CALLEE_SAVED[3], CALLEE_SAVED[4], CALLEE_SAVED[5], RA];

/// A row: in force from its start to its end, in the order of addresses, whatever the control flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Offset of the first byte in the section of the code.
    pub start: u32,
    /// Offset behind the last.
    pub end: u32,
    /// The CFA.
    pub cfa: CfaRule,
    /// The registers of [`JUDGED`].
    pub rules: [Rule; 7],
    /// What it says of other registers, their number and rule.
    pub others: Vec<(u16, Rule)>,
    /// At which place of the code the directive stands that last said something of the CFA, and of each register.
    pub said: [u32; 8],
    /// Bytes of arguments on the stack that a landing pad finds popped.
    pub args_size: u32,
}

impl Row {
    /// The rule of a register.
    pub fn rule(&self, reg: Reg) -> Rule {
        let judged = JUDGED.iter().position(|&judged| judged == reg).and_then(|at| self.rules.get(at));
        let other = || self.others.iter().find(|(other, _)| *other == u16::from(reg)).map(|(_, rule)| rule);
        judged.or_else(other).copied().unwrap_or(Rule::Same)
    }

    /// Whether it is the row of a function that was just called by the rules.
    pub fn is_of_entry(&self) -> bool {
        self.cfa == CfaRule::Register { reg: 7, offset: 8 }
            && self.rules[..6].iter().all(|rule| *rule == Rule::Same)
            && self.rules[6] == Rule::Offset(-8)
    }

    /// Whether nobody is above.
    pub fn is_outermost(&self) -> bool {
        self.rules[6] == Rule::Undefined
    }
}

/// Something in a description that no reader has to understand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Oddity {
    /// `restore_state` without a state that was remembered.
    NothingRemembered,
    /// `def_cfa_register` while the CFA is an expression.
    RegisterOfExpression,
    /// `def_cfa_offset` while the CFA is an expression, or nothing.
    OffsetOfExpression,
    /// What x86-64 does not have, or nobody has.
    UnknownInstruction,
}

/// The description of one piece of code.
#[derive(Clone, Debug)]
pub struct Fde {
    /// Its section.
    pub section: SectionId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last.
    pub end: u32,
    /// Its rows, in [`Tables::rows`].
    pub rows: std::ops::Range<u32>,
    /// Whether it describes a frame that a signal made.
    pub signal: bool,
    /// Whether the return address is in another column than usual.
    pub other_column: bool,
    /// Landing pads.
    pub pads: Vec<Pad>,
    /// What is odd, and at which place of the code.
    pub oddities: Vec<(u32, Oddity)>,
}

/// All descriptions of an object.
#[derive(Default, Debug)]
pub struct Tables {
    /// By section and start.
    pub fdes: Vec<Fde>,
    /// The rows of all.
    pub rows: Vec<Row>,
    /// The bytes of all expressions.
    pub expressions: Vec<u8>,
    /// Tables that are broken, by name of the section.
    pub broken: Vec<String>,
}

impl Tables {
    /// Reads all tables of `image`. Code that both describe is judged by `.eh_frame`, as run time goes by that.
    pub fn read(store: &dyn Store, image: &ElfImage, addresses: &Addresses) -> Tables {
        let mut tables = Tables::default();
        let mut seen = FxHashSet::default();
        for name in [".eh_frame", ".debug_frame"] {
            for (id, section) in image.sections().filter(|(_, section)| section.name == name) {
                let Ok(bytes) = addresses.contents(store, image, id) else {
                    tables.broken.push(section.name.clone());
                    continue;
                };
                let mut source = Reading {
                    store,
                    image,
                    addresses,
                    lsda: FxHashMap::default(),
                    tables: &mut tables,
                    seen: &mut seen,
                };
                let bases = BaseAddresses::default().set_eh_frame(addresses.start(id));
                let whole = if name == ".eh_frame" {
                    source.section(&EhFrame::new(&bytes, LittleEndian), &bases)
                } else {
                    source.section(&DebugFrame::new(&bytes, LittleEndian), &bases)
                };
                if whole.is_err() {
                    tables.broken.push(section.name.clone());
                }
            }
        }
        tables.fdes.sort_by_key(|fde| (fde.section, fde.start, std::cmp::Reverse(fde.end)));
        tables
    }

    /// The bytes of an expression.
    pub fn expression(&self, expression: Expression) -> &[u8] {
        let start = expression.start as usize;
        self.expressions.get(start..start.saturating_add(expression.len as usize)).unwrap_or(&[])
    }

    /// The rows of a description.
    pub fn rows_of(&self, fde: &Fde) -> &[Row] {
        self.rows.get(fde.rows.start as usize..fde.rows.end as usize).unwrap_or(&[])
    }
}

struct Reading<'a> {
    store: &'a dyn Store,
    image: &'a ElfImage,
    addresses: &'a Addresses,
    /// Contents of sections with call sites.
    lsda: FxHashMap<SectionId, Vec<u8>>,
    tables: &'a mut Tables,
    seen: &'a mut FxHashSet<(SectionId, u32)>,
}

type Cie<'a> = CommonInformationEntry<Slice<'a>>;

impl Reading<'_> {
    fn section<'b, S>(&mut self, section: &S, bases: &BaseAddresses) -> gimli::Result<()>
    where
        S: UnwindSection<Slice<'b>>,
        S::Offset: Copy + Eq + std::hash::Hash,
    {
        let mut cies: FxHashMap<S::Offset, (Cie<'b>, Initial)> = FxHashMap::default();
        let mut entries = section.entries(bases);
        while let Some(entry) = entries.next()? {
            let CieOrFde::Fde(partial) = entry else { continue };
            let at = partial.cie_offset();
            if let std::collections::hash_map::Entry::Vacant(e) = cies.entry(at) {
                let Ok(cie) = section.cie_from_offset(bases, at) else { continue };
                let initial = machine::initial(section, bases, &cie, &mut self.tables.expressions);
                e.insert((cie, initial));
            }
            let Some((cie, initial)) = cies.get(&at) else { continue };
            let Ok(fde) = partial.parse(|_, _, _| Ok(cie.clone())) else { continue };
            self.fde(section, bases, &fde, initial);
        }
        Ok(())
    }

    fn fde<'b, S: UnwindSection<Slice<'b>>>(
        &mut self,
        section: &S,
        bases: &BaseAddresses,
        fde: &FrameDescriptionEntry<Slice<'b>>,
        initial: &Initial,
    ) {
        let Some(loc) = self.addresses.loc(fde.initial_address()) else { return };
        let code = self.image.section(loc.section);
        let Ok(start) = u32::try_from(loc.offset) else { return };
        let end = loc.offset.saturating_add(fde.len()).min(code.size);
        let Ok(end) = u32::try_from(end) else { return };
        if !code.is_code() || end <= start || !self.seen.insert((loc.section, start)) {
            return;
        }
        let first = self.tables.rows.len() as u32;
        let oddities = machine::run(section, bases, fde, initial, (start, end), self.tables);
        let pads = match fde.lsda() {
            Some(Pointer::Direct(address)) => self.pads(address, (loc.section, start)),
            Some(Pointer::Indirect(_)) | None => Vec::new(),
        };
        self.tables.fdes.push(Fde {
            section: loc.section,
            start,
            end,
            rows: first..self.tables.rows.len() as u32,
            signal: fde.is_signal_trampoline(),
            other_column: fde.cie().return_address_register().0 != u16::from(RA),
            pads,
            oddities,
        });
    }

    fn pads(&mut self, address: u64, function: (SectionId, u32)) -> Vec<Pad> {
        let Some(at) = self.addresses.loc(address) else { return Vec::new() };
        let bytes = self
            .lsda
            .entry(at.section)
            .or_insert_with(|| self.addresses.contents(self.store, self.image, at.section).unwrap_or_default());
        pads::read(bytes, at, self.addresses, function)
    }
}
