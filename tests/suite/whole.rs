//! An edited object judged as the part of `vmlinux.o` that it becomes, in a small tree that is assembled and archived here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use orcls::analysis::{self, Config, Policy};
use orcls::build::{Finder, Search};
use orcls::cancel::CancelToken;
use orcls::compile::{self, Scratch};
use orcls::image::{ElfImage, FileStore, Store};
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::report::ReportedFinding;
use orcls::whole::{AtOnce, Judged, Question, Unavailable, Whole};
use serde_json::Value;

/// `entry` may not be instrumented and calls `helper`, which is not either.
const ENTRY: &str = "\
\t.section .noinstr.text, \"ax\"
\t.globl entry
\t.type entry, @function
entry:
\tendbr64
\tcall helper
\tret
\t.size entry, . - entry
";

/// In the section `NAME`; `table` refers to it.
const HELPER: &str = "\
\t.section NAME, \"ax\"
\t.globl helper
\t.type helper, @function
helper:
\tendbr64
\tret
\t.size helper, . - helper
";

const TABLE: &str = "\
\t.data
table:
\t.quad helper
";

struct Tree {
    folder: tempfile::TempDir,
    scratch: Scratch,
    whole: Whole,
}

impl Tree {
    /// A tree whose `vmlinux.a` names the three objects, and whose build checks `vmlinux.o` with these flags.
    fn new(flags: &str) -> Tree {
        Tree::of(flags, &[("entry", ENTRY), ("helper", &in_noinstr(HELPER)), ("table", TABLE)])
    }

    fn of(flags: &str, sources: &[(&str, &str)]) -> Tree {
        let folder = tempfile::tempdir().unwrap();
        let whole = Whole::keeping_in(&folder.path().join("cache"));
        let tree = Tree { folder, scratch: Scratch::new().unwrap(), whole };
        let mut members = vec!["cDPrST".to_owned(), "vmlinux.a".to_owned()];
        for (name, text) in sources {
            members.push(format!("{name}.o"));
            fs::write(tree.path(&format!("{name}.o")), tree.assemble(name, text)).unwrap();
        }
        tree.run("ar", &members.iter().map(String::as_str).collect::<Vec<_>>());
        let link = "ld -m elf_x86_64 -z noexecstack -r -o vmlinux.o --whole-archive vmlinux.a --no-whole-archive";
        let cmd = format!("savedcmd_vmlinux.o := {link} ; ./tools/objtool/objtool {flags} --link  vmlinux.o\n");
        fs::write(tree.path(".vmlinux.o.cmd"), cmd).unwrap();
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new(program).args(arguments).current_dir(self.folder.path()).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}");
    }

    fn assemble(&self, name: &str, text: &str) -> Vec<u8> {
        let (source, object) = (format!("{name}.S"), format!("edited-{name}.o"));
        fs::write(self.path(&source), text).unwrap();
        self.run("gcc", &["-g", "-c", &source, "-o", &object]);
        fs::read(self.path(&object)).unwrap()
    }

    /// What is told at once of `text` as the source `name`, without a link.
    fn at_once(&self, name: &str, text: &str) -> Result<AtOnce, Unavailable> {
        let object: Arc<dyn Store> = Arc::new(self.assemble(name, text));
        let finder = Finder::new(Search::default());
        let path = self.path(&format!("{name}.o"));
        let question = self.question(&path, &object, &finder);
        self.whole.prepare(&question, Kernel::V6_12, &CancelToken::default())?;
        let options = Options { part: true, ..finder.flags(&self.path("vmlinux.o")).options.unwrap() };
        let (kernel, policy) = (KernelChoice::Fixed(Kernel::V6_12), Policy::Everything);
        let config = Config { options, kernel, policy, noreturn: Vec::new() };
        let analysis = analysis::analyse(object.as_ref(), &config, &CancelToken::default()).unwrap();
        self.whole.judge_at_once(&question, &analysis, &CancelToken::default())
    }

    fn question<'a>(&'a self, path: &'a Path, object: &'a Arc<dyn Store>, finder: &'a Finder) -> Question<'a> {
        let (kernel, scratch) = (KernelChoice::Fixed(Kernel::V6_12), &self.scratch);
        Question { directory: self.folder.path(), path, object, kernel, noreturn: &[], finder, scratch, texts: None }
    }

    /// Both ways to judge come to the same.
    #[track_caller]
    fn both(&self, name: &str, text: &str) -> (Vec<String>, Vec<String>) {
        let linked = told(self.judge(name, text));
        let at_once = self.at_once(name, text).map(|found| found.judged);
        let (mut own, mut elsewhere) = told(at_once);
        // Where data comes to lie in its section is known once all is linked.
        for (told, known) in own.iter_mut().zip(&linked.0).chain(elsewhere.iter_mut().zip(&linked.1)) {
            if told.contains("(not known yet)") {
                known.clone_into(told);
            }
        }
        assert_eq!((&own, &elsewhere), (&linked.0, &linked.1), "{name}:\n{text}");
        linked
    }

    /// What `vmlinux.o` would say with `text` as the source `name`.
    fn judge(&self, name: &str, text: &str) -> Result<Judged, Unavailable> {
        let object: Arc<dyn Store> = Arc::new(self.assemble(name, text));
        self.judge_object(&format!("{name}.o"), &object)
    }

    fn judge_object(&self, name: &str, object: &Arc<dyn Store>) -> Result<Judged, Unavailable> {
        let (path, finder) = (self.path(name), Finder::new(Search::default()));
        let question = self.question(&path, object, &finder);
        self.whole.judge(&question, &CancelToken::default())
    }
}

fn in_noinstr(helper: &str) -> String {
    helper.replace("NAME", ".noinstr.text")
}

fn said(finding: &ReportedFinding) -> &str {
    finding.objtool.as_deref().unwrap_or("(not known yet)")
}

/// Each own finding with its line, each finding elsewhere with its file, its line and the cause's.
fn told(judged: Result<Judged, Unavailable>) -> (Vec<String>, Vec<String>) {
    let judged = judged.unwrap();
    let name = |file: &str| Path::new(file).file_name().unwrap().to_str().unwrap().to_owned();
    let own = judged.own.iter().map(|f| format!("{}: {}", f.line.unwrap_or(0), said(f)));
    let elsewhere = judged.elsewhere.iter().map(|e| {
        let at = e.finding.file.as_deref().map_or("-".to_owned(), name);
        let cause = e.cause.as_ref().map(|(symbol, line)| {
            format!("{symbol} at {}:{}", name(line.file.as_deref().unwrap()), line.line.unwrap())
        });
        let objtool = said(&e.finding);
        format!("{at}:{}: {objtool} [{}]", e.finding.line.unwrap_or(0), cause.unwrap_or_default())
    });
    (own.collect(), elsewhere.collect())
}

#[test]
fn what_needs_two_objects_is_told_on_the_line_of_the_edit() {
    let tree = Tree::new("--noinstr --ibt --orc");
    assert_eq!(tree.both("entry", ENTRY), (vec![], vec![]));
    let calls = ENTRY.replace("\tret\n", "\tcall outside\n\tret\n")
        + "\t.text\n\t.type outside, @function\noutside:\n\tret\n\t.size outside, . - outside\n";
    let (own, elsewhere) = tree.both("entry", &calls);
    assert_eq!(own, ["7: entry+0x9: call to outside() leaves .noinstr.text section"]);
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn what_an_edit_brings_about_elsewhere_is_told_with_its_cause() {
    let tree = Tree::new("--noinstr --ibt --orc");
    let (own, elsewhere) = tree.both("helper", &HELPER.replace("NAME", ".text"));
    assert!(own.is_empty(), "{own:?}");
    assert_eq!(
        elsewhere,
        ["entry.S:6: entry+0x4: call to helper() leaves .noinstr.text section [helper at helper.S:5]"]
    );
    let (own, elsewhere) = tree.both("helper", &in_noinstr(HELPER).replace("\tendbr64\n", ""));
    assert!(own.is_empty(), "{own:?}");
    // The data has no line: that of what it points to is told.
    assert_eq!(elsewhere, ["helper.S:5: .data+0x0: data relocation to !ENDBR: helper+0x0 [helper at helper.S:5]"]);
}

/// The assembler writes no row for `.byte`: the row that holds there is that of the function before.
#[test]
fn data_that_points_to_code_without_a_row_is_told_on_the_line_of_the_code() {
    let tree = Tree::new("--noinstr --ibt --orc");
    let before =
        "\t.section .noinstr.text, \"ax\"\n\t.type before, @function\nbefore:\n\tret\n\t.size before, . - before\n";
    let text = before.to_owned() + &in_noinstr(HELPER).replace("\tendbr64\n", "\t.byte 0x90\n");
    let line = text.lines().position(|line| line.contains(".byte")).unwrap() + 1;
    let (own, elsewhere) = tree.both("helper", &text);
    assert!(own.is_empty(), "{own:?}");
    assert_eq!(elsewhere.len(), 1);
    assert!(
        elsewhere[0].starts_with(&format!("helper.S:{line}: .data+0x0: data relocation to !ENDBR")),
        "{elsewhere:?}"
    );
}

/// A macro's alternative: the padding of the original has no row, and that of an alternative is where it is used.
#[test]
fn data_that_points_to_an_alternative_is_told_where_that_is_used() {
    let tree = Tree::new("--noinstr --ibt --orc");
    let alternative = ".macro ASM_CLAC\n661:\n662:\n\t.skip -((6651f-6641f) > 0) * (6651f-6641f), 0x90\n663:\n\
        \t.pushsection .altinstructions, \"a\"\n\t.long 661b - ., 6641f - .\n\t.4byte 9\n\t.byte 663b-661b, 6651f-6641f\n\
        \t.popsection\n\t.pushsection .altinstr_replacement, \"ax\"\n6641:\n\tclac\n6651:\n\t.popsection\n.endm\n";
    let before =
        "\t.section .noinstr.text, \"ax\"\n\t.type before, @function\nbefore:\n\tret\n\t.size before, . - before\n";
    for kind in ["@function", "@notype"] {
        let helper = in_noinstr(HELPER).replace("\tendbr64\n", "\tASM_CLAC\n").replace("@function", kind);
        let text = alternative.to_owned() + before + &helper;
        let line = text.lines().position(|line| line == "\tASM_CLAC").expect("its use") + 1;
        let (_, elsewhere) = tree.both("helper", &text);
        let place = format!("helper.S:{line}: .data+0x0: data relocation to !ENDBR");
        assert!(elsewhere.iter().any(|told| told.starts_with(&place)), "{kind}: {elsewhere:?}");
    }
}

#[test]
fn what_the_tree_had_to_say_before_is_not_blamed_on_the_edit() {
    let tree = Tree::new("--noinstr --ibt --orc");
    fs::write(tree.path("helper.o"), tree.assemble("helper", &HELPER.replace("NAME", ".text"))).unwrap();
    assert_eq!(tree.both("table", TABLE), (vec![], vec![]));
    // The build repairs it: the edit that breaks it again is told.
    fs::write(tree.path("helper.o"), tree.assemble("helper", &in_noinstr(HELPER))).unwrap();
    let (_, elsewhere) = tree.both("helper", &HELPER.replace("NAME", ".text"));
    assert_eq!(elsewhere.len(), 1);
}

#[test]
fn what_is_not_an_object_is_not_given_to_the_linker() {
    let tree = Tree::new("--noinstr --ibt --orc");
    // To a linker text is a script, which may name other files to read and to write.
    fs::write(tree.path("table.o"), "OUTPUT(\"written\")\n").unwrap();
    let why = tree.judge("entry", ENTRY).unwrap_err();
    assert!(why.to_string().ends_with("table.o: not an object"), "{why}");
    assert!(!tree.path("written").exists());
    fs::write(tree.path("table.o"), b"BC\xc0\xde").unwrap();
    assert!(matches!(tree.judge("entry", ENTRY), Err(Unavailable::Bitcode(_))));
    fs::write(tree.path("table.o"), "").unwrap();
    assert!(matches!(tree.judge("entry", ENTRY), Err(Unavailable::Unreadable { .. })));
    let half = tree.assemble("table", TABLE);
    fs::write(tree.path("table.o"), &half[..half.len() / 2]).unwrap();
    assert!(matches!(tree.judge("entry", ENTRY), Err(Unavailable::NotLinked(_))));
    // The build goes on, and all is well again.
    fs::write(tree.path("table.o"), &half).unwrap();
    assert_eq!(tree.both("entry", ENTRY), (vec![], vec![]));
}

#[test]
fn without_a_program_that_is_said() {
    let tree = Tree::new("--noinstr --ibt --orc");
    let object: Arc<dyn Store> = Arc::new(tree.assemble("entry", ENTRY));
    assert!(matches!(tree.judge_object("other.o", &object), Err(Unavailable::NotMember(_))));
    fs::remove_file(tree.path(".vmlinux.o.cmd")).unwrap();
    assert!(matches!(tree.judge_object("entry.o", &object), Err(Unavailable::NoFlags(_))));
    fs::remove_file(tree.path("vmlinux.a")).unwrap();
    assert!(matches!(tree.judge_object("entry.o", &object), Err(Unavailable::NoProgram(_))));
}

/// A function in a section, with or without `endbr`. Before it is room, as a kernel has it: an address just behind a function
/// is no reference to the next.
fn function(name: &str, section: &str, endbr: bool, body: &str) -> String {
    let endbr = if endbr { "\tendbr64\n" } else { "" };
    format!(
        "\t.section {section}, \"ax\"\n\t.p2align 4, 0x90\n\t.fill 16, 1, 0x90\n\t.globl {name}\n\t.type {name}, @function\n{name}:\n{endbr}{body}\t.size {name}, . - {name}\n"
    )
}

/// A label that a list of annotations names.
fn annotated(label: &str, list: &str) -> String {
    format!("{label}:\n\t.pushsection .discard.{list}\n\t.long {label} - .\n\t.popsection\n")
}

/// Kinds of functions that others can tell apart, and of uses that they are put to, each with each: what is told at once is
/// what a link tells, of the file and of what it brings about in others.
#[test]
fn what_is_told_at_once_is_what_a_link_tells() {
    const RETURNS: &str = "\tret\n";
    const DIES: &str = "\tud2\n";
    let callee = |section: &str, endbr: bool, body: &str| function("callee", section, endbr, body);
    let forms = [
        callee(".text", true, RETURNS),
        callee(".noinstr.text", true, RETURNS),
        callee(".noinstr.text", false, RETURNS),
        callee(".text", false, DIES),
        callee(".noinstr.text", true, DIES),
        callee(".init.text", true, "\tjmp other\n"),
        callee(".noinstr.text", true, RETURNS).replace(".globl", ".weak"),
        callee(".text", true, RETURNS) + "\t.globl alias\n\t.set alias, callee\n\t.type alias, @function\n",
        function("renamed", ".noinstr.text", true, RETURNS),
        "\t.text\nnothing:\n\tret\n".to_owned(),
    ];
    let uses = [
        ("calls", function("calls", ".text", true, "\tcall callee\n\tret\n")),
        ("guarded", function("guarded", ".noinstr.text", true, "\tcall callee\n\tcall other\n\tret\n")),
        ("jumps", function("jumps", ".noinstr.text", true, "\tjmp callee\n")),
        ("takes", function("takes", ".text", true, "\tmovq $callee, %rax\n\tleaq other(%rip), %rcx\n\tret\n")),
        ("holds", "\t.data\nholds:\n\t.quad callee\n\t.quad other + 4\n".to_owned()),
        ("other", function("other", ".noinstr.text", true, "\tnop\n\tret\n")),
        ("spare", function("callee", ".text", true, RETURNS).replace(".globl", ".weak")),
    ];
    let mut sources: Vec<(&str, &str)> = uses.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let weak = forms[6].as_str();
    let falls = function("falls", ".text", true, "\tcall callee\n");
    for before in [&forms[0], &forms[1], &forms[4]] {
        sources.push(("callee", before));
        // A tree that had something to say before does not say all that is new.
        sources.extend((before == &forms[4]).then_some(("falls", falls.as_str())));
        let tree = Tree::of("--noinstr --ibt --orc --stackval", &sources);
        for after in &forms {
            tree.both("callee", after);
        }
        // The uses are edited, too.
        for (name, text) in &uses {
            tree.both(
                name,
                &(text.clone() + &function("more", ".noinstr.text", false, "\tcall other\n\tcall callee\n\tret\n")),
            );
            if !text.contains("callee:") {
                tree.both(name, &text.replace("callee", "other"));
            }
        }
        sources.retain(|(name, _)| !["callee", "falls"].contains(name));
    }
    // A definition that others may take the place of is not what counts.
    sources.push(("callee", weak));
    let tree = Tree::of("--noinstr --ibt --orc --stackval", &sources);
    for after in &forms {
        tree.both("callee", after);
    }
}

#[test]
fn the_way_from_entry_is_followed_into_other_objects_at_once() {
    let starts = annotated(".Lstart", "validate_unret");
    let untrains = annotated(".Lsafe", "retpoline_safe") + "\tnop\n";
    let entry = function("entry", ".noinstr.text", true, &format!("{starts}\tcall first\n\tcall second\n\tret\n"));
    let first = function("first", ".noinstr.text", true, &format!("{untrains}\tret\n"));
    let second = function("second", ".noinstr.text", true, "\tret\n");
    let tree = Tree::of("--unret --noinstr --ibt --orc", &[("entry", &entry), ("first", &first), ("second", &second)]);
    assert_eq!(tree.both("entry", &entry), (vec![], vec![]));
    // Returns before it has untrained, in another object and in its own.
    let (_, elsewhere) = tree.both("entry", &entry.replace("call first", "call second"));
    assert_eq!(elsewhere.len(), 1, "{elsewhere:?}");
    let (own, _) = tree.both("entry", &entry.replace("\tcall first\n", ""));
    assert!(own.is_empty(), "{own:?}");
    let (own, _) = tree.both("first", &function("first", ".noinstr.text", true, "\tret\n"));
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(tree.both("second", &second.replace("\tret\n", "\tnop\n\tret\n")), (vec![], vec![]));
}

/// Where a static call's trampoline leads nobody knows before the kernel runs; objtool takes it for a place that must not be
/// instrumented either, and UBSan's handlers for exits. Both are known by their names alone, in whichever object they are.
#[test]
fn a_static_call_out_of_code_that_may_not_be_instrumented_is_left_alone_at_once() {
    let key = "\t.data\n\t.globl __SCK__thing\n__SCK__thing:\n\t.quad 0\n";
    let trampoline = function("__SCT__thing", ".static_call.text", false, "\tjmp thing\n\tint3\n");
    let thing = function("thing", ".text", true, "\tret\n") + key;
    let handler = function("__ubsan_handle_add_overflow", ".text", true, "\tret\n");
    let calls = |callee: &str| function("entry", ".noinstr.text", true, &format!("\tcall {callee}\n\tret\n"));
    let sources =
        [("entry", calls("held")), ("trampoline", trampoline.clone()), ("thing", thing.clone()), ("handler", handler)];
    let held = ("held", function("held", ".noinstr.text", true, "\tret\n"));
    let sources: Vec<(&str, &str)> = sources.iter().chain([&held]).map(|(name, text)| (*name, text.as_str())).collect();
    let tree = Tree::of("--noinstr --ibt --static-call --orc", &sources);
    for callee in ["held", "__SCT__thing", "__ubsan_handle_add_overflow"] {
        assert_eq!(tree.both("entry", &calls(callee)), (vec![], vec![]), "{callee}");
    }
    let (own, _) = tree.both("entry", &calls("thing"));
    assert!(own.len() == 1 && own[0].contains("call to thing() leaves .noinstr.text section"), "{own:?}");
    // At a call without its key objtool gives up, so that at once nothing is said of it, and by the link where it is.
    let calls = calls("__SCT__thing");
    let mut sources = sources;
    sources[0] = ("entry", &calls);
    let tree = Tree::of("--noinstr --ibt --static-call --orc", &sources);
    let without = thing.replace("__SCK__", "key_of_");
    let at_once = tree.at_once("thing", &without).map(|found| found.judged);
    assert!(matches!(&at_once, Err(Unavailable::NotAnalysed(why)) if why.contains("__SCK__thing")), "{at_once:?}");
    let (own, elsewhere) = told(tree.judge("thing", &without));
    assert!(own.is_empty() && elsewhere.len() == 1 && elsewhere[0].starts_with("entry.S:8: "), "{own:?} {elsewhere:?}");
}

/// The file that an index was kept in.
fn kept(tree: &Tree) -> Vec<PathBuf> {
    let entries = fs::read_dir(tree.path("cache")).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    entries.unwrap_or_default()
}

#[test]
fn an_index_that_is_not_what_it_should_be_is_made_anew() {
    let instrumented = HELPER.replace("NAME", ".text");
    let tree = Tree::new("--noinstr --ibt --orc");
    let calls = |tree: &Tree| told(tree.at_once("entry", ENTRY).map(|found| found.judged)).0;
    assert!(calls(&tree).is_empty());
    let files = kept(&tree);
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let whole = fs::read(file).unwrap();
    let renewed = |tree: &mut Tree| tree.whole = Whole::keeping_in(&tree.folder.path().join("cache"));
    let mut tree = tree;
    // Stale: the object is another one, in this session and in the next.
    fs::write(tree.path("helper.o"), tree.assemble("helper", &instrumented)).unwrap();
    let told_now = ["6: entry+0x4: call to helper() leaves .noinstr.text section"];
    assert_eq!(calls(&tree), told_now);
    fs::write(file, &whole).unwrap();
    renewed(&mut tree);
    assert_eq!(calls(&tree), told_now);
    let current = fs::read(file).unwrap();
    assert_ne!(current, whole, "it was kept anew");
    // Half-written, damaged, not text at all, of another version, empty.
    let mut flipped = current.clone();
    let at = flipped.len() - 40;
    flipped[at] ^= 1;
    let other = String::from_utf8(current.clone()).unwrap().replacen("orcls-index ", "orcls-index 9", 1).into_bytes();
    for bytes in [&current[..current.len() / 2], &flipped, b"\xff\xfe\n{", &other, b""] {
        fs::write(file, bytes).unwrap();
        renewed(&mut tree);
        assert_eq!(calls(&tree), told_now);
        assert_eq!(fs::read(file).unwrap(), current, "it is kept again");
    }
    // From another tree, under this one's name.
    let foreign = Tree::new("--noinstr --ibt --orc");
    assert!(calls(&foreign).is_empty());
    fs::copy(&kept(&foreign)[0], file).unwrap();
    renewed(&mut tree);
    assert_eq!(calls(&tree), told_now);
    // Deleted while it is in use; a folder that cannot be written to.
    fs::remove_dir_all(tree.path("cache")).unwrap();
    assert_eq!(calls(&tree), told_now);
    fs::write(tree.path("cache"), "a file").unwrap();
    renewed(&mut tree);
    assert_eq!(calls(&tree), told_now);
}

#[test]
fn other_flags_make_another_index() {
    let mut tree = Tree::new("--noinstr --ibt --orc");
    let bare = in_noinstr(HELPER).replace("\tendbr64\n", "");
    let told_of = |tree: &Tree| told(tree.at_once("helper", &bare).map(|found| found.judged)).1.len();
    assert_eq!(told_of(&tree), 1);
    let cmd = fs::read_to_string(tree.path(".vmlinux.o.cmd")).unwrap();
    fs::write(tree.path(".vmlinux.o.cmd"), cmd.replace(" --ibt", "")).unwrap();
    tree.whole = Whole::keeping_in(&tree.folder.path().join("cache"));
    assert_eq!(told_of(&tree), 0);
}

#[test]
fn a_tree_that_was_not_linked_yet_is_judged_by_what_is_built() {
    let tree = Tree::new("--noinstr --ibt --orc");
    fs::rename(tree.path("vmlinux.a"), tree.path("built-in.a")).unwrap();
    let bare = in_noinstr(HELPER).replace("\tendbr64\n", "");
    tree.both("helper", &bare);
    // One object is missing: what it defines is not known, and nobody is accused of calling it.
    let helper = fs::read(tree.path("helper.o")).unwrap();
    fs::remove_file(tree.path("helper.o")).unwrap();
    let found = tree.at_once("entry", ENTRY).unwrap();
    assert_eq!(found.unknown, ["helper"]);
    assert_eq!(told(Ok(found.judged)), (vec![], vec![]));
    fs::write(tree.path("helper.o"), helper).unwrap();
    assert!(tree.at_once("entry", ENTRY).unwrap().unknown.is_empty());
    // Nothing but a library has been built.
    fs::create_dir(tree.path("lib")).unwrap();
    tree.run("ar", &["cDPrST", "lib/lib.a", "entry.o"]);
    fs::remove_file(tree.path("built-in.a")).unwrap();
    assert_eq!(tree.at_once("entry", ENTRY).unwrap().unknown, ["helper"]);
}

#[test]
fn a_part_of_a_module_is_judged_with_the_modules_other_parts() {
    let tree = Tree::new("--noinstr --ibt --orc");
    // What `vmlinux.a` names is none of the module's business.
    tree.run("ar", &["d", "vmlinux.a", "entry.o", "helper.o"]);
    fs::write(tree.path("both.mod"), "entry.o\nhelper.o\n").unwrap();
    let link = "savedcmd_both.o := ld -r -o both.o @both.mod ; ./tools/objtool/objtool --noinstr --ibt --link --module both.o\n";
    fs::write(tree.path(".both.o.cmd"), link).unwrap();
    for name in ["entry", "helper"] {
        let cmd = format!(
            "savedcmd_{name}.o := gcc -DMODULE -c -o {name}.o {name}.S\n\nsource_{name}.o := {name}.S\n\ndeps_{name}.o := \\\n"
        );
        fs::write(tree.path(&format!(".{name}.o.cmd")), cmd).unwrap();
    }
    assert_eq!(tree.both("entry", ENTRY), (vec![], vec![]));
    let (_, elsewhere) = tree.both("helper", &HELPER.replace("NAME", ".text"));
    assert_eq!(elsewhere.len(), 1, "{elsewhere:?}");
    // Of the kernel objtool knows nothing there, and says so of a module's code that may not be instrumented.
    let (own, _) = tree.both("entry", &ENTRY.replace("\tret\n", "\tcall printed\n\tret\n"));
    assert_eq!(own, ["7: entry+0x9: call to printed() leaves .noinstr.text section"]);
    fs::remove_file(tree.path("both.mod")).unwrap();
    assert!(tree.judge("entry", ENTRY).is_err());
}

/// `ORCLS_LINKED_TREE` names a build directory with `vmlinux.a`: every object of it as it is, judged at once, has no finding.
#[test]
fn a_clean_tree_is_clean_at_once() {
    let Some(directory) = std::env::var_os("ORCLS_LINKED_TREE").map(PathBuf::from) else {
        println!("ORCLS_LINKED_TREE names no tree");
        return;
    };
    let (scratch, finder, cancel) = (Scratch::new().unwrap(), Finder::new(Search::default()), CancelToken::default());
    let cache = tempfile::tempdir().unwrap();
    let whole = Whole::keeping_in(cache.path());
    let list = Command::new("ar").arg("t").arg("vmlinux.a").current_dir(&directory).output().unwrap();
    let (mut n, mut told_of, mut single, mut more) = (0, Vec::new(), Vec::new(), Vec::new());
    for name in String::from_utf8(list.stdout).unwrap().lines() {
        let path = directory.join(name);
        let object: Arc<dyn Store> = Arc::new(FileStore::open(&path).unwrap());
        let flags = finder.flags(&directory.join("vmlinux.o"));
        let kernel = flags.kernel().unwrap().0;
        let choice = KernelChoice::Fixed(kernel);
        let question = Question {
            directory: &directory,
            path: &path,
            object: &object,
            kernel: KernelChoice::Auto,
            noreturn: &[],
            finder: &finder,
            scratch: &scratch,
            texts: None,
        };
        let begin = std::time::Instant::now();
        let known = whole.prepare(&question, kernel, &cancel).unwrap();
        if n == 0 {
            println!("{known} objects in {:?}", begin.elapsed());
        }
        let options = Options { part: true, ..flags.options.clone().unwrap() };
        let config = Config { options, kernel: choice, policy: Policy::Everything, noreturn: Vec::new() };
        let begin = std::time::Instant::now();
        let image = ElfImage::read(object.as_ref()).unwrap();
        let facts = flags.facts(kernel);
        let analysis = analysis::analyse_image(image, object.as_ref(), &config, facts.as_deref(), &cancel).unwrap();
        single.push((begin.elapsed(), name.to_owned()));
        let begin = std::time::Instant::now();
        let found = whole.judge_at_once(&question, &analysis, &cancel).unwrap();
        more.push((begin.elapsed(), name.to_owned()));
        let (own, elsewhere) = told(Ok(found.judged));
        told_of.extend(own.iter().chain(&elsewhere).map(|text| format!("{name}: {text}")));
        told_of.extend((found.n_left > 0 || !found.unknown.is_empty()).then(|| format!("{name}: {:?}", found.unknown)));
        n += 1;
    }
    single.sort();
    more.sort();
    println!(
        "{n} objects; alone {:?}, in all {:?}",
        single.last(),
        single.iter().map(|one| one.0).sum::<std::time::Duration>()
    );
    println!(
        "at once: median {:?}, most {:?}, in all {:?}",
        more[n / 2],
        more.last(),
        more.iter().map(|one| one.0).sum::<std::time::Duration>()
    );
    assert!(told_of.is_empty(), "{}", told_of.join("\n"));
}

/// `ORCLS_LINK_EDITS` names a list of edits of the tree's sources with what objtool says of the `vmlinux.o` that they lead to:
/// it is told at once, nothing else is, and what lies in other objects is told with its cause.
#[test]
fn edits_of_a_tree_are_judged_at_once_as_their_link_is() {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(directory), Some(edits)) = (named("ORCLS_LINKED_TREE"), named("ORCLS_LINK_EDITS")) else {
        println!("ORCLS_LINKED_TREE names no tree, or ORCLS_LINK_EDITS no edits of it");
        return;
    };
    let edits: Value = serde_json::from_str(&fs::read_to_string(edits).unwrap()).unwrap();
    let search = Search { build_dir: Some(directory.clone()), ..Search::default() };
    let (scratch, finder, cancel) = (Scratch::new().unwrap(), Finder::new(search), CancelToken::default());
    let cache = tempfile::tempdir().unwrap();
    let whole = Whole::keeping_in(cache.path());
    let (mut n, mut wrong) = (0, Vec::new());
    let (mut n_said, mut n_told, mut n_word_for_word, mut n_causes, mut n_elsewhere) = (0, 0, 0, 0, 0);
    for edit in edits.as_array().unwrap() {
        let name = edit["file"].as_str().unwrap();
        let source = directory.parent().unwrap().join("src").join(name);
        let old = String::from_utf8_lossy(&fs::read(&source).unwrap()).into_owned();
        let number = |key: &str| edit[key].as_u64().unwrap() as usize;
        let mut lines: Vec<&str> = old.split('\n').collect();
        let inserted = edit["insert"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        lines.splice(number("at")..number("at") + number("delete"), inserted);
        let text = lines.join("\n");
        let build = finder.source(&source).unwrap();
        let request = compile::Request {
            argv: &build.argv,
            directory: &build.directory,
            source: compile::Unsaved { path: &source, text: &text },
            others: &[],
            compilers: &[],
            time: std::time::Duration::from_secs(120),
        };
        let compiled = match compile::compile(&request, &scratch, &cancel) {
            Ok(compiled) => compiled,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let object: Arc<dyn Store> = Arc::new(compiled.object);
        let kernel = build.flags.kernel().unwrap().0;
        let question = Question {
            directory: &directory,
            path: &build.object,
            object: &object,
            kernel: KernelChoice::Auto,
            noreturn: &[],
            finder: &finder,
            scratch: &scratch,
            texts: None,
        };
        whole.prepare(&question, kernel, &cancel).unwrap();
        let options = build.flags.options.clone().unwrap();
        let config =
            Config { options, kernel: KernelChoice::Fixed(kernel), policy: Policy::Everything, noreturn: Vec::new() };
        let image = ElfImage::read(object.as_ref()).unwrap();
        let facts = build.flags.facts(kernel);
        let analysis = analysis::analyse_image(image, object.as_ref(), &config, facts.as_deref(), &cancel).unwrap();
        let found = whole.judge_at_once(&question, &analysis, &cancel).unwrap();
        let own: Vec<_> = found.judged.own.iter().map(|own| (own.line, own.objtool.clone())).collect();
        let others = found.judged.elsewhere.iter().map(|other| other.finding.objtool.clone());
        let all: Vec<Option<String>> = own.iter().map(|(_, said)| said.clone()).chain(others).collect();
        let said = edit["said"].as_array().unwrap();
        let of_member: Vec<&Value> = said.iter().filter(|line| line["file"] == edit["file"]).collect();
        let texts: Vec<&str> = said.iter().map(|line| line["text"].as_str().unwrap()).collect();
        let extra = all.iter().flatten().filter(|told| !texts.contains(&told.as_str()) && edit["more"] == 0);
        let extra: Vec<&String> = extra.collect();
        let unworded = all.iter().filter(|told| told.is_none()).count();
        let missed: Vec<&&str> = texts.iter().filter(|text| !all.iter().flatten().any(|told| told == **text)).collect();
        n += 1;
        n_said += texts.len();
        n_word_for_word += texts.len() - missed.len();
        n_told += texts.len() - missed.len().saturating_sub(unworded);
        if of_member.is_empty() && !said.is_empty() {
            n_elsewhere += 1;
            n_causes += usize::from(found.judged.elsewhere.iter().any(|other| other.cause.is_some()));
        }
        if !extra.is_empty() || missed.len() > unworded || found.n_left > 0 {
            let kind = &edit["kind"];
            wrong.push(format!("{kind} {name}: {} left; extra {extra:?}; missed {missed:?}; {own:?}", found.n_left));
        }
    }
    println!(
        "{n} edits: {n_told} of {n_said} lines, {n_word_for_word} word for word; {n_causes} of {n_elsewhere} causes"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
