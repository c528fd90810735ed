// The other file of half-lines.c.
typedef unsigned int u32;
typedef unsigned long long u64;

__attribute__((noinline)) u64 pinch(u64 seed, u32 count) {
  u64 state = seed;
  for (u32 i = 0; i < count; i++) {
    state = (state << 11) ^ (state >> 9) ^ (state * 0x2545f4914f6cdd1du) ^ i;
  }
  return state;
}
