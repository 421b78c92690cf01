//! The kinds of findings: for each its stable name, how serious it is, what it breaks, and its page.
//!
//! Out: [`Code`] and its [`Entry`], one list for `explain`, the documentation, the editor's links and its fixes. Pages are
//! Markdown in `docs/findings/`, part of the binary so that a link opens without a network.
//! Holds afterwards: every code has a page, and each page has the same parts in the same order.

use std::fmt;

use serde::Serialize;

use Severity::{Error, Warning};
use Stake::{Checking, LivePatching, Mitigation, Running, Tracing, Unwinding};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $severity:expr, [$($stake:expr),*];)*) => {
        /// The stable name of a kind of finding.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The kebab-case name that users see.
            pub fn slug(self) -> &'static str {
                match self { $(Code::$name => $slug,)* }
            }

            /// What is known about this kind of finding.
            pub fn entry(self) -> Entry {
                match self {
                    $(Code::$name => Entry {
                        code: self,
                        severity: $severity,
                        stakes: &[$($stake),*],
                        page: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings/", $slug, ".md")),
                    },)*
                }
            }
        }
    };
}

// Name, slug, severity, what it breaks (the worst first).
codes! {
    /// Two paths reach an instruction with different states.
    StackStateMismatch = "stack-state-mismatch", Error, [Unwinding, LivePatching];
    /// Two arms of an alternative disagree at a boundary of both.
    AlternativeStackConflict = "alternative-stack-conflict", Error, [Unwinding, LivePatching];
    /// A return leaves the frame changed.
    ReturnWithModifiedFrame = "return-with-modified-frame", Error, [Running, Unwinding];
    /// A jump out of the function leaves the frame changed.
    SiblingCallWithModifiedFrame = "sibling-call-with-modified-frame", Error, [Running, Unwinding];
    /// A call without a frame pointer, where one is required.
    CallWithoutFramePointer = "call-without-frame-pointer", Warning, [Unwinding, LivePatching];
    /// The frame pointer was used for something else.
    FramePointerScratched = "frame-pointer-scratched", Warning, [Unwinding];
    /// A stack operation where the CFA is not known.
    UndefinedStackState = "undefined-stack-state", Error, [Unwinding, Checking];
    /// The register that the CFA depends on was changed in a way that cannot be followed.
    UnsupportedStackRegisterModification = "unsupported-stack-register-modification", Error, [Unwinding, Checking];
    /// The stack pointer was aligned without a register that remembers it.
    UnsupportedStackRealignment = "unsupported-stack-realignment", Error, [Unwinding, Checking];
    /// A stack operation that has no rule.
    UnknownStackOperation = "unknown-stack-operation", Error, [Unwinding, Checking];
    /// `leave`, `call` and the like in an order that the uaccess stack cannot hold.
    PushfStackExhausted = "pushf-stack-exhausted", Warning, [Checking];
    /// A path leads from a function into the next one.
    FallsThrough = "falls-through", Error, [Running, Unwinding];
    /// A path leads beyond the end of the section.
    UnexpectedEndOfSection = "unexpected-end-of-section", Error, [Running, Unwinding];
    /// No path reaches the instruction.
    UnreachableInstruction = "unreachable-instruction", Warning, [Unwinding];
    /// The code after a call can only be unreachable if the callee never returns.
    MissingNoreturn = "missing-noreturn", Warning, [Unwinding, Checking];
    /// A function symbol without a size.
    MissingSize = "missing-size", Warning, [Unwinding, LivePatching, Checking];
    /// A Rust function of which the compiler left nothing but a trap.
    MissingBody = "missing-body", Warning, [Running];
    /// An instruction that leaves the kernel inside a callable function.
    UnsupportedInstruction = "unsupported-instruction-in-function", Error, [Unwinding, Checking];
    /// A path enters a function that was to be ignored.
    IgnoredFunctionReached = "ignored-function-reached", Warning, [Unwinding];
    /// A restore hint without a save hint before it.
    RestoreWithoutSave = "hint-restore-without-save", Error, [Unwinding];
    /// A restore hint that is reached before its save hint.
    RestoreBeforeSave = "hint-restore-before-save", Error, [Unwinding];
    /// User access opened twice.
    UaccessRecursive = "uaccess-recursive-enable", Warning, [Mitigation];
    /// User access closed though it is not open.
    UaccessRedundant = "uaccess-redundant-disable", Warning, [Mitigation];
    /// A function that runs with user access open closes it.
    UaccessSafeDisables = "uaccess-safe-disables", Error, [Running, Mitigation];
    /// A return with user access open.
    ReturnWithUaccess = "return-with-uaccess", Error, [Mitigation];
    /// A return with user access closed from a function that runs with it open.
    ReturnWithoutUaccess = "return-without-uaccess", Error, [Running];
    /// A call with user access open.
    CallWithUaccess = "call-with-uaccess", Error, [Mitigation];
    /// The direction flag set twice.
    DirectionFlagRecursive = "direction-flag-recursive-set", Warning, [Running];
    /// The direction flag cleared though it is clear.
    DirectionFlagRedundant = "direction-flag-redundant-clear", Warning, [Running];
    /// A return with the direction flag set.
    ReturnWithDirectionFlag = "return-with-direction-flag", Error, [Running];
    /// A call with the direction flag set.
    CallWithDirectionFlag = "call-with-direction-flag", Error, [Running];
    /// A call from noinstr code to code that may be instrumented.
    CallLeavesNoinstr = "call-leaves-noinstr", Error, [Running];
    /// A return while instrumentation is allowed.
    ReturnWithInstrumentation = "return-with-instrumentation", Warning, [Running];
    /// A paravirt operation that noinstr code must not reach.
    ParavirtOpNotNoinstr = "paravirt-op-not-noinstr", Warning, [Running];
    /// A table of paravirt operations that cannot be read.
    BadParavirtTable = "bad-paravirt-table", Error, [Checking, Running];
    /// A plain return in a build that needs return thunks.
    NakedReturn = "naked-return", Error, [Mitigation];
    /// An indirect branch in a build that needs retpolines.
    IndirectBranch = "indirect-branch", Error, [Mitigation];
    /// An indirect call without a kernel CFI check before it.
    IndirectCallWithoutCfi = "indirect-call-without-cfi", Error, [Mitigation];
    /// No `int3` after a return or an indirect jump.
    MissingInt3 = "missing-int3", Warning, [Mitigation];
    /// An indirect branch before the return predictor was untrained.
    EarlyIndirectBranch = "unret-early-indirect-branch", Error, [Mitigation];
    /// A return before the return predictor was untrained.
    ReturnBeforeUntrain = "unret-return-before-untrain", Error, [Mitigation];
    /// A path that the untraining check could not follow to its end.
    UnretIncomplete = "unret-incomplete", Warning, [Checking, Mitigation];
    /// The address of code that does not start with `endbr` is taken.
    MissingEndbr = "missing-endbr", Error, [Running];
    /// A module's init or exit function cannot be called indirectly.
    NotIndirectCallTarget = "not-indirect-call-target", Error, [Running];
    /// An interrupt entry hint without `endbr`.
    EntryWithoutEndbr = "entry-without-endbr", Error, [Running];
    /// A jump to `__fentry__`.
    FentryTailCall = "fentry-tail-call", Warning, [Tracing];
    /// The object has a section that objtool was to create.
    AlreadyProcessed = "already-processed", Warning, [Checking];
    /// A static call whose symbols are not as they must be.
    BadStaticCall = "bad-static-call", Error, [Running, Checking];
    /// An absolute relocation where none may be.
    AbsoluteRelocation = "absolute-relocation", Error, [Running];
    /// A symbol name too long for its prefix symbol.
    SymbolNameTooLong = "symbol-name-too-long", Warning, [Unwinding];
    /// Bytes that are no instruction.
    UndecodableInstruction = "undecodable-instruction", Error, [Checking, Unwinding];
    /// An instruction whose encoding the kernel does not want.
    SuspiciousEncoding = "suspicious-encoding", Warning, [Running];
    /// A symbol that does not start at an instruction.
    BadSymbol = "bad-symbol", Error, [Checking];
    /// An annotation that points nowhere or at the wrong instruction.
    BadAnnotation = "bad-annotation", Error, [Checking];
    /// An unwind hint that cannot be read.
    BadUnwindHint = "bad-unwind-hint", Error, [Checking, Unwinding];
    /// An entry of an alternatives, jump label or exception table that cannot be read.
    BadSpecialEntry = "bad-special-entry", Error, [Running, Checking];
    /// A jump or call to a place where no code is.
    BadBranchTarget = "bad-branch-target", Error, [Running, Checking];
    /// A jump table that could not be found or read.
    BadJumpTable = "bad-jump-table", Warning, [Unwinding, Checking];
    /// A state that the ORC format cannot express.
    OrcUnencodable = "orc-unencodable", Error, [Unwinding];
    /// The object as a whole cannot be analysed.
    BadObject = "bad-object", Error, [Checking];
    /// The stack is moved, and the unwind table is not told.
    UnwindStackUntold = "unwind-stack-untold", Warning, [Unwinding];
    /// The unwind table has a register wrong.
    UnwindRegisterWrong = "unwind-register-wrong", Warning, [Unwinding];
    /// Rows of the unwind table go on behind an early return.
    UnwindRowsBehindReturn = "unwind-rows-behind-return", Warning, [Unwinding];
    /// A number in the unwind table is wrong.
    UnwindWrongNumber = "unwind-wrong-number", Warning, [Unwinding];
    /// A row of the unwind table begins an instruction early or late.
    UnwindRowMisplaced = "unwind-row-misplaced", Warning, [Unwinding];
    /// The CFA is adjusted while it counts from another register.
    UnwindAdjustedElsewhere = "unwind-adjusted-elsewhere", Warning, [Unwinding];
    /// The CFA counts from a register that does not hold it.
    UnwindCfaLost = "unwind-cfa-lost", Error, [Unwinding];
    /// An expression of the unwind table does not lead to the CFA.
    UnwindExpressionLost = "unwind-expression-lost", Error, [Unwinding];
    /// The unwind table of a function is malformed.
    UnwindMalformed = "unwind-malformed", Warning, [Unwinding];
    /// A function moves the stack and has no unwind table.
    UnwindTableMissing = "unwind-table-missing", Severity::Information, [Unwinding];
    /// A function does not give back what it has to.
    NotGivenBack = "not-given-back", Error, [Running, Unwinding];
    /// What a leaf function keeps below the stack pointer is written over.
    RedZoneOverwritten = "red-zone-overwritten", Error, [Running];
}

impl Code {
    /// The code that users spell `slug`.
    pub fn find(slug: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.slug() == slug)
    }

    /// The code of a line of objtool's, by the words that its page quotes: all of them are in the line, in this order, and no
    /// other page has more of them. Names and numbers do not count.
    pub fn of_line(line: &str) -> Option<Code> {
        let said = line.rsplit("objtool: ").next().unwrap_or(line);
        let said: Vec<&str> = said.split_whitespace().map(bare).collect();
        let matches = |sample: &[&str]| {
            let mut left = said.iter();
            sample.iter().all(|word| left.any(|said| said == word))
        };
        let best = |code: &Code| {
            let samples = code.entry().quoted().map(|sample| words(sample)).filter(|sample| sample.len() > 1);
            samples.filter(|sample| matches(sample)).map(|sample| sample.len()).max()
        };
        let scored = Code::ALL.iter().filter_map(|code| Some((best(code)?, *code)));
        scored.max_by_key(|(score, code)| (*score, std::cmp::Reverse(*code))).map(|(_, code)| code)
    }

    /// The codes whose names are most like a mistyped `slug`.
    pub fn similar(slug: &str) -> Vec<Code> {
        let wanted: Vec<&str> = slug.split('-').collect();
        let score = |code: &Code| code.slug().split('-').filter(|word| wanted.contains(word)).count();
        let best = Code::ALL.iter().map(score).max().unwrap_or(0);
        if best == 0 {
            return Vec::new();
        }
        Code::ALL.iter().copied().filter(|code| score(code) == best).collect()
    }
}

/// A word without what ends a part of a sentence.
fn bare(word: &str) -> &str {
    word.trim_matches([',', ';', ':', '!', '?'])
}

/// The words of a quotation that are the same in every line: no names, numbers, sections.
fn words(sample: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        matches!(*word, "" | "foo" | "bar" | "N" | ".text")
            || word.contains(|c: char| c.is_ascii_digit() || matches!(c, '(' | '[' | '{' | '…'))
    };
    sample.split_whitespace().map(bare).filter(|word| !is_name(word)).collect()
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.slug())
    }
}

/// How serious a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something will break.
    Error,
    /// Something may break.
    Warning,
    /// Worth a look.
    Information,
}

/// What a finding breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stake {
    /// Stack traces through the place are wrong or end there.
    Unwinding,
    /// A task in the function cannot be patched reliably.
    LivePatching,
    /// The kernel may crash, hang or not boot.
    Running,
    /// A protection against an attack has a hole.
    Mitigation,
    /// Function tracing does not work as it should.
    Tracing,
    /// What follows is not checked.
    Checking,
}

impl fmt::Display for Stake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stake::Unwinding => "stack traces",
            Stake::LivePatching => "live patching",
            Stake::Running => "running or booting",
            Stake::Mitigation => "a mitigation",
            Stake::Tracing => "tracing",
            Stake::Checking => "what can be checked",
        })
    }
}

/// What is known about a kind of finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its code.
    pub code: Code,
    /// How serious it is.
    pub severity: Severity,
    /// What it breaks, the worst first.
    pub stakes: &'static [Stake],
    /// Its page, in Markdown.
    pub page: &'static str,
}

impl Entry {
    /// What objtool says, as the page quotes it.
    fn quoted(self) -> impl Iterator<Item = &'static str> {
        let said = self.page.split("\n\n").find(|part| part.starts_with("objtool: ")).unwrap_or_default();
        said.split('`').skip(1).step_by(2).filter(|quoted| !quoted.starts_with("--"))
    }

    /// What it is, in a few words.
    pub fn title(&self) -> &'static str {
        self.page.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// What it means: the page's first paragraph of running text.
    pub fn meaning(&self) -> &'static str {
        // The paragraphs before it are the title, the line of facts and objtool's words.
        self.page.split("\n\n").nth(3).unwrap_or_default()
    }

    /// The part of the page under `heading`.
    pub fn part(&self, heading: &str) -> Option<&'static str> {
        let (_, rest) = self.page.split_once(&format!("\n## {heading}\n"))?;
        Some(rest.split("\n## ").next().unwrap_or(rest).trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_its_parts_in_order() {
        for &code in Code::ALL {
            let entry = code.entry();
            let stakes: Vec<String> = entry.stakes.iter().map(Stake::to_string).collect();
            let severity = serde_json::to_value(entry.severity).unwrap();
            let severity = severity.as_str().unwrap().replace("information", "note");
            let facts = format!("`{code}` · {severity} · breaks {}", stakes.join(", "));
            let paragraphs: Vec<&str> = entry.page.split("\n\n").collect();
            assert!(paragraphs[0].starts_with("# ") && !paragraphs[0].contains('\n'), "{code}: title");
            assert_eq!(paragraphs[1], facts, "{code}: the line of facts differs from the table");
            assert!(paragraphs[2].starts_with("objtool: "), "{code}: objtool's words");
            assert!(!entry.meaning().starts_with('#'), "{code}: meaning");
            let headings: Vec<&str> = entry.page.lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(headings, ["## Why it matters", "## Usual causes", "## How to fix it"], "{code}");
            assert!(entry.part("How to fix it").unwrap().contains("```"), "{code}: an example is missing");
            assert!(entry.part("Usual causes").unwrap().starts_with("- "), "{code}: causes are a list");
            assert!(entry.page.ends_with('\n') && !entry.page.contains(" \n"), "{code}: spaces at line ends");
        }
    }

    #[test]
    fn a_line_of_objtools_leads_to_its_page() {
        for (line, code) in [
            ("a.o: warning: objtool: foo+0x1c3: return with modified stack frame", Code::ReturnWithModifiedFrame),
            ("foo+0x1: call to bar() with UACCESS enabled", Code::CallWithUaccess),
            ("foo+0x1: return with UACCESS enabled", Code::ReturnWithUaccess),
            ("x() falls through to next function y()", Code::FallsThrough),
            ("vmlinux.o: error: objtool: f+0x6: 'naked' return found in MITIGATION_RETHUNK build", Code::NakedReturn),
            ("f+0x2: stack state mismatch: cfa1=4+8 cfa2=4+16", Code::StackStateMismatch),
            ("f(): unexpected end of section .text.unlikely", Code::UnexpectedEndOfSection),
            ("f+0x3: unreachable instruction", Code::UnreachableInstruction),
        ] {
            assert_eq!(Code::of_line(line), Some(code), "{line}");
        }
        assert_eq!(Code::of_line("undefined reference to `f'"), None);
        assert_eq!(Code::of_line("with --uaccess"), None);
    }

    #[test]
    fn the_folder_has_no_page_too_many() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings");
        let mut pages: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        pages.sort();
        let mut codes: Vec<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
        codes.sort();
        assert_eq!(pages, codes);
    }

    #[test]
    fn the_index_names_every_page() {
        let mut index =
            String::from("# What orcls finds\n\nA page for each code, as `orcls explain CODE` prints it.\n\n");
        index.push_str("| code | what it is | breaks |\n|---|---|---|\n");
        for &code in Code::ALL {
            let entry = code.entry();
            let stakes: Vec<String> = entry.stakes.iter().map(Stake::to_string).collect();
            index.push_str(&format!("| [{code}]({code}.md) | {} | {} |\n", entry.title(), stakes.join(", ")));
        }
        expect_test::expect_file!["../../docs/findings/README.md"].assert_eq(&index);
    }

    #[test]
    fn a_mistyped_code_is_understood() {
        assert_eq!(Code::find("falls-through"), Some(Code::FallsThrough));
        assert_eq!(Code::find("fall-through"), None);
        assert_eq!(Code::similar("fall-through"), [Code::FallsThrough]);
        assert_eq!(Code::similar("xyz"), []);
    }
}
