//! What a relocation computes (psABI x86-64, table "Relocation Types").
//!
//! In: the number in an object.  Out: a value with a name, and what the linker would write for it.

/// `R_X86_64_*`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RelocKind(pub u32);

impl RelocKind {
    /// `R_X86_64_NONE`: nothing.
    pub const NONE: RelocKind = RelocKind(0);
    /// `R_X86_64_64`: an address, 8 bytes.
    pub const ABS64: RelocKind = RelocKind(1);
    /// `R_X86_64_PC32`: from the field to the symbol, 4 bytes.
    pub const PC32: RelocKind = RelocKind(2);
    /// `R_X86_64_PLT32`: from the field to the symbol or to its entry in the PLT, 4 bytes.
    pub const PLT32: RelocKind = RelocKind(4);
    /// `R_X86_64_GOTPCREL`: from the field to the symbol's entry in the GOT, 4 bytes.
    pub const GOTPCREL: RelocKind = RelocKind(9);
    /// `R_X86_64_32`: an address, 4 bytes, zero-extended.
    pub const ABS32: RelocKind = RelocKind(10);
    /// `R_X86_64_32S`: an address, 4 bytes, sign-extended.
    pub const ABS32S: RelocKind = RelocKind(11);
    /// `R_X86_64_PC16`
    pub const PC16: RelocKind = RelocKind(13);
    /// `R_X86_64_PC8`
    pub const PC8: RelocKind = RelocKind(15);
    /// `R_X86_64_PC64`: from the field to the symbol, 8 bytes.
    pub const PC64: RelocKind = RelocKind(24);
    /// `R_X86_64_GOTPC32`: from the field to the GOT, 4 bytes.
    pub const GOTPC32: RelocKind = RelocKind(26);
    /// `R_X86_64_GOTPCRELX`
    pub const GOTPCRELX: RelocKind = RelocKind(41);
    /// `R_X86_64_REX_GOTPCRELX`
    pub const REX_GOTPCRELX: RelocKind = RelocKind(42);

    /// Whether the field is 4 bytes and holds an address or the way to a symbol.
    pub fn is_narrow(self) -> bool {
        [RelocKind::PC32, RelocKind::PLT32, RelocKind::ABS32, RelocKind::ABS32S].contains(&self)
    }

    /// Whether the field holds the way from itself to code: `PC32`, `PLT32`.
    pub fn leads_to_code(self) -> bool {
        [RelocKind::PC32, RelocKind::PLT32].contains(&self)
    }

    /// Writes what the linker would, for a symbol with addend at `value`, into the field at `at`, whose address is `place`. Other
    /// kinds, and fields outside of `bytes`, change nothing.
    pub fn apply(self, bytes: &mut [u8], at: u64, value: u64, place: u64) {
        let Ok(at) = usize::try_from(at) else { return };
        let relative = value.wrapping_sub(place);
        match self {
            RelocKind::ABS64 => put(bytes, at, value.to_le_bytes()),
            RelocKind::PC64 => put(bytes, at, relative.to_le_bytes()),
            RelocKind::ABS32 | RelocKind::ABS32S => put(bytes, at, (value as u32).to_le_bytes()),
            RelocKind::PC32 | RelocKind::PLT32 => put(bytes, at, (relative as u32).to_le_bytes()),
            _ => {}
        }
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(slot) = at.checked_add(N).and_then(|end| bytes.get_mut(at..end)) {
        slot.copy_from_slice(&value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_wide_as_their_kind() {
        let written = |kind: RelocKind| {
            let mut bytes = [0xff; 9];
            kind.apply(&mut bytes, 1, 0x1_2345_6789, 0x1_0000_0000);
            bytes
        };
        assert_eq!(written(RelocKind::ABS64), [0xff, 0x89, 0x67, 0x45, 0x23, 1, 0, 0, 0]);
        assert_eq!(written(RelocKind::ABS32S), [0xff, 0x89, 0x67, 0x45, 0x23, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(written(RelocKind::PLT32), written(RelocKind::PC32));
        assert_eq!(written(RelocKind::PC64), [0xff, 0x89, 0x67, 0x45, 0x23, 0, 0, 0, 0]);
        assert_eq!(written(RelocKind::GOTPCREL), [0xff; 9]);
        let mut short = [0; 3];
        RelocKind::ABS32.apply(&mut short, 0, 1, 0);
        RelocKind::ABS32.apply(&mut short, u64::MAX, 1, 0);
        assert_eq!(short, [0; 3]);
    }
}
