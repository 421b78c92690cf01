//! The rows of `.eh_frame` and `.debug_frame`: how the caller is found, by place in the code.
//!
//! In: [`ElfImage`], [`Addresses`].  Out: [`Tables`].
//! Holds afterwards: the rows of a description lie one behind the other within its code; expressions are bytes that can
//! be read again.
//! Reads like: DWARF 5 §6.4 and §7.24; LSB 5.0 core, §10.6 (`.eh_frame`); x86-64 psABI §4.2.4.

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, FrameDescriptionEntry, LittleEndian, Pointer,
    UnwindSection,
};
use iced_x86::{Decoder, DecoderOptions};
use rustc_hash::FxHashMap;

use super::machine::{self, Initial, Slice};
use super::pads::{self, Pad};
use super::relocated::Addresses;
use super::row::{Expression, Oddity, Row};
use super::value::RA;
use crate::ids::SectionId;
use crate::image::{ET_REL, ElfImage, Store};

/// The description of one piece of code.
#[derive(Clone, Debug)]
pub(super) struct Fde {
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
pub(super) struct Tables {
    /// By section and start.
    pub fdes: Vec<Fde>,
    /// The rows of all.
    pub rows: Vec<Row>,
    /// The bytes of all expressions.
    pub expressions: Vec<u8>,
    /// Tables that are broken, by name of the section.
    pub broken: Vec<String>,
    /// Instructions of tables of procedure linkage, which a linker writes with their rows.
    pub linkage: usize,
    /// Whether both tables describe some code, and say different things of it.
    pub differ: bool,
}

/// Which table is read where both describe the same code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// `.eh_frame`: run time goes by that.
    EhFrameFirst,
    /// `.debug_frame`: some debuggers prefer it.
    DebugFrameFirst,
}

impl Tables {
    /// Reads all tables of `image`.
    pub(super) fn read(store: &dyn Store, image: &ElfImage, addresses: &Addresses, order: Order) -> Tables {
        let mut tables = Tables::default();
        let mut seen = FxHashMap::default();
        let mut names = [".eh_frame", ".debug_frame"];
        if order == Order::DebugFrameFirst {
            names.reverse();
        }
        for name in names {
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

    fn lists(&mut self) -> (&mut Vec<Row>, &mut Vec<u8>) {
        (&mut self.rows, &mut self.expressions)
    }

    /// Whether two lists of rows say the same of the CFA and of registers. Expressions are taken to differ.
    fn say_the_same(&self, one: &std::ops::Range<u32>, other: &std::ops::Range<u32>) -> bool {
        let rows =
            |range: &std::ops::Range<u32>| self.rows.get(range.start as usize..range.end as usize).unwrap_or(&[]);
        let (one, other) = (rows(one), rows(other));
        let same = |a: &Row, b: &Row| (a.start, a.end, a.cfa, a.rules) == (b.start, b.end, b.cfa, b.rules);
        one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
    }

    /// The bytes of an expression.
    pub(super) fn expression(&self, expression: Expression) -> &[u8] {
        let start = expression.start as usize;
        self.expressions.get(start..start.saturating_add(expression.len as usize)).unwrap_or(&[])
    }

    /// The rows of a description.
    pub(super) fn rows_of(&self, fde: &Fde) -> &[Row] {
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
    /// The rows of what was read, by where it starts.
    seen: &'a mut FxHashMap<(SectionId, u32), std::ops::Range<u32>>,
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
        if !code.is_code() || end <= start {
            return;
        }
        // What the linker makes for calls of other files, it describes itself, by an expression over the instruction pointer.
        if self.image.kind != ET_REL && code.name.starts_with(".plt") {
            let bytes = code.code.get(start as usize..end as usize).unwrap_or(&[]);
            self.tables.linkage += Decoder::new(64, bytes, DecoderOptions::NONE).into_iter().count();
            return;
        }
        let first = self.tables.rows.len() as u32;
        let oddities = machine::run(section, bases, fde, initial, (start, end), self.tables.lists());
        let rows = first..self.tables.rows.len() as u32;
        if let Some(seen) = self.seen.get(&(loc.section, start)) {
            self.tables.differ |= !self.tables.say_the_same(seen, &rows);
            self.tables.rows.truncate(first as usize);
            return;
        }
        self.seen.insert((loc.section, start), rows.clone());
        let pads = match fde.lsda() {
            Some(Pointer::Direct(address)) => self.pads(address, (loc.section, start)),
            Some(Pointer::Indirect(_)) | None => Vec::new(),
        };
        self.tables.fdes.push(Fde {
            section: loc.section,
            start,
            end,
            rows,
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
