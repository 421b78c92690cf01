//! Landing pads: the code that only the unwinder enters.
//!
//! In: a language-specific data area.  Out: [`Pad`]s.
//! Reads like: the Itanium C++ ABI, "Exception Handling", level II, "The Language-Specific Data Area"; LSB 5.0 core,
//! §10.5 (pointer encodings).

use super::relocated::Addresses;
use crate::ids::{CodeLoc, SectionId};

/// Calls in a range of code lead to a place when something is thrown through them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pad {
    /// Offset of the first byte in the section of the function.
    pub start: u32,
    /// Offset behind the last.
    pub end: u32,
    /// The landing pad.
    pub pad: CodeLoc,
}

/// More call sites no function has.
const MOST: usize = 1 << 16;

struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let taken = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(taken)
    }

    fn uleb(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let [byte] = self.take::<1>()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(value);
            }
            shift = shift.checked_add(7)?;
        }
    }

    /// A number as the low half of a pointer encoding says.
    fn number(&mut self, encoding: u8) -> Option<u64> {
        Some(match encoding & 15 {
            0x0 | 0x4 | 0xc => u64::from_le_bytes(self.take()?),
            0x1 => self.uleb()?,
            0x2 => u64::from(u16::from_le_bytes(self.take()?)),
            0x3 => u64::from(u32::from_le_bytes(self.take()?)),
            0xa => i64::from(i16::from_le_bytes(self.take()?)) as u64,
            0xb => i64::from(i32::from_le_bytes(self.take()?)) as u64,
            _ => return None,
        })
    }
}

/// The landing pads that the area at `at` of `bytes` names for the function. None where it can not be read.
pub(super) fn read(bytes: &[u8], at: CodeLoc, addresses: &Addresses, function: (SectionId, u32)) -> Vec<Pad> {
    let mut found = Vec::new();
    let _ = sites(bytes, at, addresses, function, &mut found);
    found
}

fn sites(
    bytes: &[u8],
    at: CodeLoc,
    addresses: &Addresses,
    (section, function): (SectionId, u32),
    found: &mut Vec<Pad>,
) -> Option<()> {
    const OMITTED: u8 = 0xff;
    let mut bytes = Bytes { bytes, at: usize::try_from(at.offset).ok()? };
    let [encoding] = bytes.take()?;
    let mut base = addresses.start(section).wrapping_add(u64::from(function));
    if encoding != OMITTED {
        let field = addresses.start(at.section).wrapping_add(bytes.at as u64);
        let value = bytes.number(encoding)?;
        base = if encoding & 0x70 == 0x10 { value.wrapping_add(field) } else { value };
    }
    let [types] = bytes.take()?;
    if types != OMITTED {
        bytes.uleb()?;
    }
    let [encoding] = bytes.take()?;
    let length = usize::try_from(bytes.uleb()?).ok()?;
    let end = bytes.at.checked_add(length)?.min(bytes.bytes.len());
    while bytes.at < end && found.len() < MOST {
        let (start, length, pad) = (bytes.number(encoding)?, bytes.number(encoding)?, bytes.number(encoding)?);
        bytes.uleb()?;
        if pad == 0 {
            continue;
        }
        let start = u64::from(function).checked_add(start)?;
        let range = u32::try_from(start).ok().zip(u32::try_from(start.checked_add(length)?).ok());
        let pad = addresses.loc(base.wrapping_add(pad));
        if let (Some((start, end)), Some(pad)) = (range, pad) {
            found.push(Pad { start, end, pad });
        }
    }
    Some(())
}
