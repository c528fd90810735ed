// A trap on a known line, below some work.
//
// A core module that exports `boom (param i32)`: it computes for about 3 ms a round, and traps.
//
// Built in /tmp/witprof-fixtures, with ziglang 0.15.2 (from PyPI):
//
//   python -m ziglang cc --target=wasm32-freestanding -O1 -g -nostdlib -Wl,--no-entry -Wl,--export=boom trap-c.c \
//     -o trap-c.wasm
typedef unsigned int u32;
typedef unsigned long long u64;

volatile u64 sink;

__attribute__((noinline)) void give_up(void) {
  __builtin_trap(); // TRAP LINE
}

void boom(u32 rounds) {
  u64 state = 1;
  for (u32 i = 0; i < rounds * 1000000; i++) {
    state = (state << 13) ^ (state >> 7) ^ (state * 0x2545f4914f6cdd1du) ^ i;
  }
  sink = state;
  give_up();
}
