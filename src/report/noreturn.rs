//! Functions that an object declares never to return, and that the release's objtool does not know so.
//!
//! In: the object's functions by its debug info, its symbols.  Out: [`Unlisted`] functions, with the line that makes them
//! known to objtool.
//! Holds afterwards: only functions that another object can call by name are among them; objtool finds out about all
//! others itself.
//! Reads like: `is_rust_noreturn` and `noreturns.h` of `tools/objtool`.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::flow::Noreturn;
use crate::image::{ElfImage, STB_GLOBAL, STB_WEAK};
use crate::kernel::Kernel;
use crate::mangled::{self, Pattern};
use crate::source_map::SourceMap;

/// A function that never returns, which objtool does not know.
#[derive(Clone, Debug, Serialize)]
pub struct Unlisted {
    /// As the symbol table spells it.
    pub name: String,
    /// As a person reads it.
    pub path: String,
    /// Whether the object has the function, or only calls it.
    pub defined: bool,
    /// The file of its declaration, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line of its declaration, from 1.
    pub line: Option<u32>,
    /// What makes it known to objtool; `None` where no list of this release could hold it.
    pub entry: Option<Entry>,
}

/// A line for one of objtool's lists.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct Entry {
    /// The file of the list, below the sources of the kernel.
    pub file: &'static str,
    /// The function or the list in it.
    pub list: &'static str,
    /// The line.
    pub text: String,
}

/// What makes a function known to the release's objtool as one that never returns.
pub fn entry(name: &str, kernel: Kernel) -> Option<Entry> {
    if mangled::is_mangled(name) {
        let text = match mangled::pattern(name).filter(|_| kernel.rules().lists.rust_noreturn.is_some())? {
            Pattern::End(end) => format!("str_ends_with(func->name, \"{end}\")"),
            Pattern::Part(part) => format!("strstr(func->name, \"{part}\")"),
        };
        return Some(Entry { file: "tools/objtool/check.c", list: "is_rust_noreturn()", text });
    }
    let (file, list) = match kernel.rules().lists.noreturns_header {
        true => ("tools/objtool/noreturns.h", "NORETURN()"),
        false => ("tools/objtool/check.c", "global_noreturns[]"),
    };
    let text = if kernel.rules().lists.noreturns_header { format!("NORETURN({name})") } else { format!("\"{name}\",") };
    Some(Entry { file, list, text })
}

/// What an object declares never to return.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// How many such functions it declares.
    pub n_all: usize,
    /// Those that objtool does not know, by path.
    pub unlisted: Vec<Unlisted>,
}

/// Looks through the functions of an object.
pub fn declared(image: &ElfImage, map: &SourceMap, kernel: Kernel) -> Declared {
    let known = Noreturn::new(kernel.rules(), &[]);
    let mut symbols = FxHashMap::default();
    for (id, symbol) in image.symbols() {
        if matches!(symbol.binding, STB_GLOBAL | STB_WEAK) {
            symbols.insert(image.symbol_name(id), symbol);
        }
    }
    let mut found = Declared::default();
    for function in map.functions().into_iter().filter(|function| function.noreturn) {
        found.n_all += 1;
        let Some(symbol) = symbols.get(function.name.as_str()) else { continue };
        // Whoever calls a weak function cannot know which one it will be, and objtool takes none to be on its list.
        let listed = known.lists(&function.name, symbol.binding);
        if listed || (symbol.binding == STB_WEAK && !kernel.rules().lists.noreturn_weak) {
            continue;
        }
        found.unlisted.push(Unlisted {
            path: mangled::plain(&function.name),
            defined: !symbol.is_undefined(),
            file: function.file,
            line: function.line,
            entry: entry(&function.name, kernel),
            name: function.name,
        });
    }
    found.unlisted.sort_by(|a, b| (&a.path, &a.name).cmp(&(&b.path, &b.name)));
    found
}
