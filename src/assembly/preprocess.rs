//! Which lines of a text the preprocessor keeps, and which macros are there at its end.
//!
//! In: a text, the compiler's options that matter, and a function that finds included files.  Out: [`Preprocessed`].
//! Holds afterwards: a line is said to be left out only where every condition around it could be decided; the work is
//! bounded by `MAX_FILES` and `MAX_DIRECTIVES`.
//! Reads like: "The C Preprocessor", "Conditionals" and "Include Syntax".

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::condition::{self, Facts, Known};
use super::lines::Source;
use super::outline::{Definition, DefinitionKind, Outline};

/// Files that are read for one text, each time that they are included.
const MAX_FILES: usize = 4_000;
/// Directives that are carried out for one text.
const MAX_DIRECTIVES: usize = 400_000;
/// Includes within includes.
const MAX_DEPTH: usize = 60;

/// A file that was read.
#[derive(Debug)]
pub struct Parsed {
    /// Its lines.
    pub source: Source,
    /// What it defines.
    pub outline: Outline,
    directives: Vec<Directive>,
}

impl Parsed {
    /// Reads a text.
    pub fn read(text: &str) -> Parsed {
        let source = Source::read(text);
        let outline = Outline::of(&source);
        let directives = directives(&source);
        Parsed { source, outline, directives }
    }

    /// Reads the lines of the preprocessor of a text, of C as well, and nothing else.
    pub fn of_directives(text: &str) -> Parsed {
        let source = Source::read(text);
        let directives = directives(&source);
        Parsed { source, outline: Outline::default(), directives }
    }

    /// The directives as they are written: as long as they stay the same, so does what the preprocessor makes of them.
    pub fn fingerprint(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = rustc_hash::FxHasher::default();
        self.source.n_lines().hash(&mut hasher);
        for directive in &self.directives {
            (directive.line, &directive.word, &directive.rest).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn directives(source: &Source) -> Vec<Directive> {
    (0..source.n_lines()).filter_map(|line| Directive::at(source, line)).collect()
}

#[derive(Debug)]
struct Directive {
    line: usize,
    word: String,
    rest: String,
}

impl Directive {
    fn at(source: &Source, line: usize) -> Option<Directive> {
        let (word, rest) = source.directive(line)?;
        Some(Directive { line, word, rest })
    }
}

/// A name in an `#include`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Include {
    /// The name between the quotes or brackets.
    pub name: String,
    /// Whether it is in quotes, and looked for beside the file first.
    pub quoted: bool,
}

impl Include {
    /// Reads what follows `#include`.
    pub fn parse(rest: &str) -> Option<Include> {
        let (quoted, body) = match rest.strip_prefix('"') {
            Some(body) => (true, body.split_once('"')?.0),
            None => (false, rest.strip_prefix('<')?.split_once('>')?.0),
        };
        (!body.is_empty()).then(|| Include { name: body.to_owned(), quoted })
    }
}

/// Finds and reads the files that texts include.
pub trait Includes {
    /// The file that `include` means in the file at `from`.
    fn find(&self, from: &Path, include: &Include) -> Option<(PathBuf, Arc<Parsed>)>;
}

/// What the compiler is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Options {
    /// `-D`, in their order: the name and its text.
    pub defines: Vec<(String, String)>,
    /// `-include`
    pub first: Vec<PathBuf>,
    /// Whether the kernel's configuration is among what is included, so that a `CONFIG_` that is not defined is not set.
    pub configured: bool,
}

/// A macro of the preprocessor, where it is defined.
#[derive(Clone, Debug)]
struct Macro {
    text: String,
    takes_arguments: bool,
    file: usize,
    line: usize,
    known: Known,
}

/// A file that took part, and which of its lines.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub parsed: Arc<Parsed>,
    /// Of each line whether it is kept, the first time or a later one.
    kept: Vec<Known>,
}

impl Part {
    /// Of each line whether it is kept.
    pub fn kept_lines(&self) -> &[Known] {
        &self.kept
    }

    /// Whether a line is kept.
    pub fn kept(&self, line: usize) -> Known {
        self.kept.get(line).copied().unwrap_or(Known::Yes)
    }
}

/// A text and all it includes, after the preprocessor.
#[derive(Debug, Default)]
pub struct Preprocessed {
    /// The files, the text itself first, the others in the order in which they are first included.
    pub parts: Vec<Part>,
    /// Names of included files that were not found.
    pub missing: Vec<Include>,
    macros: FxHashMap<String, Macro>,
    assembler_macros: FxHashMap<String, Vec<(usize, usize)>>,
}

impl Preprocessed {
    /// Lines of the text itself that are left out.
    pub fn left_out(&self) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let kept = self.parts.first().map_or(&[][..], |part| &part.kept);
        for (line, _) in kept.iter().enumerate().filter(|(_, kept)| **kept == Known::No) {
            match ranges.last_mut().filter(|range| range.end == line) {
                Some(range) => range.end += 1,
                None => ranges.push(line..line + 1),
            }
        }
        ranges
    }

    /// The macros of this name in the files that are included, with their files: those that count first. A macro of the
    /// preprocessor hides one of the assembler.
    pub fn macros(&self, name: &str) -> Vec<(&Part, &Definition)> {
        let mut found = Vec::new();
        if let Some(known) = self.macros.get(name)
            && let Some(part) = self.parts.get(known.file)
        {
            let at_line = |found: &&Definition| found.line == known.line && found.kind == DefinitionKind::Define;
            found.extend(part.parsed.outline.named(name).find(at_line).map(|definition| (part, definition)));
        }
        for (part, at) in self.assembler_macros.get(name).into_iter().flatten() {
            let Some(part) = self.parts.get(*part) else { continue };
            found.extend(part.parsed.outline.definitions.get(*at).map(|definition| (part, definition)));
        }
        found
    }

    /// The names of all macros, without an order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.macros.keys().chain(self.assembler_macros.keys()).map(String::as_str)
    }

    /// The names of the preprocessor's macros, without an order.
    pub fn defined(&self) -> impl Iterator<Item = &str> {
        self.macros.keys().map(String::as_str)
    }

    /// The text of a macro without parameters.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.macros.get(name).filter(|found| !found.takes_arguments).map(|found| found.text.as_str())
    }
}

/// Goes through a text and what it includes.
pub fn preprocess(path: &Path, parsed: Arc<Parsed>, options: &Options, includes: &dyn Includes) -> Preprocessed {
    let mut run = Run {
        out: Preprocessed::default(),
        by_path: FxHashMap::default(),
        includes,
        options,
        files: 0,
        directives: 0,
        complete: true,
        undefined: FxHashSet::default(),
    };
    let main = run.part(path, &parsed);
    for (name, text) in &options.defines {
        run.define(name, text, usize::MAX, 0, Known::Yes);
    }
    for first in &options.first {
        let include = Include { name: first.display().to_string(), quoted: true };
        run.include(path, &include, Known::Yes, 0);
    }
    run.file(main, Known::Yes, 0);
    // The assembler's macros: those in lines that are kept, as they are at the end.
    for (at, part) in run.out.parts.iter().enumerate() {
        for (number, definition) in part.parsed.outline.definitions.iter().enumerate() {
            let kept = part.kept(definition.line);
            if definition.kind == DefinitionKind::Macro && kept != Known::No {
                let all = run.out.assembler_macros.entry(definition.name.clone()).or_default();
                if kept == Known::Yes { all.insert(0, (at, number)) } else { all.push((at, number)) }
            }
        }
    }
    run.out
}

struct Run<'a> {
    out: Preprocessed,
    by_path: FxHashMap<PathBuf, usize>,
    includes: &'a dyn Includes,
    options: &'a Options,
    files: usize,
    directives: usize,
    /// Every included file was found, so that a name without a definition has none.
    complete: bool,
    undefined: FxHashSet<String>,
}

/// A conditional that is open.
struct Open {
    /// Whether its surroundings are kept.
    around: Known,
    /// Whether an earlier branch was taken.
    taken: Known,
    /// Whether the branch at hand is kept.
    kept: Known,
}

impl Run<'_> {
    fn part(&mut self, path: &Path, parsed: &Arc<Parsed>) -> usize {
        if let Some(at) = self.by_path.get(path) {
            return *at;
        }
        let at = self.out.parts.len();
        self.by_path.insert(path.to_owned(), at);
        let kept = vec![Known::No; parsed.source.n_lines()];
        self.out.parts.push(Part { path: path.to_owned(), parsed: Arc::clone(parsed), kept });
        at
    }

    fn include(&mut self, from: &Path, include: &Include, kept: Known, depth: usize) {
        if kept == Known::No {
            return;
        }
        self.files += 1;
        if self.files > MAX_FILES || depth >= MAX_DEPTH {
            self.complete = false;
            return;
        }
        match self.includes.find(from, include) {
            Some((path, parsed)) => {
                let part = self.part(&path, &parsed);
                self.file(part, kept, depth + 1);
            }
            None => {
                self.complete = false;
                if !self.out.missing.contains(include) {
                    self.out.missing.push(include.clone());
                }
            }
        }
    }

    /// Carries out the directives of a file. Includes nest no deeper than [`MAX_DEPTH`].
    fn file(&mut self, part: usize, around: Known, depth: usize) {
        let Some((path, parsed)) = self.out.parts.get(part).map(|part| (part.path.clone(), Arc::clone(&part.parsed)))
        else {
            return;
        };
        let mut open: Vec<Open> = Vec::new();
        let mut from = 0;
        for directive in &parsed.directives {
            self.directives += 1;
            if self.directives > MAX_DIRECTIVES {
                self.complete = false;
                break;
            }
            let kept = open.last().map_or(around, |open| open.kept);
            let line = directive.line;
            if is_conditional(&directive.word) {
                // The lines of a conditional itself are as much there as what is around it.
                self.keep(part, from..line, kept);
                let outer = match directive.word.starts_with("if") {
                    true => kept,
                    false => open.last().map_or(around, |open| open.around),
                };
                from = parsed.source.last_of(line) + 1;
                self.keep(part, line..from, outer);
                self.conditional(directive, kept, &mut open);
                continue;
            }
            if kept == Known::No {
                continue;
            }
            match directive.word.as_str() {
                "define" => {
                    let (name, text) = split_name(&directive.rest);
                    self.define(name, text, part, line, kept);
                }
                "undef" => {
                    let (name, _) = split_name(&directive.rest);
                    self.undefine(name, kept);
                }
                "include" | "include_next" => match Include::parse(&directive.rest) {
                    Some(include) => self.include(&path, &include, kept, depth),
                    // A macro names the file.
                    None => self.complete = false,
                },
                _ => {}
            }
        }
        let kept = open.last().map_or(around, |open| open.kept);
        self.keep(part, from..parsed.source.n_lines(), kept);
    }

    fn keep(&mut self, part: usize, lines: Range<usize>, kept: Known) {
        let lines = self.out.parts.get_mut(part).and_then(|part| part.kept.get_mut(lines));
        for line in lines.into_iter().flatten() {
            *line = line.or(kept);
        }
    }

    fn conditional(&self, directive: &Directive, kept: Known, open: &mut Vec<Open>) {
        let word = directive.word.as_str();
        let holds = || match word {
            "ifdef" | "elifdef" => self.is_defined(split_name(&directive.rest).0),
            "ifndef" | "elifndef" => !self.is_defined(split_name(&directive.rest).0),
            "else" => Known::Yes,
            _ => Known::of(condition::value(&directive.rest, self)),
        };
        if word.starts_with("if") {
            let holds = if kept == Known::No { Known::No } else { holds() };
            open.push(Open { around: kept, taken: holds, kept: kept.and(holds) });
        } else if word == "endif" {
            open.pop();
        } else if let Some(last) = open.last_mut() {
            let holds = if last.around == Known::No || last.taken == Known::Yes { Known::No } else { holds() };
            last.kept = last.around.and(holds).and(!last.taken);
            last.taken = last.taken.or(holds);
        }
    }

    fn define(&mut self, name: &str, text: &str, file: usize, line: usize, known: Known) {
        if name.is_empty() {
            return;
        }
        let takes_arguments = text.starts_with('(');
        let text = text.trim().to_owned();
        let known = match self.out.macros.get(name) {
            // Defined before, and perhaps again: it is there in any case, but its text is unknown.
            Some(before) if known == Known::Unknown && before.known == Known::Yes => {
                self.undefined.insert(name.to_owned());
                Known::Yes
            }
            _ => {
                self.undefined.remove(name);
                known
            }
        };
        self.out.macros.insert(name.to_owned(), Macro { text, takes_arguments, file, line, known });
    }

    fn undefine(&mut self, name: &str, known: Known) {
        if known == Known::Yes {
            self.out.macros.remove(name);
        } else if let Some(found) = self.out.macros.get_mut(name) {
            found.known = Known::Unknown;
        }
    }
}

fn is_conditional(word: &str) -> bool {
    matches!(word, "if" | "ifdef" | "ifndef" | "elif" | "elifdef" | "elifndef" | "else" | "endif")
}

/// A macro's name, and what follows it: `(` where it has parameters.
fn split_name(rest: &str) -> (&str, &str) {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    rest.split_at(end)
}

/// What every compiler for x86-64 Linux defines or leaves undefined.
fn predefined(name: &str) -> Option<Known> {
    match name {
        "__x86_64__" | "__x86_64" | "__amd64__" | "__LP64__" | "_LP64" | "__linux__" | "__ELF__" | "__GNUC__"
        | "__STDC__" | "__SIZEOF_INT128__" => Some(Known::Yes),
        "__i386__" | "__i386" | "__ILP32__" | "__aarch64__" | "__arm__" | "__riscv" | "__powerpc__" | "__s390__"
        | "__mips__" | "__sparc__" | "__cplusplus" | "__CHECKER__" | "__GENKSYMS__" => Some(Known::No),
        _ => None,
    }
}

impl Facts for Run<'_> {
    fn is_defined(&self, name: &str) -> Known {
        if let Some(found) = self.out.macros.get(name) {
            return found.known;
        }
        if let Some(known) = predefined(name) {
            return known;
        }
        if name.starts_with("CONFIG_") {
            return if self.options.configured { Known::No } else { Known::Unknown };
        }
        // The compiler's own names begin so; a guard of a header is undefined until the header defines it.
        let is_guard = name.ends_with("_H") || name.ends_with("_H_") || name.ends_with("_H__");
        let may_be_compilers = name.starts_with("__") && !is_guard && name != "__ASSEMBLY__" && name != "__ASSEMBLER__";
        match (may_be_compilers, self.complete || is_guard) {
            (true, _) | (false, false) => Known::Unknown,
            (false, true) => Known::No,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        if predefined(name) == Some(Known::Yes) && !self.out.macros.contains_key(name) {
            // Versions of compilers are unknown.
            return (name != "__GNUC__").then_some("1");
        }
        let found = self.out.macros.get(name)?;
        (!found.takes_arguments && !self.undefined.contains(name)).then_some(found.text.as_str())
    }

    fn call(&self, name: &str, argument: &str) -> Option<i64> {
        let truth = |known: Known| match known {
            Known::Yes => Some(1),
            Known::No => Some(0),
            Known::Unknown => None,
        };
        let built_in = || self.is_defined(argument);
        let module = || self.is_defined(&format!("{argument}_MODULE"));
        // include/linux/kconfig.h
        match name {
            "IS_ENABLED" => truth(built_in().or(module())),
            "IS_BUILTIN" => truth(built_in()),
            "IS_MODULE" => truth(module()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(Vec<(&'static str, &'static str)>);

    impl Includes for Folder {
        fn find(&self, _: &Path, include: &Include) -> Option<(PathBuf, Arc<Parsed>)> {
            let (name, text) = self.0.iter().find(|(name, _)| *name == include.name)?;
            Some((PathBuf::from(name), Arc::new(Parsed::read(text))))
        }
    }

    fn run(text: &str, files: Vec<(&'static str, &'static str)>, configured: bool) -> Preprocessed {
        let options = Options { defines: vec![("__ASSEMBLY__".to_owned(), "1".to_owned())], first: vec![], configured };
        preprocess(Path::new("a.S"), Arc::new(Parsed::read(text)), &options, &Folder(files))
    }

    #[track_caller]
    fn check(text: &str, configured: bool, expected: &[(usize, usize)]) {
        let config = ("config.h", "#define CONFIG_A 1\n#define CONFIG_M_MODULE 1\n");
        let text = format!("#include \"config.h\"\n{text}");
        let done = run(&text, vec![config], configured);
        let left_out: Vec<(usize, usize)> = done.left_out().iter().map(|lines| (lines.start, lines.end)).collect();
        assert_eq!(left_out, expected);
    }

    #[test]
    fn branches_that_are_not_taken_are_left_out() {
        check("#ifdef CONFIG_A\na\n#else\nb\n#endif\nc\n", true, &[(4, 5)]);
        check("#ifndef CONFIG_A\na\n#elif IS_ENABLED(CONFIG_M)\nb\n#else\nc\n#endif\n", true, &[(2, 3), (6, 7)]);
        check("#if 0\n#ifdef CONFIG_A\na\n#endif\n#endif\nb\n", true, &[(2, 5)]);
        check("#ifndef __ASSEMBLY__\nint c;\n#endif\n", true, &[(2, 3)]);
    }

    #[test]
    fn what_is_not_known_is_not_left_out() {
        check("#ifdef CONFIG_B\nb\n#endif\n", false, &[]);
        check("#ifdef CONFIG_B\nb\n#endif\n", true, &[(2, 3)]);
        check("#ifdef __SOME_COMPILER__\nb\n#else\nc\n#endif\n", true, &[]);
        check("#include \"nowhere.h\"\n#ifdef X\nb\n#endif\n", true, &[]);
        check("#if __GNUC__ > 4\na\n#else\nb\n#endif\n", true, &[]);
    }

    #[test]
    fn macros_come_from_the_branch_that_is_kept() {
        let header = "#ifndef _X_H\n#define _X_H\n#ifdef CONFIG_A\n.macro M a\n.endm\n#else\n.macro M b\n.endm\n#endif\n#define N 2\n#endif\n";
        let done = run("#define CONFIG_A 1\n#include <x.h>\n#include <x.h>\n\tM 1\n", vec![("x.h", header)], true);
        let found: Vec<(String, usize)> = done
            .macros("M")
            .iter()
            .map(|(part, definition)| (part.path.display().to_string(), definition.line))
            .collect();
        assert_eq!(found, [("x.h".to_owned(), 3)]);
        assert_eq!(done.text("N"), Some("2"));
        assert_eq!(done.macros("N").len(), 1);
        // The guard hides nothing the second time.
        assert_eq!(done.parts[1].kept(3), Known::Yes);
    }

    #[test]
    fn files_that_include_each_other_end() {
        let done =
            run("#include \"a\"\n", vec![("a", "#include \"b\"\n#include \"b\"\n"), ("b", "#include \"a\"\n")], true);
        assert!(done.parts.len() <= 3);
    }
}
