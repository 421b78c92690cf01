//! Decodes the code in pieces, large sections side by side on all processors.
//!
//! In: the code sections.  Out: their instructions, in order.
//! Holds afterwards: the instructions are those that one pass over each section finds. A piece starts where a function
//! does, and is decoded again if the piece before it ends anywhere else.

use rayon::prelude::*;

use super::effect::{Effect, Oddity, effect, is_iret};
use super::encoding::{Encoding, MAX_LEN};
use super::heads::{Heads, Memory};
use super::interning::Interner;
use super::profile::Profile;
use super::table::{Insn, InsnTable};
use super::{DecodeNote, Kind};
use crate::cancel::{CancelToken, Cancelled};
use crate::findings::Fault;
use crate::ids::{CodeLoc, SectionId};
use crate::image::ElfImage;

/// Fewer bytes are not worth a piece of their own. Nearly all objects are one piece per section.
const WORTH_A_PIECE: usize = 1 << 19;

/// What code is decoded with.
pub(super) struct Decoder<'a> {
    pub(super) image: &'a ElfImage,
    pub(super) profile: Profile<'a>,
    pub(super) heads: Heads,
    pub(super) cancel: &'a CancelToken,
}

/// Bytes of a section.
#[derive(Clone, Copy)]
struct Piece {
    section: SectionId,
    start: u32,
    end: u32,
}

/// The instructions of a piece.
#[derive(Default)]
struct Decoded {
    insns: InsnTable,
    notes: Vec<DecodeNote>,
    /// Behind the last instruction; `None` where the next one can not be decoded.
    end: Option<u32>,
}

/// Where decoded instructions go.
struct Room<'r> {
    insns: &'r mut InsnTable,
    interner: &'r mut Interner,
    memory: &'r mut Memory,
    notes: &'r mut Vec<DecodeNote>,
}

impl Decoder<'_> {
    /// All code.
    pub(super) fn all(&self) -> Result<(InsnTable, Vec<DecodeNote>), Cancelled> {
        let mut table = InsnTable::default();
        table.reserve(self.image.sections.iter().map(|section| section.code.len()).sum());
        let (mut interner, mut memory, mut notes) = (Interner::new(), Memory::new(), Vec::new());
        let pieces = self.cut();
        let room = &mut Room { insns: &mut table, interner: &mut interner, memory: &mut memory, notes: &mut notes };
        match pieces.iter().all(|piece| piece.start == 0) {
            true => self.one_by_one(&pieces, room)?,
            false => self.side_by_side(&pieces, room)?,
        }
        table.end_sections_before(SectionId::from_index(self.image.sections.len()));
        table.ops = interner.lists;
        Ok((table, notes))
    }

    /// Decodes whole sections to where they stay.
    fn one_by_one(&self, pieces: &[Piece], room: &mut Room<'_>) -> Result<(), Cancelled> {
        for &piece in pieces {
            room.insns.end_sections_before(piece.section);
            let first = room.insns.len();
            self.code(piece, room)?;
            room.insns.note_starts_of_section(first);
        }
        Ok(())
    }

    /// While some pieces are taken the next are decoded; no more than these are in memory, since all together are as large as
    /// the table that they go into.
    fn side_by_side(&self, pieces: &[Piece], room: &mut Room<'_>) -> Result<(), Cancelled> {
        let mut take = |section: SectionId, decoded: &Decoded| {
            room.insns.end_sections_before(section);
            room.insns.append(&decoded.insns, room.interner);
            room.notes.extend_from_slice(&decoded.notes);
        };
        let n = 4 * rayon::current_num_threads();
        let room = || (0..n).map(|_| Decoded::default()).collect::<Vec<_>>();
        let (mut taken, mut next) = (room(), room());
        let mut waves = pieces.chunks(n);
        let mut wave: &[Piece] = &[];
        let mut end = None;
        loop {
            let following = waves.next().unwrap_or(&[]);
            let settle = || {
                for (&piece, decoded) in wave.iter().zip(&mut taken) {
                    if piece.start != 0 && end != Some(piece.start) {
                        // Behind what can not be decoded there is nothing.
                        self.piece(Piece { start: end.unwrap_or(piece.end), ..piece }, decoded)?;
                        decoded.end = decoded.end.filter(|_| end.is_some());
                    }
                    end = decoded.end;
                    take(piece.section, decoded);
                }
                Ok(())
            };
            let decode = || following.par_iter().zip(&mut next).try_for_each(|(&piece, room)| self.piece(piece, room));
            let (settled, decoded) = rayon::join(settle, decode);
            settled.and(decoded)?;
            if following.is_empty() {
                return Ok(());
            }
            wave = following;
            std::mem::swap(&mut taken, &mut next);
        }
    }

    /// Where large sections are cut: at functions, where an instruction most likely starts.
    fn cut(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (section, header) in self.image.sections().filter(|(_, header)| header.is_code()) {
            let mut start = 0;
            if header.code.len() >= 2 * WORTH_A_PIECE {
                let functions = self.image.symbols().map(|(_, symbol)| symbol);
                let functions = functions.filter(|symbol| symbol.section == section && symbol.is_function());
                let mut cuts: Vec<u32> = functions.filter_map(|symbol| u32::try_from(symbol.value).ok()).collect();
                cuts.sort_unstable();
                for cut in cuts.into_iter().take_while(|&cut| (cut as usize) < header.code.len()) {
                    if (cut - start) as usize >= WORTH_A_PIECE {
                        pieces.push(Piece { section, start, end: cut });
                        start = cut;
                    }
                }
            }
            pieces.push(Piece { section, start, end: header.code.len() as u32 });
        }
        pieces
    }

    /// Decodes a piece, into the room of one that was taken.
    fn piece(&self, piece: Piece, decoded: &mut Decoded) -> Result<(), Cancelled> {
        let Decoded { insns, notes, end } = decoded;
        notes.clear();
        insns.clear();
        insns.reserve(piece.end.saturating_sub(piece.start) as usize);
        let (mut interner, mut memory) = (Interner::new(), Memory::new());
        *end = self.code(piece, &mut Room { insns, interner: &mut interner, memory: &mut memory, notes })?;
        insns.ops = interner.lists;
        insns.note_starts();
        Ok(())
    }

    /// Decodes a piece. Returns what is behind its last instruction; `None` where the next one can not be decoded.
    fn code(&self, piece: Piece, room: &mut Room<'_>) -> Result<Option<u32>, Cancelled> {
        let Piece { section, start, end } = piece;
        let code = &self.image.section(section).code;
        let mut offset = start;
        while offset < end
            && let Some(rest) = code.get(offset as usize..)
        {
            if room.insns.len().is_multiple_of(1 << 16) {
                self.cancel.check()?;
            }
            let head = rest.first_chunk().filter(|_| rest.len() > MAX_LEN).and_then(|bytes| self.heads.head(bytes));
            if let Some(known) = head.and_then(|head| room.memory.get(head)) {
                room.insns.push(Insn::new(offset, known.len, known.kind), u32::from(known.ops));
                offset += u32::from(known.len);
                continue;
            }
            let at = CodeLoc::new(section, u64::from(offset));
            let mut encoding = Encoding::default();
            if encoding.read(rest, &self.profile).is_none() {
                let fault = Fault::Undecodable { section, offset: at.offset };
                room.notes.push(DecodeNote { fault, at, fatal: true });
                return Ok(None);
            }
            let Effect { kind, ops, oddity } = effect(&encoding, &self.profile);
            // Of a far jump, 6.18 forgets the prefixes.
            if kind == Kind::Bug && encoding.opcode[0] == 0xea {
                encoding.len = 1;
            }
            let ops = room.interner.position(ops);
            if is_iret(&encoding) {
                room.insns.note_iret();
            } else if let Some(oddity) = oddity {
                room.notes.push(DecodeNote { fault: fault(oddity, at), at, fatal: false });
            } else if let Some(head) = head {
                room.memory.note(head, &encoding, kind, ops);
            }
            room.insns.push(Insn::new(offset, encoding.len, kind), ops);
            offset += u32::from(encoding.len);
        }
        Ok(Some(offset))
    }
}

fn fault(oddity: Oddity, at: CodeLoc) -> Fault {
    let (section, offset) = (at.section, at.offset);
    match oddity {
        Oddity::InvalidLea => Fault::InvalidLea { section, offset },
        Oddity::Enqcmd => Fault::Enqcmd { section, offset },
        Oddity::Notrack => Fault::Notrack { section, offset },
    }
}
