//! What the front-end makes of a file of version 55: later versions, for tests. `tests/firefox_versions.rs` has files that the
//! front-end's own upgraders made.

use serde_json::{Value, json};

use super::versions::NEWEST;

/// All versions that a file of version 55 is upgraded to.
pub(super) const VERSIONS: std::ops::RangeInclusive<u32> = 55..=NEWEST;

/// The same file in a later version.
pub(super) fn upgraded(file: &[u8], version: u32) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(file).expect("JSON");
    file["meta"]["preprocessedProfileVersion"] = version.into();
    for step in 56..=version {
        match step {
            56 => share_strings(&mut file),
            58 => move_sources(&mut file),
            60 => share_tables(&mut file),
            66 => offset_callers(&mut file),
            70 => move_libraries(&mut file),
            _ => {}
        }
    }
    serde_json::to_vec(&file).expect("JSON")
}

fn threads(file: &mut Value) -> &mut Vec<Value> {
    file["threads"].as_array_mut().expect("threads")
}

fn column(column: &mut Value) -> &mut Vec<Value> {
    column.as_array_mut().expect("a column")
}

/// Adds `by` to what is an index.
fn move_indices(indices: &mut Value, by: usize) {
    for index in column(indices) {
        if let Some(at) = index.as_u64() {
            *index = (at + by as u64).into();
        }
    }
}

fn share_strings(file: &mut Value) {
    let mut strings = Vec::new();
    for thread in threads(file) {
        let own = thread.as_object_mut().expect("a thread").remove("stringArray").expect("strings");
        move_indices(&mut thread["funcTable"]["name"], strings.len());
        move_indices(&mut thread["funcTable"]["fileName"], strings.len());
        strings.extend(own.as_array().expect("strings").iter().cloned());
    }
    file["shared"] = json!({ "stringArray": strings });
}

fn move_sources(file: &mut Value) {
    let mut files = Vec::new();
    for thread in threads(file) {
        let functions = thread["funcTable"].as_object_mut().expect("functions");
        let mut names = functions.remove("fileName").expect("files");
        for name in column(&mut names).iter_mut().filter(|name| !name.is_null()) {
            files.push(name.clone());
            *name = (files.len() - 1).into();
        }
        functions.insert("source".to_owned(), names);
    }
    file["shared"]["sources"] = json!({ "length": files.len(), "filename": files });
}

/// Puts the rows of the threads' tables behind each other.
fn share_tables(file: &mut Value) {
    let tables = ["stackTable", "frameTable", "funcTable", "resourceTable", "nativeSymbols"];
    let mut shared: Vec<Option<Value>> = vec![None; tables.len()];
    for thread in threads(file) {
        let lengths: Vec<usize> = shared
            .iter()
            .map(|table| table.as_ref().map_or(0, |table| table["length"].as_u64().expect("a length") as usize))
            .collect();
        let [stacks, frames, functions, resources, symbols] = lengths[..] else { panic!("five tables") };
        for (table, indices, by) in [
            ("samples", "stack", stacks),
            ("stackTable", "prefix", stacks),
            ("stackTable", "frame", frames),
            ("frameTable", "func", functions),
            ("frameTable", "nativeSymbol", symbols),
            ("funcTable", "resource", resources),
        ] {
            move_indices(&mut thread[table][indices], by);
        }
        for (table, shared) in tables.iter().zip(&mut shared) {
            let own = thread.as_object_mut().expect("a thread").remove(*table).expect("a table");
            let Some(shared) = shared else {
                *shared = Some(own);
                continue;
            };
            for (name, rows) in own.as_object().expect("a table") {
                match rows {
                    Value::Array(rows) => column(&mut shared[name]).extend(rows.iter().cloned()),
                    more => {
                        shared[name] =
                            (shared[name].as_u64().expect("a length") + more.as_u64().expect("a length")).into()
                    }
                }
            }
        }
    }
    for (table, shared) in tables.iter().zip(shared) {
        file["shared"][table] = shared.expect("a thread");
    }
}

fn offset_callers(file: &mut Value) {
    let stacks = file["shared"]["stackTable"].as_object_mut().expect("stacks");
    let mut callers = stacks.remove("prefix").expect("callers");
    for (row, caller) in column(&mut callers).iter_mut().enumerate() {
        *caller = caller.as_u64().map_or(0, |caller| row as u64 - caller).into();
    }
    stacks.insert("prefixOffset".to_owned(), callers);
}

fn move_libraries(file: &mut Value) {
    let shared = &mut file["shared"];
    let libraries = shared["resourceTable"].as_object_mut().expect("resources").remove("lib").expect("libraries");
    let at = |rows: &Value, row: &Value| {
        row.as_u64().and_then(|row| rows.get(usize::try_from(row).ok()?)).cloned().unwrap_or(Value::Null)
    };
    let of_frame = |function: &Value| {
        let library = at(&libraries, &at(&shared["funcTable"]["resource"], function));
        if library.is_null() { (-1).into() } else { library }
    };
    let of_frames: Vec<Value> =
        shared["frameTable"]["func"].as_array().expect("functions").iter().map(of_frame).collect();
    shared["frameTable"]["lib"] = of_frames.into();
}
