//! Causes of findings: small sources, compiled here, with the kind of the cause and the line that has to change.

use std::process::Command;
use std::sync::Arc;

use orcls::analysis::{Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::causes::{Sources, explain};
use orcls::image::{FileStore, Store};
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::report::labels::name_lines_by_text;
use orcls::report::{CauseKind, ReportedFinding, report};
use orcls::source_map::Lines;

/// What a source is compiled to, and by which command.
struct Case<'a> {
    name: &'a str,
    text: &'a str,
    flags: &'a [&'a str],
    options: Options,
}

fn orc() -> Options {
    Options { orc: true, uaccess: true, ..Options::default() }
}

impl Case<'_> {
    #[track_caller]
    fn findings(&self) -> Vec<ReportedFinding> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (source, object) = (folder.path().join(self.name), folder.path().join("case.o"));
        std::fs::write(&source, self.text).expect("the source is written");
        let plain =
            ["-c", "-g", "-O2", "-fno-pie", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-mno-red-zone"];
        let built = Command::new("cc")
            .args(plain)
            .args(self.flags)
            .arg("-o")
            .args([&object, &source])
            .output()
            .expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let store: Arc<dyn Store> = Arc::new(FileStore::open(&object).expect("the object"));
        let config = Config {
            options: self.options.clone(),
            kernel: KernelChoice::Fixed(Kernel::V6_12),
            policy: Policy::Everything,
            noreturn: Vec::new(),
        };
        let analysis = analyse(store.as_ref(), &config, &CancelToken::default()).expect("an analysis");
        let own: Arc<str> = self.text.into();
        let lines = Lines::new(store).with_texts(Box::new(move |_| Some(Arc::clone(&own))));
        let mut found = report("case.o", &analysis, &lines);
        let command: Vec<String> = ["cc"].iter().chain(self.flags).map(|word| (*word).to_owned()).collect();
        let text_of = |_: &str| Some(Arc::from(self.text));
        name_lines_by_text(&mut found, &analysis, &lines, &text_of);
        let main = source.to_string_lossy();
        explain(&mut found, &analysis, &lines, &Sources { text_of: &text_of, main: Some(&main), command: &command });
        found.findings
    }

    /// The first finding has a cause of this kind, on the line with this text, and says so.
    #[track_caller]
    fn check(&self, kind: CauseKind, line: &str, says: &str) {
        let findings = self.findings();
        let finding = findings.first().expect("a finding");
        assert_eq!(finding.cause.kind, kind, "{}", finding.message);
        assert!(finding.message.contains(says), "`{}` does not say `{says}`", finding.message);
        let expected = self.text.lines().position(|text| text.contains(line)).map(|at| at as u32 + 1);
        let told = finding.path.iter().any(|step| step.line == expected) || finding.cause.line == expected;
        assert!(line.is_empty() || told, "line {expected:?} of {:?} and {:#?}", finding.cause, finding.path);
    }
}

fn function(name: &str, body: &str) -> String {
    format!("\t.text\n\t.globl {name}\n\t.type {name}, @function\n{name}:\n{body}\t.size {name}, . - {name}\n")
}

#[track_caller]
fn assembly(text: &str, options: Options, kind: CauseKind, line: &str, says: &str) {
    Case { name: "case.S", text, flags: &[], options }.check(kind, line, says);
}

#[track_caller]
fn c(text: &str, flags: &[&str], options: Options, kind: CauseKind, line: &str, says: &str) {
    Case { name: "case.c", text, flags, options }.check(kind, line, says);
}

#[test]
fn the_register_that_remembers_an_aligned_stack_is_named() {
    let text = function("f", "\tmov %rsp, %r9\n\tand $-32, %rsp\n\tmovaps %xmm0, (%rsp)\n\tmov %r9, %rsp\n\tret\n");
    assembly(&text, orc(), CauseKind::RealignRemembered, "mov %rsp, %r9", "r9 holds the old stack pointer");
}

#[test]
fn an_amount_that_is_only_known_at_run_time_is_told_with_where_it_comes_from() {
    let text = function("f", "\tmov %edi, %ecx\n\tsub %rcx, %rsp\n\tadd %rcx, %rsp\n\tret\n");
    assembly(&text, orc(), CauseKind::ComputedStackPointer, "mov %edi, %ecx", "only known at run time");
}

#[test]
fn registers_restored_by_way_of_another_one_are_told() {
    let body = "\ttest %rdi, %rdi\n\tje 1f\n\tpush %rbx\n\tmov %rdi, %rbx\n\tlea 8(%rsp), %rdx\n\tmov -8(%rdx), %rbx\n\tlea (%rdx), %rsp\n1:\tret\n";
    assembly(&function("f", body), orc(), CauseKind::UnfollowedRestore, "mov -8(%rdx), %rbx", "by way of rdx");
}

#[test]
fn stores_into_the_caller_s_frame_are_told() {
    let text = function("f", "\tmov %rbx, 16(%rsp)\n\tret\n");
    assembly(&text, orc(), CauseKind::StoreIntoCaller, "mov %rbx, 16(%rsp)", "caller's frame");
}

#[test]
fn rbp_that_holds_data_is_told_and_no_innocent_pair() {
    let text = function(
        "f",
        "\tpush %rbp\n\tpush %rsi\n\tmov (%rdi), %rbp\n\tadd %rbp, %rax\n\tpop %rdx\n\tpop %rbp\n\tret\n",
    );
    let options = Options { stackval: true, ..Options::default() };
    let case = Case { name: "case.S", text: &text, flags: &[], options };
    case.check(CauseKind::FramePointerAsData, "mov (%rdi), %rbp", "rbp holds data");
    let finding = &case.findings()[0];
    let accused: Vec<Option<u32>> = finding.path.iter().map(|step| step.line).collect();
    let innocent = text.lines().position(|line| line.contains("%rsi")).map(|at| at as u32 + 1);
    assert!(!accused.contains(&innocent), "{:#?}", finding.path);
}

#[test]
fn what_ends_a_path_before_code_that_is_not_reached_is_told() {
    let text = function("f", "\ttest %rdi, %rdi\n\tje 1f\n\tud2\n\tmov $1, %eax\n\tret\n1:\tret\n");
    assembly(&text, orc(), CauseKind::TrapEndsPath, "ud2", "`ud2`");
}

#[test]
fn labels_are_told_by_their_names() {
    let local = format!("\t.text\n.Lhelper:\n\tadd $1, %eax\n\tret\n{}", function("f", "\tcall .Lhelper\n\tret\n"));
    assembly(&local, orc(), CauseKind::LocalLabel, ".Lhelper:", ".Lhelper");
    let untyped = format!("{}helper:\n\tret\n\t.size helper, . - helper\n", function("f", "\tcall helper\n\tret\n"));
    assembly(&untyped, orc(), CauseKind::UntypedLabel, "helper:", "helper");
    let open = format!("{}\t.balign 32\nhelper:\n\tadd $1, %eax\n\tret\n", function("f", "\tcall helper\n\tret\n"));
    assembly(&open, orc(), CauseKind::UntypedLabel, "helper:", "helper");
    let trick = function("f", "\tcall 1f\n1:\tadd $8, %rsp\n\tret\n");
    assembly(&trick, orc(), CauseKind::IntraCall, "call 1f", "ANNOTATE_INTRA_FUNCTION_CALL");
}

#[test]
fn data_in_code_is_told_as_data() {
    let text = format!(
        "{}.Ltable:\n\t.value 0x0606, 0x0707, 0x0e0e\n\t.quad 0x0606060606060606\n",
        function("f", "\tmov .Ltable(%rip), %rax\n\tret\n")
    );
    assembly(&text, orc(), CauseKind::DataInCode, ".Ltable:", ".rodata");
}

#[test]
fn code_that_is_written_as_data_is_not_told_as_data() {
    let kinds = |body: &str| {
        let text = function("f", body);
        let findings = Case { name: "case.S", text: &text, flags: &[], options: orc() }.findings();
        assert!(!findings.is_empty(), "{body}");
        findings.iter().map(|finding| finding.cause.kind).collect::<Vec<_>>()
    };
    for body in [
        "\tpush %rbx\n\t.byte 0x90\n\t.byte 0x0f, 0x1f, 0x00\n\t.long 0xc3909090\n",
        "\tpush %rbx\n\t.byte 0x0f\n\t.byte 0x1f, 0\n\t.byte 0xc3\n",
        "\t.byte 0x53\n\t.byte 0x66\n\t.byte 0x90, 0xc3\n",
    ] {
        assert!(!kinds(body).contains(&CauseKind::DataInCode), "{body}: {:?}", kinds(body));
    }
    // What a path runs into is data where it has a label of its own.
    assert!(kinds("\tmov table(%rip), %rax\ntable:\n\t.byte 0x90, 0x90, 0x58\n").contains(&CauseKind::DataInCode));
}

#[test]
fn options_that_the_command_lacks_are_told() {
    let options = Options { rethunk: true, retpoline: true, ..orc() };
    c(
        "int f(int a)\n{\n\treturn a + 1;\n}\n",
        &[],
        options,
        CauseKind::MissingOption,
        "",
        "-mfunction-return=thunk-extern",
    );
    let text = "extern void (*hook)(void);\nint f(void)\n{\n\thook();\n\treturn 1;\n}\n";
    let options = Options { stackval: true, ..Options::default() };
    c(text, &["-fomit-frame-pointer"], options, CauseKind::FramesNotAskedFor, "", "`-fomit-frame-pointer`");
    let options = Options { retpoline: true, ..orc() };
    c(text, &[], options, CauseKind::MissingOption, "", "-mindirect-branch=thunk-extern");
}

#[test]
fn callees_that_never_return_are_told_with_their_declaration() {
    let text =
        "void stop(int) __attribute__((noreturn));\nvoid f(int a)\n{\n\tstop(a);\n}\nint g(void)\n{\n\treturn 1;\n}\n";
    c(text, &["-fno-reorder-functions"], orc(), CauseKind::NoreturnUnknown, "void stop(int)", "stop()");
    let text = "extern void (*stop)(void) __attribute__((noreturn));\nvoid f(void)\n{\n\tstop();\n}\nint g(void)\n{\n\treturn 1;\n}\n";
    c(text, &["-fno-reorder-functions"], orc(), CauseKind::NoreturnPointer, "(*stop)", "pointer stop");
}

#[test]
fn asm_statements_that_use_rbp_or_call_are_told() {
    let text = "int f(int a)\n{\n\tasm volatile(\"call helper\" : : : \"memory\");\n\treturn a;\n}\n";
    let options = Options { stackval: true, ..Options::default() };
    c(
        text,
        &["-fno-omit-frame-pointer", "-fno-shrink-wrap"],
        options,
        CauseKind::CallInAsm,
        "call helper",
        "ASM_CALL_CONSTRAINT",
    );
}

/// What `pop %rbp` in an asm statement does to the frame of the function around it, and where that is written.
#[test]
fn an_asm_statement_that_saves_rbp_ends_the_frame_around_it() {
    let text = "void before(void);\nvoid after(void);\nint f(int a)\n{\n\tbefore();\n\tasm volatile(\"push %%rbp\\n\\t\"\n\t\t\"nop\\n\\t\"\n\t\t\"pop %%rbp\" : : \"a\" (a) : \"memory\");\n\tafter();\n\treturn a;\n}\n";
    let options = Options { stackval: true, ..Options::default() };
    let flags = ["-fno-omit-frame-pointer"];
    c(text, &flags, options.clone(), CauseKind::FramePointerInAsm, "\"pop %%rbp\"", "ends the frame");
    let text = function("f", "\tpush %rbp\n\tmov %rsp, %rbp\n\tnop\n\tpop %rbp\n\tcall g\n\tret\n");
    let case = Case { name: "case.S", text: &text, flags: &[], options };
    let findings = case.findings();
    let told = |words: &str| findings[0].path.iter().any(|step| step.text.contains(words));
    assert!(told("sets up the frame, which is taken down again"), "{:#?}", findings[0].path);
    assert!(!told("sets up no frame"), "{:#?}", findings[0].path);
}

/// The debug info has the first line of an asm statement for all of it.
#[test]
fn what_is_at_fault_in_an_asm_statement_is_told_with_its_own_line() {
    let text = "int f(int a)\n{\n\tasm volatile(\"mov %0, %%ecx\\n\\t\"\n\t\t\"inc %%ecx\\n\\t\"\n\t\t\"call helper\" : : \"r\" (a) : \"rcx\", \"memory\");\n\treturn a;\n}\n";
    let options = Options { stackval: true, ..Options::default() };
    let flags = ["-fno-omit-frame-pointer", "-fno-shrink-wrap"];
    c(text, &flags, options, CauseKind::CallInAsm, "\"call helper\"", "ASM_CALL_CONSTRAINT");
    let text = "void f(void)\n{\n\tasm volatile(\"lea 1f(%%rip), %%rax\\n\\t\"\n\t\t\"jmp *%%rax\\n\"\n\t\t\"1:\" : : : \"rax\");\n}\n";
    let options = Options { retpoline: true, sls: true, ..orc() };
    let case = Case { name: "case.c", text, flags: &["-mharden-sls=all"], options };
    case.check(CauseKind::PlainIndirectBranch, "\"jmp *%%rax", "without a retpoline");
    let kinds: Vec<CauseKind> = case.findings().iter().map(|finding| finding.cause.kind).collect();
    assert!(kinds.iter().all(|&kind| kind == CauseKind::PlainIndirectBranch), "{kinds:?}");
}

#[test]
fn functions_behind_data_in_top_level_asm_are_no_fault_of_their_own() {
    let text = "asm(\".text\\nblob:\\n\"\n\t\".byte 0x06, 0x17, 0x27, 0x37, 0x60, 0x61, 0x62, 0x70\\n\"\n\t\".byte 0x0e, 0x16, 0x1e, 0x1f, 0x2f, 0x3f, 0x9a, 0xea\\n\");\nextern const unsigned char blob[16];\nint f(int n)\n{\n\treturn blob[n & 15];\n}\n";
    let case = Case { name: "case.c", text, flags: &[], options: orc() };
    let findings = case.findings();
    let kinds: Vec<CauseKind> = findings.iter().map(|finding| finding.cause.kind).collect();
    assert!(kinds.len() > 1 && kinds.iter().all(|&kind| kind == CauseKind::DataInCode), "{findings:#?}");
}

#[test]
fn hints_without_which_a_path_is_balanced_are_wrong() {
    let hint = "\t.macro UNWIND_HINT_FUNC\n.Lhere_\\@:\n\t.pushsection .discard.unwind_hints\n\t.long .Lhere_\\@ - .\n\t.short 8\n\t.byte 5, 5, 0\n\t.balign 4\n\t.popsection\n\t.endm\n";
    let text =
        format!("{hint}{}", function("f", "\tpush %rbx\n\tUNWIND_HINT_FUNC\n\tmov %rdi, %rbx\n\tpop %rbx\n\tret\n"));
    assembly(&text, orc(), CauseKind::WrongHint, "\tUNWIND_HINT_FUNC", "does not fit");
    let real = format!("{hint}{}", function("f", "\tpush %rbx\n\tpush %rcx\n\tmov %rdi, %rbx\n\tpop %rbx\n\tret\n"));
    assembly(&real, orc(), CauseKind::Imbalance, "push %rcx", "push");
}

#[test]
fn a_jump_into_another_function_is_what_runs_into_it() {
    let first = function("f", "\tpush %rbx\n\ttest %rdi, %rdi\n\tjz .Lshared\n\tpop %rbx\n\tret\n");
    let text = first + &function("g", "\tmov %rdi, %rax\n.Lshared:\n\tmov $-5, %rax\n\tret\n");
    assembly(&text, orc(), CauseKind::JumpIntoFunction, "jz .Lshared", "into g(), to `.Lshared`");
}

#[test]
fn an_arm_that_leaves_another_depth_is_the_cause_and_not_what_is_balanced_with_the_other() {
    let table = ".pushsection .altinstructions, \"a\"\n\t.long 1b - ., 3f - .\n\t.long 0\n\t.byte 2b - 1b, 4f - 3f\n\t.popsection\n";
    let replacement = "\t.pushsection .altinstr_replacement, \"ax\"\n3:\tnop\n4:\n\t.popsection\n";
    let body = format!("\tpushfq\n1:\tpop %rax\n2:\n\t{table}{replacement}\tmov %rax, (%rdi)\n\tret\n");
    assembly(&function("f", &body), orc(), CauseKind::AlternativeArms, "pop %rax", "arms of the alternative");
}

#[test]
fn code_that_is_written_as_bytes_is_code() {
    let text = function("f", "\ttest %rsi, %rsi\n\tjz .Lout\n\tinc %rax\n.Lout:\n\t.byte 0xf3,0xc3\n");
    let options = Options { rethunk: true, retpoline: true, ..orc() };
    assembly(&text, options, CauseKind::PlainReturn, ".byte 0xf3,0xc3", "return");
}

#[test]
fn a_callee_that_nothing_declares_so_is_not_said_to_be_declared_so() {
    let text = "void set(int);\nvoid f(int a)\n{\n\tset(a);\n\tif (a > 2) {\n\t\tset(0);\n\t\t__builtin_unreachable();\n\t}\n\tset(1);\n}\nint g(void)\n{\n\treturn 1;\n}\n";
    let flags = ["-fno-reorder-functions", "-fno-optimize-sibling-calls"];
    c(text, &flags, orc(), CauseKind::Unreachable, "__builtin_unreachable", "never reached");
    // The declaration on the line before is another one's.
    let beside = text.replace("void set(int);", "void stop(void) __attribute__((noreturn));\nvoid set(int);");
    c(&beside, &flags, orc(), CauseKind::Unreachable, "__builtin_unreachable", "never reached");
}

#[test]
fn code_behind_a_jump_by_a_table_that_is_not_found_is_told_with_the_table() {
    let text = "int f(const unsigned char *at, int n)\n{\n\tstatic void *steps[] = { &&one, &&two, &&done };\n\tint sum = n;\n\tgoto *steps[*at++ % 3];\none:\n\tsum += *at;\n\tgoto *steps[*at++ % 3];\ntwo:\n\tsum ^= *at;\n\tgoto *steps[*at++ % 3];\ndone:\n\treturn sum;\n}\n";
    let flags = ["-fno-gcse", "-mcmodel=kernel"];
    c(text, &flags, orc(), CauseKind::NamedTable, "static void *steps[]", "the table `steps`");
}

#[test]
fn what_leaves_the_kernel_is_no_function() {
    let text = function("f", "\tmov %rdi, %rax\n\tiretq\n");
    assembly(&text, orc(), CauseKind::CodeInFunction, "iretq", "is no function");
}
