//! The command of a file that has none of its own: that of the file beside it whose name is most like its own.
//!
//! In: a source file, a [`Finder`].  Out: a [`Build`] that says whose command it is.
//! Holds afterwards: the command is that of a file of the same kind in the same folder, with this file in its place.
//! Reads like: clangd's "compile commands", for files that are not in the database.

use std::path::{Path, PathBuf};

use super::{Build, Finder, Origin, same_file};

/// Files of one folder that are asked about.
const MAX_TRIED: usize = 40;

/// How the file at `path` would be built if it were built as the file beside it.
pub fn nearest(finder: &Finder, path: &Path) -> Option<Build> {
    let (folder, ending) = (path.parent()?, path.extension()?);
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let alike = |other: &PathBuf| other.extension() == Some(ending) && other != path && other.is_file();
    let mut beside: Vec<(f64, PathBuf)> = entries
        .filter(alike)
        .map(|other| {
            let name = other.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (strsim::jaro_winkler(&stem, &name), other)
        })
        .collect();
    beside.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.cmp(other)));
    beside.into_iter().take(MAX_TRIED).find_map(|(_, other)| in_place_of(finder.source(&other).ok()?, &other, path))
}

/// The same command with `path` in the place of `other`; `None` where the command does not name it.
fn in_place_of(build: Build, other: &Path, path: &Path) -> Option<Build> {
    let is_known = !matches!(build.origin, Origin::Assumed(_));
    if !is_known || build.source.as_deref() != Some(other) {
        return None;
    }
    let name = other.file_name().unwrap_or_default().to_string_lossy();
    let is_source = |word: &String| word.ends_with(&*name) && same_file(&build.directory.join(word), other);
    let at = build.argv.iter().rposition(is_source)?;
    let mut argv = build.argv.clone();
    *argv.get_mut(at)? = path.display().to_string();
    let note = format!("no compile command is known for this file: that of {name}, beside it, is used");
    Some(Build {
        object: build.object.with_file_name(path.file_name()?).with_extension("o"),
        source: Some(path.to_owned()),
        argv,
        others: Vec::new(),
        notes: build.notes.into_iter().chain([note]).collect(),
        ..build
    })
}

#[cfg(test)]
mod tests {
    use super::super::Search;
    use super::*;

    #[test]
    fn the_command_is_that_of_the_most_similar_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("it is there");
        let entry = |name: &str| serde_json::json!({"directory": root, "file": name, "command": format!("gcc -DOF={name} -c -o x.o {name}")});
        let all = serde_json::json!([entry("aes_core.c"), entry("sha.c"), entry("aes_glue.S")]);
        std::fs::write(root.join("compile_commands.json"), all.to_string()).expect("written");
        for name in ["aes_core.c", "sha.c", "aes_glue.S", "lonely.s"] {
            std::fs::write(root.join(name), "").expect("written");
        }
        let finder = Finder::new(Search { build_dir: None, roots: vec![root.clone()] });
        let new = root.join("aes_new.c");
        let build = nearest(&finder, &new).expect("a command");
        assert_eq!(build.argv[1..], ["-DOF=aes_core.c", "-c", "-o", "x.o", &new.display().to_string()]);
        assert_eq!((build.object, build.source), (root.join("aes_new.o"), Some(new)));
        assert!(build.notes.iter().any(|note| note.contains("that of aes_core.c")));
        assert!(nearest(&finder, &root.join("other.s")).is_none());
    }
}
