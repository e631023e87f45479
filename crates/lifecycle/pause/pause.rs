//! The program of the sandbox container: it holds a pod's namespaces open, buries orphans, and ends when asked.
//!
//! As PID 1 it gets no signal without a handler; a blocked one, however, is queued even for PID 1
//! (`sig_ignored` in the kernel's kernel/signal.c). So it blocks the three signals it cares for and waits for
//! them: no handler, no libc, no heap. Compiled by `build.rs` for the target of the crate.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;
/// Size of the kernel's signal set.
const SET_BYTES: usize = 8;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const EXIT_GROUP: usize = 94;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
}

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym main);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "bl {main}", "brk #1", main = sym main);

extern "C" fn main() -> ! {
    let set: u64 = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1) | 1 << (SIGCHLD - 1);
    let set = (&raw const set).expose_provenance();
    call(number::RT_SIGPROCMASK, [SIG_BLOCK, set, 0, SET_BYTES]);
    loop {
        match call(number::RT_SIGTIMEDWAIT, [set, 0, 0, SET_BYTES]) as usize {
            SIGINT | SIGTERM => exit(0),
            // Several children may share one pending SIGCHLD.
            SIGCHLD => while call(number::WAIT4, [usize::MAX, 0, WNOHANG, 0]) > 0 {},
            _ => {}
        }
    }
}

fn exit(status: usize) -> ! {
    loop {
        call(number::EXIT_GROUP, [status, 0, 0, 0]);
    }
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result;
    // SAFETY: the four calls made above read at most the signal set, which outlives them, and write nothing.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") arguments[0],
            in("rsi") arguments[1], in("rdx") arguments[2], in("r10") arguments[3],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result;
    // SAFETY: the four calls made above read at most the signal set, which outlives them, and write nothing.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") arguments[0] as isize => result,
            in("x1") arguments[1], in("x2") arguments[2], in("x3") arguments[3], options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
