//! The documentation: the README stays short, links lead somewhere, and every option of the program is in the guide.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;

/// A page, without what is between fences: neither headings nor links are in code.
fn page(path: &Path) -> String {
    let text = String::from_utf8(support::read(path)).expect("UTF-8");
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn pages() -> Vec<PathBuf> {
    let root = support::root();
    let guide = std::fs::read_dir(root.join("docs")).expect("the guide").map(|entry| entry.expect("an entry").path());
    let guide = guide.filter(|path| path.extension().is_some_and(|end| end == "md"));
    [root.join("README.md"), root.join("design.md")].into_iter().chain(guide).collect()
}

/// The anchor that a heading gets: lower case, without punctuation, with hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// The targets of `[text](target)`.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn the_readme_is_short() {
    let readme = String::from_utf8(support::read(&support::root().join("README.md"))).expect("UTF-8");
    assert!(readme.lines().count() <= 150, "{} lines", readme.lines().count());
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for path in pages() {
        let text = page(&path);
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !fragment.is_empty() {
                assert!(anchors(&page(&target)).contains(fragment), "{}: {link} has no heading", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} links");
}

#[test]
fn every_page_of_the_guide_is_in_the_readme() {
    let root = support::root();
    let readme = page(&root.join("README.md"));
    let linked: BTreeSet<PathBuf> = links(&readme).map(|link| root.join(link)).collect();
    for path in pages().iter().filter(|path| path.starts_with(root.join("docs"))) {
        assert!(linked.contains(path), "nothing leads to {}", path.display());
    }
}

/// The long options that a command says it has.
fn options(command: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_witprof")).args([command, "--help"]).output();
    let help = String::from_utf8(output.expect("running witprof").stdout).expect("UTF-8");
    long_options(&help)
}

/// The long options at the beginning of lines of a help text.
fn long_options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(|line| {
        let line = line.trim_start();
        // `-o, --output <FILE>`
        line.split_once(", ")
            .filter(|(short, _)| short.len() == 2 && short.starts_with('-'))
            .map_or(line, |(_, long)| long)
    });
    let names = lines.filter_map(|line| line.strip_prefix("--"));
    let is_in_name = |char: char| char.is_ascii_alphanumeric() || char == '-';
    names.map(|rest| rest.split(|char| !is_in_name(char)).next().unwrap_or_default().to_owned()).collect()
}

/// The long options that the guide has in its tables, by page.
fn documented(name: &str) -> BTreeSet<String> {
    let text = page(&support::root().join("docs").join(name));
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let options = cells.flat_map(|cell| cell.split("`--").skip(1));
    let is_in_name = |char: char| char.is_ascii_alphanumeric() || char == '-';
    options.map(|rest| rest.split(|char| !is_in_name(char)).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_option_is_in_the_guide() {
    let wasmtimes_run = long_options(&wasmtime_cli::commands::RunCommand::command().render_long_help().to_string());
    let wasmtimes_serve = long_options(&wasmtime_cli::commands::ServeCommand::command().render_long_help().to_string());
    assert!(wasmtimes_run.contains("invoke") && wasmtimes_serve.contains("addr"), "{wasmtimes_run:?}");
    let help = BTreeSet::from(["help".to_owned()]);
    let ours = |command: &str, wasmtimes: &BTreeSet<String>| -> BTreeSet<String> {
        options(command).difference(wasmtimes).filter(|option| !help.contains(*option)).cloned().collect()
    };
    let run = ours("run", &wasmtimes_run);
    assert!(run.contains("trace-calls") && run.contains("output"), "{run:?}");
    assert_eq!(&run - &documented("run.md"), BTreeSet::new(), "options of `run` that run.md has no row for");
    let serve = &ours("serve", &wasmtimes_serve) - &run;
    assert!(serve.contains("pprof-addr"), "{serve:?}");
    assert_eq!(&serve - &documented("serve.md"), BTreeSet::new(), "options of `serve` that serve.md has no row for");
    let none = BTreeSet::new();
    for command in ["report", "view", "convert", "diff", "map"] {
        let mut options = ours(command, &none);
        if ["map", "view"].contains(&command) {
            options = &options - &wasmtimes_run;
        }
        assert_eq!(&options - &documented("outputs.md"), none, "options of `{command}` that outputs.md has no row for");
    }
    assert_eq!(&ours("annotate", &none) - &documented("lines.md"), none, "options of `annotate`");
}
