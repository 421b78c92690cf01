//! Finds the object and the finding that a line of objtool's is about.
//!
//! In: [`Said`], the folders where objects may be.  Out: [`Answer`].
//! Holds afterwards: a place is one that the object at hand has for this very line, or for the only one with its words in
//! the same function; an object that changes while it is looked at is looked at again.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::cli::inputs::Input;
use crate::cli::judge::{Judge, Judged, Object};
use crate::cli::sarif;
use crate::cli::shape::shape;
use crate::cli::sources::Sources;
use crate::cli::told::told;
use crate::cli::{Verdict, text};
use crate::findings::{Code, Level};
use crate::ids::FindingId;
use crate::kernel::Kernel;
use crate::report::findings::ReportedGap;
use crate::report::{CauseKind, Report, ReportedFinding};
use crate::wording::said::{Folders, Said};

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// The object has it.
    Found,
    /// The object has one of the same words in the same function, at another offset: it was built anew.
    Moved,
    /// The object has none.
    Absent,
    /// There is no object.
    Gone,
    /// The object cannot be read.
    Unreadable,
}

/// Where something is in a source on this machine, as a person here would write it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Shown {
    pub file: String,
    pub line: u32,
    /// Bytes from 1.
    pub column: u32,
}

/// What is known of a line.
#[derive(Serialize)]
pub(super) struct Answer {
    /// The line's number in the log.
    pub line: usize,
    /// The object as the log names it.
    pub object: String,
    pub level: Level,
    /// objtool's words.
    pub objtool: String,
    pub status: Status,
    /// What is to be said about the object.
    pub note: Option<String>,
    /// What kind it is; by its words, where there is no finding.
    pub code: Option<Code>,
    pub place: Option<Shown>,
    /// What to do, in a sentence or two.
    pub fix: Option<String>,
    pub finding: Option<ReportedFinding>,
    /// The finding as `check` draws it.
    #[serde(skip)]
    pub drawn: String,
    #[serde(skip)]
    kernel: Option<Kernel>,
    #[serde(skip)]
    path: PathBuf,
}

impl Answer {
    fn new(said: &Said, line: usize, object: &str, status: Status) -> Answer {
        let code = Code::of_line(&said.text);
        Answer {
            line,
            object: object.to_owned(),
            level: said.level,
            objtool: said.text.clone(),
            status,
            note: None,
            code,
            place: None,
            fix: code.and_then(fix),
            finding: None,
            drawn: String::new(),
            kernel: None,
            path: PathBuf::from(object),
        }
    }

    fn noting(self, note: impl Into<String>) -> Answer {
        Answer { note: Some(note.into()), ..self }
    }

    /// What the exit status says of it.
    pub(super) fn verdict(&self) -> Verdict {
        match self.status {
            Status::Found | Status::Moved => Verdict::Found,
            Status::Absent | Status::Gone | Status::Unreadable => Verdict::Incomplete,
        }
    }
}

/// What SARIF has of answers: those of one object together, since findings that are alike are told apart by their order.
#[derive(Default)]
pub(super) struct Collected {
    objects: Vec<(PathBuf, Report)>,
}

impl Collected {
    /// Takes an answer.
    pub(super) fn take(&mut self, answer: Answer) {
        let at = self.objects.iter().position(|(_, report)| report.object == answer.object);
        let at = at.unwrap_or_else(|| {
            let report = Report {
                object: answer.object.clone(),
                kernel: Some(answer.kernel.unwrap_or(crate::detect::ASSUMED)),
                findings: Vec::new(),
                unjudged: Vec::new(),
                no_source: None,
            };
            self.objects.push((answer.path.clone(), report));
            self.objects.len() - 1
        });
        let Some((path, report)) = self.objects.get_mut(at) else { return };
        match answer.finding {
            Some(finding) => {
                *path = answer.path;
                report.findings.push(finding);
            }
            None => {
                report.unjudged.push(ReportedGap { what: answer.objtool, why: answer.note.unwrap_or_default() });
            }
        }
    }

    /// The entries of a document.
    pub(super) fn entries(self) -> Vec<sarif::Entry> {
        self.objects.into_iter().map(|(path, report)| sarif::Entry::new(report, &path)).collect()
    }
}

/// What to do about a kind of findings: the first paragraph of that part of its page.
fn fix(code: Code) -> Option<String> {
    let part = code.entry().part("How to fix it")?;
    let first = part.split("\n\n").next()?;
    // What leads to an example says little without it.
    (!first.starts_with("```") && !first.starts_with("- ") && !first.ends_with(':'))
        .then(|| first.replace('\n', " ").replace('`', ""))
}

/// What tells that a file has changed.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// An object that was looked at.
struct Known {
    path: PathBuf,
    stamp: Stamp,
    state: State,
}

enum State {
    Here(Box<Here>),
    Gone(String),
    Unreadable(String),
}

/// An object that is there, or what its source compiles to.
struct Here {
    object: Object,
    report: Report,
    /// By objtool's words; the finding, or none for a line that is about none.
    lines: FxHashMap<String, Option<FindingId>>,
    /// By words without numbers.
    shapes: FxHashMap<String, Vec<FindingId>>,
    /// What stands for the object that is gone.
    instead: Option<String>,
}

/// More objects are not kept: make works on a few at a time.
const MAX_KNOWN: usize = 8;
/// How often an object is looked at that is being written.
const TRIES: usize = 20;
/// How long an object is left to whoever writes it.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers lines.
pub(super) struct Answers<'a> {
    judge: &'a Judge<'a>,
    build_dir: Option<PathBuf>,
    folders: Folders,
    /// The build may still be running.
    is_live: bool,
    /// When the log was written.
    written: Option<SystemTime>,
    known: Vec<Known>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        judge: &'a Judge<'a>,
        build_dir: Option<PathBuf>,
        is_live: bool,
        written: Option<SystemTime>,
    ) -> Answers<'a> {
        Answers { judge, build_dir, folders: Folders::default(), is_live, written, known: Vec::new() }
    }

    /// Takes note of where make works.
    pub(super) fn hear(&mut self, line: &str) {
        self.folders.hear(line);
    }

    /// Where objects may be, the likeliest first.
    fn roots(&self) -> impl Iterator<Item = &Path> {
        self.build_dir.as_deref().into_iter().chain(self.folders.nearest_first()).chain([Path::new(".")])
    }

    /// The file that is called so.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let name = Path::new(name);
        let place = |root: &Path| if root == Path::new(".") { name.to_owned() } else { root.join(name) };
        self.roots().map(place).find(|path| path.is_file())
    }

    /// What is known of a line.
    pub(super) fn answer(&mut self, said: &Said, line: usize) -> Answer {
        let name = said.object(|name| self.find(name).is_some()).to_owned();
        let path = self.find(&name).unwrap_or_else(|| PathBuf::from(&name));
        let at = self.look(&path, &name);
        let written = self.written;
        let answer = |status| Answer::new(said, line, &name, status);
        let Some(known) = self.known.get(at) else { return answer(Status::Gone) };
        let here = match &known.state {
            State::Gone(why) => return answer(Status::Gone).noting(why),
            State::Unreadable(why) => return answer(Status::Unreadable).noting(why),
            State::Here(here) => here,
        };
        let is_newer = known.stamp.is_some_and(|(time, _)| written.is_some_and(|written| time > written));
        let newer = if is_newer { "; it is newer than the log" } else { "" };
        let (id, status, note) = match here.lines.get(&said.text) {
            Some(id) => (*id, Status::Found, None),
            None => match here.shapes.get(&shape(&said.text)).map(Vec::as_slice) {
                Some(&[id]) => {
                    let now = here.object.analysis.finding(id).and_then(|finding| finding.objtool.as_ref());
                    let now = now.map_or("", |line| line.text.split(": ").next().unwrap_or_default());
                    let note =
                        format!("{name} was built anew since, or is of another build: there it is at {now}{newer}");
                    (Some(id), Status::Moved, Some(note))
                }
                Some(several) => {
                    let n = several.len();
                    let note = format!(
                        "{name} was built anew since, or is of another build: {n} findings have these words, at other \
                         places{newer}"
                    );
                    return answer(Status::Absent).noting(note);
                }
                None => {
                    let note = format!(
                        "{name} as it is here has no such finding: it was changed since, is of another build, or was checked \
                         with other flags than {}{newer}",
                        here.object.flags_from
                    );
                    return answer(Status::Absent).noting(note);
                }
            },
        };
        let finding = id.and_then(|id| here.report.findings.iter().find(|finding| finding.id == Some(id)));
        let mut answer = answer(status);
        answer.note = note.or_else(|| here.instead.clone());
        answer.kernel = here.report.kernel;
        answer.path.clone_from(&here.object.path);
        let Some(finding) = finding else { return answer };
        answer.code = Some(finding.code);
        // The page speaks of the usual cause; another one has its own words in the finding.
        answer.fix = fix(finding.code).filter(|_| finding.cause.kind == CauseKind::of(finding.code));
        let source = finding.file.as_deref().and_then(|file| Some((Sources::path(&here.object.path, file)?, file)));
        if let (Some((source, file)), Some(line)) = (source, finding.line) {
            let is_edited = here.instead.is_none()
                && stamp(&source).zip(known.stamp).is_some_and(|((source, _), (object, _))| source > object);
            if is_edited && answer.note.is_none() {
                answer.note = Some(format!("{} is newer than {name}: its lines may have moved", source.display()));
            }
            let sources = Sources::read(&here.object.path, [file]);
            let column = finding.column.or_else(|| sources.first_column(file, line));
            answer.place = Some(Shown { file: sources.shown(file).to_owned(), line, column: column.unwrap_or(1) });
        }
        let alone = Report { findings: vec![finding.clone()], unjudged: Vec::new(), ..here.report.clone() };
        answer.drawn = text::render(&alone, &here.object);
        answer.finding = Some(finding.clone());
        answer
    }

    /// The number of the object among those that are known, looked at if it was not, or not as it is.
    fn look(&mut self, path: &Path, name: &str) -> usize {
        let now = stamp(path);
        if let Some(at) = self.known.iter().position(|known| known.path == path) {
            if self.known.get(at).is_some_and(|known| known.stamp == now) {
                return at;
            }
            self.known.remove(at);
        }
        if self.known.len() == MAX_KNOWN {
            self.known.remove(0);
        }
        let (stamp, state) = self.state(path, name);
        self.known.push(Known { path: path.to_owned(), stamp, state });
        self.known.len() - 1
    }

    fn state(&self, path: &Path, name: &str) -> (Stamp, State) {
        let mut tries = if self.is_live { TRIES } else { 1 };
        loop {
            tries -= 1;
            let before = stamp(path);
            if before.is_none() {
                return (before, self.instead(name));
            }
            let judged = self.judge.object(&Input { path: path.to_owned(), named: true });
            let is_settled = stamp(path) == before && matches!(judged, Judged::Analysed(_));
            if is_settled || tries == 0 {
                return (before, self.taken(judged, None));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn taken(&self, judged: Judged, instead: Option<String>) -> State {
        let object = match judged {
            Judged::Analysed(object) => *object,
            Judged::Skipped(skip) => return State::Unreadable(format!("not checked, because {}", skip.words())),
            Judged::Failed(why) | Judged::Refused(why) => return State::Unreadable(why),
        };
        let lines: FxHashMap<String, Option<FindingId>> =
            object.analysis.lines.iter().map(|printed| (printed.line.text.clone(), printed.of)).collect();
        let mut shapes: FxHashMap<String, Vec<FindingId>> = FxHashMap::default();
        for (id, finding) in (0..).map(FindingId).zip(&object.analysis.findings) {
            if let Some(line) = &finding.objtool {
                shapes.entry(shape(&line.text)).or_default().push(id);
            }
        }
        let report = told(&object, self.judge, |id| object.analysis.finding(id).is_some_and(|f| f.objtool.is_some()));
        State::Here(Box::new(Here { object, report, lines, shapes, instead }))
    }

    /// What there is instead of an object that is gone: make deletes one that objtool refuses.
    fn instead(&self, name: &str) -> State {
        let gone = format!("{name} is not there (make deletes what objtool refuses)");
        let sources = ["c", "S"].into_iter().flat_map(|extension| {
            let source = Path::new(name).with_extension(extension);
            self.roots()
                .flat_map(move |root| [root.join(&source), root.join("source").join(&source)])
                .collect::<Vec<_>>()
        });
        let Some(source) = sources.into_iter().find(|source| source.is_file()) else {
            return State::Gone(format!("{gone}, and neither is a source of its name"));
        };
        let shown = source.strip_prefix("./").unwrap_or(&source).to_owned();
        match self.judge.object(&Input { path: shown.clone(), named: true }) {
            judged @ Judged::Analysed(_) => {
                let shown = shown.display();
                self.taken(judged, Some(format!("{gone}; this is what {shown} compiles to as its build does it")))
            }
            Judged::Skipped(skip) => {
                State::Gone(format!("{gone}; {} was not compiled: {}", shown.display(), skip.words()))
            }
            Judged::Failed(why) | Judged::Refused(why) => {
                let why = why.lines().next().unwrap_or_default();
                State::Gone(format!("{gone}; its source was not compiled: {why}"))
            }
        }
    }
}
