//! Compares orcls with two things that know the answer from elsewhere.
//!
//! In: `fixtures/`.  Out: a trial per file and run.
//! Holds afterwards: where `OBJTOOL_6_1`, `OBJTOOL_6_12` or `OBJTOOL_7_3` names the objtool of that release, it prints the
//! lines and writes the table that orcls does. Where a fixture asks for the oracle, every state is the one that the
//! compiler wrote into `.eh_frame`, for which no tool is needed.
//! Bias: none. What objtool does by accident is copied or stands in the fixture; a difference fails.

#[path = "support/eh_frame.rs"]
mod eh_frame;
#[path = "support/fixture.rs"]
mod fixture;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixture::{Fixture, Run};
use libtest_mimic::{Arguments, Failed, Trial};
use orcls::analysis::Policy;
use orcls::findings::{Level, PrintedLine};
use orcls::kernel::Kernel;

fn main() {
    let arguments = Arguments::from_args();
    let tools: Vec<(Kernel, PathBuf)> = Kernel::ALL.into_iter().filter_map(objtool).collect();
    let mut trials = Vec::new();
    for fixture in Fixture::all() {
        for run in fixture.runs.iter().filter(|run| !run.all) {
            if let Some((_, tool)) = tools.iter().find(|(kernel, _)| *kernel == run.kernel) {
                let (fixture, run, tool) = (fixture.clone(), run.clone(), tool.clone());
                let name = format!("objtool {} {}", fixture.name, run.title());
                trials.push(Trial::test(name, move || same_as_objtool(&fixture, &run, &tool)));
            }
        }
        if let (true, Some(run)) = (fixture.oracle, fixture.runs.first().cloned()) {
            for frame in ["-fomit-frame-pointer", "-fno-omit-frame-pointer"] {
                let (fixture, run) = (fixture.clone(), run.clone());
                let name = format!("eh_frame {} {frame}", fixture.name);
                trials.push(Trial::test(name, move || same_as_compiler(&fixture, &run, frame)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The objtool of a release, as the environment names it.
fn objtool(kernel: Kernel) -> Option<(Kernel, PathBuf)> {
    let variable = format!("OBJTOOL_{}", kernel.name().replace('.', "_"));
    match std::env::var_os(&variable) {
        Some(path) => Some((kernel, path.into())),
        None => {
            println!("skipped: comparison with the objtool of {kernel}, since {variable} names none");
            None
        }
    }
}

fn same_as_objtool(fixture: &Fixture, run: &Run, tool: &Path) -> Result<(), Failed> {
    let built = fixture.build(run.kernel, &[])?;
    let (analysis, _) = built.analyse(run, Policy::Objtool)?;
    let said = analysis.lines.iter().map(|PrintedLine { line, .. }| {
        let level = if line.level == Level::Error { "error" } else { "warning" };
        format!("{level}: objtool: {}", line.text)
    });
    let table = analysis.orc().map_or(String::new(), |table| table.text(&analysis.image, run.kernel.rules()));

    // objtool writes into the object.
    let rules = run.kernel.rules();
    let ran = Command::new(tool).args(run.options.words(rules)).arg(&built.object).output()?;
    let dump: &[&str] = if rules.flags.sub_commands { &["orc", "dump"] } else { &["--dump=orc"] };
    let dumped = Command::new(tool).args(dump).arg(&built.object).output()?;
    let mut complaints = compare("lines", lines_of(&ran, &built.object), said.collect());
    // A table that was in the object before is not objtool's work.
    if analysis.image.section_by_name(".orc_unwind").is_none() {
        let rows = |text: &str| text.lines().map(str::to_owned).collect();
        complaints += &compare("rows", rows(&text(&dumped.stdout)), rows(&table));
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.into()) }
}

/// What objtool said of the object, without its name.
fn lines_of(output: &Output, object: &Path) -> Vec<String> {
    let name = format!("{}: ", object.display());
    text(&output.stderr).lines().filter_map(|line| line.strip_prefix(&name)).map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Empty where both sides are the same, in the same order.
fn compare(what: &str, objtool: Vec<String>, orcls: Vec<String>) -> String {
    if objtool == orcls {
        return String::new();
    }
    format!("{what} of objtool:\n  {}\n{what} of orcls:\n  {}\n", objtool.join("\n  "), orcls.join("\n  "))
}

fn same_as_compiler(fixture: &Fixture, run: &Run, frame: &str) -> Result<(), Failed> {
    let built = fixture.build(run.kernel, &[frame, "-fasynchronous-unwind-tables"])?;
    let (analysis, _) = built.analyse(run, Policy::Objtool)?;
    let bytes = std::fs::read(&built.object)?;
    let compared = eh_frame::compare(&bytes, &analysis)?;
    if compared.n_states < 100 {
        return Err(format!("only {} states were compared: has the object no .eh_frame?", compared.n_states).into());
    }
    if compared.differences.is_empty() { Ok(()) } else { Err(compared.differences.join("\n").into()) }
}
