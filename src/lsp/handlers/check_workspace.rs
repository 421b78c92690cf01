//! `orcls.server.checkWorkspace`: judges every object that the build has left, with progress, until it is cancelled.
//!
//! In: folders, an [`Engine`].  Out: the verdicts with findings, and numbers for whoever asked.
//! Holds afterwards: the insides of an object are dropped before the next one is read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde_json::{Value, json};
use tower_lsp::lsp_types::{
    ProgressToken, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport,
};

use crate::build::Search;
use crate::cancel::{CancelToken, Cancelled};

use super::super::config::Config;
use super::super::outbox::Outbox;
use super::super::verdict::{Engine, Trouble, Verdict};

/// The command.
pub const COMMAND: &str = "orcls.server.checkWorkspace";

/// Objects that are linked from others say again what those say.
const LINKED: [&str; 4] = ["vmlinux.o", "vmlinux", ".tmp_vmlinux", "built-in"];

/// A check of everything.
pub struct Check<'a> {
    /// What judges objects.
    pub engine: &'a dyn Engine,
    /// The settings.
    pub config: &'a Config,
    /// Where objects are.
    pub search: &'a Search,
    /// Where progress is told.
    pub progress: Progress<'a>,
}

impl Check<'_> {
    /// Judges every object. The verdicts with findings, and the numbers.
    pub fn run(&self, cancel: &CancelToken) -> Result<(Vec<Verdict>, Value), Cancelled> {
        self.progress.begin();
        let result = self.judge(cancel);
        self.progress.end(match &result {
            Ok((_, numbers)) => format!("{} findings in {} objects", numbers["findings"], numbers["objects"]),
            Err(Cancelled) => "cancelled".to_owned(),
        });
        result
    }

    fn judge(&self, cancel: &CancelToken) -> Result<(Vec<Verdict>, Value), Cancelled> {
        let objects = self.objects(cancel)?;
        let (n_done, n_failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let one = |object: &PathBuf| -> Result<Option<Verdict>, Cancelled> {
            cancel.check()?;
            let verdict = match self.engine.inspect(object, self.config, self.search, cancel) {
                Ok(mut verdict) => {
                    verdict.anatomy = None;
                    Some(verdict).filter(|verdict| !verdict.report.findings.is_empty())
                }
                Err(Trouble::Cancelled) => return Err(Cancelled),
                Err(trouble) => {
                    tracing::info!("{}: {trouble}", object.display());
                    n_failed.fetch_add(1, Ordering::Relaxed);
                    None
                }
            };
            self.progress.step(n_done.fetch_add(1, Ordering::Relaxed) + 1, objects.len());
            Ok(verdict)
        };
        let verdicts: Vec<Option<Verdict>> = objects.par_iter().map(one).collect::<Result<_, _>>()?;
        let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
        let findings: usize = verdicts.iter().map(|verdict| verdict.report.findings.len()).sum();
        let numbers = json!({
            "objects": objects.len(),
            "findings": findings,
            "withFindings": verdicts.len(),
            "failed": n_failed.into_inner(),
        });
        Ok((verdicts, numbers))
    }

    /// The objects below the build directory, or below the workspace folders where none is named. Links to folders are
    /// not followed.
    fn objects(&self, cancel: &CancelToken) -> Result<Vec<PathBuf>, Cancelled> {
        let mut folders: Vec<PathBuf> = match &self.search.build_dir {
            Some(folder) => vec![folder.clone()],
            None => self.search.roots.clone(),
        };
        let mut objects = Vec::new();
        while let Some(folder) = folders.pop() {
            cancel.check()?;
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let (path, kind) = (entry.path(), entry.file_type());
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                match kind {
                    Ok(kind) if kind.is_dir() && !hidden => folders.push(path),
                    Ok(kind) if kind.is_file() && !hidden && is_object(&path) => objects.push(path),
                    _ => {}
                }
            }
        }
        objects.sort();
        objects.dedup();
        Ok(objects)
    }
}

fn is_object(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".o") && !LINKED.iter().any(|linked| name.starts_with(linked))
}

/// A progress indicator, if the client shows one.
pub struct Progress<'a> {
    /// Where its steps go.
    pub outbox: &'a Outbox,
    /// Its name; `None` where there is none.
    pub token: Option<ProgressToken>,
}

impl Progress<'_> {
    fn begin(&self) {
        self.tell(WorkDoneProgress::Begin(WorkDoneProgressBegin {
            title: "orcls: checking objects".to_owned(),
            cancellable: Some(true),
            message: None,
            percentage: Some(0),
        }));
    }

    fn step(&self, n_done: usize, n_all: usize) {
        self.tell(WorkDoneProgress::Report(WorkDoneProgressReport {
            cancellable: Some(true),
            message: Some(format!("{n_done}/{n_all}")),
            percentage: Some(u32::try_from(n_done * 100 / n_all.max(1)).unwrap_or(100)),
        }));
    }

    fn end(&self, message: String) {
        self.tell(WorkDoneProgress::End(WorkDoneProgressEnd { message: Some(message) }));
    }

    fn tell(&self, step: WorkDoneProgress) {
        if let Some(token) = &self.token {
            self.outbox.progress(token.clone(), step);
        }
    }
}
