//! `orcls objtool ARGS...`, and the program under the name `objtool`: objtool's place taken in a build.
//!
//! In: the command line of the release's objtool.  Out: its lines on standard error, the object as it would have left it,
//! its exit status.
//! Holds afterwards: the object is whole at every moment, as it was before or as it is after: it is written beside itself
//! and then renamed. Where objtool writes nothing, the file is not touched. What orcls cannot do is passed on to the tree's
//! own objtool, if there is one, else refused.
//! Reads like: `tools/objtool/builtin-check.c`, `objtool.c`; behaviour only.

mod words;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::detail::detail;
use super::inputs::{self, Input};
use super::judge::{Judge, Judged, Object, Opened, Rules};
use super::{Verdict, output};
use crate::analysis::{GaveUp, Policy};
use crate::build::{Finder, Search};
use crate::kernel::{Kernel, KernelChoice};
use crate::write::{WriteError, write};
use words::{Line, parse};

/// What objtool's option parser exits with.
const USAGE: u8 = 129;
/// What a negative return value becomes.
const NEGATIVE: u8 = 255;

/// Whether the program was started in objtool's place.
pub(crate) fn is_named(program: Option<&OsString>) -> bool {
    program.is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == "objtool"))
}

/// Does what objtool would do with these arguments.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let kernel = kernel(words);
    let release = kernel.unwrap_or(crate::detect::ASSUMED);
    let line = match parse(words, release) {
        Ok(line) => line,
        Err(why) => return pass_on(words).unwrap_or_else(|| refuse(&why, USAGE)),
    };
    match done(&line, kernel, words) {
        Ok(status) => status,
        Err(error) => {
            output::complain(&format!("{}: {error:#}", line.object.display()));
            Verdict::Found.into()
        }
    }
}

fn refuse(why: &str, status: u8) -> ExitCode {
    output::complain(why);
    ExitCode::from(status)
}

fn say(text: &str) {
    // As objtool does: without buffering, and whether or not anybody reads it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn done(line: &Line, kernel: Option<Kernel>, words: &[OsString]) -> anyhow::Result<ExitCode> {
    let name = line.object.display().to_string();
    let rules = Rules {
        kernel: kernel.map_or(KernelChoice::Auto, KernelChoice::Fixed),
        build_dir: None,
        jobs: None,
        time: false,
        trust: false,
        help: None,
        options: line.options.clone(),
    };
    if !line.object.exists() {
        say(&format!("objtool: Can't open '{name}': No such file or directory\n"));
        return Ok(Verdict::Found.into());
    }
    let foreign = inputs::is_foreign(&line.object);
    if (foreign || line.options.stats || line.options.trace.is_some())
        && let Some(status) = pass_on(words)
    {
        return Ok(status);
    }
    if foreign {
        anyhow::bail!("not an object of x86-64, and the tree has no objtool of its own to pass it on to");
    }
    let judge = Judge::new(&rules, Policy::Objtool);
    let input = Input { path: line.object.clone(), named: true };
    let opened = match judge.open(&input) {
        Ok(opened) => opened,
        Err(_) => return Ok(unreadable(&judge, &input)),
    };
    let release = judge.kernel(&input, &opened);
    if line.dump {
        return dump(&opened, release);
    }
    if let Some(words) = line.options.refused(release.rules(), opened.image.is_linked()) {
        say(&format!("error: objtool: {words}\n"));
        return Ok(Verdict::Found.into());
    }
    if line.options.orc && opened.image.section_by_name(".orc_unwind").is_some() {
        // objtool was at it already. What it would still add is for itself to say.
        return pass_on(words).map_or_else(
            || anyhow::bail!("it has an ORC table already, and the tree has no objtool of its own to pass it on to"),
            Ok,
        );
    }
    drop(opened);
    match judge.object(&input) {
        Judged::Analysed(object) => finish(line, &object),
        Judged::Refused(words) => {
            say(&format!("{words}\n"));
            Ok(Verdict::Found.into())
        }
        Judged::Failed(why) => anyhow::bail!(why),
        Judged::Skipped => Ok(Verdict::Clean.into()),
    }
}

/// An object that cannot be read: in objtool's words where they are known.
fn unreadable(judge: &Judge<'_>, input: &Input) -> ExitCode {
    match judge.object(input) {
        Judged::Refused(words) => say(&format!("{words}\n")),
        Judged::Failed(why) => output::complain(&why),
        Judged::Analysed(_) | Judged::Skipped => {}
    }
    Verdict::Found.into()
}

/// `--dump`: the table that the object has.
fn dump(object: &Opened, release: Kernel) -> anyhow::Result<ExitCode> {
    if object.image.section_by_name(".orc_unwind").is_some() {
        let table = crate::orc::stored(object.store.as_ref(), &object.image, release.rules())?;
        output::print(&table.text(release.rules()))?;
    }
    Ok(Verdict::Clean.into())
}

fn finish(line: &Line, object: &Object) -> anyhow::Result<ExitCode> {
    let analysis = &object.analysis;
    let mut text = String::new();
    for said in &analysis.lines {
        text.push_str(&format!("{}: {said}\n", object.name));
    }
    say(&text);
    let more = detail(object, &analysis.options);
    if !more.is_empty() {
        output::print(&more)?;
    }
    let rules = analysis.kernel.rules();
    let strict = rules.write.nothing_after_refusal;
    let status = match analysis.gave_up {
        Some(_) if strict => NEGATIVE,
        None if strict && analysis.options.werror && analysis.counted != 0 => 1,
        _ => 0,
    };
    if analysis.options.backup && (!strict || status != 0) {
        let mut backup = line.object.clone().into_os_string();
        backup.push(".orig");
        fs::copy(&line.object, backup)?;
    }
    if analysis.options.dry_run || status != 0 || analysis.gave_up == Some(GaveUp::Reading) {
        return Ok(ExitCode::from(status));
    }
    let target = line.output.as_deref().unwrap_or(&line.object);
    match put(object, target) {
        Ok(()) => Ok(ExitCode::from(status)),
        Err(PutError::Write(WriteError::GivenUp(_))) => Ok(ExitCode::from(status)),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, thiserror::Error)]
enum PutError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Puts the written object into `target`'s place, at once and as a whole. One that would stay as it is, is left alone.
fn put(object: &Object, target: &Path) -> Result<(), PutError> {
    // A link leads to the file that is meant.
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".orcls-").tempfile_in(folder)?;
    let mut out = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    write(&object.analysis, object.store.as_ref(), &mut out)?;
    out.flush()?;
    drop(out);
    if target.exists() && same_bytes(file.path(), &target)? {
        return Ok(());
    }
    let mode = fs::metadata(&object.path)?.permissions();
    file.as_file().set_permissions(mode)?;
    file.persist(&target).map_err(|error| PutError::Io(error.error))?;
    Ok(())
}

fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let (a, b) = (File::open(a)?, File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (BufReader::with_capacity(1 << 16, a), BufReader::with_capacity(1 << 16, b));
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut left)?;
        if n == 0 {
            return Ok(true);
        }
        let other = right.get_mut(..n).ok_or(io::ErrorKind::InvalidData)?;
        b.read_exact(other)?;
        if left.get(..n) != Some(&*other) {
            return Ok(false);
        }
    }
}

/// The release of the tree that the program is called in: make runs in it, and names it to what it starts.
fn kernel(words: &[OsString]) -> Option<Kernel> {
    if let Some(chosen) = std::env::var("ORCLS_KERNEL").ok().filter(|chosen| chosen != "auto") {
        return Kernel::ALL.into_iter().find(|kernel| kernel.name() == chosen);
    }
    let release = |root: PathBuf| fs::read_to_string(root.join("include/config/kernel.release")).ok();
    let trees = trees().into_iter().find_map(release);
    let text = trees.or_else(|| std::env::var("KERNELRELEASE").ok());
    let named = text.and_then(|text| {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
        Some(Kernel::nearest(numbers.next()??, numbers.next()??))
    });
    named.or_else(|| {
        let object = words.last().map(Path::new).filter(|object| object.exists())?;
        Finder::new(Search::default()).flags(object).kernel.map(|(kernel, _)| kernel)
    })
}

/// Build trees, the nearest first.
fn trees() -> Vec<PathBuf> {
    let named = ["abs_objtree", "objtree"].into_iter().filter_map(|name| std::env::var_os(name).map(PathBuf::from));
    std::iter::once(PathBuf::from(".")).chain(named).collect()
}

/// Hands the command over to the tree's own objtool, if there is one. Returns only where there is none.
fn pass_on(words: &[OsString]) -> Option<ExitCode> {
    let own = std::env::current_exe().and_then(fs::canonicalize).ok();
    let named = std::env::var_os("ORCLS_OBJTOOL").map(PathBuf::from);
    let built = trees().into_iter().map(|tree| tree.join("tools/objtool/objtool"));
    let is_another =
        |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| path.is_file() && Some(&path) != own.as_ref());
    let objtool = named.into_iter().chain(built).find(is_another)?;
    let error = Command::new(&objtool).args(words).exec();
    Some(refuse(&format!("{}: {error}", objtool.display()), 1))
}
