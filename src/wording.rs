//! The one place where objtool's lines become text: what a place, a symbol and a section are called in them. [`said`] reads
//! them out of a build's output.
//!
//! In: a [`Ledger`], the object and the release.  Out: findings with objtool's words, and its lines; what it says of an
//! object that cannot be read.
//! Reads like: `offstr` in `tools/objtool/include/objtool/warn.h`. The words are objtool's interface, which scripts match.

pub mod said;

use crate::decode::InsnTable;
use crate::findings::{Finding, Level, Names, ObjtoolLine, PrintedLine};
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, LoadError};
use crate::kernel::rules::{FatalStyle, Rules};
use crate::ledger::{Ledger, Said};
use crate::options::Options;
use crate::symbols::Symbols;

/// What names are taken from.
#[derive(Clone, Copy)]
pub struct Naming<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Its instructions.
    pub insns: &'a InsnTable,
    /// Its symbols.
    pub symbols: &'a Symbols,
    /// The release.
    pub rules: &'a Rules,
    /// The flags.
    pub options: &'a Options,
}

impl Names for Naming<'_> {
    fn rules(&self) -> &Rules {
        self.rules
    }

    fn symbol(&self, id: SymbolId) -> &str {
        self.image.symbol_name(id)
    }

    fn section(&self, id: SectionId) -> &str {
        &self.image.section(id).name
    }

    /// The function that contains it, else any symbol, else the section.
    fn place(&self, at: CodeLoc) -> String {
        let section = self.section(at.section);
        let code = self.image.section(at.section).is_code();
        let symbol = if code { self.symbols.function_containing(at.section, at.offset) } else { None }
            .or_else(|| self.symbols.symbol_containing(at.section, at.offset));
        if self.rules.words.place_is_called {
            let function = self.symbols.function_containing(at.section, at.offset);
            return match function {
                Some(id) => {
                    let inside = at.offset.wrapping_sub(self.image.symbol(id).value);
                    format!("{}()+0x{inside:x}", self.symbol(id))
                }
                None => format!("{section}+0x{:x}", at.offset),
            };
        }
        match symbol {
            Some(id) => {
                let inside = at.offset.wrapping_sub(self.image.symbol(id).value);
                let text = format!("{}+0x{inside:x}", self.symbol(id));
                if self.options.sec_address { format!("{text} ({section}+0x{:x})", at.offset) } else { text }
            }
            None => format!("{section}+0x{:x}", at.offset),
        }
    }

    fn insn(&self, id: InsnId) -> String {
        self.place(self.insns.loc(id))
    }
}

/// Bytes of lines that are written out in full, and what is left of each line after them: a name may be as long as the
/// object, and be in every line.
const MOST_TEXT: usize = 16 << 20;
const LEFT_OF_LINE: usize = 256;

fn shortened(mut text: String, left: &mut usize) -> String {
    match left.checked_sub(text.len()) {
        Some(rest) => *left = rest,
        None if text.len() > LEFT_OF_LINE => {
            let end = (0..=LEFT_OF_LINE).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
            text.shrink_to_fit();
        }
        None => {}
    }
    text
}

/// The findings of a ledger with objtool's words, and all lines that objtool prints.
pub fn speak(ledger: Ledger, naming: &Naming<'_>) -> (Vec<Finding>, Vec<PrintedLine>) {
    let Ledger { mut findings, lines, .. } = ledger;
    let mut printed = Vec::with_capacity(lines.len());
    let mut left = MOST_TEXT;
    for line in lines {
        let finding = line.of.and_then(|of| findings.get_mut(of.index()));
        let text = match line.said {
            Said::Step(at, tag) => format!("  {}: {tag}", naming.place(at)),
            Said::Finding(place) => {
                let words = finding.as_ref().and_then(|finding| finding.fault.told().objtool.text(naming));
                let words = words.unwrap_or_default();
                place.map_or_else(|| words.clone(), |at| format!("{}: {words}", naming.place(at)))
            }
        };
        let text = shortened(text, &mut left);
        let text = ObjtoolLine { level: line.level, text };
        if let (Said::Finding(_), Some(finding)) = (line.said, finding) {
            finding.objtool = Some(text.clone());
        }
        let named = text.level == Level::Warning || naming.rules.words.fatal != FatalStyle::Warning;
        printed.push(PrintedLine { line: text, of: line.of, named });
    }
    (findings, printed)
}

/// What objtool says of an object that it cannot read; `None` where it leaves the words to its ELF library.
pub fn unreadable(error: &LoadError, rules: &Rules) -> Option<ObjtoolLine> {
    let text = match error {
        LoadError::SymbolWithoutSection { name, .. } => format!("couldn't find section for symbol {name}"),
        LoadError::RelocsWithoutSection { relocs, .. } => {
            format!("can't find base section for reloc section {relocs}")
        }
        // objtool prints the number as a signed one.
        LoadError::RelocWithoutSymbol { relocs, symbol } => {
            format!("can't find reloc entry symbol {} for {relocs}", *symbol as i32)
        }
        _ => return None,
    };
    let level = match rules.words.fatal {
        FatalStyle::Warning => Level::Warning,
        FatalStyle::WarningAtInstruction | FatalStyle::Error => Level::Error,
    };
    Some(ObjtoolLine { level, text })
}
