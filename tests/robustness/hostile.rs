//! Objects that are small and ask for much.
//!
//! Out: objects as bytes, assembled or put together from assembled ones.

use std::fmt::Write as _;
use std::process::Command;

/// What each object asks for, and the object.
pub fn objects() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("many sections of the same code", with_headers(code_header, &[0x90; 1 << 16])),
        ("many long section names", with_headers(|header, i| put(header, 0, 4, i), &[b'a'; 1 << 20])),
        ("many long symbol names", with_symbols(&[b'a'; 1 << 20], |symbol, i| put(symbol, 0, 4, i))),
        ("many symbols of the same code", assembled(&overlapping_functions())),
        ("many alternatives of the same code", assembled(&overlapping_alternatives())),
        ("many jumps through long tables", assembled(&jump_tables())),
        ("many jumps through one long table", assembled(&shared_table())),
        ("many symbols without size in a function with a table", assembled(&inner_symbols())),
        ("many restores of a state that was never saved", assembled(&restores())),
        ("many states", assembled(".type f,@function\nf: .rept 300000\n push %rax\n .endr\n ret\n.size f,.-f")),
        ("many findings in a function with a long name", assembled(&long_name())),
        ("many calls of a place with many symbols", assembled(&crowd())),
        ("many cold parts of one name", assembled(&cold_parts())),
        ("many alternatives of one place", assembled(&one_alternative())),
        ("a deep nest of branches", assembled(&nested_branches())),
        ("a long chain of functions", assembled(&chained_functions())),
        ("many returns from interrupts", assembled(&interrupt_returns())),
        (
            "much code between symbols of a linked object",
            assembled(
                ".file \"a.c\"\n.file \"b.c\"\n.type f,@function\nf: ret\n.size f,.-f\n.rept 200000\n inc %eax\n .endr\n\
                 .type g,@function\ng: ret\n.size g,.-g",
            ),
        ),
        (
            "much on the stack",
            assembled(
                ".type f,@function\nf: .rept 40000\n push %rbp\n sub $0x7fffffff,%rsp\n .endr\n ret\n.size f,.-f",
            ),
        ),
    ]
}

fn assembled(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, object) = (folder.path().join("case.s"), folder.path().join("case.o"));
    std::fs::write(&path, format!("{source}\n")).expect("the source is written");
    let status = Command::new("cc").arg("-c").arg(&path).arg("-o").arg(&object).status();
    assert!(status.expect("a C compiler").success(), "the source is assembled");
    std::fs::read(&object).expect("the object")
}

fn put(bytes: &mut [u8], at: usize, size: usize, value: u64) {
    bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize
}

/// Makes a header one of a code section with all of the payload.
fn code_header(header: &mut [u8], _: u64) {
    put(header, 4, 4, 1);
    put(header, 8, 8, 6);
}

/// An object with `payload` and 60000 section headers that are about it, changed by `change`.
fn with_headers(change: impl Fn(&mut [u8], u64), payload: &[u8]) -> Vec<u8> {
    let mut bytes = assembled("f: ret");
    let payload_at = bytes.len();
    bytes.extend_from_slice(payload);
    let first = number(&bytes, 40);
    let table = bytes.len();
    for i in 0..60_000 {
        let mut header = bytes[first..first + 64].to_vec();
        put(&mut header, 24, 8, payload_at as u64);
        put(&mut header, 32, 8, payload.len() as u64);
        change(&mut header, i);
        bytes.extend(header);
    }
    put(&mut bytes, 40, 8, table as u64);
    put(&mut bytes, 60, 2, 60_000);
    put(&mut bytes, 62, 2, 1);
    bytes
}

/// An object with a symbol table of 40000 functions, changed by `change`, over the string table `strings`.
fn with_symbols(strings: &[u8], change: impl Fn(&mut [u8], u64)) -> Vec<u8> {
    let mut bytes = assembled(".type f,@function\nf: ret\n.size f,.-f");
    let (first, count) = (number(&bytes, 40), usize::from(bytes[60]));
    let strings_at = bytes.len();
    bytes.extend_from_slice(strings);
    let table = bytes.len();
    for i in 0..40_000 {
        let mut symbol = [0; 24];
        put(&mut symbol, 4, 1, 0x12);
        put(&mut symbol, 6, 2, 1);
        put(&mut symbol, 16, 8, 1);
        change(&mut symbol, i);
        bytes.extend(symbol);
    }
    let size = bytes.len() - table;
    for header in (0..count).map(|i| first + 64 * i) {
        if bytes[header + 4] == 2 {
            put(&mut bytes, header + 24, 8, table as u64);
            put(&mut bytes, header + 32, 8, size as u64);
            let link = header_of(&bytes, header, first);
            put(&mut bytes, link + 24, 8, strings_at as u64);
            put(&mut bytes, link + 32, 8, strings.len() as u64);
        }
    }
    bytes
}

/// The header that the `sh_link` of another names.
fn header_of(bytes: &[u8], header: usize, first: usize) -> usize {
    first + 64 * usize::from(bytes[header + 40])
}

fn overlapping_functions() -> String {
    let mut source = ".text\n.rept 60000\n nop\n .endr\nend:\n".to_owned();
    for i in 0..30_000 {
        write!(source, ".type f{i},@function\n.set f{i},.text+{i}\n.size f{i},60000-{i}\n").expect("a string takes it");
    }
    source
}

fn overlapping_alternatives() -> String {
    let mut source = ".type f,@function\nf: .rept 60000\n nop\n .endr\n ret\n.size f,.-f\n".to_owned();
    source += ".section .altinstr_replacement,\"ax\"\nr: .rept 250\n nop\n .endr\n.section .altinstructions,\"a\"\n";
    for i in 0..4_000 {
        writeln!(source, ".long f+{i}-., r-.\n.long 1\n.byte 250, 250").expect("a string takes it");
    }
    source
}

fn jump_tables() -> String {
    let mut source = ".text\n.type f,@function\nf:\n".to_owned();
    for i in 0..2_000 {
        writeln!(source, "lea table+{}(%rip),%rdx\n jmp *table+{}(,%rax,8)", i * 8, i * 8).expect("a string takes it");
    }
    source += "l: ret\n.size f,.-f\n.section .rodata,\"a\"\ntable:\n.rept 20000\n .quad l\n .endr\n";
    source
}

fn nested_branches() -> String {
    let mut source = ".type f,@function\nf:\n".to_owned();
    for i in 0..6_000 {
        writeln!(source, "je l{i}\n push %rbp").expect("a string takes it");
    }
    for i in 0..6_000 {
        writeln!(source, "l{i}: pop %rbp").expect("a string takes it");
    }
    source + "ret\n.size f,.-f"
}

fn chained_functions() -> String {
    let mut source = String::new();
    for i in 0..20_000 {
        write!(source, ".type f{i},@function\nf{i}: call g{i}\n jmp f{}\n.size f{i},.-f{i}\n", i + 1)
            .expect("a string");
        write!(source, ".type g{i},@function\ng{i}: jmp f{}\n.size g{i},.-g{i}\n", i + 1).expect("a string takes it");
    }
    source + "f20000: ud2"
}

fn interrupt_returns() -> String {
    let mut source = ".text\n.rept 30000\n iretq\n .endr\n".to_owned();
    for i in 0..20_000 {
        write!(source, ".type f{i},@function\n.set f{i},.text+{i}\n.size f{i},{}\n", 40_000 - 2 * i).expect("a string");
    }
    source
}

/// Jumps that all go through the same table, each from another state.
fn shared_table() -> String {
    let mut source = ".type f,@function\nf:\n".to_owned();
    for i in 0..8_000 {
        let _ = writeln!(source, " je 1f\n push %rax\n jmp *t(,%rax,8)\n1: push %rcx\nl{i}: nop");
    }
    source.push_str(" ret\n.size f,.-f\n.section .rodata\nt:\n");
    for i in 0..8_000 {
        let _ = writeln!(source, " .quad l{i}");
    }
    source
}

/// Each inner symbol is a function of its own to a search that goes from function to function.
fn inner_symbols() -> String {
    let mut source = ".type f,@function\nf: jmp *t(,%rax,8)\n".to_owned();
    for i in 0..20_000 {
        let _ = writeln!(source, ".type g{i},@function\ng{i}: inc %eax\n nop");
    }
    source.push_str("l: ret\n.size f,.-f\n.section .rodata\nt: .quad l, l\n");
    source
}

fn restores() -> String {
    let mut source = ".type f,@function\nf:\n".to_owned();
    for kind in [7, 5] {
        // A restore hint of 6.12 and of 6.1, each at a place that no path leads to.
        let hint = format!(
            ".pushsection .discard.unwind_hints\n .long 1b - .\n .short 0\n .byte 0, {kind}, 0, 0, 0, 0\n .popsection"
        );
        let _ = writeln!(source, ".rept 20000\n ret\n1: nop\n{hint}\n.endr");
    }
    source.push_str(" ret\n.size f,.-f");
    source
}

fn long_name() -> String {
    let name = "n".repeat(200_000);
    format!(
        ".globl {name}\n.type {name},@function\n{name}: .rept 20000\n std\n std\n .endr\n ret\n.size {name},.-{name}"
    )
}

fn crowd() -> String {
    let mut source = ".type f,@function\nf: .rept 40000\n call 1f\n .endr\n ret\n.size f,.-f\n1:\n".to_owned();
    for i in 0..40_000 {
        let _ = writeln!(source, ".globl c{i}\nc{i}:\n.size c{i},1");
    }
    source.push_str(" ret\n");
    source
}

/// As a link of many sources has them: parents and cold parts that are all called the same.
fn cold_parts() -> String {
    // An assembler refuses a name twice, a linker does not.
    let mut source = String::new();
    for i in 0..6_000 {
        let _ = writeln!(source, ".type f.{i},@function\nf.{i}: ret\n.size f.{i},.-f.{i}");
        let _ = writeln!(source, ".type f.{i}.cold,@function\nf.{i}.cold: ret\n.size f.{i}.cold,.-f.{i}.cold");
    }
    source
}

/// Replacements of one place, which nested alternatives have a few of.
fn one_alternative() -> String {
    let mut source = ".type f,@function\nf: nop\n ret\n.size f,.-f\n".to_owned();
    let entry = |size: u32| match size {
        12 => ".long f - .\n .long r - .\n .short 1\n .byte 1, 1",
        _ => ".long f - .\n .long r - .\n .long 1\n .byte 1, 1",
    };
    source.push_str(".section .altinstr_replacement,\"ax\"\nr: nop\n.section .altinstructions,\"a\"\n");
    let _ = writeln!(source, ".rept 20000\n {}\n.endr", entry(14));
    source
}
