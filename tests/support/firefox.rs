//! What the Firefox Profiler's front-end needs of a file of format version 55, checked index by index.
//!
//! The front-end itself opens many broken files without a word and shows wrong data, so opening one proves nothing.
//! The rules are those of its `processed-profile-versioning` and `types/profile`, and of what was seen to break it.

use std::collections::HashSet;

use serde_json::Value;

/// Checks a whole document, and returns the milliseconds that its samples stand for. They are there twice, the second
/// time by interface.
pub fn validate(document: &Value) -> f64 {
    let meta = &document["meta"];
    assert_eq!(meta["preprocessedProfileVersion"], 55);
    assert_eq!(meta["symbolicated"], true, "else the front-end looks for a symbol server");
    assert_eq!(meta["symbolicationNotSupported"], true);
    assert!(meta["markerSchema"].is_array());
    assert_eq!(meta["profilingStartTime"], 0, "else time begins at the first sample");
    assert!(meta["profilingEndTime"].as_f64().expect("profilingEndTime") >= 0.0);
    assert!(meta["interval"].as_f64().expect("interval") > 0.0);
    assert!(meta["startTime"].as_f64().expect("startTime") > 0.0);
    let categories = array(&meta["categories"]);
    let colors: HashSet<&str> = categories.iter().map(|category| text(&category["color"])).collect();
    assert!(colors.contains("grey"), "one category has to be grey: {colors:?}");
    let known = [
        "transparent",
        "purple",
        "green",
        "orange",
        "yellow",
        "lightblue",
        "blue",
        "brown",
        "magenta",
        "red",
        "lightred",
        "darkgrey",
        "grey",
        "lightgreen",
    ];
    assert!(colors.iter().all(|color| known.contains(color)), "{colors:?}");
    let libraries = array(&document["libs"]).len();
    let threads = array(&document["threads"]);
    assert!(!threads.is_empty(), "a file without threads does not open");
    let mut sums = [0.0, 0.0];
    for thread in threads {
        let is_by_interface = text(&thread["pid"]) == text(&meta["witprof"]["interfaces_pid"]);
        sums[usize::from(is_by_interface)] += self::thread(thread, categories, libraries);
    }
    assert!((sums[0] - sums[1]).abs() < 1e-6 * sums[0] + 1e-6, "{sums:?}");
    sums[0]
}

fn thread(thread: &Value, categories: &[Value], libraries: usize) -> f64 {
    let strings = array(&thread["stringArray"]).len();
    assert!(array(&thread["stringArray"]).iter().all(Value::is_string));

    let resources = table(&thread["resourceTable"], &["lib", "name", "host", "type"]);
    indices(&thread["resourceTable"]["lib"], libraries);
    indices(&thread["resourceTable"]["name"], strings);

    let functions =
        table(&thread["funcTable"], &["name", "isJS", "relevantForJS", "resource", "fileName", "lineNumber"]);
    indices(&thread["funcTable"]["name"], strings);
    indices(&thread["funcTable"]["fileName"], strings);
    for resource in array(&thread["funcTable"]["resource"]) {
        let resource = resource.as_i64().expect("a resource index");
        assert!(resource == -1 || usize::try_from(resource).is_ok_and(|resource| resource < resources));
    }

    let symbols = table(&thread["nativeSymbols"], &["libIndex", "address", "name", "functionSize"]);
    indices(&thread["nativeSymbols"]["libIndex"], libraries);
    indices(&thread["nativeSymbols"]["name"], strings);

    let columns = [
        "address",
        "inlineDepth",
        "category",
        "subcategory",
        "func",
        "nativeSymbol",
        "line",
        "column",
        "innerWindowID",
    ];
    let frames = table(&thread["frameTable"], &columns);
    indices(&thread["frameTable"]["func"], functions);
    indices(&thread["frameTable"]["nativeSymbol"], symbols);
    indices(&thread["frameTable"]["category"], categories.len());
    lines(thread);
    let category_and_subcategory =
        array(&thread["frameTable"]["category"]).iter().zip(array(&thread["frameTable"]["subcategory"]));
    for (category, subcategory) in category_and_subcategory {
        let (Some(category), Some(subcategory)) = (category.as_u64(), subcategory.as_u64()) else {
            panic!("a frame has a category but no subcategory");
        };
        let known = array(&categories[usize::try_from(category).expect("small")]["subcategories"]).len();
        assert!(usize::try_from(subcategory).is_ok_and(|subcategory| subcategory < known));
    }

    let stacks = table(&thread["stackTable"], &["prefix", "frame"]);
    indices(&thread["stackTable"]["frame"], frames);
    for (index, prefix) in array(&thread["stackTable"]["prefix"]).iter().enumerate() {
        let before = prefix.as_u64().is_none_or(|prefix| usize::try_from(prefix).is_ok_and(|prefix| prefix < index));
        assert!(before, "stack {index} comes before its caller {prefix}");
    }

    let samples = table(&thread["samples"], &["stack", "weight", "threadCPUDelta"]);
    indices(&thread["samples"]["stack"], stacks);
    assert!(
        array(&thread["samples"]["threadCPUDelta"])
            .iter()
            .all(|delta| delta.as_f64().is_some_and(|delta| delta >= 0.0))
    );
    let times = array(thread["samples"].get("timeDeltas").or(thread["samples"].get("time")).expect("sample times"));
    assert_eq!(times.len(), samples);
    if thread["samples"].get("timeDeltas").is_some() {
        assert!(times.iter().all(|delta| delta.as_f64().is_some_and(|delta| delta >= 0.0)), "time goes backwards");
    } else {
        assert!(times.iter().map(|time| time.as_f64().expect("a time")).is_sorted(), "time goes backwards");
    }
    table(&thread["markers"], &["name", "startTime", "endTime", "phase", "category", "data"]);
    assert_eq!(thread["samples"]["weightType"], "tracing-ms", "samples are not evenly spaced");
    array(&thread["samples"]["weight"])
        .iter()
        .map(|weight| weight.as_f64().filter(|weight| *weight >= 0.0).expect("a weight"))
        .sum()
}

/// Lines are those of files, and what is inlined has the address and the symbol of what is around it.
fn lines(thread: &Value) {
    let column = |table: &'static str, name: &'static str| array(&thread[table][name]);
    let at =
        |table, name, row: &Value| &column(table, name)[usize::try_from(row.as_u64().expect("a row")).expect("small")];
    for (row, line) in column("frameTable", "line").iter().enumerate() {
        assert!(line.is_null() || line.as_u64().is_some_and(|line| line > 0), "line {line}");
        let column_of_line = &column("frameTable", "column")[row];
        assert!(column_of_line.is_null() || !line.is_null(), "a column without a line");
        if !line.is_null() {
            let file = at("funcTable", "fileName", &column("frameTable", "func")[row]);
            assert!(file.is_u64(), "line {line} of no file");
        }
    }
    for (frame, caller) in column("stackTable", "frame").iter().zip(column("stackTable", "prefix")) {
        let of = |name, frame| at("frameTable", name, frame);
        let depth = of("inlineDepth", frame).as_u64().expect("a depth");
        if depth > 0 && !caller.is_null() {
            let caller = at("stackTable", "frame", caller);
            for name in ["address", "nativeSymbol"] {
                assert_eq!(of(name, frame), of(name, caller), "{name} of what is inlined");
            }
            assert!(of("inlineDepth", caller).as_u64().is_some_and(|outer| outer < depth));
        }
    }
}

/// A table has the columns, and all of them have as many rows as it says.
fn table(table: &Value, columns: &[&str]) -> usize {
    let length =
        usize::try_from(table["length"].as_u64().unwrap_or_else(|| panic!("a table without length: {table:.80}")))
            .expect("small");
    for column in columns {
        let rows = table.get(column).unwrap_or_else(|| panic!("column `{column}` is missing"));
        // A column may be one value for all rows only where the front-end takes null for it.
        if !rows.is_null() {
            assert_eq!(array(rows).len(), length, "column `{column}`");
        }
    }
    length
}

/// Every index of a column is null or below `length`.
fn indices(column: &Value, length: usize) {
    for index in array(column) {
        let valid = index.is_null()
            || index.as_i64() == Some(-1)
            || index.as_u64().is_some_and(|index| usize::try_from(index).is_ok_and(|index| index < length));
        assert!(valid, "index {index} is out of range, there are {length}");
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value:.80}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
