//! Profiles that are sent to collectors: by OpenTelemetry's protocol, and to Pyroscope.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::profiles::v1development::ProfilesData;
use prost::Message as _;

/// More than any step of a test takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A request that a collector has got.
struct Pushed {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A collector that gives the first `refusals` requests an answer that says to try again.
struct Collector {
    address: String,
    requests: Receiver<Pushed>,
}

impl Collector {
    fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                let Ok(connection) = connection else { return };
                let Some(request) = read(&connection) else { continue };
                let is_refused = number < refusals;
                let answer = if is_refused { "503 Service Unavailable\r\nRetry-After: 0" } else { "200 OK" };
                let _ = write!(&connection, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                if !is_refused && sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }
}

fn read(connection: &TcpStream) -> Option<Pushed> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Pushed { path, headers, body })
}

/// A server that sends profiles, as soon as it serves, and its address.
fn serve(folder: &std::path::Path, options: &[&str]) -> (Child, String, BufReader<std::process::ChildStderr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.args(["serve", "--addr", "127.0.0.1:0", "--push-every", "200ms", "-o", "p.json.gz"]).args(options);
    command.arg(support::root().join("tests/guests/http.wat")).current_dir(folder).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starting witprof");
    let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
    let (mut address, mut line) = (String::new(), String::new());
    while !line.contains("ends it") {
        line.clear();
        if stderr.read_line(&mut line).expect("UTF-8") == 0 {
            panic!("it ends: {}", child.wait().expect("its end"));
        }
        if let Some(found) = line.strip_prefix("serving http://") {
            address = found.trim_end().trim_end_matches('/').to_owned();
        }
    }
    (child, address, stderr)
}

/// Ends it, and returns what it has said since.
fn end(mut child: Child, mut stderr: BufReader<std::process::ChildStderr>) -> String {
    let kill = format!("kill -s TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    let mut messages = String::new();
    stderr.read_to_string(&mut messages).expect("UTF-8");
    assert!(child.wait().expect("its end").success(), "{messages}");
    messages
}

fn get(address: &str, path: &str, header: &str) {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(LONG)).expect("a time limit");
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n").expect("sending");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn text(value: Option<&AnyValue>) -> &str {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

#[cfg(unix)]
#[test]
fn a_collector_gets_what_was_sampled_with_links_to_spans() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let collector = Collector::start(2);
    let endpoint = format!("http://me:secret@{}/base/", collector.address);
    let options = ["--otlp-endpoint", &endpoint, "--push-label", "service.name=shop", "--push-header", "X-Tenant: t1"];
    let (child, address, stderr) = serve(folder.path(), &options);
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let (mut names, mut routes, mut links, mut kinds) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    // Until everything was there: a sample of each kind may take a while on a busy machine.
    while !(links.contains(&format!("{trace}{span}")) && routes.len() >= 2 && names.contains("busy")) {
        get(&address, "/busy", &format!("traceparent: 00-{trace}-{span}-01\r\n"));
        get(&address, "/busy/1", "");
        let Ok(request) = collector.requests.try_recv() else { continue };
        assert_eq!(request.path, "/base/v1development/profiles");
        let header = |name: &str| request.headers[name].as_str();
        assert_eq!((header("content-type"), header("content-encoding")), ("application/x-protobuf", "gzip"));
        assert_eq!((header("x-tenant"), header("authorization")), ("t1", "Basic bWU6c2VjcmV0"));
        assert_eq!(header("host"), collector.address);
        let data = ProfilesData::decode(&support::gunzip(&request.body)[..]).expect("what the schema says");
        let resource = &data.resource_profiles[0];
        let attributes = &resource.resource.as_ref().expect("a resource").attributes;
        let of = |key: &str| attributes.iter().find(|attribute: &&KeyValue| attribute.key == key).expect("it is there");
        assert_eq!(text(of("service.name").value.as_ref()), "shop");
        let tables = data.dictionary.as_ref().expect("tables");
        let string = |at: i32| tables.string_table[usize::try_from(at).expect("an index")].clone();
        names.extend(tables.function_table.iter().map(|function| string(function.name_strindex)));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for profile in &resource.scope_profiles[0].profiles {
            kinds.insert(string(profile.sample_type.expect("a kind").type_strindex));
            assert!(profile.duration_nano > 0 && profile.time_unix_nano > 0);
            for sample in &profile.samples {
                let link = &tables.link_table[usize::try_from(sample.link_index).expect("an index")];
                links.insert(hex(&link.trace_id) + &hex(&link.span_id));
                for at in &sample.attribute_indices {
                    let attribute = &tables.attribute_table[usize::try_from(*at).expect("an index")];
                    if string(attribute.key_strindex) == "route" {
                        routes.insert(text(attribute.value.as_ref()).to_owned());
                    }
                }
            }
        }
    }
    assert_eq!(links, BTreeSet::from([String::new(), format!("{trace}{span}")]));
    assert_eq!(routes, BTreeSet::from(["/busy".to_owned(), "/busy/{}".to_owned()]));
    assert!(["wall", "cpu", "samples"].iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    // The rest is sent at the end.
    get(&address, "/busy", "");
    let messages = end(child, stderr);
    assert!(messages.contains("0 dropped, 2 retries") && !messages.contains("secret"), "{messages}");
    // Nobody who is given the profile learns a password.
    let file = support::gunzip(&support::read(&folder.path().join("p.json.gz")));
    let file = String::from_utf8(file).expect("UTF-8");
    assert!(file.contains("--otlp-endpoint") && !file.contains("secret") && !file.contains("X-Tenant"), "a password");
    assert!(file.contains(trace), "links are in the file as well");
}

/// `PushRequest` of Pyroscope, as far as it is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<RawSample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawSample {
    #[prost(bytes = "vec", tag = "1")]
    raw_profile: Vec<u8>,
}

#[cfg(unix)]
#[test]
fn pyroscope_gets_series_with_tags() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let collector = Collector::start(0);
    let (child, address, stderr) = serve(folder.path(), &["--pyroscope-url", &format!("http://{}", collector.address)]);
    let mut series = BTreeSet::new();
    while series.len() < 2 {
        get(&address, "/busy/7", "");
        let Ok(request) = collector.requests.try_recv() else { continue };
        assert_eq!(request.path, "/push.v1.PusherService/Push");
        assert_eq!(request.headers["content-type"], "application/proto");
        let push = PushRequest::decode(&support::gunzip(&request.body)[..]).expect("a push");
        let [one] = &push.series[..] else { panic!("one series") };
        let labels: BTreeMap<_, _> = one.labels.iter().map(|label| (&*label.name, &*label.value)).collect();
        assert_eq!(labels["service_name"], "hello");
        series.insert(labels["__name__"].to_owned());
        let profile = &one.samples[0].raw_profile;
        let has = |text: &str| profile.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(has("/busy/{}") && has("route") && has("handle") && !has("interface_function"));
    }
    assert_eq!(series, BTreeSet::from(["process_cpu".to_owned(), "wall".to_owned()]));
    assert!(end(child, stderr).contains("0 dropped, 0 retries"));
}

#[cfg(unix)]
#[test]
fn a_collector_that_is_not_there_disturbs_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let (child, address, stderr) = serve(folder.path(), &["--otlp-endpoint", &format!("http://{gone}")]);
    (0..20).for_each(|_| get(&address, "/busy", ""));
    let messages = end(child, stderr);
    assert!(messages.contains("20 requests, 0 failed") && messages.contains("0 profiles"), "{messages}");
    for (option, value) in
        [("--otlp-endpoint", "localhost:4318"), ("--pyroscope-url", "ftp://x"), ("--push-label", "x")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        command.args(["serve", option, value]).arg(support::root().join("tests/guests/http.wat"));
        let output = command.current_dir(folder.path()).output().expect("running witprof");
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(option), "{option}");
    }
}
