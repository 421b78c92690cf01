//! Keeps a program from making sockets: Landlock's rules for the network are about TCP alone.
//!
//! In: the program that this process becomes.  Out: a filter of system calls that it inherits.
//! Holds afterwards, where the kernel has such filters and the processor's numbers are known here: neither the program nor
//! what it starts can make a socket of any kind, or a ring that would make one for it. Programs for 32 bits, whose calls have
//! other numbers, are left as they are.
//! Reads like: seccomp(2), linux Documentation/userspace-api/seccomp_filter.rst.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// `errno` of what is forbidden: `EACCES`.
const FORBIDDEN: u32 = 13;
/// `io_uring_setup`, which has the same number everywhere.
const RING: i64 = 425;
/// The x32 variant of a call of x86-64 has this bit set.
const X32: i64 = 0x4000_0000;

/// Forbids sockets to this thread, and so to what it becomes.
pub(super) fn forbid(program: &Path) {
    let (numbers, arch): (&[i64], TargetArch) = match std::env::consts::ARCH {
        "x86_64" => (&[41, RING, 41 | X32, RING | X32], TargetArch::x86_64),
        "aarch64" => (&[198, RING], TargetArch::aarch64),
        _ => return,
    };
    if is_32_bit(program) {
        return;
    }
    let rules = numbers.iter().map(|&number| (number, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(FORBIDDEN), arch);
    // A kernel without filters runs the program without: the other rules hold.
    if let Some(filter) = filter.ok().and_then(|filter| BpfProgram::try_from(filter).ok()) {
        drop(seccompiler::apply_filter(&filter));
    }
}

/// elf(5), `e_ident[EI_CLASS]`
fn is_32_bit(program: &Path) -> bool {
    let mut start = [0; 5];
    let read = File::open(program).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"\x7fELF\x01"
}
