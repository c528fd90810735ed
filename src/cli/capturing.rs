//! The options of a flight recorder: how much is kept, and what is captured of it when.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use witprof::{Captures, Trigger};

use super::arguments::RECORDING;
use crate::files::{CaptureFolder, Format};
use crate::host::{CaptureSignal, Capturing};

/// How much is kept where requests are to be captured, unless that was said.
const KEPT: Duration = Duration::from_mins(2);

/// Where captures go, unless that was said.
const FOLDER: &str = "witprof-captures";

/// What is captured of a recording while it goes on.
#[derive(Args, Clone)]
#[command(next_help_heading = RECORDING)]
pub(super) struct CapturingArguments {
    /// Keep the last TIME of the recording only, so that it may go on for ever
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    keep_last: Option<Duration>,

    /// Write a profile of what was just now whenever this signal comes: the process goes on
    #[arg(long, value_name = "SIGNAL", value_enum)]
    on_signal: Option<CaptureSignal>,

    /// Where profiles go that are written meanwhile, and how much of them: FOLDER, and behind it, separated by commas,
    /// `before=5s` and `after=1s` (time around a request), `every=10s` (the least time between two requests), `files=100` and
    /// `bytes=1GB` (then the oldest go), and `format=html` or another one of `--format`
    /// [default: witprof-captures, with these values, and firefox-gzip]
    #[arg(long, value_name = "FOLDER[,…]", value_parser = parse_captures)]
    captures: Option<CaptureLimits>,
}

/// Where captures go, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CaptureLimits {
    folder: PathBuf,
    before: Duration,
    after: Duration,
    every: Duration,
    files: usize,
    bytes: u64,
    format: Format,
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self {
            folder: FOLDER.into(),
            before: Captures::BEFORE,
            after: Captures::AFTER,
            every: Captures::DISTANCE,
            files: 100,
            bytes: 1_000_000_000,
            format: Format::FirefoxGzip,
        }
    }
}

impl CapturingArguments {
    /// How much of a recording is kept; nothing if that is all of it. `may_forget` says whether that need not be all, unless
    /// somebody says so.
    pub(super) fn kept(&self, may_forget: bool) -> Option<Duration> {
        self.keep_last.or(may_forget.then_some(KEPT))
    }

    pub(super) fn capturing(&self, triggers: Vec<Trigger>) -> Capturing {
        let CaptureLimits { folder, before, after, every, files, bytes, format } =
            self.captures.clone().unwrap_or_default();
        let folder = CaptureFolder::new(folder, files, bytes, format);
        Capturing { triggers, signal: self.on_signal, before, after, every, folder }
    }
}

pub(super) fn parse_time(text: &str) -> Result<Duration> {
    let time = humantime::parse_duration(text).map_err(|_| anyhow!("not a time such as `30s` or `5min`"))?;
    if time.is_zero() {
        bail!("has to be longer than that");
    }
    Ok(time)
}

/// `200ms,route=/checkout`: a limit, and labels that a request has to have.
pub(super) fn parse_slow(text: &str) -> Result<Trigger> {
    let (limit, labels) = text.split_once(',').unwrap_or((text, ""));
    let mut trigger = Trigger::slow(parse_time(limit)?);
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        match label.split_once('=') {
            Some((key, value)) if !key.is_empty() => trigger = trigger.label(key, value),
            _ => bail!("`{label}` is not a label such as `route=/checkout`"),
        }
    }
    Ok(trigger)
}

fn parse_captures(text: &str) -> Result<CaptureLimits> {
    let mut parts = text.split(',');
    let mut limits = CaptureLimits::default();
    match parts.next() {
        Some(folder) if !folder.is_empty() && !folder.contains('=') => limits.folder = folder.into(),
        _ => bail!("it begins with the name of a folder"),
    }
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { bail!("`{part}` is not of the form KEY=VALUE") };
        let time = || humantime::parse_duration(value).map_err(|_| anyhow!("`{value}` is not a time such as `5s`"));
        match key {
            "before" => limits.before = time()?,
            "after" => limits.after = time()?,
            "every" => limits.every = time()?,
            "files" => {
                let number = value.parse().ok().filter(|files| *files > 0);
                limits.files = number.ok_or_else(|| anyhow!("`{value}` is not a number of files"))?;
            }
            "bytes" => limits.bytes = parse_bytes(value)?,
            "format" => {
                let format = Format::from_str(value, true);
                limits.format = format.map_err(|_| anyhow!("`{value}` is not one of the formats of `--format`"))?;
            }
            _ => bail!("`{key}` is none of `before`, `after`, `every`, `files`, `bytes` and `format`"),
        }
    }
    Ok(limits)
}

/// `200MB`: by thousands, as disks are sold.
fn parse_bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => bail!("`{text}` is not a number of bytes such as `200MB` or `1GB`"),
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| anyhow!("`{text}` is not a number of bytes such as `200MB` or `1GB`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_captures_are_read() {
        let read = |text| parse_captures(text).ok();
        let folder = |folder: &str| CaptureLimits { folder: folder.into(), ..CaptureLimits::default() };
        assert_eq!(read("x/y"), Some(folder("x/y")));
        let all = "x,before=10s,after=0s,every=1min,files=3,bytes=200MB,format=html";
        let limits = CaptureLimits {
            folder: "x".into(),
            before: Duration::from_secs(10),
            after: Duration::ZERO,
            every: Duration::from_mins(1),
            files: 3,
            bytes: 200_000_000,
            format: Format::Html,
        };
        assert_eq!(read(all), Some(limits));
        for bad in [
            "",
            "before=1s",
            "x,",
            "x,y",
            "x,before=soon",
            "x,files=0",
            "x,bytes=1TB",
            "x,bytes=-1",
            "x,format=doc",
            "x,a=b",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
        assert_eq!(parse_bytes("99999999999GB").ok(), None);
    }

    #[test]
    fn what_is_slow_is_a_time_and_labels() {
        let slow = Trigger::slow(Duration::from_millis(200));
        assert_eq!(parse_slow("200ms").ok(), Some(slow.clone()));
        let labeled = slow.label("route", "/a=b").label("method", "GET");
        assert_eq!(parse_slow("200ms,route=/a=b,method=GET").ok(), Some(labeled));
        for bad in ["", "soon", "0s", "200ms,route", "200ms,=x", ",route=/a"] {
            assert!(parse_slow(bad).is_err(), "{bad}");
        }
    }
}
