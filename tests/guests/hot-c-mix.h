typedef unsigned int u32;
typedef unsigned long long u64;

// Inlined into `churn` of hot-c.c.
__attribute__((always_inline)) static inline u64 mix(u64 state, u64 value) {
  state ^= value + 0x9e3779b97f4a7c15u + (state << 6) + (state >> 2);
  for (int i = 0; i < 64; i++) {
    state = (state << 13) ^ (state >> 7) ^ (state * 0x2545f4914f6cdd1du); // HOT LINE
  }
  return state;
}
