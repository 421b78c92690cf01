//! Runs all stages over one object.
//!
//! In: the object's bytes and a [`Config`].  Out: [`Analysis`], everything the report, the command line and the server
//! show.
//! Holds afterwards: the lines are objtool's, in its order; the findings are those and, where asked for, all others.

mod merge;
mod run;

use std::time::{Duration, Instant};

use crate::cancel::{CancelToken, Cancelled};
use crate::decode::InsnTable;
use crate::finding::{Finding, ObjtoolLine, Unjudged};
use crate::flow::FlowGraph;
use crate::follow::CfiMap;
pub use crate::follow::Policy;
use crate::image::{ElfImage, LoadError, Store};
use crate::kernel::{Kernel, KernelChoice};
use crate::options::Options;
use crate::orc::OrcTable;
use crate::prefix::Prefix;
use crate::symbols::Symbols;

/// What to analyse, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// objtool's flags.
    pub options: Options,
    /// Whose rules.
    pub kernel: KernelChoice,
    /// How far to go.
    pub policy: Policy,
    /// Functions that never return, besides those that the release knows.
    pub noreturn: Vec<String>,
}

/// How much of its work objtool has put into the object when it gives up on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GaveUp {
    /// Nothing: it could not read the object, or was killed by it.
    Reading,
    /// At most patched code.
    Checking,
    /// Some of its sections.
    Adding,
}

/// Why an object was not analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The object can not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Nobody waits for the result any more.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// All that is known about an object.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The object itself.
    pub image: ElfImage,
    /// The release whose rules were applied.
    pub kernel: Kernel,
    /// How the release was found, for a person.
    pub kernel_evidence: String,
    /// The flags that were applied.
    pub options: Options,
    /// The symbols as the release sees them.
    pub symbols: Symbols,
    /// The instructions.
    pub insns: InsnTable,
    /// How they hang together.
    pub flow: FlowGraph,
    /// The state before each. With [`Policy::Everything`] also behind findings.
    pub states: CfiMap,
    /// The ORC table that objtool would write; `None` where it would write none.
    pub orc: Option<OrcTable>,
    /// The prefix symbols that objtool would create.
    pub prefixes: Vec<Prefix>,
    /// The findings, those that objtool prints first and in its order.
    pub findings: Vec<Finding>,
    /// What objtool prints, backtraces included, in its order.
    pub lines: Vec<ObjtoolLine>,
    /// Where objtool gives up on the object; `None` where it gets to the end.
    pub gave_up: Option<GaveUp>,
    /// How many findings objtool counts: with any, `--werror` keeps it from writing the object.
    pub counted: usize,
    /// What could not be judged.
    pub unjudged: Vec<Unjudged>,
    /// Wall time per stage.
    pub timing: Vec<(&'static str, Duration)>,
}

/// Analyses the object in `store`.
pub fn analyse(store: &dyn Store, config: &Config, cancel: &CancelToken) -> Result<Analysis, AnalysisError> {
    let start = Instant::now();
    let image = ElfImage::read(store)?;
    run::run(image, start, store, config, cancel)
}

/// Analyses the object in `store` whose `image` was read before, to see what flags it needs.
pub fn analyse_image(
    image: ElfImage,
    store: &dyn Store,
    config: &Config,
    cancel: &CancelToken,
) -> Result<Analysis, AnalysisError> {
    run::run(image, Instant::now(), store, config, cancel)
}
