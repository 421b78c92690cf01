//! Makes a build's compile command safe to run on a text that is being typed.
//!
//! In: the build's arguments.  Out: [`Arguments`]: those that decide what code is generated, and where headers come from.
//! Holds afterwards: nothing that runs another program and nothing that names an output file is left; what generates
//! code is as the build has it, but for link time optimisation, which would leave no code in the object.
//! Reads like: gcc(1), "Option Summary"; clang's "Command Line Argument Reference"; as(1).
//!
//! | case | option | what is done |
//! |---|---|---|
//! | 1 | runs code of somebody else: plugins, wrappers, other specs, other programs, argument files | the command is refused |
//! | 2 | names a place to write to: `-o`, dependencies, dumps, split debug info, listings | left out |
//! | 3 | link time optimisation | left out |
//! | 4 | does not compile to an object: `-E`, `-S`, `-fsyntax-only` | the command is refused |
//! | 5 | where headers are: `-I` and its like | kept, and remembered |
//! | 6 | passed on to other programs in a way that may name a file to write | the command is refused |
//! | 7 | everything else | kept |

use std::path::Path;

/// Why a command is not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The command is empty.
    #[error("the command is empty")]
    Empty,
    /// Its program has no compiler's name.
    #[error("`{0}` is not the name of a compiler")]
    NotCompiler(String),
    /// Its program may not be run.
    #[error("`{0}` is neither on PATH nor among orcls.compilers")]
    NotAllowed(String),
    /// Its program is not there.
    #[error("`{0}` is not on PATH")]
    NotFound(String),
    /// An option would run another program.
    #[error("`{0}` would run a program or code that is not the compiler's")]
    RunsOther(String),
    /// An option may name a file to write, in a way that is not told apart from harmless ones.
    #[error("`{0}` may write a file")]
    MayWrite(String),
    /// An option takes a value and none follows.
    #[error("`{0}` has no value")]
    NoValue(String),
    /// It does not compile to an object.
    #[error("it does not compile one file to an object (`{0}`)")]
    NoObject(String),
    /// The source file is not one of its arguments.
    #[error("it does not name the source file")]
    NoSource,
}

/// Which list of folders a search option adds to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchKind {
    /// `-iquote`
    Quote,
    /// `-I`
    Plain,
    /// `-isystem`
    System,
    /// `-idirafter`
    After,
}

impl SearchKind {
    /// The option.
    pub fn flag(self) -> &'static str {
        match self {
            SearchKind::Quote => "-iquote",
            SearchKind::Plain => "-I",
            SearchKind::System => "-isystem",
            SearchKind::After => "-idirafter",
        }
    }
}

/// One argument of the safe command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// As it is.
    Word(String),
    /// A folder in which headers are searched.
    Search(SearchKind, String),
    /// The source file, as the command spells it.
    Source(String),
}

/// A safe command without its program and its output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arguments {
    /// In the order of the build.
    pub list: Vec<Argument>,
    /// The source file, as the command spells it.
    pub source: String,
    /// `-fmacro-prefix-map` and `-ffile-prefix-map`: old and new beginnings of `__FILE__`, the last one wins.
    pub macro_prefixes: Vec<(String, String)>,
    /// Link time optimisation was left out.
    pub without_lto: bool,
}

/// What to do with an option; the number says how many further arguments belong to it.
enum Fate {
    Keep(usize),
    Drop(usize),
    Refuse,
    MayWrite,
    NoObject,
    Search(SearchKind),
}

/// Options with a value in the next argument that neither name an output nor run anything.
const WITH_VALUE: &[&str] = &[
    "-x",
    "-D",
    "-U",
    "-A",
    "-include",
    "-imacros",
    "-iprefix",
    "-iwithprefix",
    "-iwithprefixbefore",
    "-isysroot",
    "-imultilib",
    "--param",
    "-target",
    "--target",
    "-arch",
    "-cxx-isystem",
    "-resource-dir",
    "--sysroot",
    "-working-directory",
    "-include-pch",
    "-ivfsoverlay",
    "-G",
];
/// Options with a value in the next argument that name an output or matter to the linker only.
const DROPPED_WITH_VALUE: &[&str] = &[
    "-o",
    "--output",
    "-MF",
    "-MT",
    "-MQ",
    "-MJ",
    "-aux-info",
    "-dumpbase",
    "-dumpbase-ext",
    "-dumpdir",
    "-Xlinker",
    "-L",
    "-l",
    "-T",
    "-u",
    "-z",
    "-e",
    "-serialize-diagnostics",
    "--serialize-diagnostics",
    "-index-store-path",
    "-gen-cdb-fragment-path",
    "-dependency-dot",
];
/// Options that name an output or matter to the linker only, by how they begin.
const DROPPED: &[&str] = &[
    "-MD",
    "-MMD",
    "-MP",
    "-MG",
    "-MV",
    "-MF",
    "-MT",
    "-MQ",
    "-MJ",
    "-save-temps",
    "--save-temps",
    "-save-stats",
    "--save-stats",
    "--output=",
    "--write-",
    "-time",
    "-fproc-stat-report",
    "-fmodule-output",
    "-gsplit-dwarf",
    "-fdump-",
    "-fstack-usage",
    "-fcallgraph-info",
    "-fprofile-note=",
    "-fopt-info",
    "-fsave-optimization-record",
    "-foptimization-record",
    "-ftime-trace",
    "-fcrash-diagnostics-dir",
    "-fdiagnostics-format",
    "-fdiagnostics-add-output",
    "-ftime-report",
    "-fmem-report",
    "-fuse-ld",
    "-fuse-linker-plugin",
    "-fno-use-linker-plugin",
    "-Wl,",
    "-fcompare-debug",
    "-fdiagnostics-set-output",
];
/// Options of link time optimisation, by how they begin.
const LTO: &[&str] = &[
    "-flto",
    "-ffat-lto-objects",
    "-fno-fat-lto-objects",
    "-fwhole-program-vtables",
    "-fsplit-lto-unit",
    "-fno-split-lto-unit",
    "-fvirtual-function-elimination",
    "-fthin-link-bitcode",
    "-fthinlto-index",
];
/// Options that run code which is not the compiler's, by how they begin.
const RUNS_OTHER: &[&str] = &[
    "-fplugin",
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
    "-B",
    "--prefix",
    "-ccc-",
    "-gcc-toolchain",
    "--gcc-toolchain",
    "--gcc-install-dir",
    "--gcc-triple",
    "--offload",
    "-cc1",
    "-fmodule-mapper",
];
/// Options that hand others on, or name files to write, by how they begin.
const MAY_WRITE: &[&str] = &["--for-assembler", "--for-linker", "--dump", "-header-include-file", "-split-dwarf-"];
/// What an option of a compiler's inner parts has in its name when it names a file to write.
const NAMES_A_FILE: &[&str] =
    &["file", "output", "directory", "path", "dump", "dot-", "view-", "log", "trace", "stats"];

fn begins(word: &str, with: &[&str]) -> bool {
    with.iter().any(|start| word.starts_with(start))
}

fn fate(word: &str) -> Fate {
    if word.starts_with('@') || begins(word, RUNS_OTHER) {
        return Fate::Refuse;
    }
    if begins(word, MAY_WRITE) {
        return Fate::MayWrite;
    }
    for kind in [SearchKind::Quote, SearchKind::System, SearchKind::After, SearchKind::Plain] {
        if word.starts_with(kind.flag()) {
            return Fate::Search(kind);
        }
    }
    match word {
        "-E" | "-S" | "-M" | "-MM" | "-fsyntax-only" | "-emit-llvm" | "-emit-ast" | "-###" | "--analyze" | "-r" => {
            Fate::NoObject
        }
        _ if DROPPED_WITH_VALUE.contains(&word) => Fate::Drop(1),
        _ if WITH_VALUE.contains(&word) => Fate::Keep(1),
        _ if word.starts_with("-o") || begins(word, DROPPED) || begins(word, LTO) => Fate::Drop(0),
        // `-dA`, `-dP`: comments and dumps.
        _ if word.starts_with("-d") && !word.starts_with("-dwarf") => Fate::Drop(0),
        _ => Fate::Keep(0),
    }
}

/// Sorts the arguments `words` (without the program) of a command that runs in `directory` and compiles `source`.
pub fn sort(words: &[String], directory: &Path, source: &Path) -> Result<Arguments, Refusal> {
    let mut sorted =
        Arguments { list: Vec::new(), source: String::new(), macro_prefixes: Vec::new(), without_lto: false };
    let mut compiles = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| Refusal::NoValue(word.clone()));
        if !word.starts_with(['-', '@']) {
            if !is_source(word, directory, source) || !sorted.source.is_empty() {
                return Err(Refusal::NoObject(word.clone()));
            }
            sorted.source.clone_from(word);
            sorted.list.push(Argument::Source(word.clone()));
            continue;
        }
        match word.as_str() {
            "-c" => compiles = true,
            "-Xclang" | "-mllvm" | "-Xpreprocessor" | "-Xassembler" => {
                let passed = value()?;
                let list = std::slice::from_ref(passed);
                let inner = matches!(word.as_str(), "-Xclang" | "-mllvm") && passed.starts_with('-');
                if inner && NAMES_A_FILE.iter().any(|part| passed.contains(part)) {
                    return Err(Refusal::MayWrite(passed.clone()));
                }
                let kept = if word == "-Xassembler" { assembler(list)? } else { preprocessor(list)? };
                sorted.keep(kept.into_iter().flat_map(|passed| [word.clone(), passed]));
            }
            _ if word.starts_with("-Wp,") => sorted.keep(joined("-Wp", &preprocessor(&pieces(word))?)),
            _ if word.starts_with("-Wa,") => sorted.keep(joined("-Wa", &assembler(&pieces(word))?)),
            _ => match fate(word) {
                Fate::Refuse => return Err(Refusal::RunsOther(word.clone())),
                Fate::MayWrite => return Err(Refusal::MayWrite(word.clone())),
                Fate::NoObject => return Err(Refusal::NoObject(word.clone())),
                Fate::Search(kind) => {
                    let joined = word.get(kind.flag().len()..).unwrap_or_default();
                    let folder = if joined.is_empty() { value()?.clone() } else { joined.to_owned() };
                    sorted.list.push(Argument::Search(kind, folder));
                }
                Fate::Drop(n_values) => {
                    sorted.without_lto |= begins(word, LTO);
                    if n_values == 1 {
                        value()?;
                    }
                }
                Fate::Keep(n_values) => {
                    sorted.remember_prefix(word);
                    sorted.keep([word.clone()]);
                    if n_values == 1 {
                        let value = value()?.clone();
                        sorted.keep([value]);
                    }
                }
            },
        }
    }
    if sorted.source.is_empty() {
        return Err(Refusal::NoSource);
    }
    if let Some(root) = sorted.foreign_assembler() {
        return Err(Refusal::RunsOther(root));
    }
    if !compiles {
        return Err(Refusal::NoObject("no -c".to_owned()));
    }
    Ok(sorted)
}

impl Arguments {
    fn keep(&mut self, words: impl IntoIterator<Item = String>) {
        self.list.extend(words.into_iter().map(Argument::Word));
    }

    /// A folder in which clang looks for a toolchain of which it would run the assembler.
    fn foreign_assembler(&self) -> Option<String> {
        let words = || {
            self.list.iter().filter_map(|argument| match argument {
                Argument::Word(word) => Some(word),
                Argument::Search(..) | Argument::Source(_) => None,
            })
        };
        let outside = words().any(|word| matches!(word.as_str(), "-no-integrated-as" | "-fno-integrated-as"));
        words().find(|word| outside && word.starts_with("--sysroot")).cloned()
    }

    fn remember_prefix(&mut self, word: &str) {
        let map = word.strip_prefix("-fmacro-prefix-map=").or_else(|| word.strip_prefix("-ffile-prefix-map="));
        if let Some((old, new)) = map.and_then(|map| map.split_once('=')) {
            self.macro_prefixes.push((old.to_owned(), new.to_owned()));
        }
    }

    /// `__FILE__` in a file that the command line leads to under this name.
    pub fn macro_name(&self, name: &str) -> String {
        let hit = self.macro_prefixes.iter().rev().find_map(|(old, new)| Some((name.strip_prefix(old.as_str())?, new)));
        hit.map_or(name.to_owned(), |(rest, new)| format!("{new}{rest}"))
    }
}

fn is_source(word: &str, directory: &Path, source: &Path) -> bool {
    let path = directory.join(word);
    path == source || path.canonicalize().ok().is_some_and(|path| source.canonicalize().ok() == Some(path))
}

fn pieces(word: &str) -> Vec<String> {
    word.split(',').skip(1).map(str::to_owned).collect()
}

fn joined(option: &str, pieces: &[String]) -> Option<String> {
    (!pieces.is_empty()).then(|| format!("{option},{}", pieces.join(",")))
}

/// What may be passed to the preprocessor or to clang itself. `-MD` and `-MMD` take a file there.
fn preprocessor(pieces: &[String]) -> Result<Vec<String>, Refusal> {
    let mut kept = Vec::new();
    let mut rest = pieces.iter();
    while let Some(piece) = rest.next() {
        match piece.as_str() {
            "-MD" | "-MMD" | "-MF" | "-MT" | "-MQ" | "-o" => {
                rest.next();
            }
            _ => match fate(piece) {
                Fate::Refuse => return Err(Refusal::RunsOther(piece.clone())),
                Fate::MayWrite => return Err(Refusal::MayWrite(piece.clone())),
                Fate::Drop(_) => {}
                _ => kept.push(piece.clone()),
            },
        }
    }
    Ok(kept)
}

/// What may be passed to the assembler: no listings (`-a...`), no dependencies, no other output. It takes one dash for
/// two, unambiguous beginnings for names, and several letters behind one dash.
fn assembler(pieces: &[String]) -> Result<Vec<String>, Refusal> {
    const WITH_REST: [char; 6] = ['m', 'I', 'g', 'O', 'D', 'Q'];
    const NAMES: [&str; 2] = ["nocpp", "no-pad-sections"];
    let mut kept = Vec::new();
    let mut rest = pieces.iter();
    while let Some(piece) = rest.next() {
        let name = piece.strip_prefix("--").or_else(|| piece.strip_prefix('-')).unwrap_or_default();
        let letters = !piece.starts_with("--") && !name.starts_with(WITH_REST) && !NAMES.contains(&name);
        match name {
            _ if piece.starts_with('@') => return Err(Refusal::RunsOther(piece.clone())),
            "o" | "MD" => {
                rest.next();
            }
            "M" if piece == "--M" => {
                rest.next();
            }
            "alternate" => kept.push(piece.clone()),
            _ if ["a", "MD=", "M="].iter().any(|start| name.starts_with(start)) => {}
            _ if letters && name.starts_with('o') => {}
            _ if letters && name.contains(['a', 'o', '=']) => return Err(Refusal::MayWrite(piece.clone())),
            _ => kept.push(piece.clone()),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(command: &str) -> Result<Arguments, Refusal> {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        sort(&words, Path::new("/build"), Path::new("/build/a.c"))
    }

    #[track_caller]
    fn check(command: &str, kept: &str) {
        let words = sorted(command).expect("the command is safe").list.into_iter().map(|argument| match argument {
            Argument::Word(word) => word,
            Argument::Search(kind, folder) => format!("{}{folder}", kind.flag()),
            Argument::Source(source) => format!("<{source}>"),
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), kept);
    }

    #[test]
    fn case_1_what_would_run_other_code_is_refused() {
        let options = [
            "-fplugin=./evil.so",
            "-fplugin-arg-evil-x=1",
            "-wrapper sh,-c",
            "@arguments",
            "-B/evil/",
            "-B /evil",
            "-specs=evil",
            "--specs=evil",
            "--config evil.cfg",
            "-fpass-plugin=evil.so",
            "-Xclang -load",
            "-mllvm -load=evil.so",
            "-Xclang -fpass-plugin=evil.so",
            "-Wp,-fplugin=evil.so",
            "-Wa,@evil",
            "-Xassembler @evil",
            "--gcc-toolchain=/evil",
            "--prefix=/evil",
            "-cc1",
            "-fmodule-mapper=|sh",
            "-no-integrated-as --sysroot=/evil",
        ];
        for option in options {
            let refused = sorted(&format!("{option} -c a.c"));
            assert!(matches!(refused, Err(Refusal::RunsOther(_))), "{option}: {refused:?}");
        }
    }

    #[test]
    fn case_2_outputs_are_left_out() {
        check("-Wp,-MMD,.a.o.d -O2 -c -o a.o a.c", "-O2 <a.c>");
        check("-Wp,-MD,.a.o.d,-D_FORTIFY_SOURCE=2 -c -oa.o a.c", "-Wp,-D_FORTIFY_SOURCE=2 <a.c>");
        check("-MD -MF x.d -MT x -MQ y -MP -c a.c", "<a.c>");
        check("-save-temps=obj -fdump-tree-all -dumpdir x -gsplit-dwarf -fstack-usage -dA -c a.c", "<a.c>");
        check("-Wa,-aln=list,--noexecstack -Wa,-o,x -Wl,-z,now -c a.c", "-Wa,--noexecstack <a.c>");
        check("-Wa,--al=list -Wa,-MD,x -Wa,--MD=x,-L -Wa,--M,x -Wa,-ox -c a.c", "-Wa,-L <a.c>");
        check("--output=x --write-dependencies -time=x -save-stats=obj -c a.c", "<a.c>");
        check(
            "-Xclang -target-feature -Xassembler --noexecstack -c a.c",
            "-Xclang -target-feature -Xassembler --noexecstack <a.c>",
        );
    }

    #[test]
    fn case_3_link_time_optimisation_is_left_out_and_known() {
        check("-flto=thin -fsplit-lto-unit -O2 -c a.c", "-O2 <a.c>");
        assert_eq!(sorted("-flto -c a.c").map(|a| a.without_lto), Ok(true));
        assert_eq!(sorted("-O2 -c a.c").map(|a| a.without_lto), Ok(false));
    }

    #[test]
    fn case_4_what_makes_no_object_is_refused() {
        for command in ["-E -c a.c", "-S a.c", "a.c", "-c a.c b.c", "-fsyntax-only -c a.c", "-c a.c a.c"] {
            assert!(matches!(sorted(command), Err(Refusal::NoObject(_))), "{command}");
        }
        assert_eq!(sorted("-c -O2"), Err(Refusal::NoSource));
        assert_eq!(sorted("-c a.c -include"), Err(Refusal::NoValue("-include".to_owned())));
    }

    #[test]
    fn case_5_folders_of_headers_are_known() {
        check("-I a -Ib -iquote c -isystem d -idirafter e -c a.c", "-Ia -Ib -iquotec -isystemd -idiraftere <a.c>");
    }

    #[test]
    fn case_6_what_may_write_is_refused() {
        let options = [
            "-Wa,-La=list",
            "-Wa,-Kox",
            "--for-assembler=-a=list",
            "-Xclang -header-include-file -Xclang x",
            "-Xclang -stats-file=x",
            "-mllvm -info-output-file=x",
            "--dump=a",
        ];
        for option in options {
            let refused = sorted(&format!("{option} -c a.c"));
            assert!(matches!(refused, Err(Refusal::MayWrite(_))), "{option}: {refused:?}");
        }
        check(
            "-mllvm -asan-stack=1 -Wa,-mtune=generic,-gdwarf-5 -c a.c",
            "-mllvm -asan-stack=1 -Wa,-mtune=generic,-gdwarf-5 <a.c>",
        );
    }

    #[test]
    fn case_7_values_stay_with_their_options() {
        check("-include x.h -D -c -x c -c /build/a.c", "-include x.h -D -c -x c </build/a.c>");
    }

    #[test]
    fn the_last_prefix_map_names_a_file() {
        let arguments = sorted("-fmacro-prefix-map=/src/= -ffile-prefix-map=/src/a=x -c a.c").expect("safe");
        assert_eq!(arguments.macro_name("/src/b.h"), "b.h");
        assert_eq!(arguments.macro_name("/src/a/b.h"), "x/b.h");
        assert_eq!(arguments.macro_name("/other/b.h"), "/other/b.h");
    }
}
