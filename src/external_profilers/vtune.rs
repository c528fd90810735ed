//! Names for Intel VTune, which is told of generated code by the process that makes it.
//!
//! VTune puts the path of a library, its collector, into an environment variable of what it starts. Intel's loader, a C
//! file that `ittapi` links in, loads it at the first notification, and does nothing for ever if there is none: no call
//! says whether anybody listens. So the variable is looked at here, before the first notification.
//!
//! The loader keeps what it knows in variables of its own without a lock, and the collector takes the end of one user
//! for the end of all. So what is said goes through one place, behind a lock, which says the end for the last user.

use self::session::Session;
use super::added_code::AddedCode;
use super::source_lines::SourceLines;
use crate::component::Code;
use crate::error::{Error, Result};
use crate::export::{escape_control, escape_name, perf_name};
use crate::symbols::{Function, SymbolMap};

/// A longer name is not that of a file (`PATH_MAX` on Linux), and what VTune is told is never freed.
const MAX_PATH: usize = 4096;

/// Parts of a function that are looked at for its file. A function has one near its beginning, or none.
const MAX_PARTS: usize = 16;

/// What tells Intel VTune the names of generated code. On x86-64, on Linux, macOS and Windows.
///
/// Every function of what is added is told once, with its WIT name, its library as its class, and where there is debug
/// information, its source file. Lines are not told: the safe interface of `ittapi` has no place for them, so VTune
/// counts by function and instruction. Wasmtime's own (`Config::profiler`) would tell the same code again, without the
/// lock that keeps several of these apart, so only one of the two may be used.
///
/// What has been added stays loaded as long as this exists, so that no address gets another meaning. When the last one
/// of the process is dropped, VTune is told that no more follows; so keep it as long as guests run, and do not drop it
/// when the process exits, because VTune's part of the process may be gone by then. `ittapi` never frees the names that
/// it passes on: some hundred bytes for each function.
///
/// ```no_run
/// # use wasmtime::component::Component;
/// # use witprof::{Error, SymbolMap, VTune};
/// # fn example(component: &Component) -> witprof::Result<Option<VTune>> {
/// let map = SymbolMap::builder("shop").build(component)?;
/// let mut vtune = match VTune::new() {
///     Ok(vtune) => vtune,
///     // Most runs are not under VTune.
///     Err(Error::VTune { .. }) => return Ok(None),
///     Err(error) => return Err(error),
/// };
/// vtune.add(&map, component)?;
/// # Ok(Some(vtune))
/// # }
/// ```
#[derive(Debug)]
pub struct VTune {
    // Ends first, while the code is still there.
    session: Session,
    code: AddedCode,
}

impl VTune {
    /// Makes sure that somebody listens, as far as that can be known: the environment variable by which VTune names its
    /// collector is set, and if it is a path, the file exists. Whether that can be loaded, Intel's loader does not say.
    ///
    /// # Errors
    /// [`Error::VTune`] if nobody listens, or if VTune does not work on this platform.
    pub fn new() -> Result<Self> {
        let session = Session::begin().map_err(|problem| Error::VTune { problem })?;
        Ok(Self { session, code: AddedCode::default() })
    }

    /// Adds `code` under the names of `map`. One that has been added is not added again.
    ///
    /// # Errors
    /// [`Error::Interpreted`] if it is not machine code, [`Error::GuestDebug`] if stores run copies of it.
    pub fn add(&mut self, map: &SymbolMap, code: impl Into<Code>) -> Result<()> {
        let Self { session, code: added } = self;
        added.add(map, code.into(), |code| {
            let lines = SourceLines::open(map, code);
            for function in map.functions() {
                let start = function.offset().get() as usize;
                // What lies outside is of other code than the map was made of.
                let Some(text) = code.text().get(start..start + function.size() as usize) else { continue };
                let file = source_file(&lines, function);
                let name = escape_name(&perf_name(function)).into_owned();
                let library = escape_name(&function.library().name).into_owned();
                session.tell(name, library, file, text);
            }
            Ok(())
        })
    }
}

/// The file that the beginning of a function is of, if it has a line.
fn source_file(lines: &SourceLines<'_>, function: Function<'_>) -> Option<String> {
    let (file, _) = lines.of(function).take(MAX_PARTS).find_map(|(_, line)| line)?;
    (file.len() <= MAX_PATH).then(|| escape_control(&file).into_owned())
}

/// What is said to VTune. The platforms are those of Wasmtime's own use of it, and of `ittapi` in `Cargo.toml`.
#[cfg(all(target_arch = "x86_64", any(target_os = "linux", target_os = "macos", target_os = "windows")))]
mod session {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use ittapi::jit::{Jit, MethodLoadBuilder};

    use crate::error::VTuneProblem;
    use crate::lock::lock;

    /// Where the loader looks for the path of the collector in a process of 64 bits.
    const VARIABLE: &str = "INTEL_JIT_PROFILER64";

    static SHARED: Mutex<Shared> = Mutex::new(Shared { users: 0, jit: None });

    struct Shared {
        users: usize,
        /// Tells the collector that no more follows when it is dropped.
        jit: Option<Jit>,
    }

    /// One user of what the process shares.
    #[derive(Debug)]
    pub(super) struct Session(());

    impl Session {
        pub(super) fn begin() -> Result<Self, VTuneProblem> {
            check()?;
            let mut shared = lock(&SHARED);
            shared.users += 1;
            shared.jit.get_or_insert_default();
            Ok(Self(()))
        }

        /// Tells of a function. No text may have a zero in it.
        pub(super) fn tell(&self, name: String, library: String, file: Option<String>, text: &[u8]) {
            let method = MethodLoadBuilder::new(name, text.as_ptr(), text.len()).class_file_name(library);
            let method = match file {
                Some(file) => method.source_file_name(file),
                None => method,
            };
            if let Some(jit) = &lock(&SHARED).jit {
                // Fails for zeros only.
                let told = jit.load_method(method);
                debug_assert!(told.is_ok(), "{told:?}");
            }
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            let mut shared = lock(&SHARED);
            shared.users -= 1;
            if shared.users == 0 {
                shared.jit = None;
            }
        }
    }

    /// Whether there is a collector. The loader must not be asked without one: it would not look again.
    fn check() -> Result<(), VTuneProblem> {
        let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = path.ok_or(VTuneProblem::NoCollector)?;
        // The system knows by itself where libraries are that are named without a folder.
        let has_folder = path.components().nth(1).is_some();
        if has_folder && !path.is_file() {
            return Err(VTuneProblem::MissingCollector { path });
        }
        Ok(())
    }
}

/// Stands in where VTune does not work.
#[cfg(not(all(target_arch = "x86_64", any(target_os = "linux", target_os = "macos", target_os = "windows"))))]
mod session {
    use crate::error::VTuneProblem;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Session {}

    impl Session {
        pub(super) fn begin() -> Result<Self, VTuneProblem> {
            Err(VTuneProblem::Platform)
        }

        pub(super) fn tell(&self, _: String, _: String, _: Option<String>, _: &[u8]) {
            match *self {}
        }
    }
}
