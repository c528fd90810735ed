//! The options that say which collectors profiles are sent to.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use witprof::HostFrames;

use super::arguments::OUTPUT;
use super::capturing::parse_time;
use crate::host::Pushing;

/// Where profiles are sent while the recording goes on.
#[derive(Args, Clone)]
#[command(next_help_heading = OUTPUT)]
pub(super) struct PushingArguments {
    /// Send profiles to a collector that speaks OpenTelemetry's protocol, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Send profiles to Grafana Pyroscope, such as http://127.0.0.1:4040
    #[arg(long, value_name = "URL")]
    pyroscope_url: Option<String>,

    /// Time from one profile that is sent to the next
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time)]
    push_every: Duration,

    /// What the service is: an attribute of all profiles that are sent, and a tag in Pyroscope (repeatable). `service.name` is
    /// the name of the component unless it is given
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    push_label: Vec<(String, String)>,

    /// A header of all requests that send profiles, such as `Authorization: Bearer …` (repeatable)
    #[arg(long, value_name = "NAME: VALUE")]
    push_header: Vec<String>,
}

impl PushingArguments {
    pub(super) fn pushing(&self, host_frames: HostFrames) -> Pushing {
        Pushing {
            otlp: self.otlp_endpoint.clone(),
            pyroscope: self.pyroscope_url.clone(),
            every: self.push_every,
            labels: self.push_label.clone(),
            headers: self.push_header.clone(),
            host_frames,
        }
    }

    /// Whether profiles are sent to anybody.
    pub(super) fn is_asked_for(&self) -> bool {
        self.otlp_endpoint.is_some() || self.pyroscope_url.is_some()
    }
}

fn parse_label(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("not of the form KEY=VALUE"),
    }
}
