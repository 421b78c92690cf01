//! Runs all stages over one object.
//!
//! In: the object's bytes and a [`Config`].  Out: [`Analysis`], everything the report, the command line and the server
//! show.
//! Holds afterwards: the lines are objtool's, in its order; the findings are those and, where asked for, all others.

mod merge;
mod run;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::cancel::{CancelToken, Cancelled};
use crate::decode::InsnTable;
use crate::findings::{Finding, PrintedLine, Unjudged};
use crate::flow::FlowGraph;
pub use crate::follow::Policy;
use crate::follow::{CfiMap, Input};
use crate::ids::FindingId;
use crate::image::{ElfImage, LoadError, Store};
use crate::kernel::rules::Rules;
use crate::kernel::tree::TreeFacts;
use crate::kernel::{Kernel, KernelChoice};
use crate::options::{LinkCheck, Options};
use crate::orc::{self, OrcTable};
use crate::parallel;
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
    /// Nothing: it could not make out the object's sections and symbols.
    Opening,
    /// Nothing: the object killed it.
    Killed,
    /// Nothing: a check of it ended the run, with an error.
    Leaving,
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
    /// How many bytes the object's file has.
    pub size: u64,
    /// The release whose rules were applied.
    pub kernel: Kernel,
    /// Its rules, with what the tree says otherwise.
    pub rules: Arc<Rules>,
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
    /// See [`Analysis::orc`]. Empty until somebody asks for the table.
    pub(crate) orc: OnceLock<Option<OrcTable>>,
    /// The prefix symbols that objtool would create.
    pub prefixes: Vec<Prefix>,
    /// The findings, those that objtool prints first and in its order; a [`FindingId`] is an index into them.
    pub findings: Vec<Finding>,
    /// What objtool prints, backtraces included, in its order.
    pub lines: Vec<PrintedLine>,
    /// Where objtool gives up on the object; `None` where it gets to the end.
    pub gave_up: Option<GaveUp>,
    /// How many findings objtool counts: with any, `--werror` keeps it from writing the object.
    pub counted: usize,
    /// What could not be judged.
    pub unjudged: Vec<Unjudged>,
    /// What the object as a part of a linked one leaves to that.
    pub open: Vec<LinkCheck>,
    /// Wall time per stage.
    pub timing: Vec<(&'static str, Duration)>,
}

impl Analysis {
    /// A finding of this analysis.
    pub fn finding(&self, id: FindingId) -> Option<&Finding> {
        self.findings.get(id.index())
    }

    /// The ORC table that objtool would write; `None` where it would write none. Most who ask for findings never look at it,
    /// so it is built when it is asked for.
    pub fn orc(&self) -> Option<&OrcTable> {
        let Analysis { image, symbols, insns, flow, options, rules, .. } = self;
        let input = Input { image, symbols, insns, flow, rules, options };
        self.orc.get_or_init(|| orc::build(&input, &self.states).ok()).as_ref()
    }
}

impl Analysis {
    /// Gives the memory back, which of a whole kernel takes as long as a stage does.
    pub fn release(self) {
        let Analysis { image, symbols, insns, flow, states, .. } = self;
        parallel::both(insns.len(), || drop((image, states)), || drop((insns, flow, symbols)));
    }
}

/// A file of this many bytes has much code, or much debug info; then it makes no difference.
const LARGE: u64 = 1 << 23;

/// Analyses the object in `store`.
pub fn analyse(store: &dyn Store, config: &Config, cancel: &CancelToken) -> Result<Analysis, AnalysisError> {
    let start = Instant::now();
    parallel::among(store.size() >= LARGE, || run::run(ElfImage::read(store)?, start, store, config, None, cancel))
}

/// Analyses the object in `store` whose `image` was read before, to see what flags it needs. What its tree says of objtool
/// takes the place of what is compiled in.
pub fn analyse_image(
    image: ElfImage,
    store: &dyn Store,
    config: &Config,
    tree: Option<&TreeFacts>,
    cancel: &CancelToken,
) -> Result<Analysis, AnalysisError> {
    let start = Instant::now();
    parallel::among(store.size() >= LARGE, || run::run(image, start, store, config, tree, cancel))
}
