//! What the table says of each instruction, beside what the code makes true.
//!
//! In: an object.  Out: [`Side`]s, for people.
//! Holds afterwards: what is marked as different is what a finding is made from.

use super::code::{Code, NONE};
use super::compare::{CFA, Judge, bit};
use super::expression;
use super::fault::truth;
use super::names::Names;
use super::op::Op;
use super::pointers::Pointers;
use super::relocated::Addresses;
use super::row::{CfaRule, JUDGED, Row, Rule};
use super::state::State;
use super::table::{Order, Tables};
use super::value::{Base, CALLEE_SAVED, RA, Reg, Value, name};
use super::verdict::{settled, verdicts};
use super::walk::{Ground, Nobody};
use crate::cancel::{CancelToken, Cancelled};
use crate::ids::{CodeLoc, SymbolId};
use crate::image::{ElfImage, Store};

/// How the CFA and the caller's registers are found, in words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowWords {
    /// `rsp+16`.
    pub cfa: String,
    /// Registers that are elsewhere than in themselves: `c-16`, or the register that has it.
    pub saved: Vec<(Reg, String)>,
}

/// One instruction.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where it is.
    pub at: CodeLoc,
    /// How long it is.
    pub len: u8,
    /// Its function.
    pub function: Option<SymbolId>,
    /// What the table says; `None` where it says nothing that can be read.
    pub table: Option<RowWords>,
    /// What the code makes true; `None` where no path leads.
    pub code: Option<RowWords>,
    /// Whether the CFA is not what the table says.
    pub cfa_differs: bool,
    /// The registers that are not where the table says.
    pub registers_differ: Vec<Reg>,
    /// Whether the CFA could not be judged.
    pub is_unknown: bool,
    /// Whether it is there to fill space.
    pub is_padding: bool,
    /// Whether the next one may come after it.
    pub falls: bool,
}

impl Side {
    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        self.cfa_differs || !self.registers_differ.is_empty()
    }
}

/// Both sides of every instruction that has a row.
pub fn sides(store: &dyn Store, image: &ElfImage, cancel: &CancelToken) -> Result<Vec<Side>, Cancelled> {
    let addresses = Addresses::of(image);
    let tables = Tables::read(store, image, &addresses, Order::EhFrameFirst);
    let code = Code::read(image, &addresses, &tables);
    let pointers = Pointers::read(store, image, &addresses, &tables, &code);
    let mut ground = Ground::new(image, Judge { tables: &tables, code: &code }, &pointers);
    let states = settled(image, &mut ground, cancel)?;
    let verdicts = verdicts(&ground, &states, cancel)?;
    let loose = verdicts.loose();
    let names = Names::of(image);
    let mut sides: Vec<Side> = Vec::with_capacity(code.insns.len());
    for (at, insn) in code.insns.iter().enumerate() {
        let row = tables.rows.get(insn.row as usize).filter(|_| insn.row != NONE);
        let mask = loose.get(&insn.fde).copied().unwrap_or(0);
        let found = verdicts.found.get(at).copied().unwrap_or_default();
        let wrong = |reg: &Reg| found.wrong & bit(*reg) != 0 && (*reg == RA || mask & (1 << reg) == 0);
        let unjudged = verdicts.is_foreign(at as u32);
        sides.push(Side {
            at: insn.loc(),
            len: insn.len,
            function: names.at(insn.loc()),
            table: row.map(|row| of_row(row, &tables)),
            code: None,
            cfa_differs: found.wrong & CFA != 0 && !unjudged,
            registers_differ: JUDGED.into_iter().filter(wrong).filter(|_| !unjudged).collect(),
            is_unknown: found.unknown & CFA != 0 || unjudged,
            is_padding: insn.is_nop,
            falls: insn.flow.falls(),
        });
    }
    for start in states.starts() {
        cancel.check()?;
        let Some(mut state) = states.get(start).cloned() else { continue };
        let (mut at, mut before) = (start, Op::Keep);
        loop {
            let insn = code.get(at);
            let row = insn.and_then(|insn| tables.rows.get(insn.row as usize));
            if let Some(side) = sides.get_mut(at as usize) {
                side.code = Some(of_state(&state, row));
            }
            let Some(next) = ground.go(at, &mut state, before, &mut Nobody).filter(|&next| !ground.meets_at(next))
            else {
                break;
            };
            before = insn.map_or(Op::Keep, |insn| insn.op);
            at = next;
        }
    }
    Ok(sides)
}

fn of_row(row: &Row, tables: &Tables) -> RowWords {
    if row.is_outermost() {
        return RowWords { cfa: "nobody called".to_owned(), saved: Vec::new() };
    }
    let expression = |of| expression::words(tables.expression(of));
    let cfa = match row.cfa {
        CfaRule::None => "nothing".to_owned(),
        CfaRule::Register { reg, offset } => format!("{}{offset:+}", Reg::try_from(reg).map_or("?", name)),
        CfaRule::Expression(of) => expression(of),
    };
    let saved = JUDGED.iter().filter_map(|&reg| {
        let words = match row.rule(reg) {
            Rule::Same => return None,
            Rule::Offset(-8) if reg == RA => return None,
            Rule::Offset(offset) => format!("c{offset:+}"),
            Rule::IsOffset(offset) => format!("=c{offset:+}"),
            Rule::Register(other) => Reg::try_from(other).map_or("?", name).to_owned(),
            Rule::Expression(of) => format!("*({})", expression(of)),
            Rule::IsExpression(of) => format!("={}", expression(of)),
            Rule::Undefined => "lost".to_owned(),
        };
        Some((reg, words))
    });
    RowWords { cfa, saved: saved.collect() }
}

/// What the code makes true: the CFA by the register of the row if it leads there, and where registers are that are no
/// longer in themselves.
fn of_state(state: &State, row: Option<&Row>) -> RowWords {
    let wanted = match row.map(|row| row.cfa) {
        Some(CfaRule::Register { reg, .. }) => Reg::try_from(reg).ok(),
        _ => None,
    };
    let cfa = truth(state, wanted).map_or("?".to_owned(), |(reg, offset)| format!("{}{offset:+}", name(reg)));
    let saved = CALLEE_SAVED.iter().filter_map(|&reg| {
        let said = row.map_or(Rule::Same, |row| row.rule(reg));
        let slots =
            state.words().iter().filter(|(place, value)| place.base == Base::CFA && *value == Value::Entry(reg));
        let slots: Vec<i32> = slots.map(|(place, _)| place.offset).collect();
        let same = state.reg(reg) == Value::Entry(reg);
        let words = match said {
            Rule::Same if same => return None,
            Rule::Offset(offset) if slots.contains(&offset) => format!("c{offset:+}"),
            _ if same => return None,
            _ => match (slots.last(), state.holder_of(reg)) {
                (Some(offset), _) => format!("c{offset:+}"),
                (None, Some(holder)) => name(holder).to_owned(),
                (None, None) => "?".to_owned(),
            },
        };
        Some((reg, words))
    });
    RowWords { cfa, saved: saved.collect() }
}
