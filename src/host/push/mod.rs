//! Profiles that are sent to collectors while a recording goes on: what there was since the last time, again and again.
//!
//! That has a thread and a runtime of its own, so that a guest that keeps all threads busy does not stop it, and so that the rest can
//! be sent however the run ends.

mod client;
mod queue;

use std::io::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceResponse;
use prost::Message as _;
use tokio::sync::watch;
use witprof::export::{escape_control, pyroscope_pushes, write_otlp};
use witprof::{HostFrames, Profile, Recorder};

use self::client::{Target, words_of};
use self::queue::Queue;
use super::recording::Verbosity;
use crate::terminal;

/// How long the end waits until everything is sent.
const LAST: Duration = Duration::from_secs(5);

/// Where profiles are sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Pushing {
    /// Address of a collector that speaks OTLP, to which a path is added.
    pub(crate) otlp: Option<String>,
    /// Address of Pyroscope.
    pub(crate) pyroscope: Option<String>,
    pub(crate) every: Duration,
    /// What the service is: attributes and tags.
    pub(crate) labels: Vec<(String, String)>,
    /// `NAME: VALUE`
    pub(crate) headers: Vec<String>,
    pub(crate) host_frames: HostFrames,
}

/// Which format a collector wants.
#[derive(Clone, Copy, Debug)]
enum Format {
    Otlp,
    Pyroscope,
}

/// Sends profiles until it is told to end.
pub(super) struct Pusher {
    end: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Pushing {
    /// Refuses addresses that are none, before anything runs.
    pub(super) fn check(&self) -> Result<()> {
        self.queues().map(drop)
    }

    fn queues(&self) -> Result<Vec<(Format, Arc<Queue>)>> {
        let otlp = self.otlp.iter().map(|base| {
            let target = Target::new(base, "v1development/profiles", "application/x-protobuf", &self.headers);
            Ok((Format::Otlp, Arc::new(Queue::new(target.context("`--otlp-endpoint`")?, otlp_complaint))))
        });
        let pyroscope = self.pyroscope.iter().map(|base| {
            let target = Target::new(base, "push.v1.PusherService/Push", "application/proto", &self.headers);
            Ok((Format::Pyroscope, Arc::new(Queue::new(target.context("`--pyroscope-url`")?, |_| None))))
        });
        otlp.chain(pyroscope).collect()
    }

    /// Begins to send, if there is somebody to send to.
    pub(super) fn start(self, recorder: &Recorder, verbosity: Verbosity) -> Result<Option<Pusher>> {
        let queues = self.queues()?;
        if queues.is_empty() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
        let (end, is_over) = watch::channel(false);
        let recorder = recorder.clone();
        let run = move || runtime.block_on(self.run(&recorder, &queues, is_over, verbosity));
        let thread = std::thread::Builder::new().name("witprof push".to_owned()).spawn(run);
        Ok(Some(Pusher { end, thread: thread.context("starting a thread that sends profiles")? }))
    }

    async fn run(
        self,
        recorder: &Recorder,
        queues: &[(Format, Arc<Queue>)],
        mut is_over: watch::Receiver<bool>,
        verbosity: Verbosity,
    ) {
        for (_, queue) in queues {
            let queue = Arc::clone(queue);
            tokio::spawn(async move {
                queue.send(|message| terminal::message(&format!("witprof: {}", escape_control(message)))).await;
            });
        }
        let mut since = recorder.elapsed();
        loop {
            let is_last = tokio::time::timeout(self.every, is_over.wait_for(|is_over| *is_over)).await.is_ok();
            let now = recorder.elapsed();
            let profile = recorder.snapshot_of(since..now);
            since = now;
            if profile.counts().kept > 0 {
                let profile = profile.with_host_frames(self.host_frames);
                self.add(&profile, queues);
            }
            if is_last {
                break;
            }
        }
        let all_sent = async {
            while !queues.iter().all(|(_, queue)| queue.waiting() == 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(LAST, all_sent).await;
        for (_, queue) in queues {
            let ((sent, dropped, retries), to) = (queue.counts(), queue.target.shown());
            let waiting = match queue.waiting() {
                0 => String::new(),
                waiting => format!(", {waiting} not sent in time"),
            };
            verbosity.message(&format!("sent to {to}: {sent} profiles, {dropped} dropped, {retries} retries{waiting}"));
        }
    }

    fn add(&self, profile: &Profile, queues: &[(Format, Arc<Queue>)]) {
        for (format, queue) in queues {
            let bodies = match format {
                Format::Otlp => {
                    let mut body = Vec::new();
                    // Writing to memory does not fail.
                    let _ = write_otlp(profile, &self.labels, &mut body);
                    vec![body]
                }
                Format::Pyroscope => pyroscope_pushes(profile, &self.labels),
            };
            bodies.iter().for_each(|body| queue.push(compressed(body)));
        }
    }
}

impl Pusher {
    /// Sends the rest, and ends.
    pub(super) fn finish(self) {
        self.end.send_replace(true);
        // A panic was told by itself.
        let _ = self.thread.join();
    }
}

/// What a collector complains of that says that it has taken a request: some profiles may not have been.
fn otlp_complaint(answer: &[u8]) -> Option<String> {
    let answer = ExportProfilesServiceResponse::decode(answer).ok()?;
    let partial = answer.partial_success.filter(|partial| partial.rejected_profiles > 0)?;
    Some(format!(
        "{} profiles were rejected: {}",
        partial.rejected_profiles,
        words_of(partial.error_message.as_bytes())
    ))
}

fn compressed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Nor does this.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}
