// A program of two files, of which only the other one, that takes a hundredth of the time, is compiled with debug info: what
// its authors see whose libc alone has lines.
//
// A core module that exports `spin (param i32) (result i64)`, about 5 ms a round.
//
// Built in /tmp/witprof-fixtures, with ziglang 0.15.2 (from PyPI):
//
//   python -m ziglang cc --target=wasm32-freestanding -O2 -g0 -c half-lines.c -o half-lines.o
//   python -m ziglang cc --target=wasm32-freestanding -O2 -g -c half-lines-other.c -o half-lines-other.o
//   python -m ziglang cc --target=wasm32-freestanding -g -nostdlib -Wl,--no-entry -Wl,--export=spin half-lines.o \
//     half-lines-other.o -o half-lines.wasm
typedef unsigned int u32;
typedef unsigned long long u64;

u64 pinch(u64 seed, u32 count);

__attribute__((noinline)) u64 grind(u64 seed, u32 count) {
  u64 state = seed;
  for (u32 i = 0; i < count; i++) {
    state = (state << 13) ^ (state >> 7) ^ (state * 0x2545f4914f6cdd1du) ^ i;
  }
  return state;
}

u64 spin(u32 rounds) {
  u64 state = 1;
  for (u32 round = 0; round < rounds; round++) {
    state = grind(state, 3000000);
    state = pinch(state, 30000);
  }
  return state;
}
