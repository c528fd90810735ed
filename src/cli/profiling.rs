//! The options of every command that runs a guest and profiles it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use witprof::{Recorder, SamplerChoice, SamplingClock, ScriptFrames, SlowCalls};

use super::arguments::{OUTPUT, RECORDING};
use super::capturing::parse_time;
use super::host_frames::HostFramesChoice;
use super::script_frames::ScriptsChoice;
use crate::files::{Format, OutputFile, Outputs, Shown, SourceMapFile, Sources};
use crate::host::{Begin, CallTracing, ExternalProfilers, Sampling, Verbosity, WasmFile};

/// How samples are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
enum Sampler {
    /// The best one that works here
    #[default]
    Auto,
    /// By signals: anywhere, host functions included, without a change to the guest (Linux)
    Signal,
    /// By epoch interruption: portable; samples at function entries and loop headers
    Epoch,
}

impl From<Sampler> for SamplerChoice {
    fn from(sampler: Sampler) -> Self {
        match sampler {
            Sampler::Auto => Self::Auto,
            Sampler::Signal => Self::Signal,
            Sampler::Epoch => Self::Epoch,
        }
    }
}

/// Which time the signal sampler counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
enum Clock {
    /// Time as it passes, waiting included
    #[default]
    Wall,
    /// Time on a CPU, in steps of the kernel's scheduler tick
    Cpu,
}

impl From<Clock> for SamplingClock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::Wall => Self::Wall,
            Clock::Cpu => Self::Cpu,
        }
    }
}

/// Which times of traced calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CallClock {
    /// Time as it passes
    Wall,
    /// CPU time as well, which takes two system calls for each call
    Cpu,
}

/// How a guest is profiled, and where the profile goes.
#[derive(Args)]
#[command(next_help_heading = RECORDING)]
pub(super) struct ProfilingArguments {
    /// Write the profile to this file (repeatable). Its name tells the format: .json.gz or .json for the Firefox Profiler,
    /// which the other commands read, .html for a report, .svg for a flame graph, .folded for stacks,
    /// .pb.gz or .pb for pprof, .otlp for OpenTelemetry, .speedscope.json for speedscope. Pipes and names such as /dev/fd/3 are written in place
    /// [default: witprof-<WASM>.json.gz]
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    output: Vec<PathBuf>,

    /// The format of an output file whose name does not tell it
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = OUTPUT)]
    format: Option<Format>,

    /// Time between two samples
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = parse_interval)]
    interval: Duration,

    /// How samples are taken
    #[arg(long, value_name = "SAMPLER", value_enum, default_value_t)]
    sampler: Sampler,

    /// The time that counts, for the signal sampler
    #[arg(long, value_name = "CLOCK", value_enum, default_value_t)]
    clock: Clock,

    /// The signal of the signal sampler; `auto` is SIGPROF, or if another profiler has that, one that is free
    #[arg(long, value_name = "NUMBER", default_value = "auto", value_parser = parse_signal)]
    signal: SignalNumber,

    /// Count and time every call across an interface as well; with `=cpu`, take its CPU time, too
    #[arg(long, value_name = "CLOCK", value_enum)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "wall")]
    trace_calls: Option<CallClock>,

    /// Keep a traced call one by one, with the stack that made it, only if it takes this long; all are counted. Behind the time may
    /// be an interface function: `5ms,wasi:io/streams#output-stream.write` (repeatable)
    #[arg(long, value_name = "TIME[,FUNCTION]", requires = "trace_calls", value_parser = parse_slower_than)]
    slower_than: Vec<SlowCalls>,

    /// Begin to record after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    delay: Option<Duration>,

    /// Begin to record when this interface function is called, or with a number behind it, when it is called for the nth time:
    /// `wasi:http/incoming-handler#handle,1000`
    #[arg(long, value_name = "FUNCTION[,N]", conflicts_with = "delay", value_parser = parse_from_call)]
    from_call: Option<Begin>,

    /// Write what there is until now each time that so much time has passed
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    every: Option<Duration>,

    /// Frames of the host to show, in every output; the file for the Firefox Profiler keeps all
    #[arg(long, value_name = "WHICH", value_enum, default_value_t, help_heading = OUTPUT)]
    host_frames: HostFramesChoice,

    #[command(flatten)]
    scripts: ScriptsChoice,

    /// Keep the source files that the profile names in the file for the Firefox Profiler, for whoever is given it
    /// (repeatable). They are looked for below FOLDER, in the current folder, and around the component
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = ".")]
    #[arg(help_heading = OUTPUT)]
    embed_sources: Vec<PathBuf>,

    /// Give names as compilers and linkers wrote them
    #[arg(long)]
    raw_names: bool,

    /// Do without lines of source code and inlined functions
    #[arg(long)]
    no_lines: bool,

    /// Show source files whose path begins with FROM as beginning with TO (repeatable). Otherwise, paths are shown without
    /// what tells where they were compiled; `/=/` shows them as they are
    #[arg(long, value_name = "FROM=TO", value_parser = parse_path_rule)]
    path_map: Vec<(String, String)>,

    /// Show places in a bundled or compiled script as places in its sources, as this file says (repeatable). SCRIPT is the script
    /// that it is for, if that is not the one that it names itself. A map that a script has in itself needs no option
    #[arg(long, value_name = "[SCRIPT=]FILE", value_parser = parse_source_map)]
    source_map: Vec<SourceMapFile>,

    /// Tell `perf` the names of all functions: writes /tmp/perf-PID.map (Linux). For `perf record witprof run …`
    #[arg(long)]
    perf_map: bool,

    /// Write code, names and lines of all functions to FOLDER/jit-PID.dump (Linux). For `perf record -k mono witprof run …`
    /// and `perf inject --jit`, and for samply [default FOLDER: the current one]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = ".")]
    jitdump: Option<PathBuf>,

    /// Tell Intel VTune the names of all functions. For `vtune -collect hotspots -- witprof run …`
    #[arg(long)]
    vtune: bool,

    /// Print nothing but errors
    #[arg(long, help_heading = OUTPUT)]
    quiet: bool,
}

impl ProfilingArguments {
    /// Opens the files that the profile of `file` goes to.
    pub(super) fn open_outputs(&self, file: &WasmFile) -> Result<Outputs> {
        let sources = (!self.embed_sources.is_empty())
            .then(|| Sources { folders: self.embed_sources.clone(), component: Some(file.path().to_owned()) });
        Ok(Outputs {
            files: self.open_files(file)?,
            shown: Shown { host_frames: self.host_frames.into(), scripts: self.scripts.asked(), sources },
        })
    }

    fn open_files(&self, file: &WasmFile) -> Result<Vec<OutputFile>> {
        if self.output.is_empty() {
            if let Some(format) = self.format {
                bail!("`--format {}` says what is written, but not where to: name a file with `-o`", format.name());
            }
            return OutputFile::open_all(&[default_output(&file.stem())], None, file.path());
        }
        OutputFile::open_all(&self.output, self.format, file.path())
    }

    /// Whether nobody has said where the profile goes.
    pub(super) fn has_no_output(&self) -> bool {
        self.output.is_empty()
    }

    /// How samples are taken, and how much of them is kept.
    pub(super) fn sampling(&self, keep_last: Option<Duration>) -> Sampling {
        let calls = match self.trace_calls {
            None => CallTracing::Off,
            Some(CallClock::Wall) => CallTracing::Wall,
            Some(CallClock::Cpu) => CallTracing::WallAndCpu,
        };
        let (choice, clock) = (self.sampler.into(), self.clock.into());
        let Self { interval, perf_map, vtune, raw_names, .. } = *self;
        let external = ExternalProfilers { perf_map, jit_dump: self.jitdump.clone(), vtune };
        let (lines, path_map, source_maps) = (!self.no_lines, self.path_map.clone(), self.source_map.clone());
        let begin = match (&self.from_call, self.delay) {
            (Some(begin), _) => begin.clone(),
            (None, Some(delay)) => Begin::After(delay),
            (None, None) => Begin::AtOnce,
        };
        let SignalNumber(signal) = self.signal;
        let scripts = self.scripts.asked() != Some(ScriptFrames::None);
        Sampling {
            interval,
            choice,
            clock,
            signal,
            reserved: None,
            calls,
            slow_calls: self.slower_than.clone(),
            begin,
            keep_last,
            external,
            raw_names,
            scripts,
            lines,
            path_map,
            source_maps,
        }
    }

    /// How often what there is until now is written.
    pub(super) fn every(&self) -> Option<Duration> {
        self.every
    }

    pub(super) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// A signal; nothing for any that is free.
#[derive(Clone, Copy, Debug)]
struct SignalNumber(Option<i32>);

fn parse_signal(text: &str) -> Result<SignalNumber> {
    if text == "auto" {
        return Ok(SignalNumber(None));
    }
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(|number| SignalNumber(Some(number))).ok_or_else(|| anyhow!("not the number of a signal, nor `auto`"))
}

/// `5ms,wasi:io/streams#output-stream.write`
fn parse_slower_than(text: &str) -> Result<SlowCalls> {
    let (time, function) = text.split_once(',').map_or((text, None), |(time, function)| (time, Some(function)));
    let time = humantime::parse_duration(time).map_err(|_| anyhow!("not a time such as `5ms`"))?;
    match function {
        None => Ok(SlowCalls::than(time)),
        Some("") => bail!("behind the comma is the name of an interface or interface function"),
        Some(function) => Ok(SlowCalls::than(time).of(function)),
    }
}

/// `wasi:http/incoming-handler#handle,1000`
fn parse_from_call(text: &str) -> Result<Begin> {
    let (function, number) = text.rsplit_once(',').unwrap_or((text, "1"));
    let number = number.trim().parse().ok().filter(|number| *number > 0);
    match number {
        Some(number) if !function.is_empty() => Ok(Begin::WithCall(function.to_owned(), number)),
        _ => bail!(
            "not the name of an interface function, such as `wasi:cli/run#run`, with or without a number behind it"
        ),
    }
}

/// Where the profile of a file of that name goes: a name that a folder can hold.
fn default_output(stem: &str) -> PathBuf {
    /// Bytes of a name, on all usual file systems.
    const MAX_NAME: usize = 255;
    let (begin, end) = ("witprof-", ".json.gz");
    let stem = &stem[..stem.floor_char_boundary(MAX_NAME - begin.len() - end.len())];
    format!("{begin}{stem}{end}").into()
}

fn parse_path_rule(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => bail!("not of the form FROM=TO"),
    }
}

fn parse_source_map(text: &str) -> Result<SourceMapFile> {
    match text.split_once('=') {
        Some((script, file)) if !script.is_empty() && !file.is_empty() => {
            Ok(SourceMapFile { script: Some(script.to_owned()), file: file.into() })
        }
        Some(_) => bail!("not of the form SCRIPT=FILE"),
        None => Ok(SourceMapFile { script: None, file: text.into() }),
    }
}

fn parse_interval(text: &str) -> Result<Duration> {
    let interval = humantime::parse_duration(text).map_err(|_| anyhow!("not a time such as `1ms` or `250us`"))?;
    let (min, max) = (Recorder::MIN_INTERVAL, Recorder::MAX_INTERVAL);
    if interval < min || interval > max {
        bail!("has to be from {min:?} to {max:?}");
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_name_fits_into_a_folder() {
        assert_eq!(default_output("app"), PathBuf::from("witprof-app.json.gz"));
        for (stem, length) in [("x".repeat(250), 255), ("ü".repeat(125), 254), ("🦀".repeat(63), 252)] {
            let name = default_output(&stem);
            let name = name.to_str().expect("cut between characters");
            assert_eq!(name.len(), length);
            assert!(name.starts_with("witprof-") && name.ends_with(".json.gz"), "{name}");
        }
    }
}
