//! The rules for user space: unwind tables against what the code does.
//!
//! In: assembly, built by the C compiler in a folder of the test's own.  Out: findings on their lines, or silence.
//! Holds afterwards: each kind of fault has a twin that is right and stays silent.

use std::path::Path;
use std::process::Command;

use orcls::findings::Code;
use serde_json::Value;

/// A function with its directives, between the usual lines.
fn function(body: &str) -> String {
    format!(
        "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\t.cfi_startproc\n{body}\t.cfi_endproc\n\t.size f, . - f\n\
         \t.section .note.GNU-stack, \"\", @progbits\n"
    )
}

fn assemble(folder: &Path, name: &str, source: &str) {
    std::fs::write(folder.join(format!("{name}.S")), source).expect("a folder of the test's own takes files");
    let done = Command::new("cc")
        .current_dir(folder)
        .args(["-g", "-c", "-o", &format!("{name}.o"), &format!("{name}.S")])
        .status();
    assert!(done.expect("a C compiler").success(), "{source}");
}

fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let done = Command::new(env!("CARGO_BIN_EXE_orcls"))
        .current_dir(folder)
        .args(["check", "--format", "json"])
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    (done.status.code(), text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// Code and line of each finding.
fn found(answer: &Value) -> Vec<(String, u64)> {
    let findings = answer["findings"].as_array().expect("findings");
    findings.iter().map(|f| (f["code"].as_str().unwrap_or("").to_owned(), f["line"].as_u64().unwrap_or(0))).collect()
}

#[track_caller]
fn expect(body: &str, wanted: &[(Code, u64)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function(body));
    let (status, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    let wanted: Vec<(String, u64)> = wanted.iter().map(|(code, line)| (code.to_string(), *line)).collect();
    assert_eq!(found(&answers[0]), wanted, "{}", answers[0]);
    assert_eq!(status, Some(i32::from(!wanted.is_empty())));
    assert_eq!(answers[0]["rules"], "user");
}

#[test]
fn a_push_that_nobody_told() {
    expect("\tpush %rcx\n\tmov %rax, %rdx\n\tpop %rcx\n\tret\n", &[(Code::UnwindStackUntold, 6)]);
    expect(
        "\tpush %rcx\n\t.cfi_adjust_cfa_offset 8\n\tmov %rax, %rdx\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n\tret\n",
        &[],
    );
}

#[test]
fn a_number_with_the_wrong_sign() {
    expect(
        "\tsub $24, %rsp\n\t.cfi_adjust_cfa_offset 24\n\tcall g\n\tadd $24, %rsp\n\t.cfi_adjust_cfa_offset 24\n\tret\n",
        &[(Code::UnwindWrongNumber, 10)],
    );
    expect(
        "\tsub $24, %rsp\n\t.cfi_adjust_cfa_offset 24\n\tcall g\n\tadd $24, %rsp\n\t.cfi_adjust_cfa_offset -24\n\tret\n",
        &[],
    );
}

#[test]
fn a_register_under_another_name() {
    let body = |name: &str| {
        format!(
            "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %{name}, 0\n\tmov %rdi, %rbx\n\tcall g\n\tpop %rbx\n\
             \t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %{name}\n\tret\n"
        )
    };
    expect(&body("r12"), &[(Code::UnwindRegisterWrong, 8)]);
    expect(&body("rbx"), &[]);
}

#[test]
fn a_register_that_is_overwritten_and_was_not_told() {
    expect(
        "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\tmov %rdi, %rbx\n\tcall g\n\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\tret\n",
        &[(Code::UnwindRegisterWrong, 8)],
    );
    // Compilers say nothing when they put it back: the word keeps it, within the red zone.
    expect(
        "\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\tmov %rdi, %rbx\n\tcall g\n\tpop %rbx\n\
         \t.cfi_def_cfa_offset 8\n\tret\n",
        &[],
    );
}

#[test]
fn rows_go_on_behind_an_early_return() {
    let body = |remember: &str, restore: &str| {
        format!(
            "\tsub $24, %rsp\n\t.cfi_adjust_cfa_offset 24\n\ttest %rdi, %rdi\n\tjne 1f\n{remember}\tadd $24, %rsp\n\
             \t.cfi_adjust_cfa_offset -24\n\tret\n1:\n{restore}\tcall g\n\tadd $24, %rsp\n\t.cfi_def_cfa_offset 8\n\tret\n"
        )
    };
    expect(&body("", ""), &[(Code::UnwindRowsBehindReturn, 14)]);
    expect(&body("\t.cfi_remember_state\n", "\t.cfi_restore_state\n"), &[]);
}

#[test]
fn an_adjustment_while_another_register_counts() {
    let body = |told: &str| {
        format!(
            "\tpush %rbp\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbp, -16\n\tmov %rsp, %rbp\n\t.cfi_def_cfa_register %rbp\n\
             \tpush %rcx\n{told}\tcall g\n\tleave\n\t.cfi_def_cfa %rsp, 8\n\t.cfi_restore %rbp\n\tret\n"
        )
    };
    expect(&body("\t.cfi_adjust_cfa_offset 8\n"), &[(Code::UnwindAdjustedElsewhere, 12)]);
    expect(&body(""), &[]);
}

#[test]
fn a_frame_pointer_that_is_gone_before_the_table_knows() {
    let body = |told: &str| {
        format!(
            "\tpush %rbp\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbp, -16\n\tmov %rsp, %rbp\n\t.cfi_def_cfa_register %rbp\n\
             \tcall g\n\tpop %rbp\n{told}\tret\n"
        )
    };
    expect(&body(""), &[(Code::UnwindCfaLost, 12)]);
    expect(&body("\t.cfi_def_cfa %rsp, 8\n"), &[]);
}

#[test]
fn a_directive_that_is_late_or_early() {
    expect(
        "\tmov %rax, %rdx\n\t.cfi_adjust_cfa_offset 8\n\tpush %rcx\n\tnop\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n\tret\n",
        &[(Code::UnwindRowMisplaced, 7)],
    );
    expect(
        "\tpush %rcx\n\tmov %rax, %rdx\n\t.cfi_adjust_cfa_offset 8\n\tmov %rax, %rdx\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n\tret\n",
        &[(Code::UnwindRowMisplaced, 6)],
    );
}

#[test]
fn a_register_that_counts_before_it_is_set() {
    let body = |first: &str, second: &str| {
        format!(
            "{first}\tmov %rsp, %rax\n{second}\tsub $24, %rsp\n\tmov %rax, %rsp\n\t.cfi_def_cfa_register %rsp\n\tret\n"
        )
    };
    expect(&body("\t.cfi_def_cfa_register %rax\n", ""), &[(Code::UnwindRowMisplaced, 7)]);
    expect(&body("", "\t.cfi_def_cfa_register %rax\n"), &[]);
}

#[test]
fn code_that_is_written_as_data_hides_no_directive() {
    let body = |by: &str| {
        format!(
            "\tpush %rcx\n\t.cfi_adjust_cfa_offset 8\n\tnop\n\tpop %rcx\n\t.cfi_adjust_cfa_offset {by}\n\t.byte 0xf3, 0xc3\n"
        )
    };
    expect(&body("8"), &[(Code::UnwindWrongNumber, 10)]);
    expect(&body("-8"), &[]);
}

#[test]
fn an_expression_over_a_stack_that_moves() {
    // CFA = *(rsp + 16) + 8.
    let expression = "\t.cfi_escape 0x0f, 0x05, 0x77, 0x10, 0x06, 0x23, 0x08\n";
    let body = |push: &str, pop: &str| {
        format!(
            "\tmov %rsp, %rax\n\t.cfi_def_cfa_register %rax\n\tsub $64, %rsp\n\tand $-32, %rsp\n\tmov %rax, 16(%rsp)\n{expression}\
             {push}\tmov (%rdi), %rdx\n{pop}\tmov 16(%rsp), %rcx\n\t.cfi_def_cfa %rcx, 8\n\tmov %rcx, %rsp\n\
             \t.cfi_def_cfa_register %rsp\n\tret\n"
        )
    };
    expect(&body("\tlea -32(%rsp), %rsp\n", "\tlea 32(%rsp), %rsp\n"), &[(Code::UnwindExpressionLost, 12)]);
    expect(&body("", ""), &[]);
}

#[test]
fn the_register_of_an_expression() {
    expect(
        "\tmov %rsp, %rax\n\t.cfi_escape 0x0f, 0x02, 0x70, 0x08\n\tnop\n\t.cfi_def_cfa_register %rsp\n\tret\n",
        &[(Code::UnwindMalformed, 9)],
    );
    expect("\tmov %rsp, %rax\n\t.cfi_escape 0x0f, 0x02, 0x70, 0x08\n\tnop\n\t.cfi_def_cfa %rsp, 8\n\tret\n", &[]);
}

#[test]
fn a_register_that_is_not_given_back() {
    expect(
        "\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\tmov %rdi, %rbx\n\tcall g\n\tpop %rcx\n\
         \t.cfi_def_cfa_offset 8\n\tret\n",
        &[(Code::NotGivenBack, 13)],
    );
}

#[test]
fn the_direction_flag_is_left_set() {
    let body = |early: &str, end: &str| {
        format!("\tstd\n\ttest %rdi, %rdi\n\tje 1f\n\trep movsb\n{end}\tret\n1:\n{early}\tret\n")
    };
    expect(&body("\tcld\n", ""), &[(Code::NotGivenBack, 10)]);
    expect(&body("", ""), &[(Code::NotGivenBack, 10), (Code::NotGivenBack, 12)]);
    expect(&body("\tcld\n", "\tcld\n"), &[]);
    // Put back from where it was, whatever that is.
    expect(
        "\tpushfq\n\t.cfi_adjust_cfa_offset 8\n\tstd\n\trep movsb\n\tpopfq\n\t.cfi_adjust_cfa_offset -8\n\tret\n",
        &[],
    );
}

#[test]
fn a_local_helper_may_set_the_direction_flag_for_its_callers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let helper = "\t.text\n\t.type down, @function\ndown:\n\t.cfi_startproc\n\tstd\n\tret\n\t.cfi_endproc\n\t.size down, . - down\n";
    assemble(folder.path(), "f", &format!("{helper}{}", function("\tcall down\n\trep movsb\n\tcld\n\tret\n")));
    let (_, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!(found(&answers[0]), []);
}

#[test]
fn a_push_over_what_a_leaf_keeps_below_rsp() {
    let told = "\tpush %rcx\n\t.cfi_adjust_cfa_offset 8\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n";
    let body = |between: &str, read: &str| format!("\tmov %rdi, -8(%rsp)\n{between}\tmov {read}, %rax\n\tret\n");
    expect(&body(told, "-8(%rsp)"), &[(Code::RedZoneOverwritten, 7)]);
    // One finding for one push, whether the table is told or not.
    expect(&body("\tpushfq\n\tpop %rcx\n", "-8(%rsp)"), &[(Code::RedZoneOverwritten, 7)]);
    expect(&body("\tcall g\n", "-8(%rsp)"), &[(Code::RedZoneOverwritten, 7)]);
    // Another word; a word that is stored anew; the word that was pushed, while it is on the stack.
    expect(&body(told, "-24(%rdi)"), &[]);
    expect(&body(&format!("{told}\tmov %rsi, -8(%rsp)\n"), "-8(%rsp)"), &[]);
    expect(
        &body(
            "\tpush %rcx\n\t.cfi_adjust_cfa_offset 8\n\tmov (%rsp), %rdx\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n",
            "%rdx",
        ),
        &[],
    );
    // The red zone is skipped first.
    let skipped = "\tlea -128(%rsp), %rsp\n\t.cfi_adjust_cfa_offset 128\n\tpush %rcx\n\t.cfi_adjust_cfa_offset 8\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n\tlea 128(%rsp), %rsp\n\t.cfi_adjust_cfa_offset -128\n";
    expect(&body(skipped, "-8(%rsp)"), &[]);
    // On one of two paths.
    let some = format!("\ttest %rsi, %rsi\n\tje 1f\n{told}1:\n");
    expect(&body(&some, "-8(%rsp)"), &[(Code::RedZoneOverwritten, 9)]);
    expect(&format!("\ttest %rsi, %rsi\n\tje 1f\n\tmov %rdi, -8(%rsp)\n1:\n{told}\tret\n"), &[]);
}

#[test]
fn inline_assembly_in_a_leaf() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = |before: &str, after: &str| {
        format!(
            "long leaf(long a, long b)\n{{\n\tvolatile long kept = a * b;\n\tlong flags;\n\tasm volatile({before}\n\t\t\"pushfq\\n\\t\"\n\
             \t\t\"popq %0\\n\\t\"\n\t\t{after}: \"=r\" (flags) : : \"memory\");\n\treturn kept + flags;\n}}\n"
        )
    };
    let build = |name: &str, text: String| {
        std::fs::write(folder.path().join(format!("{name}.c")), text).expect("a folder of the test's own takes files");
        let frame = if name == "framed" { "-fno-omit-frame-pointer" } else { "-fomit-frame-pointer" };
        let done = Command::new("cc")
            .current_dir(folder.path())
            .args(["-g", "-O2", frame, "-c", "-o", &format!("{name}.o"), &format!("{name}.c")])
            .status();
        assert!(done.expect("a C compiler").success());
    };
    build("push", source("", "\"\""));
    build("framed", source("", "\"\""));
    build("skip", source("\"lea -128(%%rsp), %%rsp\\n\\t\"", "\"lea 128(%%rsp), %%rsp\""));
    let (_, answers) = check(folder.path(), &["--rules", "user", "push.o", "framed.o", "skip.o"]);
    for answer in &answers[..2] {
        assert_eq!(found(answer), [(Code::RedZoneOverwritten.to_string(), 6)], "{answer}");
    }
    // What is left is that the table is not told, which nobody needs between two calls.
    let left: Vec<_> = found(&answers[2]).into_iter().map(|(code, _)| code).collect();
    assert!(!left.contains(&Code::RedZoneOverwritten.to_string()), "{}", answers[2]);
}

#[test]
fn the_branches_that_lead_to_a_return_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let body = "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %rbx, 0\n\tmov %rdi, %rbx\n\ttest %rsi, %rsi\n\tje 1f\n\
                \tcall g\n\ttest %rax, %rax\n\tjne 2f\n1:\n\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %rbx\n\tret\n2:\n\
                \t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\tpop %rcx\n\t.cfi_adjust_cfa_offset -8\n\tret\n";
    assemble(folder.path(), "f", &function(body));
    let (_, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!(found(&answers[0]), [(Code::NotGivenBack.to_string(), 25)], "{}", answers[0]);
    let path = answers[0]["findings"][0]["path"].as_array().expect("a path");
    let steps: Vec<_> =
        path.iter().map(|step| (step["kind"].as_str(), step["line"].as_u64(), step["text"].as_str())).collect();
    let wanted = [
        (Some("branch"), Some(11), Some("the branch is not taken (`je`)")),
        (Some("branch"), Some(14), Some("the branch is taken (`jne`)")),
    ];
    assert_eq!(steps, wanted);
}

#[test]
fn generated_files_name_their_generator() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = format!(
        "/* Do not edit. Generated by mul-x86_64.pl. */\n{}",
        function("\tpush %rcx\n\tnop\n\tpop %rcx\n\tret\n")
    );
    assemble(folder.path(), "f", &source);
    let (_, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!(found(&answers[0]), [(Code::UnwindStackUntold.to_string(), 7)]);
    let message = answers[0]["findings"][0]["message"].as_str().expect("a message");
    assert!(message.ends_with("; the file is generated by mul-x86_64.pl, where a change belongs"), "{message}");
}

#[test]
fn a_function_without_a_table_among_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bare = "\t.text\n\t.type g, @function\ng:\n\tpush %rbx\n\tpop %rbx\n\tret\n\t.size g, . - g\n";
    let told = function("\tret\n");
    assemble(folder.path(), "both", &format!("{bare}{told}"));
    assemble(folder.path(), "bare", bare);
    let (_, answers) = check(folder.path(), &["--rules", "user", "both.o", "bare.o"]);
    assert_eq!(found(&answers[0]), [(Code::UnwindTableMissing.to_string(), 4)]);
    assert_eq!(found(&answers[1]), []);
}

#[test]
fn rules_are_chosen_by_what_the_object_is_and_archives_are_looked_into() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function("\tpush %rcx\n\tnop\n\tpop %rcx\n\tret\n"));
    let done = Command::new("ar").current_dir(folder.path()).args(["rc", "libf.a", "f.o"]).status();
    assert!(done.expect("ar").success());
    let (status, answers) = check(folder.path(), &["f.o", "libf.a"]);
    assert_eq!(status, Some(1));
    let objects: Vec<&str> = answers.iter().filter_map(|answer| answer["object"].as_str()).collect();
    assert_eq!(objects, ["f.o", "libf.a(f.o)"]);
    for answer in &answers {
        assert_eq!(found(answer), [(Code::UnwindStackUntold.to_string(), 6)]);
        assert_eq!(answer["compared"], 4);
    }
    let (_, answers) = check(folder.path(), &["--rules", "kernel", "f.o"]);
    assert_eq!(answers[0]["rules"], Value::Null);
}

#[test]
fn broken_tables_are_no_reason_to_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function("\tpush %rcx\n\tnop\n\tpop %rcx\n\tret\n"));
    let path = folder.path().join("f.o");
    let bytes = std::fs::read(&path).expect("the object is there");
    // Every byte of the object turned over, one at a time: an answer each time, whatever it is.
    for at in (64..bytes.len()).step_by(7) {
        let mut broken = bytes.clone();
        broken[at] = !broken[at];
        let Ok(image) = orcls::image::ElfImage::read(&broken) else { continue };
        let judged = orcls::unwind::judge(&broken, &image, &orcls::cancel::CancelToken::default());
        assert!(judged.is_ok());
    }
}

/// Runs `check` and gives what it prints on both streams.
fn said(folder: &Path, arguments: &[&str]) -> (String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_orcls")).current_dir(folder).arg("check").args(arguments).output();
    let done = done.expect("the program runs");
    (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn sarif_has_the_findings_and_a_baseline_leaves_out_those_of_earlier() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function("\tpush %rcx\n\tnop\n\tpop %rcx\n\tret\n"));
    let done = Command::new("ar").current_dir(folder.path()).args(["rc", "libf.a", "f.o"]).status();
    assert!(done.expect("ar").success());
    let (text, _) = said(folder.path(), &["--format", "sarif", "f.o", "libf.a"]);
    let document: Value = serde_json::from_str(&text).expect("one document");
    let results = document["runs"][0]["results"].as_array().expect("results");
    let found: Vec<_> = results.iter().map(|result| (&result["ruleId"], &result["properties"]["object"])).collect();
    assert_eq!(found.len(), 2, "{text}");
    assert!(found.iter().all(|(rule, _)| **rule == "unwind-stack-untold"));
    assert_eq!(results[0]["properties"]["kernel"], Value::Null);
    let (known, _) = said(folder.path(), &["--format", "json", "f.o", "libf.a"]);
    std::fs::write(folder.path().join("known.json"), known).expect("a file");
    let (status, answers) = check(folder.path(), &["--baseline", "known.json", "f.o", "libf.a"]);
    assert_eq!((status, answers.len()), (Some(0), 2));
    assert!(answers.iter().all(found_none), "{answers:?}");
}

fn found_none(answer: &Value) -> bool {
    answer["findings"].as_array().is_some_and(Vec::is_empty)
}

#[test]
fn the_text_says_by_which_rules_and_what_was_not_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function("\tret\n\tpush %rcx\n"));
    let (_, note) = said(folder.path(), &["f.o"]);
    assert!(note.contains("judged as code for user space"), "{note}");
    let (_, note) = said(folder.path(), &["--rules", "user", "f.o"]);
    assert!(!note.contains("judged as code"), "{note}");
    let (text, _) = said(folder.path(), &["--all", "f.o"]);
    assert!(text.contains("1 instructions judged; not judged: 1 that no path leads to"), "{text}");
}

#[test]
fn assembly_is_compiled_and_judged_without_a_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function("\tpush %rcx\n\tnop\n\tpop %rcx\n\tret\n"));
    let (status, answers) = check(folder.path(), &["--trust", "f.S"]);
    assert_eq!(status, Some(1), "{answers:?}");
    assert_eq!(found(&answers[0]), [(Code::UnwindStackUntold.to_string(), 6)]);
}

#[test]
fn a_second_table_that_says_something_else_is_judged_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let right = "\tpush %rcx\n\t.cfi_def_cfa_offset 16\n\tnop\n\tpop %rcx\n\t.cfi_def_cfa_offset 8\n\tret\n";
    // A CIE with CFA = rsp+8, and a description of f that adds nothing.
    let table = "\t.section .debug_frame, \"\", @progbits\n1:\t.long 3f - 2f\n2:\t.long -1\n\t.byte 1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1\n\
                 \t.balign 8\n3:\t.long 5f - 4f\n4:\t.long 1b\n\t.quad f, 4\n\t.balign 8\n5:\n";
    assemble(folder.path(), "f", &format!("{}{table}", function(right)));
    let (_, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!(found(&answers[0]), [(Code::UnwindStackUntold.to_string(), 6)], "{}", answers[0]);
    assert!(answers[0]["findings"][0]["message"].as_str().is_some_and(|words| words.contains(".debug_frame")));
}

#[test]
fn answers_fit_their_schemas() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let body = "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\ttest %rdi, %rdi\n\tje 1f\n\tpop %rbx\n\tret\n1:\tcall g\n\tpop %rcx\n\tret\n";
    assemble(folder.path(), "f", &function(body));
    assemble(folder.path(), "right", &function("\tret\n"));
    std::fs::write(folder.path().join("none.o"), "none").expect("a folder of the test's own takes files");
    let (status, answers) = check(folder.path(), &["--rules", "user", "f.o", "right.o", "none.o"]);
    assert_eq!((status, answers.len()), (Some(2), 3));
    for answer in &answers {
        super::cli::fits(&answer.to_string(), "docs/schema/check-user.schema.json");
    }
    let run = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_orcls")).current_dir(folder.path()).args(arguments).output();
        String::from_utf8(done.expect("the program runs").stdout).expect("text")
    };
    super::cli::fits(&run(&["cfi", "diff", "--format", "json", "f.o"]), "docs/schema/cfi-diff.schema.json");
    let bare = "\t.text\n\t.globl g\n\t.type g, @function\ng:\n\tpush %rbx\n\tpop %rbx\n\tret\n\t.size g, . - g\n\t.globl h\n\t.type h, @function\nh:\n\
                \tmov (%rdi), %rsp\n\tret\n\t.size h, . - h\n";
    std::fs::write(folder.path().join("bare.s"), bare).expect("a folder of the test's own takes files");
    let answer = super::cli::fits(
        &run(&["cfi", "annotate", "--trust", "--format", "json", "bare.s"]),
        "docs/schema/cfi-annotate.schema.json",
    );
    assert_eq!(
        (&answer["written"], &answer["refused"][0]["function"]),
        (&serde_json::json!(["g"]), &serde_json::json!("h"))
    );
}

#[test]
fn a_clone_s_child_and_cpuid_are_of_no_consequence() {
    expect(
        "\tmov $56, %eax\n\tsyscall\n\ttest %rax, %rax\n\tjne 1f\n\txor %ebp, %ebp\n\tpop %rdi\n\tcall *%rdi\n\thlt\n1:\n\tret\n",
        &[],
    );
    expect("\tmov %rbx, %rdi\n\tcpuid\n\txchg %rbx, %rdi\n\tret\n", &[]);
    expect("\txchg %rbx, %rsi\n\tcpuid\n\tmov %ebx, %edi\n\txchg %rbx, %rsi\n\tret\n", &[]);
    // Kept over a call.
    expect("\tmov %rbx, %r12\n\tcpuid\n\tcall g\n\tmov %r12, %rbx\n\tret\n", &[(Code::UnwindRegisterWrong, 7)]);
}

#[test]
fn a_call_that_nothing_else_leads_behind_returns() {
    let body = |pop: &str| {
        format!(
            "\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\tmov %rdi, %rbx\n\tcall g\n{pop}\
             \t.cfi_def_cfa_offset 8\n\t.cfi_restore %rbx\n\tmov %rdi, %rax\n\tret\n"
        )
    };
    expect(&body(""), &[(Code::UnwindWrongNumber, 11)]);
    expect(&body("\tpop %rbx\n"), &[]);
    // Where a branch leads behind the call, its row tells that the call does not return.
    expect(
        "\ttest %rdi, %rdi\n\tje 1f\n\tsub $8, %rsp\n\t.cfi_def_cfa_offset 16\n\tcall g\n\t.cfi_def_cfa_offset 8\n1:\n\tret\n",
        &[],
    );
}

#[test]
fn an_interpreter_has_its_callers_frame_all_the_time() {
    let row = "\t.cfi_def_cfa_offset 32\n\t.cfi_offset %rbx, -16\n";
    expect(&format!("{row}\tmov %rdi, %rbx\n\tjmp *(%rax)\n"), &[]);
}

#[test]
fn linked_files_with_names_and_lines_in_another_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).current_dir(folder.path()).args(arguments).status();
        assert!(done.unwrap_or_else(|error| panic!("{program}: {error}")).success(), "{program} {arguments:?}");
    };
    // A call by a PLT, a table of jumps, a push that nobody told.
    let body = "\tcmp $2, %edi\n\tja 4f\n\tlea table(%rip), %rax\n\tmovslq (%rax, %rdi, 4), %rdx\n\tadd %rax, %rdx\n\tjmp *%rdx\n\
                1:\tsub $8, %rsp\n\t.cfi_adjust_cfa_offset 8\n\tcall g@plt\n\tadd $8, %rsp\n\t.cfi_adjust_cfa_offset -8\n\tret\n\
                2:\tpush %rcx\n\tnop\n\tpop %rcx\n\tret\n4:\tret\n\t.section .rodata\ntable:\t.long 1b - table, 2b - table, 4b - table\n\
                \t.text\n";
    assemble(folder.path(), "f", &function(body));
    run("cc", &["-shared", "-nostdlib", "-Wl,--build-id", "-o", "libf.so", "f.o"]);
    let (status, answers) = check(folder.path(), &["libf.so"]);
    let untold = [(Code::UnwindStackUntold.to_string(), 18)];
    assert_eq!((status, found(&answers[0])), (Some(1), untold.to_vec()), "{}", answers[0]);
    assert_eq!(
        (&answers[0]["compared"], &answers[0]["findings"][0]["function"]),
        (&Value::from(15), &Value::from("f"))
    );
    assert!(answers[0]["unjudged"]["linkage-table"].as_u64() > Some(0), "{}", answers[0]);
    run("objcopy", &["--only-keep-debug", "libf.so", "libf.so.debug"]);
    run("strip", &["libf.so"]);
    let (_, answers) = check(folder.path(), &["libf.so"]);
    assert_eq!(found(&answers[0]), untold, "{}", answers[0]);
    assert_eq!(answers[0]["findings"][0]["function"], "f");
    std::fs::remove_file(folder.path().join("libf.so.debug")).expect("it is there");
    let (_, answers) = check(folder.path(), &["libf.so"]);
    assert_eq!(found(&answers[0]), [(Code::UnwindStackUntold.to_string(), 0)], "{}", answers[0]);
}

/// Compilers join call sites that lead to one landing pad: what never throws lies between them, with arguments on the stack.
#[test]
fn a_call_between_joined_call_sites_does_not_land() {
    const SOURCE: &str = "struct Held { Held(); ~Held(); char text[64]; };
void may_throw(int);
extern \"C\" int print(char *, unsigned long, int, unsigned long, const char *, long, long, long, long) noexcept;
int join(long a, long b, long c, long d) {
\tHeld held;
\tmay_throw(1);
\tint n = print(held.text, 64, 1, 64, \"x\", a, b, c, d);
\tmay_throw(n);
\treturn n;
}
";
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("f.cc"), SOURCE).expect("a file");
    let mut compiler = Command::new("c++");
    let done = compiler.args(["-O2", "-g", "-c", "-o", "f.o", "f.cc"]).current_dir(folder.path()).status();
    if !done.is_ok_and(|status| status.success()) {
        println!("skipped: no C++ compiler");
        return;
    }
    let (status, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!((found(&answers[0]), status), (Vec::new(), Some(0)), "{}", answers[0]);
}

fn expect_of(folder: &Path, arguments: &[&str], wanted: &[(Code, u64)]) {
    let (_, answers) = check(folder, arguments);
    let wanted: Vec<(String, u64)> = wanted.iter().map(|(code, line)| (code.to_string(), *line)).collect();
    assert_eq!(found(&answers[0]), wanted, "{}", answers[0]);
}

/// Where compilers take a branch for impossible, it leads to the end of its function, and whatever begins there.
#[test]
fn a_branch_that_is_taken_for_impossible() {
    let source = |name: &str| {
        format!(
            "\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tcmp $2, %edi\n\tja part\n\tret\n\t.cfi_endproc\n\t.size f, . - f\n\
             \t.type g, @function\ng:\n\t.cfi_startproc\n\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\
             \tmov %rdi, %rbx\n\ttest %rdi, %rdi\n\tje part\n\tpush %rax\n\t.cfi_def_cfa_offset 24\n\tja 9f\n\tcall h\n\tpop %rax\n\
             \t.cfi_def_cfa_offset 16\n\tpop %rbx\n\t.cfi_def_cfa_offset 8\n\tret\n9:\t.cfi_endproc\n\t.size g, . - g\n\
             \t.type h, @function\nh:\n\t.cfi_startproc\n\tret\n\t.cfi_endproc\n\t.size h, . - h\n\
             \t.section .text.unlikely, \"ax\", @progbits\n\t.type {name}, @function\n{name}:\npart:\n\t.cfi_startproc\n\t.cfi_def_cfa_offset 16\n\
             \t.cfi_offset %rbx, -16\n\tpop %rbx\n\t.cfi_def_cfa_offset 8\n\tret\n\t.cfi_endproc\n\t.size {name}, . - {name}\n\
             \t.section .note.GNU-stack, \"\", @progbits\n"
        )
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &source("g.cold"));
    expect_of(folder.path(), &["--rules", "user", "f.o"], &[]);
    // As a part of its own it is entered with another frame than it says.
    assemble(folder.path(), "f", &source("f.cold"));
    let (status, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!((status, found(&answers[0]).len()), (Some(1), 1), "{}", answers[0]);
}

/// What a table of jumps has room for ends where another one begins; its first entry may lead to a part that was split off.
#[test]
fn tables_of_jumps_in_linked_files() {
    let jump = |table: &str| {
        format!("\tlea {table}(%rip), %rax\n\tmovslq (%rax, %rdi, 4), %rdx\n\tadd %rax, %rdx\n\tjmp *%rdx\n")
    };
    let body = format!(
        "\tpush %rbp\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbp, -16\n\tmov %rsp, %rbp\n\t.cfi_def_cfa_register %rbp\n\
         \tsub $16, %rsp\n\tcmp $1, %esi\n\tja 3f\n{}3:\tcmp $1, %edi\n\tja 5f\n{}1:\tadd $16, %rsp\n4:\tpop %rbp\n\t.cfi_def_cfa %rsp, 8\n\tret\n\
         \t.cfi_def_cfa %rbp, 16\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n5:\tadd $16, %rsp\n\tpop %rbp\n\t.cfi_def_cfa %rsp, 8\n\tret\n",
        jump("first"),
        jump("second")
    );
    let rest = "\t.section .text.unlikely, \"ax\", @progbits\n\t.type f.cold, @function\nf.cold:\n\t.cfi_startproc\n\t.cfi_def_cfa %rbp, 16\n\
                \t.cfi_offset %rbp, -16\n6:\tadd $16, %rsp\n\tpop %rbp\n\t.cfi_def_cfa %rsp, 8\n\tret\n\t.cfi_endproc\n\
                \t.section .rodata\n\t.balign 4\nfirst:\t.long 6b - first, 1b - first\nsecond:\t.long 5b - second, 1b - second\n\t.text\n";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = format!("{}{}", function(&body), rest);
    assemble(folder.path(), "f", &source);
    let linked =
        Command::new("cc").current_dir(folder.path()).args(["-shared", "-nostdlib", "-o", "libf.so", "f.o"]).status();
    assert!(linked.expect("a linker").success());
    let (status, answers) = check(folder.path(), &["--rules", "user", "libf.so"]);
    assert_eq!((found(&answers[0]), status), (Vec::new(), Some(0)), "{}", answers[0]);
    assert_eq!(answers[0]["unjudged"].get("unreached"), Some(&Value::from(6)), "{}", answers[0]);
    // A table that nobody finds: what goes by it is no call in tail position.
    let hidden =
        "\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\tmov %rdi, %rbx\n\tjmp *8(%rsi, %rdi, 8)\n";
    expect(hidden, &[]);
}

/// Other languages keep no register for their callers, and say nothing of any.
#[test]
fn functions_that_keep_no_register() {
    let body = "\tsub $24, %rsp\n\t.cfi_adjust_cfa_offset 24\n\tmov %rbx, 8(%rsp)\n\ttest %rax, %rax\n\tje 1f\n\tmov %rax, %rbx\n\tcall g\n\
                \tmov 8(%rsp), %rbx\n\tadd $24, %rsp\n\t.cfi_adjust_cfa_offset -24\n\tmov (%rbx), %rbx\n\tret\n\
                \t.cfi_adjust_cfa_offset 24\n1:\tadd $24, %rsp\n\t.cfi_adjust_cfa_offset -24\n\tret\n";
    expect(body, &[]);
    expect(
        "\tsub $24, %r15\n\tcmp (%r14), %r15\n\tjb 1f\n\tlea 8(%r15), %rbx\n\tjmp *%rdi\n1:\tcall g\n\tjmp *%rdi\n",
        &[],
    );
    // Who puts it back on every way out should have said where it is.
    let kept = "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\tmov %rdi, %rbx\n\tcall g\n\ttest %rax, %rax\n\tje 1f\n\tcall g\n\
                1:\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\tret\n";
    expect(kept, &[(Code::UnwindRegisterWrong, 8)]);
}

/// Unrolled loops over an array go on, in theory, where it ends.
#[test]
fn bytes_that_never_come_so_far() {
    let store = |width: &str| {
        format!(
            "\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbx, -16\n\tsub $8, %rsp\n\t.cfi_def_cfa_offset 24\n\tmov %rdi, %rbx\n\
             \tmov{width} $1, 7(%rsp)\n\tcmp $1, %edi\n\tje 1f\n\tmov{width} $2, 8(%rsp)\n1:\tcall g\n\tadd $8, %rsp\n\
             \t.cfi_def_cfa_offset 16\n\tpop %rbx\n\t.cfi_def_cfa_offset 8\n\tret\n"
        )
    };
    expect(&store("b"), &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function(&store("q")));
    let (status, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!((status, found(&answers[0]).is_empty()), (Some(1), false), "{}", answers[0]);
}

#[test]
fn directives_by_macros_are_found() {
    let source =
        "#define cfi_adjust_cfa_offset(by) .cfi_adjust_cfa_offset by\n#define CFI_REL_OFFSET .cfi_rel_offset\n";
    let body = "\tpush %rbx\n\tcfi_adjust_cfa_offset (8)\n\tCFI_REL_OFFSET %rbp, 0\n\tsub $16, %rsp\n\tcfi_adjust_cfa_offset (8)\n\tmov %rdi, %rbx\n\
                \tcall g\n\tadd $16, %rsp\n\tcfi_adjust_cfa_offset (-8)\n\tpop %rbx\n\tcfi_adjust_cfa_offset (-8)\n\tret\n";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let of = |source: &str| {
        assemble(folder.path(), "f", source);
        let (_, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
        assert!(!found(&answers[0]).is_empty(), "{}", answers[0]);
        found(&answers[0])
    };
    let own = of(&format!("{source}{}", function(body)));
    let gas = body.replace("cfi_adjust_cfa_offset (8)", ".cfi_adjust_cfa_offset 8");
    let gas = gas
        .replace("cfi_adjust_cfa_offset (-8)", ".cfi_adjust_cfa_offset -8")
        .replace("CFI_REL_OFFSET", ".cfi_rel_offset");
    assert_eq!(own, of(&format!("\n\n{}", function(&gas))));
    assert!(own.contains(&(Code::UnwindWrongNumber.to_string(), 12)), "{own:?}");
}

/// A jump that shows its table leads nowhere else: not to the places of return that the data of some run times name.
#[test]
fn a_jump_goes_by_its_own_table_only() {
    let body = "\tpush %rbp\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbp, -16\n\tmov %rsp, %rbp\n\t.cfi_def_cfa_register %rbp\n\tsub $16, %rsp\n\
                \tlea 7f(%rip), %rdx\n\tmovslq (%rdx, %rax, 4), %rax\n\tadd %rax, %rdx\n\tjmp *%rdx\n1:\tpush %rcx\n\tpush %rdi\n\tcall g\n\
                4:\tadd $16, %rsp\n8:\tadd $16, %rsp\n\tpop %rbp\n\t.cfi_def_cfa %rsp, 8\n\tret\n\
                \t.section .rodata\n\t.balign 4\n7:\t.long 1b - 7b, 8b - 7b\n\t.section .data.rel.ro, \"aw\", @progbits\n\t.quad 4b\n\t.text\n";
    expect(body, &[]);
    // By its table it leads to what it leads to.
    expect(&body.replace("8b - 7b", "4b - 7b"), &[(Code::UnwindCfaLost, 22)]);
}

/// The default of a switch that is taken for impossible leads to whatever comes there.
#[test]
fn an_impossible_default() {
    let body = |branch: &str| {
        format!(
            "\tcmp %fs:0x70, %rsp\n\tjb 9f\n8:\tpush %rbp\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbp, -16\n\tmov %rsp, %rbp\n\
             \t.cfi_def_cfa_register %rbp\n\tlea 7f(%rip), %r12\n\tcmp $1, %rax\n\tja 9f\n\t{branch}\n\tmovslq (%r12, %rax, 4), %rax\n\
             \tadd %r12, %rax\n\tjmp *%rax\n1:\tcall g\n2:\tmov %rbp, %rsp\n\tpop %rbp\n\t.cfi_def_cfa %rsp, 8\n\tret\n\
             9:\t.cfi_restore %rbp\n\tmov $8, %r10d\n\tcall m\n\tret\n\tjmp 8b\n\
             \t.section .rodata\n\t.balign 4\n7:\t.long 1b - 7b, 2b - 7b\n\t.text\n"
        )
    };
    expect(&body("nop"), &[]);
    // A branch that no jump by a table follows is meant.
    let folder = tempfile::tempdir().expect("a temporary folder");
    assemble(folder.path(), "f", &function(&body("je 9f\n\tcall h\n\tcall h")));
    let (status, answers) = check(folder.path(), &["--rules", "user", "f.o"]);
    assert_eq!((status, found(&answers[0]).len()), (Some(1), 1), "{}", answers[0]);
}

/// What never returns changes registers in a loop that nobody keeps.
#[test]
fn a_loop_that_keeps_no_register() {
    let body = "\tsub $8, %rsp\n\t.cfi_adjust_cfa_offset 8\n1:\tmov %rdi, (%rsp)\n\tcall g\n\tmov (%rsp), %r12\n\tmov (%r12), %rax\n\
                \tmov %r12, %rdi\n\tjmp 1b\n";
    expect(body, &[]);
}

/// An untold push is one fault, though what it makes of the CFA cannot be told while the stack is realigned.
#[test]
fn one_cause_before_and_behind_a_realigned_stack() {
    let body = |between: &str| {
        format!(
            "\tpush %rbp\n\tmov %rsp, %rbp\n\tsub $64, %rsp\n\tand $-64, %rsp\n\tcall g\n\tmov %rbp, %rsp\n{between}\tnop\n\tpop %rbp\n\tret\n"
        )
    };
    expect(&body(""), &[(Code::UnwindStackUntold, 6)]);
    // Another push, or a directive, is another fault.
    expect(&body("\tpush %rax\n\tcall g\n\tpop %rax\n"), &[(Code::UnwindStackUntold, 6)]);
    let other = body("\t.cfi_adjust_cfa_offset 16\n").replace("\tret", "\t.cfi_adjust_cfa_offset -16\n\tret");
    expect(&other, &[(Code::UnwindStackUntold, 6), (Code::UnwindWrongNumber, 12)]);
    let other = body("").replace("mov %rbp, %rsp", "lea -16(%rbp), %rsp").replace("\tpop", "\tadd $16, %rsp\n\tpop");
    expect(&other, &[(Code::UnwindStackUntold, 6), (Code::UnwindStackUntold, 11)]);
}
