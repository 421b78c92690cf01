//! Functions that stand for those of objects that are not looked into.
//!
//! In: what an index knows of functions.  Out: pieces of a [`Draft`] that define them.
//! Holds afterwards: a stub lies in its function's section, may be reached by indirect branches if that may, and returns if
//! that does; objtool has nothing to say of the stub itself.

use rustc_hash::FxHashMap;

use crate::image::{
    RelocKind, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_OBJECT,
};
use crate::options::Options;

use super::draft::{Draft, Entry, Home, Shape};
use super::facts::Defined;
use super::join::{JoinError, global};

/// The object that stubs belong to. No member of an archive is called so.
pub(super) const STUBS: &str = "(other objects)";
/// `SHT_PROGBITS`
const PROGBITS: u32 = 1;
const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
const UD2: [u8; 2] = [0x0f, 0x0b];
const RET: u8 = 0xc3;
const INT3: u8 = 0xcc;
const JMP: u8 = 0xe9;
/// Returns go through it where naked ones are not wanted.
const RETURN_THUNK: &str = "__x86_return_thunk";
/// Code that nothing is known of: no check minds what it may be.
const UNKNOWN: &str = ".noinstr.text";

/// Defines functions, in the order in which they come; those of one place share a stub.
pub(super) fn define<'a>(
    draft: &mut Draft,
    functions: impl Iterator<Item = (u32, &'a Defined)>,
    options: &Options,
) -> Result<(), JoinError> {
    draft.begin(STUBS);
    let mut places: FxHashMap<(u32, u32), (Home, u64, u64)> = FxHashMap::default();
    for (object, function) in functions {
        let (home, value, size) = match places.get(&(object, function.place)) {
            Some(&place) => place,
            None => {
                let place = body(draft, &function.section, function.endbr, function.never, options);
                places.insert((object, function.place), place);
                place
            }
        };
        let binding = if function.weak { STB_WEAK } else { STB_GLOBAL };
        let size = if function.sized { size } else { 0 };
        let entry = Entry { name: function.name.clone(), kind: function.kind, binding, home, value, size };
        global(draft, entry)?;
    }
    Ok(())
}

/// Puts a function in front of a section of code, as most pieces of a linked one have one before them: to objtool code that
/// has lost its symbol is left over from a link only behind a symbol.
pub(super) fn begin(draft: &mut Draft, section: &str) {
    let shape = Shape { name: section, kind: PROGBITS, flags: SHF_ALLOC | SHF_EXECINSTR, align: 16, entsize: 0 };
    draft.begin(STUBS);
    let size = UD2.len() as u64;
    let (output, value) = draft.piece(&shape, size, &UD2);
    let (name, home) = ("(start)".to_owned(), Home::Section(output));
    draft.local(Entry { name, kind: STT_FUNC, binding: STB_LOCAL, home, value, size });
}

/// Defines functions of which only the names are known, so that nothing is said of those who use them.
pub(super) fn define_unknown(draft: &mut Draft, names: &[String], options: &Options) -> Result<(), JoinError> {
    for name in names {
        let (home, value, size) = body(draft, UNKNOWN, true, false, options);
        let entry = Entry { name: name.clone(), kind: STT_FUNC, binding: STB_GLOBAL, home, value, size };
        global(draft, entry)?;
    }
    Ok(())
}

/// Defines data that is only looked for by its name.
pub(super) fn define_data(draft: &mut Draft, names: &[String]) -> Result<(), JoinError> {
    let shape = Shape { name: ".data", kind: PROGBITS, flags: SHF_ALLOC | SHF_WRITE, align: 8, entsize: 0 };
    for name in names {
        let (output, value) = draft.piece(&shape, 8, &[0; 8]);
        let home = Home::Section(output);
        global(draft, Entry { name: name.clone(), kind: STT_OBJECT, binding: STB_GLOBAL, home, value, size: 8 })?;
    }
    Ok(())
}

fn body(draft: &mut Draft, section: &str, endbr: bool, never: bool, options: &Options) -> (Home, u64, u64) {
    let mut code = Vec::new();
    if endbr {
        code.extend(ENDBR);
    }
    let mut thunk = None;
    match (never, options.rethunk) {
        (true, _) => code.extend(UD2),
        (false, false) => code.push(RET),
        (false, true) => {
            code.extend([JMP, 0, 0, 0, 0]);
            thunk = Some(code.len() as u64 - 4);
        }
    }
    if options.sls && !never {
        code.push(INT3);
    }
    let flags = SHF_ALLOC | SHF_EXECINSTR;
    // Some place before a function is looked at as its padding.
    let shape = Shape { name: section, kind: PROGBITS, flags, align: 16, entsize: 0 };
    let size = code.len() as u64;
    let (output, start) = draft.piece(&shape, size, &code);
    if let Some(at) = thunk {
        let (handle, entry) = draft.global(RETURN_THUNK);
        if entry.binding == 0 {
            entry.binding = STB_GLOBAL;
        }
        draft.reloc(output, start + at, handle, RelocKind::PLT32, -4);
    }
    (Home::Section(output), start, size)
}
