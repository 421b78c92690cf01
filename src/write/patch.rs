//! Overwrites what is there: calls of profiling functions in code that must not be instrumented, static branches, hints.
//!
//! In: the instructions that the flow found.  Out: other bytes, and relocations that relocate nothing.
//! Reads like: `annotate_call_site`, `handle_jump_alt` in `tools/objtool/check.c`; `arch_nop_insn`, `arch_ret_insn` in
//! `tools/objtool/arch/x86/decode.c`.

use super::WriteError;
use super::draft::{Draft, Patch};
use crate::decode::Kind;
use crate::image::Store;

/// The NOPs of one to five bytes (Intel SDM, NOP: "Recommended Multi-Byte Sequence").
const NOPS: [&[u8]; 5] =
    [&[0x90], &[0x66, 0x90], &[0x0f, 0x1f, 0x00], &[0x0f, 0x1f, 0x40, 0], &[0x0f, 0x1f, 0x44, 0, 0]];
/// `ret`, and an `int3` against speculation behind it.
const RETURN: [u8; 2] = [0xc3, 0xcc];

/// Overwrites what objtool overwrites.
pub(super) fn overwrite(draft: &mut Draft<'_>) -> Result<(), WriteError> {
    let analysis = draft.analysis;
    for &id in &analysis.flow.sites.patched {
        let insn = analysis.insns.get(id);
        let (start, end) = (insn.offset as usize, insn.end() as usize);
        let section_id = analysis.insns.section_of(id);
        let section = analysis.image.section(section_id);
        let mut code = section.code.get(start..end).map(<[u8]>::to_vec);
        let place = code.as_deref_mut().ok_or(WriteError::Broken("an instruction outside its section"))?;
        let nop = match analysis.insns.kind(id) {
            Kind::Return => {
                let (ret, rest) = place.split_at_mut(place.len().min(RETURN.len()));
                ret.copy_from_slice(RETURN.get(..ret.len()).unwrap_or_default());
                rest
            }
            _ => place,
        };
        if let Some(n) = nop.len().checked_sub(1) {
            let bytes = NOPS.get(n).ok_or(WriteError::Broken("a patched instruction of more than five bytes"))?;
            nop.copy_from_slice(bytes);
        }
        let patch =
            Patch::new(start as u64, place).ok_or(WriteError::Broken("an instruction of more than 15 bytes"))?;
        draft.patches.entry(section_id).or_default().push(patch);
        if let Some(rela) = section.rela
            && let Some(position) = section.relocs.first_index_in(start as u64, end as u64)
        {
            draft.unrelocated.entry(rela).or_default().insert(position);
        }
    }
    draft.patches.values_mut().for_each(|patches| patches.sort_by_key(Patch::at));
    Ok(())
}

/// Size of a hint, and where its type is (`struct unwind_hint` up to 6.1).
const HINT: (usize, usize) = (12, 7);

/// A release that knows hints for entry code takes them for those of a call, and leaves it so in the object that it writes.
pub(super) fn settle_hints(draft: &mut Draft<'_>, store: &dyn Store) -> Result<(), WriteError> {
    let image = &draft.analysis.image;
    let hints = draft.analysis.rules.layout.hints;
    let Some(id) = image.section_by_name(".discard.unwind_hints") else { return Ok(()) };
    let Some(entry) = hints.entry.filter(|_| image.section(id).rela.is_some() && !draft.is_unchanged()) else {
        return Ok(());
    };
    let bytes = image.read_section(store, id)?;
    let (size, kind) = HINT;
    let kinds = bytes.chunks_exact(size).zip(0u64..).filter(|(hint, _)| hint.get(kind) == Some(&entry.0));
    let patches = kinds.filter_map(|(_, hint)| Patch::new(hint * size as u64 + kind as u64, &[hints.call.0]));
    draft.patches.insert(id, patches.collect());
    Ok(())
}
