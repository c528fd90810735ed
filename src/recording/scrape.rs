//! Profiles of a running service, as Go services offer them: what `go tool pprof http://…` and systems for continuous
//! profiling (Parca, Pyroscope, Grafana Alloy) fetch.

use std::time::Duration;

use super::Recorder;
use crate::error::{Error, Result};
use crate::export::write_pprof;
use crate::profile::{Dimension, HostFrames};

/// Where Go services have their profiles.
pub const PPROF_PATH: &str = "/debug/pprof/profile";

/// A page for `/debug/pprof/` that says what there is.
pub const PPROF_INDEX: &str = "<!doctype html><meta charset=\"utf-8\"><title>/debug/pprof/</title>\
    <h1>/debug/pprof/</h1><p><a href=\"profile?seconds=10\">profile</a>: where the guests spend their time, by function. \
    <code>seconds</code> says for how long to look, <code>by=interface</code> shows interface functions instead, \
    <code>host-frames=all</code>, <code>inner</code> or <code>none</code> how much of the host.</p>\
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
}

impl Recorder {
    /// Begins a profile for a request of `/debug/pprof/profile?<query>`, where `seconds=N` says how long it is to be, from 1
    /// to 3600 and by default 30, `by=interface` asks for interface functions instead of functions, and
    /// `host-frames=all`, `inner` or `none` for how much of the host to [show](HostFrames). Other parameters mean nothing. The
    /// service waits for [`Scrape::duration`] as it likes to, and asks for the bytes.
    ///
    /// ```
    /// # async fn sleep(_: std::time::Duration) {}
    /// # async fn answer(recorder: &witprof::Recorder, query: Option<&str>) -> Result<Vec<u8>, String> {
    /// let scrape = recorder.scrape(query).map_err(|error| error.to_string())?; // a 400
    /// sleep(scrape.duration()).await;
    /// Ok(scrape.finish(recorder)) // application/octet-stream
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Query`] if the query asks for what cannot be.
    pub fn scrape(&self, query: Option<&str>) -> Result<Scrape> {
        let (mut seconds, mut by, mut host_frames) = (DEFAULT_SECONDS, Dimension::Function, None);
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
                _ => {}
            }
        }
        Ok(Scrape { begin: self.elapsed(), seconds, by, host_frames })
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

    /// The profile until now, in the format of `go tool pprof`, uncompressed. `recorder` is the one that it was begun with;
    /// another one's profile is of the same length of time, but its own.
    #[must_use]
    pub fn finish(self, recorder: &Recorder) -> Vec<u8> {
        let profile = recorder.snapshot_of(self.begin..recorder.elapsed());
        let profile = profile.with_host_frames(self.host_frames.unwrap_or_default());
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = write_pprof(&profile, self.by, &mut out);
        out
    }
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
        assert_eq!(seconds(Some("seconds=5&debug=1")), Some(5));
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
        ] {
            assert!(recorder.scrape(Some(bad)).is_err(), "{bad}");
        }
        let scrape = recorder.scrape(Some("seconds=1")).expect("a scrape");
        assert!(!scrape.finish(&recorder).is_empty());
    }
}
