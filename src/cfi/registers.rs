//! A rule for each register that a state follows.
//!
//! Out: [`Saved`] and [`Held`]; bases and offsets apart, and no register that nothing can be known of: states are many.
//! Holds afterwards: a register that is not followed has no rule, whatever is set.

use super::{Base, N_REGS, Rule};

/// Where the caller's values are: of the registers that a function must give back, and of the return address. objtool takes
/// down no others (`save_reg` and `restore_reg` in `tools/objtool/check.c`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Saved(Rules<{ SAVED.len() }>);

/// What the general registers hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Held(Rules<N_GENERAL>);

const N_GENERAL: usize = 16;

/// The registers of [`Saved`], ascending.
const SAVED: [Base; 7] = [Base::BX, Base::BP, Base::R12, Base::R13, Base::R14, Base::R15, Base::RA];

/// By register: its place in [`SAVED`]; behind the last one for those that are not there.
const PLACES: [u8; N_REGS] = {
    let mut places = [SAVED.len() as u8; N_REGS];
    let mut place = 0;
    while place < SAVED.len() {
        places[SAVED[place].0 as usize] = place as u8;
        place += 1;
    }
    places
};

impl Saved {
    /// Nothing is known of any register.
    pub const UNDEFINED: Saved = Saved(Rules::UNDEFINED);

    /// Whether the register is followed.
    pub fn follows(register: Base) -> bool {
        SAVED.contains(&register)
    }

    /// Where the register is saved.
    #[inline]
    pub fn get(&self, register: Base) -> Rule {
        register.index().map_or(Rule::UNDEFINED, |index| self.0.get(usize::from(PLACES[index])))
    }

    /// Takes down where the register is saved, if it is followed.
    #[inline]
    pub fn set(&mut self, register: Base, rule: Rule) {
        if let Some(index) = register.index() {
            self.0.set(usize::from(PLACES[index]), rule);
        }
    }

    /// All registers that are followed with their rules, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Base, Rule)> {
        SAVED.into_iter().map(|register| (register, self.get(register)))
    }
}

impl Held {
    /// Nothing is known of any register.
    pub const UNDEFINED: Held = Held(Rules::UNDEFINED);

    /// What the register holds.
    #[inline]
    pub fn get(&self, register: Base) -> Rule {
        register.index().map_or(Rule::UNDEFINED, |index| self.0.get(index))
    }

    /// Takes down what the register holds.
    #[inline]
    pub fn set(&mut self, register: Base, rule: Rule) {
        if let Some(index) = register.index() {
            self.0.set(index, rule);
        }
    }

    /// All general registers with their rules, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Base, Rule)> {
        (0..N_GENERAL as u8).map(Base::reg).map(|register| (register, self.get(register)))
    }
}

/// So many rules.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Rules<const N: usize> {
    bases: [i8; N],
    offsets: [i32; N],
}

impl<const N: usize> Rules<N> {
    const UNDEFINED: Self = Rules { bases: [Base::UNDEFINED.0; N], offsets: [0; N] };

    fn get(&self, place: usize) -> Rule {
        let rule = self.bases.get(place).zip(self.offsets.get(place));
        rule.map_or(Rule::UNDEFINED, |(&base, &offset)| Rule::new(Base(base), offset))
    }

    fn set(&mut self, place: usize, rule: Rule) {
        if let Some((base, offset)) = self.bases.get_mut(place).zip(self.offsets.get_mut(place)) {
            (*base, *offset) = (rule.base.0, rule.offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_register_that_is_followed_has_a_rule_of_its_own() {
        let rule = |register: Base| Rule::new(Base::CFA, -8 * i32::from(register.0));
        let (mut saved, mut held) = (Saved::UNDEFINED, Held::UNDEFINED);
        let all = || (0..N_REGS as u8).map(Base::reg);
        for register in all() {
            saved.set(register, rule(register));
            held.set(register, rule(register));
        }
        for register in all() {
            let of = |is_followed: bool| if is_followed { rule(register) } else { Rule::UNDEFINED };
            assert_eq!(saved.get(register), of(Saved::follows(register)), "{register:?}");
            assert_eq!(held.get(register), of(register != Base::RA), "{register:?}");
        }
        assert!(
            saved
                .iter()
                .eq(all().filter(|&register| Saved::follows(register)).map(|register| (register, rule(register))))
        );
        assert_eq!(held.iter().count(), N_REGS - 1);
    }
}
