//! Profiles of a running service, as Go services offer them: what `go tool pprof http://…` and systems for continuous
//! profiling (Parca, Pyroscope, Grafana Alloy) fetch.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Recorder;
use crate::error::{Error, Result};
use crate::export::{TableStyle, write_pprof, write_report_table, write_summary};
use crate::profile::{Dimension, Filter, HostFrames, Profile};

/// Where Go services have their profiles.
pub const PPROF_PATH: &str = "/debug/pprof/profile";

/// A page for `/debug/pprof/` that says what there is.
pub const PPROF_INDEX: &str = "<!doctype html><meta charset=\"utf-8\"><title>/debug/pprof/</title>\
    <h1>/debug/pprof/</h1><p><a href=\"profile?seconds=10\">profile</a>: where the guests spend their time, by function. \
    <code>seconds</code> says for how long to look, <code>by=interface</code> shows interface functions instead, \
    <code>host-frames=all</code>, <code>inner</code> or <code>none</code> how much of the host, <code>debug=1</code> gives \
    text.</p>\
    <p><code>go tool pprof http://…/debug/pprof/profile?seconds=10</code></p>\n";

/// Seconds of a scrape that does not say how many, as in Go.
const DEFAULT_SECONDS: u64 = 30;

/// The longest scrape.
const MAX_SECONDS: u64 = 3600;

/// A profile that is being taken. Made by [`Recorder::scrape`]; any number of them may go on at once.
#[derive(Debug)]
#[must_use = "the profile is made by `finish`"]
pub struct Scrape {
    begin: Duration,
    seconds: u64,
    by: Dimension,
    host_frames: Option<HostFrames>,
    is_text: bool,
    filter: Option<Filter>,
}

/// The answer to a request of a profile. Made by [`Scrape::finish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapedProfile {
    body: Vec<u8>,
    is_text: bool,
}

impl ScrapedProfile {
    /// The headers of the answer, as Go's are: a profile is a file to be kept, of any bytes.
    #[must_use]
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        if self.is_text {
            &[("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
        } else {
            &[
                ("Content-Type", "application/octet-stream"),
                ("Content-Disposition", "attachment; filename=\"profile\""),
                ("X-Content-Type-Options", "nosniff"),
            ]
        }
    }

    /// The profile: in the format of `go tool pprof`, compressed with gzip, which is part of the format and no
    /// `Content-Encoding`; or text.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

impl Recorder {
    /// Begins a profile for a request of `/debug/pprof/profile?<query>`, where `seconds=N` says how long it is to be, from 1
    /// to 3600 and by default 30, `by=interface` asks for interface functions instead of functions, and
    /// `host-frames=all`, `inner` or `none` for how much of the host to [show](HostFrames), and `debug=1` for text. Other
    /// parameters mean nothing. The service waits for [`Scrape::duration`] as it likes to, and asks for the answer.
    ///
    /// ```
    /// # async fn sleep(_: std::time::Duration) {}
    /// # async fn answer(recorder: &witprof::Recorder, query: Option<&str>) -> Result<witprof::ScrapedProfile, String> {
    /// let scrape = recorder.scrape(query).map_err(|error| error.to_string())?; // a 400
    /// sleep(scrape.duration()).await;
    /// Ok(scrape.finish(recorder)) // has the headers and the body of the answer
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Query`] if the query asks for what cannot be.
    pub fn scrape(&self, query: Option<&str>) -> Result<Scrape> {
        let (mut seconds, mut by, mut host_frames) = (DEFAULT_SECONDS, Dimension::Function, None);
        let mut is_text = false;
        for parameter in query.unwrap_or_default().split('&') {
            match parameter.split_once('=') {
                Some(("seconds", value)) => {
                    let number = value.parse().ok().filter(|number| (1..=MAX_SECONDS).contains(number));
                    seconds =
                        number.ok_or(Error::Query { problem: "`seconds` has to be a whole number from 1 to 3600" })?;
                }
                Some(("by", "function")) => by = Dimension::Function,
                Some(("by", "interface")) => by = Dimension::Interface,
                Some(("by", _)) => return Err(Error::Query { problem: "`by` has to be `function` or `interface`" }),
                Some(("host-frames", "all")) => host_frames = Some(HostFrames::All),
                Some(("host-frames", "inner")) => host_frames = Some(HostFrames::Inner),
                Some(("host-frames", "none")) => host_frames = Some(HostFrames::None),
                Some(("host-frames", _)) => {
                    return Err(Error::Query { problem: "`host-frames` has to be `all`, `inner` or `none`" });
                }
                Some(("debug", "0" | "")) => is_text = false,
                // Go's higher levels are more text.
                Some(("debug", value)) if value.parse::<u8>().is_ok() => is_text = true,
                Some(("debug", _)) => return Err(Error::Query { problem: "`debug` has to be `0` or `1`" }),
                _ => {}
            }
        }
        Ok(Scrape { begin: self.elapsed(), seconds, by, host_frames, is_text, filter: None })
    }
}

impl Scrape {
    /// How long it is to be.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Which frames of the host it has, unless the query said so. The default is [`HostFrames::Inner`].
    pub fn host_frames_unless_asked(mut self, host_frames: HostFrames) -> Self {
        self.host_frames.get_or_insert(host_frames);
        self
    }

    /// The samples that it has; all of them, unless this is called. For whoever may see a part only, such as a tenant.
    pub fn only(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// The profile until now. `recorder` is the one that it was begun with; another one's profile is of the same length of time,
    /// but its own.
    #[must_use]
    pub fn finish(self, recorder: &Recorder) -> ScrapedProfile {
        let mut profile = recorder.snapshot_of(self.begin..recorder.elapsed());
        if let Some(filter) = &self.filter {
            profile = profile.filter(filter);
        }
        let profile = profile.with_host_frames(self.host_frames.unwrap_or_default());
        let is_text = self.is_text;
        // Writing to memory does not fail.
        let body = if is_text { text(&profile, self.by) } else { compressed(&profile, self.by) }.unwrap_or_default();
        ScrapedProfile { body, is_text }
    }
}

/// In the format of `go tool pprof`. Collectors of some age refuse what is not compressed.
fn compressed(profile: &Profile, by: Dimension) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    write_pprof(profile, by, &mut encoder)?;
    encoder.finish().map_err(|source| Error::Write { format: "pprof", source })
}

/// For people.
fn text(profile: &Profile, by: Dimension) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let style = TableStyle { rows: usize::MAX, ..TableStyle::default() };
    write_summary(profile, TableStyle { rows: 0, ..style }, &mut out)?;
    let dimensions: &[Dimension] = match by {
        Dimension::Interface => &[Dimension::Interface, Dimension::InterfaceFunction],
        _ if profile.has_scripts() => &[Dimension::Interface, Dimension::Script, Dimension::Function],
        _ => &[Dimension::Interface, Dimension::Function],
    };
    for dimension in dimensions {
        writeln!(out).map_err(|source| Error::Write { format: "report", source })?;
        write_report_table(&profile.report(*dimension), style, &mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_or_refused() {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, "(module)").expect("a module");
        let map = std::sync::Arc::new(crate::SymbolMap::builder("empty").build(&module).expect("a map"));
        let Ok(recorder) = Recorder::builder(Duration::from_millis(1)).code(map, &module).start() else { return };
        let seconds = |query| recorder.scrape(query).ok().map(|scrape| scrape.duration().as_secs());
        assert_eq!(seconds(None), Some(30));
        assert_eq!(seconds(Some("seconds=5&debug=1&gc=1")), Some(5));
        assert_eq!(seconds(Some("by=interface&seconds=3600")), Some(3600));
        for bad in [
            "seconds=",
            "seconds=0",
            "seconds=-1",
            "seconds=1.5",
            "seconds=3601",
            "seconds=abc",
            "by=colour",
            "host-frames=x",
            "debug=yes",
        ] {
            assert!(recorder.scrape(Some(bad)).is_err(), "{bad}");
        }
        let finish = |query| recorder.scrape(Some(query)).expect("a scrape").finish(&recorder);
        let header = |of: &ScrapedProfile, name: &str| {
            let headers = of.headers().iter();
            headers.filter(|(known, _)| *known == name).map(|(_, value)| *value).collect::<String>()
        };
        let profile = finish("seconds=1");
        assert_eq!(header(&profile, "Content-Type"), "application/octet-stream");
        assert_eq!(header(&profile, "Content-Disposition"), "attachment; filename=\"profile\"");
        assert_eq!(profile.into_body()[..2], [0x1f, 0x8b], "gzip");
        let text = finish("debug=1");
        assert_eq!(header(&text, "Content-Type"), "text/plain; charset=utf-8");
        assert!(String::from_utf8(text.into_body()).expect("UTF-8").starts_with("0 samples taken"));
    }
}
