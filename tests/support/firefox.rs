//! What the Firefox Profiler's front-end needs of a file of format version 70, checked index by index.
//!
//! The front-end itself opens many broken files without a word and shows wrong data, so opening one proves nothing.
//! The rules are those of its `processed-profile-versioning` and `types/profile`, and of what was seen to break it.

use std::collections::HashSet;

use serde_json::Value;

/// Checks a whole document, and returns the milliseconds that its samples stand for. They are there more than once: with
/// functions, by interface, and perhaps with complete stacks.
pub fn validate(document: &Value) -> f64 {
    let meta = &document["meta"];
    assert_eq!(meta["preprocessedProfileVersion"], 70);
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
    let shared = &document["shared"];
    let stacks = self::shared(shared, categories, libraries);
    let strings = array(&shared["stringArray"]).len();
    let threads = array(&document["threads"]);
    assert!(!threads.is_empty(), "a file without threads does not open");
    let recorded = array(&meta["witprof"]["threads"]).len().max(1);
    let mut sums = vec![0.0; threads.len() / recorded];
    let mut numbers = HashSet::new();
    for thread in threads {
        // Any other is shown.
        assert_eq!(thread["pid"], "0");
        assert!(numbers.insert(text(&thread["tid"])), "a number twice");
        let number: usize = text(&thread["tid"]).parse().expect("a number");
        sums[(number - 1) / recorded] += self::thread(thread, stacks, categories.len());
        markers(&thread["markers"], meta, strings, stacks);
    }
    assert!(sums.len() == 2 || sums.len() == 3, "{sums:?}");
    assert!(sums.iter().all(|sum| (sums[0] - sum).abs() < 1e-6 * sums[0] + 1e-6), "{sums:?}");
    assert_eq!(threads.iter().filter(|thread| thread["isMainThread"] == true).count(), 1, "one for each process");
    for list in ["initialVisibleThreads", "initialSelectedThreads"] {
        assert!(!array(&meta[list]).is_empty(), "{list}");
        indices(&meta[list], threads.len());
    }
    array(&document["counters"]).iter().for_each(|counter| self::counter(counter, meta));
    sums[0]
}

/// Checks the tables that threads share, and returns how many stacks there are.
fn shared(shared: &Value, categories: &[Value], libraries: usize) -> usize {
    let strings = array(&shared["stringArray"]).len();
    assert!(array(&shared["stringArray"]).iter().all(Value::is_string));

    let resources = table(&shared["resourceTable"], &["name", "host", "type"]);
    indices(&shared["resourceTable"]["name"], strings);

    let columns = ["id", "filename", "startLine", "startColumn", "sourceMapURL", "content"];
    let sources = table(&shared["sources"], &columns);
    indices(&shared["sources"]["filename"], strings);
    table(&shared["sourceLocationTable"], &["source", "line", "column"]);

    let columns =
        ["name", "isJS", "relevantForJS", "resource", "source", "lineNumber", "columnNumber", "originalLocation"];
    let functions = table(&shared["funcTable"], &columns);
    indices(&shared["funcTable"]["name"], strings);
    indices(&shared["funcTable"]["source"], sources);
    indices(&shared["funcTable"]["resource"], resources);

    let symbols = table(&shared["nativeSymbols"], &["libIndex", "address", "name", "functionSize"]);
    indices(&shared["nativeSymbols"]["libIndex"], libraries);
    indices(&shared["nativeSymbols"]["name"], strings);

    let columns = [
        "address",
        "lib",
        "inlineDepth",
        "category",
        "subcategory",
        "func",
        "nativeSymbol",
        "line",
        "column",
        "innerWindowID",
        "originalLocation",
    ];
    let frames = table(&shared["frameTable"], &columns);
    indices(&shared["frameTable"]["func"], functions);
    indices(&shared["frameTable"]["lib"], libraries);
    indices(&shared["frameTable"]["nativeSymbol"], symbols);
    indices(&shared["frameTable"]["category"], categories.len());
    for missing in ["address", "lib"] {
        assert!(array(&shared["frameTable"][missing]).iter().all(Value::is_i64), "`{missing}` is -1 rather than null");
    }
    let category_and_subcategory =
        array(&shared["frameTable"]["category"]).iter().zip(array(&shared["frameTable"]["subcategory"]));
    for (category, subcategory) in category_and_subcategory {
        let (Some(category), Some(subcategory)) = (category.as_u64(), subcategory.as_u64()) else {
            panic!("a frame has a category but no subcategory");
        };
        let known = array(&categories[usize::try_from(category).expect("small")]["subcategories"]).len();
        assert!(usize::try_from(subcategory).is_ok_and(|subcategory| subcategory < known));
    }

    let stacks = table(&shared["stackTable"], &["prefixOffset", "frame"]);
    indices(&shared["stackTable"]["frame"], frames);
    for (index, offset) in array(&shared["stackTable"]["prefixOffset"]).iter().enumerate() {
        let is_before =
            offset.as_u64().is_some_and(|offset| usize::try_from(offset).is_ok_and(|offset| offset <= index));
        assert!(is_before, "stack {index} has a caller {offset} rows before it");
    }
    lines(shared);
    stacks
}

fn thread(thread: &Value, stacks: usize, categories: usize) -> f64 {
    let samples = table(&thread["samples"], &["stack", "timeDeltas", "weight", "threadCPUDelta"]);
    indices(&thread["samples"]["stack"], stacks);
    for column in ["threadCPUDelta", "timeDeltas"] {
        let values = array(&thread["samples"][column]);
        assert_eq!(values.len(), samples);
        assert!(values.iter().all(|delta| delta.as_f64().is_some_and(|delta| delta >= 0.0)), "{column} is negative");
    }
    indices(&thread["markers"]["category"], categories);
    assert_eq!(thread["samples"]["weightType"], "tracing-ms", "samples are not evenly spaced");
    array(&thread["samples"]["weight"])
        .iter()
        .map(|weight| weight.as_f64().filter(|weight| *weight >= 0.0).expect("a weight"))
        .sum()
}

/// Markers have the fields that their types say.
fn markers(markers: &Value, meta: &Value, strings: usize, stacks: usize) {
    table(markers, &["name", "startTime", "endTime", "phase", "category", "data"]);
    indices(&markers["name"], strings);
    let mut begun = HashSet::new();
    for data in array(&markers["data"]) {
        let kind = text(&data["type"]);
        if kind == "Network" {
            // The front-end knows these itself. One without a beginning would be drawn from the beginning of time on.
            let is_new = begun.insert(data["id"].as_u64().expect("a number"));
            assert_eq!(is_new, data["status"] == "STATUS_START", "{data}");
            continue;
        }
        let schema = array(&meta["markerSchema"]).iter().find(|schema| schema["name"] == kind);
        let fields = array(&schema.unwrap_or_else(|| panic!("no marker schema for {kind}"))["fields"]);
        for (key, value) in data.as_object().expect("an object") {
            if key == "cause" {
                assert!(value["stack"].as_u64().is_some_and(|stack| stack < stacks as u64), "{value}");
                continue;
            }
            let field = fields.iter().find(|field| field["key"] == *key);
            let Some(format) = field.map(|field| text(&field["format"])) else {
                assert_eq!(key, "type", "a field that is not in the schema of {kind}");
                continue;
            };
            let is_string = ["unique-string", "flow-id", "terminating-flow-id"].contains(&format);
            let is_valid = match value.as_u64() {
                Some(index) if is_string => index < strings as u64,
                _ => value.is_number() && !is_string,
            };
            assert!(is_valid, "{key} of {kind}: {value}");
        }
    }
}

/// Counters begin with nothing and last until the end.
fn counter(counter: &Value, meta: &Value) {
    let samples = &counter["samples"];
    table(samples, &["time", "count"]);
    let times: Vec<f64> = array(&samples["time"]).iter().map(|time| time.as_f64().expect("a time")).collect();
    assert!(times.is_sorted() && times[0] == 0.0, "{times:?}");
    assert_eq!(times.last().copied(), meta["profilingEndTime"].as_f64(), "nothing is drawn after the last");
    assert_eq!(samples["count"][0], 0, "the front-end takes the first for nothing");
    // What changes is steep: there is a sample right before it.
    for (row, change) in array(&samples["count"]).iter().enumerate().filter(|(_, change)| **change != 0) {
        assert!(times[row] == times[row - 1], "a slope of {change}");
    }
    assert!(!text(&counter["display"]["label"]).is_empty() && array(&counter["display"]["tooltipRows"]).len() > 1);
}

/// Lines are those of files, and what is inlined has the address and the symbol of what is around it.
fn lines(shared: &Value) {
    let column = |table: &'static str, name: &'static str| array(&shared[table][name]);
    let at =
        |table, name, row: &Value| &column(table, name)[usize::try_from(row.as_u64().expect("a row")).expect("small")];
    for (row, line) in column("frameTable", "line").iter().enumerate() {
        assert!(line.is_null() || line.as_u64().is_some_and(|line| line > 0), "line {line}");
        let column_of_line = &column("frameTable", "column")[row];
        assert!(column_of_line.is_null() || !line.is_null(), "a column without a line");
        if !line.is_null() {
            let source = at("funcTable", "source", &column("frameTable", "func")[row]);
            assert!(source.is_u64(), "line {line} of no file");
        }
    }
    for (row, frame) in column("stackTable", "frame").iter().enumerate() {
        let of = |name, frame| at("frameTable", name, frame);
        let depth = of("inlineDepth", frame).as_u64().expect("a depth");
        let offset = column("stackTable", "prefixOffset")[row].as_u64().expect("an offset");
        if depth > 0 && offset > 0 {
            let caller = &column("stackTable", "frame")[row - usize::try_from(offset).expect("small")];
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
