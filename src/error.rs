//! What can go wrong in the library, as values a caller can match on.

use std::fmt;

/// A failure of the library: what was being done, to what, and, where there is a remedy, what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a compiled image that this version of Wasmtime wrote.
    #[error("reading the compiled image of `{name}`: {problem}")]
    Image {
        /// The component or module that was being read.
        name: String,
        /// What is wrong with its image.
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
        reason.as_ref().map(|reason| format!(", because {reason}")).unwrap_or_default()
    )]
    NoEpochs {
        /// The component or module that was to be sampled.
        name: String,
        /// Why it was not sampled by signals, if that was tried first.
        reason: Option<String>,
    },
    /// Samples cannot be taken by signals, and were not to be taken otherwise.
    #[error("sampling by signals: {problem}; {}", other_ways(problem))]
    Signal {
        /// What stands in the way.
        #[source]
        problem: SignalProblem,
    },
    /// Calls cannot be traced.
    #[error("tracing calls: {problem}")]
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
    #[error("telling VTune: {problem}")]
    VTune {
        /// What stands in the way.
        problem: VTuneProblem,
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
fn other_ways(problem: &SignalProblem) -> &'static str {
    match problem {
        SignalProblem::Taken { .. } | SignalProblem::Replaced { .. } | SignalProblem::Refused { .. } => {
            "choose another one (`RecorderBuilder::signal`), or sample by epochs (`SamplerChoice::Epoch`)"
        }
        _ => "sample by epochs (`SamplerChoice::Epoch`)",
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
    #[error(
        "nobody listens: `INTEL_JIT_PROFILER64` is not set, by which VTune names its collector to what it starts (`vtune -collect hotspots -- …`); to attach VTune later, set it to the path of its `libittnotify_collector.so`"
    )]
    NoCollector,
    /// What VTune is said to have brought along is not there.
    #[error("nobody listens: there is no file `{}`, which `INTEL_JIT_PROFILER64` says is the collector", path.display())]
    MissingCollector {
        /// The file.
        path: std::path::PathBuf,
    },
}

/// What is wrong with a compiled image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageProblem {
    /// Not a 64-bit ELF file, or one whose tables point outside the file.
    NotElf(String),
    /// An ELF file that Wasmtime did not write, or a kind of Wasmtime image that holds no code.
    NotWasmtime,
    /// Compiled by this other major version of Wasmtime.
    OtherVersion(String),
    /// A section that every image has is missing.
    MissingSection(&'static str),
    /// The description of the code could not be decoded: another Wasmtime version wrote it, or it is damaged.
    Undecodable(String),
    /// Two tables of the image contradict each other.
    Inconsistent(String),
}

impl fmt::Display for ImageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf(problem) => write!(f, "not a 64-bit ELF image ({problem})"),
            Self::NotWasmtime => write!(f, "not an image of a module or component compiled by Wasmtime"),
            Self::OtherVersion(version) => {
                write!(
                    f,
                    "it was compiled by Wasmtime {version}, but this version of witprof reads images of Wasmtime 48"
                )
            }
            Self::MissingSection(name) => write!(f, "it has no `{name}` section"),
            Self::Undecodable(problem) => {
                write!(
                    f,
                    "its description cannot be decoded ({problem}); was it compiled by another Wasmtime version than 48?"
                )
            }
            Self::Inconsistent(problem) => write!(f, "it contradicts itself: {problem}"),
        }
    }
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
