//! The file that is to be run or mapped.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use wasmtime::{Engine, Precompiled};

use crate::files::Told;

/// Larger files take noticeable time to compile.
const LARGE: usize = 256 * 1024;

/// Bytes that tell what else a file is.
const START: usize = 4096;

/// The two kinds of WebAssembly binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasmKind {
    Component,
    Module,
}

/// A WebAssembly file, read into memory.
#[derive(Debug)]
pub(crate) struct WasmFile {
    path: PathBuf,
    bytes: Arc<[u8]>,
}

impl WasmFile {
    /// Reads a file; `-` is stdin.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let reading = || format!("reading `{}`", path.display());
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut bytes).with_context(reading)?;
        } else {
            if path.is_dir() {
                bail!("reading `{}`: it is a folder: name a .wasm file", path.display());
            }
            bytes = std::fs::read(path).with_context(reading)?;
        }
        if bytes.is_empty() {
            bail!("reading `{}`: it is empty", path.display());
        }
        if Engine::detect_precompiled(&bytes).is_none() && !bytes.starts_with(b"\0asm") {
            let told = Told::inside(&bytes[..bytes.len().min(START)]);
            if let Some(message) = told.and_then(|(told, compression)| told.instead_of_wasm(path, compression)) {
                bail!("reading `{}`: {message}", path.display());
            }
            let is_text = |text: &str| text.trim_start_matches('\u{feff}').trim_start().starts_with(['(', ';']);
            if !std::str::from_utf8(&bytes).is_ok_and(is_text) {
                bail!(
                    "reading `{}`: it is neither WebAssembly, nor its text, nor precompiled by Wasmtime",
                    path.display()
                );
            }
        }
        Ok(Self { path: path.to_owned(), bytes: bytes.into() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents as they are: binary, text or precompiled.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name without folder and extension.
    pub(crate) fn stem(&self) -> String {
        if self.path.as_os_str() == "-" {
            return "stdin".to_owned();
        }
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether it is a `.cwasm`, whatever its name.
    pub(crate) fn is_precompiled(&self) -> bool {
        Engine::detect_precompiled(&self.bytes).is_some()
    }

    /// Whether it holds a component or a core module. `None` if it is neither.
    pub(crate) fn kind(&self) -> Option<WasmKind> {
        match Engine::detect_precompiled(&self.bytes) {
            Some(Precompiled::Component) => return Some(WasmKind::Component),
            Some(Precompiled::Module) => return Some(WasmKind::Module),
            None => {}
        }
        let wasm = self.wasm().ok()?;
        if wasmparser::Parser::is_component(&wasm) {
            Some(WasmKind::Component)
        } else {
            wasmparser::Parser::is_core_wasm(&wasm).then_some(WasmKind::Module)
        }
    }

    /// The WebAssembly binary, translated from text where it is text.
    pub(crate) fn wasm(&self) -> wasmtime::Result<Cow<'_, [u8]>> {
        wat::Parser::new().parse_bytes(Some(&self.path), &self.bytes).map_err(wasmtime::Error::new)
    }

    /// The same, to be kept.
    pub(crate) fn shared_wasm(&self) -> wasmtime::Result<Arc<[u8]>> {
        Ok(match self.wasm()? {
            Cow::Borrowed(_) => Arc::clone(&self.bytes),
            Cow::Owned(translated) => translated.into(),
        })
    }

    /// A spinner with the elapsed time, for as long as the returned value lives. Shown only on a terminal, and only
    /// for files that take a while.
    pub(crate) fn spinner(&self) -> Option<Spinner> {
        if self.bytes.len() < LARGE || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} compiling {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        bar.set_message(witprof::export::escape_name(&self.stem()).into_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Some(Spinner(bar))
    }
}

/// Removes the spinner from the terminal when dropped.
pub(crate) struct Spinner(ProgressBar);

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
