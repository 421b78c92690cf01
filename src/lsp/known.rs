//! Known findings, which the user does not want to see again (`orcls.baseline`).
//!
//! In: the setting, a verdict.  Out: the verdict without them, and a note that says so.
//! Holds afterwards: a file that can not be read leaves out nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::baseline::Baseline;
use crate::build::Search;
use crate::files;

use super::config::Config;
use super::verdict::{Stamp, Verdict};

type Read = Result<Arc<Baseline>, String>;

/// The file that was read last, kept for as long as it stays the same.
#[derive(Debug, Default)]
pub struct KnownFindings(Mutex<Option<(Stamp, Read)>>);

impl KnownFindings {
    /// Takes known findings out of a verdict.
    pub fn leave_out(&self, verdict: &mut Verdict, config: &Config, search: &Search) {
        let Some(file) = &config.baseline else {
            return;
        };
        let file = below_roots(file, &search.roots);
        match self.read(&file) {
            Ok(baseline) => {
                let n_all = verdict.report.findings.len();
                let mut known = baseline.of(Path::new(&verdict.report.object));
                verdict.report.findings.retain(|finding| !known.take(finding.code, finding.function.as_deref()));
                let n_known = n_all - verdict.report.findings.len();
                if n_known > 0 {
                    verdict.notes.push(format!("findings that {} knows are not shown: {n_known}", file.display()));
                }
            }
            Err(error) => verdict.notes.push(format!("{} is no list of known findings: {error}", file.display())),
        }
    }

    fn read(&self, file: &Path) -> Read {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(file);
        if let Some((_, read)) = slot.as_ref().filter(|(known, _)| *known == stamp) {
            return read.clone();
        }
        let text = files::text(file, files::TABLE).map_err(|error| error.to_string());
        let read = text.and_then(|text| Baseline::parse(&text)).map(Arc::new);
        *slot = Some((stamp, read.clone()));
        read
    }
}

/// A path that may be relative to a workspace folder: to the first one that has it.
pub fn below_roots(path: &Path, roots: &[PathBuf]) -> PathBuf {
    let mut below = roots.iter().map(|root| root.join(path));
    let first = below.clone().next();
    below.find(|path| path.exists()).or(first).unwrap_or_else(|| path.to_owned())
}
