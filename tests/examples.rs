//! The examples do what they say. `cargo test` has built them.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use witprof::{Dimension, read_firefox};

fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.parent().and_then(Path::parent).expect("the folder of the profile");
    let path = target.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: `cargo build --examples` builds it, and so does `cargo test` without a choice of tests",
        path.display()
    );
    path
}

#[test]
fn a_host_that_embeds_the_recorder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(example("embed")).arg(support::kitchen()).current_dir(folder.path()).output();
    let output = output.expect("running the example");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("demo:math/ops@0.1.0 (internal)"), "{message}");
}

#[test]
fn an_async_host_of_many_guests() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments = [support::kitchen(), "50".into()];
    let output = Command::new(example("async_host")).args(arguments).current_dir(folder.path()).output();
    let output = output.expect("running the example");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for tenant in ["red", "green", "blue", "white"] {
        assert!(report.lines().any(|line| line.ends_with(tenant)), "{report}");
    }
    let runs = report.lines().find(|line| line.ends_with("wasi:cli/run@0.2.0#run (export)"));
    assert_eq!(runs.and_then(|line| line.split_whitespace().next()), Some("4"), "{report}");
    let profile = read_firefox(&mut &support::read(&folder.path().join("async_host.json"))[..]).expect("a profile");
    assert!(!profile.memories().is_empty());
}

#[test]
fn moving_over_from_wasmtime() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(example("guest_profiler"))
        .args([support::kitchen(), "300".into()])
        .current_dir(folder.path())
        .output();
    let output = output.expect("running the example");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let profile = read_firefox(&mut &support::read(&folder.path().join("guest.json"))[..]).expect("a profile");
    assert!(profile.report(Dimension::Interface).rows.iter().any(|row| row.name == "demo:math/ops@0.1.0 (internal)"));
}

/// Status and body of the answer to a request.
fn get(address: &str, path: &str) -> (u16, Vec<u8>) {
    ask(address, "GET", path, &[])
}

fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut connection = TcpStream::connect(address).expect("a connection");
    let length = body.len();
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    .expect("sending");
    connection.write_all(body).expect("sending");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the end of the head");
    let status = String::from_utf8_lossy(&answer[9..12]).parse().expect("a status");
    (status, answer[end + 4..].to_vec())
}

#[test]
fn a_server_that_is_profiled_and_scraped() {
    const REQUESTS: usize = 400;
    let guest = support::root().join("tests/guests/http.wat");
    let mut server = Command::new(example("server"))
        .args([guest, REQUESTS.to_string().into()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("running the example");
    let mut lines = BufReader::new(server.stdout.take().expect("its stdout")).lines();
    let first = lines.next().expect("its first line").expect("UTF-8");
    let address = first.strip_prefix("http://").expect("an address").to_owned();

    for bad in ["seconds=0", "seconds=x", "by=colour"] {
        assert_eq!(get(&address, &format!("/debug/pprof/profile?{bad}")).0, 400, "{bad}");
    }
    assert_eq!(get(&address, "/debug/pprof/").0, 200);
    let address = address.as_str();
    std::thread::scope(|scope| {
        // Two at once, while requests come in.
        let scrapes = ["seconds=1", "seconds=1&by=interface"]
            .map(|query| (query, scope.spawn(move || get(address, &format!("/debug/pprof/profile?{query}")))));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    for number in 0..REQUESTS / 4 - 1 {
                        let route = if number % 4 == 0 { "/busy" } else { "/light" };
                        let (status, body) = get(address, route);
                        assert_eq!((status, body.is_empty()), (200, false), "{route}");
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("all requests are answered"));
        for (query, scrape) in scrapes {
            let (status, profile) = scrape.join().expect("a profile");
            assert_eq!(status, 200);
            let profile = support::gunzip(&profile);
            let has = |name: &str| profile.windows(name.len()).any(|bytes| bytes == name.as_bytes());
            assert!(has("wasi:http/incoming-handler@0.2.0"), "{query}");
            assert!(has("/busy") && has("route"), "{query}");
        }
    });
    // The last ones.
    (0..4).for_each(|_| assert_eq!(get(address, "/light").0, 200));
    let rest: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
    assert!(server.wait().expect("its end").success());
    let report = rest.join("\n");
    assert!(report.contains(&format!("{REQUESTS} requests")), "{report}");
    for row in ["/busy", "/light", "wasi:http/incoming-handler@0.2.0 (export)"] {
        assert!(rest.iter().any(|line| line.trim_end().ends_with(row)), "no {row} in {report}");
    }
    let handled = rest.iter().find(|line| line.ends_with("wasi:http/incoming-handler@0.2.0#handle (export)"));
    let count = handled.and_then(|line| line.split_whitespace().next());
    assert_eq!(count, Some(&*REQUESTS.to_string()), "{report}");
}

#[test]
fn a_server_whose_tenants_come_and_go() {
    let guest = std::fs::read_to_string(support::root().join("tests/guests/http.wat")).expect("a guest");
    let of_tenant = |name: &str| {
        let guest = guest.replace("$hello", &format!("$component_of_{name}"));
        wat::parse_str(guest).expect("a component")
    };
    let server = Command::new(example("tenants")).arg("0").stdout(Stdio::piped()).spawn();
    let mut server = server.expect("running the example");
    let mut lines = BufReader::new(server.stdout.take().expect("its stdout")).lines();
    let first = lines.next().expect("its first line").expect("UTF-8");
    let address = first.strip_prefix("http://").expect("an address").to_owned();
    let address = address.as_str();

    assert_eq!(get(address, "/red/light").0, 404);
    assert_eq!(ask(address, "PUT", "/tenants/red", b"no component").0, 500);
    for tenant in ["red", "green"] {
        assert_eq!(ask(address, "PUT", &format!("/tenants/{tenant}"), &of_tenant(tenant)).0, 201);
    }
    /// Ends the others even if a check fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        // Two tenants stay.
        for tenant in ["red", "green"] {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(get(address, &format!("/{tenant}/busy")).0, 200);
                }
            });
        }
        // One comes and goes, while it answers requests of two clients.
        let (is_over, of_tenant) = (&is_over, &of_tenant);
        for _ in 0..2 {
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let (status, _) = get(address, "/blue/light");
                    assert!([200, 404].contains(&status), "{status}");
                }
            });
        }
        let changing = scope.spawn(move || {
            let mut loads = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(ask(address, "PUT", "/tenants/blue", &of_tenant("blue")).0, 201);
                assert_eq!(get(address, "/blue/busy").0, 200);
                assert_eq!(ask(address, "DELETE", "/tenants/blue", &[]).0, 200);
                loads += 1;
            }
            loads
        });
        // And everybody is scraped every second, until three times all were seen: a busy machine may give somebody no time for a second.
        let mut complete = 0;
        for _ in 0..30 {
            if complete == 3 {
                break;
            }
            let scrapes = ["/debug/pprof/profile", "/tenants/red/profile", "/tenants/green/profile"]
                .map(|path| scope.spawn(move || get(address, &format!("{path}?seconds=1"))));
            let [all, red, green] = scrapes.map(|scrape| {
                let (status, profile) = scrape.join().expect("a profile");
                assert_eq!(status, 200);
                support::gunzip(&profile)
            });
            let has = |profile: &[u8], name: &str| profile.windows(name.len()).any(|bytes| bytes == name.as_bytes());
            // Nobody learns the names of the others.
            assert!(!has(&red, "green") && !has(&red, "blue"));
            assert!(!has(&green, "red") && !has(&green, "blue"));
            let sees_red = has(&all, "component_of_red") && has(&red, "component_of_red");
            let sees_green = has(&all, "component_of_green") && has(&green, "component_of_green");
            complete += usize::from(sees_red && sees_green);
        }
        assert_eq!(complete, 3, "somebody is missing");
        drop(over);
        assert!(changing.join().expect("it comes and goes") > 2);
    });
    assert_eq!(ask(address, "DELETE", "/", &[]).0, 200);
    let report = lines.map(|line| line.expect("UTF-8")).collect::<Vec<_>>().join("\n");
    assert!(server.wait().expect("its end").success());
    for row in ["red", "green", "blue"] {
        assert!(report.lines().any(|line| line.trim_end().ends_with(row)), "no {row} in {report}");
        let component = format!("component_of_{row}");
        let exports = report.lines().filter(|line| line.contains("incoming-handler"));
        assert!(exports.filter(|line| line.contains(&component)).count() > 0, "no {component} in {report}");
    }
}
