//! The HTML report in a real browser, Chromium: it loads without an error, all its switches work, from the keyboard too, and
//! by day, by night, on a telephone and on paper.
//!
//! Needs Chromium, one test axe-core; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use witprof::export::{write_html, write_svg};
use witprof::{Dimension, Profile, read_firefox};

use self::support::chromium::{chromium, unescape};

/// What drivers are made of: they use the page as a reader would, note what they see by `step`, and leave it in an element
/// for `--dump-dom` to print.
const TOOLS: &str = r#"
  const seen = {};
  const step = async (name, act) => { try { seen[name] = await act() ?? null } catch (error) { seen[name] = `error: ${error}` } };
  const $ = id => document.getElementById(id);
  const flame = () => ({ ...$('flame').dataset });
  const choose = (name, value) => document.querySelector(`input[name=${name}][value=${value}]`).click();
  const type = text => { $('search').value = text; $('search').dispatchEvent(new Event('input', { bubbles: true })) };
  const key = (key, at = document.activeElement, more = {}) =>
    at.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more }));
  const rows = () => [...document.querySelectorAll('#table tr[data-name]')];
  const names = () => rows().map(row => row.dataset.name);
  const hottest = () => [...$('hot').tBodies[0].rows].map(row => [row.dataset.name, row.lastElementChild.textContent]);
  const cell = (row, id) => row.querySelector(`[data-cell=${id}]`).textContent;
  const isShown = element => element.checkVisibility() && element.getClientRects().length > 0;
  const next = event => new Promise(resolve => addEventListener(event, resolve, { once: true }));
  const done = () => {
    const element = document.createElement('pre');
    element.id = 'seen';
    element.textContent = JSON.stringify(seen);
    document.body.append(element);
  };
"#;

const DRIVER: &str = r#"
  await step('title', () => document.title);
  await step('rows', names);
  await step('calls', () => Object.fromEntries(rows()
    .map(row => [row.dataset.name, row.querySelector('[data-cell=calls]')?.textContent])));
  await step('hottest', hottest);
  await step('first', flame);
  for (const view of ['library', 'function', 'interface']) await step(view, () => { choose('view', view); return flame() });
  await step('leaf', () => { choose('direction', 'leaf'); return flame() });
  await step('root', () => { choose('direction', 'root'); return flame() });
  await step('lines', () => {
    if (document.querySelector('input[name=view][value=line]') === null) return null;
    choose('view', 'line');
    choose('table', 'line');
    type('SEARCHED');
    const seen = { ...flame(), matched: $('matched').textContent, rows: rows().length };
    type('');
    choose('table', 'function');
    choose('view', 'interface');
    return seen;
  });
  await step('search', () => { type('SEARCHED'); return $('matched').textContent });
  await step('found', names);
  await step('nothing', () => { type('no such name'); return $('matched').textContent });
  await step('found nothing', () => [names(), $('left-out').textContent]);
  type('');
  await step('slash', () => { key('/', document.body); return document.activeElement.id });
  await step('zoom', () => { $('flame').focus(); key('ArrowDown'); key('Enter'); return flame() });
  await step('zoom in address', () => location.hash);
  await step('back', async () => { history.back(); await next('hashchange'); return flame() });
  await step('forward', async () => { history.forward(); await next('hashchange'); return flame() });
  await step('reset', () => { key('Escape', $('flame')); return flame() });
  await step('sort', () => {
    if (document.querySelector('input[name=table][value=interface]') === null) return null;
    choose('table', 'interface');
    document.querySelector('th[data-column=boundary] button')?.click();
    return names()[0];
  });
  await step('fold', () => {
    const before = rows().length;
    document.querySelector('.fold')?.click();
    return Math.abs(rows().length - before);
  });
  await step('functions', () => { choose('table', 'function'); return rows().length });
  await step('more', () => { $('more').click(); return [rows().length, $('left-out').textContent] });
  await step('find', () => { $('hot').querySelector('button').click(); return [flame().view, $('search').value, $('matched').textContent] });
  type('');
  await step('halves', async () => {
    const times = async (from, to) => {
      location.hash = `time=${from}-${to}&view=function&table=function`;
      await next('hashchange');
      const shares = rows().map(row => [row.dataset.name, cell(row, 'total-share')]);
      return [$('details').textContent, Object.fromEntries(shares)];
    };
    const { steps } = JSON.parse($('data').textContent);
    return [await times(0, steps / 5), await times(steps / 5, steps), await times(0, steps)];
  });
  await step('unselect', () => { $('unselect').click(); return [$('selection').hidden, location.hash] });
  await step('select by keys', () => {
    $('timeline').focus();
    key('Home');
    for (let at = 0; at < 3; at++) key('ArrowRight', $('timeline'), { shiftKey: true });
    return [$('selected').textContent, location.hash];
  });
  await step('escape', () => { key('Escape', $('timeline')); return $('selection').hidden });
  await step('drag', () => {
    const { left, top, width } = document.querySelector('.lane svg').getBoundingClientRect();
    const at = (type, share) => document.querySelector('.lane').dispatchEvent(new PointerEvent(type, {
      clientX: left + share * width, clientY: top + 5, bubbles: true, pointerId: 1, button: 0 }));
    const lanes = document.querySelector('.lanes');
    lanes.setPointerCapture = () => {};
    at('pointerdown', 0.251); at('pointermove', 0.4); at('pointermove', 0.499); at('pointerup', 0.499);
    return [location.hash, flame()];
  });
  await step('hostile address', async () => {
    location.hash = 'view=constructor&from=__proto__&zoom=1e99.__proto__&time=9-1&table=<img src=x onerror=alert(1)>&sort=toString-'
      + '&search=' + encodeURIComponent('<\/script><img src=x onerror=console.error(1)>');
    await next('hashchange');
    const after = [flame(), $('search').value, document.querySelectorAll('img').length];
    location.hash = '';
    await next('hashchange');
    return after;
  });
  await step('paper', () => {
    choose('view', 'function');
    dispatchEvent(new Event('beforeprint'));
    const slices = [...document.querySelectorAll('.paper canvas')];
    const last = slices.at(-1);
    const { data } = last.getContext('2d').getImageData(0, last.height - 10, last.width, 1);
    const height = slices.reduce((sum, each) => sum + each.height / 2, 0);
    const seen = [$('flame').querySelector('.sheet').style.height, height, data.some(value => value > 0)];
    dispatchEvent(new Event('afterprint'));
    const { printColorAdjust } = getComputedStyle(document.querySelector('.stack span'));
    return [...seen, document.querySelectorAll('.paper canvas').length, printColorAdjust];
  });
"#;

/// What there is on a small screen, and how large what one points at is.
const NARROW: &str = r#"
  await step('width', () => [innerWidth, document.documentElement.scrollWidth]);
  await step('table', () => {
    choose('table', 'function');
    const table = document.getElementById('table');
    const [row] = rows();
    const shown = () => [...row.cells].filter(isShown).length;
    const before = shown();
    row.querySelector('.open').click();
    const numbers = row.nextElementSibling;
    const opened = isShown(numbers) ? numbers.textContent : '';
    row.querySelector('.open').click();
    const closed = row.nextElementSibling?.className !== 'numbers';
    return { before, opened, closed, overflow: table.scrollWidth - table.parentElement.clientWidth };
  });
  await step('small targets', () => [...document.querySelectorAll('button, a[href], input, label')].filter(isShown)
    .filter(each => !(each.type === 'radio'))
    .map(each => [each.id || each.className || each.tagName, each.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < 24 || height < 24).map(([name, { width, height }]) => `${name}: ${width} x ${height}`));
"#;

const AXE: &str = r#"
  await step('axe', async () => {
    choose('table', 'interface');
    for (const fold of document.querySelectorAll('.fold')) fold.click();
    const { violations, passes } = await axe.run(document, { rules: { 'target-size': { enabled: true } } });
    return {
      violations: violations.map(({ id, help, nodes }) => [id, help, nodes.map(node => node.html)]), passes: passes.length,
      isDark: matchMedia('(prefers-color-scheme: dark)').matches, background: getComputedStyle(document.body).backgroundColor,
    };
  });
"#;

fn page(profile: &Profile) -> String {
    let write = || {
        let mut html = Vec::new();
        write_html(profile, &mut html).expect("writing to memory");
        html
    };
    let html = write();
    assert!(html == write(), "the same profile makes the same page");
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    String::from_utf8(html).expect("UTF-8")
}

/// The page of a profile with a driver in it, which is a few of the steps above.
fn driven(profile: &Profile, scripts: &[&str], driver: &str) -> String {
    let page = page(profile);
    let (before, after) = page.rsplit_once("</body>").expect("the end of the page");
    let scripts: String = scripts.iter().map(|script| format!("<script>{script}</script>")).collect();
    format!(
        "{before}{scripts}<script>addEventListener('load', async () => {{ {TOOLS} {driver} done() }});</script></body>{after}"
    )
}

/// What a driver saw on a page, and what Chromium logged.
fn look_at(page: &str, flags: &[&str]) -> (Value, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("report.html");
    std::fs::write(&path, page).expect("writing the page");
    let output = open(&path, folder.path(), &[flags, &["--dump-dom"]].concat());
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, seen) = dom.split_once("<pre id=\"seen\">").unwrap_or_else(|| panic!("the driver did not end: {output:?}"));
    let (seen, _) = seen.split_once("</pre>").expect("the end of the element");
    let seen: Value = serde_json::from_str(&unescape(seen)).expect("JSON");
    for (name, step) in seen.as_object().expect("steps") {
        assert!(!step.as_str().is_some_and(|step| step.starts_with("error: ")), "{name}: {step}");
    }
    (seen, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn seen(profile: &Profile, searched: &str) -> (Value, String) {
    look_at(&driven(profile, &[], &DRIVER.replace("SEARCHED", searched)), &[])
}

fn open(page: &Path, folder: &Path, flags: &[&str]) -> Output {
    let address = format!("file://{}", page.display());
    chromium(&address, folder, 60_000, &[&["--window-size=1200,900"], flags].concat())
}

const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// Fails if the page logged anything.
fn assert_no_message(log: &str) {
    let messages: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(messages.is_empty(), "{messages:#?}");
}

/// A profile of the bundled composition, whose calls are traced.
fn kitchen() -> Profile {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).args(["run", "--quiet", "--interval", "500us", "--trace-calls", "-o", "k.json"]);
    assert!(command.arg(support::kitchen()).output().expect("running witprof").status.success());
    read_firefox(&mut &support::read(&folder.path().join("k.json"))[..]).expect("a profile")
}

fn share(text: &Value) -> f64 {
    let text = text.as_str().unwrap_or_else(|| panic!("a text, not {text}"));
    let share = text.split('%').next().and_then(|share| share.trim().trim_start_matches('<').parse().ok());
    share.unwrap_or_else(|| panic!("a share, not {text}"))
}

#[test]
fn the_report_of_a_composition_can_be_used() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let profile = kitchen();
    let (seen, log) = seen(&profile, "demo:math/ops");
    assert_no_message(&log);
    let math = "demo:math/ops@0.1.0 (internal)";
    let contains = |list: &Value, name: &str| list.as_array().expect("a list").iter().any(|each| each == name);
    assert!(contains(&seen["rows"], math), "{seen}");
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
    let of_wall = |time: Duration| 100.0 * time.as_secs_f64() / profile.wall_time().as_secs_f64();
    let rows = profile.report(Dimension::Interface).rows;
    let math_row = rows.iter().find(|row| row.name == math).expect("its row");
    let (matched, expected) = (share(&seen["search"]), of_wall(math_row.total));
    assert!((matched - expected).abs() < 0.2, "{matched} instead of {expected}");
    let hottest = &profile.report(Dimension::Function).rows[0];
    assert_eq!(seen["hottest"][0][0], hottest.name.as_str(), "{seen}");
    assert!((share(&seen["hottest"][0][1]) - of_wall(hottest.attributed())).abs() < 0.2, "{seen}");
    // The same field searches the tables.
    assert!(contains(&seen["found"], math) && !contains(&seen["found"], "wasi:cli/run@0.2.0 (export)"), "{seen}");
    assert_eq!(share(&seen["nothing"]), 0.0, "{seen}");
    assert_eq!(seen["found nothing"][0], Value::Array(Vec::new()), "{seen}");
    assert!(seen["found nothing"][1].as_str().is_some_and(|text| text.starts_with("No row")), "{seen}");
    assert_eq!(seen["slash"], "search");
    assert_eq!(seen["lines"], Value::Null, "it has no debug info: {seen}");
    let run = "run [wasi:cli/run@0.2.0 (export)]";
    assert_eq!(seen["zoom"]["root"], run, "{seen}");
    assert!(seen["zoom in address"].as_str().is_some_and(|address| address.contains("zoom=")), "{seen}");
    assert_eq!((&seen["back"]["root"], &seen["forward"]["root"]), (&"all".into(), &run.into()), "{seen}");
    assert_eq!(seen["reset"]["root"], "all", "{seen}");
    assert_eq!(seen["sort"], math, "{seen}");
    assert!(seen["fold"].as_u64().is_some_and(|functions| functions >= 1), "{seen}");
    assert_eq!(seen["find"][0], "function", "{seen}");
    assert_eq!(seen["find"][1], hottest.name.as_str(), "{seen}");
    assert!((share(&seen["find"][2]) - of_wall(hottest.total)).abs() < 0.2, "{seen}");
    check_selection(&seen, &hottest.name);
    // What no page wrote into the address is left as it is at the beginning.
    let hostile = &seen["hostile address"];
    assert_eq!((&hostile[0]["view"], &hostile[0]["root"]), (&"interface".into(), &"all".into()), "{seen}");
    assert_eq!(
        (&hostile[1], &hostile[2]),
        (&"</script><img src=x onerror=console.error(1)>".into(), &0.into()),
        "{seen}"
    );
    // All rows of the graph are on paper, to the last of them; or more, because paper is wider, and has frames that are too
    // narrow for the screen.
    let paper = &seen["paper"];
    let on_screen = paper[0].as_str().and_then(|height| height.strip_suffix("px")?.parse::<f64>().ok());
    assert!(on_screen.is_some() && paper[1].as_f64() >= on_screen, "{seen}");
    assert_eq!((&paper[2], &paper[3], &paper[4]), (&true.into(), &0.into(), &"exact".into()), "{seen}");
}

/// A part of the time, selected by the address, the keyboard and the pointer.
fn check_selection(seen: &Value, hottest: &str) {
    let halves = seen["halves"].as_array().expect("parts");
    // `all total 12.3 ms (100.0%), self 0 ms (0.0%)`: the root.
    let total = |at: usize| {
        let text = halves[at][0].as_str().expect("a text");
        let text = text.split_once("total ").and_then(|(_, rest)| rest.split_once(" ms")).expect("a time").0;
        text.parse::<f64>().expect("milliseconds")
    };
    let (first, second, whole) = (total(0), total(1), total(2));
    assert!(first > 0.0 && second > 0.0 && (first + second - whole).abs() <= 2.0, "{first} + {second} = {whole}");
    let of_hottest = |at: usize| halves[at][1].get(hottest).map_or(0.0, share);
    let expected = (of_hottest(0) * first + of_hottest(1) * second) / whole;
    assert!((of_hottest(2) - expected).abs() < 0.5, "{} instead of {expected}", of_hottest(2));
    assert_eq!(seen["unselect"][0], true, "{seen}");
    assert!(seen["unselect"][1].as_str().is_some_and(|address| !address.contains("time=")), "{seen}");
    assert!(seen["select by keys"][0].as_str().is_some_and(|text| text.starts_with("Only 0 ms to ")), "{seen}");
    assert!(seen["select by keys"][1].as_str().is_some_and(|address| address.contains("time=0-3")), "{seen}");
    assert_eq!(seen["escape"], true, "{seen}");
    assert!(seen["drag"][0].as_str().is_some_and(|address| address.contains("time=30-60")), "{seen}");
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
    assert_eq!(seen["first"]["view"], "function", "one interface has it all: {seen}");
    assert_eq!(seen["lines"]["view"], "line", "{seen}");
    assert_eq!(seen["lines"]["rows"], 1, "{seen}");
    assert!(share(&seen["lines"]["matched"]) > 50.0, "{seen}");
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
    // A part of the rows is on the page at first, and says so.
    assert_eq!(seen["functions"], 50, "{seen}");
    assert_eq!(seen["more"][0], 250, "{seen}");
    let functions = profile.report(Dimension::Function).rows.len();
    let left_out = seen["more"][1].as_str().expect("a text").replace(',', "");
    assert!(left_out.starts_with(&format!("{} more rows are not on this page", functions - 2000)), "{left_out}");
}

/// Calls and memories are known without samples.
#[test]
fn a_run_without_samples_has_its_tables_of_what_was_traced() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let driver = r#"
      await step('tables', () => [...document.querySelectorAll('input[name=table]')].filter(each => isShown(each.parentElement)).map(each => each.value));
      await step('note', () => document.querySelector('.empty').textContent);
      await step('graphs', () => [...document.querySelectorAll('#flame, #timeline, #hot, input[name=view]')].filter(isShown).length);
      await step('rows', names);
      await step('found', () => { type('wasi:cli/run'); return names() });
      await step('sorted', () => { type(''); document.querySelector('th[data-column=count] button')?.click(); return location.hash });
      await step('hostile', async () => { location.hash = 'time=0-3&zoom=7&from=leaf'; await next('hashchange'); return $('selection').hidden });
    "#;
    // The first sample comes after a random part of the interval, so in few runs there is one.
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        command.current_dir(folder.path()).args(["run", "--interval", "1min", "--trace-calls", "-o", "k.json"]);
        assert!(command.arg(support::kitchen()).output().expect("running witprof").status.success());
        read_firefox(&mut &support::read(&folder.path().join("k.json"))[..]).expect("a profile")
    };
    let profile = std::iter::repeat_with(run).take(8).find(|profile| profile.counts().kept == 0);
    let profile = profile.expect("a run without samples");
    let (seen, log) = look_at(&driven(&profile, &[], driver), &[]);
    assert_no_message(&log);
    assert_eq!(seen["tables"], json!(["calls", "memory"]), "{seen}");
    assert_eq!(seen["graphs"], 0, "{seen}");
    assert!(seen["note"].as_str().is_some_and(|note| note.starts_with("No samples")), "{seen}");
    let functions = profile.calls().expect("calls").functions().len();
    assert_eq!(seen["rows"].as_array().map(Vec::len), Some(functions), "{seen}");
    assert_eq!(seen["found"], json!(["wasi:cli/run@0.2.0#run (export)"]), "{seen}");
    assert!(seen["sorted"].as_str().is_some_and(|hash| hash.contains("sort=count-")), "{seen}");
    assert_eq!(seen["hostile"], true, "{seen}");
    // Of nothing at all there is a note alone.
    let driver = "await step('shown', () => [...document.querySelectorAll('main *')].filter(isShown).length);
        await step('note', () => isShown(document.querySelector('.empty')));";
    let (seen, log) = look_at(&driven(&support::large::profile(0), &[], driver), &[]);
    assert_no_message(&log);
    assert_eq!((&seen["shown"], &seen["note"]), (&0.into(), &true.into()), "{seen}");
}

/// A stack of so many frames, whose last two have the same name in two libraries, as another program would write it.
fn deep(frames: usize) -> Profile {
    let column = |row: &dyn Fn(usize) -> String| (0..frames).map(row).collect::<Vec<_>>().join(",");
    let json = format!(
        r#"{{"meta": {{"interval": 1, "startTime": 1700000000000, "product": "deep", "preprocessedProfileVersion": 55}},
        "libs": [{{"name": "one.wasm"}}, {{"name": "two.wasm"}}], "threads": [{{"name": "main", "pid": "0", "tid": "1",
        "samples": {{"stack": [{last}, {before}], "timeDeltas": [1, 1], "weight": [2, 1], "weightType": "tracing-ms"}},
        "stackTable": {{"prefix": [{}], "frame": [{}]}}, "frameTable": {{"func": [{}]}},
        "resourceTable": {{"lib": [0, 1], "name": [0, 0], "type": [1, 1]}},
        "funcTable": {{"name": [{}], "resource": [{}]}}, "stringArray": [{}]}}]}}"#,
        column(&|row| row.checked_sub(1).map_or_else(|| "null".to_owned(), |caller| caller.to_string())),
        column(&|row| row.to_string()),
        column(&|row| row.to_string()),
        column(&|row| row.min(frames - 2).to_string()),
        column(&|row| usize::from(row == frames - 1).to_string()),
        column(&|row| format!("\"function_{row}\"")),
        last = frames - 1,
        before = frames - 2,
    );
    read_firefox(&mut json.as_bytes()).expect("a profile")
}

/// What does not fit is said on paper, and is not in the address; twins have their libraries.
#[test]
fn deep_stacks_are_cut_and_functions_of_equal_name_told_apart() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let driver = r#"
      await step('twins', () => [...document.querySelectorAll('#hot .detail')].map(each => each.textContent));
      await step('paper', () => {
        choose('view', 'function');
        dispatchEvent(new Event('beforeprint'));
        const text = document.querySelector('.paper').textContent;
        dispatchEvent(new Event('afterprint'));
        return text;
      });
      await step('address', async () => {
        choose('direction', 'leaf');
        $('flame').focus();
        for (let at = 0; at < 1600; at++) key('ArrowDown');
        key('Enter');
        const { hash } = location;
        const zoom = new URLSearchParams(hash.slice(1)).get('zoom');
        location.hash = '';
        await next('hashchange');
        location.hash = hash;
        await next('hashchange');
        return [zoom.length, flame().root, document.querySelectorAll('#crumbs li').length];
      });
    "#;
    let (seen, log) = look_at(&driven(&deep(1_500), &[], driver), &[]);
    assert_no_message(&log);
    assert_eq!(seen["twins"], json!(["two.wasm", "one.wasm"]), "{seen}");
    // The root is a row as well.
    assert_eq!(seen["paper"], "901 more rows, deeper than these 600, are not on paper.", "{seen}");
    assert!(seen["address"][0].as_u64().is_some_and(|length| (9_980..=10_000).contains(&length)), "{seen}");
    assert!(seen["address"][1].as_str().is_some_and(|root| root.starts_with("function_")), "{seen}");
}

/// On a telephone, a row is its name, a bar and a share, and opens to the rest. What one points at is large enough.
#[test]
fn a_small_screen_shows_all_without_scrolling_aside() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let page = driven(&kitchen(), &[], &format!("{NARROW} parent.postMessage(JSON.stringify(seen), '*');"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("narrow.html"), page).expect("writing the page");
    for width in [360, 800] {
        // Windows of Chromium are wider than a telephone, so the page is in a frame.
        let frame = format!(
            "<!DOCTYPE html><body><iframe width={width} height=740 src='file://{}'></iframe><script>
            addEventListener('message', ({{ data }}) => {{
              const element = document.createElement('pre');
              element.id = 'seen';
              element.textContent = data;
              document.body.append(element);
            }});</script>",
            folder.path().join("narrow.html").display()
        );
        let (seen, log) = look_at(&frame, &[]);
        assert_no_message(&log);
        assert!(
            seen["width"][0] == width && seen["width"][1].as_i64().is_some_and(|content| content <= width),
            "{seen}"
        );
        let table = &seen["table"];
        assert_eq!(table["before"], 4, "name, bar, share, and what opens the row: {seen}");
        assert!(table["opened"].as_str().is_some_and(|text| text.contains("Total") && text.contains("ms")), "{seen}");
        assert_eq!((&table["closed"], &table["overflow"]), (&true.into(), &0.into()), "{seen}");
        assert_eq!(seen["small targets"], Value::Array(Vec::new()), "{seen}");
    }
}

#[test]
fn axe_finds_nothing_by_day_or_by_night() {
    if !support::programs::can_run(&["chromium", "axe-core"]) {
        return;
    }
    let root = Command::new("npm").args(["root", "--global"]).output().expect("running npm");
    let root = String::from_utf8(root.stdout).expect("a path");
    let axe = std::fs::read_to_string(Path::new(root.trim()).join("axe-core/axe.min.js")).expect("axe-core");
    let axe = axe.replace("</script", "<\\/script");
    let page = driven(&kitchen(), &[&axe], AXE);
    let mut backgrounds = BTreeSet::new();
    for (flags, is_dark) in [(&[][..], false), (&[DARK], true), (&["--window-size=500,900"], false)] {
        let (seen, log) = look_at(&page, flags);
        assert_no_message(&log);
        let axe = &seen["axe"];
        assert_eq!(axe["violations"], Value::Array(Vec::new()));
        assert!(axe["passes"].as_u64().is_some_and(|rules| rules > 30), "{axe}");
        assert_eq!(axe["isDark"], is_dark, "{axe}");
        backgrounds.insert(axe["background"].to_string());
    }
    assert_eq!(backgrounds.len(), 2, "{backgrounds:?}");
}

/// Bars have their colours on paper, and the graph is on it as pictures.
#[test]
fn the_report_can_be_printed() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("report.html");
    std::fs::write(&path, page(&kitchen())).expect("writing the page");
    for flags in [&[][..], &[DARK]] {
        let pdf = folder.path().join("report.pdf");
        let print = format!("--print-to-pdf={}", pdf.display());
        let output = open(&path, folder.path(), &[flags, &[&print]].concat());
        assert_no_message(&String::from_utf8_lossy(&output.stderr));
        let pdf = support::read(&pdf);
        assert!(pdf.starts_with(b"%PDF-"));
        let is_there = |needle: &[u8]| pdf.windows(needle.len()).any(|bytes| bytes == needle);
        assert!(is_there(b"/Subtype /Image"), "the graph");
        // The colour of guests, `#6aa3ec`; by night it is another, which is not for paper.
        assert!(inflated(&pdf).contains(".4157 .6392 .9255 rg"), "no bar has its colour");
        std::fs::remove_file(folder.path().join("report.pdf")).expect("removing the file");
    }
}

/// All that is compressed in a PDF file, as far as it is text.
fn inflated(pdf: &[u8]) -> String {
    let find = |from: usize, needle: &[u8]| {
        pdf[from..].windows(needle.len()).position(|bytes| bytes == needle).map(|at| from + at + needle.len())
    };
    let mut text = String::new();
    let mut at = 0;
    while let Some(start) = find(at, b"stream\n") {
        let mut bytes = Vec::new();
        let _ = flate2::read::ZlibDecoder::new(&pdf[start..]).read_to_end(&mut bytes);
        text.push_str(&String::from_utf8_lossy(&bytes));
        at = start;
    }
    text
}

/// A flame graph has light text on a dark ground, by night.
#[test]
fn a_picture_has_a_dark_mode() {
    if !support::programs::can_run(&["chromium"]) {
        return;
    }
    let mut svg = Vec::new();
    write_svg(&kitchen(), Dimension::Interface, &mut svg).expect("writing to memory");
    let svg = String::from_utf8(svg).expect("UTF-8");
    let (before, after) = svg.rsplit_once("</svg>").expect("the end of the picture");
    let driver = "const style = selector => getComputedStyle(document.querySelector(selector));
        const pre = document.createElementNS('http://www.w3.org/1999/xhtml', 'pre');
        pre.id = 'seen';
        pre.textContent = JSON.stringify({ ground: style('#background stop').stopColor, title: style('#title').fill,
            frame: style('#frames text').fill });
        document.documentElement.append(pre);";
    let page = format!("{before}<script><![CDATA[{driver}]]></script></svg>{after}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("picture.svg");
    std::fs::write(&path, page).expect("writing the picture");
    let look = |flags: &[&str]| -> Value {
        let output = open(&path, folder.path(), &[flags, &["--dump-dom"]].concat());
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let seen = dom.split_once("id=\"seen\">").unwrap_or_else(|| panic!("no result: {output:?}")).1;
        serde_json::from_str(seen.split_once("</pre>").expect("the end of the element").0).expect("JSON")
    };
    let (day, night) = (look(&[]), look(&[DARK]));
    assert_eq!((&day["ground"], &night["ground"]), (&"rgb(250, 250, 250)".into(), &"rgb(20, 24, 29)".into()));
    assert_eq!((&day["title"], &night["title"]), (&"rgb(0, 0, 0)".into(), &"rgb(227, 231, 236)".into()));
    assert_eq!(day["frame"], night["frame"], "the colours of frames are light in both");
}
