//! The lines of code to which the assembler gives no row of its own, on objects that are built here.
//!
//! In: assembly and C.  Out: the line of each instruction, and the instructions of each line.
//! Holds afterwards: no line shows what another one has written.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use orcls::analysis::{Analysis, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::findings::Code;
use orcls::image::{FileStore, Store};
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::report::{Alternatives, CfiRows, ReportedFinding, Select, alternatives, labels, report};
use orcls::source_map::Lines;

struct Built {
    analysis: Analysis,
    lines: Lines,
    file: &'static str,
    text: Arc<str>,
    _folder: tempfile::TempDir,
}

/// Builds `text` under the name `file`, with lines.
#[track_caller]
fn build(file: &'static str, text: &str, flags: &[&str]) -> Built {
    build_with(file, text, &[], flags)
}

#[track_caller]
fn build_with(file: &'static str, text: &str, others: &[(&str, &str)], flags: &[&str]) -> Built {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in others {
        std::fs::write(folder.path().join(name), text).expect("a header");
    }
    std::fs::write(folder.path().join(file), text).expect("the source");
    let built = Command::new("cc")
        .args([
            "-c",
            "-O2",
            "-g",
            "-fno-pie",
            "-fcf-protection=none",
            "-fno-asynchronous-unwind-tables",
            "-DKERNEL=612",
            "-I",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/include"))
        .args(flags)
        .args(["-o", "case.o", file])
        .current_dir(folder.path())
        .output()
        .expect("a C compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let store: Arc<dyn Store> = Arc::new(FileStore::open(&folder.path().join("case.o")).expect("the object"));
    let config = Config {
        options: Options { orc: true, uaccess: true, ..Options::default() },
        kernel: KernelChoice::Fixed(Kernel::V6_12),
        policy: Policy::Everything,
        noreturn: Vec::new(),
    };
    let analysis = analyse(store.as_ref(), &config, &CancelToken::default()).expect("an analysis");
    let own: Arc<str> = text.into();
    let lines = Lines::new(store).with_texts(Box::new(move |name| name.ends_with(file).then(|| Arc::clone(&own))));
    Built { analysis, lines, file, text: text.into(), _folder: folder }
}

impl Built {
    /// The line of the first finding of this code.
    #[track_caller]
    fn finding(&self, code: Code) -> ReportedFinding {
        self.findings().into_iter().find(|finding| finding.code == code).unwrap_or_else(|| panic!("no {code}"))
    }

    fn findings(&self) -> Vec<ReportedFinding> {
        let mut report = report("case.o", &self.analysis, &self.lines);
        let text_of = |name: &str| name.ends_with(self.file).then(|| Arc::clone(&self.text));
        labels::name_lines_by_text(&mut report, &self.analysis, &self.lines, &text_of);
        report.findings
    }

    fn alternatives(&self, line: u32) -> Alternatives {
        let select = Select { function: None, at: Some((self.file.to_owned(), line)) };
        alternatives("case.o", &self.analysis, &self.lines, &select)
    }

    /// What the replacements of a line's alternatives begin with.
    fn arms(&self, line: u32) -> Vec<String> {
        let groups = self.alternatives(line).groups;
        let replacements =
            groups.iter().flat_map(|group| group.rows.first().into_iter().flat_map(|row| &row.cells[1..]));
        replacements.map(|cell| cell.clone().unwrap_or_default()).collect()
    }

    /// The instructions of a line.
    fn code(&self, line: u32) -> Vec<String> {
        let select = Select { function: None, at: Some((self.file.to_owned(), line)) };
        CfiRows::new(&self.analysis, &self.lines, &select).map(|row| row.text).collect()
    }
}

/// Of each text the line with it, from 1.
#[track_caller]
fn line(text: &str, mark: &str) -> u32 {
    text.lines().position(|line| line.contains(mark)).expect("the mark") as u32 + 1
}

const ALTERNATIVES: &str = "#include \"orcls.h\"
\t.text
SYM_FUNC_START(f)
\tALTERNATIVE \"\", \"stac\", 1 // first
\tmov %rdi, %rax
\tALTERNATIVE \"\", \"lfence\", 2 // bare
\tALTERNATIVE \"mov $1, %ecx\", \"mov $2, %ecx\", 3 // both
\tadd $1, %rax
\tALTERNATIVE \"\", \"mfence\", 4 ; sub $1, %rax // more
\tALTERNATIVE_2 3, \"\", \"clac\", 5, \"sfence\", 6 // two
\tret
SYM_FUNC_END(f)
";

#[test]
fn every_alternative_is_in_its_own_line() {
    let built = build("a.S", ALTERNATIVES, &[]);
    for (mark, arms) in [
        ("// first", &["stac"][..]),
        ("// bare", &["lfence"]),
        ("// both", &["mov $0x2,%ecx"]),
        ("// more", &["mfence"]),
        ("// two", &["clac", "sfence"]),
        ("mov %rdi", &[]),
        ("add $1", &[]),
        ("\tret", &[]),
    ] {
        assert_eq!(built.arms(line(ALTERNATIVES, mark)), arms, "{mark}");
    }
}

#[test]
fn what_follows_an_alternative_in_its_line_is_there_too() {
    let built = build("a.S", ALTERNATIVES, &[]);
    let code = built.code(line(ALTERNATIVES, "// more"));
    assert!(code.contains(&"sub $0x1,%rax".to_owned()) && code.contains(&"mfence".to_owned()), "{code:?}");
    assert_eq!(built.code(line(ALTERNATIVES, "add $1")), ["add $0x1,%rax"]);
    assert_eq!(built.code(line(ALTERNATIVES, "mov %rdi")), ["mov %rdi,%rax"]);
    let all = alternatives("case.o", &built.analysis, &built.lines, &Select::default());
    let lines: Vec<_> = all.groups.iter().map(|group| group.line).collect();
    let marks = ["// first", "// bare", "// both", "// more", "// two"];
    assert_eq!(lines, marks.map(|mark| Some(line(ALTERNATIVES, mark))));
}

const TOP_LEVEL: &str = "int before(int x) { return x + 1; }
asm(\".text; .globl thunk; .type thunk, @function; thunk: push %rbx; pop %rbx; ret; .size thunk, . - thunk\");
int after(int x) { return x + 2; }
";

#[test]
fn code_of_a_top_level_asm_is_not_put_on_the_function_before() {
    let built = build("a.c", TOP_LEVEL, &["-fno-toplevel-reorder"]);
    for number in [1, 3] {
        assert!(built.code(number).iter().all(|text| !text.contains("%rbx")), "{:?}", built.code(number));
        assert!(!built.code(number).is_empty());
    }
}

#[test]
fn a_finding_in_a_top_level_asm_is_on_its_statement() {
    let text = TOP_LEVEL.replace("push %rbx; pop %rbx; ret;", "\"\n\"push %rbx;\"\n\"ret;");
    let built = build("a.c", &text, &["-fno-toplevel-reorder"]);
    let finding = built.finding(Code::ReturnWithModifiedFrame);
    assert_eq!(finding.line, Some(line(&text, "\"ret;")), "{finding:?}");
}

const DATA: &str = "\t.text
\t.globl f
\t.type f, @function
f:
\tpush %rbx
\tmov %rdi, %rax // innocent

\t.byte 0xc3 // guilty
\t.size f, . - f
";

#[test]
fn code_from_data_is_on_the_line_of_the_data() {
    let built = build("a.S", DATA, &[]);
    let finding = built.finding(Code::ReturnWithModifiedFrame);
    assert_eq!(finding.line, Some(line(DATA, "// guilty")), "{finding:?}");
}

#[test]
fn a_place_in_a_header_names_the_line_that_is_edited() {
    let header = "static inline __attribute__((always_inline)) void open_(void) { asm volatile(\"stac\"); }\n";
    let text = "#include \"b.h\"\nint g(void);\nint f(void) {\n\topen_(); // here\n\treturn g();\n}\n";
    let built = build_with("a.c", text, &[("b.h", header)], &[]);
    let finding = built.finding(Code::CallWithUaccess);
    let here = line(text, "// here");
    let said = format!("{} {:?}", finding.message, finding.path);
    assert!(said.contains(&format!("line {here}")) || said.contains(&format!("a.c:{here}")), "{said}");
}

/// Up to 6.12 `stac` and `clac` are written as bytes.
const BYTES: &str = "#include \"orcls.h\"
#define MY_STAC ALTERNATIVE \"\", \".byte 0x0f, 0x01, 0xcb\", 1
#define MY_CLAC ALTERNATIVE \"\", \".byte 0x0f, 0x01, 0xca\", 2
#define NOTHING
\t.text
SYM_FUNC_START(f)
\txor %eax, %eax // clears
\t/* It is opened
\t * for one access. */
\tMY_STAC // opens
1:\tmov (%rdi), %eax
\tMY_CLAC // closes
\tMY_STAC // opens again
\tmov (%rsi), %eax
\tNOTHING
\tMY_CLAC // or here
\tret // returns
SYM_FUNC_END(f)
SYM_FUNC_START(g)
\tMY_CLAC // starts
\tALTERNATIVE \"\", \"lfence\", 3 // has a row
\tret
SYM_FUNC_END(g)
";

#[test]
fn alternatives_that_are_bytes_alone_are_found_in_the_text() {
    let built = build("bytes.S", BYTES, &[]);
    let arms = |mark: &str| built.arms(line(BYTES, mark));
    assert_eq!(arms("// opens"), ["stac"]);
    assert_eq!(arms("// closes"), ["clac"]);
    assert_eq!(arms("// opens again"), ["stac"]);
    assert_eq!(arms("// starts"), ["clac"]);
    assert_eq!(arms("// has a row"), ["lfence"]);
    // Which of two lines it is nobody knows; the neighbours have no part in it.
    for mark in ["// clears", "1:", "mov (%rsi)", "\tNOTHING", "// or here", "// returns"] {
        assert!(arms(mark).is_empty(), "{mark}: {:?}", arms(mark));
    }
    assert_eq!(built.code(line(BYTES, "// clears")), ["xor %eax,%eax"]);
}

/// Each line that writes code has a mark; nothing of them has a row but the instructions.
const WRITTEN_AS_DATA: &str = "\t.text
\t.macro returns
\t.byte 0xc3
\t.endm
\t.type before, @function
before:
\txor %eax, %eax
\tret // of before
\t.size before, . - before
\t.type first, @function
first:
\t.byte 0x53 // pushes
\t.byte 0xc3 // first returns
\t.size first, . - first
\t.type several, @function
several:
\tpush %rbx
\t.byte 0x90
\t.byte 0x0f, 0x1f, 0x00
\t.long 0xc3909090 // several returns
\t.size several, . - several
\t.type padded, @function
padded:
\tmov $1, %eax
\t.skip 4, 0x90 // padding
\t.size padded, . - padded
\t.type next, @function
next:
\tret // of next
\t.byte 0x50, 0xc3
\t.size next, . - next
\t.type by_macro, @function
by_macro:
\tpush %rax
\treturns // by a macro
\t.size by_macro, . - by_macro
";

#[test]
fn code_written_as_data_is_on_its_own_line_and_nobody_else_s() {
    let text = WRITTEN_AS_DATA;
    let built = build("data.S", text, &[]);
    let findings = built.findings();
    let lines_of = |function: &str| {
        let all = findings.iter().filter(|finding| finding.function.as_deref() == Some(function));
        all.filter_map(|finding| finding.line).collect::<Vec<_>>()
    };
    assert_eq!(lines_of("first"), [line(text, "// first returns")]);
    assert_eq!(lines_of("several"), [line(text, "// several returns")]);
    assert_eq!(lines_of("padded"), [line(text, "// padding")]);
    assert_eq!(lines_of("by_macro"), [line(text, "// by a macro")]);
    assert_eq!(built.code(line(text, "// pushes")), ["push %rbx"]);
    assert_eq!(built.code(line(text, "// of before")), ["ret"]);
    // What is said of `first` names no line of the function before it.
    let said =
        format!("{:?}", findings.iter().filter(|one| one.function.as_deref() == Some("first")).collect::<Vec<_>>());
    assert!(!said.contains(&format!("line: Some({})", line(text, "// of before"))), "{said}");
}

/// Without location views the assembler writes a row behind the data of a statement.
const DATA_IN_C: &str = "int use(int n);
#define BUG() do { asm volatile(\"1:\\t.byte 0x0f, 0x0b\\n\"); __builtin_unreachable(); } while (0)
int pushes(int n)
{
\tn += use(n); // before pushes
\tasm volatile(\".byte 0x50\" ::: \"memory\"); // pushes
\treturn use(n);
}
int two(int n)
{
\tn += use(n); // before two
\tasm volatile(\".byte 0x9c\" ::: \"memory\"); // one
\tasm volatile(\"1: .long 0x00401f0f; .byte 0x9d\" ::: \"memory\"); // other
\treturn use(n);
}
int mixed(int n)
{
\tn += use(n); // before mixed
\tasm volatile(\".byte 0x0f, 0x1f, 0x00\\n\\t\" // of three
\t\t     \"cltq\\n\\t\"
\t\t     \".byte 0x90\" ::: \"rax\", \"memory\");
\treturn use(n);
}
int bugs(int n)
{
\tn += use(n);
\tif (n == 7) // before bugs
\t\tBUG(); // bugs
\treturn use(n);
}
int alike(int n)
{
\tn += use(n); // before alike
\tasm volatile(\".byte 0x90\" ::: \"memory\");
\tasm volatile(\"nop\" ::: \"memory\"); // alike
\treturn use(n);
}
void last(int n)
{
\tuse(n); // before last
\tasm volatile(\".byte 0x0f, 0x05; .byte 0x0f, 0x0b\" ::: \"memory\"); // last
\t__builtin_unreachable();
}
int operand(int n)
{
\tn += use(n); // before operand
\tasm volatile(\".byte %c0\" :: \"i\"(0x90) : \"memory\");
\treturn use(n);
}
";

#[test]
fn data_in_an_asm_of_c_is_in_its_line_however_its_rows_are_written() {
    for flags in [&[][..], &["-fno-var-tracking"], &["-O0"], &["-g1"], &["-gno-variable-location-views"]] {
        let built = build("data.c", DATA_IN_C, flags);
        let code = |mark: &str| built.code(line(DATA_IN_C, mark));
        for (mark, own) in [
            ("// pushes", &["push %rax"][..]),
            ("// one", &["pushf"]),
            ("// other", &["nopl (%rax)", "popf"]),
            ("// of three", &["nopl (%rax)", "cltq", "nop"]),
            ("// bugs", &["ud2"]),
            ("// last", &["syscall", "ud2"]),
        ] {
            // Padding behind the last one may have its row.
            assert_eq!(code(mark).get(..own.len()).unwrap_or(&[]), own, "{mark} {flags:?}");
        }
        for mark in ["pushes", "two", "mixed", "bugs", "alike", "last", "operand"] {
            let of_before = code(&format!("// before {mark}"));
            let strange = ["push %rax", "pushf", "nopl (%rax)", "ud2", "syscall", "nop"];
            assert!(!of_before.is_empty(), "{mark} {flags:?}");
            assert!(!of_before.iter().any(|text| strange.contains(&text.as_str())), "{mark} {flags:?} {of_before:?}");
        }
    }
}

const ALTERNATIVES_OF_C: &str = "#include \"orcls.h\"
static inline __attribute__((always_inline)) void stac(void)
{
\tasm volatile(ALTERNATIVE(\"\", \".byte 0x0f, 0x01, 0xcb\", 1) ::: \"memory\"); // opens
}
static inline __attribute__((always_inline)) void clac(void)
{
\tasm volatile(ALTERNATIVE(\"\", \".byte 0x0f, 0x01, 0xca\", 1) ::: \"memory\"); // closes
}
#define STRANGE ALTERNATIVE(\"\", \".byte 0x0f, 0xae, 0xe8\", 2)
int use(int n);
int plain(int *p, int n)
{
\tuse(n); // before plain
\tstac();
\t*p = n; // access
\tclac();
\treturn n; // behind
}
int close(int *p, int n)
{
\tn += use(n); // before close
\tstac();
\tasm volatile(ALTERNATIVE(\"\", \"lfence\", 2) ::: \"memory\"); // fence
\t*p = n; // access of close
\tclac();
\treturn 0;
}
int behind(int n)
{
\tasm volatile(\"cltq; \" ALTERNATIVE(\"\", \".byte 0x0f, 0xae, 0xf0\", 2) ::: \"memory\"); // cltq
\tn += 7; // seven
\treturn use(n);
}
int before(int n)
{
\tuse(n); // before before
\tasm volatile(ALTERNATIVE(\"\", \".byte 0x0f, 0xae, 0xf8\", 2) \"; cltq\" ::: \"memory\"); // sfence
\treturn use(n);
}
int written(int n)
{
\tuse(n); // before written
\tasm volatile(ALTERNATIVE(\"nop\", \".byte 0xf9\", 2) ::: \"memory\"); // stc
\treturn use(n); // behind written
}
int strange(int n)
{
\tuse(n); // before strange
\tasm volatile(STRANGE ::: \"memory\"); // strange
\treturn use(n);
}
";

#[test]
fn alternatives_of_c_are_in_their_lines_however_the_rows_are_written() {
    for flags in [&[][..], &["-fno-var-tracking"], &["-O0"], &["-Og"], &["-g1"], &["-gno-variable-location-views"]] {
        let built = build("alternatives.c", ALTERNATIVES_OF_C, flags);
        for (mark, arms) in [
            ("// opens", &["stac"][..]),
            ("// closes", &["clac"]),
            ("// fence", &["lfence"]),
            ("// cltq", &["mfence"]),
            ("// sfence", &["sfence"]),
            ("// stc", &["stc"]),
            ("// strange", &["lfence"]),
        ] {
            let mut found = built.arms(line(ALTERNATIVES_OF_C, mark));
            // `stac()` is used twice.
            found.dedup();
            assert_eq!(found, arms, "{mark} {flags:?}");
        }
        let not = ["before plain", "access", "behind", "before close", "access of close", "seven", "before before"];
        for mark in not.iter().copied().chain(["before written", "behind written", "before strange"]) {
            let ends = |line: &str| line.ends_with(&format!("// {mark}"));
            let at = ALTERNATIVES_OF_C.lines().position(ends).expect("the mark") as u32 + 1;
            let mut code = built.code(at);
            // Behind a function's end is padding of nobody's.
            let end = code.iter().position(|text| text == "ret" || text.starts_with("jmp "));
            code.truncate(end.unwrap_or(code.len()));
            let strange = ["stac", "clac", "lfence", "mfence", "sfence", "nop", "nopl (%rax)", "cltq", "stc"];
            assert!(!code.iter().any(|text| strange.contains(&text.as_str())), "{mark} {flags:?} {code:?}");
        }
    }
}
