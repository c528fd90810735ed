//! The HTML report in a real browser, Chromium: it loads without an error, and search, zoom and all its switches work.
//!
//! Needs Chromium; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use witprof::export::write_html;
use witprof::{Profile, read_firefox};

/// Drives the page as a reader would, and leaves what it saw in an element for `--dump-dom` to print.
const DRIVER: &str = r#"<script>
addEventListener('load', () => {
  const seen = {};
  const step = (name, act) => { try { seen[name] = act() } catch (error) { seen[name] = `error: ${error}` } };
  const $ = id => document.getElementById(id);
  const flame = () => ({ ...$('flame').dataset });
  const choose = (name, value) => document.querySelector(`input[name=${name}][value=${value}]`).click();
  const type = text => { $('search').value = text; $('search').dispatchEvent(new Event('input', { bubbles: true })) };
  const key = (key, at = document.activeElement) =>
    at.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  step('title', () => document.title);
  step('rows', () => [...document.querySelectorAll('tr.interface-row')].map(row => row.dataset.name));
  step('calls', () => Object.fromEntries([...document.querySelectorAll('tr.interface-row')]
    .map(row => [row.dataset.name, row.lastElementChild.textContent])));
  step('first', () => flame());
  for (const view of ['library', 'function', 'interface']) step(view, () => { choose('view', view); return flame() });
  step('leaf', () => { choose('direction', 'leaf'); return flame() });
  step('root', () => { choose('direction', 'root'); return flame() });
  step('lines', () => {
    if (document.querySelector('input[name=view][value=line]') === null) return null;
    choose('view', 'line');
    type('SEARCHED');
    const seen = { ...flame(), matched: $('matched').textContent };
    choose('view', 'interface');
    return seen;
  });
  step('search', () => { type('SEARCHED'); return $('matched').textContent });
  step('nothing', () => { type('no such name'); return $('matched').textContent });
  type('');
  step('slash', () => { key('/', document.body); return document.activeElement.id });
  step('zoom', () => { $('flame').focus(); key('ArrowDown'); key('Enter'); return flame() });
  step('reset', () => { key('Escape'); return flame() });
  step('sort', () => { document.querySelector('th[data-column=boundary] button').click();
    return document.querySelector('tr.interface-row').dataset.name });
  step('fold', () => { document.querySelector('.fold').click(); return document.querySelectorAll('tr.function').length });
  const element = document.createElement('pre');
  element.id = 'seen';
  element.textContent = JSON.stringify(seen);
  document.body.append(element);
});
</script>"#;

/// What the driver saw on the page of a profile, and how long Chromium took for all of it.
fn seen(profile: &Profile, searched: &str) -> (Value, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut html = Vec::new();
    write_html(profile, &mut html).expect("writing to memory");
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    let page = String::from_utf8(html).expect("UTF-8");
    let (before, after) = page.rsplit_once("</body>").expect("the end of the page");
    let page = format!("{before}{}</body>{after}", DRIVER.replace("SEARCHED", searched));
    let path = folder.path().join("report.html");
    std::fs::write(&path, page).expect("writing the page");
    let output = chromium(&path, folder.path());
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, seen) = dom.split_once("<pre id=\"seen\">").unwrap_or_else(|| panic!("the driver did not end: {output:?}"));
    let (seen, _) = seen.split_once("</pre>").expect("the end of the element");
    let seen = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    let seen = serde_json::from_str(&seen).expect("JSON");
    (seen, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn chromium(page: &Path, folder: &Path) -> Output {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut arguments =
        ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"].to_vec();
    arguments.extend(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    arguments.extend(["--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]);
    let data = format!("--user-data-dir={}", folder.join("data").display());
    let page = format!("file://{}", page.display());
    for name in names {
        match Command::new(name).args(&arguments).args([&data, &page]).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            output => return output.expect("running Chromium"),
        }
    }
    panic!("there is no Chromium");
}

/// Fails if the page logged anything.
fn assert_no_message(log: &str) {
    let messages: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(messages.is_empty(), "{messages:#?}");
}

#[test]
fn the_report_of_a_composition_can_be_used() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).args(["run", "--quiet", "--interval", "500us", "--trace-calls", "-o", "k.json"]);
    assert!(command.arg(support::kitchen()).output().expect("running witprof").status.success());
    let profile = read_firefox(&mut &support::read(&folder.path().join("k.json"))[..]).expect("a profile");
    let (seen, log) = seen(&profile, "demo:math/ops");
    assert_no_message(&log);
    let math = "demo:math/ops@0.1.0 (internal)";
    assert!(seen["rows"].as_array().expect("rows").iter().any(|row| row == math), "{seen}");
    assert_eq!(seen["calls"]["wasi:cli/run@0.2.0 (export)"], "1", "{seen}");
    let calls = seen["calls"][math].as_str().expect("text");
    assert!(calls.starts_with("≥ "), "of which only a lower bound is known: {seen}");
    for (step, view, direction) in [
        ("first", "interface", "root"),
        ("library", "library", "root"),
        ("function", "function", "root"),
        ("leaf", "interface", "leaf"),
        ("root", "interface", "root"),
    ] {
        assert_eq!((&seen[step]["view"], &seen[step]["direction"]), (&view.into(), &direction.into()), "{seen}");
        assert!(
            seen[step]["frames"].as_str().and_then(|frames| frames.parse().ok()).is_some_and(|frames: u32| frames > 3)
        );
    }
    // As much as the report says.
    let rows = profile.report(witprof::Dimension::Interface).rows;
    let math_row = rows.iter().find(|row| row.name == math).expect("its row");
    let expected = 100.0 * math_row.total.as_secs_f64() / profile.wall_time().as_secs_f64();
    let matched = seen["search"].as_str().expect("a text").split('%').next().expect("a share").trim().to_owned();
    let matched: f64 = matched.parse().unwrap_or_else(|_| panic!("{seen}"));
    assert!((matched - expected).abs() < 0.2, "{matched} instead of {expected}");
    assert!(
        !seen["nothing"].as_str().expect("a text").starts_with(|first: char| ('1'..='9').contains(&first)),
        "{seen}"
    );
    assert_eq!(seen["slash"], "search");
    assert_eq!(seen["lines"], Value::Null, "it has no debug info: {seen}");
    assert_eq!(seen["zoom"]["root"], "run [wasi:cli/run@0.2.0 (export)]", "{seen}");
    assert_eq!(seen["reset"]["root"], "all", "{seen}");
    assert_eq!(seen["sort"], math, "{seen}");
    assert!(seen["fold"].as_u64().is_some_and(|functions| functions >= 1), "{seen}");
}

#[test]
fn the_report_of_a_guest_with_debug_info_has_lines() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).args(["run", "--quiet", "--invoke", "spin(20)", "-o", "h.json"]);
    command.arg(support::root().join("tests/guests/hot-c.wasm"));
    assert!(command.output().expect("running witprof").status.success());
    let profile = read_firefox(&mut &support::read(&folder.path().join("h.json"))[..]).expect("a profile");
    let (seen, log) = seen(&profile, "mix (hot-c-mix.h:8)");
    assert_no_message(&log);
    assert_eq!(seen["lines"]["view"], "line", "{seen}");
    let matched = seen["lines"]["matched"].as_str().and_then(|matched| matched.split('%').next()?.trim().parse().ok());
    assert!(matched.is_some_and(|matched: f64| matched > 50.0), "{seen}");
}

#[test]
fn a_million_samples_make_a_page_that_can_be_used() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let profile = support::large::profile(1_000_000);
    assert!(profile.counts().kept == 1_000_000 && profile.wall_time() > Duration::from_secs(1000));
    assert!(profile.started_at() > SystemTime::UNIX_EPOCH);
    let (seen, log) = seen(&profile, "function_number_31<");
    assert_no_message(&log);
    for step in ["library", "function", "interface", "leaf", "root", "zoom", "reset"] {
        assert!(seen[step].is_object(), "{step}: {seen}");
    }
    assert!(seen["function"]["frames"].as_str().is_some_and(|frames| frames.len() >= 3), "{seen}");
}
