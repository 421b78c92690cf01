//! Objects as orcls writes them: what objtool adds is there, and nothing that was there is lost.
//!
//! In: assembly, built by the C compiler in a folder of the test's own.  Out: a test per promise.
//! Holds afterwards: where `OBJTOOL_6_1`, `OBJTOOL_6_12` or `OBJTOOL_7_3` names the objtool of that release, it writes the
//! same sections for every fixture, header and contents, and changes nothing where orcls writes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fixture::Fixture;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ElfFile64, SectionHeader, Sym};
use orcls::analysis::{Analysis, Config, GaveUp, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::image::ElfImage;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::orc;
use orcls::write::{WriteError, write};

/// Something of all that objtool lists or patches. Nothing refers to `.text` as a section, so that assemblers leave its
/// symbol out; the data refers to symbols that have to make room for it.
const ALL_KINDS: &str = r#"
	.text
	.globl alpha
	.fill 16, 1, 0x90
alpha:
	push %rbx
	call __x86_indirect_thunk_rax
	call __SCT__key
	call beta
	pop %rbx
	jmp __x86_return_thunk
	.type alpha, @function
	.size alpha, . - alpha
	.section .text.more, "ax", @progbits
gamma:
	jmp __SCT__key
	.type gamma, @function
	.size gamma, . - gamma
	.section .text.jump, "ax", @progbits
delta:
1:	jmp 2f
2:	jmp __x86_return_thunk
	.type delta, @function
	.size delta, . - delta
	.section __jump_table, "aw", @progbits
	.long 1b - ., 2b - .
	.quad switch + 2 - .
	.section .noinstr.text, "ax", @progbits
epsilon:
	call __sanitizer_cov_trace_pc
	jmp __x86_return_thunk
	.type epsilon, @function
	.size epsilon, . - epsilon
	.data
	.quad alpha, beta, __x86_return_thunk, __SCK__key, gamma
	.section .note.GNU-stack, "", @progbits
"#;

/// A folder to build in.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn assemble(&self, source: &str) -> PathBuf {
        let (input, object) = (self.path("case.s"), self.path("case.o"));
        fs::write(&input, source).unwrap();
        compile(&["-c"], &[&input], &object);
        object
    }

    /// Names of the files in it.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[track_caller]
fn compile(arguments: &[&str], inputs: &[&Path], output: &Path) {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler).args(arguments).args(inputs).arg("-o").arg(output).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn all_flags() -> Options {
    Options {
        orc: true,
        retpoline: true,
        rethunk: true,
        static_call: true,
        prefix: Some(16),
        hacks: vec!["jump_label,noinstr,skylake".to_owned()],
        ..Options::default()
    }
}

#[track_caller]
fn analysed(bytes: &Vec<u8>, kernel: Kernel, options: Options) -> Analysis {
    let config = Config { options, kernel: KernelChoice::Fixed(kernel), policy: Policy::Objtool, noreturn: Vec::new() };
    analyse(bytes, &config, &CancelToken::default()).unwrap()
}

fn written(bytes: &Vec<u8>, analysis: &Analysis) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::new();
    write(analysis, bytes, &mut out).map(|()| out)
}

/// [`ALL_KINDS`] before and after.
#[track_caller]
fn both(kernel: Kernel) -> (Vec<u8>, Vec<u8>, Analysis) {
    let before = fs::read(Folder::new().assemble(ALL_KINDS)).unwrap();
    let analysis = analysed(&before, kernel, all_flags());
    let after = written(&before, &analysis).unwrap();
    (before, after, analysis)
}

/// A section as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    name: String,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    align: u64,
    entsize: u64,
    bytes: Vec<u8>,
}

/// A relocation with what it leads to, whatever the index of its symbol.
#[derive(PartialEq, Eq, Debug)]
struct Led {
    section: String,
    offset: u64,
    kind: u32,
    addend: i64,
    symbol: String,
}

fn parse(bytes: &[u8]) -> ElfFile64<'_, LE> {
    ElfFile64::parse(bytes).unwrap()
}

fn sections(bytes: &[u8]) -> Vec<Seen> {
    let file = parse(bytes);
    let table = file.elf_section_table();
    let seen = |header: &elf::SectionHeader64<LE>| Seen {
        name: String::from_utf8(table.section_name(LE, header).unwrap().to_vec()).unwrap(),
        kind: header.sh_type(LE).0,
        flags: header.sh_flags(LE).0,
        link: header.sh_link(LE),
        info: header.sh_info(LE),
        align: header.sh_addralign(LE),
        entsize: header.sh_entsize(LE),
        bytes: header.data(LE, bytes).unwrap().to_vec(),
    };
    table.iter().map(seen).collect()
}

/// The symbols: binding, and all that tells one from another.
fn symbols(bytes: &[u8]) -> Vec<(u8, String)> {
    let file = parse(bytes);
    let table = file.elf_symbol_table();
    let describe = |(index, symbol): (object::SymbolIndex, &elf::Sym64<LE>)| {
        let name = String::from_utf8_lossy(table.symbol_name(LE, symbol).unwrap()).into_owned();
        let section = table.symbol_section(LE, symbol, index).unwrap().map_or(0, |section| section.0);
        let kind = symbol.st_type().0;
        let text = format!("{name} {kind} in {section} at {:#x}+{:#x}", symbol.st_value(LE), symbol.st_size(LE));
        (symbol.st_bind().0, text)
    };
    table.enumerate().map(describe).collect()
}

fn relocations(bytes: &[u8]) -> Vec<Led> {
    let symbols = symbols(bytes);
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut all = Vec::new();
    for section in sections(bytes).iter().filter(|section| section.kind == 4) {
        all.extend(section.bytes.chunks_exact(24).map(|entry| Led {
            section: section.name.clone(),
            offset: word(entry, 0),
            kind: word(entry, 8) as u32,
            addend: word(entry, 16) as i64,
            symbol: symbols[(word(entry, 8) >> 32) as usize].1.clone(),
        }));
    }
    all
}

#[track_caller]
fn section(bytes: &[u8], name: &str) -> Seen {
    sections(bytes).into_iter().find(|section| section.name == name).unwrap_or_else(|| panic!("no section {name}"))
}

/// Where the relocations of an added section lead.
fn leads(bytes: &[u8], name: &str) -> Vec<(u64, String, i64)> {
    let symbols = sections(bytes);
    let of_section = |symbol: String| match symbol.strip_prefix(" 3 in ").and_then(|rest| rest.split_once(' ')) {
        Some((index, _)) => symbols[index.parse::<usize>().unwrap()].name.clone(),
        None => symbol.split(' ').next().unwrap().to_owned(),
    };
    let all = relocations(bytes).into_iter().filter(|led| led.section == format!(".rela{name}"));
    all.map(|led| (led.offset, of_section(led.symbol), led.addend)).collect()
}

#[test]
fn sections_are_added_in_the_order_of_the_release() {
    let order = |kernel| {
        let (before, after, _) = both(kernel);
        let added = sections(&after).split_off(sections(&before).len());
        added.into_iter().map(|section| section.name).filter(|name| !name.starts_with(".rela")).collect::<Vec<_>>()
    };
    let sites = [".static_call_sites", ".retpoline_sites", ".return_sites"];
    let table = [".orc_unwind", ".orc_unwind_ip"];
    assert_eq!(order(Kernel::V6_1), [&sites[..], &table].concat());
    assert_eq!(order(Kernel::V6_12), [&sites[..], &[".call_sites"], &table].concat());
    assert_eq!(order(Kernel::V7_3), [&sites[..], &[".call_sites"], &table].concat());
}

#[test]
fn headers_are_those_that_objtool_writes() {
    let (_, after, _) = both(Kernel::V6_12);
    let index = |name: &str| sections(&after).iter().position(|section| section.name == name).unwrap() as u32;
    let head = |name: &str| {
        let Seen { kind, flags, link, info, align, entsize, .. } = section(&after, name);
        (kind, flags, link, info, align, entsize)
    };
    assert_eq!(head(".orc_unwind"), (1, 2, 0, 0, 1, 6));
    assert_eq!(head(".orc_unwind_ip"), (1, 2, 0, 0, 1, 4));
    assert_eq!(head(".rela.orc_unwind_ip"), (4, 0x40, index(".symtab"), index(".orc_unwind_ip"), 8, 24));
    assert_eq!(head(".static_call_sites"), (1, 3, 0, 0, 1, 8));
    assert_eq!(head(".return_sites"), (1, 2, 0, 0, 1, 4));
}

#[test]
fn sites_are_places_in_sections() {
    let (_, after, _) = both(Kernel::V6_12);
    let at = |offset, section: &str, addend| (offset, section.to_owned(), addend);
    assert_eq!(
        leads(&after, ".static_call_sites"),
        [
            at(0, ".text.more", 0),
            // A call that is a jump.
            at(4, "__SCK__key", 1),
            at(8, ".text", 16 + 6),
            at(12, "__SCK__key", 0),
        ]
    );
    assert_eq!(leads(&after, ".retpoline_sites"), [at(0, ".text", 16 + 1)]);
    assert_eq!(leads(&after, ".call_sites"), [at(0, ".text", 16 + 11)]);
    let returns = [at(0, ".text", 16 + 17), at(4, ".text.jump", 2), at(8, ".noinstr.text", 5)];
    assert_eq!(leads(&after, ".return_sites"), returns);
    assert!(section(&after, ".return_sites").bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn what_was_there_is_still_there() {
    for kernel in Kernel::ALL {
        let (before, after, _) = both(kernel);
        let tables = [".symtab", ".strtab", ".shstrtab"];
        for (old, new) in sections(&before).iter().zip(sections(&after)) {
            assert_eq!(old.name, new.name);
            let patched = old.name.starts_with(".rela") || [".text.jump", ".noinstr.text"].contains(&old.name.as_str());
            if tables[1..].contains(&old.name.as_str()) {
                assert!(new.bytes.starts_with(&old.bytes), "{}", old.name);
            } else if !patched && old.name != tables[0] {
                assert_eq!(*old, new);
            }
        }
        for (mut old, new) in relocations(&before).into_iter().zip(relocations(&after)) {
            if old.symbol.starts_with("__sanitizer_cov_trace_pc") {
                old.kind = 0;
            }
            assert_eq!(old, new, "{kernel}");
        }
        let mut missing = symbols(&before);
        missing.retain(|symbol| !symbols(&after).contains(symbol));
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn local_symbols_come_first() {
    for kernel in Kernel::ALL {
        let (before, after, analysis) = both(kernel);
        let bound = symbols(&after);
        let n_locals = bound.iter().take_while(|(binding, _)| *binding == 0).count();
        assert!(bound[n_locals..].iter().all(|(binding, _)| *binding != 0));
        assert_eq!(section(&after, ".symtab").info as usize, n_locals);
        // Releases before look for none, later ones ask a table.
        let by_padding = [Kernel::V6_6, Kernel::V6_12, Kernel::V6_18, Kernel::V7_0].contains(&kernel);
        assert_eq!(analysis.prefixes.len(), usize::from(by_padding), "{kernel} and the padding of alpha");
        for prefix in &analysis.prefixes {
            let name = format!("__pfx_{} 2 in ", analysis.image.symbol_name(prefix.function));
            assert!(bound.iter().any(|(binding, text)| *binding == 1 && text.starts_with(&name)));
        }
        let n_added = bound.len() - symbols(&before).len();
        assert!(n_added > analysis.prefixes.len(), "the object was to need the symbol of a section");
    }
}

#[test]
fn patched_code_does_nothing() {
    let (before, after, _) = both(Kernel::V6_12);
    assert_eq!(section(&before, ".text.jump").bytes[..2], [0xeb, 0x00]);
    assert_eq!(section(&after, ".text.jump").bytes[..2], [0x66, 0x90]);
    assert_eq!(section(&after, ".noinstr.text").bytes[..5], [0x0f, 0x1f, 0x44, 0x00, 0x00]);
    let kinds = |bytes: &[u8]| {
        let all = relocations(bytes).into_iter().filter(|led| led.section == ".rela.noinstr.text");
        all.map(|led| (led.kind, led.symbol)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&after)[0], (0, kinds(&before)[0].1.clone()));
    assert_eq!(kinds(&after)[1], kinds(&before)[1]);
}

#[test]
fn the_table_that_is_read_is_the_one_that_was_computed() {
    for kernel in Kernel::ALL {
        let (_, after, analysis) = both(kernel);
        let image = ElfImage::read(&after).unwrap();
        let stored = orc::stored(&after, &image, kernel.rules()).unwrap().text(kernel.rules());
        let computed = analysis.orc().unwrap().text(&analysis.image, kernel.rules());
        assert!(stored.lines().count() > 8, "{stored}");
        assert_eq!(stored, computed);
    }
}

#[test]
fn an_object_that_objtool_leaves_alone_is_copied() {
    let before = fs::read(Folder::new().assemble(ALL_KINDS)).unwrap();
    let analysis = analysed(&before, Kernel::V6_12, Options { stackval: true, ..Options::default() });
    assert_eq!(written(&before, &analysis).unwrap(), before);
}

#[test]
fn an_object_with_a_table_is_refused() {
    let (_, after, _) = both(Kernel::V6_12);
    let again = analysed(&after, Kernel::V6_12, all_flags());
    assert!(matches!(written(&after, &again), Err(WriteError::HasTable(".orc_unwind"))));
}

#[test]
fn where_objtool_gives_up_its_release_decides_what_is_left() {
    let before = fs::read(Folder::new().assemble(&ALL_KINDS.replace("__SCK__key", "elsewhere"))).unwrap();
    let left = |kernel| {
        let analysis = analysed(&before, kernel, all_flags());
        assert_eq!(analysis.gave_up, Some(GaveUp::Adding));
        written(&before, &analysis)
    };
    let newest = left(Kernel::V7_3).unwrap_err();
    assert_eq!(
        newest.to_string(),
        "objtool gives up on it and writes nothing: static_call: can't find static_call_key symbol: __SCK__key"
    );
    // Room for all entries, of which the first was half filled in.
    let older = left(Kernel::V6_12).unwrap();
    assert_eq!(section(&older, ".rela.static_call_sites").bytes.len(), 4 * 24);
    assert!(leads(&older, ".static_call_sites")[1..].iter().all(|(offset, ..)| *offset == 0));
    assert_eq!(sections(&older).last().unwrap().name, ".rela.static_call_sites");
    assert_eq!(section(&left(Kernel::V6_1).unwrap(), ".rela.static_call_sites").bytes.len(), 24);
}

#[test]
fn more_sections_than_16_bits_count() {
    const N: usize = 65_400;
    let mut source = String::new();
    for i in 0..N {
        source.push_str(&format!(".section .data.{i}, \"aw\"\n"));
    }
    source.push_str(".section .text.far, \"ax\"\n.globl far\nfar: push %rbx\npop %rbx\nret\n.type far, @function\n");
    source.push_str(".size far, . - far\n.data\n.quad far\n");
    let before = fs::read(Folder::new().assemble(&source)).unwrap();
    let analysis = analysed(&before, Kernel::V6_12, Options { orc: true, ..Options::default() });
    let after = written(&before, &analysis).unwrap();
    assert!(sections(&after).len() > N);
    let at = |offset, addend| (offset, ".text.far".to_owned(), addend);
    assert_eq!(leads(&after, ".orc_unwind_ip"), [at(0, 0), at(4, 1), at(8, 2), at(12, 3)]);
    let data = relocations(&after).into_iter().find(|led| led.section == ".rela.data").unwrap();
    assert!(data.symbol.starts_with("far 2 in "), "{}", data.symbol);
}

#[test]
fn broken_objects_are_refused_or_written_but_never_blown_up() {
    let whole = fs::read(Folder::new().assemble(ALL_KINDS)).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let headers = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    let mut n_written = 0;
    for round in 0..3000 {
        let mut bytes = whole.clone();
        // The section headers decide the layout: half of all changes go there.
        let start = if round % 2 == 0 { headers } else { 16 };
        for _ in 0..1 + random(3) {
            let at = start + random(bytes.len() - start);
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
        }
        if round % 10 == 0 {
            bytes.truncate(random(bytes.len()));
        }
        let config = Config {
            options: all_flags(),
            kernel: KernelChoice::Fixed(Kernel::ALL[round % Kernel::ALL.len()]),
            policy: Policy::Objtool,
            noreturn: Vec::new(),
        };
        let Ok(analysis) = analyse(&bytes, &config, &CancelToken::default()) else { continue };
        if let Ok(out) = written(&bytes, &analysis) {
            assert!(out.len() < (1 << 28), "round {round}: {} bytes of {}", out.len(), bytes.len());
            n_written += 1;
        }
    }
    assert!(n_written > 1000, "only {n_written} objects could be written");
}

fn orcls(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orcls")).arg("orc").args(arguments).args(paths).output().unwrap()
}

const RULES: [&str; 4] = ["--kernel", "6.12", "--orc", "--prefix=16"];

#[test]
fn the_copy_dumps_as_the_object_shows() {
    let folder = Folder::new();
    let (object, copy) = (folder.assemble(ALL_KINDS), folder.path("copy.o"));
    let before = fs::read(&object).unwrap();
    let run = orcls(&[&["write"], &RULES[..], &["-o"]].concat(), &[&copy, &object]);
    assert!(run.status.success() && run.stdout.is_empty() && run.stderr.is_empty(), "{run:?}");
    assert_eq!(fs::read(&object).unwrap(), before, "the object itself is not touched");
    let shown = orcls(&[&["show"], &RULES[..]].concat(), &[&object]);
    let dumped = orcls(&["dump", "--kernel", "6.12"], &[&copy]);
    assert!(!shown.stdout.is_empty());
    assert_eq!(shown.stdout, dumped.stdout);
    assert_eq!(orcls(&[&["diff"], &RULES[..]].concat(), &[&copy]).status.code(), Some(0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions();
    assert_eq!(mode(&copy), mode(&object));
}

/// In the linked object the first table ends where the second begins.
#[test]
fn tables_linked_behind_each_other_are_the_one_that_is_computed() {
    let folder = Folder::new();
    let copies = ["first", "second"].map(|name| {
        let source =
            format!("{name}: push %rbx\npop %rbx\nret\nint3\n.type {name}, @function\n.size {name}, . - {name}\n");
        let (object, copy) = (folder.assemble(&source), folder.path(name));
        assert!(orcls(&["write", "--kernel", "6.12", "--orc", "-o"], &[&copy, &object]).status.success());
        copy
    });
    let linked = folder.path("linked.o");
    compile(&["-r", "-nostdlib"], &[&copies[0], &copies[1]], &linked);
    let dumped = orcls(&["dump", "--kernel", "6.12"], &[&linked]).stdout;
    let seam = String::from_utf8(dumped).unwrap().lines().filter(|line| line.starts_with(".text+4:")).count();
    assert_eq!(seam, 2, "the linked table was to have two rows at one place");
    let diff = ["diff", "--kernel", "6.12", "--orc", "--link"];
    let run = orcls(&diff, &[&linked]);
    assert_eq!((run.status.code(), run.stdout.as_slice()), (Some(0), &[][..]), "{run:?}");

    // The second function's first row says something else.
    let mut bytes = fs::read(&linked).unwrap();
    let table = section(&bytes, ".orc_unwind").bytes;
    let at = bytes.windows(table.len()).position(|window| window == table).unwrap();
    bytes[at + 5 * orc::SIZE] += 8;
    fs::write(&linked, bytes).unwrap();
    let run = orcls(&diff, &[&linked]);
    assert_eq!(run.status.code(), Some(1));
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(said.contains("-.text+4:type:call sp:sp+16 bp:(und) signal:0\n"), "{said}");
}

#[test]
fn the_object_itself_is_never_written() {
    let folder = Folder::new();
    let object = folder.assemble(ALL_KINDS);
    let before = fs::read(&object).unwrap();
    let (hard, soft) = (folder.path("hard.o"), folder.path("soft.o"));
    fs::hard_link(&object, &hard).unwrap();
    std::os::unix::fs::symlink(&object, &soft).unwrap();
    for name in [&object, &hard, &soft] {
        let run = orcls(&[&["write"], &RULES[..], &["-o"]].concat(), &[name, &object]);
        assert_eq!(run.status.code(), Some(2));
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(said.contains("this is the object itself"), "{said}");
        assert_eq!(fs::read(&object).unwrap(), before);
    }
}

#[test]
fn nothing_is_left_where_writing_fails() {
    let folder = Folder::new();
    let (object, copy) = (folder.assemble(ALL_KINDS), folder.path("copy.o"));
    fs::write(&copy, "as it was").unwrap();
    let before = folder.files();
    let arguments = ["write", "--kernel", "7.3", "--orc", "--static-call", "--werror", "--stackval", "-o"];
    let run = orcls(&arguments, &[&copy, &object]);
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "as it was");
    assert_eq!(folder.files(), before);
    let run = orcls(&[&["write"], &RULES[..], &["--dry-run", "-o"]].concat(), &[&copy, &object]);
    assert!(run.status.success(), "{run:?}");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "as it was");
    let run = orcls(&[&["write"], &RULES[..], &["-o"]].concat(), &[&folder.path("missing/copy.o"), &object]);
    assert_eq!(run.status.code(), Some(2));
    let run = orcls(&[&["write"], &RULES[..], &["-o"]].concat(), &[Path::new("/dev/null"), &object]);
    assert_eq!(run.status.code(), Some(2));
}

#[test]
fn every_fixture_is_written_as_objtool_writes_it() {
    for kernel in Kernel::ALL {
        let variable = format!("OBJTOOL_{}", kernel.name().replace('.', "_"));
        let Some(tool) = std::env::var_os(&variable) else {
            println!("skipped: comparison with the objtool of {kernel}, since {variable} names none");
            continue;
        };
        for fixture in Fixture::all() {
            for run in fixture.runs.iter().filter(|run| !run.all && run.kernel == kernel) {
                let built = fixture.build(kernel, &[]).unwrap();
                let before = fs::read(&built.object).unwrap();
                let ours = written(&before, &analysed(&before, kernel, run.options.clone()));
                Command::new(&tool).args(run.options.words(kernel.rules())).arg(&built.object).output().unwrap();
                let theirs = fs::read(&built.object).unwrap();
                let name = format!("{} {}", fixture.name, run.title());
                match ours {
                    Ok(ours) => assert!(sections(&ours) == sections(&theirs), "{name}: {}", different(&ours, &theirs)),
                    Err(why) => assert!(theirs == before, "{name}: {why}, but objtool wrote"),
                }
            }
        }
    }
}

/// The names of sections that differ.
fn different(ours: &[u8], theirs: &[u8]) -> String {
    let (ours, theirs) = (sections(ours), sections(theirs));
    let names: Vec<&str> = ours.iter().zip(&theirs).filter(|(a, b)| a != b).map(|(a, _)| a.name.as_str()).collect();
    format!("{} and {} sections, not the same are {names:?}", ours.len(), theirs.len())
}
