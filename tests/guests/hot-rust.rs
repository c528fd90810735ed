//! As hot-c.c, in Rust: most of the time is spent in `mix` of another file, which is inlined into `churn`; a tenth as
//! much in `churn` below `warm`. Functions of `core` are inlined into `mix`.
//!
//! Exports: spin: func(rounds: u32) -> u64, about 10 ms a round
//!            spin(1) = 4647545769986676091, spin(30) = 878125815129684742
//!
//! Built in /tmp/witprof-fixtures, a path in its debug info that nobody is to see, with Rust 1.96.0 and wasm-tools
//! 1.263.0:
//!
//!   rustc --edition 2024 --target wasm32-unknown-unknown --crate-type cdylib -O -g -C panic=abort hot-rust.rs \
//!     -o hot-rust.core.wasm
//!   wasm-tools component embed hot.wit hot-rust.core.wasm | wasm-tools component new -o hot-rust.wasm
//!
//! `core` came by `--sysroot` from `cargo build --release -Zbuild-std=core` with `--remap-path-prefix`, so that paths
//! of it begin with /rustc/ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96/library, as those of the distributed one do.
#![no_std]

#[path = "hot-rust-mix.rs"]
mod mix;

#[inline(never)]
fn churn(seed: u64, count: u64) -> u64 {
    let mut state = seed;
    for i in 0..count {
        state = mix::mix(state, i); // CALL LINE
    }
    state
}

#[inline(never)]
fn warm(seed: u64, count: u64) -> u64 {
    churn(seed ^ 1, count / 10)
}

#[unsafe(no_mangle)]
extern "C" fn spin(rounds: u32) -> u64 {
    let mut state = 1;
    for _ in 0..rounds {
        state = churn(state, 100_000);
        state = warm(state, 100_000);
    }
    state
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
