//! The report on objects that are built here: what the messages say, where the paths lead, what the tables hold.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use orcls::analysis::{Analysis, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::findings::Code;
use orcls::image::{FileStore, Store};
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::report::findings::{PathKind, PathStep};
use orcls::report::statements::name_asm_statements;
use orcls::report::{CfiRows, ReportedFinding, Select, alternatives, demangled, function_summaries, report};
use orcls::source_map::Lines;

/// An analysed object of a source in `tests/report`.
struct Case {
    source: String,
    analysis: Analysis,
    lines: Lines,
    _folder: tempfile::TempDir,
}

impl Case {
    #[track_caller]
    fn new(source: &str, flags: &[&str]) -> Case {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path: PathBuf = root.join("tests/report").join(source);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let object = folder.path().join("case.o");
        let built = Command::new("cc")
            .args(["-c", "-O2", "-fno-pie", "-fcf-protection=none", "-DKERNEL=612", "-I"])
            .arg(root.join("fixtures/include"))
            .args(flags)
            .arg("-o")
            .args([&object, &path])
            .output()
            .expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let store: Arc<dyn Store> = Arc::new(FileStore::open(&object).expect("the object"));
        let config = Config {
            options: Options { orc: true, uaccess: true, ..Options::default() },
            kernel: KernelChoice::Fixed(Kernel::V6_12),
            policy: Policy::Everything,
            noreturn: Vec::new(),
        };
        let analysis = analyse(store.as_ref(), &config, &CancelToken::default()).expect("an analysis");
        let source = std::fs::read_to_string(path).expect("the source");
        Case { source, analysis, lines: Lines::new(store), _folder: folder }
    }

    /// The line with this mark.
    #[track_caller]
    fn line(&self, mark: &str) -> Option<u32> {
        let mark = format!("mark: {mark}");
        let found = self.source.lines().position(|line| line.contains(&mark)).expect("the mark");
        Some(found as u32 + 1)
    }

    #[track_caller]
    fn finding(&self, code: Code) -> ReportedFinding {
        let report = report("case.o", &self.analysis, &self.lines);
        let found = report.findings.into_iter().find(|finding| finding.code == code);
        found.unwrap_or_else(|| panic!("no {code}"))
    }
}

/// What the steps of a kind say.
fn texts(path: &[PathStep], kind: PathKind) -> Vec<(Option<u32>, &str)> {
    path.iter().filter(|step| step.kind == kind).map(|step| (step.line, step.text.as_str())).collect()
}

#[test]
fn what_is_left_over_is_counted_and_the_branches_are_told() {
    let case = Case::new("frames.S", &["-g"]);
    let finding = case.finding(Code::ReturnWithModifiedFrame);
    assert_eq!(finding.line, case.line("left-over"));
    let pushed = case.line("pushed").unwrap_or_default();
    let sentence = "return with 8 bytes still on the stack";
    assert_eq!(finding.message, format!("{sentence}: pushed at line {pushed}, never popped"));
    assert_eq!(finding.objtool.as_deref(), Some("forgets_a_pop+0x7: return with modified stack frame"));
    let taken = format!("je taken: when equal (to line {})", case.line("left-over").unwrap_or_default());
    let branches = texts(&finding.path, PathKind::Branch);
    assert_eq!(branches.last(), Some(&(case.line("branch"), taken.as_str())));
    assert!(finding.states.iter().any(|state| state.text == "CFA rsp+16, rbx at cfa-16"), "{:?}", finding.states);
}

#[test]
fn a_mismatch_tells_both_states_and_both_ways() {
    let case = Case::new("frames.S", &["-g"]);
    let finding = case.finding(Code::StackStateMismatch);
    let line = case.line("jne").unwrap_or_default();
    let (here, there) = ("CFA is rsp+8 here but rsp+16", "CFA is rsp+16 here but rsp+8");
    assert!([here, there].iter().any(|start| finding.message.starts_with(start)), "{}", finding.message);
    assert!(finding.message.contains(&format!("on the path from line {line}")), "{}", finding.message);
    assert_eq!(finding.line, case.line("meeting"));
    let branches = texts(&finding.path, PathKind::Branch);
    let taken = format!("jne taken: when not equal (to line {})", case.line("meeting").unwrap_or_default());
    assert!(branches.contains(&(Some(line), taken.as_str())), "{branches:?}");
    assert!(branches.contains(&(Some(line), "jne not taken: when equal")), "{branches:?}");
    assert_eq!(texts(&finding.path, PathKind::State).len(), 2);
}

#[test]
fn an_asm_statement_is_named_in_its_own_function_whatever_else_is_reported() {
    let case = Case::new("statements.c", &["-g"]);
    let mut report = report("case.o", &case.analysis, &case.lines);
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
    // The server leaves some findings out before statements are named.
    report.findings.remove(0);
    let text: Arc<str> = case.source.as_str().into();
    name_asm_statements(&mut report, &case.analysis, &case.lines, &|_| Some(Arc::clone(&text)));
    let finding = &report.findings[0];
    assert_eq!(finding.function.as_deref(), Some("second"));
    let (first, second) = (case.line("first"), case.line("second"));
    let named: Vec<Option<u32>> = texts(&finding.path, PathKind::Cause).into_iter().map(|(line, _)| line).collect();
    assert!(named.contains(&second) && !named.contains(&first), "{named:?}");
    assert!(!finding.message.contains(&format!("line {}", first.unwrap_or_default())), "{}", finding.message);
}

#[test]
fn callees_without_a_name_are_described() {
    let case = Case::new("frames.S", &["-g"]);
    let finding = case.finding(Code::CallWithDirectionFlag);
    assert_eq!(finding.line, case.line("with-df"));
    let line = case.line("std").unwrap_or_default();
    let sentence = "indirect call with the direction flag set";
    assert_eq!(finding.message, format!("{sentence}: set at line {line}"));
    assert_eq!(texts(&finding.path, PathKind::Cause), [(Some(line), "`std` sets the direction flag")]);
}

#[test]
fn a_conflict_names_the_arms_and_tells_every_state() {
    let case = Case::new("arms.S", &["-g"]);
    let finding = case.finding(Code::AlternativeStackConflict);
    assert_eq!(finding.line, case.line("conflict"));
    assert_eq!(
        finding.message,
        "the arms of this alternative disagree at +0x7: CFA is rsp+8 in the original code but rsp+16 in the replacement for 0*32+1"
    );
    let mut arms = texts(&finding.path, PathKind::Arm);
    arms.sort_unstable();
    let line = case.line("conflict");
    assert_eq!(
        arms,
        [(line, "the original code, +0x7: CFA is rsp+8"), (line, "the replacement for 0*32+1, +0x7: CFA is rsp+16")]
    );
}

#[test]
fn alternatives_are_the_figures_of_the_commit() {
    let case = Case::new("arms.S", &["-g"]);
    let only = |function: &str| Select { function: Some(function.to_owned()), at: None };
    let draw = |function: &str| {
        let tables = alternatives("case.o", &case.analysis, &case.lines, &only(function));
        tables.groups.iter().map(|group| group.to_text()).collect::<String>()
    };
    expect_test::expect![[r#"
               original        X86_FEATURE_SMAP   X86_FEATURE_POPCNT   state

        0x00   callq *pv_ops   call xen_save_fl   pushf                CFA rsp+8
        0x01                                      pop %rax             CFA rsp+16
        0x02                                      nop5 (padding)       CFA rsp+8
        ...
        0x05                   nop2 (padding)                          CFA rsp+8
    "#]]
    .assert_eq(&draw("allowed"));
    expect_test::expect![[r#"
               original        0*32+1             state

        0x00   callq *pv_ops   pushf              CFA rsp+8
        0x01                   nopw (%rax,%rax)   CFA rsp+16
        ...
        0x07   nop             pop %rax           conflict: original CFA rsp+8, 0*32+1 CFA rsp+16
    "#]]
    .assert_eq(&draw("conflict"));
}

#[test]
fn the_json_of_alternatives_has_a_cell_per_arm() {
    let case = Case::new("arms.S", &["-g"]);
    let tables = alternatives("case.o", &case.analysis, &case.lines, &Select::default());
    assert_eq!(tables.groups.len(), 2);
    for group in &tables.groups {
        assert_eq!(group.section, ".text");
        for row in &group.rows {
            assert_eq!((row.cells.len(), row.places.len()), (group.arms.len(), group.arms.len()));
            assert!(row.cells.iter().any(Option::is_some));
        }
        let conflicts: Vec<u32> = group.rows.iter().filter(|row| row.conflict).map(|row| row.offset).collect();
        let expected: &[u32] = if group.function.as_deref() == Some("conflict") { &[7] } else { &[] };
        assert_eq!(conflicts, expected);
    }
    assert_eq!(tables.groups[0].feature, "X86_FEATURE_SMAP, X86_FEATURE_POPCNT");
}

#[test]
fn a_replacement_without_a_line_has_that_of_the_code_it_replaces() {
    let case = Case::new("inline.c", &["-g"]);
    let rows = CfiRows::new(&case.analysis, &case.lines, &Select::default()).collect::<Vec<_>>();
    let replacement: Vec<_> = rows.iter().filter(|row| row.section == ".altinstr_replacement").collect();
    assert_eq!(replacement.len(), 1);
    assert_eq!(replacement[0].line, case.line("asm"));
    assert_eq!(replacement[0].function.as_deref(), Some("patched"));
}

#[test]
fn the_listing_has_every_instruction_in_order() {
    let case = Case::new("frames.S", &["-g"]);
    let rows = CfiRows::new(&case.analysis, &case.lines, &Select::default()).collect::<Vec<_>>();
    let mut end = 0;
    for row in &rows {
        assert_eq!((row.section.as_str(), row.offset), (".text", end));
        assert_eq!(row.bytes.split(' ').count(), usize::from(row.length));
        end += u64::from(row.length);
    }
    let text = case.analysis.image.section_by_name(".text").expect(".text");
    assert_eq!(end, case.analysis.image.section(text).size);
    let body = rows.iter().find(|row| row.line == case.line("body")).expect("the body");
    assert_eq!(
        serde_json::json!({
            "cfa": {"base": "rbp", "offset": 16}, "saved": {"rbp": -16, "rbx": -24}, "length": 4,
            "text": "mov %rdi,(%rsp)", "function": "saves_and_allocates", "orc": "type:call sp:bp+16 bp:prevsp-16 signal:0",
        }),
        serde_json::json!({
            "cfa": body.cfa, "saved": body.saved, "length": body.length,
            "text": body.text, "function": body.function, "orc": body.orc,
        })
    );
}

#[test]
fn a_part_of_the_listing_is_chosen_by_function_and_line() {
    let case = Case::new("frames.S", &["-g"]);
    let count = |select: Select| CfiRows::new(&case.analysis, &case.lines, &select).len();
    let function = |name: &str| Some(name.to_owned());
    assert_eq!(count(Select { function: function("calls_away"), at: None }), 5);
    let line = case.line("std").unwrap_or_default();
    assert_eq!(count(Select { function: None, at: Some(("report/frames.S".to_owned(), line)) }), 1);
    assert_eq!(count(Select { function: function("calls_away"), at: Some(("other.S".to_owned(), line)) }), 0);
}

#[test]
fn functions_are_summed_up() {
    let case = Case::new("frames.S", &["-g"]);
    let summaries = function_summaries(&case.analysis, &case.lines);
    let names: Vec<_> = summaries.iter().map(|summary| summary.function.as_str()).collect();
    assert_eq!(names, ["forgets_a_pop", "meets_with_two_depths", "saves_and_allocates", "calls_away"]);
    let body = &summaries[2];
    // The return address, rbp, rbx and 32 bytes.
    assert_eq!((body.max_depth, body.line.is_some()), (Some(56), true));
    assert!(body.orc_rows >= 4, "{body:?}");
}

#[test]
fn without_debug_info_the_report_says_so_and_goes_on() {
    let case = Case::new("frames.S", &[]);
    let report = report("case.o", &case.analysis, &case.lines);
    assert_eq!(report.no_source.as_deref(), Some("built without debug info"));
    let finding = case.finding(Code::ReturnWithModifiedFrame);
    assert_eq!((finding.file.as_deref(), finding.line), (None, None));
    assert_eq!(finding.function.as_deref(), Some("forgets_a_pop"));
    let mismatch = case.finding(Code::StackStateMismatch);
    assert!(mismatch.message.contains("on the path from .text+0x"), "{}", mismatch.message);
}

#[test]
fn the_json_of_a_report_has_the_keys_of_the_contract() {
    let case = Case::new("frames.S", &["-g"]);
    let value = serde_json::to_value(report("case.o", &case.analysis, &case.lines)).expect("JSON");
    let has = |value: &serde_json::Value, keys: &str| {
        for key in keys.split(' ') {
            assert!(value.get(key).is_some(), "{key} is missing in {value}");
        }
    };
    has(&value, "object kernel findings unjudged");
    assert_eq!(value["kernel"], "6.12");
    for finding in value["findings"].as_array().expect("a list") {
        has(finding, "code severity message objtool function section offset file line inlined path states");
        for step in finding["path"].as_array().expect("a list") {
            has(step, "section offset file line text");
        }
    }
}

#[test]
fn rust_names_are_demangled_and_others_are_not() {
    assert_eq!(demangled("_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
    assert_eq!(demangled("_ZN4core3ptr4read17h0123456789abcdefE"), "core::ptr::read");
    assert_eq!(demangled("do_sys_open"), "do_sys_open");
}

#[test]
fn every_finding_of_the_fixtures_has_a_sentence_of_its_own() {
    let fixtures = crate::fixture::Fixture::all();
    let mut told = std::collections::BTreeMap::new();
    for fixture in &fixtures {
        let Some(run) = fixture.runs.last() else { continue };
        let built = fixture.build(run.kernel, &[]).expect("an object");
        let (analysis, lines) = built.analyse(run, Policy::Everything).expect("an analysis");
        for finding in report(&fixture.name, &analysis, &lines).findings {
            let message = &finding.message;
            let name = &fixture.name;
            assert!(message.len() > 20 && !message.ends_with('.'), "{name}: {}: {message:?}", finding.code);
            // objtool's words stand beside the message; they are not it.
            assert_ne!(finding.objtool.as_deref().and_then(|text| text.split(": ").last()), Some(message.as_str()));
            told.insert(finding.code, message.clone());
        }
    }
    assert!(told.len() > 30, "{told:#?}");
}
