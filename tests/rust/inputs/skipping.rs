//! A driver with an instruction that no path leads to, and nothing else that is wrong.
#![no_std]
use core::arch::asm;

#[inline(never)]
pub fn skip(value: u64) -> u64 {
    unsafe { asm!("jmp 2f", "inc {0}", "2:", inout(reg) value => _) } // jumped over
    value + 1
}
