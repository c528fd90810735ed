//! Inlined into `churn` of hot-rust.rs.

#[inline(always)]
pub fn mix(mut state: u64, value: u64) -> u64 {
    state ^= value.wrapping_add(0x9e3779b97f4a7c15).wrapping_add(state << 6);
    for _ in 0..64 {
        state = (state << 13) ^ (state >> 7) ^ state * 0x2545f4914f6cdd1d; // HOT LINE
    }
    state
}
