//! `orcls check`: the findings of objects, sources and folders of objects.
//!
//! In: paths and flags.  Out: findings in one of the formats; the exit status says whether there were any.
//! Holds afterwards: an object that cannot be analysed is said on standard error and hides no other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use rustc_hash::FxHashSet;

use super::compiling::Compiler;
use super::detail::detail;
use super::inputs::{self, Input, Once};
use super::judge::{Judge, Judged, Object, Rules};
use super::output::BOLD;
use super::sources::Sources;
use super::told::told;
use super::{Verdict, output, queue, sarif, text, user};
use crate::analysis::{Analysis, Policy};
use crate::baseline::Baseline;
use crate::build::Unchecked;
use crate::files;
use crate::findings::{Code, Finding};
use crate::ids::FindingId;
use crate::image::ElfImage;
use crate::kernel::KernelChoice;
use crate::report::ReportedFinding;

/// How findings are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people: the source line, the way that led there, both states where two disagree
    Text,
    /// As objtool prints it
    Objtool,
    /// One JSON object per line and object file
    Json,
    /// SARIF 2.1.0, for code hosting sites and editors
    Sarif,
}

/// Arguments of `check`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Objects, sources, or folders of objects
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Report every finding; objtool stops at a function's first
    #[arg(long)]
    all: bool,
    /// Leave out the findings that an earlier `check --format json` has printed into FILE
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Judge as part of vmlinux.o: link it privately, with the object or the compiled source in its place
    #[arg(long)]
    whole: bool,
    /// By whose rules: objtool's, or unwind tables against what the code does
    #[arg(long = "rules", value_name = "RULES", default_value = "auto")]
    ruleset: Ruleset,
    /// Checking nothing at all is no error
    #[arg(long)]
    allow_none: bool,
    /// Of N parts of the inputs, check the Kth; other machines check the others
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    style: sarif::Style,
    #[command(flatten)]
    rules: Rules,
}

/// A part of the inputs: those that follow each other, so that the parts' results in order are the whole's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shard {
    /// From 1.
    number: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Shard { number, of }),
            _ => Err("a shard is K/N, with K from 1 to N".to_owned()),
        }
    }
}

impl Shard {
    /// The numbers of its inputs, of `n`.
    fn inputs(self, n: usize) -> Range<usize> {
        let bound = |at: usize| (n as u128 * at as u128 / self.of as u128) as usize;
        bound(self.number - 1)..bound(self.number)
    }
}

/// By whose rules code is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Ruleset {
    /// The kernel's for what belongs to a kernel
    Auto,
    /// objtool's
    Kernel,
    /// Unwind tables against what the code does
    User,
}

impl Arguments {
    /// Whether the finding is reported.
    fn shows(&self, finding: &Finding) -> bool {
        // In a build objtool has written its tables into the object. Only who asks for objtool's flags in so many words
        // wants to hear that it would not write them again.
        let is_expected = finding.fault.code() == Code::AlreadyProcessed && !self.rules.options.any_action();
        self.all || (finding.objtool.is_some() && !is_expected)
    }

    /// The findings of the object that are reported: none of the baseline's.
    fn shown(&self, object: &Object, baseline: &Baseline) -> FxHashSet<FindingId> {
        let mut known = baseline.of(&object.path);
        let name = |finding: &Finding| finding.function.map(|function| object.analysis.image.symbol_name(function));
        let mut shows = |finding: &Finding| self.shows(finding) && !known.take(finding.fault.code(), name(finding));
        let findings = (0..).map(FindingId).zip(&object.analysis.findings);
        findings.filter(|(_, finding)| shows(finding)).map(|(id, _)| id).collect()
    }

    /// Whether an input is judged by the rules for user space: it was asked for, or the input is for user space, no kernel
    /// build made it, and nobody asked for what only objtool has.
    fn is_for_user_space(&self, judge: &Judge<'_>, file: &Once<'_>) -> bool {
        let input = file.input;
        match self.ruleset {
            Ruleset::User => true,
            Ruleset::Kernel => false,
            Ruleset::Auto => {
                if self.asks_for_objtool() || input.is_source() {
                    return false;
                }
                if !user::is_user_space(file) {
                    // The vDSO has alternatives, as only a kernel has.
                    return input.named && judge.finder().flags(&input.path).unchecked() == Some(&Unchecked::Vdso);
                }
                let flags = judge.finder().flags(&input.path);
                // What a kernel build makes besides the kernel is no part of its log.
                let is_asked_for = input.named || flags.tree.is_none();
                flags.options.is_none() && !flags.for_kernel && is_asked_for
            }
        }
    }

    /// Whether something is asked for that only objtool has.
    fn asks_for_objtool(&self) -> bool {
        self.whole
            || self.format == Format::Objtool
            || self.rules.options.any_action()
            || !matches!(self.rules.kernel, KernelChoice::Auto)
    }

    fn read_baseline(&self) -> anyhow::Result<Baseline> {
        let Some(file) = &self.baseline else { return Ok(Baseline::default()) };
        let text = files::text(file, files::TABLE).with_context(|| file.display().to_string())?;
        Baseline::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
    }
}

/// What all objects together came to.
#[derive(Default)]
struct Tally {
    analysed: usize,
    /// How many objects were not checked, by the reason in words.
    skipped: BTreeMap<String, usize>,
    /// Of those how many the user had named.
    named_skipped: usize,
    /// Releases that are judged by other ones' rules, each once.
    cautions: BTreeSet<String>,
    failed: usize,
    findings: usize,
    with_findings: usize,
    /// What could not be judged, each once.
    unjudged: BTreeSet<String>,
    /// Time per stage, in the order in which stages first came.
    timing: Vec<(&'static str, Duration)>,
    /// By number of the input, for the one document that SARIF is.
    sarif: BTreeMap<(usize, usize), sarif::Entry>,
    /// Whether a link would decide some of what is not judged.
    left_to_link: bool,
    /// How many objects were judged by the rules for user space.
    by_user_rules: usize,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let baseline = arguments.read_baseline()?;
    let found = inputs::collect(&arguments.paths, &arguments.rules.search());
    queue::set_jobs(arguments.rules.jobs);
    // objtool's lines need no more than objtool looks at; all else shows the way to each finding. An object without
    // findings costs the same either way.
    let brief = arguments.format == Format::Objtool && !arguments.all;
    let policy = if brief { Policy::Objtool } else { Policy::Everything };
    let judge = Judge::new(&arguments.rules, policy).for_check(found.found());
    let judge = if arguments.whole { judge.judging_whole() } else { judge };
    let judge = if arguments.ruleset == Ruleset::Kernel { judge.by_kernel_rules() } else { judge };
    let tally = Mutex::new(Tally { failed: usize::from(found.failed), ..Tally::default() });
    let mut inputs = found.list;
    if let Some(shard) = arguments.shard {
        inputs = inputs.get(shard.inputs(inputs.len())).unwrap_or_default().to_vec();
    }
    queue::run(inputs.len(), |at| match inputs.get(at) {
        Some(input) => one(arguments, &baseline, &judge, (at, input), &tally),
        None => String::new(),
    })?;
    let tally = tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if arguments.format == Format::Sarif {
        let part = arguments.shard.map(|Shard { number, of }| format!("shard-{number}-of-{of}"));
        output::print(&sarif::document(tally.sarif.values(), &arguments.style.naming(part)))?;
    }
    if arguments.format == Format::Text && arguments.ruleset == Ruleset::Auto && tally.by_user_rules > 0 {
        let which = if tally.by_user_rules == tally.analysed {
            String::new()
        } else {
            count(tally.by_user_rules, "object") + ": "
        };
        output::remark(&format!(
            "{BOLD}note{BOLD:#}: {which}judged as code for user space, unwind tables against what the code does (`--rules \
             kernel`: by objtool's rules)"
        ));
    }
    if arguments.format == Format::Text {
        tally.unjudged.iter().for_each(|gap| output::remark(&format!("{BOLD}not judged{BOLD:#}: {gap}")));
        if tally.left_to_link && !arguments.whole {
            output::remark(&format!(
                "{BOLD}note{BOLD:#}: with --whole an object is judged as a part of what it is linked into, by a private link"
            ));
        }
    }
    tally.cautions.iter().for_each(|caution| output::remark(&format!("{BOLD}note{BOLD:#}: {caution}")));
    if arguments.paths.iter().any(|path| path.is_dir()) {
        output::remark(&summary(&tally));
    }
    // A shard of few inputs may have none.
    let is_nothing = tally.analysed == 0 && !arguments.allow_none && !(arguments.shard.is_some() && tally.failed == 0);
    if is_nothing && tally.failed + tally.named_skipped == 0 {
        output::complain("nothing was checked (--allow-none: that is no error)");
    }
    if arguments.rules.time {
        output::remark(&timing(&tally));
    }
    Ok(match tally {
        Tally { failed: 1.., .. } | Tally { named_skipped: 1.., .. } => Verdict::Incomplete,
        _ if is_nothing => Verdict::Incomplete,
        Tally { findings: 1.., .. } => Verdict::Found,
        _ => Verdict::Clean,
    })
}

/// Judges one input and prints it into a string.
fn one(
    arguments: &Arguments,
    baseline: &Baseline,
    judge: &Judge<'_>,
    (at, input): (usize, &Input),
    tally: &Mutex<Tally>,
) -> String {
    let file = Once::new(input);
    if let Some(text) = by_user_rules(arguments, baseline, judge, (at, &file), tally) {
        return text;
    }
    let judged = judge.once(&file);
    let mut printed = Printed::default();
    if let Judged::Analysed(object) = &judged {
        printed = print(object, arguments, judge, &arguments.shown(object, baseline));
    }
    let mut tally = tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut done = None;
    match judged {
        Judged::Analysed(object) => {
            tally.analysed += 1;
            tally.findings += printed.n_findings;
            tally.with_findings += usize::from(printed.n_findings > 0);
            let gaps = object.analysis.unjudged.iter().map(|gap| format!("{}: {}: {}", object.name, gap.what, gap.why));
            tally.unjudged.extend(gaps.chain(object.undecided));
            tally.left_to_link |= object.left_to_link;
            tally.cautions.extend(object.caution);
            for &(stage, time) in &object.analysis.timing {
                match tally.timing.iter_mut().find(|(name, _)| *name == stage) {
                    Some((_, sum)) => *sum += time,
                    None => tally.timing.push((stage, time)),
                }
            }
            done = Some(object.analysis);
        }
        Judged::Skipped(skip) => {
            if input.named && !arguments.allow_none {
                tally.named_skipped += 1;
                output::complain(&format!("{}: not checked, because {}", input.name(), skip.words()));
            }
            *tally.skipped.entry(skip.words()).or_default() += 1;
        }
        Judged::Failed(why) => {
            tally.failed += 1;
            output::complain(&why);
        }
        Judged::Refused(line) => {
            tally.failed += 1;
            output::remark(&line);
        }
    }
    if let Some(report) = printed.for_sarif {
        tally.sarif.insert((at, 0), report);
    }
    // Others wait for the tally, and need not wait for this.
    drop(tally);
    done.into_iter().for_each(Analysis::release);
    printed.text
}

/// Judges one input by the rules for user space, if it is for user space.
fn by_user_rules(
    arguments: &Arguments,
    baseline: &Baseline,
    judge: &Judge<'_>,
    (at, file): (usize, &Once<'_>),
    tally: &Mutex<Tally>,
) -> Option<String> {
    let input = file.input;
    let style = match arguments.format {
        Format::Json => user::Style::Json,
        Format::Sarif => user::Style::Sarif,
        Format::Text | Format::Objtool if arguments.all => user::Style::TextWithGaps,
        Format::Text | Format::Objtool => user::Style::Text,
    };
    let manner = user::Manner { style, baseline };
    let printed = if input.is_source() {
        match source_of_user_space(arguments, judge, input)? {
            Ok((path, object)) => user::print_compiled(input, (&path, object), manner),
            Err(why) => user::print_refusal(input, &why, manner),
        }
    } else if arguments.is_for_user_space(judge, file) {
        user::print(file, manner)
    } else {
        return None;
    };
    let mut tally = tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    tally.analysed += printed.n_objects;
    tally.by_user_rules += printed.n_objects;
    tally.findings += printed.n_findings;
    tally.with_findings += usize::from(printed.n_findings > 0);
    tally.failed += printed.failed.len();
    printed.failed.iter().for_each(|why| output::complain(why));
    tally.sarif.extend(printed.reports.into_iter().enumerate().map(|(number, report)| ((at, number), report)));
    Some(printed.text)
}

/// The object of a source that is for user space; `None` where it is the kernel's, or Rust, which is not compiled.
fn source_of_user_space(
    arguments: &Arguments,
    judge: &Judge<'_>,
    input: &Input,
) -> Option<Result<(PathBuf, Vec<u8>), String>> {
    let trust = arguments.rules.trust;
    if arguments.ruleset == Ruleset::Kernel || crate::build::is_rust(&input.path) {
        return None;
    }
    let build = judge.finder().source(&input.path);
    let is_vdso = build.as_ref().is_ok_and(|build| build.flags.unchecked() == Some(&Unchecked::Vdso));
    if arguments.ruleset == Ruleset::Auto {
        let asks_for_objtool = arguments.asks_for_objtool();
        // Of a source without a command the kernel's rules tell what to do about it.
        let is_kernel = build.as_ref().map_or(true, |build| {
            build.flags.options.is_some() || build.flags.for_kernel || build.flags.tree.is_some()
        });
        if asks_for_objtool || is_kernel && !is_vdso {
            return None;
        }
    }
    let compiler = match Compiler::of(judge.finder(), &input.path, trust) {
        Ok(compiler) => compiler,
        Err(why) => return Some(Err(why)),
    };
    let object = match compiler.text().and_then(|text| compiler.compile(&text)) {
        Ok(object) => object,
        Err(why) => return Some(Err(why)),
    };
    if arguments.ruleset == Ruleset::Auto && !is_vdso {
        let names = ElfImage::section_names(&object).ok()?;
        if !crate::unwind::is_user_space(names.iter().map(String::as_str)) {
            return None;
        }
    }
    Some(Ok((compiler.object, object)))
}

/// An object's findings as text.
#[derive(Default)]
struct Printed {
    text: String,
    n_findings: usize,
    for_sarif: Option<sarif::Entry>,
}

fn print(object: &Object, arguments: &Arguments, judge: &Judge<'_>, shown: &FxHashSet<FindingId>) -> Printed {
    if arguments.format == Format::Objtool {
        return print_objtool(object, shown);
    }
    let mut report = told(object, judge, |id| shown.contains(&id));
    report.findings.retain(|finding| concerns(object, finding));
    let n_findings = report.findings.len();
    match arguments.format {
        Format::Json => {
            let mut text = serde_json::to_string(&report).unwrap_or_default();
            text.push('\n');
            Printed { text, n_findings, for_sarif: None }
        }
        Format::Sarif => {
            Printed { text: String::new(), n_findings, for_sarif: Some(sarif::Entry::new(report, &object.path)) }
        }
        Format::Text | Format::Objtool => {
            let mut text = text::render(&report, object);
            text.push_str(&detail(object, &object.analysis.options));
            Printed { text, n_findings, for_sarif: None }
        }
    }
}

/// Whether a finding is in the file that alone was asked about, or came there by a call of it.
fn concerns(object: &Object, finding: &ReportedFinding) -> bool {
    let Some(only) = &object.only else { return true };
    let only = crate::compile::real_path(only);
    let own =
        finding.file.as_deref().into_iter().chain(finding.inlined.iter().filter_map(|frame| frame.file.as_deref()));
    let steps = finding.path.iter().filter_map(|step| step.file.as_deref());
    let is_it =
        |file: &str| Sources::path(&object.path, file).is_some_and(|path| crate::compile::real_path(&path) == only);
    own.chain(steps).any(is_it)
}

/// objtool's own lines. No report is made for them: a conforming script wants these and nothing else, fast.
fn print_objtool(object: &Object, shown: &FxHashSet<FindingId>) -> Printed {
    let mut printed = Printed::default();
    let printed_by_objtool = |id: &&FindingId| object.analysis.finding(**id).is_some_and(|f| f.objtool.is_some());
    printed.n_findings = shown.iter().filter(printed_by_objtool).count();
    for line in &object.analysis.lines {
        if line.of.is_none_or(|id| shown.contains(&id)) {
            printed.text.push_str(&format!("{}\n", line.for_object(&object.name)));
        }
    }
    printed.text.push_str(&detail(object, &object.analysis.options));
    printed
}

fn summary(tally: &Tally) -> String {
    let mut parts = vec![format!("{} checked", count(tally.analysed, "object"))];
    let mut reasons = Vec::new();
    match tally.skipped.len() {
        0 => {}
        1 => parts.extend(tally.skipped.iter().map(|(why, n)| format!("{n} skipped ({why})"))),
        _ => {
            parts.push(format!("{} skipped", tally.skipped.values().sum::<usize>()));
            reasons.extend(tally.skipped.iter().map(|(why, n)| format!("\n{n:>8} skipped: {why}")));
        }
    }
    if tally.failed > 0 {
        parts.push(format!("{} could not be analysed", tally.failed));
    }
    match tally.findings {
        0 if tally.analysed == 0 => {}
        0 => parts.push("nothing found".to_owned()),
        n => parts.push(format!("{} in {}", count(n, "finding"), count(tally.with_findings, "object"))),
    }
    parts.join(", ") + &reasons.concat()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn timing(tally: &Tally) -> String {
    let total: Duration = tally.timing.iter().map(|(_, time)| *time).sum();
    let rows = tally.timing.iter().map(|&(stage, time)| (stage, time)).chain([("total", total)]);
    let rows: Vec<String> = rows
        .map(|(stage, time)| {
            let share = 100.0 * time.as_secs_f64() / total.as_secs_f64().max(1e-9);
            format!("{stage:>16} {:>10.3} ms {share:>5.1} %", time.as_secs_f64() * 1e3)
        })
        .collect();
    let peak = peak_memory().map(|mib| format!("\n{:>16} {mib} MiB", "peak memory"));
    rows.join("\n") + &peak.unwrap_or_default()
}

/// The most memory that the program had (proc(5), `/proc/pid/status`).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?;
    Some(kib.trim().parse::<u64>().ok()?.div_ceil(1024))
}
