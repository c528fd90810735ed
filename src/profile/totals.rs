//! Time per function.

use std::time::Duration;

use super::tables::{FunctionIndex, Profile, StackIndex};

/// How much of a recording a function accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionTotal {
    /// The function.
    pub function: FunctionIndex,
    /// Wall-clock time while it was the innermost frame.
    pub self_wall: Duration,
    /// CPU time while it was the innermost frame.
    pub self_cpu: Duration,
    /// Wall-clock time while it was anywhere on the stack, counted once however often it recurs.
    pub total_wall: Duration,
}

impl Profile {
    /// Time per function, the hottest by own wall-clock time first. Sums of own time are those of the profile.
    #[must_use]
    pub fn function_totals(&self) -> Vec<FunctionTotal> {
        let mut totals: Vec<FunctionTotal> = (0..u32::try_from(self.functions.len()).unwrap_or(u32::MAX))
            .map(|function| FunctionTotal {
                function: FunctionIndex(function),
                self_wall: Duration::ZERO,
                self_cpu: Duration::ZERO,
                total_wall: Duration::ZERO,
            })
            .collect();
        // Samples share stacks and stacks share callers, so time is first summed per stack.
        let mut per_stack = vec![(Duration::ZERO, Duration::ZERO); self.stacks.len()];
        for sample in self.samples() {
            let (wall, cpu) = &mut per_stack[sample.stack.index()];
            *wall += sample.wall;
            *cpu += sample.cpu;
        }
        // The last stack in which a function was counted: a recursion meets itself there.
        let mut counted_for = vec![None; totals.len()];
        for (index, (wall, cpu)) in (0_u32..).zip(&per_stack) {
            if wall.is_zero() && cpu.is_zero() {
                continue;
            }
            let stack = StackIndex(index);
            let leaf = &mut totals[self.leaf(stack).index()];
            leaf.self_wall += *wall;
            leaf.self_cpu += *cpu;
            let mut at = Some(stack);
            while let Some(stack) = at {
                let function = self.leaf(stack).index();
                if counted_for[function] != Some(index) {
                    counted_for[function] = Some(index);
                    totals[function].total_wall += *wall;
                }
                at = self.stacks[stack.index()].caller;
            }
        }
        totals.sort_by(|a, b| b.self_wall.cmp(&a.self_wall).then(b.total_wall.cmp(&a.total_wall)));
        totals
    }
}
