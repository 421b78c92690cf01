//! Lets a compiler see texts that are not on disk, under the names of the files that they will become.
//!
//! In: the source file's text, other unsaved texts, where headers are searched.  Out: the arguments that make the
//! compiler read them.
//! Holds afterwards: `__FILE__`, `__LINE__`, lines of the debug information and relative includes are as for the files
//! themselves.
//!
//! Clang takes a virtual file system (`-ivfsoverlay`). GCC has none: it gets *mirrors*, folders in which an unsaved text
//! stands beside links to the files that are on disk. A mirror is searched before the folder that it mirrors, and a
//! `#line` at the top of each text gives its real name. The source file stands in a mirror of its own folder, which is
//! searched first for `#include "..."` because the file is there; its real folder follows by `-iquote`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::arguments::{Argument, Arguments, Language, SearchKind};
use super::farms::Lent;
use super::program::Family;
use super::scratch::Scratch;
use crate::build::normal;

/// How far above the source file's folder unsaved headers are found by `#include "../..."`.
const MAX_UP: usize = 4;

/// A text that is not on disk.
#[derive(Clone, Copy, Debug)]
pub struct Unsaved<'a> {
    /// The file that it will become, absolute.
    pub path: &'a Path,
    /// The text.
    pub text: &'a str,
}

/// What the compiler is told, and how to read what it answers.
#[derive(Debug, Default)]
pub struct Overlay<'a> {
    /// The arguments, in their order.
    pub arguments: Vec<OsString>,
    /// Mirrors, and the folders that they mirror as the command spells them.
    mirrors: Vec<(PathBuf, PathBuf)>,
    /// Mirrors that are lent for as long as the compiler runs.
    lent: Vec<Lent<'a>>,
}

impl Overlay<'_> {
    /// The real name of a file that the compiler has named.
    pub fn real_name(&self, name: &Path) -> PathBuf {
        let hit = self.mirrors.iter().find_map(|(mirror, real)| Some(real.join(name.strip_prefix(mirror).ok()?)));
        hit.unwrap_or_else(|| name.to_owned())
    }
}

/// Prepares `folder` for a compile of `source` in `directory`.
pub fn prepare<'a>(
    family: Family,
    scratch: &'a Scratch,
    folder: &Path,
    directory: &Path,
    arguments: &Arguments,
    source: Unsaved<'_>,
    others: &[Unsaved<'_>],
) -> io::Result<Overlay<'a>> {
    match family {
        Family::Clang => virtual_files(folder, directory, arguments, source, others),
        Family::Gcc => {
            Mirrors { scratch, folder, directory, arguments, others, overlay: Overlay::default() }.build(source)
        }
    }
}

fn virtual_files(
    folder: &Path,
    directory: &Path,
    arguments: &Arguments,
    source: Unsaved<'_>,
    others: &[Unsaved<'_>],
) -> io::Result<Overlay<'static>> {
    let mut files = Vec::new();
    for (i, unsaved) in [source].iter().chain(others).enumerate() {
        let contents = folder.join(format!("text{i}"));
        fs::write(&contents, unsaved.text)?;
        // The compiler may come to the file by either name.
        let mut names = vec![normal(unsaved.path)];
        names.extend(unsaved.path.canonicalize());
        if i == 0 {
            names.push(normal(&directory.join(&arguments.source)));
        }
        names.sort();
        names.dedup();
        files.extend(names.iter().map(|name| json!({"type": "file", "name": name, "external-contents": contents})));
    }
    let overlay = folder.join("overlay.yaml");
    let description = json!({"version": 0, "case-sensitive": "true", "use-external-names": false, "roots": files});
    fs::write(&overlay, description.to_string())?;
    let mut list: Vec<OsString> = vec!["-ivfsoverlay".into(), overlay.into()];
    for argument in &arguments.list {
        match argument {
            Argument::Word(word) | Argument::Source(word) => list.push(word.into()),
            Argument::Search(kind, folder) => list.extend([kind.flag().into(), folder.into()]),
            // The driver would take a precompiled header that stands beside the file.
            Argument::Include(file) => list.extend(["-Xclang", "-include", "-Xclang", file].map(OsString::from)),
        }
    }
    Ok(Overlay { arguments: list, mirrors: Vec::new(), lent: Vec::new() })
}

struct Mirrors<'a, 's> {
    scratch: &'s Scratch,
    folder: &'a Path,
    directory: &'a Path,
    arguments: &'a Arguments,
    others: &'a [Unsaved<'a>],
    overlay: Overlay<'s>,
}

impl<'s> Mirrors<'_, 's> {
    fn build(mut self, source: Unsaved<'_>) -> io::Result<Overlay<'s>> {
        let text = self.source_mirror(source)?;
        let spelled = Path::new(&self.arguments.source);
        let own = match spelled.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if matches!(self.arguments.language, Language::C | Language::Cxx) {
            self.no_precompiled_headers()?;
        }
        self.overlay.arguments.extend(["-iquote".into(), own.into()]);
        for argument in &self.arguments.list {
            match argument {
                Argument::Search(kind, folder) => self.search_mirror(*kind, folder)?,
                Argument::Source(_) => self.overlay.arguments.push(text.clone().into()),
                Argument::Include(file) => self.overlay.arguments.extend(["-include".into(), file.into()]),
                Argument::Word(word) => self.overlay.arguments.push(word.into()),
            }
        }
        Ok(self.overlay)
    }

    /// GCC loads `NAME.gch` in place of the first header, and no other: one that stands before it, and has a token in it.
    /// Such a file is the compiler's memory as it was, and need not say what the header says.
    fn no_precompiled_headers(&mut self) -> io::Result<()> {
        let first = self.folder.join("first.h");
        fs::write(&first, ";\n")?;
        self.overlay.arguments.extend(["-include".into(), first.into()]);
        Ok(())
    }

    /// Puts the source file's text into a mirror of its folder, or of one above it from which unsaved headers are
    /// reached. Without such headers nothing but the text needs to be there.
    fn source_mirror(&mut self, source: Unsaved<'_>) -> io::Result<PathBuf> {
        let spelled = Path::new(&self.arguments.source);
        let (spelled, name) = (spelled.parent().unwrap_or(Path::new("")), spelled.file_name().unwrap_or_default());
        let folder = real_path(&self.directory.join(spelled));
        let above: Vec<&Path> = folder.ancestors().take(MAX_UP + 1).collect();
        let n_below = |top: &Path| self.others.iter().filter(|other| real_path(other.path).starts_with(top)).count();
        let n_reached = above.last().map_or(0, |highest| n_below(highest));
        let up = above.iter().position(|top| n_below(top) == n_reached).unwrap_or(0);
        let top = above.get(up).copied().unwrap_or(&folder);
        let spelled = spelled.ancestors().nth(up).unwrap_or(top);

        let relative = folder.strip_prefix(top).unwrap_or(Path::new("")).join(name);
        let text = match self.arguments.language {
            // To the assembler `#line` is a comment.
            Language::Assembly => named(source.text, &self.arguments.source).replacen("#line", "#", 1),
            Language::C | Language::Cxx | Language::Preprocessed => named(source.text, &self.arguments.source),
        };
        let root = if n_reached == 0 {
            let root = self.folder.join("source");
            fs::create_dir(&root)?;
            fs::write(root.join(name), text)?;
            root
        } else {
            let mut texts = self.texts_below(top, spelled);
            texts.insert(relative.clone(), text);
            self.lend(top, &texts)?
        };
        let place = root.join(relative);
        self.remember(root, spelled.to_owned());
        Ok(place)
    }

    fn lend(&mut self, real: &Path, texts: &BTreeMap<PathBuf, String>) -> io::Result<PathBuf> {
        let lent = self.scratch.farms().lend(|| self.scratch.job(), real, texts)?;
        let root = lent.root.clone();
        self.overlay.lent.push(lent);
        Ok(root)
    }

    /// Adds a folder of headers, and before it its mirror, if something below it is unsaved.
    fn search_mirror(&mut self, kind: SearchKind, folder: &str) -> io::Result<()> {
        let real = real_path(&self.directory.join(folder));
        let texts = self.texts_below(&real, Path::new(folder));
        if !texts.is_empty() {
            let root = self.lend(&real, &texts)?;
            self.overlay.arguments.extend([kind.flag().into(), root.clone().into()]);
            self.remember(root, PathBuf::from(folder));
        }
        self.overlay.arguments.extend([kind.flag().into(), folder.into()]);
        Ok(())
    }

    /// The unsaved texts below `real`, by their path from there, with the names that they have below `spelled`.
    fn texts_below(&self, real: &Path, spelled: &Path) -> BTreeMap<PathBuf, String> {
        let below = self.others.iter().filter_map(|other| {
            let relative = real_path(other.path).strip_prefix(real).ok()?.to_owned();
            let name = spelled.join(&relative);
            Some((relative, named(other.text, &name.display().to_string())))
        });
        below.collect()
    }

    /// Files that stand in a mirror by a link have its name; they get their real one back.
    fn remember(&mut self, root: PathBuf, spelled: PathBuf) {
        let shown = spelled.display().to_string();
        let shown = if shown.is_empty() { ".".to_owned() } else { shown };
        let in_macros = self.arguments.macro_name(&format!("{shown}/"));
        let options = [
            format!("-fdebug-prefix-map={}={shown}", root.display()),
            format!("-fmacro-prefix-map={}/={in_macros}", root.display()),
        ];
        self.overlay.arguments.extend(options.map(OsString::from));
        self.overlay.mirrors.push((root, spelled));
    }
}

/// The text, under its name. A byte order mark would not stand at the start any more.
fn named(text: &str, name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("#line 1 \"{escaped}\"\n{}", text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The file behind all links; for one that does not exist, what its path says.
pub fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| normal(path))
}
