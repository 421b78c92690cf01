//! What compilers' options are: which are known, whether they take a value, and what becomes of them.
//!
//! In: a word of a command.  Out: [`Fate`].
//! Holds afterwards: a word that is in no table is [`Fate::Unknown`]. A word that is kept neither runs a program nor names
//! a file to write, in any of the compilers that the tables are of, and takes the next word only where its fate says so.
//! Reads like: gcc(1), "Option Summary"; clang's "Command Line Argument Reference" (facts only).

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::program::Family;
use super::SearchKind;

/// What is done with an option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It decides what code is generated, or nothing.
    Keep,
    /// It is spelled like this instead.
    Respell(String),
    /// It can not change code: warnings, diagnostics, dependencies, dumps, linking.
    Drop,
    /// As [`Fate::Drop`], and the next word is its value.
    DropWithValue,
    /// Link time optimisation, which would leave no code in the object.
    Lto,
    /// It takes a value, which may stand behind it: the option, and what stands behind it.
    Valued(Valued, String),
    /// It would run something that is not the compiler's.
    RunsOther,
    /// It names a file to write.
    Writes,
    /// No object comes of it.
    NoObject,
    /// Nobody knows.
    Unknown,
}

/// Options with a value that matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Valued {
    /// `-I` and its like.
    Search(SearchKind),
    /// `-D`
    Define,
    /// `-U`
    Undefine,
    /// `-include`
    Include,
    /// `-isysroot`
    SystemRoot,
    /// `--sysroot`
    Root,
    /// `-x`
    Language,
    /// `--param`
    Parameter,
    /// `-target`
    Target,
    /// `-mllvm`
    Llvm,
    /// `-B`, `--prefix`, `--gcc-toolchain`: where programs are.
    Programs,
    /// `-Xpreprocessor`
    ForPreprocessor,
    /// `-Xassembler`
    ForAssembler,
    /// `-Xclang`
    ForClang,
}

const CODE: &str = include_str!("../../data/code_options.txt");

/// Options that are whole words.
const WORDS: &str = "
    -ansi -pipe -pthread -nostdinc -nostdinc++ -nostdlibinc -nostdlib -nostdlib++ -nostartfiles -nodefaultlibs -nolibc
    -undef -trigraphs -p -pg --coverage -coverage -static -static-pie -static-libgcc -static-libstdc++ -shared
    -shared-libgcc -pie -no-pie -nopie -rdynamic -s -Qunused-arguments -integrated-as -no-integrated-as -traditional-cpp
    -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
";
/// Those whose values are names or numbers, never files.
const NAMED: [&str; 6] = ["-std=", "-stdlib=", "-rtlib=", "--rtlib=", "-unwindlib=", "--unwindlib="];
/// Options without a value that can not change code.
const DROPPED_WORDS: &str = "
    -w -v --verbose -H -Q -Qn -Qy -time -pass-exit-codes -pedantic -pedantic-errors --pedantic -P -MD -MMD -MP -MG -MV
    --write-dependencies --write-user-dependencies -save-temps --save-temps -save-stats --save-stats
    -fverbose-asm -fno-verbose-asm -fpch-deps -fworking-directory -fno-working-directory -mdump-tune-features
";
/// Options that can not change code, by how they begin; what follows belongs to the same word.
const DROPPED_STARTS: [&str; 45] = [
    "-save-temps=",
    "--save-temps=",
    "-save-stats=",
    "--save-stats=",
    "--output=",
    "-time=",
    "-fdump-",
    "-fdiagnostics-",
    "-fno-diagnostics-",
    "-fmessage-length=",
    "-fmax-errors=",
    "-ferror-limit=",
    "-fcolor-diagnostics",
    "-fno-color-diagnostics",
    "-fansi-escape-codes",
    "-fcaret-diagnostics",
    "-fno-caret-diagnostics",
    "-fshow-",
    "-fno-show-",
    "-ftabstop=",
    "-ftemplate-backtrace-limit=",
    "-fmacro-backtrace-limit=",
    "-fconstexpr-backtrace-limit=",
    "-fspell-checking",
    "-fno-spell-checking",
    "-ftrack-macro-expansion",
    "-fno-track-macro-expansion",
    "-fopt-info",
    "-fsave-optimization-record",
    "-fno-save-optimization-record",
    "-foptimization-record-",
    "-fstack-usage",
    "-fcallgraph-info",
    "-ftime-report",
    "-ftime-trace",
    "-fmem-report",
    "-fproc-stat-report",
    "-fcrash-diagnostics",
    "-fno-crash-diagnostics",
    "-fuse-ld=",
    "-fuse-linker-plugin",
    "-fno-use-linker-plugin",
    "-frecord-",
    "-fno-record-",
    "-fcompare-debug",
];
const MORE_DROPPED_STARTS: [&str; 15] = [
    "-fanalyzer",
    "-fno-analyzer",
    "-Wl,",
    "-L",
    "-l",
    "-fpch-instantiate-templates",
    "-fno-pch-timestamp",
    "-fembed-bitcode",
    "-ftree-vectorizer-verbose=",
    "-fsched-verbose=",
    // Where files are is said in full: their lines are looked up.
    "-fdebug-compilation-dir=",
    "-ffile-compilation-dir=",
    "-fdebug-default-version=",
    "-fdebug-macro",
    "-fno-debug-macro",
];
/// Options with a value in the same word or the next one that can not change code.
const DROPPED_VALUED: [&str; 4] = ["-MF", "-MT", "-MQ", "-o"];
/// The same, with a value in the next word only.
const DROPPED_NEXT: [&str; 5] = ["--output", "-dumpbase", "-dumpbase-ext", "-dumpdir", "-Xlinker"];
/// The same, where only Clang knows them.
const DROPPED_NEXT_CLANG: [&str; 6] = [
    "--serialize-diagnostics",
    "-serialize-diagnostics",
    "-index-store-path",
    "-Xanalyzer",
    "-MJ",
    "-fdebug-compilation-dir",
];
const LTO: [&str; 11] = [
    "-flto",
    "-fno-lto",
    "-ffat-lto-objects",
    "-fno-fat-lto-objects",
    "-fwhole-program-vtables",
    "-fsplit-lto-unit",
    "-fno-split-lto-unit",
    "-fvirtual-function-elimination",
    "-fthin-link-bitcode",
    "-fthinlto-index",
    "-funified-lto",
];
const NO_OBJECT: [&str; 11] =
    ["-E", "-S", "-M", "-MM", "-fsyntax-only", "-emit-llvm", "-emit-ast", "-###", "--analyze", "-r", "--precompile"];
/// Named for the sake of the message: what is in no table is refused all the same.
const RUNS_OTHER: [&str; 20] = [
    "-fplugin",
    "--plugin",
    "-iplugindir",
    "-fpass-plugin",
    "-load",
    "-plugin",
    "-add-plugin",
    "-wrapper",
    "-specs",
    "--specs",
    "--config",
    "-config",
    "-ccc-",
    "--offload",
    "-cc1",
    "-fmodule-mapper",
    "--module-mapper",
    "-fopenmp-targets",
    "--ptxas-path",
    "--cuda-path",
];
const WRITES: [&str; 10] = [
    "-aux-info",
    "--aux-info",
    "--output-pch",
    "-fmodules-cache-path",
    "-MJ",
    "-fprofile-note",
    "--profile-note",
    "--dump",
    "-header-include-file",
    "-stats-file",
];
/// Options with a value that matters, by their name: joined to it, behind `=`, or in the next word.
const VALUED: [(&str, Valued); 10] = [
    ("-iquote", Valued::Search(SearchKind::Quote)),
    ("-isystem", Valued::Search(SearchKind::System)),
    ("-idirafter", Valued::Search(SearchKind::After)),
    ("-I", Valued::Search(SearchKind::Plain)),
    ("-D", Valued::Define),
    ("-U", Valued::Undefine),
    ("-include", Valued::Include),
    ("-isysroot", Valued::SystemRoot),
    ("-x", Valued::Language),
    ("-B", Valued::Programs),
];
/// Options with a value in the next word only.
const NEXT: [(&str, Valued, Option<Family>); 9] = [
    ("--param", Valued::Parameter, None),
    ("--sysroot", Valued::Root, None),
    ("-target", Valued::Target, Some(Family::Clang)),
    ("-mllvm", Valued::Llvm, Some(Family::Clang)),
    ("-gcc-toolchain", Valued::Programs, Some(Family::Clang)),
    ("--prefix", Valued::Programs, None),
    ("-Xpreprocessor", Valued::ForPreprocessor, None),
    ("-Xassembler", Valued::ForAssembler, None),
    ("-Xclang", Valued::ForClang, Some(Family::Clang)),
];
/// Options with a value behind `=` only.
const ASSIGNED: [(&str, Valued, Option<Family>); 6] = [
    ("--param=", Valued::Parameter, None),
    ("--sysroot=", Valued::Root, None),
    ("--target=", Valued::Target, Some(Family::Clang)),
    ("-mllvm=", Valued::Llvm, Some(Family::Clang)),
    ("--gcc-toolchain=", Valued::Programs, Some(Family::Clang)),
    ("--prefix=", Valued::Programs, None),
];

struct Code {
    words: HashSet<String>,
    /// What a value may follow, with its `=` or dash.
    starts: HashSet<String>,
}

static KNOWN: LazyLock<Code> = LazyLock::new(|| {
    let mut code = Code { words: HashSet::new(), starts: HashSet::new() };
    let mut letter = 'f';
    for line in CODE.lines().filter(|line| !line.starts_with('#')) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.chars().next()) {
            letter = section;
            continue;
        }
        for name in line.split_whitespace() {
            let (bare, may) = name.strip_suffix("[=]").map_or((name, false), |bare| (bare, true));
            let both = [format!("-{letter}{bare}"), format!("-{letter}no-{bare}")];
            if may {
                code.starts.extend(both.iter().map(|start| format!("{start}=")));
            }
            match bare.ends_with(['=', '-']) {
                true => code.starts.extend(both),
                false => code.words.extend(both),
            }
        }
    }
    code.words.extend(WORDS.split_whitespace().map(str::to_owned));
    code.starts.extend(NAMED.map(str::to_owned));
    code
});

static DROPPED: LazyLock<HashSet<&str>> = LazyLock::new(|| DROPPED_WORDS.split_whitespace().collect());

fn begins(word: &str, with: &[&str]) -> bool {
    with.iter().any(|start| word.starts_with(start))
}

/// What becomes of an option; `-W...` is looked at in full by the caller where it passes something on.
pub(super) fn fate(word: &str, family: Family) -> Fate {
    let fits = |only: &Option<Family>| only.is_none_or(|only| only == family);
    if word == "-fno-lto" {
        return Fate::Drop;
    }
    if begins(word, &LTO) {
        return Fate::Lto;
    }
    if NO_OBJECT.contains(&word) {
        return Fate::NoObject;
    }
    if begins(word, &RUNS_OTHER) {
        return Fate::RunsOther;
    }
    let is_database = family == Family::Clang && word.starts_with("-MJ");
    if begins(word, &WRITES) && !is_database {
        return Fate::Writes;
    }
    if is_database && word != "-MJ" {
        return Fate::Drop;
    }
    if DROPPED.contains(word) || begins(word, &DROPPED_STARTS) || begins(word, &MORE_DROPPED_STARTS) {
        // `-L` and `-l` take the next word when nothing stands behind them.
        return if matches!(word, "-L" | "-l") { Fate::DropWithValue } else { Fate::Drop };
    }
    if DROPPED_NEXT.contains(&word) || (family == Family::Clang && DROPPED_NEXT_CLANG.contains(&word)) {
        return Fate::DropWithValue;
    }
    if let Some((_, valued, _)) = NEXT.iter().find(|(name, _, only)| *name == word && fits(only)) {
        return Fate::Valued(*valued, String::new());
    }
    let assigned = ASSIGNED.iter().filter(|(_, _, only)| fits(only));
    if let Some((valued, value)) =
        assigned.filter_map(|(name, valued, _)| Some((valued, word.strip_prefix(name)?))).next()
    {
        return if value.is_empty() { Fate::Unknown } else { Fate::Valued(*valued, value.to_owned()) };
    }
    if KNOWN.words.contains(word) || (word.starts_with("-O") && is_level(&word[2..])) {
        return Fate::Keep;
    }
    if let Some(rest) = word.strip_prefix("--std=") {
        return Fate::Respell(format!("-std={rest}"));
    }
    if let Some(at) = word.find('=')
        && word.get(..=at).is_some_and(|start| KNOWN.starts.contains(start))
    {
        return Fate::Keep;
    }
    if is_dashed(word) {
        return Fate::Keep;
    }
    if let Some(rest) = word.strip_prefix("-g") {
        return debug(rest);
    }
    if word.starts_with("-W") || (word.starts_with("-d") && !word.starts_with("-dy")) {
        return letters(word);
    }
    if let Some(name) = DROPPED_VALUED.iter().find(|name| word.starts_with(**name)) {
        return if word == *name { Fate::DropWithValue } else { Fate::Drop };
    }
    valued(word)
}

/// `-fcall-saved-rbx`: a name that goes on behind its dash.
fn is_dashed(word: &str) -> bool {
    word.match_indices('-').any(|(at, _)| {
        let (start, rest) = word.split_at(at + 1);
        let is_name = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        !rest.is_empty() && is_name && KNOWN.starts.contains(start)
    })
}

fn is_level(level: &str) -> bool {
    level.len() <= 4 && level.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Debug information changes no code, and what orcls needs of it is asked for behind. Its version is the build's.
fn debug(rest: &str) -> Fate {
    let is_version = rest.strip_prefix("dwarf-").is_some_and(|version| matches!(version, "2" | "3" | "4" | "5"));
    let is_known = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'=' | b'+'));
    // `-gant` and `-gnat...` are Ada's, and `-gcc-...` Clang's.
    let is_other = ["nat", "ant", "cc-"].iter().any(|start| rest.starts_with(start));
    match is_version {
        true => Fate::Keep,
        false if is_known && !is_other => Fate::Drop,
        false => Fate::Unknown,
    }
}

/// Warnings; dumps by letters, of which those that replace the object are refused with the rest.
fn letters(word: &str) -> Fate {
    let is_warning = word.starts_with("-W") && !["-Wa,", "-Wp,"].iter().any(|start| word.starts_with(start));
    let is_dump = word.starts_with("-d") && word.len() <= 8 && word[2..].bytes().all(|byte| byte.is_ascii_alphabetic());
    match word {
        "-dynamic" | "-dwarf" | "-dylib" => Fate::Unknown,
        _ if is_warning || is_dump => Fate::Drop,
        _ => Fate::Unknown,
    }
}

fn valued(word: &str) -> Fate {
    for (name, valued) in VALUED {
        let Some(rest) = word.strip_prefix(name) else {
            continue;
        };
        // Longer names begin alike, and what follows them is not this option's value.
        let is_longer = match name {
            "-isystem" | "-include" => rest.starts_with(['-', '=']),
            "-I" | "-D" | "-U" | "-B" => rest.starts_with('-'),
            _ => false,
        };
        return if is_longer { Fate::Unknown } else { Fate::Valued(valued, rest.to_owned()) };
    }
    Fate::Unknown
}

/// `name=value` of `--param`: a number or a name, never a file.
pub(super) fn is_parameter(value: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    value.split_once('=').is_some_and(|(name, value)| is_name(name) && is_name(value) && !name.starts_with('-'))
}

/// An option of LLVM that tunes a sanitizer or the code generator. LLVM has hundreds of others that print, dump and run.
pub(super) fn is_llvm_option(value: &str) -> bool {
    const FAMILIES: [&str; 6] = ["asan-", "hwasan-", "tsan-", "msan-", "sanitizer-coverage-", "ubsan-"];
    const NAMES: [&str; 16] = [
        "inline-threshold",
        "inlinehint-threshold",
        "inlinecold-threshold",
        "align-all-functions",
        "align-all-blocks",
        "warn-stack-size",
        "disable-tail-calls",
        "vectorize-loops",
        "vectorize-slp",
        "import-instr-limit",
        "enable-fs-discriminator",
        "improved-fs-discriminator",
        "instcombine-lower-dbg-declare",
        "split-threshold-for-reg-with-hint",
        "unroll-threshold",
        "force-vector-width",
    ];
    let Some(option) = value.strip_prefix("--").or_else(|| value.strip_prefix('-')) else {
        return false;
    };
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_known = FAMILIES.iter().any(|family| name.starts_with(family)) || NAMES.contains(&name);
    is_known && is_plain(name) && is_plain(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_with_and_without_no() {
        for word in [
            "-fno-strict-aliasing",
            "-fcf-protection=none",
            "-fcf-protection",
            "-mcmodel=kernel",
            "-mno-sse4.1",
            "-m64",
            "-fstack-protector-strong",
            "-fcall-saved-rbx",
            "-O2",
            "-Os",
            "-O",
            "-std=gnu11",
            "-gdwarf-5",
            "-finline-limit-9",
        ] {
            assert_eq!(fate(word, Family::Gcc), Fate::Keep, "{word}");
        }
        for word in
            ["-fno-plugin-x", "-fnew-thing", "-mnew", "-Tbss", "-u", "-z", "-F", "--x", "-J", "-R", "-h", "-Xf", "-"]
        {
            assert_eq!(fate(word, Family::Gcc), Fate::Unknown, "{word}");
        }
        for word in ["-Wall", "-Wno-x=1", "-g", "-g3", "-ggdb3", "-gz=zlib", "-dA", "-MD", "-MFx", "-ox", "-Lx", "-lm"]
        {
            assert_eq!(fate(word, Family::Clang), Fate::Drop, "{word}");
        }
    }

    #[test]
    fn no_name_of_the_tables_takes_the_next_word() {
        for word in KNOWN.words.iter().chain(&KNOWN.starts) {
            assert!(word.starts_with('-') && !word.contains(char::is_whitespace), "{word}");
            assert!(!begins(word, &RUNS_OTHER) && !begins(word, &WRITES), "{word}");
        }
    }

    #[test]
    fn only_tuning_options_of_llvm_are_known() {
        assert!(is_llvm_option("-asan-stack=1") && is_llvm_option("-tsan-distinguish-volatile=1"));
        for value in
            ["-load=x", "-exec-on-ir-change=x", "-info-output-file=x", "-asan-x=/tmp/y", "asan-x", "-debug-only=x"]
        {
            assert!(!is_llvm_option(value), "{value}");
        }
    }
}
