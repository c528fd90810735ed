//! `witprof map`: what a component was compiled to, and what everything in it is called.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use witprof::SymbolMap;
use witprof::export::{MapDetail, TableStyle, write_map_json, write_map_table};

use super::arguments::{OUTPUT, WASMTIMES};
use crate::files::Destination;
use crate::host::{WasmFile, WasmKind, configured, failed};
use crate::terminal::{Stream, print, table_style};

/// Print every function that Wasmtime compiles a component or module to, with its library, size and WIT name
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct MapArguments {
    #[command(flatten, next_help_heading = WASMTIMES)]
    wasmtime: wasmtime_cli_flags::CommonOptions,

    /// Print each function with its offset, size, WIT name and signature
    #[arg(long, help_heading = OUTPUT)]
    functions: bool,

    /// Give names as compilers and linkers wrote them
    #[arg(long, help_heading = OUTPUT)]
    raw_names: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "functions", help_heading = OUTPUT)]
    json: bool,

    /// Write to this file instead of stdout, which is `-`
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    output: Option<PathBuf>,

    /// A component or core module: .wasm, .wat or .cwasm; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  # libraries, with their sizes
  witprof map app.wasm
  # all functions as well
  witprof map --functions app.wasm";

pub(super) fn map(mut arguments: MapArguments) -> Result<ExitCode> {
    let file = WasmFile::read(&arguments.file)?;
    let output = arguments.output.as_ref().map(|path| Destination::open(path, file.path())).transpose()?;
    let map = build(&mut arguments, &file)?;
    let style = if output.is_some() { TableStyle::default() } else { table_style(Stream::Out, 0) };
    let text = render(&arguments, &map, style)?;
    match output {
        Some(output) => output.write(|file| Ok(file.write_all(&text)?))?,
        None => print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn render(arguments: &MapArguments, map: &SymbolMap, style: TableStyle) -> Result<Vec<u8>> {
    let mut text = BufWriter::new(Vec::new());
    let detail = if arguments.functions { MapDetail::Functions } else { MapDetail::Libraries };
    if arguments.json {
        write_map_json(map, &mut text)?;
    } else {
        write_map_table(map, detail, style, &mut text)?;
    }
    Ok(text.into_inner()?)
}

fn build(arguments: &mut MapArguments, file: &WasmFile) -> Result<SymbolMap> {
    let mut builder = SymbolMap::builder(&file.stem());
    if arguments.raw_names {
        builder = builder.raw_names();
    }
    let options = &mut arguments.wasmtime;
    if file.is_precompiled() {
        // Only read, never run, so the bytes need not be trusted.
        return Ok(builder.serialized(file.bytes())?);
    }
    let reading = || format!("compiling `{}`", file.path().display());
    let wasm = file.wasm().map_err(failed).with_context(reading)?;
    options.init_logging().map_err(failed)?;
    let engine =
        Engine::new(&configured(options, |options| options, |options| options.config(None))?).map_err(failed)?;
    let _spinner = file.spinner();
    let builder = builder.source(&wasm).signatures();
    let map = match file.kind() {
        Some(WasmKind::Component) => {
            builder.build(&Component::from_binary(&engine, &wasm).map_err(failed).with_context(reading)?)
        }
        Some(WasmKind::Module) => {
            builder.build(&Module::from_binary(&engine, &wasm).map_err(failed).with_context(reading)?)
        }
        None => bail!("`{}` is neither a WebAssembly component nor a core module", file.path().display()),
    };
    Ok(map?)
}
