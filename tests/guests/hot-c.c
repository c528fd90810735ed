// A known hot line. Most of the time is spent in `mix` of another file, which is inlined into `churn`; a tenth as much
// in `churn` below `warm`.
//
// Exports: spin: func(rounds: u32) -> u64, about 10 ms a round
//            spin(1) = 8102469823863799941, spin(30) = 8576575249604017039
//
// Built in /tmp/witprof-fixtures, a path in its debug info that nobody is to see, with ziglang 0.15.2 (from PyPI) and
// wasm-tools 1.263.0:
//
//   python -m ziglang cc --target=wasm32-freestanding -O2 -g -nostdlib -Wl,--no-entry -Wl,--export=spin hot-c.c \
//     -o hot-c.core.wasm
//   wasm-tools component embed hot.wit hot-c.core.wasm | wasm-tools component new -o hot-c.wasm
#include "hot-c-mix.h"

__attribute__((noinline)) u64 churn(u64 seed, u32 count) {
  u64 state = seed;
  for (u32 i = 0; i < count; i++) {
    state = mix(state, i); // CALL LINE
  }
  return state;
}

__attribute__((noinline)) u64 warm(u64 seed, u32 count) {
  return churn(seed ^ 1, count / 10);
}

u64 spin(u32 rounds) {
  u64 state = 1;
  for (u32 round = 0; round < rounds; round++) {
    state = churn(state, 100000);
    state = warm(state, 100000);
  }
  return state;
}

// hot-c-stale.wasm is the core module after an optimiser that has left the debug info as it was (binaryen 132, from npm):
//
//   wasm-opt -O2 -g --enable-bulk-memory --enable-sign-ext --enable-nontrapping-float-to-int --enable-mutable-globals \
//     --enable-multivalue --enable-reference-types hot-c.core.wasm -o hot-c-stale.wasm
