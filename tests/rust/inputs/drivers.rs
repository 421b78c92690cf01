//! A driver whose calls objtool does not know never to return, and what else goes wrong in one.
#![no_std]
use core::arch::{asm, naked_asm};
use core::ptr::NonNull;

extern "Rust" {
    #[link_name = "_RNvNtCsabcdefghijk_4core9panicking12panic_unlist"]
    fn panic_unlist(value: u32) -> !;
    #[link_name = "_RNvNtCsabcdefghijk_4core9panicking12panic_second"]
    fn panic_second() -> !;
}
extern "C" {
    fn rust_build_error() -> !;
    fn writel(value: u32, address: usize);
}

#[inline(always)]
fn checked(value: u32, limit: u32) -> u32 {
    if value > limit {
        unsafe { panic_unlist(value) }
    }
    value + 1
}
#[inline(never)]
pub fn first(value: u32) -> u32 {
    checked(value, 9) * 3 // first calls
}
#[inline(never)]
pub fn second(value: u32) -> u32 {
    if value == 7 {
        unsafe { panic_second() } // second dies
    }
    checked(value, 5) ^ value // second calls
}

pub struct Io<const SIZE: usize>(pub usize);
impl<const SIZE: usize> Io<SIZE> {
    #[inline(always)]
    fn write(&self, value: u32, offset: usize) {
        // build_assert!(offset + 4 <= SIZE)
        if offset + 4 > SIZE {
            unsafe { rust_build_error() } // the check
        }
        unsafe { writel(value, self.0 + offset) }
    }
}
#[inline(never)]
pub fn probe(io: &Io<8>) -> u32 {
    io.write(1, 0);
    io.write(2, 16); // the call
    7
}

#[unsafe(naked)]
#[no_mangle]
pub extern "C" fn switch_to_fiber(_from: *mut u64, _to: *const u64) {
    naked_asm!(
        "push rbx", // the push
        "push rbp",
        "mov [rdi], rsp",
        "pop rbp",
        "ret", // the return
    )
}

#[inline(never)]
pub fn sample(flag: bool, n: u64) -> u64 {
    let mut out = n;
    if flag {
        unsafe { asm!("push {0}", inout(reg) out) } // the asm
    }
    out.wrapping_mul(3)
}

pub struct Regulator(NonNull<u8>);
#[inline(always)]
fn regulator_get(_id: i32) -> *mut u8 {
    core::ptr::null_mut()
}
impl Regulator {
    #[inline(never)]
    pub fn get(id: i32) -> Regulator {
        // the undefined one is above
        Regulator(unsafe { NonNull::new_unchecked(regulator_get(id)) })
    }
    #[inline(never)]
    pub fn enable(&self) -> u8 {
        unsafe { *self.0.as_ptr() }
    }
}

#[no_mangle]
#[inline(never)]
pub extern "C" fn fatal() -> ! {
    loop {
        core::hint::spin_loop()
    }
}

extern "C" {
    fn one(value: u32) -> u32;
    fn two(value: u32) -> u32;
}
#[inline(never)]
pub fn dispatch(op: u32, value: u32) -> u32 {
    unsafe {
        match op {
            0 => one(value) + 1,
            1 => two(value) * 3,
            2 => one(value) ^ 0x55,
            3 => two(value) >> 2,
            4 => one(value) - 9,
            5 => one(value ^ 7) | two(value),
            6 => two(value) & one(value),
            _ => 0,
        }
    }
}
#[inline(never)]
pub fn visit(f: &dyn Fn(u32) -> u32) -> u32 {
    f(3) + 1 // through a pointer
}

#[inline(never)]
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().map(|&byte| byte as u32).sum()
}
#[inline(never)]
pub fn copy_in(bytes: &[u8]) -> u32 {
    unsafe { asm!("stac") } // opened
    let sum = checksum(bytes); // called
    unsafe { asm!("clac") }
    sum
}
