//! An oracle that needs no tool: the compiler's own unwind tables.
//!
//! In: an object built with `-fasynchronous-unwind-tables`, and its analysis.  Out: [`Compared`].
//! Holds afterwards: at every instruction that both speak of, the CFA and the saved registers are the same. `.eh_frame`
//! speaks of no register that the caller does not care for, and neither does the comparison.
//! Reads like: DWARF 5 §6.4; x86-64 psABI §3.6.2 (register numbers).

use std::collections::BTreeMap;

use gimli::{BaseAddresses, CfaRule, EhFrame, LittleEndian, RegisterRule, UnwindContext, UnwindSection};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
use orcls::analysis::Analysis;
use orcls::cfi::{Base, CfiState, Rule};
use orcls::ids::{CodeLoc, SectionId};

/// DWARF's numbers of the registers that a callee saves, with ours.
const CALLEE_SAVED: [(u16, Base); 6] =
    [(3, Base::BX), (6, Base::BP), (12, Base::R12), (13, Base::R13), (14, Base::R14), (15, Base::R15)];
/// Sections of a relocatable object all start at 0: each gets this much room of its own.
const ROOM: u64 = 1 << 24;

/// What the comparison saw.
pub struct Compared {
    /// States that were compared.
    pub n_states: usize,
    /// One line each.
    pub differences: Vec<String>,
}

type Saved = BTreeMap<i8, i64>;

/// Compares the states of `analysis` with the `.eh_frame` in `bytes`.
pub fn compare(bytes: &[u8], analysis: &Analysis) -> Result<Compared, Box<dyn std::error::Error>> {
    let file = object::File::parse(bytes)?;
    let section = file.section_by_name(".eh_frame").ok_or("the object has no .eh_frame")?;
    let data = relocated(&file, &section)?;
    let frames = EhFrame::new(&data, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(base(section.index()));
    let mut compared = Compared { n_states: 0, differences: Vec::new() };
    let mut context = UnwindContext::new();
    let mut entries = frames.entries(&bases);
    while let Some(entry) = entries.next()? {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        let fde = partial.parse(EhFrame::cie_from_offset)?;
        let mut rows = fde.rows(&frames, &bases, &mut context)?;
        while let Some(row) = rows.next_row()? {
            let section = SectionId::from_index((row.start_address() / ROOM) as usize);
            let range = row.start_address() % ROOM..row.end_address().min(fde.end_address()) % ROOM;
            for insn in analysis.insns.of_section(section) {
                let at = analysis.insns.loc(insn);
                let Some(state) = analysis.states.state(insn).filter(|_| range.contains(&at.offset)) else { continue };
                compared.n_states += 1;
                compared.differences.extend(difference(at, row, state));
            }
        }
    }
    Ok(compared)
}

fn difference(at: CodeLoc, row: &gimli::UnwindTableRow<usize>, state: &CfiState) -> Option<String> {
    let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else {
        // GCC's realigned frames: the CFA is what a word near the frame pointer points to.
        return (state.cfa.base != Base::BP_INDIRECT)
            .then(|| format!("{at:?}: an expression, orcls has {:?}", state.cfa));
    };
    let cfa = Rule::new(orcls_base(*register), i32::try_from(*offset).unwrap_or(i32::MAX));
    if state.cfa != cfa {
        return Some(format!("{at:?}: the compiler's CFA is {cfa:?}, orcls has {:?}", state.cfa));
    }
    let (mut theirs, mut ours) = (saved_by_compiler(row), saved_by_us(state));
    // With a frame pointer GCC says of several registers at once that they are saved, behind the last push, and nothing of
    // their way back. Without one, each push and pop counts.
    if cfa.base != Base::SP {
        let both: Vec<i8> = theirs.keys().filter(|register| ours.contains_key(register)).copied().collect();
        theirs.retain(|register, _| both.contains(register));
        ours.retain(|register, _| both.contains(register));
    }
    (theirs != ours).then(|| format!("{at:?}: the compiler has saved {theirs:?}, orcls {ours:?}"))
}

fn saved_by_compiler(row: &gimli::UnwindTableRow<usize>) -> Saved {
    let rule = |(number, ours): (u16, Base)| match row.register(gimli::Register(number)) {
        Some(RegisterRule::Offset(offset)) => Some((ours.0, offset)),
        _ => None,
    };
    CALLEE_SAVED.into_iter().filter_map(rule).collect()
}

fn saved_by_us(state: &CfiState) -> Saved {
    let rule = |(_, ours): (u16, Base)| {
        let rule = state.reg(ours);
        (rule.base == Base::CFA).then_some((ours.0, i64::from(rule.offset)))
    };
    CALLEE_SAVED.into_iter().filter_map(rule).collect()
}

/// psABI figure 3.36. Only what a CFA hangs on.
fn orcls_base(register: gimli::Register) -> Base {
    match register.0 {
        7 => Base::SP,
        6 => Base::BP,
        10 => Base::R10,
        13 => Base::R13,
        _ => Base::UNDEFINED,
    }
}

fn base(section: object::SectionIndex) -> u64 {
    section.0 as u64 * ROOM
}

/// The section's bytes as a linker that gives every section its room would have left them.
fn relocated(
    file: &object::File<'_>,
    section: &object::Section<'_, '_>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut data = section.data()?.to_vec();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
        let symbol = file.symbol_by_index(symbol)?;
        let target = symbol.section_index().map_or(0, base).wrapping_add(symbol.address());
        let value = target.wrapping_add_signed(relocation.addend()).wrapping_sub(base(section.index()) + offset);
        let at = offset as usize;
        data.get_mut(at..at + 4)
            .ok_or("a relocation outside .eh_frame")?
            .copy_from_slice(&(value as u32).to_le_bytes());
    }
    Ok(data)
}
