//! Where a profile comes from: what was run, by which versions, on which machine.

use serde::{Deserialize, Serialize};

/// Where a profile comes from. Of a profile that another program recorded nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// What was run, as a command line or in other words of the host's: [`Profile::set_command`](crate::Profile::set_command).
    /// Escape it.
    pub command: Option<String>,
    /// The version of witprof.
    pub witprof: Option<String>,
    /// The version of Wasmtime.
    pub wasmtime: Option<String>,
    /// The operating system, as Rust calls it: `linux`.
    pub os: Option<String>,
    /// The architecture, as Rust calls it: `x86_64`.
    pub arch: Option<String>,
    /// What the CPU calls itself.
    pub cpu: Option<String>,
    /// How many CPUs the process could use.
    pub cpus: Option<u32>,
}

impl Origin {
    /// That of a recording by this process. What was run only the host knows.
    pub(super) fn here() -> Self {
        let text = |text: &str| Some(text.to_owned());
        let cpus = std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok());
        Self {
            command: None,
            witprof: text(env!("CARGO_PKG_VERSION")),
            wasmtime: text(wasmtime_environ::VERSION),
            os: text(std::env::consts::OS),
            arch: text(std::env::consts::ARCH),
            cpu: cpu_name(),
            cpus,
        }
    }
}

/// The name that Linux shows; nothing on other systems, or where the CPU has none (as on AArch64).
fn cpu_name() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}
