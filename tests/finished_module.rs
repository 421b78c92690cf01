//! Modules as they are installed: linked, with their annotations gone. What they still tell is used.
//!
//! In: assembly, built and linked by the C compiler in a folder of the test's own.  Out: a test per promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use orcls::analysis::{Analysis, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;

/// What makes a linked object a module.
const MODULE: &str = r#"
	.section .gnu.linkonce.this_module, "aw", @progbits
	.skip 8
	.section .modinfo, "a", @progbits
	.string "name=module"
"#;

/// A function that warns on its way, if the flags of its bug say so. `PLACES` are the entry's places behind the first one.
const WARNS: &str = r#"
	.text
	.globl warns
warns:
	push %rbx
1:	ud2
	pop %rbx
	ret
	.type warns, @function
	.size warns, . - warns
	.section __bug_table, "aw", @progbits
2:	.long 1b - .
	PLACES
	NUMBERS
	.balign 4
	.data
text:	.string "text"
"#;

/// Two sources have functions of these names, each with a cold part of its own.
const COLD: &str = r#"
	.text
	.type same, @function
same:
	push %rbx
	test %edi, %edi
	jne same.cold
	pop %rbx
	ret
	.size same, . - same
	.section .text.unlikely, "ax", @progbits
	.type same.cold, @function
same.cold:
	pop %rbx
	ret
	.size same.cold, . - same.cold
"#;

/// The stored table of an object: by it all code of the sections has frames.
fn table(sections: &[&str]) -> String {
    let rows = "\t.byte 8, 0, 0, 0, 5, 0\n".repeat(sections.len());
    let places: String = sections.iter().map(|section| format!("\t.long {section} - .\n")).collect();
    format!("\t.section .orc_unwind, \"a\"\n{rows}\t.section .orc_unwind_ip, \"a\"\n{places}")
}

/// The objects of the sources as one, without the names of the files, as distributions strip their modules.
fn built(folder: &Path, sources: &[&str]) -> Vec<u8> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut objects: Vec<PathBuf> = Vec::new();
    for (source, i) in sources.iter().zip(0..) {
        let (text, object) = (folder.join(format!("{i}.s")), folder.join(format!("{i}.o")));
        fs::write(&text, source).unwrap();
        run(Command::new(&compiler).arg("-c").arg(&text).arg("-o").arg(&object));
        objects.push(object);
    }
    let linked = folder.join("linked.ko");
    run(Command::new(&compiler).args(["-r", "-nostdlib"]).args(&objects).arg("-o").arg(&linked));
    run(Command::new("strip").arg("--strip-debug").arg(&linked));
    fs::read(linked).unwrap()
}

fn analysed(bytes: &Vec<u8>, kernel: KernelChoice) -> Analysis {
    let options = Options { orc: true, module: true, ..Options::default() };
    let config = Config { options, kernel, policy: Policy::Objtool, noreturn: Vec::new() };
    analyse(bytes, &config, &CancelToken::default()).unwrap()
}

/// Whether a row of the table stands at the offset in `.text`.
fn has_row(analysis: &Analysis, offset: u64) -> bool {
    let table = analysis.orc().unwrap().text(&analysis.image, analysis.kernel.rules());
    table.lines().any(|line| line.starts_with(&format!(".text+{offset:x}:")))
}

#[test]
fn the_way_behind_a_warning_is_followed() {
    let layouts = [
        (Kernel::V6_1, ".long text - .", ".word 7, FLAGS"),
        (Kernel::V6_1, "", ".word FLAGS"),
        (Kernel::V6_12, ".long text - .", ".word 7, FLAGS"),
        (Kernel::V6_12, "", ".word FLAGS"),
        (Kernel::V7_3, ".long text - ., text - .", ".word 7, FLAGS"),
        (Kernel::V7_3, ".long text - .", ".word FLAGS"),
    ];
    for (kernel, places, numbers) in layouts {
        for (flags, goes_on) in [("0x901", true), ("0x900", false)] {
            let source = WARNS.replace("PLACES", places).replace("NUMBERS", &numbers.replace("FLAGS", flags));
            let source = source + &table(&[".text"]);
            let folder = tempfile::tempdir().unwrap();
            let module = analysed(&built(folder.path(), &[&source, MODULE]), KernelChoice::Fixed(kernel));
            // Behind `pop`, the frame is that of the entry.
            assert_eq!(has_row(&module, 4), goes_on, "{kernel:?} {places} {flags}");
        }
    }
}

#[test]
fn a_cold_part_belongs_to_the_function_before_it() {
    let source = COLD.to_owned() + &table(&[".text", ".text.unlikely"]);
    for kernel in [Kernel::V6_1, Kernel::V6_12, Kernel::V7_3] {
        let folder = tempfile::tempdir().unwrap();
        let module = analysed(&built(folder.path(), &[&source, &source, MODULE]), KernelChoice::Fixed(kernel));
        assert!(module.findings.is_empty() && module.unjudged.is_empty(), "{kernel:?} {:?}", module.unjudged);
    }
}

#[test]
fn a_table_without_a_header_is_of_6_1() {
    let stored = "\t.section .orc_unwind, \"a\", @progbits\n\t.skip 6\n";
    let header = "\t.section .orc_header, \"a\", @progbits\n\t.skip 20\n";
    let folder = tempfile::tempdir().unwrap();
    let without = analysed(&built(folder.path(), &[stored, MODULE]), KernelChoice::Auto);
    assert_eq!(without.kernel, Kernel::V6_1, "{}", without.kernel_evidence);
    let with = analysed(&built(folder.path(), &[stored, header, MODULE]), KernelChoice::Auto);
    assert_ne!(with.kernel, Kernel::V6_1, "{}", with.kernel_evidence);
}
