//! Code that must not be instrumented, and the tables of paravirt operations that it calls through.

use crate::ids::SymbolId;

use super::parts::{call_to, sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// A return while instrumentation is allowed.
pub(super) fn return_with_instrumentation() -> Told<'static> {
    Told {
        code: Code::ReturnWithInstrumentation,
        origin: Origin::Here,
        objtool: Words::Plain("return with instrumentation enabled"),
        sentence: Sentence::Plain("return while instrumentation is allowed: instrumentation_begin() without its end"),
    }
}

/// A call from noinstr code to code that may be instrumented.
pub(super) fn call_leaves(callee: &str) -> Told<'_> {
    Told {
        code: Code::CallLeavesNoinstr,
        origin: Origin::Here,
        objtool: words(move |_| format!("call to {callee}() leaves .noinstr.text section")),
        sentence: sentence(move |s| {
            format!("{}, which may be instrumented, from `noinstr` code, where that is not allowed", call_to(s, callee))
        }),
    }
}

/// A paravirt operation that noinstr code must not reach.
pub(super) fn paravirt_op(slot: i64, target: SymbolId) -> Told<'static> {
    Told {
        code: Code::ParavirtOpNotNoinstr,
        origin: Origin::Here,
        objtool: words(move |o| format!("pv_ops[{slot}]: {}", o.symbol(target))),
        sentence: sentence(move |s| {
            format!("the paravirt operation in slot {slot} may be {}(), which may be instrumented", s.symbol(target))
        }),
    }
}

/// A table that is filled but not in the object.
pub(super) fn paravirt_confusion() -> Told<'static> {
    Told {
        code: Code::BadParavirtTable,
        origin: Origin::Here,
        objtool: Words::Plain("paravirt confusion"),
        sentence: Sentence::Plain("boot code fills a table of paravirt operations that is not in the object"),
    }
}

/// Something else than a function put into a table.
pub(super) fn paravirt_store_unknown() -> Told<'static> {
    Told {
        code: Code::BadParavirtTable,
        origin: Origin::Here,
        objtool: Words::Plain("no func for pv_ops[]"),
        sentence: Sentence::Plain("what boot code puts into a table of paravirt operations is not a function"),
    }
}

/// A slot that leads to no function.
pub(super) fn paravirt_table_unknown(table: &'static str, slot: i64) -> Told<'static> {
    Told {
        code: Code::BadParavirtTable,
        origin: Origin::Here,
        objtool: words(move |_| format!("can't find func at {table}[{slot}]")),
        sentence: sentence(move |_| format!("slot {slot} of {table} leads here, where no function starts")),
    }
}
