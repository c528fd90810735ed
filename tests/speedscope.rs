//! The speedscope output, opened in the real speedscope.
//!
//! Needs Chromium and speedscope; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use witprof::{Dimension, Profile, read_firefox};

use self::support::chromium::{chromium, unescape};

/// Runs witprof, and returns what it printed.
fn witprof(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    let output = command.current_dir(folder).args(arguments).output().expect("running witprof");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn profile(folder: &Path, name: &str) -> Profile {
    read_firefox(&mut support::read(&folder.join(name)).as_slice()).expect("a profile")
}

/// What speedscope shows of a file.
#[derive(Debug)]
struct Shown {
    title: String,
    /// Total and own time as they are written, and the name, in the order of the table.
    rows: Vec<[String; 3]>,
}

impl Shown {
    /// The shares of the row with this name, in percent: total, and own.
    fn shares(&self, name: &str) -> [f64; 2] {
        let row = self.rows.iter().find(|row| row[2] == name).unwrap_or_else(|| panic!("no {name} in {self:#?}"));
        let share = |text: &str| {
            let (_, share) = text.split_once('(').expect("a share behind the time");
            share.trim_end_matches([')', '%']).parse().expect("a number")
        };
        [share(&row[0]), share(&row[1])]
    }
}

/// The page of the installed speedscope.
fn page() -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("speedscope"));
    let program = programs.find(|program| program.exists()).expect("speedscope");
    // A link into the package: `bin/cli.mjs`, beside `dist`.
    let program = program.canonicalize().expect("a program");
    program.parent().and_then(Path::parent).expect("the package").join("dist/release/index.html")
}

/// Opens a file in the way in which the `speedscope` command does, and reads the table of functions.
fn open(folder: &Path, name: &str) -> Shown {
    let script = folder.join(format!("{name}.js"));
    // For fear of quotation marks, bytes as numbers.
    let bytes = serde_json::to_string(&support::read(&folder.join(name))).expect("JSON");
    let text = format!("new Uint8Array({bytes}).reduce((text, byte) => text + String.fromCharCode(byte), '')");
    std::fs::write(&script, format!("speedscope.loadFileFromBase64('{name}', btoa({text}))"))
        .expect("writing a script");
    let address = format!("file://{}#localProfilePath={}&view=sandwich", page().display(), script.display());
    // Of the table, only what fits into the window is there.
    let output = chromium(&address, folder, 30_000, &["--dump-dom", "--window-size=1200,4000"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("Importing as speedscope json file") && !log.contains(":ERROR:CONSOLE"), "{name}: {log}");
    let dom = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, title) = dom.split_once("<title>").expect("a title");
    let (_, table) = dom.split_once("Symbol Name").unwrap_or_else(|| panic!("no table of {name}: {dom}"));
    let mut texts = table.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text.trim());
    let mut texts = texts.by_ref().filter(|text| !text.is_empty()).map(unescape);
    let rows = std::iter::from_fn(|| Some([texts.next()?, texts.next()?, texts.next()?])).collect();
    Shown { title: unescape(title.split('<').next().unwrap_or_default()), rows }
}

/// Fails unless speedscope shows the functions of a profile as a report does.
fn assert_rows(shown: &Shown, profile: &Profile, name: &str, row: &str) {
    let report = profile.report(Dimension::Function).rows;
    let row = report.iter().find(|found| found.name == row).unwrap_or_else(|| panic!("no row {row}"));
    let whole = profile.wall_time().as_secs_f64();
    let expected = [row.total, row.own].map(|time| 100.0 * time.as_secs_f64() / whole);
    let shares = shown.shares(name);
    // Whole percents.
    assert!(
        shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 0.6),
        "{expected:?}: {shown:#?}"
    );
}

#[test]
fn speedscope_shows_functions_and_interfaces() {
    if !support::programs::can_run(&["chromium", "speedscope"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kitchen = support::kitchen();
    let outputs = ["-o", "k.json", "-o", "k.speedscope.json", "-o", "k.speedscope.json.gz"];
    let run = ["run", "--quiet", "--interval", "500us"];
    witprof(folder.path(), &[&run[..], &outputs, &[kitchen.to_str().expect("UTF-8")]].concat());
    let profile = profile(folder.path(), "k.json");
    for file in ["k.speedscope.json", "k.speedscope.json.gz"] {
        let shown = open(folder.path(), file);
        assert_eq!(shown.title, "kitchen - speedscope");
        assert_rows(&shown, &profile, "app::count_primes", "app::count_primes");
        assert_rows(&shown, &profile, "provider::checksum", "provider::checksum");
        let names: Vec<&str> = shown.rows.iter().map(|row| row[2].as_str()).collect();
        assert!(names.contains(&"run [wasi:cli/run@0.2.0 (export)]"), "{names:?}");
        assert!(!names.contains(&"witprof::cli::run::run"), "{names:?}");
    }
    witprof(folder.path(), &["convert", "k.json", "--host-frames", "all", "-o", "a.speedscope.json"]);
    let file: Value = serde_json::from_slice(&support::read(&folder.path().join("a.speedscope.json"))).expect("JSON");
    let names = file["shared"]["frames"].as_array().expect("frames").iter().map(|frame| frame["name"].as_str());
    let names: Vec<&str> = names.map(|name| name.expect("a name")).collect();
    assert!(names.contains(&"witprof::cli::run::run"), "{names:?}");
    // Both components and the host have functions of the same name, such as their allocators'.
    let different: HashSet<&str> = names.iter().copied().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    // What was written before comes again, and on stdout as well.
    let file = support::read(&folder.path().join("k.speedscope.json"));
    assert_eq!(witprof(folder.path(), &["convert", "k.json", "-o", "-", "--format", "speedscope"]), file);
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    let frames = file["shared"]["frames"].as_array().expect("frames");
    let frame = frames.iter().find(|frame| frame["name"] == "app::count_primes").expect("a frame");
    assert!(frame["file"].as_str().is_some_and(|file| file.starts_with("app/app")), "{frame}");

    witprof(folder.path(), &["convert", "k.json", "--by", "interface", "-o", "i.speedscope.json"]);
    let shown = open(folder.path(), "i.speedscope.json");
    let [total, own] = shown.shares("describe [demo:math/ops@0.1.0 (internal)]");
    assert!(own <= total && total > 1.0, "{shown:#?}");
    assert!(shown.rows.iter().any(|row| row[2] == "(boundary)"), "{shown:#?}");
}

#[test]
fn speedscope_shows_lines() {
    if !support::programs::can_run(&["chromium", "speedscope"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = support::root().join("tests/guests/hot-c.wasm");
    let guest = guest.to_str().expect("UTF-8");
    witprof(folder.path(), &["run", "--quiet", "--invoke", "spin(20)", "-o", "h.json", guest]);
    witprof(folder.path(), &["convert", "h.json", "--by", "line", "-o", "h.speedscope.json"]);
    let [_, own] = open(folder.path(), "h.speedscope.json").shares("mix (hot-c-mix.h:8)");
    assert!(own > 50.0, "{own}");
    let file: Value = serde_json::from_slice(&support::read(&folder.path().join("h.speedscope.json"))).expect("JSON");
    let frames = file["shared"]["frames"].as_array().expect("frames");
    let frame = frames.iter().find(|frame| frame["name"] == "mix (hot-c-mix.h:8)").expect("a frame");
    assert_eq!((&frame["file"], &frame["line"]), (&"hot-c-mix.h".into(), &8.into()));
}
