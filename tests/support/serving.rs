//! `witprof serve`, for some requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use witprof::{Profile, read_firefox};

/// More than any step of a test takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Serves `paths` with a component, and returns what the server has said, its profile, and that as text.
pub fn serve(component: &Path, options: &[&str], paths: &[String]) -> (String, Profile, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let requests = paths.len().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::piped());
    command.args(["serve", "--addr", "127.0.0.1:0", "-o", "p.json", "--requests", &requests]).args(options);
    let mut child = command.arg(component).spawn().expect("starting witprof");
    let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines().map(|line| line.expect("UTF-8"));
    let address = lines.find_map(|line| Some(line.strip_prefix("serving http://")?.trim_end_matches('/').to_owned()));
    let address = address.expect("the address");
    for path in paths {
        let mut connection = TcpStream::connect(&address).expect("a connection");
        connection.set_read_timeout(Some(LONG)).expect("a time limit");
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sending");
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
    }
    let messages: Vec<String> = lines.collect();
    assert!(child.wait().expect("its end").success(), "{messages:#?}");
    let json = super::read(&folder.path().join("p.json"));
    super::firefox::validate(&serde_json::from_slice(&json).expect("complete JSON"));
    let profile = read_firefox(&mut &json[..]).expect("a profile");
    (messages.join("\n"), profile, String::from_utf8(json).expect("UTF-8"))
}
