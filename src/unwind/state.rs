//! What holds before an instruction: the registers, and the words of the frame.
//!
//! In: [`Op`]s.  Out: [`State`].
//! Holds afterwards: a word that is not in the list was never seen to be written; the list is sorted and short.
//! Reads like: psABI §3.2.1 and §3.2.2 (registers, the stack frame, the red zone).

use super::op::{Mem, Op, Source};
use super::value::{Base, CALLEE_SAVED, Place, RA, RBP, RED_ZONE, RSP, Reg, VOLATILE, Value};
use super::zone::Zone;

/// A frame has more words than this only where it is an array, which nobody unwinds by.
const MOST_WORDS: usize = 768;

/// The direction flag, which is clear at entry and exit (psABI §3.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Direction {
    /// Clear.
    Clear,
    /// Set, by this instruction.
    Set(u32),
    /// Set on some path, by this instruction.
    Differs(u32),
    /// `popf` has it from wherever.
    Unknown,
}

impl Direction {
    fn meet(self, other: Direction) -> Direction {
        use Direction::{Clear, Differs, Set, Unknown};
        match (self, other) {
            (Unknown, _) | (_, Unknown) => Unknown,
            (Clear, Clear) => Clear,
            (Set(a), Set(b)) => Set(a.min(b)),
            (Clear, Set(by) | Differs(by)) | (Set(by) | Differs(by), Clear) => Differs(by),
            (Set(a) | Differs(a), Set(b) | Differs(b)) => Differs(a.min(b)),
        }
    }
}

/// The state before an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    regs: [Value; 16],
    words: Vec<(Place, Value)>,
    direction: Direction,
    zone: Zone,
}

impl State {
    /// At the entry of a function that is called by the rules.
    pub(super) fn at_entry() -> State {
        let mut state = State::blank();
        for (reg, value) in (0u8..).zip(&mut state.regs) {
            *value = Value::Entry(reg);
        }
        state.regs[usize::from(RSP)] = Value::of_cfa(-8);
        state.put_word(Place::of_cfa(-8), Value::Entry(RA));
        state.direction = Direction::Clear;
        state
    }

    /// Nothing is known.
    pub(super) fn blank() -> State {
        State { regs: [Value::Unknown; 16], words: Vec::new(), direction: Direction::Unknown, zone: Zone::default() }
    }

    /// The direction flag.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// What was stored below rsp.
    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What a register holds.
    pub(super) fn reg(&self, reg: Reg) -> Value {
        self.regs.get(usize::from(reg)).copied().unwrap_or(Value::Unknown)
    }

    /// Sets a register and nothing else.
    pub(super) fn put_reg(&mut self, reg: Reg, value: Value) {
        if let Some(slot) = self.regs.get_mut(usize::from(reg)) {
            *slot = value;
        }
    }

    /// The word at a place; `None` where nobody was seen to write.
    pub(super) fn word(&self, place: Place) -> Option<Value> {
        let at = self.words.binary_search_by_key(&place, |&(place, _)| place).ok()?;
        self.words.get(at).map(|&(_, value)| value)
    }

    /// The words that were written, ascending.
    pub(super) fn words(&self) -> &[(Place, Value)] {
        &self.words
    }

    /// Whether there may be words that the list has no room for.
    pub(super) fn is_full(&self) -> bool {
        self.words.len() >= MOST_WORDS
    }

    /// Sets a word and nothing else.
    pub(super) fn put_word(&mut self, place: Place, value: Value) {
        match self.words.binary_search_by_key(&place, |&(place, _)| place) {
            Ok(at) => self.words[at].1 = value,
            Err(at) if self.words.len() < MOST_WORDS => self.words.insert(at, (place, value)),
            Err(_) => {}
        }
    }

    /// A register that still holds what `wanted` held at entry.
    pub(super) fn holder_of(&self, wanted: Reg) -> Option<Reg> {
        (0u8..16).find(|&reg| self.reg(reg) == Value::Entry(wanted))
    }

    /// Becomes another one, in the memory that it has.
    pub(super) fn become_as(&mut self, other: &State) {
        self.regs = other.regs;
        self.words.clone_from(&other.words);
        self.direction = other.direction;
        self.zone.become_as(&other.zone);
    }

    /// Takes over what another path knows. Whether anything changed.
    pub(super) fn meet(&mut self, other: &State) -> bool {
        let mut changed = false;
        for (mine, theirs) in self.regs.iter_mut().zip(&other.regs) {
            if mine != theirs {
                let met = mine.meet(*theirs);
                changed |= met != *mine;
                *mine = met;
            }
        }
        let direction = self.direction.meet(other.direction);
        changed |= direction != self.direction;
        self.direction = direction;
        changed |= self.zone.meet(&other.zone);
        // Mostly the same places were written on both paths.
        let places = self.words.iter().map(|(place, _)| place);
        if self.words.len() == other.words.len() && places.eq(other.words.iter().map(|(place, _)| place)) {
            for ((_, mine), (_, theirs)) in self.words.iter_mut().zip(&other.words) {
                if mine != theirs {
                    let met = mine.meet(*theirs);
                    changed |= met != *mine;
                    *mine = met;
                }
            }
            return changed;
        }
        let mut met: Vec<(Place, Value)> = Vec::with_capacity(self.words.len().max(other.words.len()));
        let (mut mine, mut theirs) = (self.words.iter().peekable(), other.words.iter().peekable());
        // A word that only one path has written differs, unless even that path does not know what it is.
        let alone = |value: Value| if value == Value::Unknown { value } else { Value::Differs };
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let next = match order {
                std::cmp::Ordering::Less => mine.next().map(|&(place, value)| (place, alone(value), Some(value))),
                std::cmp::Ordering::Greater => theirs.next().map(|&(place, value)| (place, alone(value), None)),
                std::cmp::Ordering::Equal => {
                    let pair = mine.next().zip(theirs.next());
                    pair.map(|(&(place, a), &(_, b))| (place, a.meet(b), Some(a)))
                }
            };
            let Some((place, value, before)) = next else { break };
            if before.is_none() && met.len() >= MOST_WORDS {
                continue;
            }
            changed |= before != Some(value);
            met.push((place, value));
        }
        self.words = met;
        changed
    }

    /// The address that a memory operand has.
    pub(super) fn address(&self, mem: Mem) -> Option<Place> {
        self.reg(mem.base?).place()?.moved(mem.disp)
    }

    fn load(&self, mem: Mem) -> Value {
        self.address(mem).and_then(|place| self.word(place)).unwrap_or(Value::Unknown)
    }

    /// Stores `size` bytes. A word that is overwritten in part is lost.
    fn store(&mut self, place: Option<Place>, size: u16, value: Value) {
        let Some(place) = place else { return };
        // Single bytes over a saved register: a loop over an array, turned more often than its last word has room for. Compilers
        // unroll so what never comes that far.
        let left = if size <= 2 { Value::Unknown } else { Value::Computed };
        self.damage(place, size, left, true);
        if size == 8 {
            self.put_word(place, value);
        }
    }

    /// Marks the words that a store of `size` bytes touches.
    fn damage(&mut self, place: Place, size: u16, value: Value, spare_exact: bool) {
        let end = place.offset.saturating_add(i32::from(size).max(1));
        let first = Place { base: place.base, offset: place.offset.saturating_sub(7) };
        let from = self.words.partition_point(|&(other, _)| other < first);
        for (other, word) in self.words.iter_mut().skip(from) {
            if other.base != place.base || other.offset >= end {
                break;
            }
            if !(spare_exact && size == 8 && *other == place) {
                *word = value;
            }
        }
    }

    /// A vector register is stored: it may hold registers that are to be saved, nobody followed which.
    fn store_vector(&mut self, place: Option<Place>, size: u16) {
        let Some(place) = place else { return };
        self.damage(place, size, Value::Unknown, false);
        for part in (0..size.min(64)).step_by(8) {
            let word = place.moved(i32::from(part)).filter(|word| word.base == Base::CFA && word.offset % 8 == 0);
            if let (Some(word), true) = (word, size >= 8) {
                self.put_word(word, Value::Unknown);
            }
        }
    }

    /// Sets a register. Where that is rsp, what lies below it for good is lost.
    fn set(&mut self, reg: Reg, value: Value) {
        self.put_reg(reg, value);
        if reg == RSP {
            self.forget_below(RED_ZONE);
        }
    }

    /// Forgets what lies further than `zone` below rsp: a signal handler or a function that is called may write there.
    pub(super) fn forget_below(&mut self, zone: i32) {
        let Some(rsp) = self.reg(RSP).place() else { return };
        let first = Place { base: rsp.base, offset: i32::MIN };
        let from = self.words.partition_point(|&(other, _)| other < first);
        for (place, value) in self.words.iter_mut().skip(from) {
            if place.base != rsp.base || place.offset >= rsp.offset.saturating_sub(zone) {
                break;
            }
            *value = Value::Computed;
        }
    }

    /// Of these registers, which are about to be overwritten, those whose old value, on some path, is nowhere else.
    pub(super) fn held_nowhere_else(&self, registers: u16) -> u16 {
        let elsewhere = |reg: Reg| {
            (0u8..16).any(|other| other != reg && self.reg(other) == Value::Entry(reg))
                || self.words.iter().any(|&(_, value)| value == Value::Entry(reg))
        };
        let is_old = |reg: Reg| self.reg(reg) == Value::Entry(reg) || self.reg(reg) == Value::Differs;
        let held = |&reg: &Reg| registers & 1 << reg != 0 && is_old(reg) && !elsewhere(reg);
        CALLEE_SAVED.iter().filter(|reg| held(reg)).fold(0, |mask, &reg| mask | 1 << reg)
    }

    /// An address of its own, made by the instruction. What an earlier turn of a loop made by it is another one.
    fn fresh(&mut self, insn: u32) -> Value {
        let base = Base::made_by(insn);
        self.words.retain(|(place, _)| place.base != base);
        self.zone.forget(base);
        for value in self.regs.iter_mut().filter(|value| value.place().is_some_and(|place| place.base == base)) {
            *value = Value::Unknown;
        }
        Value::Frame(Place { base, offset: 0 })
    }

    fn read(&self, source: Source) -> Value {
        match source {
            Source::Reg(reg) => self.reg(reg),
            Source::Mem(mem) => self.load(mem),
            Source::Other => Value::Computed,
        }
    }

    fn push(&mut self, size: u16, value: Value) {
        self.set(RSP, self.reg(RSP).plus(-i32::from(size)));
        self.store(self.reg(RSP).place(), size, value);
    }

    /// What a call leaves on the stack for the code that is called.
    pub(super) fn inside_call(&self) -> State {
        let mut inner = self.clone();
        inner.push(8, Value::Computed);
        inner
    }

    /// Behind a call that leaves these registers as they were: everything below the frame is lost, too.
    pub(super) fn call(&mut self, kept: Option<u16>) {
        match kept {
            Some(kept) => {
                (0u8..16).filter(|reg| kept & (1 << reg) == 0).for_each(|reg| self.put_reg(reg, Value::Computed))
            }
            None => VOLATILE.iter().for_each(|&reg| self.put_reg(reg, Value::Computed)),
        }
        self.forget_below(0);
        self.direction = match self.direction {
            Direction::Unknown => Direction::Unknown,
            _ => Direction::Clear,
        };
    }

    /// A call writes the return address below rsp, and a function that is out of sight may write anywhere there.
    pub(super) fn calls_over_zone(&mut self, insn: u32, is_in_sight: bool) {
        if let Some(rsp) = self.reg(RSP).place() {
            self.zone.overwrite(rsp, if is_in_sight { 8 } else { RED_ZONE }, insn);
        }
    }

    /// Behind a system call (psABI §A.2.1).
    pub(super) fn system_call(&mut self) {
        // asm/unistd_64.h: vfork; the child runs on the same stack first.
        if self.reg(0) == Value::Number(58) {
            self.forget_below(0);
        }
        // asm/unistd_64.h: clone, clone3.
        let forks = matches!(self.reg(0), Value::Number(56 | 435));
        for reg in [0, 2, 11] {
            self.put_reg(reg, Value::Computed);
        }
        if forks {
            self.put_reg(0, Value::Forked);
        }
    }

    /// Goes over an instruction.
    pub(super) fn step(&mut self, insn: u32, op: Op) {
        // Where nothing is known of rsp, behind a loop that moves it for example, what is stored by it can still be found by it.
        if matches!(op, Op::Store { to: Mem { base: Some(RSP), .. }, .. }) && self.reg(RSP).place().is_none() {
            let named = self.fresh(insn);
            self.put_reg(RSP, named);
        }
        let rsp = self.reg(RSP).place();
        match op {
            Op::Keep | Op::Compare { .. } | Op::Test { .. } => {}
            Op::Direction { set } => self.direction = if set { Direction::Set(insn) } else { Direction::Clear },
            Op::Push { from, size } => {
                let value = if size == 8 { self.read(from) } else { Value::Computed };
                if let Some(rsp) = rsp {
                    self.zone.overwrite(rsp, i32::from(size), insn);
                }
                self.push(u16::from(size), value);
            }
            Op::Pop { to, size } => {
                let top = self.reg(RSP).place();
                let value = top.filter(|_| size == 8).and_then(|place| self.word(place)).unwrap_or(Value::Unknown);
                self.set(RSP, self.reg(RSP).plus(i32::from(size)));
                match to {
                    Source::Reg(reg) => self.set(reg, value),
                    Source::Mem(mem) => self.store(self.address(mem), u16::from(size), value),
                    Source::Other => self.direction = Direction::Unknown,
                }
            }
            Op::Leave => {
                let saved = self.load(Mem { base: Some(RBP), disp: 0 });
                self.set(RSP, self.reg(RBP).plus(8));
                self.put_reg(RBP, saved);
            }
            Op::Enter { size } => {
                self.push(8, self.reg(RBP));
                self.put_reg(RBP, self.reg(RSP));
                self.set(RSP, self.reg(RSP).plus(-i32::from(size)));
            }
            Op::Copy { to, from } => self.set(to, self.reg(from)),
            Op::Load { to, from } => self.set(to, self.load(from)),
            Op::Store { to, from } => {
                let place = self.address(to);
                self.zone.store(place, 8, rsp, insn);
                self.store(place, 8, self.reg(from));
            }
            Op::Number { to, value } => self.set(to, Value::Number(value)),
            Op::Lea { to, from, by } => self.set(to, self.reg(from).plus(by)),
            Op::AddReg { to, by, minus } => {
                let value = match (self.reg(to), self.reg(by)) {
                    (value, Value::Number(number)) => {
                        let by = if minus { number.checked_neg() } else { Some(number) };
                        by.map_or(Value::Unknown, |by| value.plus(by))
                    }
                    (Value::Number(number), value @ Value::Frame(_)) if !minus => value.plus(number),
                    (Value::Frame(_), _) => self.fresh(insn),
                    _ => Value::Computed,
                };
                self.set(to, value);
            }
            Op::Align { to } => {
                let value = if self.reg(to).place().is_some() { self.fresh(insn) } else { Value::Computed };
                self.set(to, value);
            }
            Op::LeaIndexed { to, from, index } => {
                let of_frame = |reg: Reg| self.reg(reg).place().is_some();
                let value = match self.reg(index) {
                    _ if to == RSP && of_frame(RSP) || of_frame(from) => self.fresh(insn),
                    Value::Frame(_) => self.fresh(insn),
                    _ => Value::Computed,
                };
                self.set(to, value);
            }
            Op::Exchange { one, other } => {
                let (a, b) = (self.reg(one), self.reg(other));
                self.set(one, b);
                self.set(other, a);
            }
            Op::ExchangeMem { mem, reg } => {
                let (word, value, place) = (self.load(mem), self.reg(reg), self.address(mem));
                self.zone.store(place, 8, rsp, insn);
                self.store(place, 8, value);
                self.set(reg, word);
            }
            Op::Writes { computed, unknown, mem, size, vector } => {
                let place = self.address(mem).filter(|_| size > 0);
                self.zone.store(place, size, rsp, insn);
                match place {
                    Some(place) if vector => self.store_vector(Some(place), size),
                    Some(place) if size > 0 => self.store(Some(place), size, Value::Computed),
                    _ => {}
                }
                let mut left = computed | unknown;
                while left != 0 {
                    let reg = left.trailing_zeros() as Reg;
                    left &= left - 1;
                    let is_computed = computed & (1 << reg) != 0 && reg != RSP;
                    self.put_reg(reg, if is_computed { Value::Computed } else { Value::Unknown });
                }
            }
        }
    }

    /// Where a comparison says that two registers are equal, each is what is known of the other. `None`: they can not be,
    /// so that nobody comes this way.
    pub(super) fn equal(&mut self, one: Reg, other: Reg) -> Option<()> {
        match (self.reg(one).place(), self.reg(other).place()) {
            (Some(a), Some(b)) if a.base == b.base => (a.offset == b.offset).then_some(()),
            (None, Some(b)) => {
                self.put_reg(one, Value::Frame(b));
                Some(())
            }
            (Some(a), None) => {
                self.put_reg(other, Value::Frame(a));
                Some(())
            }
            _ => Some(()),
        }
    }
}
