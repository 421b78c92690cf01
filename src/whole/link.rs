//! Links a program privately, with one of its objects replaced.
//!
//! In: a [`Program`], an object to put in the place of a member.  Out: [`Linked`], the bytes that `ld -r` makes.
//! Holds afterwards: nothing outside a private folder was written, and no process is left. The linker is one of `PATH`;
//! of the recorded command only its name is used.
//!
//! Debug information is left out (`-S`): it is most of an object, and lines are looked up in the members themselves.

use std::path::Path;
use std::time::Duration;

use crate::cancel::CancelToken;
use crate::compile::confine::{Confinement, Toolchain};
use crate::compile::process::Outcome;
use crate::compile::{Limits, Scratch, clean_environment, program};

use super::layout::Layout;
use super::program::{Program, Unavailable};

/// The linkers that are run, by the last part of their names; `x86_64-linux-gnu-ld.bfd` and `ld.lld-19` are such.
const LINKERS: [&str; 3] = ["ld", "ld.bfd", "ld.lld"];
/// A `vmlinux.o` without debug information has some hundred megabytes at most.
const MAX_LINKED: u64 = 1 << 30;
const LIMITS: Limits = Limits { time: Duration::from_secs(120), memory: 8 << 30, file: MAX_LINKED };

/// What the linker made.
#[derive(Debug)]
pub(super) struct Linked {
    /// The object.
    pub object: Vec<u8>,
    /// Where its parts come from.
    pub layout: Layout,
}

/// Links `program`; `replaced` is a member and the object to take in its place.
pub(super) fn link(
    program: &Program,
    replaced: Option<(usize, &[u8])>,
    scratch: &Scratch,
    cancel: &CancelToken,
) -> Result<Linked, Unavailable> {
    let failed = |error: std::io::Error| Unavailable::NotLinked(error.to_string());
    let linker = find(&program.linker)?;
    program.check_members()?;
    let job = scratch.job().map_err(failed)?;
    let folder = job.path();
    let (out, map, list) = (folder.join("vmlinux.o"), folder.join("vmlinux.map"), folder.join("members"));
    let mut names = program.members.to_vec();
    if let Some((member, object)) = replaced {
        let path = folder.join("edited.o");
        std::fs::write(&path, object).map_err(failed)?;
        if let Some(name) = names.get_mut(member) {
            *name = path.display().to_string();
        }
    }
    let quoted: String = names.iter().map(|name| quoted(name)).collect();
    std::fs::write(&list, quoted).map_err(failed)?;
    // The objects may lie anywhere below the tree, or where a thin archive leads; nothing but the linker is run.
    let confinement = Confinement {
        read: vec![program.directory.clone(), scratch.path().to_owned()],
        write: folder.to_owned(),
        execute: Toolchain::alone(&linker).programs,
        is_open: false,
    };
    let mut command = scratch.command(&linker, &confinement, LIMITS).map_err(failed)?;
    command.args(["-m", "elf_x86_64", "-z", "noexecstack", "-r", "-S", "-o"]).arg(&out);
    command.arg(format!("-Map={}", map.display())).arg(format!("@{}", list.display()));
    clean_environment(&mut command, &program.directory, folder);
    match scratch.run(command, LIMITS, cancel).map_err(failed)? {
        Outcome::Cancelled => return Err(Unavailable::Cancelled),
        Outcome::TimedOut => return Err(Unavailable::NotLinked(format!("it took longer than {:?}", LIMITS.time))),
        Outcome::Ended(status, words) if !status.success() => {
            let first = words.lines().find(|line| !line.trim().is_empty()).map(str::to_owned);
            return Err(Unavailable::NotLinked(first.unwrap_or_else(|| status.to_string())));
        }
        Outcome::Ended(..) => {}
    }
    let object = std::fs::read(&out).map_err(failed)?;
    let map = std::fs::read(&map).map_err(failed)?;
    let mut layout = Layout::parse(&String::from_utf8_lossy(&map));
    if let Some((member, _)) = replaced
        && let (Some(real), Some(private)) = (program.members.get(member), names.get(member))
    {
        layout.rename(private, real);
    }
    Ok(Linked { object, layout })
}

/// A name as a response file has it: quoted, with quotes and backslashes escaped.
fn quoted(name: &str) -> String {
    let escaped: String =
        name.chars().flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"\n")
}

/// The linker that `PATH` has under this name, if it is one.
fn find(word: &str) -> Result<std::path::PathBuf, Unavailable> {
    let name = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
    let is_linker = LINKERS.iter().any(|linker| bare == *linker || bare.ends_with(&format!("-{linker}")));
    if !is_linker {
        return Err(Unavailable::Linker(format!("{word} is not the name of a linker")));
    }
    let found = program::search_path().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| Unavailable::Linker(format!("{name} is not on PATH")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_linkers_of_the_path_are_run() {
        for name in ["ld", "/somewhere/else/ld"] {
            let path = find(name).unwrap();
            assert_eq!(path.file_name().unwrap(), "ld");
            assert!(!path.starts_with("/somewhere"));
        }
        for name in ["sh", "old", "evil-ld.sh", "", "ld.gold-plugin", "./a/b"] {
            assert!(matches!(find(name), Err(Unavailable::Linker(_))), "{name}");
        }
        assert!(matches!(find("ld.lld-4711"), Err(Unavailable::Linker(why)) if why.contains("PATH")));
    }

    #[test]
    fn names_are_quoted_for_the_response_file() {
        assert_eq!(quoted("a b\"c\\d.o"), "\"a b\\\"c\\\\d.o\"\n");
    }
}
