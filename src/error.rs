//! What can go wrong in the library, as values a caller can match on.
//!
//! A message does not repeat that of its [`source`](std::error::Error::source), so that who prints all of them prints
//! each once. What to try is in the outermost one, for who prints no other.

/// A failure of the library: what was being done, to what, and, where there is a remedy, what to try.
///
/// Why it failed is told by [`source`](std::error::Error::source), where it is not all in one: print both, as `anyhow` does
/// with `{:#}`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a compiled image that this version of Wasmtime wrote.
    #[error("reading the compiled image of `{name}`; compile it with Wasmtime 48, and change nothing in it")]
    Image {
        /// The component or module that was being read.
        name: String,
        /// What is wrong with its image.
        #[source]
        problem: ImageProblem,
    },
    /// The engine clones code for guest debugging, so text offsets would not tell which function runs.
    #[error(
        "profiling `{name}`: its engine has guest debugging enabled, which runs a private copy of the code; turn `Config::guest_debug` (`-D guest-debug`) off"
    )]
    GuestDebug {
        /// The component or module that was to be profiled.
        name: String,
    },
    /// What should be a source map is none.
    #[error("reading a source map: {problem}; give the file that a bundler or compiler has written beside the script")]
    SourceMap {
        /// What is wrong with it.
        problem: String,
    },
    /// The interval between samples is outside what can be measured.
    #[error("starting a recorder: an interval of {interval:?} is outside {min:?} to {max:?}")]
    Interval {
        /// The interval that was asked for.
        interval: std::time::Duration,
        /// The shortest interval that is accepted.
        min: std::time::Duration,
        /// The longest interval that is accepted.
        max: std::time::Duration,
    },
    /// The image was compiled without the checks that the epoch sampler needs.
    #[error(
        "sampling `{name}` by epochs{}: it was compiled without epoch interruption, so it can never be interrupted; compile it with `Config::epoch_interruption(true)` (`wasmtime compile -W epoch-interruption`)",
        if reason.is_some() { ", as signals cannot be used" } else { "" }
    )]
    NoEpochs {
        /// The component or module that was to be sampled.
        name: String,
        /// Why it was not sampled by signals, if that was tried first.
        #[source]
        reason: Option<SignalProblem>,
    },
    /// Samples cannot be taken by signals, and were not to be taken otherwise.
    #[error("samples cannot be taken by signals; {}", other_ways(problem))]
    Signal {
        /// What stands in the way.
        #[source]
        problem: SignalProblem,
    },
    /// Calls cannot be traced.
    #[error("calls cannot be traced; {}", without_calls(problem))]
    Calls {
        /// What stands in the way.
        #[source]
        problem: SignalProblem,
    },
    /// The thread that times the samples could not be started.
    #[error("starting the thread that times the samples")]
    Thread {
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
    /// The code is of another engine than the one that is profiled.
    #[error(
        "profiling `{name}`: it was compiled by another engine than the one that is profiled; give the profiler its own"
    )]
    OtherEngine {
        /// The component or module that was to be profiled.
        name: String,
    },
    /// The map is of other code: with it, functions would have wrong names.
    #[error(
        "registering `{name}`: the map is not of this code; build it of the very component or module, or of its serialized image"
    )]
    OtherCode {
        /// The component that the map is of.
        name: String,
    },
    /// The recorder has finished, or is gone.
    #[error("registering `{name}`: the recorder has finished; register with one that records")]
    Finished {
        /// The component or module.
        name: String,
    },
    /// The code is interpreted, so there is no machine code that could be named.
    #[error("telling other profilers of `{name}`: it is interpreted (Pulley), so they see the interpreter only")]
    Interpreted {
        /// The component or module.
        name: String,
    },
    /// The file in which `perf` looks for names could not be made or written to.
    #[error("writing `{}`, where perf looks for names", path.display())]
    PerfMap {
        /// The file.
        path: std::path::PathBuf,
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
    /// The file that `perf inject --jit` reads could not be made or written to.
    #[error(
        "writing `{}` for `perf inject --jit`; choose a folder of your own, on a file system that may hold programs (not mounted with `noexec`)",
        path.display()
    )]
    JitDump {
        /// The file.
        path: std::path::PathBuf,
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
    /// VTune cannot be told of code.
    #[error("telling VTune of compiled code; {}", vtune_advice(problem))]
    VTune {
        /// What stands in the way.
        #[source]
        problem: VTuneProblem,
    },
    /// A recording was to begin with a call that cannot be.
    #[error(
        "beginning with a call of `{function}`: {}",
        if there.is_empty() { "no code is registered that has interfaces".to_owned() } else {
            format!("there is no such interface function; there is {}", listed(there))
        }
    )]
    UnknownCall {
        /// What was asked for.
        function: String,
        /// What there is. Partly chosen by the guest: escape it.
        there: Vec<String>,
    },
    /// A request for a profile asks for what cannot be.
    #[error("{problem}")]
    Query {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A profile could not be read.
    #[error("{problem}")]
    Read {
        /// What is wrong with it, and where.
        problem: String,
        /// What its reader reported, if that failed.
        #[source]
        source: Option<std::io::Error>,
    },
    /// A profile could not be written.
    #[error("writing a {format} profile")]
    Write {
        /// The format that was being written.
        format: &'static str,
        /// What the writer reported.
        #[source]
        source: std::io::Error,
    },
}

/// Why samples cannot be taken by signals.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalProblem {
    /// The platform has no signal sampler.
    #[error("stacks can be read on Linux on x86-64 and AArch64 only")]
    Platform,
    /// The code is interpreted, so there is no machine code to find in a stack.
    #[error("`{name}` is interpreted (Pulley), so its code is not on the stack")]
    Interpreter {
        /// The component or module.
        name: String,
    },
    /// Somebody else has a handler for the signal.
    #[error("signal {signal} has a handler already, which belongs to another profiler or to this program")]
    Taken {
        /// The number of the signal.
        signal: i32,
    },
    /// Somebody else has put a handler of their own over the sampler's, while it was at work.
    #[error("signal {signal} was given another handler during the recording, by another profiler or by this program")]
    Replaced {
        /// The number of the signal.
        signal: i32,
    },
    /// The operating system does not let the signal be handled.
    #[error("signal {signal} cannot be handled")]
    Refused {
        /// The number of the signal.
        signal: i32,
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
    /// The operating system does not give the thread a timer.
    #[error("the system refuses a timer: `{call}` failed, {}", cause_of_refusal(source))]
    NoTimer {
        /// The system call that failed.
        call: &'static str,
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
    /// The operating system does not let stacks be read safely, or signals be unblocked.
    #[error("the system refuses `{call}`, without which no stack can be read safely, {}", cause_of_refusal(source))]
    Denied {
        /// The system call that failed.
        call: &'static str,
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
    /// The thread that collects samples could not be started.
    #[error("starting the thread that collects samples")]
    Thread {
        /// What the operating system reported.
        #[source]
        source: std::io::Error,
    },
}

/// What to try instead of signals, or of this one.
fn other_ways(problem: &SignalProblem) -> String {
    let epochs = "take them by epochs (`SamplerChoice::Epoch`)";
    match problem {
        SignalProblem::Taken { .. } | SignalProblem::Replaced { .. } | SignalProblem::Refused { .. } => {
            format!("choose another signal (`RecorderBuilder::signal`), or {epochs}")
        }
        SignalProblem::NoTimer { source, .. } | SignalProblem::Denied { source, .. } => match remedy(source) {
            Some(remedy) => format!("{remedy}, or {epochs}"),
            None => epochs.to_owned(),
        },
        _ => epochs.to_owned(),
    }
}

/// What to try where calls cannot be traced.
fn without_calls(problem: &SignalProblem) -> &'static str {
    match problem {
        SignalProblem::Interpreter { .. } => {
            "compile the code for this machine, or trace none: samples can be taken all the same"
        }
        _ => "trace none: samples can be taken all the same",
    }
}

/// What to try where VTune cannot be told.
fn vtune_advice(problem: &VTuneProblem) -> &'static str {
    match problem {
        VTuneProblem::Platform => "leave that out here",
        VTuneProblem::NoCollector | VTuneProblem::MissingCollector { .. } => {
            "start this program with `vtune -collect hotspots -- …`; to attach VTune later, set `INTEL_JIT_PROFILER64` to the path of its `libittnotify_collector.so`"
        }
    }
}

/// What may help against a system call that fails like this.
fn remedy(source: &std::io::Error) -> Option<&'static str> {
    match source.kind() {
        std::io::ErrorKind::WouldBlock => Some("raise the limit of pending signals (`ulimit -i`)"),
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported => {
            Some("let the system call through the sandbox")
        }
        _ => None,
    }
}

/// What a system call failed for, as far as its error tells, and what to do about it.
fn cause_of_refusal(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::WouldBlock => "because no more signals may be pending (raise the limit, `ulimit -i`)",
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported => {
            "because a sandbox denies it (let it through)"
        }
        _ => "for which there is no known remedy",
    }
}

/// Why VTune cannot be told of code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VTuneProblem {
    /// VTune, or Intel's library for it, does not exist for the platform.
    #[error("it can be told names on x86-64 only, on Linux, macOS and Windows")]
    Platform,
    /// The process was not started by VTune.
    #[error("nobody listens: `INTEL_JIT_PROFILER64` is not set, by which VTune names its collector to what it starts")]
    NoCollector,
    /// What VTune is said to have brought along is not there.
    #[error("nobody listens: there is no file `{}`, which `INTEL_JIT_PROFILER64` says is the collector", path.display())]
    MissingCollector {
        /// The file.
        path: std::path::PathBuf,
    },
}

/// What is wrong with a compiled image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageProblem {
    /// Not a 64-bit ELF file, or one whose tables point outside the file.
    #[error("it is no 64-bit ELF image ({0})")]
    NotElf(String),
    /// An ELF file that Wasmtime did not write, or a kind of Wasmtime image that holds no code.
    #[error("it is no image of a module or component compiled by Wasmtime")]
    NotWasmtime,
    /// Compiled by this other major version of Wasmtime.
    #[error("it was compiled by Wasmtime {0}, but this version of witprof reads images of Wasmtime 48")]
    OtherVersion(String),
    /// A section that every image has is missing.
    #[error("it has no `{0}` section")]
    MissingSection(&'static str),
    /// The description of the code could not be decoded: another Wasmtime version wrote it, or it is damaged.
    #[error("its description cannot be decoded ({0}); was it compiled by another Wasmtime version than 48?")]
    Undecodable(String),
    /// Two tables of the image contradict each other.
    #[error("it contradicts itself: {0}")]
    Inconsistent(String),
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The first names of a list.
fn listed(names: &[String]) -> String {
    const LISTED: usize = 20;
    let mut first: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if names.len() > LISTED {
        first.push(format!("{} more", names.len() - LISTED));
    }
    first.join(", ")
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;
    use std::time::Duration;

    use super::*;

    /// As the system reports it.
    fn refused(kind: io::ErrorKind) -> io::Error {
        kind.into()
    }

    fn signal_problems() -> Vec<SignalProblem> {
        let with = |kind| {
            [
                SignalProblem::Refused { signal: 9, source: refused(kind) },
                SignalProblem::NoTimer { call: "timer_create", source: refused(kind) },
                SignalProblem::Denied { call: "rt_sigprocmask", source: refused(kind) },
                SignalProblem::Thread { source: refused(kind) },
            ]
        };
        let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::PermissionDenied, io::ErrorKind::OutOfMemory];
        let name = "app".to_owned();
        let mut problems =
            vec![SignalProblem::Platform, SignalProblem::Interpreter { name }, SignalProblem::Taken { signal: 27 }];
        problems.extend(kinds.into_iter().flat_map(with));
        problems
    }

    /// At least one of each variant.
    fn errors() -> Vec<Error> {
        let (name, path, interval) = (|| "app".to_owned(), || "/tmp/x".into(), Duration::from_millis(1));
        let source = || refused(io::ErrorKind::StorageFull);
        let images = [
            ImageProblem::NotElf("short".into()),
            ImageProblem::NotWasmtime,
            ImageProblem::OtherVersion("47".into()),
            ImageProblem::MissingSection(".text"),
            ImageProblem::Undecodable("bad".into()),
            ImageProblem::Inconsistent("two lengths".into()),
        ];
        let vtune = [
            VTuneProblem::Platform,
            VTuneProblem::NoCollector,
            VTuneProblem::MissingCollector { path: "/opt/collector.so".into() },
        ];
        let mut errors = vec![
            Error::GuestDebug { name: name() },
            Error::SourceMap { problem: "bad json".into() },
            Error::Interval { interval: Duration::ZERO, min: interval, max: interval },
            Error::NoEpochs { name: name(), reason: None },
            Error::Thread { source: source() },
            Error::OtherEngine { name: name() },
            Error::OtherCode { name: name() },
            Error::Finished { name: name() },
            Error::Interpreted { name: name() },
            Error::PerfMap { path: path(), source: source() },
            Error::JitDump { path: path(), source: source() },
            Error::UnknownCall { function: name(), there: vec![name()] },
            Error::Query { problem: "`by` has to be something else" },
            Error::Read { problem: "it has no `meta`".into(), source: None },
            Error::Read { problem: "its bytes could not be read".into(), source: Some(source()) },
            Error::Write { format: "Firefox", source: source() },
        ];
        errors.extend(images.map(|problem| Error::Image { name: name(), problem }));
        errors.extend(vtune.map(|problem| Error::VTune { problem }));
        errors.extend(signal_problems().into_iter().map(|problem| Error::Signal { problem }));
        errors.extend(signal_problems().into_iter().map(|problem| Error::Calls { problem }));
        errors.extend(
            signal_problems().into_iter().map(|problem| Error::NoEpochs { name: name(), reason: Some(problem) }),
        );
        errors
    }

    /// Whether an error of this variant has to have a source. No wildcard: a new variant belongs into [`errors`], too.
    fn has_source(error: &Error) -> bool {
        match error {
            Error::Image { .. }
            | Error::Signal { .. }
            | Error::Calls { .. }
            | Error::Thread { .. }
            | Error::PerfMap { .. }
            | Error::JitDump { .. }
            | Error::VTune { .. }
            | Error::Write { .. } => true,
            Error::NoEpochs { reason, .. } => reason.is_some(),
            Error::Read { source, .. } => source.is_some(),
            Error::GuestDebug { .. }
            | Error::Interval { .. }
            | Error::SourceMap { .. }
            | Error::OtherEngine { .. }
            | Error::OtherCode { .. }
            | Error::Finished { .. }
            | Error::Interpreted { .. }
            | Error::UnknownCall { .. }
            | Error::Query { .. } => false,
        }
    }

    #[test]
    fn each_cause_is_told_once_and_is_a_source() {
        for error in errors() {
            assert_eq!(error.source().is_some(), has_source(&error), "{error:?}");
            let (mut chain, mut cause) = (vec![error.to_string()], error.source());
            while let Some(error) = cause {
                chain.push(error.to_string());
                cause = error.source();
            }
            for (at, message) in chain.iter().enumerate() {
                assert!(!message.is_empty(), "{error:?}");
                for cause in &chain[at + 1..] {
                    assert!(!message.contains(cause.as_str()), "`{message}` has `{cause}`, which is its source");
                }
            }
        }
    }

    #[test]
    fn the_outermost_message_says_what_to_try() {
        for error in errors() {
            let advice = match &error {
                Error::Image { .. } => "compile it with Wasmtime 48",
                Error::Signal { .. } => "SamplerChoice::Epoch",
                Error::Calls { .. } => "samples can be taken",
                Error::VTune { problem: VTuneProblem::Platform } => "leave that out",
                Error::VTune { .. } => "vtune -collect hotspots",
                Error::NoEpochs { .. } => "Config::epoch_interruption(true)",
                _ => continue,
            };
            assert!(error.to_string().contains(advice), "{error}");
        }
        let source = refused(io::ErrorKind::WouldBlock);
        let error = Error::Signal { problem: SignalProblem::NoTimer { call: "timer_create", source } };
        assert!(error.to_string().contains("ulimit -i"), "{error}");
    }
}
