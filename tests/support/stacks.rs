//! What is in a recording of the program `witprof`: stacks, and rows of reports.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

/// A stack, outermost first, and its time in microseconds.
pub struct Stack {
    pub frames: Vec<String>,
    pub time: f64,
}

impl Stack {
    pub fn has(&self, name: &str) -> bool {
        self.frames.iter().any(|frame| frame == name)
    }

    pub fn count(&self, name: &str) -> usize {
        self.frames.iter().filter(|frame| *frame == name).count()
    }

    /// Whether it has all of these, each further in than the one before.
    pub fn has_in_order(&self, names: &[&str]) -> bool {
        let mut frames = self.frames.iter();
        names.iter().all(|name| frames.any(|frame| frame == name))
    }

    /// Whether it has these next to each other.
    pub fn has_adjacent(&self, names: &[&str]) -> bool {
        self.frames.windows(names.len()).any(|frames| frames == names)
    }
}

/// A run of a component that interprets scripts.
pub struct Recording {
    pub folder: TempDir,
    /// With the interpreter's own functions, and without.
    pub whole: Vec<Stack>,
    pub scripts: Vec<Stack>,
}

impl Recording {
    /// Records a run, which prints `done`. `printed` runs the program in a folder, with arguments, and returns what it prints.
    pub fn new(printed: fn(&Path, &[&str]) -> String, component: &Path, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let component = component.to_str().expect("UTF-8");
        let run = [&["run", "--quiet", "--sampler", "signal", "-o", "p.json"], options, &[component]].concat();
        assert_eq!(printed(folder.path(), &run), "done\n");
        let stacks = |options: &[&str]| {
            let arguments = [&["convert", "p.json", "--format", "folded", "-o", "-"], options].concat();
            let folded = printed(folder.path(), &arguments);
            let stacks = folded.lines().map(|line| {
                let (frames, time) = line.rsplit_once(' ').expect("frames and a time");
                let time = time.parse().expect("a number");
                Stack { frames: frames.split(';').map(str::to_owned).collect(), time }
            });
            stacks.collect()
        };
        let (whole, scripts) = (stacks(&["--native"]), stacks(&["--no-native"]));
        Self { folder, whole, scripts }
    }
}

/// The time of these stacks.
pub fn time<'s>(stacks: impl IntoIterator<Item = &'s Stack>) -> f64 {
    stacks.into_iter().map(|stack| stack.time).sum()
}

/// The time of stacks that have a function.
pub fn time_of(stacks: &[Stack], function: &str) -> f64 {
    time(stacks.iter().filter(|stack| stack.has(function)))
}

/// The rows of a report.
pub fn rows(report: &Value) -> &[Value] {
    report["rows"].as_array().expect("rows")
}

pub fn names(report: &Value) -> HashSet<&str> {
    rows(report).iter().map(|row| row["name"].as_str().expect("a name")).collect()
}

pub fn milliseconds(row: &Value, what: &str) -> f64 {
    row[what].as_f64().unwrap_or_else(|| panic!("no {what} in {row}"))
}

/// How many times as long as `single` the function `triple` took, by a report by script. Its figures have to be those of the stacks.
pub fn triple_to_single(recording: &Recording, report: &Value) -> f64 {
    let [single, triple] = ["single", "triple"].map(|function| {
        let row = rows(report).iter().find(|row| row["name"] == function).expect("a row");
        let total = milliseconds(row, "total_ms");
        for stacks in [&recording.whole, &recording.scripts] {
            let (found, rounding) = (time_of(stacks, function) / 1000.0, stacks.len() as f64 / 1000.0);
            assert!((found - total).abs() <= rounding, "{function}: {found} and {total}");
        }
        // They call no other function, and what else the machine did is not theirs.
        let own = milliseconds(row, "self_ms") + milliseconds(row, "boundary_ms");
        assert!((own - total).abs() < 0.001, "{row}");
        total - milliseconds(row, "preempted_ms")
    });
    triple / single
}

/// Asserts that the rows of a report by script have all time that was recorded.
pub fn assert_all_time_is_somewhere(report: &Value) {
    let recorded = milliseconds(report, "wall_ms");
    let rows = rows(report).iter().map(|row| milliseconds(row, "self_ms") + milliseconds(row, "boundary_ms"));
    // No row has the profiler's own work.
    let rows = rows.sum::<f64>() + milliseconds(report, "profiler_ms");
    assert!((rows - recorded).abs() < 0.001, "{rows} of {recorded}");
}
