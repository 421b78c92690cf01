//! The stages in their order, with the time that each takes.
//!
//! In, out: see [`super::analyse`].

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::{Analysis, AnalysisError, Config, GaveUp, merge};
use crate::audit;
use crate::cancel::CancelToken;
use crate::decode;
use crate::findings::{Fault, Finding, Names, Unjudged};
use crate::flow;
use crate::follow::{CfiMap, Input, Policy, Scope, follow};
use crate::ids::InsnId;
use crate::image::{ElfImage, Store};
use crate::kernel::KernelChoice;
use crate::kernel::rules::{BrokenUnret, LinkedWithoutFlag};
use crate::kernel::tree::TreeFacts;
use crate::ledger::{Ledger, Weight};
use crate::options::Options;
use crate::orc::{self, OrcTable};
use crate::parallel;
use crate::prefix::{Prefix, prefixes};
use crate::symbols::Symbols;
use crate::wording::{self, Naming};

/// Measures stages.
struct Clock {
    last: Instant,
    timing: Vec<(&'static str, Duration)>,
}

impl Clock {
    fn lap(&mut self, stage: &'static str) {
        let now = Instant::now();
        self.timing.push((stage, now - self.last));
        self.last = now;
    }
}

/// See [`super::analyse`].
pub(super) fn run(
    image: ElfImage,
    start: Instant,
    store: &dyn Store,
    config: &Config,
    tree: Option<&TreeFacts>,
    cancel: &CancelToken,
) -> Result<Analysis, AnalysisError> {
    let mut clock = Clock { last: start, timing: Vec::new() };
    cancel.check()?;
    clock.lap("read");
    let (kernel, kernel_evidence) = match config.kernel {
        KernelChoice::Fixed(kernel) => (kernel, "named by the user".to_owned()),
        KernelChoice::Auto => crate::detect::detect(store, &image),
    };
    let shared = Arc::new(tree.map_or_else(|| kernel.rules().clone(), |tree| tree.rules(kernel)));
    let rules = shared.as_ref();
    let linked = image.is_linked();
    let given = config.options.clone().implied(rules);
    let forced = Options { link: true, ..given.clone() };
    let options = if linked && rules.flags.linked != LinkedWithoutFlag::Unnoticed { &forced } else { &given };
    let mut ledger = Ledger::new(rules, options).for_object(store.size());
    let symbols = || Symbols::new(&image, rules);
    let decode = || decode::decode(&image, rules, cancel);
    let ((symbols, faults), decoded) = parallel::both(image.symbols.len(), symbols, decode);
    let (mut insns, notes) = decoded?;
    decode::settle_irets(&mut insns, &symbols);
    clock.lap("decode");
    if rules.symbols.symtab_required && image.symtab.is_none() {
        let fault = Fault::BadObject { text: "no .symtab".to_owned() };
        ledger.plain(Weight::Fatal, fault, None, None, None);
    }
    if image.has_name_outside() {
        ledger.plain(Weight::Fatal, Fault::SymbolNameOutside, None, None, None);
    }
    if let Some(group) = image.group_without_symbol().filter(|_| rules.symbols.group_symbol_required) {
        let fault = Fault::BadObject { text: format!("{}: can't find SHT_GROUP signature symbol", group.name) };
        ledger.plain(Weight::Fatal, fault, None, None, None);
    }
    let said = match rules.flags.linked {
        LinkedWithoutFlag::Unnoticed => None,
        LinkedWithoutFlag::Forced => Some((Weight::Error, "Linked object detected, forcing --link")),
        LinkedWithoutFlag::Refused => Some((Weight::Fatal, "Linked object requires --link")),
    };
    if let Some((weight, text)) = said.filter(|_| linked && !config.options.link) {
        ledger.plain(weight, Fault::BadObject { text: text.to_owned() }, None, None, None);
    }
    for fault in faults {
        ledger.plain(Weight::Fatal, fault, None, None, None);
    }
    let readable = !ledger.stopped();
    let finished_module = image.is_finished_module();
    let flow_input = flow::Input { image: &image, store, rules, options, noreturn: &config.noreturn, finished_module };
    let (symbols, insns, mut flow) = flow::resolve(&flow_input, symbols, insns, &notes, &mut ledger, cancel)?;
    clock.lap("flow");
    let input = Input { image: &image, symbols: &symbols, insns: &insns, flow: &flow, rules, options };
    let judged = judge(input, ledger, cancel, &mut clock)?;
    let Judged { mut states, orc, prefixes, ledger, mut used, checked, leaves, counted } = judged;
    let gave_up = match () {
        () if !ledger.stopped() => None,
        () if ledger.crashed() => Some(GaveUp::Killed),
        () if !readable => Some(GaveUp::Opening),
        () if leaves => Some(GaveUp::Leaving),
        () if !checked => Some(GaveUp::Checking),
        () => Some(GaveUp::Adding),
    };
    let mut unjudged = Vec::new();
    if ledger.stopped() {
        unjudged.push(Unjudged {
            what: "the object".to_owned(),
            why: "objtool stops at a table, annotation or instruction that it can not read".to_owned(),
        });
    }
    if ledger.n_dropped > 0 {
        unjudged.push(Unjudged {
            what: format!("{} more findings", ledger.n_dropped),
            why: "with their places they take far more room than the object".to_owned(),
        });
    }
    let naming = Naming { image: &image, insns: &insns, symbols: &symbols, rules, options };
    unjudged.extend(spent(&naming, &states, &flow));
    let (mut findings, mut lines) = wording::speak(ledger, &naming);
    if config.policy == Policy::Everything && !findings.is_empty() {
        // The table is made of the states that objtool has.
        orc.get_or_init(|| orc::build(&input, &states).ok());
        let (everything, more) = merge::everything(input, &findings, store.size(), cancel)?;
        states = everything;
        findings = more;
        clock.lap("everything");
    }
    if finished_module {
        // One finding per function tells enough.
        let mut told = FxHashSet::default();
        let withheld_ones = findings.drain(..).filter(|finding| {
            !matches!(finding.fault, Fault::SectionExists { .. })
                && told.insert((finding.function, finding.at.map(|at| at.section)))
        });
        unjudged.extend(withheld_ones.map(|finding| withheld(&naming, &finding)));
        lines.clear();
    }
    if config.policy == Policy::Everything && checked && !finished_module {
        let mut own = Ledger::new(rules, options);
        audit::removed_bodies(&input, &mut own);
        findings.extend(own.findings);
    }
    let open = audit::open(&input);
    // An `endbr` is listed once, and not when something refers to it.
    flow.sites.endbr.retain(|&id| used.insert(id));
    Ok(Analysis {
        kernel,
        rules: Arc::clone(&shared),
        kernel_evidence,
        options: options.clone(),
        states,
        orc,
        prefixes,
        findings,
        lines,
        gave_up,
        counted,
        unjudged,
        open,
        timing: clock.timing,
        image,
        size: store.size(),
        symbols,
        insns,
        flow,
    })
}

/// What would take more work than the object's size justifies.
fn spent(naming: &Naming<'_>, states: &CfiMap, flow: &flow::FlowGraph) -> Vec<Unjudged> {
    /// So many are named.
    const MOST: usize = 16;
    let tables = flow.unread.iter().map(|&function| {
        let why = "its jump tables, with those of others, have far more entries than the object has instructions";
        (naming.image.symbol_name(function).to_owned(), why)
    });
    let walks = states.given_up.iter().map(|&start| {
        let why = "its paths have far more states, or branch far more often, than the object has instructions";
        (naming.place(naming.insns.loc(start)), why)
    });
    let n = flow.unread.len() + states.given_up.len();
    let told = tables.chain(walks).take(MOST);
    let mut gaps: Vec<Unjudged> =
        told.map(|(what, why)| Unjudged { what, why: format!("could not judge it, because {why}") }).collect();
    if let Some(more) = n.checked_sub(MOST).filter(|&more| more > 0) {
        let what = format!("{more} more functions");
        gaps.push(Unjudged { what, why: "could not judge them, for the same reasons".to_owned() });
    }
    gaps
}

/// A finding that depends on annotations which are gone.
fn withheld(naming: &Naming<'_>, finding: &Finding) -> Unjudged {
    let what = finding.at.map_or_else(|| "the module".to_owned(), |at| naming.place(at));
    let told = finding.fault.told();
    let looks_like = told.objtool.text(naming).unwrap_or_else(|| told.code.to_string());
    let why = format!(
        "linking the module discarded its annotations and unwind hints; without them it looks like `{looks_like}`"
    );
    Unjudged { what, why }
}

struct Judged {
    states: CfiMap,
    /// See [`Analysis::orc`].
    orc: OnceLock<Option<OrcTable>>,
    prefixes: Vec<Prefix>,
    ledger: Ledger,
    /// The `endbr` instructions that something refers to.
    used: FxHashSet<InsnId>,
    /// objtool gets through its checks.
    checked: bool,
    /// It ends at once, with an error.
    leaves: bool,
    /// See [`Analysis::counted`].
    counted: usize,
}

/// What a check found that ran ahead, beside one that comes before it.
struct Ahead {
    ledger: Ledger,
    counted: usize,
    used: FxHashSet<InsnId>,
}

impl Ahead {
    fn ibt(input: &Input<'_>, mut ledger: Ledger) -> Ahead {
        let (counted, used) = audit::ibt(input, &mut ledger);
        Ahead { ledger, counted, used }
    }

    fn settle(self, ledger: &mut Ledger) -> (usize, FxHashSet<InsnId>) {
        ledger.adopt(self.ledger);
        (self.counted, self.used)
    }
}

/// The checks and the table, as objtool runs them.
fn judge(
    input: Input<'_>,
    mut ledger: Ledger,
    cancel: &CancelToken,
    clock: &mut Clock,
) -> Result<Judged, AnalysisError> {
    let options = input.options;
    if ledger.stopped() || input.insns.is_empty() {
        let (states, used) = (CfiMap::nowhere(input.insns.len()), FxHashSet::default());
        return Ok(Judged {
            states,
            orc: None.into(),
            prefixes: Vec::new(),
            ledger,
            used,
            checked: false,
            leaves: false,
            counted: 0,
        });
    }
    let only_noinstr = options.only_noinstr(input.rules);
    let mut leaves = false;
    let mut counted = if options.retpoline && !only_noinstr { audit::retpoline(&input, &mut ledger) } else { 0 };
    // What is found later hangs on what was found before: each function is complained about once.
    let before = ledger.n_found();
    let mut ahead = None;
    let everywhere = options.stackval || options.orc || options.uaccess || input.rules.flags.sub_commands;
    // For each instruction it has a number: none is made before the one that is kept.
    let mut states;
    if everywhere && !only_noinstr {
        let fork = ledger.fork();
        let follow = || follow(input, Policy::Objtool, Scope::All, &mut ledger, cancel);
        // After findings the check has to be done again in its turn, so it runs ahead only where that may save much.
        let is_ahead = options.ibt && input.insns.len() >= parallel::WORTH;
        let ibt = || is_ahead.then(|| Ahead::ibt(&input, fork));
        let (followed, found) = parallel::both(input.insns.len(), follow, ibt);
        let (map, walked) = followed?;
        ahead = found;
        states = map;
        counted += walked;
        clock.lap("follow");
        if options.unret && input.rules.checks.unret_before_unreachable && !ledger.stopped() {
            counted += audit::unret(&input, &mut ledger, cancel)?;
            leaves = ledger.stopped();
        }
        let clean = if input.rules.checks.unreachable_after_other_warnings { walked == 0 } else { counted == 0 };
        // What lies behind a path that was given up is not unreachable.
        if clean && states.given_up.is_empty() {
            counted += audit::unreachable(&input, &states, &mut ledger);
        }
    } else if options.noinstr || only_noinstr {
        let (map, walked) = follow(input, Policy::Objtool, Scope::Noinstr, &mut ledger, cancel)?;
        states = map;
        counted += walked;
        clock.lap("follow");
    } else {
        states = CfiMap::nowhere(input.insns.len());
    }
    if options.unret && !input.rules.checks.unret_before_unreachable && !ledger.stopped() {
        counted += audit::unret(&input, &mut ledger, cancel)?;
        leaves = ledger.stopped();
    }
    let leaves = leaves && input.rules.walk.broken_unret == BrokenUnret::Leaves;
    let mut used = FxHashSet::default();
    if options.ibt && !ledger.stopped() {
        let found = match ahead.filter(|_| ledger.n_found() == before) {
            Some(ahead) => ahead.settle(&mut ledger),
            None => audit::ibt(&input, &mut ledger),
        };
        counted += found.0;
        used = found.1;
    }
    if options.sls && !input.rules.walk.sls_in_walk && !ledger.stopped() {
        counted += audit::sls(&input, &mut ledger);
    }
    let checked = !ledger.stopped();
    if options.static_call && checked && !only_noinstr {
        audit::static_calls(&input, &mut ledger);
    }
    if !only_noinstr {
        audit::existing_lists(&input, &mut ledger);
    }
    clock.lap("checks");
    let prefixes = prefixes(&input, &mut states, &mut ledger);
    if options.ibt && options.module && !ledger.stopped() {
        audit::module_entries(&input, &used, &mut ledger);
    }
    if options.noabs {
        counted += audit::absolute_relocations(&input, &mut ledger);
    }
    let mut orc = OnceLock::from(None);
    if options.orc && (!ledger.stopped() || (input.rules.write.orc_after_fatal && checked)) {
        match orc::check(&input, &states) {
            Ok(()) => orc = OnceLock::new(),
            Err((fault, id)) => {
                let owner = input.flow.owner(id);
                ledger.at_insn(Weight::Fatal, fault, input.placed(id), owner, None);
            }
        }
        let exists = !input.image.is_finished_module() && input.image.section_by_name(".orc_unwind").is_some();
        let table = || orc.get_or_init(|| orc::build(&input, &states).ok());
        if exists && table().as_ref().is_some_and(|table| !table.rows.is_empty()) {
            let fault = Fault::SectionExists { section: ".orc_unwind" };
            ledger.plain(Weight::Warning, fault, None, None, None);
        }
    }
    clock.lap("orc");
    Ok(Judged { states, orc, prefixes, ledger, used, checked, leaves, counted })
}
