//! `orcls objtool ARGS...`, and the program under the name `objtool`: objtool's place taken in a build.
//!
//! In: the command line of the release's objtool.  Out: its lines on standard error, the object as it would have left it,
//! its exit status.
//! Holds afterwards: the object is whole at every moment, as it was before or as it is after: it is written beside itself
//! and then renamed. Where objtool writes nothing, the file is not touched. What orcls cannot do is passed on to the tree's
//! own objtool, if there is one, else refused.
//! Reads like: `tools/objtool/builtin-check.c`, `objtool.c`; behaviour only.

mod behind;
mod words;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::detail::detail;
use super::inputs::Input;
use super::judge::{Judge, Judged, Object, Opened, Rules};
use super::replace::Replacement;
use super::{Verdict, output};
use crate::analysis::{GaveUp, Policy};
use crate::build::{Finder, Foreign, Search, TreeRelease};
use crate::kernel::{Kernel, KernelChoice};
use crate::write::{WriteError, write};
use words::{Line, Surroundings, parse};

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
    let place = match Place::of(words) {
        Ok(place) => place,
        // The bytes of a release that is not known cannot be the same.
        Err(why) => return pass_on(words).unwrap_or_else(|| refuse(&why, Verdict::Found as u8)),
    };
    let line = match parse(words, &Surroundings::of_process(), place.release.unwrap_or(crate::detect::ASSUMED)) {
        Ok(line) => line,
        Err(why) => return pass_on(words).unwrap_or_else(|| refuse(&why, USAGE)),
    };
    match done(&line, place, words) {
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

fn done(line: &Line, place: Place, words: &[OsString]) -> anyhow::Result<ExitCode> {
    let name = line.object.display().to_string();
    let kernel = place.release.map_or(KernelChoice::Auto, KernelChoice::Fixed);
    let options = line.options.clone();
    let rules = Rules { kernel, build_dir: None, jobs: None, time: false, trust: false, help: None, options };
    // objtool opens the object for writing, whatever it goes on to do.
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(&line.object) {
        let text = error.to_string();
        let why = text.split_once(" (os error").map_or(text.as_str(), |(why, _)| why);
        match copies(line) {
            Some(_) => say(&format!("{name}: error: objtool: can't open {name} for reading: {why}\n")),
            None => say(&format!("objtool: Can't open '{name}': {why}\n")),
        }
        return Ok(Verdict::Found.into());
    }
    let foreign = matches!(Foreign::of(&line.object), Some(Foreign::Machine(_) | Foreign::Small(_)));
    let assumed = place.release.unwrap_or(crate::detect::ASSUMED);
    if (foreign || line.is_in_objtools_own_form(assumed))
        && let Some(status) = pass_on(words)
    {
        return Ok(status);
    }
    if foreign {
        anyhow::bail!("not an object of x86-64, and the tree has no objtool of its own to pass it on to");
    }
    let judge = Judge::new(&rules, Policy::Objtool).within(place.tree);
    if let Some(output) = copies(line) {
        return done_in_copy(line, output, &judge);
    }
    let input = Input { path: line.object.clone(), named: true };
    let opened = match judge.open(&input) {
        Ok(opened) => opened,
        Err(_) => return Ok(unreadable(&judge, &input)),
    };
    let release = judge.kernel(&input, &opened);
    if line.dump {
        let flags = &release.rules().flags;
        if line.options.any_action() && !flags.sub_commands {
            let others = if release <= Kernel::V6_6 { "options" } else { "actions" };
            say(&format!("error: objtool: --dump can't be combined with other {others}\n"));
            return Ok(Verdict::Found.into());
        }
        return dump(&opened, release);
    }
    if let Some(refused) = refused(line, release, &opened) {
        return Ok(refused);
    }
    if line.options.orc && opened.image.section_by_name(".orc_unwind").is_some() {
        // objtool was at it already. What it would still add is for itself to say.
        return pass_on(words).map_or_else(
            || anyhow::bail!("it has an ORC table already, and the tree has no objtool of its own to pass it on to"),
            Ok,
        );
    }
    drop(opened);
    judged(line, &judge, &input)
}

/// The file that `--output` has the object copied to, which then takes the object's place.
fn copies(line: &Line) -> Option<&Path> {
    line.output.as_deref().filter(|_| !line.options.dry_run && !line.dump)
}

/// As objtool does: all that is said and done is about the copy.
fn done_in_copy(line: &Line, output: &Path, judge: &Judge<'_>) -> anyhow::Result<ExitCode> {
    let input = Input { path: line.object.clone(), named: true };
    if let Ok(opened) = judge.open(&input) {
        let release = judge.kernel(&input, &opened);
        if let Some(refused) = refused(line, release, &opened) {
            return Ok(refused);
        }
        if line.options.orc && opened.image.section_by_name(".orc_unwind").is_some() {
            anyhow::bail!("it has an ORC table already: run objtool on the object that the compiler made");
        }
    }
    let is_itself = fs::canonicalize(output).is_ok_and(|output| fs::canonicalize(&line.object).ok() == Some(output));
    if !is_itself && let Err(error) = fs::copy(&line.object, output) {
        let text = error.to_string();
        let why = text.split_once(" (os error").map_or(text.as_str(), |(why, _)| why);
        let (name, output) = (line.object.display(), output.display());
        say(&format!("{name}: error: objtool: can't open {output} for writing: {why}\n"));
        return Ok(Verdict::Found.into());
    }
    let copy = Line { object: output.to_owned(), ..line.clone() };
    judged(&copy, judge, &Input { path: output.to_owned(), named: true })
}

/// What objtool has against the command line.
fn refused(line: &Line, release: Kernel, opened: &Opened) -> Option<ExitCode> {
    let words = line.options.refused(release.rules(), opened.image.is_linked())?;
    say(&format!("error: objtool: {words}\n"));
    Some(Verdict::Found.into())
}

fn judged(line: &Line, judge: &Judge<'_>, input: &Input) -> anyhow::Result<ExitCode> {
    match judge.object(input) {
        Judged::Analysed(object) => finish(line, &object),
        Judged::Refused(words) => {
            say(&format!("{words}\n"));
            Ok(Verdict::Found.into())
        }
        Judged::Failed(why) => anyhow::bail!(why),
        Judged::Skipped(_) => Ok(Verdict::Clean.into()),
    }
}

/// An object that cannot be read: in objtool's words where they are known.
fn unreadable(judge: &Judge<'_>, input: &Input) -> ExitCode {
    match judge.object(input) {
        Judged::Refused(words) => say(&format!("{words}\n")),
        Judged::Failed(why) => output::complain(&why),
        Judged::Analysed(_) | Judged::Skipped(_) => {}
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
    for line in &analysis.lines {
        text.push_str(&format!("{}\n", line.for_object(&object.name)));
    }
    say(&text);
    let more = detail(object, &analysis.options);
    if !more.is_empty() {
        output::print(&more)?;
    }
    let rules = analysis.kernel.rules();
    let strict = rules.write.nothing_after_refusal;
    let status = match analysis.gave_up {
        // Here every release leaves at once.
        Some(GaveUp::Opening) => return Ok(ExitCode::from(1)),
        Some(GaveUp::Killed) => {
            output::complain(&format!("{}: objtool itself is killed by it", object.name));
            NEGATIVE
        }
        Some(GaveUp::Leaving) => NEGATIVE,
        Some(GaveUp::Checking | GaveUp::Adding) if strict => NEGATIVE,
        None if strict && analysis.options.werror && analysis.counted != 0 => 1,
        None | Some(GaveUp::Checking | GaveUp::Adding) => 0,
    };
    // Since 7.0 the copy is for repeating a run that has found something.
    let repeats = analysis.kernel >= Kernel::V7_0;
    if analysis.options.backup && (!repeats || analysis.counted != 0 || analysis.gave_up.is_some()) {
        let mut backup = line.object.clone().into_os_string();
        backup.push(".orig");
        fs::copy(&line.object, &backup)?;
        if repeats {
            // With `--output` the object itself is still there.
            say(&repeated(line, Some(&backup).filter(|_| line.output.is_none())));
        }
    }
    if analysis.options.dry_run || status != 0 {
        return Ok(ExitCode::from(status));
    }
    let target = &line.object;
    match put(object, target) {
        Ok(()) | Err(PutError::Write(WriteError::GivenUp(_))) => Ok(ExitCode::from(status)),
        Err(error) => {
            output::complain(&format!("{}: {error}", target.display()));
            Ok(ExitCode::from(if strict { 1 } else { NEGATIVE }))
        }
    }
}

/// The command line by which a run is repeated, on the copy where there is one.
fn repeated(line: &Line, backup: Option<&OsString>) -> String {
    let words = std::env::args_os().map(|word| match backup {
        Some(backup) if Path::new(&word) == line.object => {
            format!("{} -o {}", backup.display(), line.object.display())
        }
        _ => word.display().to_string(),
    });
    words.collect::<Vec<_>>().join(" ") + "\n"
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
    let replacement = Replacement::of(target)?;
    let (analysis, store) = (&object.analysis, object.store.as_ref());
    behind::written(replacement.file(), store, |out| Ok::<_, PutError>(write(analysis, store, out)?))?;
    if replacement.target().exists() && same_bytes(replacement.file(), replacement.target())? {
        return Ok(());
    }
    replacement.file().set_permissions(fs::metadata(&object.path)?.permissions())?;
    Ok(replacement.publish()?)
}

fn same_bytes(mut a: &File, b: &Path) -> io::Result<bool> {
    a.rewind()?;
    let b = File::open(b)?;
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let mut b = BufReader::with_capacity(1 << 16, b);
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

/// Where the program is called: make runs in a tree, and names it to what it starts.
struct Place {
    /// The tree, unless the user has named a release: then its rules are wanted, and not what this tree has made of them.
    tree: Option<PathBuf>,
    /// Its release; `None` where only the object can tell.
    release: Option<Kernel>,
}

impl Place {
    /// Says why where the release is none that orcls knows.
    fn of(words: &[OsString]) -> Result<Place, String> {
        if let Some(chosen) = std::env::var("ORCLS_KERNEL").ok().filter(|chosen| chosen != "auto") {
            let release = Kernel::ALL.into_iter().find(|kernel| kernel.name() == chosen);
            let release = release.ok_or_else(|| format!("ORCLS_KERNEL: {chosen} is no release that orcls knows"))?;
            return Ok(Place { tree: None, release: Some(release) });
        }
        let here = || trees().into_iter().find_map(|tree| Some((TreeRelease::of(&tree)?, Some(tree))));
        let named = || {
            let text = std::env::var("KERNELRELEASE").ok()?;
            Some((TreeRelease::new(&text, PathBuf::from("KERNELRELEASE"))?, None))
        };
        let around = || {
            let object = words.last().map(Path::new).filter(|object| object.exists())?;
            let tree = Finder::new(Search::default()).flags(object).tree?;
            Some((tree.release.clone()?, Some(tree.root.clone())))
        };
        let Some((release, tree)) = here().or_else(named).or_else(around) else {
            return Ok(Place { tree: None, release: None });
        };
        if !release.is_known() {
            let (text, kernel) = (release.text, release.kernel);
            return Err(format!(
                "{text} is a release that orcls does not know, and the tree has no objtool of its own to pass the object on \
                 to; ORCLS_KERNEL={kernel} has it treated as by {kernel}"
            ));
        }
        Ok(Place { tree, release: Some(release.kernel) })
    }
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
