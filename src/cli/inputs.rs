//! Turns the paths of the command line into objects and sources to analyse.
//!
//! In: paths as the user gave them.  Out: [`Input`]s: files in the order given, those of a folder sorted.
//! Holds afterwards: links to folders are not followed, so that a kernel build's `source` link leads nowhere.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::output::complain;

/// Something to analyse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Input {
    /// The path, spelled from what the user gave.
    pub path: PathBuf,
    /// Whether the user named this very file.
    pub named: bool,
}

impl Input {
    /// The path as it is printed.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether the file is a source rather than an object.
    pub fn is_source(&self) -> bool {
        let extension = self.path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("c" | "S" | "s" | "rs" | "cc" | "cpp" | "h"))
    }
}

/// All inputs, and whether a path could not be read, which has been said.
pub(crate) fn collect(paths: &[PathBuf]) -> (Vec<Input>, bool) {
    let mut inputs = Vec::new();
    let mut failed = false;
    for path in paths {
        if path.is_dir() {
            let start = inputs.len();
            if let Err(error) = walk(path, &mut inputs) {
                complain(&format!("{}: {error}", path.display()));
                failed = true;
            }
            inputs[start..].sort_by(|a, b| a.path.cmp(&b.path));
        } else {
            inputs.push(Input { path: path.clone(), named: true });
        }
    }
    (inputs, failed)
}

fn walk(folder: &Path, inputs: &mut Vec<Input>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // Kbuild's own files, version control, and what a running build has not finished.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() {
            walk(&path, inputs)?;
        } else if kind.is_file() && is_wanted(&path) {
            inputs.push(Input { path, named: false });
        }
    }
    Ok(())
}

/// Objects; a module only where the object that it was linked from is not beside it.
fn is_wanted(path: &Path) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("o") => true,
        Some("ko") => !path.with_extension("o").exists(),
        _ => false,
    }
}

/// Whether a file found in a folder is an object of another kind, which nobody meant to check: 32-bit code, another
/// machine, LLVM bitcode. Anything else that cannot be read is an error.
pub(crate) fn is_foreign(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match (read, &head[..4]) {
        (Err(_), _) => false,
        // `e_ident[EI_CLASS]` is ELFCLASS64 and `e_machine` is EM_X86_64 (gABI, "ELF Header").
        (Ok(()), b"\x7fELF") => head[4] != 2 || head[18..20] != [62, 0],
        (Ok(()), magic) => magic == b"BC\xc0\xde",
    }
}
