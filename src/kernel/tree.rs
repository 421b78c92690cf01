//! The facts that a kernel tree says itself: its lists and numbers, which differ between point releases and in derived
//! trees.
//!
//! In: the texts of a tree's sources.  Out: [`TreeFacts`], and with them the [`Rules`] that its objects are judged by.
//! Holds afterwards: a file that is missing, too large or unlike what is expected changes nothing; what is wrong with it is
//! said.
//! Reads like: `tools/objtool/noreturns.h`, the arrays in `tools/objtool/check.c`, and the `#define`s of
//! `include/linux/objtool_types.h`, `arch/x86/include/asm/orc_types.h` and `tools/objtool/arch/x86/include/arch/special.h`.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::Kernel;
use super::opcode_map;
use super::opcodes::Opcodes;
use super::rules::{AltEntry, HintNumber, HintTypes, Names, OrcNumber, OrcRegs, Rules, RustNoreturn};
use crate::files::{self, Stamp};

/// A larger file is no source of objtool. `check.c` has about 130 KiB.
const MAX_FILE: u64 = 2 << 20;
/// A longer list is none of objtool's, which have less than 200 names.
const MAX_NAMES: usize = 1 << 14;

const CHECK: &str = "tools/objtool/check.c";
/// Where `NORETURN()` stands: the second one is where the file was proposed to go.
const NORETURNS: [&str; 2] = ["tools/objtool/noreturns.h", "include/linux/noreturns.h"];
const HINTS: [&str; 2] = ["include/linux/objtool_types.h", "include/linux/objtool.h"];
const ORC: &str = "arch/x86/include/asm/orc_types.h";
const SPECIAL: &str = "tools/objtool/arch/x86/include/arch/special.h";
/// objtool's copy. The one in `arch/x86/lib` is the kernel's own.
const OPCODES: &str = "tools/arch/x86/lib/x86-opcode-map.txt";
const OPCODES_GENERATOR: &str = "tools/arch/x86/tools/gen-insn-attr-x86.awk";

/// What was read, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// What it is, for a person.
    pub what: &'static str,
    /// The file that says it; `None` where what is compiled in had to do.
    pub file: Option<PathBuf>,
}

/// What a tree says of its objtool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TreeFacts {
    /// Where each kind of fact comes from.
    pub facts: Vec<Fact>,
    /// What is wrong with the tree's files.
    pub problems: Vec<String>,
    noreturn: Option<Names>,
    uaccess_safe: Option<Names>,
    rust_noreturn: Option<Option<RustNoreturn>>,
    hints: Option<HintTypes>,
    orc_regs: Option<OrcRegs>,
    alt_entry: Option<AltEntry>,
    /// Where they are not the release's.
    opcodes: Option<Arc<Opcodes>>,
}

/// The files that facts are read from, below the folder of the sources.
fn files() -> impl Iterator<Item = &'static str> {
    [CHECK, ORC, SPECIAL, OPCODES, OPCODES_GENERATOR].into_iter().chain(NORETURNS).chain(HINTS)
}

/// Where the sources of the tree are that is built in `root`: an `O=` build has a link to them.
fn sources(root: &Path) -> Option<PathBuf> {
    let mut places = [root.to_owned(), root.join("source")].into_iter();
    places.find(|folder| files().any(|name| folder.join(name).exists()))
}

fn stamps(sources: &Path) -> Vec<Option<Stamp>> {
    files().map(|name| Stamp::of(&sources.join(name))).collect()
}

/// What was read of a tree, and of which files.
#[derive(Clone)]
struct Known {
    sources: PathBuf,
    kernel: Kernel,
    stamps: Vec<Option<Stamp>>,
    facts: Option<Arc<TreeFacts>>,
}

/// More trees than this are read anew each time.
const MAX_TREES: usize = 16;

/// Thousands of objects ask for the same tree.
static KNOWN: LazyLock<Mutex<Vec<Known>>> = LazyLock::new(Mutex::default);

impl TreeFacts {
    /// The facts of the tree that is built in `root`, whose sources may be elsewhere. They are read again when one of their
    /// files has changed.
    pub fn of(root: &Path, kernel: Kernel) -> Option<Arc<TreeFacts>> {
        let sources = sources(root)?;
        let now = stamps(&sources);
        let is_this = |known: &Known| known.sources == sources && known.kernel == kernel;
        let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().iter().find(|known| is_this(known) && known.stamps == now) {
            return known.facts.clone();
        }
        let facts = TreeFacts::read(&sources, kernel).map(Arc::new);
        let mut trees = lock();
        trees.retain(|known| !is_this(known));
        if trees.len() == MAX_TREES {
            trees.remove(0);
        }
        trees.push(Known { sources, kernel, stamps: now, facts: facts.clone() });
        facts
    }

    /// The files that the facts of the tree that is built in `root` are read from, which need not all be there.
    pub fn files_of(root: &Path) -> Vec<PathBuf> {
        sources(root).map_or_else(Vec::new, |sources| files().map(|name| sources.join(name)).collect())
    }

    /// Reads the facts of the tree whose sources are in `sources`; `None` where there are none of objtool's.
    pub fn read(sources: &Path, kernel: Kernel) -> Option<TreeFacts> {
        let mut reader = Reader { sources, facts: TreeFacts::default() };
        let check = reader.text(CHECK);
        let hints = HINTS.into_iter().find_map(|name| reader.numbers(name).filter(|(_, numbers)| has_hints(numbers)));
        let orc = reader.numbers(ORC);
        if check.is_none() && hints.is_none() && orc.is_none() {
            return None;
        }
        let header = NORETURNS.into_iter().find_map(|name| Some((name, reader.text(name)?)));
        reader.facts.noreturn = match (&header, &check) {
            (Some((name, text)), _) => reader.list(name, "functions that never return", noreturns(text)),
            (None, Some(text)) => reader.list(CHECK, "functions that never return", strings(text, "global_noreturns")),
            (None, None) => reader.missing("functions that never return"),
        };
        reader.facts.uaccess_safe = match &check {
            Some(text) => reader.list(CHECK, "functions with user access open", strings(text, "uaccess_safe_builtin")),
            None => reader.missing("functions with user access open"),
        };
        reader.facts.rust_noreturn = match &check {
            Some(text) if text.contains("is_rust_noreturn(") => {
                reader.fact(CHECK, "Rust's functions that never return", rust_noreturn(text)).map(Some)
            }
            Some(_) => Some(None),
            None => reader.missing("Rust's functions that never return"),
        };
        reader.facts.hints = match &hints {
            Some((name, numbers)) => reader.fact(name, "unwind hints", hint_types(numbers, kernel)),
            None => reader.missing("unwind hints"),
        };
        reader.facts.orc_regs = match &orc {
            Some((name, numbers)) => reader.fact(name, "ORC registers", orc_regs(numbers)),
            None => reader.missing("ORC registers"),
        };
        reader.facts.alt_entry = match reader.numbers(SPECIAL) {
            Some((name, numbers)) => reader.fact(name, "layout of alternatives", alt_entry(&numbers)),
            None => reader.missing("layout of alternatives"),
        };
        reader.facts.opcodes = reader.opcodes(kernel);
        Some(reader.facts)
    }

    /// The rules of `kernel` with what the tree says otherwise.
    pub fn rules(&self, kernel: Kernel) -> Rules {
        let mut rules = kernel.rules().clone();
        if let Some(names) = &self.noreturn {
            rules.lists.noreturn = names.clone();
        }
        if let Some(names) = &self.uaccess_safe {
            rules.lists.uaccess_safe = names.clone();
        }
        if let Some(rust) = &self.rust_noreturn {
            rules.lists.rust_noreturn = rust.clone();
        }
        rules.layout.hints = self.hints.unwrap_or(rules.layout.hints);
        if let Some(regs) = self.orc_regs {
            rules.layout.orc_regs = regs;
            rules.hints.ax_and_bp_indirect = regs.ax.is_some();
        }
        rules.layout.alt_entry = self.alt_entry.unwrap_or(rules.layout.alt_entry);
        rules.opcodes = self.opcodes.clone();
        rules
    }
}

struct Reader<'a> {
    sources: &'a Path,
    facts: TreeFacts,
}

impl Reader<'_> {
    fn complain(&mut self, name: &str, what: &str) {
        self.facts.problems.push(format!("{}: {what}", self.sources.join(name).display()));
    }

    /// The text of a regular file of usual size, without comments of C. What is not there is no problem.
    fn text(&mut self, name: &str) -> Option<String> {
        self.raw(name).map(|text| without_comments(&text))
    }

    fn raw(&mut self, name: &str) -> Option<String> {
        let path = self.sources.join(name);
        let meta = std::fs::metadata(&path).ok()?;
        if !meta.is_file() || meta.len() > MAX_FILE {
            self.complain(name, "no file of a kernel's sources: too large, or not a file");
            return None;
        }
        let mut bytes = Vec::new();
        match files::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes)) {
            Ok(_) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                self.complain(name, &error.to_string());
                None
            }
        }
    }

    /// The numbers that a header defines.
    fn numbers(&mut self, name: &'static str) -> Option<(&'static str, Numbers)> {
        let text = self.text(name)?;
        Some((name, numbers(&text)))
    }

    fn fact<T>(&mut self, name: &str, what: &'static str, fact: Option<T>) -> Option<T> {
        let file = fact.is_some().then(|| self.sources.join(name));
        if fact.is_none() {
            self.complain(name, &format!("its {what} are not understood; those compiled in are used"));
        }
        self.facts.facts.push(Fact { what, file });
        fact
    }

    fn list(&mut self, name: &str, what: &'static str, names: Option<Vec<String>>) -> Option<Names> {
        let names = names.filter(|names| !names.is_empty() && names.len() <= MAX_NAMES);
        let names = names.map(|names| names.into_iter().map(Cow::Owned).collect::<Vec<_>>().into());
        self.fact(name, what, names)
    }

    /// What the opcode map says otherwise than the release's.
    fn opcodes(&mut self, kernel: Kernel) -> Option<Arc<Opcodes>> {
        const WHAT: &str = "opcode map";
        let Some(text) = self.raw(OPCODES) else { return self.missing(WHAT) };
        let generator = self.raw(OPCODES_GENERATOR);
        match opcode_map::read(&text, generator.as_deref(), kernel) {
            Ok(opcodes) => {
                self.facts.facts.push(Fact { what: WHAT, file: Some(self.sources.join(OPCODES)) });
                opcodes.map(Arc::new)
            }
            Err(why) => {
                self.complain(OPCODES, &format!("{why}; the opcode map that is compiled in is used"));
                self.missing(WHAT)
            }
        }
    }

    fn missing<T>(&mut self, what: &'static str) -> Option<T> {
        self.facts.facts.push(Fact { what, file: None });
        None
    }
}

type Numbers = FxHashMap<String, u64>;

/// The text with a space for each comment.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((code, comment)) = rest.split_once("/*") {
        out.push_str(code);
        out.push(' ');
        rest = comment.split_once("*/").map_or("", |(_, behind)| behind);
    }
    out.push_str(rest);
    out
}

/// `#define NAME NUMBER`, by name.
fn numbers(text: &str) -> Numbers {
    let define = |line: &str| {
        let mut words = line.trim_start().strip_prefix("#define")?.split_whitespace();
        let (name, number) = (words.next()?, words.next()?);
        let number = match number.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        Some((name.to_owned(), number))
    };
    text.lines().filter_map(define).collect()
}

/// A name of C, as symbols have.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 256
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte))
}

/// Each `NORETURN(name)`.
fn noreturns(text: &str) -> Option<Vec<String>> {
    let entry = |line: &str| {
        let name = line.strip_prefix("NORETURN(")?.split_once(')')?.0.trim();
        is_name(name).then(|| name.to_owned())
    };
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("NORETURN(")).collect();
    lines.into_iter().map(entry).collect()
}

/// The strings of the array `name`.
fn strings(text: &str, name: &str) -> Option<Vec<String>> {
    let (_, behind) = text.split_once(&format!("{name}[] = {{"))?;
    let (body, _) = behind.split_once("};")?;
    let strings: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
    strings.into_iter().map(|name| is_name(name).then(|| name.to_owned())).collect()
}

/// The alternatives in `is_rust_noreturn`: each asks for an end or a part of the name, and one asks for several.
fn rust_noreturn(text: &str) -> Option<RustNoreturn> {
    let (_, behind) = text.split_once("is_rust_noreturn(")?;
    let (body, _) = behind.split_once("\n}")?;
    let (_, alternatives) = body.rsplit_once("return")?;
    let (alternatives, _) = alternatives.split_once(';')?;
    let (mut ends, mut contains, mut all): (Vec<Cow<'static, str>>, Vec<_>, Vec<_>) = Default::default();
    for alternative in alternatives.split("||") {
        let tests: Vec<(bool, &str)> = alternative.split("&&").map(rust_test).collect::<Option<_>>()?;
        match *tests.as_slice() {
            [(true, end)] => ends.push(end.to_owned().into()),
            [(false, part)] => contains.push(part.to_owned().into()),
            // One such group is what the rules hold, with its end last.
            [.., (true, _)] if all.is_empty() => all.extend(tests.iter().map(|(_, part)| (*part).to_owned().into())),
            _ => return None,
        }
    }
    Some(RustNoreturn { ends: ends.into(), contains: contains.into(), all: all.into() })
}

/// `str_ends_with(func->name, "...")` or `strstr(func->name, "...")`: whether it is the former, and the string.
fn rust_test(test: &str) -> Option<(bool, &str)> {
    let test = test.trim().trim_matches(|c| c == '(' || c == ')').trim();
    let mut parts = test.split('"');
    let (call, string) = (parts.next()?, parts.next()?);
    let is_end = call.trim_start().starts_with("str_ends_with(");
    ((is_end || call.trim_start().starts_with("strstr(")) && is_name(string)).then_some((is_end, string))
}

fn has_hints(numbers: &Numbers) -> bool {
    numbers.contains_key("UNWIND_HINT_TYPE_CALL")
}

fn byte(numbers: &Numbers, name: &str) -> Option<u8> {
    u8::try_from(*numbers.get(name)?).ok()
}

/// The types that the release knows must all be there, and be different.
fn hint_types(numbers: &Numbers, kernel: Kernel) -> Option<HintTypes> {
    let number = |name: &str| byte(numbers, &format!("UNWIND_HINT_TYPE_{name}")).map(HintNumber);
    let types = HintTypes {
        undefined: number("UNDEFINED"),
        end_of_stack: number("END_OF_STACK"),
        call: number("CALL")?,
        regs: number("REGS")?,
        regs_partial: number("REGS_PARTIAL")?,
        func: number("FUNC")?,
        entry: number("ENTRY"),
        save: number("SAVE")?,
        restore: number("RESTORE")?,
    };
    let known = kernel.rules().layout.hints;
    let alike =
        types.undefined.is_some() == known.undefined.is_some() && types.entry.is_some() == known.entry.is_some();
    let HintTypes { call, regs, regs_partial, func, save, restore, .. } = types;
    let mut all = vec![call, regs, regs_partial, func, save, restore];
    all.extend([types.undefined, types.end_of_stack, types.entry].into_iter().flatten());
    (alike && are_different(&mut all)).then_some(types)
}

fn orc_regs(numbers: &Numbers) -> Option<OrcRegs> {
    // Four bits hold them.
    let number = |name: &str| byte(numbers, &format!("ORC_REG_{name}")).filter(|&number| number < 16);
    let regs = ["PREV_SP", "DX", "DI", "BP", "SP", "R10", "R13", "BP_INDIRECT", "SP_INDIRECT"];
    let found: Vec<u8> = regs.into_iter().map(number).collect::<Option<_>>()?;
    let &[prev_sp, dx, di, bp, sp, r10, r13, bp_indirect, sp_indirect] = found.as_slice() else { return None };
    let ax = number("AX").map(OrcNumber);
    let mut all: Vec<OrcNumber> = found.iter().copied().map(OrcNumber).chain(ax).collect();
    are_different(&mut all).then_some(OrcRegs {
        prev_sp: OrcNumber(prev_sp),
        dx: OrcNumber(dx),
        di: OrcNumber(di),
        bp: OrcNumber(bp),
        sp: OrcNumber(sp),
        r10: OrcNumber(r10),
        r13: OrcNumber(r13),
        bp_indirect: OrcNumber(bp_indirect),
        sp_indirect: OrcNumber(sp_indirect),
        ax,
    })
}

fn are_different<T: Ord + Copy>(values: &mut Vec<T>) -> bool {
    let n = values.len();
    values.sort_unstable();
    values.dedup();
    values.len() == n
}

fn alt_entry(numbers: &Numbers) -> Option<AltEntry> {
    let number = |name: &str| numbers.get(&format!("ALT_{name}")).copied();
    let (size, feature) = (number("ENTRY_SIZE")?, number("FEATURE_OFFSET")?);
    let (orig_len, new_len) = (number("ORIG_LEN_OFFSET")?, number("NEW_LEN_OFFSET")?);
    let feature_len = orig_len.checked_sub(feature)?;
    let known = number("ORIG_OFFSET")? == 0 && number("NEW_OFFSET")? == 4 && feature == 8;
    (known && matches!(feature_len, 2 | 4) && orig_len < size && new_len < size && size <= 64).then_some(AltEntry {
        size,
        feature_len,
        orig_len,
        new_len,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK_C: &str = r#"
static const char * const uaccess_safe_builtin[] = {
	/* KASAN "not a name" */
	"kasan_report",
	"mine",
	NULL
};
static bool is_rust_noreturn(const struct symbol *func)
{
	if (strncmp(func->name, "_R", 2))
		return false;

	return str_ends_with(func->name, "_4core6option13expect_failed")			||
	       strstr(func->name, "_4core9panicking13assert_failed")				||
	       (strstr(func->name, "_4core5slice5index") &&
		strstr(func->name, "slice_") &&
		str_ends_with(func->name, "_fail"));
}
"#;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = tree.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        tree
    }

    #[test]
    fn lists_come_from_the_tree() {
        let tree = tree(&[(CHECK, CHECK_C), (NORETURNS[0], "/* sorted */\nNORETURN(panic)\nNORETURN(my_halt)\n")]);
        let facts = TreeFacts::read(tree.path(), Kernel::V6_12).unwrap();
        let lists = facts.rules(Kernel::V6_12).lists;
        assert_eq!(lists.noreturn.as_ref(), ["panic", "my_halt"]);
        assert_eq!(lists.uaccess_safe.as_ref(), ["kasan_report", "mine"]);
        let rust = lists.rust_noreturn.unwrap();
        assert_eq!(rust.ends.as_ref(), ["_4core6option13expect_failed"]);
        assert_eq!(rust.contains.as_ref(), ["_4core9panicking13assert_failed"]);
        assert_eq!(rust.all.as_ref(), ["_4core5slice5index", "slice_", "_fail"]);
        assert!(facts.problems.is_empty(), "{:?}", facts.problems);
        let compiled_in: Vec<_> = facts.facts.iter().filter(|fact| fact.file.is_none()).map(|fact| fact.what).collect();
        assert_eq!(compiled_in, ["unwind hints", "ORC registers", "layout of alternatives", "opcode map"]);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let tree = tree(&[(CHECK, CHECK_C), (NORETURNS[0], "NORETURN(panic)\n")]);
        let names = || TreeFacts::of(tree.path(), Kernel::V6_12).unwrap().rules(Kernel::V6_12).lists.noreturn;
        assert_eq!(names().as_ref(), ["panic"]);
        std::fs::write(tree.path().join(NORETURNS[0]), "NORETURN(panic)\nNORETURN(my_halt)\n").unwrap();
        assert_eq!(names().as_ref(), ["panic", "my_halt"]);
    }

    #[test]
    fn an_old_tree_has_its_list_in_the_code() {
        let check =
            "static const char * const global_noreturns[] = {\n\"panic\",\n\"do_exit\",\n};\n".to_owned() + CHECK_C;
        let tree = tree(&[(CHECK, &check)]);
        let facts = TreeFacts::read(tree.path(), Kernel::V6_1).unwrap();
        assert_eq!(facts.rules(Kernel::V6_1).lists.noreturn.as_ref(), ["panic", "do_exit"]);
    }

    #[test]
    fn numbers_come_from_the_tree() {
        let orc = "#define ORC_REG_UNDEFINED 0\n#define ORC_REG_AX 1\n#define ORC_REG_DX 2\n#define ORC_REG_SP 3\n\
                   #define ORC_REG_BP 4\n#define ORC_REG_DI 5\n#define ORC_REG_R10 6\n#define ORC_REG_R13 7\n\
                   #define ORC_REG_PREV_SP 8\n#define ORC_REG_SP_INDIRECT 9\n#define ORC_REG_BP_INDIRECT 10\n";
        let special = "#define ALT_ENTRY_SIZE 14\n#define ALT_ORIG_OFFSET 0\n#define ALT_NEW_OFFSET 4\n\
                       #define ALT_FEATURE_OFFSET 8\n#define ALT_ORIG_LEN_OFFSET 12\n#define ALT_NEW_LEN_OFFSET 13\n";
        let tree = tree(&[(ORC, orc), (SPECIAL, special)]);
        let rules = TreeFacts::read(tree.path(), Kernel::V6_18).unwrap().rules(Kernel::V6_18);
        assert_eq!(rules.layout.orc_regs, Kernel::V7_3.rules().layout.orc_regs);
        assert_eq!(rules.layout.alt_entry, Kernel::V6_12.rules().layout.alt_entry);
        assert!(rules.hints.ax_and_bp_indirect);
    }

    #[test]
    fn hostile_files_are_named_and_change_nothing() {
        let endless = "NORETURN(a)\n".repeat(MAX_NAMES + 1);
        let huge = "x".repeat(MAX_FILE as usize + 1);
        let cases = [
            [(NORETURNS[0], "NORETURN(\u{1b}[2J)\n"), (CHECK, "uaccess_safe_builtin[] = {")],
            [(NORETURNS[0], "no list at all"), (CHECK, "/* never closed \" uaccess_safe_builtin[] = { }; ")],
            [(NORETURNS[0], &endless), (CHECK, &huge)],
            [(ORC, "#define ORC_REG_SP 99999999999999999999999\n#define ORC_REG_BP 4"), (CHECK, CHECK_C)],
        ];
        for files in cases {
            let tree = tree(&files);
            let known = Kernel::V6_12.rules();
            let Some(facts) = TreeFacts::read(tree.path(), Kernel::V6_12) else { continue };
            assert!(!facts.problems.is_empty(), "{files:?}");
            let rules = facts.rules(Kernel::V6_12);
            assert_eq!(rules.lists.noreturn, known.lists.noreturn);
            assert_eq!(rules.layout.orc_regs, known.layout.orc_regs);
            assert_eq!(rules.layout.hints, known.layout.hints);
        }
        assert_eq!(TreeFacts::read(Path::new("/nonexistent"), Kernel::V6_12), None);
    }
}
