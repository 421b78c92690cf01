//! The loop: the only writer of the server's state.
//!
//! In: [`Event`]s, in the order in which the client sent them.  Out: answers, jobs for the workers, letters for the
//! outbox.
//! Holds afterwards: no event waits for a compiler, an analysis, a file or the client.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tower_lsp::jsonrpc::Error;
use tower_lsp::lsp_types::{
    DidChangeTextDocumentParams, DidOpenTextDocumentParams, ExecuteCommandParams, MessageType, ProgressToken, Url,
};

use crate::assembly::is_assembly_name;
use crate::cancel::CancelToken;

use super::assembly::files::Files;
use super::assembly::includes::preprocessed;
use super::assembly::view::View;
use super::capabilities;
use super::config::{CompileMode, Config, Origin, Trust};
use super::documents::{Document, Documents};
use super::events::{Event, Events};
use super::handlers::check_workspace::{COMMAND, Check, Pace as ProgressPace, Progress};
use super::handlers::{code_actions, diagnostics};
use super::moves::Moves;
use super::outbox::{Outbox, Refresh};
use super::position::Text;
use super::query::{Pace, Reply};
use super::session::{Delivery, Session};
use super::snapshot::{Snapshot, search};
use super::trace::Trace;
use super::units::{Unit, Units};
use super::verdict::{Engine, Freshness, Scope, Stamp, Task, Trouble, Verdict};
use super::workers::{Lost, Workers};

/// A text is judged this long after its last edit: long enough that a paste or a formatter is one edit, short enough
/// that nobody waits.
const DEBOUNCE: Duration = Duration::from_millis(4);
/// A text that only differs from a judged one by where its lines are is compiled this long after its last edit.
const CONFIRM: Duration = Duration::from_millis(400);
/// A text that was judged is linked into `vmlinux.o` when nothing was typed for so long.
const REST: Duration = Duration::from_millis(60);
/// Fixes are looked for this long after a judgement: not between two words that are typed.
const FIX_REST: Duration = Duration::from_millis(150);
/// A command or an object that was not there is looked for again after this time, and each time after twice as long.
const RETRY: Duration = Duration::from_secs(10);
/// So many times the time is doubled: a server that nobody uses works no longer.
const MOST_DOUBLINGS: u32 = 7;
/// After a change on disk what was not there is looked for again so soon, however many more changes follow.
const SETTLE: Duration = Duration::from_millis(100);
/// Of so many open files it is looked at in one go what the build has left.
const POLLED: usize = 64;
/// How often what the build has left is looked at.
const POLL: Duration = Duration::from_secs(1);

/// How much others go before the reading of the workspace.
const NICE: i32 = 10;

/// So many events are handled before it is looked what is due.
const BATCH: usize = 64;

/// What a judgement may take besides its compile. That of a linked kernel takes some seconds.
const MOST_TIME: Duration = Duration::from_secs(300);
const TOO_LONG: &str = "could not be judged: it took longer than five minutes and a compile may take";
/// Longer texts are not compared: that would take as long as it saves.
const MAX_COMPARED: usize = 4 << 20;

/// The number of the check of the workspace among the slow jobs.
const CHECK: u64 = 0;

/// Who does the work.
struct Pools {
    /// Requests that are answered from what is known, each under a number of its own.
    quick: Workers<u64>,
    /// Requests that need a judgement of their own.
    slow: Workers<u64>,
    /// Judgements of open files, by file.
    judges: Workers<PathBuf>,
    /// Reads the workspace's files, while others have nothing to do.
    reader: Workers<()>,
}

impl Pools {
    fn start() -> std::io::Result<Pools> {
        let n_cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Pools {
            quick: Workers::start("orcls-quick", 2)?,
            slow: Workers::start("orcls-slow", 2)?,
            judges: Workers::start("orcls-judge", n_cores.clamp(2, 8))?,
            reader: Workers::start("orcls-reader", 1)?,
        })
    }
}

/// The state of the server.
pub struct World {
    events: Events,
    outbox: Outbox,
    trace: Trace,
    engine: Arc<dyn Engine>,
    workers: Pools,
    session: Arc<Session>,
    config: Arc<Config>,
    documents: Documents,
    units: Units,
    /// What the last check of the workspace found.
    workspace: Arc<Vec<Verdict>>,
    /// What is known of files of assembly.
    assembly: Files,
    /// Numbers queries and judgements.
    count: u64,
    /// When the builds are looked at next.
    next_poll: Instant,
    /// The file that was looked at last.
    polled: Option<PathBuf>,
}

impl World {
    /// A server that knows nothing yet.
    pub fn new(events: Events, outbox: Outbox, trace: Trace, engine: Arc<dyn Engine>) -> std::io::Result<World> {
        Ok(World {
            events,
            outbox,
            trace,
            engine,
            workers: Pools::start()?,
            session: Arc::default(),
            config: Arc::default(),
            documents: Documents::default(),
            units: Units::default(),
            workspace: Arc::default(),
            assembly: Files::default(),
            count: 0,
            next_poll: Instant::now() + POLL,
            polled: None,
        })
    }

    /// Handles events until [`Event::Stop`] or until nobody can post any more.
    pub fn run(mut self, events: &Receiver<Event>) {
        // When the next file is due. Known until an event comes.
        let mut due = None;
        let mut fixes_due = None;
        loop {
            let wake = [due, fixes_due, self.has_builds().then_some(self.next_poll)].into_iter().flatten().min();
            let received = match wake {
                Some(wake) => events.recv_timeout(wake.saturating_duration_since(Instant::now())),
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(event) => {
                    // What is due is looked for among all files: once for events that come together.
                    for event in std::iter::once(event).chain(events.try_iter()).take(BATCH) {
                        match event {
                            Event::Stop => return,
                            event => self.handle(event),
                        }
                    }
                    (due, fixes_due) = (self.units.next_due(), self.units.next_fixes());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                for path in self.units.take_deadlines(now) {
                    self.stop_if_long(&path, now);
                }
                for path in self.units.take_due(now) {
                    self.judge(&path);
                }
                for path in self.units.take_whole_due(now) {
                    self.judge_whole(&path);
                }
                due = self.units.next_due();
            }
            if fixes_due.is_some_and(|due| due <= now) {
                for (uri, token) in self.units.take_due_fixes(now) {
                    self.prepare_fixes(uri, token);
                }
                fixes_due = self.units.next_fixes();
            }
            if now >= self.next_poll {
                self.next_poll = now + POLL;
                self.poll();
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Initialize(params, reply) => {
                self.session = Arc::new(Session::new(&params));
                if let Some(options) = &params.initialization_options {
                    self.configure(options, Origin::Client);
                }
                reply.send(Ok(capabilities::announce(&self.session)));
            }
            Event::Initialized => {
                let registrations = capabilities::dynamic(&self.session);
                if !registrations.is_empty() {
                    self.outbox.register(registrations);
                }
                if self.session.configuration {
                    self.outbox.fetch_settings();
                }
            }
            Event::Shutdown(reply) => {
                for unit in self.units.iter_mut() {
                    (unit.due, unit.retry) = (None, None);
                    self.workers.judges.cancel(&unit.path);
                }
                reply.send(Ok(()));
            }
            Event::Stop => {}
            Event::Opened(params) => self.opened(params),
            Event::Changed(params) => self.changed(params),
            Event::Saved(params) => self.saved(&params.text_document.uri),
            Event::Closed(params) => self.closed(&params.text_document.uri),
            Event::SettingsChanged(settings) => {
                // Clients that keep settings for the server to fetch pass nothing of use here.
                let carries = settings.get("orcls").is_some_and(Value::is_object);
                if carries {
                    self.configure(&settings, Origin::Later);
                }
                if self.session.configuration && !carries {
                    self.outbox.fetch_settings();
                }
            }
            Event::Settings(settings) => self.configure(&settings, Origin::Later),
            Event::FoldersChanged(params) => {
                let session = Arc::make_mut(&mut self.session);
                session.roots.retain(|root| {
                    !params.event.removed.iter().any(|folder| folder.uri.to_file_path().as_ref() == Ok(root))
                });
                session.roots.extend(params.event.added.iter().filter_map(|folder| folder.uri.to_file_path().ok()));
                self.judge_all();
            }
            Event::FilesChanged(files) => {
                self.assembly.index().touch();
                self.read_workspace();
                // Events come by the thousand where a build runs.
                let soon = Instant::now() + SETTLE;
                for unit in self.units.iter_mut().filter(|unit| unit.trouble.is_some()) {
                    unit.retry = Some(unit.retry.map_or(soon, |retry| retry.min(soon)));
                    unit.n_tries = 0;
                }
                // Of an open document the client's text counts.
                let closed = files.into_iter().filter(|file| self.documents.of_path(file).is_none());
                self.touch_users(&closed.collect());
                self.next_poll = self.next_poll.min(soon);
            }
            Event::Query(query) => {
                self.count += 1;
                let workers = match query.pace() {
                    Pace::Quick => &self.workers.quick,
                    Pace::Slow => &self.workers.slow,
                };
                query.submit(self.snapshot(), workers, self.count);
                self.read_workspace();
            }
            Event::Command(params, token, reply) => self.command(params, token, reply),
            Event::ProgressCancelled(token) if token == progress_token() => self.workers.slow.cancel(&CHECK),
            Event::ProgressCancelled(_) => {}
            Event::Checked(verdicts) => {
                let closed = |list: &[Verdict]| list.iter().flat_map(diagnostics::files).collect::<BTreeSet<_>>();
                let mut files = closed(&self.workspace);
                files.extend(closed(&verdicts));
                self.workspace = Arc::new(verdicts);
                self.show(&files);
            }
            Event::Judged(path, number, result) => self.judged(&path, number, result),
            Event::Rebuilt(files) => {
                for unit in self.units.iter_mut().filter(|unit| files.contains(&unit.path) && !unit.is_busy()) {
                    unit.touch(Instant::now());
                }
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            engine: Arc::clone(&self.engine),
            session: Arc::clone(&self.session),
            config: Arc::clone(&self.config),
            documents: self.documents.clone(),
            units: self.units.clone(),
            workspace: Arc::clone(&self.workspace),
            assembly: self.assembly.clone(),
        }
    }

    fn configure(&mut self, settings: &Value, origin: Origin) {
        let (config, complaints) = self.config.merged(settings, origin);
        for complaint in complaints {
            self.outbox.log(MessageType::WARNING, complaint);
        }
        if *self.config == config {
            return;
        }
        if self.config.trace != config.trace
            && let Err(error) = self.trace.set(config.trace.as_deref())
        {
            self.outbox.log(MessageType::WARNING, format!("the trace can not be written: {error}"));
        }
        self.config = Arc::new(config);
        self.judge_all();
    }
}

/// Documents.
impl World {
    fn opened(&mut self, params: DidOpenTextDocumentParams) {
        let document = self.documents.open(params);
        let Some(path) = document.path.clone() else {
            return;
        };
        if is_source(&path) {
            self.units.open(path.clone(), document.uri.clone()).touch(Instant::now());
            self.outbox.status_changed(document.uri.clone());
        }
        self.warm_assembly(&document.uri);
        // A header's text may differ from the file's from the start: editors restore unsaved texts.
        self.touch_users(&[path].into());
    }

    fn changed(&mut self, params: DidChangeTextDocumentParams) {
        let Some(document) = self.documents.change(params, self.session.encoding) else {
            return;
        };
        let Some(path) = &document.path else {
            return;
        };
        let on_type = self.config.compile == CompileMode::OnType && self.config.trust == Trust::Trusted;
        let held = self.holding(&document, path);
        for (user, is_same) in &held {
            self.keep_verdict(user, on_type && !is_same);
        }
        if let Some(unit) = self.units.get_mut(path).filter(|_| !held.contains_key(path)) {
            // Looking for a command means looking through folders; an edit does not bring one.
            if on_type && !matches!(unit.trouble, Some(Trouble::NoCommand(_))) {
                unit.retype(Instant::now() + DEBOUNCE);
                unit.whole_due = None;
                self.workers.judges.cancel(path);
            }
            self.outbox.status_changed(document.uri.clone());
        }
        if on_type {
            self.touch_users_but(&[path.clone()].into(), Some(&held));
        }
    }

    /// The files whose last verdict holds for the texts at hand though one of them was edited, and whether the texts are
    /// the very same.
    fn holding(&mut self, document: &Document, path: &Path) -> BTreeMap<PathBuf, bool> {
        let mut held = BTreeMap::new();
        let mut moves: Vec<(i32, Arc<Text>, bool)> = Vec::new();
        if document.text.as_str().len() > MAX_COMPARED {
            return held;
        }
        for unit in self.units.iter().filter(|unit| unit.trouble.is_none() && unit.typed) {
            let Some(verdict) = &unit.last else { continue };
            let (Some(version), Some(judged)) = (verdict.versions.get(path), verdict.judged.get(path)) else {
                continue;
            };
            if unit.path != path && !verdict.includes.iter().any(|file| file == path) {
                continue;
            }
            // The other texts are what they were, or as good as that.
            let holds = |file: &PathBuf| {
                let (document, version) = (self.documents.of_path(file), verdict.versions.get(file));
                document.zip(version).is_some_and(|(document, version)| document.is_as_at(*version))
            };
            if !verdict.judged.keys().filter(|file| *file != path).all(holds) {
                continue;
            }
            let known = moves.iter().find(|(of, text, _)| of == version && Arc::ptr_eq(text, judged));
            let is_same = match known {
                Some((.., is_same)) => *is_same,
                None => {
                    let Some(found) = Moves::between(path, judged.as_str(), document.text.as_str()) else { continue };
                    let is_same = judged.as_str() == document.text.as_str();
                    self.documents.moved(&document.uri, *version, found);
                    moves.push((*version, Arc::clone(judged), is_same));
                    is_same
                }
            };
            held.insert(unit.path.clone(), is_same);
        }
        held
    }

    /// Shows the last verdict of a file for the text at hand, and ends what was begun for another one.
    fn keep_verdict(&mut self, path: &Path, confirm: bool) {
        let Some(unit) = self.units.get_mut(path) else { return };
        let Some(verdict) = unit.last.clone() else { return };
        unit.due = None;
        unit.confirm_due = confirm.then(|| Instant::now() + CONFIRM);
        if verdict.scope == Scope::Pending {
            unit.whole_due = Some(Instant::now() + REST);
        }
        // What runs was begun for another text, or for this one before its lines moved.
        (unit.running, unit.deadline, unit.overdue) = (None, None, false);
        let uri = unit.uri.clone();
        self.workers.judges.cancel(&unit.path);
        let mut files = diagnostics::files(&verdict);
        files.insert(path.to_owned());
        self.show(&files);
        self.outbox.status_changed(uri);
    }

    fn saved(&mut self, uri: &Url) {
        let found = self.documents.get(uri).and_then(|document| Some((document.path.clone()?, document.version)));
        let Some((path, version)) = found else {
            return;
        };
        if let Some(unit) = self.units.get_mut(&path)
            && ((self.config.compile == CompileMode::OnSave && unit.freshness(version) != Freshness::Fresh)
                || unit.trouble.is_some())
        {
            unit.touch(Instant::now());
        }
        if self.config.compile == CompileMode::OnSave {
            self.touch_users(&[path].into());
        }
    }

    fn closed(&mut self, uri: &Url) {
        let Some(path) = self.documents.close(uri).and_then(|document| document.path.clone()) else {
            return;
        };
        self.workers.judges.cancel(&path);
        if let Some(unit) = self.units.close(&path) {
            let mut files = diagnostics::files_of(&unit);
            files.insert(path.clone());
            self.show(&files);
        }
        // What was typed into a header and not saved is gone.
        self.touch_users(&[path].into());
    }

    /// Judges the open files again whose code was made from one of these.
    fn touch_users(&mut self, headers: &BTreeSet<PathBuf>) {
        self.touch_users_but(headers, None);
    }

    /// The same because a text was edited, but for files whose verdict holds.
    fn touch_users_but(&mut self, headers: &BTreeSet<PathBuf>, held: Option<&BTreeMap<PathBuf, bool>>) {
        if headers.is_empty() {
            return;
        }
        for unit in self.units.iter_mut().filter(|unit| !headers.contains(&unit.path)) {
            if unit.may_read(headers) && !held.is_some_and(|held| held.contains_key(&unit.path)) {
                let when = Instant::now() + DEBOUNCE;
                match held {
                    Some(_) => unit.retype(when),
                    None => unit.touch(when),
                }
                // What runs is for a text that is gone.
                self.workers.judges.cancel(&unit.path);
            }
        }
    }
}

/// Judgements.
impl World {
    fn judge_all(&mut self) {
        for unit in self.units.iter_mut() {
            unit.touch(Instant::now());
        }
    }

    fn judge(&mut self, path: &Path) {
        self.submit(path, |engine, task, cancel| engine.judge(task, cancel));
    }

    /// Judges `vmlinux.o` with the file that the last verdict is about.
    fn judge_whole(&mut self, path: &Path) {
        let Some(last) = self.units.get(path).and_then(|unit| unit.last.clone()) else {
            return;
        };
        self.submit(path, move |engine, task, cancel| engine.judge_whole(&last, task, cancel));
    }

    /// Has a worker judge an open source file, in the place of what it does for that file.
    fn submit(
        &mut self,
        path: &Path,
        judge: impl FnOnce(&dyn Engine, &Task, &CancelToken) -> Result<Verdict, Trouble> + Send + 'static,
    ) {
        let search = search(&self.session, &self.config);
        let (Some(document), Some(unit)) = (self.documents.of_path(path), self.units.get_mut(path)) else {
            return;
        };
        self.count += 1;
        let number = self.count;
        unit.running = Some(number);
        unit.deadline = Some(Instant::now() + self.config.compile_timeout + MOST_TIME);
        unit.overdue = false;
        unit.search.cancel();
        let task = Task {
            source: path.to_owned(),
            document: Arc::clone(document),
            open: self.documents.all(),
            config: Arc::clone(&self.config),
            search,
            previous: unit.last.clone(),
        };
        let (engine, events, path) = (Arc::clone(&self.engine), self.events.clone(), path.to_owned());
        self.outbox.status_changed(document.uri.clone());
        self.workers.judges.submit(
            path.clone(),
            CancelToken::default(),
            move |cancel| {
                let mut verdict = judge(engine.as_ref(), &task, cancel)?;
                verdict.keep_texts(&task);
                Ok(Box::new(verdict))
            },
            move |result| {
                let result = result.unwrap_or_else(|lost| match lost {
                    Lost::Dropped => Err(Trouble::Cancelled),
                    Lost::Panicked(message) => Err(Trouble::Failed(format!("internal error: {message}"))),
                });
                events.post(Event::Judged(path, number, result));
            },
        );
    }

    /// Ends a judgement that takes too long. The time in which it waited for others does not count.
    fn stop_if_long(&mut self, path: &Path, now: Instant) {
        let most = self.config.compile_timeout + MOST_TIME;
        let since = self.workers.judges.running_since(&path.to_owned());
        let Some(unit) = self.units.get_mut(path) else {
            return;
        };
        match since {
            Some(since) if now.saturating_duration_since(since) >= most => {
                unit.overdue = true;
                self.workers.judges.cancel(&path.to_owned());
            }
            since => unit.deadline = Some(since.unwrap_or(now) + most),
        }
    }

    fn judged(&mut self, path: &Path, number: u64, result: Result<Box<Verdict>, Trouble>) {
        let Some(unit) = self.units.get_mut(path) else {
            return;
        };
        if unit.running == Some(number) {
            (unit.running, unit.deadline) = (None, None);
        }
        if number < unit.settled {
            return;
        }
        let overdue = std::mem::take(&mut unit.overdue);
        let result = match result {
            Err(Trouble::Cancelled) if overdue => Err(Trouble::Failed(TOO_LONG.to_owned())),
            result => result,
        };
        unit.typed |= !unit.is_busy();
        let uri = unit.uri.clone();
        let superseded = unit.is_busy();
        let mut files = diagnostics::files_of(unit);
        match result {
            Ok(verdict) => {
                files.extend(diagnostics::files(&verdict));
                let verdict: Arc<Verdict> = Arc::from(verdict);
                (unit.trouble, unit.retry, unit.n_tries) = (None, None, 0);
                if verdict.scope == Scope::Pending && !superseded {
                    unit.whole_due = Some(Instant::now() + REST);
                }
                unit.last = Some(Arc::clone(&verdict));
                unit.settled = number;
                // What the whole program says comes when the editor has rested.
                let rest = match &verdict.scope {
                    Scope::Alone | Scope::Pending => FIX_REST,
                    Scope::Whole | Scope::Unlinked(_) => Duration::ZERO,
                };
                unit.fixes_due = (!verdict.report.findings.is_empty()).then(|| Instant::now() + rest);
                self.warm(verdict);
            }
            Err(Trouble::Cancelled) => {
                self.outbox.status_changed(uri);
                return;
            }
            Err(_) if superseded => {}
            Err(trouble) => {
                if let Trouble::NoCommand(not_found) = &trouble {
                    let advice = not_found.advice();
                    match self.session.buttons {
                        true => self.outbox.advise_once(advice, format!("orcls: {not_found}")),
                        false => {
                            self.outbox.show_once(advice, MessageType::INFO, format!("orcls: {not_found}. {advice}"));
                        }
                    }
                }
                if matches!(trouble, Trouble::NoCommand(_) | Trouble::ObjectMissing(_)) {
                    unit.retry = Some(Instant::now() + RETRY * (1 << unit.n_tries.min(MOST_DOUBLINGS)));
                    unit.n_tries += 1;
                }
                tracing::info!("{}: {trouble}", path.display());
                unit.trouble = Some(trouble);
                unit.settled = number;
                files.extend(diagnostics::files_of(unit));
            }
        }
        // What belongs to an older text is kept for hovers, and shown only when nothing newer is on its way.
        if !superseded {
            files.insert(path.to_owned());
            self.show(&files);
        }
        self.outbox.status_changed(uri);
    }

    /// Looks for fixes while nobody waits for them. An edit ends the search.
    fn prepare_fixes(&mut self, uri: Url, token: CancelToken) {
        self.count += 1;
        let snapshot = self.snapshot();
        let look = move |cancel: &CancelToken| code_actions::prepare(&snapshot, &uri, cancel);
        self.workers.slow.submit(self.count, token, look, drop);
    }

    /// Reads what a text of assembly includes, so that the first question about it finds it read.
    fn warm_assembly(&mut self, uri: &Url) {
        if !self.documents.get(uri).and_then(|document| document.path.as_deref()).is_some_and(is_assembly_name) {
            return;
        }
        self.read_workspace();
        self.count += 1;
        let (snapshot, uri) = (self.snapshot(), uri.clone());
        let read = move |_: &CancelToken| drop(View::of(&snapshot, &uri).map(|view| preprocessed(&view)));
        self.workers.quick.submit(self.count, CancelToken::default(), read, drop);
    }

    /// Brings up to date what is known of the workspace's files, as long as a text of assembly is open.
    fn read_workspace(&mut self) {
        let is_assembly = |document: &Arc<Document>| document.path.as_deref().is_some_and(is_assembly_name);
        let roots = self.session.roots.clone();
        if !self.documents.all().iter().any(is_assembly) || !self.assembly.index().begin(&roots) {
            return;
        }
        let (index, done) = (self.assembly.index().clone(), self.assembly.index().clone());
        let read = move |cancel: &CancelToken| {
            // The thread does nothing else. Where it may not be slower than others, it is as fast.
            rustix::process::setpriority_process(None, NICE).ok();
            index.read(&roots, cancel)
        };
        self.workers.reader.submit((), CancelToken::default(), read, move |result| {
            if !matches!(result, Ok(Ok(()))) {
                done.give_up();
            }
        });
    }

    /// Reads the lines that the first hover will need.
    fn warm(&mut self, verdict: Arc<Verdict>) {
        self.count += 1;
        let read = move |_: &CancelToken| {
            if let Some(anatomy) = &verdict.anatomy
                && let (Some(map), Some(name)) = (anatomy.map(), anatomy.name(&verdict.source, verdict.directory()))
            {
                map.locations(name, 1);
                map.inlined_at(name, 1);
            }
        };
        self.workers.quick.submit(self.count, CancelToken::default(), read, drop);
    }

    /// Brings what the client shows for these files up to date.
    fn show(&self, files: &BTreeSet<PathBuf>) {
        let snapshot = self.snapshot();
        match self.session.delivery {
            Delivery::Pull => self.outbox.refresh(Refresh::Diagnostics),
            Delivery::Push => {
                for path in files {
                    let document = self.documents.of_path(path);
                    let uri = document.map(|document| document.uri.clone()).or_else(|| Url::from_file_path(path).ok());
                    if let Some(uri) = uri {
                        let list = diagnostics::of_file(&snapshot, path);
                        self.outbox.publish(uri, list, document.map(|document| document.version));
                    }
                }
            }
        }
        if self.session.refresh_inlay_hints {
            self.outbox.refresh(Refresh::InlayHints);
        }
        if self.session.refresh_code_lens {
            self.outbox.refresh(Refresh::CodeLens);
        }
    }

    /// Runs a command. There is one; it is one job, so that asking again starts it anew.
    fn command(&mut self, params: ExecuteCommandParams, token: CancelToken, reply: Reply<Option<Value>>) {
        if params.command != COMMAND {
            return reply.send(Err(Error::invalid_params(format!("there is no command `{}`", params.command))));
        }
        let given = params.work_done_progress_params.work_done_token;
        let own = (given.is_none() && self.session.progress).then(progress_token);
        if let Some(token) = &own {
            self.outbox.create_progress(token.clone());
        }
        let (snapshot, outbox, events) = (self.snapshot(), self.outbox.clone(), self.events.clone());
        let check = move |cancel: &CancelToken| {
            let progress = Progress { outbox: &outbox, token: given.or(own), pace: ProgressPace::default() };
            let (engine, search) = (snapshot.engine.as_ref(), &snapshot.search());
            Check { engine, config: &snapshot.config, search, progress }.run(cancel)
        };
        self.workers.slow.submit(CHECK, token, check, move |result| {
            let numbers = result.map(|result| {
                result.map(|(verdicts, numbers)| {
                    events.post(Event::Checked(verdicts));
                    Some(numbers)
                })
            });
            reply.settle(numbers);
        });
    }

    /// Whether the build has left anything that could change.
    fn has_builds(&self) -> bool {
        self.units.iter().any(|unit| unit.last.is_some())
    }

    /// Asks a worker which builds have changed.
    fn poll(&mut self) {
        let after = self.polled.take();
        let is_next = |unit: &&Unit| after.as_ref().is_none_or(|after| unit.path > *after);
        let settled = self.units.iter().filter(is_next).filter(|unit| !unit.is_busy());
        let known = settled.filter_map(|unit| Some((unit.path.clone(), unit.last.as_ref()?.stamps.clone())));
        let known: Vec<_> = known.take(POLLED).collect();
        // The next ones have their turn the next time, and behind the last the first.
        self.polled = known.get(POLLED - 1).map(|(path, _)| path.clone());
        if known.is_empty() {
            return;
        }
        self.count += 1;
        let events = self.events.clone();
        let look = move |_: &CancelToken| {
            let changed = known.into_iter().filter(|(_, stamps)| stamps.iter().any(Stamp::has_changed));
            let changed: Vec<PathBuf> = changed.map(|(path, _)| path).collect();
            if !changed.is_empty() {
                events.post(Event::Rebuilt(changed));
            }
        };
        self.workers.quick.submit(self.count, CancelToken::default(), look, drop);
    }
}

/// The name of the progress indicator that the server makes itself.
fn progress_token() -> ProgressToken {
    ProgressToken::String("orcls-check".to_owned())
}

/// Whether files of this name are compiled on their own.
fn is_source(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("c" | "S" | "s" | "asm" | "sx" | "cc" | "cpp" | "cxx" | "C" | "rs"))
}
