//! Reads `compile_commands.json` files and finds a source's entries in them.
//!
//! In: the file.  Out: [`Entry`]s with absolute paths.
//! Holds afterwards: a file that has changed since it was read is read again.
//! Reads like: the Clang documentation, "JSON Compilation Database Format Specification".

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::cmd::is_kernel_word;
use super::{normal, same_file};
use crate::files;

/// One entry, its paths absolute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// The object that the command writes.
    pub object: PathBuf,
    /// The folder that it runs in.
    pub directory: PathBuf,
    /// The command.
    pub argv: Vec<String>,
}

/// An entry as it stands in the file; most are never asked for, so that their commands stay unsplit.
#[derive(Clone, Deserialize, Debug)]
struct Raw {
    directory: PathBuf,
    file: PathBuf,
    command: Option<String>,
    arguments: Option<Vec<String>>,
    output: Option<PathBuf>,
}

impl Raw {
    fn is_kernel_code(&self) -> bool {
        let in_text = || self.command.iter().flat_map(|text| text.split_ascii_whitespace()).any(is_kernel_word);
        self.arguments.iter().flatten().any(|word| is_kernel_word(word)) || in_text()
    }

    fn entry(&self) -> Option<Entry> {
        let argv = match (&self.arguments, &self.command) {
            (Some(arguments), _) => arguments.clone(),
            (None, Some(command)) => shell_words::split(command).ok()?,
            (None, None) => return None,
        };
        let named = self.output.clone().or_else(|| output_of(&argv));
        let object = named.or_else(|| self.file.with_extension("o").file_name().map(PathBuf::from))?;
        (!argv.is_empty()).then(|| Entry {
            object: normal(&self.directory.join(object)),
            directory: self.directory.clone(),
            argv,
        })
    }
}

/// One database.
#[derive(Debug, Default)]
pub(super) struct Database {
    entries: Vec<Raw>,
    /// C or C++ is compiled, and nothing of it for a kernel.
    is_user_project: bool,
    by_name: FxHashMap<std::ffi::OsString, Vec<u32>>,
}

impl Database {
    fn parse(text: &[u8], folder: &Path) -> Result<Self, String> {
        let mut entries: Vec<Raw> = serde_json::from_slice(text).map_err(|error| format!("not readable: {error}"))?;
        let mut by_name: FxHashMap<_, Vec<u32>> = FxHashMap::default();
        for (at, raw) in entries.iter_mut().enumerate() {
            // The specification wants an absolute directory; a relative one can only mean the database's own folder.
            raw.directory = folder.join(&raw.directory);
            if let Some(name) = raw.file.file_name() {
                by_name.entry(name.to_owned()).or_default().push(at as u32);
            }
        }
        let is_c = |raw: &Raw| {
            let extension = raw.file.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("c" | "cc" | "cpp" | "cxx"))
        };
        let is_user_project = entries.iter().any(is_c) && !entries.iter().any(Raw::is_kernel_code);
        Ok(Database { entries, is_user_project, by_name })
    }

    /// Whether the project is one of C or C++ programs, none of which is a kernel. Of assembly alone that is not known.
    pub(super) fn is_user_project(&self) -> bool {
        self.is_user_project
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry about the file that is nearest to `source` by its folders; of several the first.
    pub(super) fn nearest(&self, source: &Path) -> Option<Entry> {
        let shared = |raw: &&Raw| {
            let file = normal(&raw.directory.join(&raw.file));
            let common = file.components().zip(source.components()).take_while(|(a, b)| a == b).count();
            (common, std::cmp::Reverse(file.components().count()))
        };
        // `max_by_key` takes the last of equals.
        self.entries.iter().rev().max_by_key(shared)?.entry()
    }

    /// The entries about `source`, in file order.
    pub(super) fn entries_of(&self, source: &Path) -> Vec<Entry> {
        let at = source.file_name().and_then(|name| self.by_name.get(name)).map_or(&[][..], Vec::as_slice);
        let raws = at.iter().filter_map(|&at| self.entries.get(at as usize));
        raws.filter(|raw| same_file(&normal(&raw.directory.join(&raw.file)), source)).filter_map(Raw::entry).collect()
    }
}

/// What a command says to the preprocessor: folders of headers, and macros.
pub(super) fn of_preprocessor(argv: &[String]) -> Vec<String> {
    const WITH_VALUE: [&str; 6] = ["-I", "-D", "-U", "-isystem", "-iquote", "-include"];
    let mut found = Vec::new();
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        match WITH_VALUE.iter().find(|flag| word.starts_with(**flag)) {
            Some(flag) if word == flag => found.extend([Some(word), words.next()].into_iter().flatten().cloned()),
            Some(_) => found.push(word.clone()),
            None => {}
        }
    }
    found
}

/// What `-o` names.
fn output_of(argv: &[String]) -> Option<PathBuf> {
    argv.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("-o")? {
        "" => argv.get(at + 1).map(PathBuf::from),
        glued => Some(PathBuf::from(glued)),
    })
}

/// The databases read so far, each with the time stamp it had.
#[derive(Debug, Default)]
pub(super) struct Databases(Mutex<FxHashMap<PathBuf, Known>>);

/// A database, and the file's time and size when it was read.
#[derive(Debug)]
struct Known {
    stamp: (SystemTime, u64),
    database: Arc<Database>,
}

impl Databases {
    /// The database at `path` as it is on disk.
    pub(super) fn get(&self, path: &Path) -> Result<Arc<Database>, String> {
        let meta = std::fs::metadata(path).map_err(|_| "not there".to_owned())?;
        let stamp = (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len());
        let mut known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = known.get(path).filter(|known| known.stamp == stamp) {
            return Ok(known.database.clone());
        }
        let text = files::read(path, files::TABLE).map_err(|error| error.to_string())?;
        let database = Arc::new(Database::parse(&text, path.parent().unwrap_or(path))?);
        known.insert(path.to_owned(), Known { stamp, database: database.clone() });
        Ok(database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, source: &str, expect: &[(&str, &str, &[&str])]) {
        let database = Database::parse(json.as_bytes(), Path::new("/p")).unwrap();
        let found = database.entries_of(Path::new(source));
        let found: Vec<_> = found.iter().map(|e| (e.object.as_path(), e.directory.as_path(), e.argv.clone())).collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(o, d, a)| (Path::new(*o), Path::new(*d), a.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn command_and_arguments_and_relative_paths() {
        check(
            r#"[{"directory":"/p/b","file":"../s/a.c","command":"cc -DX=\"\\\"q\\\"\" -c -o o/a.o ../s/a.c"},
                {"directory":"/p/b","file":"/p/s/a.c","arguments":["cc","-oa2.o","a.c"]},
                {"directory":"/p/b","file":"/p/s/b.c","arguments":["cc"]}]"#,
            "/p/s/a.c",
            &[
                ("/p/b/o/a.o", "/p/b", &["cc", "-DX=\"q\"", "-c", "-o", "o/a.o", "../s/a.c"]),
                ("/p/b/a2.o", "/p/b", &["cc", "-oa2.o", "a.c"]),
            ],
        );
    }

    #[test]
    fn object_without_o_stands_in_the_directory() {
        check(
            r#"[{"directory":"sub","file":"a.S","arguments":["cc","-c","a.S"]}]"#,
            "/p/sub/a.S",
            &[("/p/sub/a.o", "/p/sub", &["cc", "-c", "a.S"])],
        );
    }

    #[test]
    fn entries_without_a_command_are_left_out() {
        check(r#"[{"directory":"/p","file":"a.c"}, {"directory":"/p","file":"a.c","command":"cc 'a"}]"#, "/p/a.c", &[]);
    }

    #[test]
    fn broken_json_says_where() {
        let error = Database::parse(b"[{]", Path::new("/p")).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
    }
}
