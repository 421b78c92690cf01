//! Which operations leave a state as it is, told without applying them.
//!
//! In: [`CfiState`], a list of [`StackOp`]s.  Out: [`Facts`] of the one, [`Demands`] of the other.
//! Holds afterwards: where the facts meet the demands, [`super::apply`] changes nothing and finds no fault.

use super::{Base, CfiState, Dest, Saved, Source, StackOp};

/// What of a state decides whether operations can change it: a bit for each register whose value is not known to be
/// relative to the CFA, and one for an ordinary frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts(u32);

/// What operations ask of a state to leave it as it is, in the same bits; more than that, where they may change any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demands(u32);

/// The CFA hangs on the stack pointer or the frame pointer and on nothing else.
const ORDINARY: u32 = 1 << 31;

/// Whether a frame depends on the register: where it was saved, or because the CFA hangs on it.
fn matters(register: Base) -> bool {
    register == Base::SP || Saved::follows(register)
}

impl Facts {
    /// Of a state.
    pub fn of(state: &CfiState) -> Facts {
        let mut facts = 0;
        for (register, value) in state.vals.iter() {
            facts |= u32::from(value.base != Base::CFA) << register.0;
        }
        if matches!(state.cfa.base, Base::SP | Base::BP) && !state.drap {
            facts |= ORDINARY;
        }
        Facts(facts)
    }

    /// Whether operations leave the state as it is.
    pub fn meet(self, demands: Demands) -> bool {
        self.0 & demands.0 == demands.0
    }
}

impl Demands {
    /// Of a list of operations.
    pub fn of(ops: &[StackOp]) -> Demands {
        Demands(ops.iter().fold(0, |demands, &op| demands | demanded(op)))
    }
}

fn demanded(op: StackOp) -> u32 {
    const TOO_MUCH: u32 = u32::MAX;
    let is_frame = |register| matches!(register, Base::SP | Base::BP);
    match (op.dest, op.src) {
        // A copy of a value relative to the CFA would be remembered.
        (Dest::Reg(d), Source::Reg(s)) if s != Base::SP && !is_frame(d) => {
            s.index().map_or(TOO_MUCH, |i| ORDINARY | 1 << i)
        }
        (Dest::Reg(d), Source::Add(s, _)) if s != Base::SP && !is_frame(d) => ORDINARY,
        (Dest::Reg(register), Source::Indirect(..)) if !matters(register) => ORDINARY,
        (Dest::Indirect(..), Source::Reg(register)) if !matters(register) => ORDINARY,
        _ => TOO_MUCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cfi::{Context, apply};
    use crate::kernel::Kernel;

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }

        fn register(&mut self) -> Base {
            Base::reg(self.below(16) as u8)
        }

        fn offset(&mut self) -> i32 {
            8 * self.below(8) as i32 - 32
        }

        fn op(&mut self) -> StackOp {
            let src = match self.below(8) {
                0 => Source::Const,
                1 => Source::Pop,
                2 | 3 => Source::Indirect(self.register(), self.offset()),
                4 | 5 => Source::Add(self.register(), self.offset()),
                6 => Source::And(self.register()),
                _ => Source::Reg(self.register()),
            };
            let dest = match self.below(6) {
                0 => Dest::Push,
                1 => Dest::Indirect(self.register(), self.offset()),
                _ => Dest::Reg(self.register()),
            };
            StackOp { dest, src }
        }
    }

    #[test]
    fn operations_whose_demands_are_met_change_nothing() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut met = 0;
        for kernel in Kernel::ALL {
            let rules = kernel.rules();
            let context = Context { in_function: true, hint_follows: false, stackval: true, rules };
            for _ in 0..2_000 {
                let mut state = CfiState::function_entry(rules.layout.hints.call);
                for _ in 0..30 {
                    let op = random.op();
                    let mut after = state.clone();
                    let outcome = apply(&mut after, &op, &context);
                    if Facts::of(&state).meet(Demands::of(&[op])) {
                        assert_eq!((outcome, &after), (Ok(()), &state), "{op:?}");
                        met += 1;
                    }
                    state = after;
                }
            }
        }
        assert!(met > 10_000, "{met}");
    }

    #[test]
    fn nothing_done_demands_nothing() {
        assert!(Facts::of(&CfiState::initial()).meet(Demands::of(&[])));
    }
}
