//! Modules as they are installed: linked, with their annotations gone. What they still tell is used.
//!
//! In: assembly, built and linked by the C compiler in a folder of the test's own.  Out: a test per promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use orcls::analysis::{Analysis, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::ids::CodeLoc;
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

/// The path behind the jump starts from a frame that a hint restored. `FRAME` is the stored one there.
const RESTORES: &str = r#"
	.text
	.type runs, @function
runs:
	push %rbx
	jmp fails
	xor %eax, %eax
	pop %rbx
	ret
fails:
	pop %rbx
	ret
	.size runs, . - runs
	.section .orc_unwind, "a"
	.byte 8, 0, 0, 0, SP, 0
	.byte 16, 0, 0, 0, SP, 0
	FRAME
	.byte 16, 0, 0, 0, SP, 0
	.section .orc_unwind_ip, "a"
	.long runs - ., runs + 1 - ., runs + 3 - ., runs + 7 - .
"#;

/// A function that another one overrode, so that the linker dropped its name. `FRAME` is the stored one at its start.
const UNNAMED: &str = r#"
	.text
	.type named, @function
named:
	ret
	.size named, . - named
	push %rbx
	pop %rbx
	ret
	.section .orc_unwind, "a"
	.byte 8, 0, 0, 0, SP, 0
	FRAME
	.section .orc_unwind_ip, "a"
	.long named - ., named + 1 - .
"#;

/// A call between the alternatives that open and close user access. `FRAME` is the stored one behind the call.
const OPENS: &str = r#"
	.text
	.type opens, @function
opens:
1:	.byte 0x90, 0x90, 0x90
	call other
2:	.byte 0x90, 0x90, 0x90
	push %rbx
	pop %rbx
	ret
	.size opens, . - opens
	.section .altinstr_replacement, "ax"
3:	stac
4:	clac
	.section .altinstructions, "a"
	.long 1b - ., 3b - .
	FEATURE 0x134
	.byte 3, 3
	.long 2b - ., 4b - .
	FEATURE 0x134
	.byte 3, 3
	.section .orc_unwind, "a"
	.byte 8, 0, 0, 0, SP, 0
	FRAME
	.section .orc_unwind_ip, "a"
	.long opens - ., opens + 8 - .
"#;

/// A jump behind the `endbr` of another function.
const BEHIND_ENDBR: &str = r#"
	.text
	.type jumps, @function
jumps:
	test %edi, %edi
	je called + 4
	push %rbx
	pop %rbx
	ret
	.size jumps, . - jumps
	.type called, @function
called:
	endbr64
	push %rbx
	pop %rbx
	ret
	.size called, . - called
"#;

/// The module of the source, if the stored frame is `frame`, or none at all.
fn with_frame(source: &str, frame: u8, kernel: Kernel) -> Analysis {
    let frame = if frame == 0 { ".byte 0, 0, 0, 0, 0, 0" } else { &format!(".byte {frame}, 0, 0, 0, SP, 0") };
    let (sp, feature) = match kernel {
        Kernel::V5_15 | Kernel::V6_1 => ("5", ".word"),
        Kernel::V6_6 | Kernel::V6_12 | Kernel::V6_18 | Kernel::V7_0 => ("5", ".long"),
        Kernel::V7_2 | Kernel::V7_3 => ("3", ".long"),
    };
    let source = source.replace("FRAME", frame).replace("SP", sp).replace("FEATURE", feature);
    module(&[&source], KernelChoice::Fixed(kernel))
}

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

/// What is known of the module that is made of the sources.
fn module(sources: &[&str], kernel: KernelChoice) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let bytes = built(folder.path(), &[sources, &[MODULE]].concat());
    let options = Options { orc: true, uaccess: true, module: true, ..Options::default() };
    let config = Config { options, kernel, policy: Policy::Objtool, noreturn: Vec::new() };
    analyse(&bytes, &config, &CancelToken::default()).unwrap()
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
            let module = module(&[&source], KernelChoice::Fixed(kernel));
            // Behind `pop`, the frame is that of the entry.
            assert_eq!(has_row(&module, 4), goes_on, "{kernel:?} {places} {flags}");
        }
    }
}

#[test]
fn a_cold_part_belongs_to_the_function_before_it() {
    let source = COLD.to_owned() + &table(&[".text", ".text.unlikely"]);
    for kernel in Kernel::ALL {
        let module = module(&[&source, &source], KernelChoice::Fixed(kernel));
        assert!(module.findings.is_empty() && module.unjudged.is_empty(), "{kernel:?} {:?}", module.unjudged);
    }
}

#[test]
fn a_frame_that_nothing_leads_to_was_restored() {
    for kernel in Kernel::ALL {
        for (frame, restored) in [(16, true), (0, false)] {
            let module = with_frame(RESTORES, frame, kernel);
            // Behind `pop`, the frame is that of the entry.
            assert_eq!(has_row(&module, 6), restored, "{kernel:?} {frame}");
        }
    }
}

#[test]
fn code_without_a_name_is_a_function_where_it_has_the_frame_of_one() {
    for kernel in Kernel::ALL {
        for (frame, followed) in [(8, true), (16, false), (0, false)] {
            let module = with_frame(UNNAMED, frame, kernel);
            assert_eq!(has_row(&module, 2), followed, "{kernel:?} {frame}");
        }
    }
}

#[test]
fn a_call_that_objtool_went_on_behind_has_no_user_access() {
    for kernel in Kernel::ALL {
        for (frame, went_on) in [(8, true), (0, false)] {
            let module = with_frame(OPENS, frame, kernel);
            assert_eq!(has_row(&module, 12), went_on, "{kernel:?} {frame}");
            assert_eq!(module.unjudged.is_empty(), went_on, "{kernel:?} {frame} {:?}", module.unjudged);
        }
    }
}

#[test]
fn a_list_of_endbr_tells_that_jumps_behind_them_are_calls() {
    let source = BEHIND_ENDBR.to_owned() + &table(&[".text"]);
    let sealed = "\t.section .ibt_endbr_seal, \"a\"\n\t.long 0\n";
    for (more, called) in [(sealed, true), ("", false)] {
        let module = module(&[&source, more], KernelChoice::Fixed(Kernel::V6_12));
        let text = module.image.section_by_name(".text").unwrap();
        let jump = module.insns.at(CodeLoc::new(text, 2)).unwrap();
        assert_eq!(module.flow.callee(jump).is_some(), called, "{more}");
    }
}

#[test]
fn a_table_without_a_header_is_of_6_1() {
    let stored = "\t.section .orc_unwind, \"a\", @progbits\n\t.skip 6\n";
    let header = "\t.section .orc_header, \"a\", @progbits\n\t.skip 20\n";
    let without = module(&[stored], KernelChoice::Auto);
    assert_eq!(without.kernel, Kernel::V6_1, "{}", without.kernel_evidence);
    let with = module(&[stored, header], KernelChoice::Auto);
    assert_ne!(with.kernel, Kernel::V6_1, "{}", with.kernel_evidence);
}
