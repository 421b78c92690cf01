//! Writes an object as objtool would have left it: tables of unwind information and of sites to patch, patched code.
//!
//! In: [`Analysis`] and the bytes that it was made from.  Out: the bytes of another object.
//! Holds afterwards: what objtool does not change is copied as it stands; symbols keep their order but where objtool moves
//! them, and every relocation names the symbol that it named before.
//! Reads like: `check` in `tools/objtool/check.c`, `tools/objtool/elf.c`, and how libelf lays a file out: sections in the
//! order of their headers, each at its alignment, the headers behind them.

mod additions;
mod draft;
mod emit;
mod out;
mod patch;
mod symtab;

use std::io;

use crate::analysis::{Analysis, GaveUp};
use crate::image::{ET_REL, LoadError, Store};
use crate::kernel::rules::Addition;
use crate::parallel;
use draft::Draft;
pub use out::Out;

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum WriteError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot write: {0}")]
    Io(io::Error),
    #[error("only a relocatable object can be written")]
    NotRelocatable,
    #[error("it has {0} already")]
    HasTable(&'static str),
    #[error("it has no {0}")]
    NoSection(&'static str),
    #[error("objtool gives up on it and writes nothing: {0}")]
    GivenUp(String),
    #[error("broken ELF tables: {0}")]
    Broken(&'static str),
}

/// Writes the object of `analysis`, whose bytes are in `store`, with what objtool adds to it. Where objtool gives up but
/// keeps what it has done (see [`Analysis::gave_up`]), that much is written.
pub fn write(analysis: &Analysis, store: &dyn Store, out: &mut dyn Out) -> Result<(), WriteError> {
    if analysis.image.kind != ET_REL {
        return Err(WriteError::NotRelocatable);
    }
    if analysis.options.orc {
        let tables = [".orc_unwind", ".orc_unwind_ip"];
        if let Some(table) = tables.into_iter().find(|table| analysis.image.section_by_name(table).is_some()) {
            return Err(WriteError::HasTable(table));
        }
    }
    let strict = analysis.rules.write.nothing_after_refusal;
    let refused = analysis.options.werror && analysis.counted != 0 || analysis.gave_up.is_some();
    if matches!(analysis.gave_up, Some(GaveUp::Opening | GaveUp::Killed | GaveUp::Leaving)) || (strict && refused) {
        let line =
            analysis.lines.last().map_or_else(|| "the object kills it".to_owned(), |line| line.line.text.clone());
        return Err(WriteError::GivenUp(line));
    }
    emit::emit(drafted(analysis, store)?, store, out)
}

/// The object with what is added. Beside what does not need it, the ORC table is built.
fn drafted<'a>(analysis: &'a Analysis, store: &dyn Store) -> Result<Draft<'a>, WriteError> {
    let adds = analysis.gave_up != Some(GaveUp::Checking) && !analysis.insns.is_empty();
    let additions = if adds { analysis.rules.write.additions } else { &[] };
    let adds_orc =
        |addition: &Addition| *addition == Addition::Orc && analysis.options.adds(*addition, &analysis.rules);
    let (before, with_orc) = additions.split_at(additions.iter().position(adds_orc).unwrap_or(additions.len()));
    let begun = || -> Result<_, WriteError> {
        let mut draft = Draft::new(analysis, store)?;
        patch::overwrite(&mut draft)?;
        let step = additions::add(&mut draft, before)?;
        Ok((draft, step))
    };
    let build = || {
        if !with_orc.is_empty() {
            analysis.orc();
        }
    };
    let ((), begun) = parallel::both(analysis.insns.len(), build, begun);
    let (mut draft, step) = begun?;
    if step.is_continue() {
        additions::add(&mut draft, with_orc).map(drop)?;
    }
    if adds {
        patch::settle_hints(&mut draft, store)?;
    }
    Ok(draft)
}
