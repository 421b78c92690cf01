//! An edited object judged as the part of `vmlinux.o` that it becomes, in a small tree that is assembled and archived here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use orcls::build::{Finder, Search};
use orcls::cancel::CancelToken;
use orcls::compile::Scratch;
use orcls::image::Store;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::whole::{Judged, Question, Unavailable, Whole};

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
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree { folder, scratch: Scratch::new().unwrap(), whole: Whole::default() };
        for (name, text) in [("entry", ENTRY), ("helper", &in_noinstr(HELPER)), ("table", TABLE)] {
            fs::write(tree.path(&format!("{name}.o")), tree.assemble(name, text)).unwrap();
        }
        tree.run("ar", &["cDPrST", "vmlinux.a", "entry.o", "helper.o", "table.o"]);
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

    /// What `vmlinux.o` would say with `text` as the source `name`.
    fn judge(&self, name: &str, text: &str) -> Result<Judged, Unavailable> {
        let object: Arc<dyn Store> = Arc::new(self.assemble(name, text));
        self.judge_object(&format!("{name}.o"), &object)
    }

    fn judge_object(&self, name: &str, object: &Arc<dyn Store>) -> Result<Judged, Unavailable> {
        let question = Question {
            directory: self.folder.path(),
            path: &self.path(name),
            object,
            kernel: KernelChoice::Fixed(Kernel::V6_12),
            noreturn: &[],
            finder: &Finder::new(Search::default()),
            scratch: &self.scratch,
        };
        self.whole.judge(&question, &CancelToken::default())
    }
}

fn in_noinstr(helper: &str) -> String {
    helper.replace("NAME", ".noinstr.text")
}

/// Each own finding with its line, each finding elsewhere with its file, its line and the cause's.
fn told(judged: Result<Judged, Unavailable>) -> (Vec<String>, Vec<String>) {
    let judged = judged.unwrap();
    let name = |file: &str| Path::new(file).file_name().unwrap().to_str().unwrap().to_owned();
    let own = judged.own.iter().map(|f| format!("{}: {}", f.line.unwrap_or(0), f.objtool.as_deref().unwrap()));
    let elsewhere = judged.elsewhere.iter().map(|e| {
        let at = e.finding.file.as_deref().map_or("-".to_owned(), name);
        let cause = e.cause.as_ref().map(|(symbol, line)| {
            format!("{symbol} at {}:{}", name(line.file.as_deref().unwrap()), line.line.unwrap())
        });
        let objtool = e.finding.objtool.as_deref().unwrap();
        format!("{at}:{}: {objtool} [{}]", e.finding.line.unwrap_or(0), cause.unwrap_or_default())
    });
    (own.collect(), elsewhere.collect())
}

#[test]
fn what_needs_two_objects_is_told_on_the_line_of_the_edit() {
    let tree = Tree::new("--noinstr --ibt --orc");
    assert_eq!(told(tree.judge("entry", ENTRY)), (vec![], vec![]));
    let calls = ENTRY.replace("\tret\n", "\tcall outside\n\tret\n")
        + "\t.text\n\t.type outside, @function\noutside:\n\tret\n\t.size outside, . - outside\n";
    let (own, elsewhere) = told(tree.judge("entry", &calls));
    assert_eq!(own, ["7: entry+0x9: call to outside() leaves .noinstr.text section"]);
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn what_an_edit_brings_about_elsewhere_is_told_with_its_cause() {
    let tree = Tree::new("--noinstr --ibt --orc");
    let (own, elsewhere) = told(tree.judge("helper", &HELPER.replace("NAME", ".text")));
    assert!(own.is_empty(), "{own:?}");
    assert_eq!(
        elsewhere,
        ["entry.S:6: entry+0x4: call to helper() leaves .noinstr.text section [helper at helper.S:5]"]
    );
    let (own, elsewhere) = told(tree.judge("helper", &in_noinstr(HELPER).replace("\tendbr64\n", "")));
    assert!(own.is_empty(), "{own:?}");
    // The data has no line: that of what it points to is told.
    assert_eq!(elsewhere, ["helper.S:5: .data+0x0: data relocation to !ENDBR: helper+0x0 [helper at helper.S:5]"]);
}

#[test]
fn what_the_tree_had_to_say_before_is_not_blamed_on_the_edit() {
    let tree = Tree::new("--noinstr --ibt --orc");
    fs::write(tree.path("helper.o"), tree.assemble("helper", &HELPER.replace("NAME", ".text"))).unwrap();
    assert_eq!(told(tree.judge("table", TABLE)), (vec![], vec![]));
    // The build repairs it: the edit that breaks it again is told.
    fs::write(tree.path("helper.o"), tree.assemble("helper", &in_noinstr(HELPER))).unwrap();
    let (_, elsewhere) = told(tree.judge("helper", &HELPER.replace("NAME", ".text")));
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
    assert_eq!(told(tree.judge("entry", ENTRY)), (vec![], vec![]));
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
