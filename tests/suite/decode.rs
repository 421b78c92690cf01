//! Decoding of assembled and compiled objects: boundaries against another decoder, notes, and the text of instructions.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use orcls::cancel::CancelToken;
use orcls::decode::{self, DecodeNote, Disassembler, InsnTable, Kind};
use orcls::findings::Fault;
use orcls::ids::{CodeLoc, SectionId};
use orcls::image::ElfImage;
use orcls::kernel::Kernel;
use orcls::symbols::Symbols;

/// Compiles `source`, a file below `tests/`, with the given options.
fn compiled(options: &[&str], source: &str) -> ElfImage {
    build(options, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source))
}

fn assembled(source: &str) -> ElfImage {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("source.s");
    std::fs::write(&path, format!("{source}\n")).expect("the source is written");
    build(&[], &path)
}

fn build(options: &[&str], source: &Path) -> ElfImage {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = folder.path().join("object.o");
    let status = Command::new("cc").args(options).arg("-c").arg(source).arg("-o").arg(&object).status();
    assert!(status.expect("a C compiler").success(), "cc {options:?} {}", source.display());
    ElfImage::read(&std::fs::read(&object).expect("the object")).expect("an ELF object")
}

fn decoded(image: &ElfImage, kernel: Kernel) -> (InsnTable, Vec<DecodeNote>) {
    let (symbols, _) = Symbols::new(image, kernel.rules());
    let (mut insns, notes) = decode::decode(image, kernel.rules(), &CancelToken::default()).expect("nobody cancels");
    decode::settle_irets(&mut insns, &symbols);
    (insns, notes)
}

fn section(image: &ElfImage, name: &str) -> SectionId {
    image.section_by_name(name).expect("the section exists")
}

#[test]
fn boundaries_are_those_of_another_decoder() {
    for options in [
        &["-O0"][..],
        &["-O2"],
        &["-Os", "-mcmodel=large"],
        &["-O3", "-mavx2", "-mbmi2", "-mfma"],
        &["-O3", "-mavx512f"],
    ] {
        let image = compiled(options, "decode/mix.c");
        for kernel in Kernel::ALL {
            let (insns, notes) = decoded(&image, kernel);
            assert_eq!(notes, [], "{kernel} {options:?}");
            for (id, section) in image.sections().filter(|(_, section)| section.is_code()) {
                let ours: Vec<(u32, u8)> =
                    insns.of_section(id).map(|id| insns.get(id)).map(|insn| (insn.offset, insn.len)).collect();
                let mut offset = 0;
                let theirs: Vec<(u32, u8)> = iced_x86::Decoder::new(64, &section.code, 0)
                    .into_iter()
                    .map(|insn| {
                        let start = offset;
                        offset += insn.len() as u32;
                        (start, insn.len() as u8)
                    })
                    .collect();
                assert_eq!(ours, theirs, "{kernel} {options:?} {}", section.name);
            }
        }
    }
}

#[test]
fn a_section_ends_where_it_cannot_be_decoded_and_the_others_do_not() {
    let image = assembled(
        r#"
        .section .text.first,"ax"
        nop
        .byte 0x66, 0x0f, 0x78, 0xc0
        nop
        .section .text.second,"ax"
        lea 8(%rsp),%rsp
        .byte 0x48, 0x8d, 0xe5
        notrack jmp *%rax
        ret"#,
    );
    let (insns, notes) = decoded(&image, Kernel::V6_12);
    let first = section(&image, ".text.first");
    let second = section(&image, ".text.second");
    let note = |fault, section, offset, fatal| DecodeNote { fault, at: CodeLoc::new(section, offset), fatal };
    assert_eq!(
        notes,
        [
            note(Fault::Undecodable { section: first, offset: 1 }, first, 1, true),
            note(Fault::InvalidLea { section: second, offset: 5 }, second, 5, false),
            note(Fault::Notrack { section: second, offset: 8 }, second, 8, false),
        ]
    );
    assert_eq!(insns.of_section(first).count(), 1);
    assert_eq!(insns.of_section(second).count(), 4);
    assert_eq!(insns.of_section(section(&image, ".data")).count(), 0);
    assert_eq!(insns.at(CodeLoc::new(first, 1)), None);
    assert_eq!(insns.containing(CodeLoc::new(second, 7)), insns.at(CodeLoc::new(second, 5)));
    for id in insns.of_section(second) {
        assert_eq!(insns.section_of(id), second);
        assert_eq!(insns.at(insns.loc(id)), Some(id));
    }
}

#[test]
fn iret_depends_on_the_symbol_around_it() {
    let image = assembled(
        r#"
        iretq
        .type outer,@function
        outer: iretq
        .type inner,@object
        inner: iretq
        .size inner,.-inner
        .size outer,.-outer
        entry: iretq
        .size entry,.-entry"#,
    );
    let kinds = |kernel| {
        let (insns, _) = decoded(&image, kernel);
        insns
            .of_section(section(&image, ".text"))
            .map(|id| (insns.get(id).kind, insns.ops(id).len()))
            .collect::<Vec<_>>()
    };
    let (leaves, stays) = ((Kind::ContextSwitch, 0), (Kind::Other, 1));
    // 6.12 takes the first symbol that contains the place, 7.3 the smallest.
    assert_eq!(kinds(Kernel::V6_12), [leaves, stays, stays, leaves]);
    let leaves = (Kind::Sysret, 0);
    assert_eq!(kinds(Kernel::V7_3), [leaves, stays, leaves, leaves]);
}

#[test]
fn relative_targets_are_as_encoded() {
    let image = assembled("1: jmp 1b\n jmp *0x10(%rax)\n call outside\n mov 0x20(%rbx),%rax");
    let targets = |kernel| {
        let (insns, _) = decoded(&image, kernel);
        let ids = insns.of_section(section(&image, ".text"));
        ids.map(|id| decode::branch_immediate(image.section(insns.section_of(id)), insns.get(id), kernel.rules()))
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(Kernel::V6_12), [-2, 0, 0, 0]);
    assert_eq!(targets(Kernel::V7_3), [-2, 0x10, 0, 0x20]);
    let (insns, _) = decoded(&image, Kernel::V6_12);
    let displacements = insns.of_section(section(&image, ".text"));
    let displacements: Vec<_> =
        displacements.map(|id| decode::displacement(&image, &insns, id, Kernel::V6_12.rules())).collect();
    assert_eq!(displacements, [None, Some(0x10), None, Some(0x20)]);
}

/// Compares the text of every instruction of `source`.
#[track_caller]
fn check_text(source: &str, expected: &Expect) {
    let image = assembled(source);
    let (insns, _) = decoded(&image, Kernel::V6_12);
    let disassembler = Disassembler::new(&image);
    let mut out = String::new();
    for id in insns.of_section(section(&image, ".text")) {
        let text = disassembler.text(&insns, id);
        assert_eq!(text, decode::text(&image, &insns, id));
        writeln!(out, "{text}").expect("a string takes it");
    }
    expected.assert_eq(&out);
}

#[test]
fn text_names_what_relocations_stand_for() {
    check_text(
        r#"
        call outside
        jmp outside@PLT
        mov $.rodata+0x10,%rdi
        movabs $outside,%rax
        mov global(%rip),%rax
        movl $7,global+4(%rip)
        mov table(,%rax,8),%rbx
        jmp *table+8(,%rax,8)
        cmpl $end-8,global(%rip)
        mov %gs:percpu(%rip),%rdx
        mov end-4(%rip),%eax
        call __SCT__trampoline
        .section .rodata
        .zero 64"#,
        &expect![[r#"
            call outside
            jmp outside
            mov $.rodata+0x10,%rdi
            movabs $outside,%rax
            mov global(%rip),%rax
            movl $0x7,global+0x4(%rip)
            mov table(,%rax,8),%rbx
            jmpq *table+0x8(,%rax,8)
            cmpl $end-0x8,global(%rip)
            mov %gs:percpu(%rip),%rdx
            mov end-0x4(%rip),%eax
            call __SCT__trampoline
        "#]],
    );
}

#[test]
fn text_names_places_in_the_code() {
    check_text(
        r#"
        jmp 1f
        .type f,@function
        f: push %rbp
        mov %rsp,%rbp
        1: je 1b
        je f
        jne 2f
        pop %rbp
        ret
        2: .size f,.-f
        .byte 0xe8, 0, 0, 0, 0
        .globl g
        g: sub $0x28,%rsp
        lea -0x8(%rbp),%rsp
        call f + 1
        .reloc . + 1,R_X86_64_PLT32,.text-2
        .byte 0xe9, 0, 0, 0, 0"#,
        &expect![[r#"
            jmp f+0x4
            push %rbp
            mov %rsp,%rbp
            je f+0x4
            je f
            jne .text+0xe
            pop %rbp
            ret
            call g
            sub $0x28,%rsp
            lea -0x8(%rbp),%rsp
            call f+0x1
            jmp f
        "#]],
    );
}

#[test]
fn text_is_honest_about_what_it_cannot_show() {
    check_text(
        r#"
        .byte 0x0f, 0x04
        .byte 0xd6
        .byte 0x0f, 0x0b, 0x78, 0x65, 0x6e
        cpuid
        .byte 0x0f, 0x0b, 0x6b, 0x76, 0x6d
        cpuid
        ud2"#,
        &expect![[r#"
            (bad)
            (bad)
            {xen} cpuid
            {kvm} cpuid
            ud2
        "#]],
    );
}
