//! Analyses every fixture and compares what is found with what its lines expect.
//!
//! In: `fixtures/`.  Out: a trial per file and run.
//! Holds afterwards: each finding has its code, its line and objtool's words; missing, surplus and misplaced ones fail.

#[path = "support/fixture.rs"]
mod fixture;

use std::fs;

use fixture::{Expectation, Fixture, Kind, Run};
use libtest_mimic::{Arguments, Failed, Trial};
use orcls::analysis::{Analysis, Policy};
use orcls::report::findings::PathKind;
use orcls::report::{Report, ReportedFinding, report};
use orcls::source_map::Lines;

fn main() {
    let arguments = Arguments::from_args();
    let trial = |fixture: &Fixture, run: &Run| {
        let (fixture, run) = (fixture.clone(), run.clone());
        Trial::test(format!("{} {}", fixture.name, run.title()), move || check(&fixture, &run))
    };
    let fixtures = Fixture::all();
    let trials = fixtures.iter().flat_map(|fixture| fixture.runs.iter().map(|run| trial(fixture, run))).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn check(fixture: &Fixture, run: &Run) -> Result<(), Failed> {
    let built = fixture.build(run.kernel, &[])?;
    let (analysis, lines) = built.analyse(run, Policy::Everything)?;
    let mut report = report("case.o", &analysis, &lines);
    if !run.all {
        report.findings.retain(|finding| finding.objtool.is_some());
    }
    let mut complaints = findings(fixture, run, &report);
    complaints.extend(wordless(fixture, &report));
    complaints.extend(promises(fixture, run, &report, &analysis, &lines));
    if fixture.golden {
        complaints.extend(golden(fixture, run, &analysis));
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

/// Expected findings that are missing, and found ones that are not expected.
fn findings(fixture: &Fixture, run: &Run, report: &Report) -> Vec<String> {
    let mut surplus: Vec<&ReportedFinding> = report.findings.iter().collect();
    let mut complaints = Vec::new();
    for expectation in fixture.expected(run) {
        let printed = match expectation.kind {
            Kind::Warn => true,
            Kind::Also if run.all => false,
            _ => continue,
        };
        let fits = |finding: &&ReportedFinding| {
            finding.code == expectation.code
                && line_in(fixture, finding) == expectation.line
                && finding.objtool.is_some() == printed
                && finding.objtool.as_deref().unwrap_or(&finding.message).contains(&expectation.text)
        };
        match surplus.iter().position(fits) {
            Some(at) => drop(surplus.remove(at)),
            None => complaints.push(format!("missing {}", wanted(fixture, expectation))),
        }
    }
    complaints.extend(surplus.into_iter().map(|finding| format!("surplus {}", found(fixture, finding))));
    complaints
}

/// Findings whose sentence for people says too little to be one.
fn wordless(fixture: &Fixture, report: &Report) -> Vec<String> {
    let is_sentence = |text: &str| text.split_whitespace().count() >= 3 && text.starts_with(char::is_alphanumeric);
    let lacks = |finding: &&ReportedFinding| !is_sentence(finding.message.trim_start_matches(['`', '_', '.']));
    let told = |finding: &ReportedFinding| format!("no sentence: `{}`, {}", finding.message, found(fixture, finding));
    report.findings.iter().filter(lacks).map(told).collect()
}

/// Lines that promise to have code and no finding, and lines that a finding is to name as its cause.
fn promises(fixture: &Fixture, run: &Run, report: &Report, analysis: &Analysis, lines: &Lines) -> Vec<String> {
    let map = lines.map(&analysis.image).ok();
    let has_code = |line: u32| {
        map.is_some_and(|map| {
            map.files().iter().any(|file| is_of(fixture, file) && !map.locations(file, line).is_empty())
        })
    };
    let broken = |expectation: &&Expectation| match (expectation.kind, expectation.line) {
        (Kind::Silent, None) => report.findings.iter().any(|finding| finding.code == expectation.code),
        (Kind::Silent, Some(line)) => {
            let stands_here = |finding: &&ReportedFinding| {
                finding.code == expectation.code && line_in(fixture, finding) == Some(line)
            };
            !has_code(line) || report.findings.iter().any(|finding| stands_here(&finding))
        }
        (Kind::Cause, Some(line)) => {
            let of_code = report.findings.iter().filter(|finding| finding.code == expectation.code);
            !of_code.flat_map(|finding| &finding.path).any(|step| {
                let here = step.file.as_deref().is_some_and(|file| is_of(fixture, file)) && step.line == Some(line);
                step.kind == PathKind::Cause && here
            })
        }
        _ => false,
    };
    fixture.expected(run).filter(broken).map(|expectation| format!("broken {}", wanted(fixture, expectation))).collect()
}

/// The ORC table against the one beside the file, which `BLESS=1` writes.
fn golden(fixture: &Fixture, run: &Run, analysis: &Analysis) -> Option<String> {
    let path = fixture.golden_path(run.kernel);
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let text = analysis.orc().map_or(String::new(), |table| table.text(&analysis.image, run.kernel.rules()));
    if kept == text {
        return None;
    }
    let difference = difference(&kept, &text);
    if std::env::var_os("BLESS").is_some() {
        println!("{}:\n{difference}", path.display());
        return fs::write(&path, text).err().map(|error| format!("{}: {error}", path.display()));
    }
    Some(format!("the table is not that of {} (BLESS=1 writes it):\n{difference}", path.display()))
}

/// Lines of only one side, `-` for the kept ones.
fn difference(kept: &str, text: &str) -> String {
    let gone = kept.lines().filter(|line| !text.lines().any(|other| other == *line)).map(|line| format!("-{line}"));
    let come = text.lines().filter(|line| !kept.lines().any(|other| other == *line)).map(|line| format!("+{line}"));
    gone.chain(come).collect::<Vec<_>>().join("\n")
}

fn is_of(fixture: &Fixture, file: &str) -> bool {
    fixture.path.ends_with(file) || file.ends_with(&fixture.name)
}

/// The finding's line, when it is one of the fixture.
fn line_in(fixture: &Fixture, finding: &ReportedFinding) -> Option<u32> {
    finding.line.filter(|_| finding.file.as_deref().is_some_and(|file| is_of(fixture, file)))
}

fn place(fixture: &Fixture, line: Option<u32>) -> String {
    line.map_or(format!("fixtures/{}", fixture.name), |line| format!("fixtures/{}:{line}", fixture.name))
}

fn wanted(fixture: &Fixture, expectation: &Expectation) -> String {
    let kind = format!("{:?}", expectation.kind).to_lowercase();
    format!("{}: {kind}: {} \"{}\"", place(fixture, expectation.line), expectation.code, expectation.text)
}

fn found(fixture: &Fixture, finding: &ReportedFinding) -> String {
    let said = finding.objtool.as_deref().unwrap_or(&finding.message);
    format!("{}: {} \"{said}\"", place(fixture, line_in(fixture, finding)), finding.code)
}
