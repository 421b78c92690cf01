//! What a DWARF expression of a row comes to, by the state.
//!
//! In: an expression's bytes, a [`State`].  Out: a [`Value`].
//! Holds afterwards: operations other than registers, numbers, plus, minus and dereference come to what is not known.
//! Reads like: DWARF 5 §2.5 and §6.4.2.3 (what is on the stack at first).

use gimli::{EndianSlice, Expression, LittleEndian, Operation};

use super::state::State;
use super::value::{Base, Value};

/// psABI: x86-64 is the architecture of eight-byte addresses.
const ENCODING: gimli::Encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version: 5, address_size: 8 };
/// Longer expressions nobody writes.
const MOST_OPERATIONS: usize = 256;

/// Evaluates `bytes`, with `first` on the stack. A word below the return address that nobody was seen to write holds
/// nothing that an unwinder asks for.
pub(super) fn evaluate(bytes: &[u8], state: &State, first: Option<Value>) -> Value {
    run(bytes, state, first).unwrap_or(Value::Unknown)
}

fn run(bytes: &[u8], state: &State, first: Option<Value>) -> Option<Value> {
    let mut stack: Vec<Value> = first.into_iter().collect();
    let mut operations = Expression(EndianSlice::new(bytes, LittleEndian)).operations(ENCODING);
    for _ in 0..MOST_OPERATIONS {
        let Some(operation) = operations.next().ok()? else { break };
        match operation {
            Operation::RegisterOffset { register, offset, .. } => {
                let reg = u8::try_from(register.0).ok().filter(|&reg| reg < 16)?;
                stack.push(state.reg(reg).plus(i32::try_from(offset).ok()?));
            }
            Operation::Deref { size: 8, space: false, .. } => {
                let place = stack.pop()?.place()?;
                let above = place.base == Base::CFA && place.offset >= -8;
                stack.push(match state.word(place) {
                    Some(value) => value,
                    None if above || state.is_full() => Value::Unknown,
                    None => Value::Computed,
                });
            }
            Operation::PlusConstant { value } => {
                let by = i32::try_from(value).ok()?;
                let top = stack.pop()?;
                stack.push(top.plus(by));
            }
            Operation::UnsignedConstant { value } => stack.push(Value::Number(i32::try_from(value).ok()?)),
            Operation::SignedConstant { value } => stack.push(Value::Number(i32::try_from(value).ok()?)),
            Operation::Plus => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                stack.push(match (a, b) {
                    (Value::Number(number), other) | (other, Value::Number(number)) => other.plus(number),
                    _ => return None,
                });
            }
            Operation::Minus => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                let Value::Number(number) = b else { return None };
                stack.push(a.plus(number.checked_neg()?));
            }
            Operation::Drop => {
                stack.pop()?;
            }
            Operation::Nop => {}
            _ => return None,
        }
    }
    stack.pop()
}

/// An expression for people: `*(rsp+40)+8`.
pub(super) fn words(bytes: &[u8]) -> String {
    let mut stack: Vec<String> = Vec::new();
    let mut operations = Expression(EndianSlice::new(bytes, LittleEndian)).operations(ENCODING);
    for _ in 0..MOST_OPERATIONS {
        let Ok(Some(operation)) = operations.next() else { break };
        let top = match operation {
            Operation::RegisterOffset { register, offset, .. } => {
                let reg = u8::try_from(register.0).map_or("?", super::value::name);
                if offset == 0 { reg.to_owned() } else { format!("{reg}{offset:+}") }
            }
            Operation::Deref { .. } => format!("*({})", stack.pop().unwrap_or_default()),
            Operation::PlusConstant { value } => format!("{}+{value}", stack.pop().unwrap_or_default()),
            Operation::UnsignedConstant { value } => value.to_string(),
            Operation::SignedConstant { value } => value.to_string(),
            Operation::Plus => {
                let (b, a) = (stack.pop().unwrap_or_default(), stack.pop().unwrap_or_default());
                format!("{a}+{b}")
            }
            _ => return "an expression".to_owned(),
        };
        stack.push(top);
    }
    stack.pop().unwrap_or_else(|| "an expression".to_owned())
}
