//! One judgement of a program with one of its objects replaced.
//!
//! In: a [`Question`], a linked object.  Out: a [`Verdict`] on it.
//! Holds afterwards: it was judged by the flags and the release of the program's own build.

use std::path::Path;
use std::sync::Arc;

use crate::analysis::{self, AnalysisError, Config, Policy};
use crate::build::Finder;
use crate::cancel::CancelToken;
use crate::compile::Scratch;
use crate::image::{ElfImage, Store};
use crate::kernel::KernelChoice;
use crate::kernel::tree::TreeFacts;
use crate::source_map::TextOf;

use super::layout::Layout;
use super::link::{self, Linked};
use super::places::{MemberPlaces, Replaced};
use super::program::{Archives, Program, Unavailable};
use super::verdict::Verdict;

/// Which object to judge, and how.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The build directory.
    pub directory: &'a Path,
    /// Where the build keeps the object.
    pub path: &'a Path,
    /// The object to take in its place.
    pub object: &'a Arc<dyn Store>,
    /// Whose rules.
    pub kernel: KernelChoice,
    /// Functions that never return, besides those that the release knows.
    pub noreturn: &'a [String],
    /// What knows the builds.
    pub finder: &'a Finder,
    /// Where the link takes place.
    pub scratch: &'a Scratch,
    /// The texts that the object was compiled from, where they are not those of the files.
    pub texts: Option<&'a Arc<TextOf>>,
}

impl Question<'_> {
    /// The program, and which of its members the object is.
    pub(super) fn program(&self, archives: &Archives) -> Result<(Program, usize), Unavailable> {
        Program::with_member(self.directory, self.path, self.finder, archives)
    }
}

/// What is judged, and by whose rules.
pub(super) struct Judging<'a> {
    pub program: &'a Program,
    pub question: &'a Question<'a>,
    pub cancel: &'a CancelToken,
}

impl Judging<'_> {
    /// The release of the tree or of the user's choice, and what the tree says of its objtool.
    pub(super) fn rules(&self) -> (KernelChoice, Option<Arc<TreeFacts>>) {
        let flags = &self.program.flags;
        match (self.question.kernel, flags.kernel()) {
            (KernelChoice::Auto, Some((kernel, _))) => (KernelChoice::Fixed(kernel), flags.facts(kernel)),
            (chosen, _) => (chosen, None),
        }
    }

    /// Links the program, with an object in the place of a member, and judges it.
    pub(super) fn link(&self, replaced: Option<(usize, &Arc<dyn Store>)>) -> Result<Verdict, Unavailable> {
        let bytes = replaced.map(|(member, store)| Ok((member, store.read(0, store.size())?))).transpose();
        let bytes = bytes.map_err(|error: std::io::Error| Unavailable::NotAnalysed(error.to_string()))?;
        let given = bytes.as_ref().map(|(member, bytes)| (*member, bytes.as_slice()));
        let linked = link::link(self.program, given, self.question.scratch, self.cancel)?;
        let (kernel, tree) = self.rules();
        self.verdict(linked, replaced, kernel, tree.as_deref())
    }

    /// Judges what was linked.
    pub(super) fn verdict(
        &self,
        linked: Linked,
        replaced: Option<(usize, &Arc<dyn Store>)>,
        kernel: KernelChoice,
        tree: Option<&TreeFacts>,
    ) -> Result<Verdict, Unavailable> {
        let failed = |error: &dyn std::fmt::Display| Unavailable::NotAnalysed(error.to_string());
        let Linked { object, layout } = linked;
        let image = ElfImage::read(&object).map_err(|error| failed(&error))?;
        let options = self.program.flags.options.clone().unwrap_or_default();
        let config = Config { options, kernel, policy: Policy::Objtool, noreturn: self.question.noreturn.to_vec() };
        let analysis = match analysis::analyse_image(image, &object, &config, tree, self.cancel) {
            Ok(analysis) => analysis,
            Err(AnalysisError::Cancelled(_)) => return Err(Unavailable::Cancelled),
            Err(error) => return Err(failed(&error)),
        };
        let edited = replaced.and_then(|(member, store)| {
            let name = self.program.members.get(member)?.clone();
            Some(Replaced { name, store: Arc::clone(store), texts: self.question.texts.cloned() })
        });
        let layout: Arc<Layout> = Arc::new(layout);
        let places =
            Arc::new(MemberPlaces::new(layout, &analysis.image, &self.program.directory, edited, analysis.kernel));
        Ok(Verdict { analysis, places })
    }
}
