//! The state of the server at one moment, for everyone but the loop.
//!
//! In: the loop's state.  Out: [`Snapshot`], which is cheap to take and never changes.

use std::path::Path;
use std::sync::Arc;

use tower_lsp::lsp_types::Url;

use crate::build::Search;

use super::assembly::files::Files;
use super::config::Config;
use super::documents::{Document, Documents};
use super::known::below_roots;
use super::session::Session;
use super::units::{Unit, Units};
use super::verdict::{Engine, Verdict};

/// Everything that an answer may be made from.
#[derive(Clone)]
pub struct Snapshot {
    /// What judges files, for answers that need a judgement of their own.
    pub engine: Arc<dyn Engine>,
    /// The client.
    pub session: Arc<Session>,
    /// The settings.
    pub config: Arc<Config>,
    /// The open documents.
    pub documents: Documents,
    /// What is known about the open source files.
    pub units: Units,
    /// What the last check of the workspace found.
    pub workspace: Arc<Vec<Verdict>>,
    /// What is known of files of assembly.
    pub assembly: Files,
}

impl Snapshot {
    /// The document and what is known about its file, when it is an open source file.
    pub fn unit(&self, uri: &Url) -> Option<(&Arc<Document>, &Unit)> {
        let document = self.documents.get(uri)?;
        let unit = self.units.get(document.path.as_deref()?)?;
        Some((document, unit))
    }

    /// Where builds are looked for. The build directory may be named relative to the workspace.
    pub fn search(&self) -> Search {
        search(&self.session, &self.config)
    }

    /// The units whose code was made from this file: the file's own, or those that include it, in order of their paths.
    pub fn users_of<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Unit> {
        self.units.iter().filter(move |unit| self.is_user(unit, path))
    }

    /// Whether the unit's code was made from this file.
    pub fn is_user(&self, unit: &Unit, path: &Path) -> bool {
        let includes = unit.last.as_ref().is_some_and(|verdict| verdict.includes.iter().any(|file| file == path));
        unit.path == path || includes
    }

    /// What the last check of the workspace found that concerns `path`. An open source file speaks for itself.
    pub fn closed(&self, path: &Path) -> impl Iterator<Item = &Verdict> {
        let is_open = self.units.get(path).is_some();
        self.workspace.iter().filter(move |verdict| !is_open && self.units.get(&verdict.source).is_none())
    }
}

/// Where builds are looked for. The build directory may be named relative to the workspace.
pub fn search(session: &Session, config: &Config) -> Search {
    let roots = session.roots.clone();
    let build_dir = config.build_directory.clone();
    let build_dir = build_dir.map(|dir| below_roots(&dir, &roots));
    Search { build_dir, roots }
}
