//! Which module may use which: the layers of design.md, held by reading what the sources name.
//!
//! What is looked at is `crate::module` and as many `super::` as lead to the root, wherever they stand; not comments. Code for tests
//! (`#[cfg(test)]`, and files of modules that are declared so) may use all: who writes is tested by what reads, and the other
//! way round.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What every module of the library may use: types and helpers that know of no stage. Among themselves as well.
const BASICS: &[&str] = &["address", "agreed", "error", "lock", "nanos"];

/// A module, or a file of one for which another rule holds, and which modules it may use.
type Row = (&'static str, &'static [&'static str]);

/// The library, from bottom to top: a row names rows before it only.
const LIBRARY: &[Row] = &[
    // Bytes of guests, and nothing else.
    ("interpreters", &[]),
    ("component", &["interpreters"]),
    ("debug_info", &["component"]),
    ("symbols", &["component", "debug_info"]),
    ("samples", &["interpreters"]),
    ("code", &["interpreters", "component", "symbols", "samples"]),
    // Numbers, and no names.
    ("sampler", &["interpreters", "code", "samples"]),
    // Of symbols, which kinds of functions there are.
    ("tracing", &["code", "symbols", "samples", "sampler"]),
    ("profile", &["interpreters", "component", "debug_info", "symbols", "code", "samples"]),
    ("firefox_format", &["profile"]),
    ("export", &["component", "symbols", "samples", "profile", "firefox_format"]),
    ("import", &["symbols", "samples", "profile", "firefox_format"]),
    ("external_profilers", &["component", "debug_info", "symbols", "export"]),
    ("guest_profiler", &["component", "symbols", "samples", "code", "sampler", "profile", "export"]),
    // The only one that is above those who record and those who name.
    (
        "recording",
        &["interpreters", "component", "debug_info", "symbols", "code", "samples", "sampler", "tracing", "profile"],
    ),
    ("recording/scrape", &["samples", "profile", "export", "recording"]),
    ("recording/metrics", &["samples", "profile", "export", "recording"]),
];

/// The program, in the same way. It uses the library by its name, as anybody does.
const PROGRAM: &[Row] = &[
    ("terminal", &[]),
    ("files", &["terminal"]),
    ("host", &["terminal", "files"]),
    ("cli", &["terminal", "files", "host"]),
];

#[test]
fn no_module_uses_one_that_is_not_below_it() {
    let mut wrong = Vec::new();
    for (root, rows, basics) in [("src/lib.rs", LIBRARY, BASICS), ("src/main.rs", PROGRAM, &[])] {
        let declared = modules_of(root);
        check_table(root, rows, basics, &declared);
        for file in declared.iter().flat_map(|module| files_of(module)) {
            let (module, path) = (&*file.module, file.path.display());
            let (name, allowed) = row_of(rows, module).unwrap_or((module, &[]));
            let own = name.split('/').next().unwrap_or(name);
            for used in file.uses.iter().map(String::as_str) {
                if used == own || basics.contains(&used) || allowed.contains(&used) {
                    continue;
                }
                if declared.contains(used) {
                    wrong.push(format!("{path} uses `{used}`, which is not below `{name}`"));
                } else {
                    wrong.push(format!("{path} uses `crate::{used}`: name the module that has it"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A table has a row for each module, and each row is about what is there, and names rows before it only.
fn check_table(root: &str, rows: &[Row], basics: &[&str], declared: &BTreeSet<String>) {
    for module in declared {
        let has_row = rows.iter().any(|(name, _)| name == module);
        assert!(has_row != basics.contains(&module.as_str()), "`{module}` of {root} needs a row, and one only");
    }
    for (at, (name, allowed)) in rows.iter().enumerate() {
        let is_there = declared.contains(*name) || Path::new("src").join(name).with_extension("rs").is_file();
        assert!(is_there, "there is no `{name}`");
        for used in *allowed {
            assert!(rows[..at].iter().any(|(below, _)| below == used), "`{used}` is not below `{name}` in the table");
        }
    }
}

/// The rule for a file: that of the longest row that is its beginning.
fn row_of(rows: &'static [Row], module: &str) -> Option<Row> {
    let is_in = |name: &str| module.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    rows.iter().filter(|(name, _)| is_in(name)).max_by_key(|(name, _)| name.len()).copied()
}

/// A file, and which modules of the root it names.
struct SourceFile {
    path: PathBuf,
    /// `recording/scrape`.
    module: String,
    uses: BTreeSet<String>,
}

/// The modules that a root declares, but those for tests.
fn modules_of(root: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root).unwrap_or_else(|error| panic!("{root}: {error}"));
    let (text, _) = without_tests(&text);
    text.lines().filter_map(|line| declared_module(line.trim())).map(str::to_owned).collect()
}

/// All files of a module, but those for tests.
fn files_of(module: &str) -> Vec<SourceFile> {
    let file = Path::new("src").join(module).with_extension("rs");
    let mut paths = if file.is_file() { vec![file] } else { Vec::new() };
    let mut folders = vec![Path::new("src").join(module)];
    let mut for_tests = Vec::new();
    while let Some(folder) = folders.pop().filter(|folder| folder.is_dir()) {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                None => folders.push(path),
                Some(_) => paths.push(path),
            }
        }
    }
    assert!(!paths.is_empty(), "`{module}` has no sources");
    let mut files = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source is text");
        let (text, modules) = without_tests(&text);
        let folder = path.parent().expect("a folder");
        for_tests.extend(modules.into_iter().map(|module| folder.join(module).with_extension("rs")));
        let module = path.strip_prefix("src").expect("below it").with_extension("");
        let module = module.to_str().expect("UTF-8").trim_end_matches("/mod").to_owned();
        let uses = uses(&text, module.split('/').count());
        files.push(SourceFile { path, module, uses });
    }
    files.retain(|file| !for_tests.contains(&file.path));
    files
}

/// `mod name;`, whoever may see it.
fn declared_module(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
    line.strip_prefix("mod ")
}

/// The code without comments and without what is for tests, and the names of modules whose files are for tests. An item ends where
/// rustfmt ends it: at a line that is indented as its first, and closes it.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut kept, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if !["#[cfg(test)]", "#[cfg(all(test"].iter().any(|start| line.trim_start().starts_with(start)) {
            kept.extend([line, "\n"]);
            continue;
        }
        for line in lines.by_ref() {
            let (before, rest) = line.split_at_checked(indent).unwrap_or_default();
            modules.extend(declared_module(rest).map(str::to_owned));
            let is_item = before.trim().is_empty() && !rest.starts_with([' ', '#']);
            if is_item && rest.ends_with(['}', ';', ',']) {
                break;
            }
        }
    }
    (kept, modules)
}

/// The first names after `crate::`, and after as many `super::` as lead to the root from so deep a module.
fn uses(text: &str, depth: usize) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let is_whole = !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        if is_whole {
            used.extend(first_names(&text[at + "crate::".len()..]));
        }
    }
    let up = "super::".repeat(depth);
    for (at, _) in text.match_indices(&up) {
        let rest = &text[at + up.len()..];
        // Deeper modules of the same file have more of them than this, and may mean what is in the file.
        if !text[..at].ends_with("::") && !rest.starts_with("super::") {
            used.extend(first_names(rest));
        }
    }
    used
}

/// The name that `path` begins with; of a group in braces, those of each of its parts.
fn first_names(path: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        path.trim_start().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn what_is_used_is_found_wherever_it_stands() {
    let text = "\
use crate::one::{A, b};
use crate::{
    two::{self, c::D},
    three, four::E,
};
// crate::comment
pub(in crate::five) fn f() { crate::six::g(super::super::seven::h(), super::near()); } // crate::comment

#[cfg(test)]
mod tests {
    use crate::tested::K;

    fn t() {
        crate::tested::l();
    }
}

#[cfg(test)]
pub(crate) mod made_up;
mod real;
";
    let (code, for_tests) = without_tests(text);
    assert_eq!(for_tests, ["made_up"]);
    let used = uses(&code, 2);
    assert_eq!(
        used.iter().map(String::as_str).collect::<Vec<_>>(),
        ["five", "four", "one", "seven", "six", "three", "two"]
    );
    assert!(code.contains("mod real;"), "{code}");
    // From a file of a module at the root, one is enough.
    assert!(uses("use super::lock::lock;", 1).contains("lock"));
}

#[test]
fn a_file_may_have_a_rule_of_its_own() {
    assert_eq!(row_of(LIBRARY, "recording/scrape").map(|row| row.0), Some("recording/scrape"));
    assert_eq!(row_of(LIBRARY, "recording/scraper").map(|row| row.0), Some("recording"));
    assert_eq!(row_of(LIBRARY, "sampler/signal/walk").map(|row| row.0), Some("sampler"));
    assert!(row_of(LIBRARY, "lock").is_none());
}
