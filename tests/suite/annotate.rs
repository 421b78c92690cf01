//! Directives written for assembly, and tables beside states.
//!
//! In: assembly without directives.  Out: the text that `orcls cfi annotate` prints, which is assembled and judged again.
//! Holds afterwards: what is refused is left as it is; nothing is written that is not true.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn orcls(folder: &Path, arguments: &[&str]) -> Output {
    let done = Command::new(env!("CARGO_BIN_EXE_orcls")).current_dir(folder).args(arguments).output();
    done.expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The annotated text, and what was said of it.
fn annotated(folder: &Path, name: &str, source: &str) -> (Option<i32>, String, String) {
    std::fs::write(folder.join(name), source).expect("a folder of the test's own takes files");
    let done = orcls(folder, &["cfi", "annotate", "--trust", name]);
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

/// Assembles a text and judges it by the rules for user space.
fn judged(folder: &Path, name: &str, source: &str) -> Value {
    std::fs::write(folder.join(name), source).expect("a folder of the test's own takes files");
    let done = Command::new("cc").current_dir(folder).args(["-c", "-g", "-o", "judged.o", name]).status();
    assert!(done.expect("a C compiler").success(), "{source}");
    let done = orcls(folder, &["check", "--rules", "user", "--format", "json", "judged.o"]);
    serde_json::from_str(&text(&done.stdout)).expect("JSON")
}

/// The whole text is written, and the table is true.
#[track_caller]
fn writes(name: &str, source: &str, wanted: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (status, found, said) = annotated(folder.path(), name, source);
    assert_eq!((found.as_str(), status), (wanted, Some(0)), "{said}");
    let answer = judged(folder.path(), &format!("again.{}", name.rsplit('.').next().unwrap_or("s")), &found);
    assert_eq!(answer["findings"].as_array().map(Vec::len), Some(0), "{answer}");
}

/// Of the text nothing is changed, and the reason says this.
#[track_caller]
fn refuses(source: &str, why: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (status, found, said) = annotated(folder.path(), "f.s", source);
    assert_eq!((found.as_str(), status), (source, Some(2)), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn pushes_and_an_early_return() {
    writes(
        "f.s",
        "\t.text\n\t.type f, @function\nf:\n\tpush %rbx\n\tsub $16, %rsp\n\ttest %rdi, %rdi\n\tje 1f\n\tadd $16, %rsp\n\tpop %rbx\n\
         \tret\n1:\n\tmov %rdi, %rbx\n\tcall g\n\tadd $16, %rsp\n\tpop %rbx\n\tret\n\t.size f, . - f\n",
        "\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_offset %rbx, -16\n\
         \tsub $16, %rsp\n\t.cfi_adjust_cfa_offset 16\n\ttest %rdi, %rdi\n\tje 1f\n\tadd $16, %rsp\n\t.cfi_remember_state\n\
         \t.cfi_adjust_cfa_offset -16\n\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %rbx\n\tret\n1:\n\
         \t.cfi_restore_state\n\tmov %rdi, %rbx\n\tcall g\n\tadd $16, %rsp\n\t.cfi_adjust_cfa_offset -16\n\tpop %rbx\n\
         \t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %rbx\n\tret\n\t.cfi_endproc\n\t.size f, . - f\n",
    );
}

#[test]
fn a_frame_pointer_in_intel_syntax() {
    writes(
        "f.s",
        "\t.intel_syntax noprefix\n\t.text\n\t.globl f\nf:\n\tpush rbp\n\tmov rbp, rsp\n\tsub rsp, 32\n\tcall g\n\tleave\n\tret\n",
        "\t.intel_syntax noprefix\n\t.text\n\t.globl f\nf:\n\t.cfi_startproc\n\tpush rbp\n\t.cfi_adjust_cfa_offset 8\n\
         \t.cfi_offset rbp, -16\n\tmov rbp, rsp\n\t.cfi_def_cfa_register rbp\n\tsub rsp, 32\n\tcall g\n\tleave\n\
         \t.cfi_def_cfa rsp, 8\n\t.cfi_restore rbp\n\tret\n\t.cfi_endproc\n",
    );
}

#[test]
fn an_aligned_frame_with_its_old_stack_pointer_in_a_word() {
    writes(
        "f.s",
        "\t.text\n\t.type f, @function\nf:\n\tmov %rsp, %rax\n\tsub $96, %rsp\n\tand $-64, %rsp\n\tmov %rax, 64(%rsp)\n\tcall g\n\
         \tmov 64(%rsp), %rsp\n\tret\n\t.size f, . - f\n",
        "\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tmov %rsp, %rax\n\t.cfi_def_cfa_register %rax\n\tsub $96, %rsp\n\
         \tand $-64, %rsp\n\tmov %rax, 64(%rsp)\n\tcall g\n\
         \t.cfi_escape 0x0f, 0x06, 0x77, 0xc0, 0x00, 0x06, 0x23, 0x08 /* CFA = *(rsp+64)+8 */\n\tmov 64(%rsp), %rsp\n\
         \t.cfi_def_cfa %rsp, 8\n\tret\n\t.cfi_endproc\n\t.size f, . - f\n",
    );
}

#[test]
fn macros_stay_and_statements_share_a_line() {
    writes(
        "f.S",
        "#define SAVE(reg) push reg\n\t.text\n\t.type f, @function\nf:\n\tSAVE(%rbx)\t/* kept */\n\tmov %rdi, %rbx; call g; pop %rbx; ret\n\
         \t.size f, . - f\n",
        "#define SAVE(reg) push reg\n\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tSAVE(%rbx)\t/* kept */\n\
         \t.cfi_adjust_cfa_offset 8\n\t.cfi_offset %rbx, -16\n\tmov %rdi, %rbx; call g; pop %rbx; .cfi_adjust_cfa_offset -8; \
         .cfi_restore %rbx; ret\n\t.cfi_endproc\n\t.size f, . - f\n",
    );
}

#[test]
fn a_table_that_begins_and_ends_is_filled_and_one_that_says_something_is_left() {
    let told = "\t.type g, @function\ng:\n\t.cfi_startproc\n\tpush %rbx\n\t.cfi_def_cfa_offset 16\n\tpop %rbx\n\t.cfi_def_cfa_offset 8\n\
                \tret\n\t.cfi_endproc\n\t.size g, . - g\n";
    let f = |push: &str, pop: &str| {
        format!(
            "\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tpush %rcx\n{push}\tcall h\n\tpop %rcx\n{pop}\tret\n\t.cfi_endproc\n\
             \t.size f, . - f\n{told}"
        )
    };
    // The file's own style: offsets, not what is added to them.
    writes("f.s", &f("", ""), &f("\t.cfi_def_cfa_offset 16\n", "\t.cfi_def_cfa_offset 8\n"));
}

#[test]
fn what_is_not_known_is_refused() {
    let function = |body: &str| format!("\t.text\n\t.type f, @function\nf:\n{body}\t.size f, . - f\n");
    refuses(&function("\tmov (%rdi), %rsp\n\tpush %rax\n\tret\n"), "lead to the CFA");
    refuses(&function("\tpush %rbx\n\tmov %rdi, %rbx\n\tcall g\n\tret\n"), "returns to the wrong place");
    refuses(&function("\tjmp *%rax\n\tpush %rcx\n\tpop %rcx\n\tret\n"), "no path that can be followed");
    let macros = |rest: &str| format!("\t.macro FRAME\n\tpush %rbx\n\tpush %rcx\n\t.endm\n\t.text\n{rest}");
    let uses = function("\tFRAME\n\tcall g\n\tpop %rcx\n\tpop %rbx\n\tret\n");
    let other = |body: &str| function(body).replace("f:", "g:").replace("f,", "g,").replace(" f\n", " g\n");
    // Where the macro has no directives of its own the second use is told of behind it.
    let told = other(
        "\t.cfi_startproc\n\tFRAME\n\t.cfi_def_cfa_offset 24\n\tcall g\n\tadd $16, %rsp\n\t.cfi_def_cfa_offset 8\n\tret\n\t.cfi_endproc\n",
    );
    refuses(&macros(&format!("{uses}{told}")), "its directives belong into it, but it is also used where");
    let twice = other("\tpush %rbx\n\txor %ebx, %ebx\n\tFRAME\n\tcall g\n\tadd $16, %rsp\n\tpop %rbx\n\tret\n");
    refuses(&macros(&format!("{uses}{twice}")), "what they have to say is not the same");
}

#[test]
fn one_function_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = "\t.text\n\t.type f, @function\nf:\n\tret\n\t.size f, . - f\n\t.type g, @function\ng:\n\tret\n\t.size g, . - g\n";
    std::fs::write(folder.path().join("f.s"), source).expect("a file");
    let done = orcls(folder.path(), &["cfi", "annotate", "--trust", "--function", "g", "--format", "json", "f.s"]);
    let answer: Value = serde_json::from_str(&text(&done.stdout)).expect("JSON");
    assert_eq!(answer["written"], serde_json::json!(["g"]));
    assert_eq!(answer["text"].as_str().map(|text| text.matches(".cfi_startproc").count()), Some(1));
    let done = orcls(folder.path(), &["cfi", "annotate", "--trust", "--function", "h", "f.s"]);
    assert!(text(&done.stderr).contains("there is no function h"));
}

#[test]
fn nasm_is_told_what_can_be_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (status, found, said) =
        annotated(folder.path(), "f.asm", "section .text\nglobal f\nf:\n    push rbx\n    pop rbx\n    ret\n");
    assert_eq!((status, found.as_str()), (Some(2), ""));
    assert!(said.contains("NASM"), "{said}");
}

#[test]
fn rows_and_states_side_by_side() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = "\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tpush %rcx\n\tcall g\n\tpop %rcx\n\tret\n\t.cfi_endproc\n\t.size f, . - f\n";
    judged(folder.path(), "f.s", source);
    let done = orcls(folder.path(), &["cfi", "diff", "--format", "json", "judged.o"]);
    assert_eq!(done.status.code(), Some(1));
    let answer: Value = serde_json::from_str(&text(&done.stdout)).expect("JSON");
    let rows: Vec<(&str, &str, bool)> = answer["instructions"]
        .as_array()
        .expect("instructions")
        .iter()
        .map(|row| {
            (
                row["table"].as_str().unwrap_or(""),
                row["code"].as_str().unwrap_or(""),
                row["differs"] == Value::Bool(true),
            )
        })
        .collect();
    let wanted =
        [("rsp+8", "rsp+8", false), ("rsp+8", "rsp+16", true), ("rsp+8", "rsp+16", true), ("rsp+8", "rsp+8", false)];
    assert_eq!(rows, wanted);
    let done = orcls(folder.path(), &["cfi", "diff", "judged.o"]);
    assert!(
        text(&done.stdout).lines().any(|line| line.contains('!') && line.contains("call")),
        "{}",
        text(&done.stdout)
    );
}

#[test]
fn directives_by_macros_of_the_project() {
    let head = "#define cfi_adjust_cfa_offset(by) .cfi_adjust_cfa_offset by\n#define cfi_offset(reg, at) .cfi_offset reg, at\n\
                #define cfi_restore(reg) .cfi_restore reg\n#define cfi_startproc .cfi_startproc\n#define cfi_endproc .cfi_endproc\n";
    let g = "\t.text\n\t.type g, @function\ng:\n\tcfi_startproc\n\tpush %rax\n\tcfi_adjust_cfa_offset (8)\n\tcall h\n\tpop %rax\n\
             \tcfi_adjust_cfa_offset (-8)\n\tret\n\tcfi_endproc\n\t.size g, . - g\n\t.type f, @function\nf:\n";
    let end = "\t.size f, . - f\n\t.section .note.GNU-stack, \"\", @progbits\n";
    let source = format!("{head}{g}\tpush %rbx\n\tmov %rdi, %rbx\n\tcall g\n\tpop %rbx\n\tret\n{end}");
    let body = "\tcfi_startproc\n\tpush %rbx\n\tcfi_adjust_cfa_offset (8)\n\tcfi_offset (%rbx, -16)\n\tmov %rdi, %rbx\n\tcall g\n\
                \tpop %rbx\n\tcfi_adjust_cfa_offset (-8)\n\tcfi_restore (%rbx)\n\tret\n\tcfi_endproc\n";
    writes("f.S", &source, &format!("{head}{g}{body}{end}"));
    // What has no macro is said as the assembler has it.
    let less = |text: &str| text.replace("#define cfi_restore(reg) .cfi_restore reg\n", "");
    let body = body.replace("cfi_restore (%rbx)", ".cfi_restore %rbx");
    writes("f.S", &less(&source), &less(&format!("{head}{g}{body}{end}")));
}

#[test]
fn what_the_kernel_enters_and_what_a_child_overwrites() {
    refuses(
        "\t.text\n\t.type f, @function\nf:\n\tmov $15, %eax\n\tsyscall\n\t.size f, . - f\n",
        "it is entered by a signal, not by a call",
    );
    refuses("\t.text\n\t.globl _start\n_start:\n\tmov %rsp, %rdi\n\tcall f\n\thlt\n", "nobody calls it");
    // The child of vfork runs on the same stack, below which the return address lay.
    let source = |register: &str| {
        format!(
            "\t.text\n\t.type f, @function\nf:\n{}\tpop %rdx\n{}\tmov $58, %eax\n\tsyscall\n{register}\tpush %rdx\n{}\tret\n{}\t.size f, . - f\n",
            if register.is_empty() { "" } else { "\t.cfi_startproc\n" },
            if register.is_empty() { "" } else { "\t.cfi_adjust_cfa_offset -8\n" },
            if register.is_empty() { "" } else { "\t.cfi_adjust_cfa_offset 8\n" },
            if register.is_empty() { "" } else { "\t.cfi_endproc\n" },
        )
    };
    writes("f.s", &source(""), &source("\t.cfi_register %rip, %rdx\n"));
}

/// A macro that moves the stack more than once has its directives inside, where they hold for every use.
#[test]
fn directives_inside_macros() {
    let text = |save: [&str; 2],
                restore: [&str; 2],
                [start, end]: [&str; 2],
                [sub, add]: [&str; 2],
                [left, again]: [&str; 2]| {
        format!(
            "\t.macro SAVE one\n\tpush \\one\n{}\tpush %rbp # two\n{}\t.endm\n\t.macro RESTORE one\n\tpop %rbp\n{}\tpop \\one\n{}\t.endm\n\
             \t.text\n\t.type f, @function\nf:\n{start}\tSAVE %rbx\n\txor %ebp, %ebp\n\txor %ebx, %ebx\n\tRESTORE %rbx\n\tret\n{end}\t.size f, . - f\n\
             \t.type g, @function\ng:\n{start}\tsub $24, %rsp\n{sub}\tSAVE %r12\n\txor %ebp, %ebp\n\txor %r12d, %r12d\n\ttest %rdi, %rdi\n\tje 1f\n\
             {left}\tRESTORE %r12\n\tadd $24, %rsp\n{add}\tret\n{again}1:\tRESTORE %r12\n\tadd $24, %rsp\n{add}\tret\n{end}\t.size g, . - g\n",
            save[0], save[1], restore[0], restore[1]
        )
    };
    let none = [""; 2];
    writes(
        "f.s",
        &text(none, none, none, none, none),
        &text(
            [
                "\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset \\one, 0\n",
                "\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %rbp, 0\n",
            ],
            [
                "\t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %rbp\n",
                "\t.cfi_adjust_cfa_offset -8\n\t.cfi_restore \\one\n",
            ],
            ["\t.cfi_startproc\n", "\t.cfi_endproc\n"],
            ["\t.cfi_adjust_cfa_offset 24\n", "\t.cfi_adjust_cfa_offset -24\n"],
            ["\t.cfi_remember_state\n", "\t.cfi_restore_state\n"],
        ),
    );
    // Macros of the preprocessor are lines.
    let define = "#define SAVE(x) push x; \\\n\tpush %rbp\n#define RESTORE(x) pop %rbp; pop x\n";
    let body = "\t.text\n\t.type f, @function\nf:\n\tSAVE(%rbx)\n\tcall g\n\tRESTORE(%rbx)\n\tret\n\t.size f, . - f\n";
    let told = "#define SAVE(x) push x; .cfi_adjust_cfa_offset 8; .cfi_rel_offset %rbx, 0; \\\n\tpush %rbp; .cfi_adjust_cfa_offset 8; \
                .cfi_rel_offset %rbp, 0\n#define RESTORE(x) pop %rbp; .cfi_adjust_cfa_offset -8; .cfi_restore %rbp; pop x; \
                .cfi_adjust_cfa_offset -8; .cfi_restore %rbx\n";
    let opened = body.replace("f:\n", "f:\n\t.cfi_startproc\n").replace("\tret\n", "\tret\n\t.cfi_endproc\n");
    writes("f.S", &format!("{define}{body}"), &format!("{told}{opened}"));
    let two = |body: &str| {
        format!("{body}{}", body.replace("f:", "h:").replace("f,", "h,").replace("- f", "- h").replace("rbx", "r12"))
    };
    let (told, opened) = (told.replace("%rbx", "x"), two(&opened));
    writes("f.S", &format!("{define}{}", two(body)), &format!("{told}{opened}"));
}

/// What is written around one push and its pop; `text` is made of what stands at the start, behind both, and at the end.
fn writes_around_a_push(text: &dyn Fn(&str, &str, &str, &str) -> String) {
    let told =
        ["\t.cfi_startproc\n", "\t.cfi_adjust_cfa_offset 8\n", "\t.cfi_adjust_cfa_offset -8\n", "\t.cfi_endproc\n"];
    let [start, push, pop, end] = told;
    writes("f.s", &text("", "", "", ""), &text(start, push, pop, end));
}

/// A `.size` that names another function, as in code that was copied, hides no function.
#[test]
fn a_function_without_a_size_of_its_own() {
    let text = |start: &str, push: &str, pop: &str, end: &str| {
        let function = |name: &str| {
            format!(
                "\t.globl {name}\n\t.type {name}, @function\n{name}:\n{start}\tpush %rcx\n{push}\tcall h\n\tpop %rcx\n{pop}\tret\n"
            )
        };
        format!("\t.text\n{}{end}\t.size f, . - f\n{}{end}\t.size f, . - f\n", function("f"), function("g"))
    };
    writes_around_a_push(&text);
}

/// The default of two switches that many jumps lead to, with a frame of which nothing is said so far.
#[test]
fn a_default_that_two_switches_share() {
    let switch = |register: &str| {
        format!(
            "\tcmp $1, {register}\n\tja 2f\n\tlea 7f(%rip), %rcx\n\tmovslq (%rcx, %rax, 4), %rax\n\tadd %rcx, %rax\n\tjmp *%rax\n"
        )
    };
    let text = |start: &str, push: &str, pop: &str, end: &str| {
        format!(
            "\t.text\n\t.type f, @function\nf:\n{start}\tpush %rcx\n{push}{}1:\tcall g\n{}2:\tcall h\n3:\tpop %rcx\n{pop}\tret\n{end}\
             \t.size f, . - f\n\t.section .rodata\n\t.balign 4\n7:\t.long 1b - 7b, 3b - 7b\n",
            switch("%esi"),
            switch("%edi")
        )
    };
    writes_around_a_push(&text);
}
