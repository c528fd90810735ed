//! Chromium without a window.

use std::path::Path;
use std::process::{Command, Output};

/// Opens an address. `folder` is for what the browser keeps, `flags` are for what is wanted of it. The page has a clock of
/// its own, of which so many milliseconds pass: it is looked at when it has nothing left to do, however slow the machine is.
pub fn chromium(address: &str, folder: &Path, milliseconds: u32, flags: &[&str]) -> Output {
    let mut arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"].to_vec();
    arguments.extend(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    arguments.extend(["--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]);
    arguments.extend(flags);
    let data = format!("--user-data-dir={}", folder.join("chromium").display());
    let time = format!("--virtual-time-budget={milliseconds}");
    for name in ["chromium", "chromium-browser", "google-chrome"] {
        match Command::new(name).args(&arguments).args([&data, &time, address]).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            output => return output.expect("running Chromium"),
        }
    }
    panic!("there is no Chromium");
}

/// A text as it was before `--dump-dom` wrote it.
pub fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&")
}
