//! Large profiles.

use witprof::{Profile, read_firefox};

/// A profile with so many samples, of 5,000 functions in stacks of up to 40 frames, as another program would write it.
pub fn profile(samples: usize) -> Profile {
    let functions = 5_000_usize;
    let column = |length: usize, row: &dyn Fn(usize) -> String| (0..length).map(row).collect::<Vec<_>>().join(",");
    // A hundred chains of forty frames, of which each is the end of some samples.
    let stacks = 4_000_usize;
    let prefix = |row: usize| if row.is_multiple_of(40) { "null".to_owned() } else { (row - 1).to_string() };
    let frame = |row: usize| ((row % 40) * 31 + (row / 40) * 7 * (row % 40)).rem_euclid(functions).to_string();
    let late = |row: usize| format!("1.{:06}", row.wrapping_mul(2_654_435_761) % 1_000);
    let json = format!(
        r#"{{"meta": {{"interval": 1, "startTime": 1700000000000, "product": "large", "preprocessedProfileVersion": 55}},
        "libs": [], "threads": [{{"name": "main", "pid": "0", "tid": "1",
        "samples": {{"stack": [{}], "timeDeltas": [{}], "weight": [{}], "weightType": "tracing-ms",
        "threadCPUDelta": [{}]}},
        "stackTable": {{"prefix": [{}], "frame": [{}]}},
        "frameTable": {{"func": [{}]}}, "funcTable": {{"name": [{}]}}, "stringArray": [{}]}}]}}"#,
        column(samples, &|row| (row.wrapping_mul(2_654_435_761) % stacks).to_string()),
        // A timer is never quite on time.
        column(samples, &late),
        column(samples, &late),
        column(samples, &|row| (900 + row.wrapping_mul(40_503) % 100).to_string()),
        column(stacks, &prefix),
        column(stacks, &frame),
        column(functions, &|row| row.to_string()),
        column(functions, &|row| row.to_string()),
        column(functions, &|row| format!("\"some_module::function_number_{row}<of, several>\"")),
    );
    read_firefox(&mut json.as_bytes()).expect("a profile")
}
