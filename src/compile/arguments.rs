//! Makes a build's compile command safe to run on a text that is being typed.
//!
//! In: the build's arguments, whose compiler they are for.  Out: [`Arguments`]: those that decide what code is generated,
//! and where headers come from, in a spelling of orcls's own.
//! Holds afterwards: every word is of an option that is known to run no program and to write no file, and its value stands
//! in it or behind it as the compiler will read it; what generates code is as the build has it, but for link time
//! optimisation, which would leave no code in the object.
//! Reads like: gcc(1), "Option Summary"; clang's "Command Line Argument Reference"; as(1).
//!
//! | case | option | what is done |
//! |---|---|---|
//! | 1 | runs code of somebody else: plugins, wrappers, other specs, other programs, argument files | the command is refused |
//! | 2 | can not change code: outputs, dependencies, dumps, warnings, debug information, linking | left out |
//! | 3 | link time optimisation | left out |
//! | 4 | does not compile one C, C++ or assembly file to an object | the command is refused |
//! | 5 | where headers are: `-I` and its like | kept, and remembered |
//! | 6 | names a file to write, or is not known | the command is refused |
//! | 7 | known to change code only | kept |
//! | 8 | passed on to other programs | the same, by those programs' own tables (`passed`) |
//!
//! No value may begin with `@`, which compilers take for a file of more arguments wherever it stands, nor with `-`.

mod passed;
mod tables;

use std::path::Path;

use super::program::{Family, is_of_distribution};
use super::refusal::Refusal;
use tables::{Fate, Valued};

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
    /// A file that is included before the source.
    Include(String),
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
    /// Its language.
    pub language: Language,
    /// `-fmacro-prefix-map` and `-ffile-prefix-map`: old and new beginnings of `__FILE__`, the last one wins.
    pub macro_prefixes: Vec<(String, String)>,
    /// Link time optimisation was left out.
    pub without_lto: bool,
}

/// What a file's name says about its language, as far as orcls compiles it.
const SUFFIXES: [(&str, Language); 12] = [
    ("c", Language::C),
    ("cc", Language::Cxx),
    ("cp", Language::Cxx),
    ("cxx", Language::Cxx),
    ("cpp", Language::Cxx),
    ("CPP", Language::Cxx),
    ("c++", Language::Cxx),
    ("C", Language::Cxx),
    ("S", Language::Preprocessed),
    ("sx", Language::Preprocessed),
    ("s", Language::Assembly),
    ("asm", Language::Assembly),
];

/// A language that is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// `c`
    C,
    /// `c++`
    Cxx,
    /// `assembler-with-cpp`
    Preprocessed,
    /// `assembler`
    Assembly,
}

impl Language {
    fn named(name: &str) -> Option<Language> {
        match name {
            "c" => Some(Language::C),
            "c++" => Some(Language::Cxx),
            "assembler-with-cpp" => Some(Language::Preprocessed),
            "assembler" => Some(Language::Assembly),
            _ => None,
        }
    }
}

/// Sorts the arguments `words` (without the program) of a command that runs in `directory` and compiles `source`.
pub fn sort(words: &[String], family: Family, directory: &Path, source: &Path) -> Result<Arguments, Refusal> {
    let mut sorter = Sorter {
        family,
        directory,
        source,
        language: None,
        compiles: false,
        precompiled: None,
        sorted: Arguments {
            list: Vec::new(),
            source: String::new(),
            language: Language::C,
            macro_prefixes: Vec::new(),
            without_lto: false,
        },
    };
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        sorter.take(word, &mut words)?;
    }
    sorter.finish()
}

struct Sorter<'a> {
    family: Family,
    directory: &'a Path,
    source: &'a Path,
    /// What `-x` says, for the files behind it.
    language: Option<Language>,
    compiles: bool,
    /// A precompiled header that was left out, and for which its text has to be included.
    precompiled: Option<String>,
    sorted: Arguments,
}

impl Sorter<'_> {
    fn take<'b>(
        &mut self,
        word: &'b str,
        words: &mut std::iter::Peekable<impl Iterator<Item = &'b str>>,
    ) -> Result<(), Refusal> {
        if word.starts_with('@') {
            return Err(Refusal::RunsOther(word.to_owned()));
        }
        if !word.starts_with('-') {
            return self.file(word);
        }
        if word == "-c" || word == "--compile" {
            self.compiles = true;
            return Ok(());
        }
        for (start, kind) in [("-Wp,", Valued::ForPreprocessor), ("-Wa,", Valued::ForAssembler)] {
            if let Some(list) = word.strip_prefix(start) {
                return self.pass_on(kind, &list.split(',').collect::<Vec<_>>());
            }
        }
        let specs = word.strip_prefix("-specs=").or_else(|| word.strip_prefix("--specs="));
        if self.family == Family::Gcc && specs.is_some_and(is_system_file) {
            self.keep(word);
            return Ok(());
        }
        match tables::fate(word, self.family) {
            Fate::Keep => self.keep(word),
            Fate::Respell(word) => self.keep(&word),
            Fate::Drop => {}
            Fate::DropWithValue => drop(next(word, words)?),
            Fate::Lto => self.sorted.without_lto = true,
            Fate::RunsOther => return Err(Refusal::RunsOther(word.to_owned())),
            Fate::Writes => return Err(Refusal::MayWrite(word.to_owned())),
            Fate::NoObject => return Err(Refusal::NoObject(word.to_owned())),
            Fate::Unknown => return Err(Refusal::Unknown(word.to_owned())),
            Fate::Valued(kind @ (Valued::ForPreprocessor | Valued::ForAssembler | Valued::ForClang), _) => {
                // An option and its value are passed on by one such pair each.
                let mut pieces = vec![next(word, words)?];
                while words.peek() == Some(&word) {
                    words.next();
                    pieces.push(next(word, words)?);
                }
                return self.pass_on(kind, &pieces);
            }
            Fate::Valued(kind, joined) => {
                let value = if joined.is_empty() { next(word, words)? } else { &joined };
                return self.value(word, kind, value);
            }
        }
        Ok(())
    }

    fn file(&mut self, word: &str) -> Result<(), Refusal> {
        if !is_source(word, self.directory, self.source) || !self.sorted.source.is_empty() {
            return Err(Refusal::NoObject(word.to_owned()));
        }
        let suffix = Path::new(word).extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
        let by_name = SUFFIXES.iter().find(|(name, _)| *name == suffix).map(|(_, language)| *language);
        let language = self.language.or(by_name).ok_or_else(|| Refusal::NoObject(word.to_owned()))?;
        self.sorted.language = language;
        self.sorted.source = word.to_owned();
        self.sorted.list.push(Argument::Source(word.to_owned()));
        Ok(())
    }

    fn keep(&mut self, word: &str) {
        self.remember_prefix(word);
        self.sorted.list.push(Argument::Word(word.to_owned()));
    }

    fn value(&mut self, word: &str, kind: Valued, value: &str) -> Result<(), Refusal> {
        let bad = || Refusal::BadValue(value.to_owned());
        if value.is_empty() || value.starts_with(['@', '-']) && kind != Valued::Llvm || value.contains('\0') {
            return Err(bad());
        }
        let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        match kind {
            Valued::Search(kind) => self.sorted.list.push(Argument::Search(kind, value.to_owned())),
            Valued::Define => self.keep(&format!("-D{value}")),
            Valued::Undefine => self.keep(&format!("-U{value}")),
            Valued::Include => self.sorted.list.push(Argument::Include(value.to_owned())),
            Valued::SystemRoot => self.pair("-isysroot", value),
            Valued::Root => self.keep(&format!("--sysroot={value}")),
            Valued::Language => {
                self.language = Some(Language::named(value).ok_or_else(|| Refusal::NoObject(format!("-x {value}")))?);
                self.keep(&format!("-x{value}"));
            }
            Valued::Parameter if tables::is_parameter(value) => self.keep(&format!("--param={value}")),
            Valued::Target if is_name(value) => self.keep(&format!("--target={value}")),
            Valued::Llvm if tables::is_llvm_option(value) => self.pair("-mllvm", value),
            Valued::Llvm => return Err(Refusal::Unknown(format!("-mllvm {value}"))),
            Valued::Programs if is_of_system(Path::new(value)) => match word {
                _ if word.contains("gcc-toolchain") => self.keep(&format!("--gcc-toolchain={value}")),
                _ => self.keep(&format!("-B{value}")),
            },
            Valued::Programs => return Err(Refusal::RunsOther(format!("{word} {value}"))),
            Valued::Parameter | Valued::Target => return Err(bad()),
            Valued::ForPreprocessor | Valued::ForAssembler | Valued::ForClang => {}
        }
        Ok(())
    }

    /// An option whose value stands behind it. Both are checked, and their arity is the compiler's.
    fn pair(&mut self, option: &str, value: &str) {
        self.sorted.list.extend([option, value].map(|word| Argument::Word(word.to_owned())));
    }

    fn pass_on(&mut self, kind: Valued, pieces: &[&str]) -> Result<(), Refusal> {
        if let Some(file) = pieces.iter().find(|piece| piece.starts_with('@')) {
            return Err(Refusal::RunsOther((*file).to_owned()));
        }
        match kind {
            Valued::ForPreprocessor => {
                passed::preprocessor(pieces)?.iter().for_each(|word| self.keep(&format!("-Wp,{word}")));
            }
            Valued::ForAssembler => {
                passed::assembler(pieces)?.iter().for_each(|word| self.keep(&format!("-Wa,{word}")));
            }
            _ => {
                for passed in passed::clang(pieces)? {
                    match passed {
                        passed::ForClang::Words(words) => words.iter().for_each(|word| self.pair("-Xclang", word)),
                        passed::ForClang::Include(file) => self.sorted.list.push(Argument::Include(file)),
                        passed::ForClang::Precompiled(file) => self.precompiled = Some(file),
                    }
                }
            }
        }
        Ok(())
    }

    fn remember_prefix(&mut self, word: &str) {
        let map = word.strip_prefix("-fmacro-prefix-map=").or_else(|| word.strip_prefix("-ffile-prefix-map="));
        if let Some((old, new)) = map.and_then(|map| map.split_once('=')) {
            self.sorted.macro_prefixes.push((old.to_owned(), new.to_owned()));
        }
    }

    fn finish(self) -> Result<Arguments, Refusal> {
        let sorted = self.sorted;
        if sorted.source.is_empty() {
            return Err(Refusal::NoSource);
        }
        if let Some(root) = sorted.foreign_assembler() {
            return Err(Refusal::RunsOther(root));
        }
        // Beside a precompiled header stands its text, which is included when it can not be read.
        let has_text = sorted.list.iter().any(|argument| matches!(argument, Argument::Include(_)));
        if let Some(file) = self.precompiled.filter(|_| !has_text) {
            return Err(Refusal::Unknown(format!("-include-pch {file}")));
        }
        if !self.compiles {
            return Err(Refusal::NoObject("no -c".to_owned()));
        }
        Ok(sorted)
    }
}

fn next<'b>(option: &str, words: &mut impl Iterator<Item = &'b str>) -> Result<&'b str, Refusal> {
    words.next().ok_or_else(|| Refusal::NoValue(option.to_owned()))
}

impl Arguments {
    /// The folders in which headers are searched, as the command spells them.
    pub fn search_folders(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter_map(|argument| match argument {
            Argument::Search(_, folder) => Some(folder.as_str()),
            Argument::Word(_) | Argument::Include(_) | Argument::Source(_) => None,
        })
    }

    /// A folder in which clang looks for a toolchain of which it would run the assembler.
    fn foreign_assembler(&self) -> Option<String> {
        let words = || {
            self.list.iter().filter_map(|argument| match argument {
                Argument::Word(word) => Some(word),
                Argument::Search(..) | Argument::Include(_) | Argument::Source(_) => None,
            })
        };
        let outside = words().any(|word| matches!(word.as_str(), "-no-integrated-as" | "-fno-integrated-as"));
        let root = |word: &&String| word.strip_prefix("--sysroot=").is_some_and(|root| !is_of_system(Path::new(root)));
        words().find(|word| outside && root(word)).cloned()
    }

    /// `__FILE__` in a file that the command line leads to under this name.
    pub fn macro_name(&self, name: &str) -> String {
        let hit = self.macro_prefixes.iter().rev().find_map(|(old, new)| Some((name.strip_prefix(old.as_str())?, new)));
        hit.map_or(name.to_owned(), |(rest, new)| format!("{new}{rest}"))
    }
}

/// Whether only the system's administrator puts files there: the folder, or that of a beginning of names.
fn is_of_system(place: &Path) -> bool {
    let folder = if place.is_dir() { Some(place) } else { place.parent() };
    place.is_absolute() && folder.is_some_and(is_of_distribution)
}

fn is_source(word: &str, directory: &Path, source: &Path) -> bool {
    let path = directory.join(word);
    path == source || path.canonicalize().ok().is_some_and(|path| source.canonicalize().ok() == Some(path))
}

/// Whether a file came with the system, as the compiler did: distributions harden what they build by such specs.
fn is_system_file(file: &str) -> bool {
    let path = Path::new(file);
    path.is_absolute() && path.is_file() && is_of_distribution(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted_for(family: Family, command: &str) -> Result<Arguments, Refusal> {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        sort(&words, family, Path::new("/build"), Path::new("/build/a.c"))
    }

    fn sorted(command: &str) -> Result<Arguments, Refusal> {
        sorted_for(Family::Gcc, command)
    }

    #[track_caller]
    fn check_for(family: Family, command: &str, kept: &str) {
        let words =
            sorted_for(family, command).expect("the command is safe").list.into_iter().map(|argument| match argument {
                Argument::Word(word) => word,
                Argument::Search(kind, folder) => format!("{}{folder}", kind.flag()),
                Argument::Include(file) => format!("+{file}"),
                Argument::Source(source) => format!("<{source}>"),
            });
        assert_eq!(words.collect::<Vec<_>>().join(" "), kept);
    }

    #[track_caller]
    fn check(command: &str, kept: &str) {
        check_for(Family::Gcc, command, kept);
    }

    #[test]
    fn case_1_what_would_run_other_code_is_refused() {
        let options = [
            "-fplugin=./evil.so",
            "--plugin=./evil.so",
            "-fplugin-arg-evil-x=1",
            "-wrapper sh,-c",
            "@arguments",
            "-B/tmp/evil/",
            "-B /tmp/evil",
            "-specs=evil",
            "--specs=evil",
            "--config evil.cfg",
            "-fpass-plugin=evil.so",
            "-Wp,-fplugin=evil.so",
            "-Wp,--plugin=evil.so",
            "-Xpreprocessor --plugin=x",
            "-Wa,@evil",
            "-Xassembler @evil",
            "--gcc-toolchain=/tmp/evil",
            "--prefix=/tmp/evil",
            "-cc1",
            "-fmodule-mapper=|sh",
            "--module-mapper=|sh",
            "-no-integrated-as --sysroot=/tmp/evil",
            "-Xclang -load",
            "-mllvm -load=evil.so",
            "-Xclang -fpass-plugin=evil.so",
            "--ptxas-path=x",
            "--cuda-path=x",
            "-fopenmp-targets=nvptx64",
        ];
        for (option, family) in options.iter().flat_map(|option| [(option, Family::Gcc), (option, Family::Clang)]) {
            let refused = sorted_for(family, &format!("{option} -c a.c"));
            assert!(matches!(refused, Err(Refusal::RunsOther(_) | Refusal::Unknown(_))), "{option}: {refused:?}");
        }
    }

    #[test]
    fn case_1_only_the_system_s_specs_are_taken() {
        let specs = Path::new("/usr/share/dpkg/pie-compile.specs");
        if specs.is_file() {
            check("-specs=/usr/share/dpkg/pie-compile.specs -c a.c", "-specs=/usr/share/dpkg/pie-compile.specs <a.c>");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("evil"), &link).expect("a link");
        std::fs::write(folder.path().join("evil"), "").expect("a file");
        for path in [&folder.path().join("evil"), &link, Path::new("/usr/share/../../tmp"), Path::new("evil")] {
            let refused = sorted(&format!("-specs={} -c a.c", path.display()));
            assert!(matches!(refused, Err(Refusal::RunsOther(_))), "{refused:?}");
        }
    }

    #[test]
    fn case_1_no_value_is_a_file_of_arguments() {
        let options = [
            "-D @args",
            "-D@args",
            "-I@args",
            "-I @args",
            "-include @args",
            "-isystem @args",
            "-iquote@args",
            "-isysroot @args",
            "--sysroot=@args",
            "-x @args",
            "-Wa,-I,@args",
            "-Wa,-I@args",
            "-U @args",
            "-D -fplugin=x",
            "-I -fplugin=x",
            "-include -fplugin=x",
            "-Wa,-I",
            "-Wp,-D",
            "-Xassembler -I",
        ];
        for option in options {
            assert!(sorted(&format!("{option} -c a.c")).is_err(), "{option}");
        }
    }

    #[test]
    fn case_2_what_changes_no_code_is_left_out() {
        check("-Wp,-MMD,.a.o.d -O2 -c -o a.o a.c", "-O2 <a.c>");
        check("-Wp,-MD,.a.o.d,-D_FORTIFY_SOURCE=2 -c -oa.o a.c", "-Wp,-D_FORTIFY_SOURCE=2 <a.c>");
        check("-MD -MF x.d -MT x -MQ y -MP -c a.c", "<a.c>");
        check("-save-temps=obj -fdump-tree-all -dumpdir x -gsplit-dwarf -fstack-usage -dA -c a.c", "<a.c>");
        check("-Wa,-aln=list,--noexecstack -Wa,-o,x -Wl,-z,now -c a.c", "-Wa,--noexecstack <a.c>");
        check("-Wa,--MD,x -Wa,--MD=x,-L -c a.c", "-Wa,-L <a.c>");
        check_for(Family::Clang, "-MJ x.json -MJx.json -fdebug-compilation-dir=. -c a.c", "<a.c>");
        check_for(Family::Clang, "-Xclang -fdebug-compilation-dir -Xclang . -c a.c", "<a.c>");
        check("--output=x --write-dependencies -time=x -save-stats=obj -c a.c", "<a.c>");
        check("-Wall -Wno-error=x -g -gdwarf-4 -ggdb3 -pedantic -fdiagnostics-color=always -c a.c", "-gdwarf-4 <a.c>");
    }

    #[test]
    fn case_3_link_time_optimisation_is_left_out_and_known() {
        check("-flto=thin -fsplit-lto-unit -O2 -c a.c", "-O2 <a.c>");
        assert_eq!(sorted("-flto -c a.c").map(|a| a.without_lto), Ok(true));
        assert_eq!(sorted("-O2 -fno-lto -c a.c").map(|a| a.without_lto), Ok(false));
    }

    #[test]
    fn case_4_what_makes_no_object_is_refused() {
        let commands = [
            "-E -c a.c",
            "-S a.c",
            "a.c",
            "-c a.c b.c",
            "-fsyntax-only -c a.c",
            "-c a.c a.c",
            "-x cuda -c a.c",
            "-xf95 -c a.c",
            "-x c-header -c a.c",
        ];
        for command in commands {
            assert!(matches!(sorted(command), Err(Refusal::NoObject(_))), "{command}");
        }
        assert_eq!(sorted("-c -O2"), Err(Refusal::NoSource));
        assert_eq!(sorted("-c a.c -include"), Err(Refusal::NoValue("-include".to_owned())));
        let header = sort(&["-c".into(), "a.h".into()], Family::Gcc, Path::new("/b"), Path::new("/b/a.h"));
        assert!(matches!(header, Err(Refusal::NoObject(_))));
    }

    #[test]
    fn case_5_folders_of_headers_are_known() {
        check("-I a -Ib -iquote c -isystem d -idirafter e -c a.c", "-Ia -Ib -iquotec -isystemd -idiraftere <a.c>");
    }

    #[test]
    fn case_6_what_may_write_and_what_is_not_known_is_refused() {
        let options = [
            "-Wa,-La=list",
            "-Wa,-Kox",
            "--for-assembler=-a=list",
            "--dump=a",
            "-aux-info x",
            "-aux-info=x",
            "--aux-info=x",
            "--coverage --profile-note=x",
            "-Wp,--output-pch=x",
            "-fmodules-cache-path=x",
            "-fmodules-ts",
            "-Tbss -D",
            "-F -fplugin=x",
            "-R x",
            "-J x",
            "-h x",
            "-Hd x",
            "--include x",
            "--assert x",
            "--opt-info-all=x",
            "-frepo",
            "-u x",
            "-z x",
            "-e x",
            "-fmodules",
            "-iprefix x",
            "-imacros x",
            "-Wa,-Dalh=x",
            "-Xassembler -Dalh=x",
        ];
        for (option, family) in options.iter().flat_map(|option| [(option, Family::Gcc), (option, Family::Clang)]) {
            assert!(sorted_for(family, &format!("{option} -c a.c")).is_err(), "{option}");
        }
        let clang = [
            "-Xclang -header-include-file -Xclang x",
            "-Xclang -stats-file=x",
            "-mllvm -info-output-file=x",
            "-Xclang -fixit",
            "-Xclang -fixit-recompile",
            "-module-dependency-dir x",
            "-emit-symbol-graph",
            "-mllvm -exec-on-ir-change=x",
            "--amdgpu-arch-tool=x",
            "--nvptx-arch-tool=x",
            "-iframework x",
            "--resource x",
            "-include-pch x",
            "-Xclang -include-pch -Xclang x",
            "-Xanalyzer",
            "--encoding -fplugin=x",
        ];
        for option in clang {
            assert!(sorted_for(Family::Clang, &format!("{option} -c a.c")).is_err(), "{option}");
        }
    }

    #[test]
    fn case_7_values_stay_with_their_options() {
        check("-include x.h -D X=1 -x c -c /build/a.c", "+x.h -DX=1 -xc </build/a.c>");
        check(
            "--param asan-globals=1 --param=x=2 --std=gnu11 -c a.c",
            "--param=asan-globals=1 --param=x=2 -std=gnu11 <a.c>",
        );
        check("-Dx=@y -DKBUILD_STR(s)=#s -c a.c", "-Dx=@y -DKBUILD_STR(s)=#s <a.c>");
    }

    #[test]
    fn case_8_what_kernels_pass_on_is_kept() {
        check(
            "-Wa,-mtune=generic,-gdwarf-5 -Wa,--fatal-warnings -Xassembler --noexecstack -c a.c",
            "-Wa,-mtune=generic -Wa,-gdwarf-5 -Wa,--fatal-warnings -Wa,--noexecstack <a.c>",
        );
        check(
            "-fasan-shadow-offset=0xdffffc0000000000 --param=asan-kernel-mem-intrinsic-prefix=1 -Wa,--gsframe -c a.c",
            "-fasan-shadow-offset=0xdffffc0000000000 --param=asan-kernel-mem-intrinsic-prefix=1 -Wa,--gsframe <a.c>",
        );
        check("-Wp,-D,X=1 -Xpreprocessor -UY -c a.c", "-Wp,-DX=1 -Wp,-UY <a.c>");
        check_for(
            Family::Clang,
            "-mllvm -asan-stack=1 -Xclang -target-feature -Xclang +sse2 --target=x86_64-linux-gnu -c a.c",
            "-mllvm -asan-stack=1 -Xclang -target-feature -Xclang +sse2 --target=x86_64-linux-gnu <a.c>",
        );
        check_for(
            Family::Clang,
            "-Winvalid-pch -Xclang -include-pch -Xclang p.h.pch -Xclang -include -Xclang p.h -c a.c",
            "+p.h <a.c>",
        );
    }

    #[test]
    fn the_last_prefix_map_names_a_file() {
        let arguments = sorted("-fmacro-prefix-map=/src/= -ffile-prefix-map=/src/a=x -c a.c").expect("safe");
        assert_eq!(arguments.macro_name("/src/b.h"), "b.h");
        assert_eq!(arguments.macro_name("/src/a/b.h"), "x/b.h");
        assert_eq!(arguments.macro_name("/other/b.h"), "/other/b.h");
    }
}
