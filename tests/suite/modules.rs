//! Modules from outside the tree: their release and flags are found, and findings say how the module stands.
//!
//! In: small stand-ins for OpenZFS (assembly and a panic of its own, built through a wrapper of objtool), NVIDIA's modules (a
//! prebuilt object without debug info) and VirtualBox (assembly written for several systems).  Out: what `check` says.
//! Holds afterwards: only code that runs wrong is called broken, and no advice is to change the kernel.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// OpenZFS's assembly: the stack is aligned, and a register that objtool does not know remembers where it was.
const AES: &str = "
	.text
	.globl aes_block
	.type aes_block, @function
aes_block:
	mov	%rsp, %rax
	sub	$64, %rsp
	and	$-32, %rsp
	mov	%rax, 24(%rsp)
	call	aes_more
	mov	24(%rsp), %rsp
	ret
	.size aes_block, . - aes_block
";

/// OpenZFS's panic is declared never to return, which no list of the kernel's has.
const PANIC: &str = "
void spl_panic(const char *why) __attribute__((noreturn));
int check(int x);
int verify(int x) { if (x != 3) spl_panic(\"x\"); return check(x); }
void last(void) { spl_panic(\"y\"); }
int next(int x) { return x + 1; }
";

/// What VirtualBox's assembler leaves: code that no symbol of a function names.
const UNTYPED: &str = "
	.text
	.globl SUPR0Helper
SUPR0Helper:
	mov	%edi, %eax
	ret
";

/// A function that returns with a register on the stack, on one of its ways out.
const LEFT: &str = "
	.text
	.globl vbox_entry
	.type vbox_entry, @function
vbox_entry:
	push	%rbx
	test	%edi, %edi
	jz	1f
	pop	%rbx
1:	ret
	.size vbox_entry, . - vbox_entry
";

/// A kernel's build tree, and a module's folder beside it.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let bench = Bench(tempfile::tempdir().expect("a folder"));
        bench.write("kernel/include/config/kernel.release", "6.12.9-amd64\n");
        bench.write("kernel/arch/x86/include/generated/asm/x.h", "");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Compiles a module's source, and leaves the command that its build through the kernel's makefiles would leave.
    fn build(&self, source: &str, text: &str, options: &[&str], objtool: &str) -> PathBuf {
        self.write(source, text);
        let (source, object) = (self.path(source), self.path(source).with_extension("o"));
        let made = Command::new("cc").args(options).arg("-c").arg(&source).arg("-o").arg(&object).status();
        assert!(made.is_ok_and(|status| status.success()), "a C compiler is needed");
        let include = self.path("kernel/arch/x86/include/generated");
        let name = object.file_name().expect("a name").to_string_lossy().into_owned();
        let command = format!(
            "savedcmd_{object} := gcc -I{include} -D__KERNEL__ -DMODULE {options} -c -o {object} {source} ; {objtool} {object}\n",
            object = object.display(),
            include = include.display(),
            options = options.join(" "),
            source = source.display(),
        );
        std::fs::write(object.with_file_name(format!(".{name}.cmd")), command).expect("a file");
        object
    }

    /// What `check` says of an object: code and standing per finding.
    fn findings(&self, object: &PathBuf) -> Vec<Value> {
        let out = Command::new(env!("CARGO_BIN_EXE_orcls")).args(["check", "--format", "json"]).arg(object).output();
        let out = out.expect("orcls runs");
        let report: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out:?}"));
        assert_eq!(report["kernel"], "6.12", "the release is that of the kernel the module was built for");
        report["findings"].as_array().cloned().unwrap_or_default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn stands(findings: &[Value], code: &str, standing: &str) -> Value {
    let of = findings.iter().find(|finding| finding["code"] == code);
    let finding = of.unwrap_or_else(|| panic!("no {code} in {findings:#?}"));
    assert_eq!(finding["module"]["standing"], standing, "{finding:#}");
    let author = finding["module"]["author"].as_str().unwrap_or_default();
    assert!(!author.contains("noreturns.h"), "{author}");
    finding.clone()
}

#[test]
fn openzfs_is_read_through_its_wrapper() {
    let bench = Bench::new();
    let wrapper = bench.path("zfs/scripts/objtool-wrapper").display().to_string();
    let flags = format!("{wrapper} --orc --uaccess --module");
    let aes = bench.build("zfs/module/icp/aes.S", AES, &["-g"], &flags);
    let findings = bench.findings(&aes);
    let code = findings.first().and_then(|finding| finding["code"].as_str()).expect("a finding").to_owned();
    stands(&findings, &code, "untraceable");
    let panic = bench.build("zfs/module/os/panic.c", PANIC, &["-g", "-O2", "-fno-reorder-functions"], &flags);
    let findings = bench.findings(&panic);
    let finding = stands(&findings, "falls-through", "misannotated");
    assert!(finding["module"]["author"].as_str().is_some_and(|author| author.contains("BUG()")), "{finding:#}");
}

#[test]
fn the_wrapper_finds_orcls_in_objtools_place() {
    let bench = Bench::new();
    bench.write("zfs/scripts/objtool-wrapper", "#!/bin/sh\nexec \"$OBJTOOL\" \"$@\"\n");
    let wrapper = bench.path("zfs/scripts/objtool-wrapper");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("may run");
    symlink(env!("CARGO_BIN_EXE_orcls"), bench.path("objtool")).expect("a link");
    let aes = bench.build("zfs/module/icp/aes.S", AES, &["-g"], "./tools/objtool/objtool --orc --module");
    let before = std::fs::read(&aes).expect("an object");
    let mut command = Command::new(&wrapper);
    command
        .args(["--orc", "--module"])
        .arg(&aes)
        .env("OBJTOOL", bench.path("objtool"))
        .current_dir(bench.path("kernel"));
    for name in ["ORCLS_KERNEL", "OBJTOOL_ARGS", "OBJTOOL_VERBOSE", "KERNELRELEASE"] {
        command.env_remove(name);
    }
    let out: Output = command.output().expect("it runs");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert!(text(&out.stderr).contains("aes.o: warning: objtool: aes_block+0x"), "{out:?}");
    assert_ne!(std::fs::read(&aes).expect("an object"), before, "the table is in it");
}

#[test]
fn nvidias_prebuilt_object_is_unprotected_and_not_broken() {
    let bench = Bench::new();
    let function = |name: &str, body: &str| {
        format!(
            "\t.type {name}, @function\n{name}:\n\tpush %rbx\n{body}\tpop %rbx\n\tret\n\t.size {name}, . - {name}\n"
        )
    };
    // objtool says one thing per function.
    let blob = format!("\t.text\n{}{}", function("_nv000123rm", "\tcall *%rax\n"), function("_nv000124rm", ""));
    let flags = "./tools/objtool/objtool --orc --retpoline --rethunk --module";
    let object = bench.build("nvidia/nv-kernel.s", &blob, &[], flags);
    let findings = bench.findings(&object);
    let finding = stands(&findings, "naked-return", "unprotected");
    assert!(finding["module"]["author"].as_str().is_some_and(|author| author.contains("prebuilt")), "{finding:#}");
    stands(&findings, "indirect-branch", "unprotected");
    let out = Command::new(env!("CARGO_BIN_EXE_orcls")).arg("check").arg(&object).output().expect("orcls runs");
    assert!(text(&out.stdout).contains("without a protection that its kernel was built with"), "{out:?}");
}

#[test]
fn virtualboxs_assembly_is_broken_where_it_is() {
    let bench = Bench::new();
    let flags = "./tools/objtool/objtool --orc --module";
    let object = bench.build("vbox/helper.S", UNTYPED, &["-g"], flags);
    let finding = stands(&bench.findings(&object), "unreachable-instruction", "misannotated");
    assert!(finding["module"]["author"].as_str().is_some_and(|author| author.contains(".type NAME")), "{finding:#}");
    let object = bench.build("vbox/entry.S", LEFT, &["-g"], flags);
    let finding = stands(&bench.findings(&object), "return-with-modified-frame", "broken");
    assert_eq!(finding["module"]["author"], Value::Null, "no annotation makes it right");
}

#[test]
fn a_part_of_the_kernel_is_no_module() {
    let bench = Bench::new();
    let flags = "./tools/objtool/objtool --orc --module";
    let object = bench.build("kernel/drivers/entry.S", LEFT, &["-g"], flags);
    let findings = bench.findings(&object);
    assert!(!findings.is_empty() && findings.iter().all(|finding| finding["module"].is_null()));
}
