//! What is done side by side comes to the same as what is done one after the other.
//!
//! In: all fixtures, and an object large enough to be cut.  Out: differences in states, findings, lines and tables.

use std::fmt::Write as _;
use std::process::Command;

use crate::fixture::Fixture;
use orcls::analysis::{Analysis, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::cfi::CfiState;
use orcls::findings::{Code, Finding};
use orcls::follow::{Input, Scope, follow_in_blocks};
use orcls::ids::InsnId;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::ledger::Ledger;
use orcls::options::Options;

/// Everything that a walk in so many blocks comes to.
fn walked(analysis: &Analysis, n_blocks: usize) -> (Vec<Option<CfiState>>, String, usize) {
    let Analysis { image, symbols, insns, flow, kernel, options, .. } = analysis;
    let input = Input { image, symbols, insns, flow, rules: kernel.rules(), options };
    let mut ledger = Ledger::new(analysis.kernel.rules(), &analysis.options);
    let cancel = CancelToken::default();
    let (map, counted) =
        follow_in_blocks(input, Policy::Objtool, Scope::All, n_blocks, &mut ledger, &cancel).expect("nobody cancels");
    let states = (0..insns.len()).map(|index| map.state(InsnId::from_index(index)).cloned()).collect();
    let mut said = format!("incomplete {}\n", map.incomplete);
    for (_, group) in flow.groups() {
        let _ = writeln!(said, "{:?}", map.flattened(group));
    }
    let _ = writeln!(said, "{:?}\n{:?}", ledger.findings, ledger.lines);
    (states, said, counted)
}

/// The first instruction whose state differs, and all else.
#[track_caller]
fn same(analysis: &Analysis, title: &str) {
    let (states, said, counted) = walked(analysis, 1);
    for n_blocks in [2, 3, 7, 16] {
        let (other_states, other_said, other_counted) = walked(analysis, n_blocks);
        let differing = states.iter().zip(&other_states).position(|(one, other)| one != other);
        let place = differing.map(|index| analysis.insns.loc(InsnId::from_index(index)));
        assert_eq!(place, None, "{title} in {n_blocks} blocks");
        assert_eq!((&said, counted), (&other_said, other_counted), "{title} in {n_blocks} blocks");
    }
}

#[test]
fn functions_in_blocks_are_followed_as_if_one_after_the_other() {
    let mut n_findings = 0;
    for fixture in Fixture::all() {
        for run in &fixture.runs {
            let Ok(built) = fixture.build(run.kernel, &[]) else { continue };
            let Ok((analysis, _)) = built.analyse(run, Policy::Objtool) else { continue };
            same(&analysis, &format!("{} of {}", fixture.name, run.kernel));
            n_findings += analysis.findings.len();
        }
    }
    assert!(n_findings > 100, "{n_findings} findings in all fixtures");
}

/// Functions of all kinds, again and again. Some go on in code that belongs to none of them, and bring different states
/// there; some are wrong.
fn source(n: usize) -> String {
    let mut text = String::from(".text\nshared:\n pop %rbx\n ret\nshared_iret:\n iretq\n");
    for i in 0..n {
        let kind = match i % 97 {
            5 => " push %rbx\n jmp shared\n",
            17 => " push %rbx\n push %rbp\n test %eax, %eax\n je shared\n pop %rbp\n pop %rbx\n ret\n",
            23 => " push %rbx\n ret\n",
            31 => " jmp shared_iret\n",
            41 => " sub $8, %rsp\n call f3\n ret\n",
            59 => " iretq\n ret\n",
            _ => {
                " push %rbp\n mov %rsp, %rbp\n push %rbx\n sub $24, %rsp\n test %eax, %eax\n je 1f\n call f3\n mov %rax, -24(%rbp)\n 1: add $24, %rsp\n pop %rbx\n pop %rbp\n ret\n"
            }
        };
        let _ = write!(text, ".type f{i}, @function\nf{i}:\n{kind}.size f{i}, .-f{i}\n");
    }
    text
}

fn analysed(text: &str) -> Analysis {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, object) = (folder.path().join("large.s"), folder.path().join("large.o"));
    std::fs::write(&source, text).expect("the source");
    let status = Command::new("cc").args(["-c", "-o"]).args([&object, &source]).status();
    assert!(status.expect("a C compiler").success());
    let store = std::fs::read(&object).expect("the object");
    let config = Config {
        options: Options { orc: true, stackval: true, ..Options::default() },
        kernel: KernelChoice::Fixed(Kernel::V6_12),
        policy: Policy::Objtool,
        noreturn: Vec::new(),
    };
    analyse(&store, &config, &CancelToken::default()).expect("an analysis")
}

/// A label of a size owns the start of a function, which is then followed as code of no function: on into the next one.
#[test]
fn a_walk_that_keeps_to_no_function_comes_before_those_behind_it() {
    let function = |name, body| format!(".type {name}, @function\n{name}:\n{body}.size {name}, .-{name}\n");
    let functions = [
        function("first", " push %rbx\n ret\n"),
        function("open", " push %rbx\n"),
        function("next", " pop %rbx\n ret\n"),
        function("last", " push %rbx\n ret\n"),
    ];
    let analysis =
        analysed(&format!(".text\n{}label = open\n.type label, @notype\n.size label, 1\n", functions.concat()));
    same(&analysis, "a walk of no function");
    // `next` was seen with what `open` pushed.
    assert_eq!(analysis.findings.len(), 2, "{:?}", analysis.findings);
}

#[test]
fn a_large_object_is_judged_as_its_parts_are() {
    // More than a megabyte of code, so that every stage cuts it.
    const TIMES: usize = 80;
    let large = analysed(&source(TIMES * 970));
    assert!(large.insns.len() > 1 << 19, "{} instructions", large.insns.len());
    same(&large, "the large object");
    let small = analysed(&source(970));
    // One is about the shared code itself, whoever comes there.
    assert_eq!(large.findings.len(), TIMES * (small.findings.len() - 1) + 1);
    // The functions at the start of both are the same.
    let rows = |analysis: &Analysis| analysis.orc().expect("a table").rows.clone();
    let differing = rows(&large).iter().zip(rows(&small)).take(2_000).position(|(one, other)| *one != other);
    assert_eq!(differing, None, "the first row that differs");
}

#[test]
fn code_that_cannot_be_decoded_ends_its_section_wherever_that_is_cut() {
    let text = source(40_000);
    let middle = text.find("f20000:").expect("a function");
    let broken = analysed(&format!("{} .byte 0x62, 0x06\n{}", &text[..middle], &text[middle..]));
    let section = broken.image.section_by_name(".text").expect("the code");
    let last = broken.insns.of_section(section).next_back().expect("an instruction");
    let function = broken.image.symbols().find(|&(id, _)| broken.image.symbol_name(id) == "f20000");
    let start = function.expect("the function").1.value;
    assert_eq!(u64::from(broken.insns.get(last).end()) + 2, start);
    let undecodable = |finding: &&Finding| finding.fault.code() == Code::UndecodableInstruction;
    assert_eq!(broken.findings.iter().filter(undecodable).count(), 1);
}
