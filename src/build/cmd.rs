//! Reads Kbuild's `.NAME.o.cmd` files: the recipe that made a target, its source and what it depends on.
//!
//! In: the file's text.  Out: [`CmdFile`].
//! Holds afterwards: the recipe is cut into its commands and each into its words, without a shell; nothing in it was
//! expanded but what make itself escaped.
//! Reads like: linux scripts/Kbuild.include (`make-cmd`), scripts/basic/fixdep.c (behaviour only).

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::files;

/// A target's recipe as make ran it last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CmdFile {
    /// The target as make names it: relative to the build directory, or absolute.
    pub target: String,
    /// The commands of the recipe, each as words.
    pub commands: Vec<Vec<String>>,
    /// The main source as make names it.
    pub source: Option<String>,
    /// Everything that was read to make the target.
    pub deps: Vec<String>,
    /// Whether make has run it: a recipe that it kept shows all its commands.
    pub is_kept: bool,
}

impl CmdFile {
    /// The whole file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = files::text(path, files::RECIPE).map_err(|error| said(&error))?;
        Self::parse(&text).ok_or_else(|| "no Kbuild command in it".to_owned())
    }

    /// The recipe alone, which is the first line: dependencies are many times longer. Where the build of a tool has no
    /// `fixdep` yet, remarks and dependencies come before it.
    pub(super) fn read_command(path: &Path) -> Result<Self, String> {
        let mut line = Vec::new();
        let file = files::open(path).map_err(|error| said(&error))?;
        let mut reader = BufReader::new(file.take(files::LINE));
        let mut n_read = 0;
        loop {
            line.clear();
            let n = reader.read_until(b'\n', &mut line).map_err(|error| said(&error))?;
            n_read += n as u64;
            if n_read >= files::LINE {
                return Err(format!("its recipe is not in its first {} MiB", files::LINE >> 20));
            }
            if n == 0 {
                return Err("no Kbuild command in it".to_owned());
            }
            if let Some(file) = Self::parse(&String::from_utf8_lossy(&line)) {
                return Ok(file);
            }
        }
    }

    /// Reads the text of a `.cmd` file.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.replace("\\\n", " ");
        let mut lines = text.lines();
        let (target, recipe) = lines.find_map(|line| {
            // `savedcmd_` since 6.3 (92215e7a801d "kbuild: rename cmd_$@ to savedcmd_$@ in *.cmd files").
            assignment(line, "savedcmd_").or_else(|| assignment(line, "cmd_"))
        })?;
        let mut file = CmdFile {
            target: target.to_owned(),
            commands: commands(&unescape(recipe)),
            source: None,
            deps: Vec::new(),
            is_kept: true,
        };
        for line in lines {
            if let Some((_, source)) = assignment(line, "source_") {
                file.source = Some(source.to_owned());
            } else if let Some((_, deps)) = assignment(line, "deps_") {
                let files = deps.split_whitespace().filter(|word| !word.starts_with("$(") && !word.ends_with(')'));
                file.deps = files.map(str::to_owned).collect();
            }
        }
        Some(file)
    }

    /// What a recipe would say that runs `argv` in `directory`.
    pub(super) fn of_command(argv: &[String], object: &Path, directory: &Path, source: &Path) -> Self {
        let target = object.strip_prefix(directory).unwrap_or(object);
        CmdFile {
            target: target.display().to_string(),
            commands: vec![argv.to_vec()],
            source: Some(source.display().to_string()),
            deps: Vec::new(),
            is_kept: false,
        }
    }

    /// The command that makes the target: the first.
    pub(super) fn compile(&self) -> Option<&[String]> {
        self.commands.first().map(Vec::as_slice)
    }

    /// The words that objtool gets in the recipe, without the object that it works on. Some modules run it under another
    /// name, or behind a program that passes its arguments on: it is then told by the arguments.
    pub(super) fn objtool(&self) -> Option<&[String]> {
        let named = |words: &Vec<String>| words.iter().position(|word| is_objtool(word)).map(|program| program + 1);
        let by_arguments = |words: &Vec<String>| {
            let first = words.iter().position(|word| is_argument(word)).filter(|&at| at > 0)?;
            // Sub-commands come before.
            let is_command = |word: &&String| matches!(word.as_str(), "orc" | "generate" | "check");
            Some(first - words.get(..first)?.iter().rev().take_while(is_command).count())
        };
        self.commands.iter().enumerate().find_map(|(at, words)| {
            // The first command makes the object. Only the name tells there, and only where nothing else is made.
            let start = named(words).or_else(|| by_arguments(words).filter(|_| at > 0 && self.is_target(words)))?;
            words.get(start..)?.split_last().map(|(_, flags)| flags)
        })
    }

    fn is_target(&self, words: &[String]) -> bool {
        words.last().is_some_and(|last| super::normal(Path::new(last)) == super::normal(Path::new(&self.target)))
    }

    /// The words of all commands.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().flatten().map(String::as_str)
    }

    /// Whether the recipe compiles kernel code, rather than a program for the build machine.
    pub(super) fn is_kernel_code(&self) -> bool {
        self.words().any(is_kernel_word)
    }

    /// Whether the recipe compiles something: what it makes is not put together from other objects alone.
    pub(super) fn compiles(&self) -> bool {
        self.compile().is_some_and(|words| {
            words
                .iter()
                .any(|word| word == "-c" || word.starts_with("--emit=obj") || word.starts_with("--emit=dep-info"))
        })
    }

    /// Whether a word is in the recipe.
    pub(super) fn has(&self, wanted: &str) -> bool {
        self.words().any(|word| word == wanted)
    }

    /// The folder that make ran in: what is left of the object's path when the target is taken off its end.
    pub(super) fn directory(&self, object: &Path) -> Option<PathBuf> {
        let target = Path::new(&self.target);
        if target.is_absolute() {
            return None;
        }
        let target = super::normal(target);
        let n_parts = target.components().count();
        object.ends_with(&target).then(|| object.ancestors().nth(n_parts).map(Path::to_owned)).flatten()
    }
}

/// What all kernel code is compiled with: C and assembly, then Rust.
pub(super) fn is_kernel_word(word: &str) -> bool {
    matches!(word, "-D__KERNEL__" | "-D__KERNEL__=1" | "-mcmodel=kernel")
        || word.ends_with("include/generated/rustc_cfg")
}

/// Whether the word is objtool's name.
fn is_objtool(word: &str) -> bool {
    Path::new(word).file_name().is_some_and(|name| name == "objtool")
}

/// Whether the word is what only objtool is called with. Sub-commands are those of releases up to 5.17.
fn is_argument(word: &str) -> bool {
    const WORDS: [&str; 12] = [
        "--orc",
        "--stackval",
        "--uaccess",
        "--retpoline",
        "--rethunk",
        "--static-call",
        "--mcount",
        "--ibt",
        "--unret",
        "--sls",
        "--noinstr",
        "--no-fp",
    ];
    WORDS.contains(&word) || word.starts_with("--hacks")
}

/// The `.cmd` file that belongs to an object. A module's flags stand in the file of the object it was linked from.
pub(super) fn file_of(object: &Path) -> Option<PathBuf> {
    let name = object.file_name()?.to_str()?;
    let own = match name.strip_suffix(".ko") {
        Some(stem) => format!(".{stem}.o.cmd"),
        None => format!(".{name}.cmd"),
    };
    Some(object.with_file_name(own))
}

/// The object whose `.cmd` file this is.
pub(super) fn object_beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(".cmd")?;
    Some(file.with_file_name(name))
}

/// The `.o.cmd` files of a folder that use `source`, as their main source first, and how many files were read.
pub(super) fn users_in(folder: &Path, source: &Path) -> (Vec<PathBuf>, usize) {
    let Some(name) = source.file_name().and_then(|name| name.to_str()) else {
        return (Vec::new(), 0);
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return (Vec::new(), 0);
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.to_str().is_some_and(|path| path.ends_with(".o.cmd")));
    files.sort();
    let n_files = files.len();
    let mut users = Vec::new();
    for file in files {
        let (Ok(cmd), Some(object)) = (CmdFile::read(&file), object_beside(&file)) else {
            continue;
        };
        let directory = cmd.directory(&object).unwrap_or_default();
        let is_source = |path: &str| {
            Path::new(path).file_name().is_some_and(|n| n == name) && super::same_file(&directory.join(path), source)
        };
        if cmd.source.as_deref().is_some_and(is_source) {
            users.push((0, file));
        } else if cmd.deps.iter().any(|dep| is_source(dep)) {
            users.push((1, file));
        }
    }
    users.sort();
    (users.into_iter().map(|(_, file)| file).collect(), n_files)
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "not there".to_owned(),
        _ => error.to_string(),
    }
}

fn assignment<'a>(line: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (name, value) = line.strip_prefix(prefix)?.split_once(":=")?;
    Some((name.trim(), value.trim()))
}

/// Takes back make's own escapes: `$$`, and `#`, which starts a comment in a makefile.
fn unescape(recipe: &str) -> String {
    recipe.replace("$(pound)", "#").replace("\\#", "#").replace("$$", "$")
}

/// Cuts a recipe at the shell's operators outside quotes, and each piece into words.
fn commands(recipe: &str) -> Vec<Vec<String>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in recipe.bytes().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(b'\''), _) => {}
            (_, b'\\') => escaped = true,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b';' | b'&' | b'|' | b'\n') => {
                pieces.push(&recipe[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&recipe[start..]);
    let words = pieces.into_iter().filter_map(|piece| shell_words::split(piece).ok());
    words.filter(|words| !words.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipe_is_cut_into_compiler_and_objtool() {
        let file = CmdFile::parse(concat!(
            "savedcmd_arch/x86/lib/a.o := gcc -DNAME='\"a;b\"' -DX=\\\"q\\\" -c -o arch/x86/lib/a.o ../arch/x86/lib/a.S ",
            "; ./tools/objtool/objtool --hacks=jump_label --orc   arch/x86/lib/a.o\n\n",
            "source_arch/x86/lib/a.o := ../arch/x86/lib/a.S\n\n",
            "deps_arch/x86/lib/a.o := \\\n  include/x.h \\\n    $(wildcard include/config/BUG) \\\n  include/y.h \\\n\n",
            "arch/x86/lib/a.o: $(deps_arch/x86/lib/a.o)\n"
        ))
        .unwrap();
        assert_eq!(file.target, "arch/x86/lib/a.o");
        assert_eq!(file.compile().unwrap()[..3], ["gcc", "-DNAME=\"a;b\"", "-DX=\"q\""]);
        assert_eq!(file.objtool().unwrap(), ["--hacks=jump_label", "--orc"]);
        assert_eq!(file.source.as_deref(), Some("../arch/x86/lib/a.S"));
        assert_eq!(file.deps, ["include/x.h", "include/y.h"]);
        let object = Path::new("/k/build/arch/x86/lib/a.o");
        assert_eq!(file.directory(object).as_deref(), Some(Path::new("/k/build")));
        assert_eq!(file.directory(Path::new("/elsewhere/a.o")), None);
    }

    #[test]
    fn makes_own_escapes_are_taken_back() {
        let file = CmdFile::parse("cmd_a.o := gcc -DA='x$(pound)y' -DB='$$z' -DC=\\#1 -c a.c && true\n").unwrap();
        assert_eq!(file.compile().unwrap(), ["gcc", "-DA=x#y", "-DB=$z", "-DC=#1", "-c", "a.c"]);
        assert_eq!(file.commands.len(), 2);
        assert_eq!(file.objtool(), None);
    }

    #[track_caller]
    fn objtool(recipe: &str, expect: Option<&str>) {
        let file = CmdFile::parse(&format!("savedcmd_d/a.o := {recipe}\n")).unwrap();
        assert_eq!(file.objtool().map(|words| words.join(" ")).as_deref(), expect);
    }

    #[test]
    fn objtool_is_told_by_its_arguments() {
        objtool(
            "gcc -c -o d/a.o a.c ; /zfs/scripts/objtool-wrapper --hacks=jump_label --orc --module d/a.o",
            Some("--hacks=jump_label --orc --module"),
        );
        objtool("gcc -c -o d/a.o a.c ; env A=b nice ./my-checker --orc --uaccess ./d/a.o", Some("--orc --uaccess"));
        objtool(
            "gcc -c -o d/a.o a.c ; ./wrap orc generate --no-fp --retpoline d/a.o",
            Some("orc generate --no-fp --retpoline"),
        );
        objtool("gcc -c -o d/a.o a.c ; ./wrap ./tools/objtool/objtool --orc d/a.o", Some("--orc"));
    }

    #[test]
    fn other_commands_are_not_taken_for_objtool() {
        objtool("gcc --orc -c -o d/a.o a.c", None);
        objtool("gcc -c -o d/a.o a.c ; objcopy --prefix-symbols=__pi_ d/a.o", None);
        objtool("gcc -c -o d/a.o a.c ; report --orc list.txt", None);
        objtool("gcc -c -o d/a.o a.c ; --orc d/a.o", None);
    }

    #[test]
    fn a_recipe_behind_remarks_and_dependencies_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".a.o.cmd");
        std::fs::write(&file, "# cannot find fixdep (/k/fixdep)\n# using basic dep data\n\na.o: a.c \\\n a.h\n\ncmd_a.o := gcc -c -o a.o a.c\n")
            .unwrap();
        assert_eq!(CmdFile::read_command(&file).unwrap().compile().unwrap(), ["gcc", "-c", "-o", "a.o", "a.c"]);
        std::fs::write(&file, "# cannot find fixdep\n").unwrap();
        assert!(CmdFile::read_command(&file).is_err());
    }

    #[test]
    fn text_that_is_no_recipe_is_refused() {
        assert_eq!(CmdFile::parse("all: foo\n"), None);
        assert_eq!(CmdFile::parse("cmd_a.o := gcc 'unclosed\n").unwrap().compile(), None);
    }

    #[test]
    fn a_modules_file_is_that_of_its_object() {
        assert_eq!(file_of(Path::new("d/foo.ko")).unwrap(), Path::new("d/.foo.o.cmd"));
        assert_eq!(file_of(Path::new("d/foo.o")).unwrap(), Path::new("d/.foo.o.cmd"));
        assert_eq!(object_beside(Path::new("d/.foo.o.cmd")).unwrap(), Path::new("d/foo.o"));
        assert_eq!(object_beside(Path::new("d/foo.cmd")), None);
    }
}
