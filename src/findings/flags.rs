//! User access (STAC and CLAC) and the direction flag.

use super::parts::{call_to, sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// User access opened twice.
pub(super) fn uaccess_recursive() -> Told<'static> {
    Told {
        code: Code::UaccessRecursive,
        origin: Origin::OpenedAccess,
        objtool: Words::Plain("recursive UACCESS enable"),
        sentence: sentence(move |s| s.because("user access is opened here, but is open already".to_owned())),
    }
}

/// User access closed though it is not open.
pub(super) fn uaccess_redundant() -> Told<'static> {
    Told {
        code: Code::UaccessRedundant,
        origin: Origin::ClosedAccess,
        objtool: Words::Plain("redundant UACCESS disable"),
        sentence: sentence(move |s| s.because("user access is closed here, but is not open".to_owned())),
    }
}

/// A function that runs with user access open closes it.
pub(super) fn uaccess_safe_disables() -> Told<'static> {
    Told {
        code: Code::UaccessSafeDisables,
        origin: Origin::Here,
        objtool: Words::Plain("UACCESS-safe disables UACCESS"),
        sentence: Sentence::Plain(
            "user access is closed here, in a function that its callers run with user access open",
        ),
    }
}

/// The direction flag set twice.
pub(super) fn direction_recursive() -> Told<'static> {
    Told {
        code: Code::DirectionFlagRecursive,
        origin: Origin::SetDirection,
        objtool: Words::Plain("recursive STD"),
        sentence: sentence(move |s| s.because("the direction flag is set here, but is set already".to_owned())),
    }
}

/// The direction flag cleared though it is clear.
pub(super) fn direction_redundant() -> Told<'static> {
    Told {
        code: Code::DirectionFlagRedundant,
        origin: Origin::ClearedDirection,
        objtool: Words::Plain("redundant CLD"),
        sentence: sentence(move |s| s.because("the direction flag is cleared here, but is clear already".to_owned())),
    }
}

/// A return with user access open.
pub(super) fn return_with_uaccess() -> Told<'static> {
    Told {
        code: Code::ReturnWithUaccess,
        origin: Origin::OpenedAccess,
        objtool: Words::Plain("return with UACCESS enabled"),
        sentence: sentence(move |s| s.because("return with user access still open".to_owned())),
    }
}

/// A return with user access closed from a function that runs with it open.
pub(super) fn return_without_uaccess() -> Told<'static> {
    Told {
        code: Code::ReturnWithoutUaccess,
        origin: Origin::ClosedAccess,
        objtool: Words::Plain("return with UACCESS disabled from a UACCESS-safe function"),
        sentence: sentence(|s| {
            s.because(
                "return with user access closed, from a function that its callers run with user access open".to_owned(),
            )
        }),
    }
}

/// A return with the direction flag set.
pub(super) fn return_with_direction() -> Told<'static> {
    Told {
        code: Code::ReturnWithDirectionFlag,
        origin: Origin::SetDirection,
        objtool: Words::Plain("return with DF set"),
        sentence: sentence(move |s| s.because("return with the direction flag set".to_owned())),
    }
}

/// A call with user access open.
pub(super) fn call_with_uaccess(callee: &str) -> Told<'_> {
    Told {
        code: Code::CallWithUaccess,
        origin: Origin::OpenedAccess,
        objtool: words(move |_| format!("call to {callee}() with UACCESS enabled")),
        sentence: sentence(move |s| s.because(format!("{} with user access open", call_to(s, callee)))),
    }
}

/// A call with the direction flag set.
pub(super) fn call_with_direction(callee: &str) -> Told<'_> {
    Told {
        code: Code::CallWithDirectionFlag,
        origin: Origin::SetDirection,
        objtool: words(move |_| format!("call to {callee}() with DF set")),
        sentence: sentence(move |s| s.because(format!("{} with the direction flag set", call_to(s, callee)))),
    }
}
