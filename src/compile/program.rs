//! Decides which programs may be run as compilers.
//!
//! In: the first words of a compile command, `orcls.compilers`.  Out: [`Program`], by its absolute path.
//! Holds afterwards: a program that a workspace brings along is run only when the user has named it: without a setting
//! it must be the one that `PATH` leads to.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::refusal::Refusal;

/// Whose options a compiler understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// GCC's.
    Gcc,
    /// Clang's.
    Clang,
}

/// A compiler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// Whose options it takes.
    pub family: Family,
    /// The user has named it.
    pub named: bool,
}

/// Programs that run the compiler named behind them, to remember or to spread its results. They are left out.
const LAUNCHERS: [&str; 4] = ["ccache", "sccache", "distcc", "icecc"];

/// Finds the compiler of a command that runs in `directory`, and says where its arguments start.
pub fn find(argv: &[String], directory: &Path, allowed: &[String]) -> Result<(Program, usize), Refusal> {
    let is_launcher = |word: &String| {
        file_name(word).is_some_and(|name| name == "env" || LAUNCHERS.contains(&name)) || is_setting(word)
    };
    let skipped = argv.iter().take_while(|word| is_launcher(word)).count();
    let word = argv.get(skipped).ok_or(Refusal::Empty)?;
    let family = file_name(word).and_then(family).ok_or_else(|| Refusal::NotCompiler(word.clone()))?;
    let named = allowed.iter().any(|entry| entry == word);
    let name = file_name(word).unwrap_or_default();
    let found = || {
        let found = search_path().into_iter().map(|folder| folder.join(name)).find(|path| is_program(path));
        found.ok_or_else(|| Refusal::NotFound(word.clone()))
    };
    let path = if word.contains('/') {
        let path = directory.join(word);
        let on_path = || search_path().iter().any(|folder| path.parent() == Some(folder));
        if !(named || (allowed.is_empty() && on_path())) {
            return Err(Refusal::NotAllowed(word.clone()));
        }
        if launches(&path) { found()? } else { path }
    } else {
        if !(named || allowed.is_empty()) {
            return Err(Refusal::NotAllowed(word.clone()));
        }
        found()?
    };
    if !named && is_of_workspace(&path, directory) {
        return Err(Refusal::NotAllowed(word.clone()));
    }
    Ok((Program { path, family, named }, skipped + 1))
}

/// `CCACHE_DIR=/tmp`: a variable for a launcher, or the language of messages. Others may say what is compiled.
fn is_setting(word: &str) -> bool {
    const OF: [&str; 5] = ["CCACHE_", "SCCACHE_", "DISTCC_", "ICECC_", "LC_"];
    let name = word.split_once('=').map_or("", |(name, _)| name);
    let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_name && (name == "LANG" || OF.iter().any(|start| name.starts_with(start)))
}

fn file_name(word: &str) -> Option<&str> {
    Path::new(word).file_name().and_then(OsStr::to_str)
}

/// The absolute folders of `PATH`: a relative one would mean a folder of the workspace.
pub fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).filter(|folder| folder.is_absolute()).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0) && !launches(path)
}

/// Whether a launcher goes by a compiler's name here, as distributions have it: `/usr/lib/ccache/gcc`.
fn launches(path: &Path) -> bool {
    let real = path.canonicalize();
    real.is_ok_and(|real| real.file_name().and_then(OsStr::to_str).is_some_and(|name| LAUNCHERS.contains(&name)))
}

/// `PATH` may lead into the build's own folder; what lies there is run only if the user names it, or only root can write it.
fn is_of_workspace(path: &Path, directory: &Path) -> bool {
    let (Ok(real), Ok(directory)) = (path.canonicalize(), directory.canonicalize()) else {
        return false;
    };
    directory.parent().is_some() && real.starts_with(&directory) && !is_of_distribution(path)
}

/// Whether a file or folder came with the system: it lies where packages are installed, and only root can write it or one
/// of the folders above it. To root a clone is a file of root's too, and sources lie in `/usr/src`.
pub fn is_of_distribution(path: &Path) -> bool {
    const FOLDERS: [&str; 10] =
        ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store", "/snap"];
    let Ok(real) = path.canonicalize() else { return false };
    let is_of_root = |path: &Path| path.metadata().is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o022 == 0);
    FOLDERS.iter().any(|folder| real.starts_with(folder))
        && !["/usr/src", "/usr/local/src"].iter().any(|sources| real.starts_with(sources))
        && real.ancestors().all(is_of_root)
}

/// The family of a compiler of this name: `gcc`, `x86_64-linux-gnu-gcc-12`, `clang++-17`, ...
fn family(name: &str) -> Option<Family> {
    let is_version = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bare = match name.rsplit_once('-') {
        Some((rest, version)) if is_version(version) => rest,
        _ => name,
    };
    match bare.rsplit_once('-').map_or(bare, |(_triple, last)| last) {
        "gcc" | "cc" | "g++" | "c++" => Some(Family::Gcc),
        "clang" | "clang++" => Some(Family::Clang),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn compilers_are_known_by_name() {
        for name in ["gcc", "cc", "gcc-12", "x86_64-linux-gnu-gcc", "x86_64-linux-gnu-gcc-12", "g++-13.2"] {
            assert_eq!(family(name), Some(Family::Gcc), "{name}");
        }
        for name in ["clang", "clang-17", "clang++", "x86_64-unknown-linux-gnu-clang-14"] {
            assert_eq!(family(name), Some(Family::Clang), "{name}");
        }
        for name in ["sh", "python3", "gcc.sh", "rustc", "ld", "mygcc2", "-12", "", "gcc-"] {
            assert_eq!(family(name), None, "{name}");
        }
    }

    #[track_caller]
    fn refused(command: &str, allowed: &[&str]) -> Refusal {
        let argv: Vec<_> = command.split(' ').map(str::to_owned).collect();
        let allowed: Vec<_> = allowed.iter().map(|&s| s.to_owned()).collect();
        find(&argv, Path::new("/tree"), &allowed).expect_err("the program is refused")
    }

    #[test]
    fn a_program_of_the_workspace_needs_the_user_s_word() {
        assert!(matches!(refused("./gcc -c a.c", &[]), Refusal::NotAllowed(_)));
        assert!(matches!(refused("/tree/tools/gcc -c a.c", &[]), Refusal::NotAllowed(_)));
        assert!(matches!(refused("gcc -c a.c", &["clang"]), Refusal::NotAllowed(_)));
        assert!(matches!(refused("sh -c gcc", &["sh"]), Refusal::NotCompiler(_)));
        assert!(matches!(refused("no-such-triple-gcc-99 -c a.c", &[]), Refusal::NotFound(_)));
        let argv = ["tools/gcc".to_owned()];
        let found = find(&argv, Path::new("/tree"), &argv).expect("the user named it");
        assert_eq!(found.0.path, Path::new("/tree/tools/gcc"));
    }

    #[test]
    fn a_launcher_by_a_compiler_s_name_is_passed_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("ccache"), "").expect("a file");
        std::os::unix::fs::symlink("ccache", folder.path().join("gcc")).expect("a link");
        assert!(launches(&folder.path().join("gcc")) && !is_program(&folder.path().join("gcc")));
        let argv = [folder.path().join("gcc").display().to_string()];
        if let Ok((found, _)) = find(&argv, Path::new("/tree"), &argv) {
            assert!(!found.path.starts_with(folder.path()));
        }
    }

    /// For root, who works in folders that only root can write.
    #[test]
    fn what_root_has_cloned_did_not_come_with_the_system() {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(!is_of_distribution(beside) && !is_of_distribution(&beside.join("src")));
        assert!(!is_of_distribution(Path::new("/usr/src")) && !is_of_distribution(Path::new("/tmp")));
        assert!(is_of_distribution(Path::new("/usr/bin")));
    }

    #[test]
    fn launchers_are_left_out() {
        assert!(matches!(refused("ccache ./gcc -c a.c", &[]), Refusal::NotAllowed(word) if word == "./gcc"));
        assert_eq!(refused("ccache", &[]), Refusal::Empty);
        for command in
            ["CCACHE_DIR=/x ccache ./gcc", "env LANG=C LC_ALL=C ./gcc", "/usr/bin/env SCCACHE_X=1 sccache ./gcc"]
        {
            assert!(matches!(refused(command, &[]), Refusal::NotAllowed(word) if word == "./gcc"), "{command}");
        }
        // These may change what is compiled, or what runs.
        for command in ["CPATH=/x gcc", "env LD_PRELOAD=./x.so gcc", "env -i gcc", "GCC_EXEC_PREFIX=/x gcc"] {
            assert!(matches!(refused(command, &[]), Refusal::NotCompiler(_)), "{command}");
        }
    }
}
