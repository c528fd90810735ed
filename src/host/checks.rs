//! What would go wrong in a run, said before it starts.

use std::io;

use anyhow::{Result, bail};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime::{AsContextMut, Config, Engine, Module};
use wasmtime_cli::commands::RunCommand;
use wasmtime_cli_flags::CommonOptions;

use super::failed;
use crate::files::OutputFile;

/// Refuses options that profiling cannot work with.
pub(super) fn options(command: &RunCommand) -> Result<()> {
    let common = &command.run.common;
    if command.run.profile.is_some() {
        bail!("`--profile` is Wasmtime's own profiler, and would run beside this one: leave it out");
    }
    if common.debug.guest_debug == Some(true) || common.debug.debugger.is_some() {
        bail!(
            "guest debugging (`-D guest-debug`, `-D debugger`) runs a private copy of the code that cannot be \
             profiled: leave it out"
        );
    }
    Ok(())
}

/// Refuses folders for the guest that are none, of which Wasmtime does not say which.
pub(super) fn folders(command: &RunCommand) -> Result<()> {
    for (host, _) in &command.run.dirs {
        let problem = match std::fs::read_dir(host) {
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such folder".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
            Err(error) => error.to_string(),
        };
        bail!("`--dir {host}`: {problem}");
    }
    Ok(())
}

/// Refuses to write a profile to where the guest writes.
pub(super) fn stdout_is_free(command: &RunCommand, outputs: &[OutputFile]) -> Result<()> {
    let is_guests = command.run.common.wasi.inherit_stdout != Some(false);
    if let Some(output) = outputs.iter().find(|output| output.is_stdout()).filter(|_| is_guests) {
        bail!(
            "the profile cannot go to {}, because what the guest prints goes there: name a file, a pipe or /dev/stderr \
             with `-o`; or write p.json.gz, and then `witprof convert p.json.gz -o - --format folded`; or silence the \
             guest with `-S inherit-stdout=n`",
            output.shown()
        );
    }
    Ok(())
}

/// Refuses what the epoch sampler cannot work with.
pub(super) fn epoch_options(command: &RunCommand) -> Result<()> {
    if command.run.common.wasm.epoch_interruption == Some(false) {
        bail!("`-W epoch-interruption=n` turns off what the epoch sampler works by: leave it out");
    }
    Ok(())
}

/// What Wasmtime makes of `options`, and what to do if its cache stands in the way; `common` finds what all commands have
/// in common.
pub(crate) fn configured<O>(
    options: &mut O,
    common: impl Fn(&mut O) -> &mut CommonOptions,
    configure: impl Fn(&mut O) -> wasmtime::Result<Config>,
) -> Result<Config> {
    let error = match configure(options) {
        Ok(config) => return Ok(config),
        Err(error) => failed(error),
    };
    // Which of the options is to blame, no message of Wasmtime's says for certain.
    let cache = common(options).codegen.cache.replace(false);
    let is_cache = cache != Some(false) && configure(options).is_ok();
    common(options).codegen.cache = cache;
    Err(if is_cache {
        error.context(
            "Wasmtime cannot use its cache of compiled code: `-C cache=n` does without, `HOME` or `XDG_CACHE_HOME` says \
             where it is",
        )
    } else {
        error.context("configuring Wasmtime")
    })
}

/// Refuses options that a server cannot work with, and sets those that it cannot work without.
pub(super) fn server_options(command: &mut RunCommand) -> Result<()> {
    let common = &mut command.run.common;
    if common.wasi.nn == Some(true) {
        bail!("`-S nn` is not a part of this program: leave it out");
    }
    if common.wasi.threads == Some(true) {
        bail!("`-S threads` does not work with components: leave it out");
    }
    if common.wasi.http.replace(true) == Some(false) {
        bail!("`-S http=n` turns off what is to be served: leave it out");
    }
    if common.wasm.component_model.replace(true) == Some(false) {
        bail!("`-W component-model=n` turns off components, and nothing else can be served: leave it out");
    }
    Ok(())
}

/// Refuses a component that does not answer HTTP requests, and says what it has.
pub(super) fn has_http_handler(component: &Component, engine: &Engine) -> Result<()> {
    let exports = exports_of(component, engine);
    if exports.iter().any(|name| is_handler(name)) {
        return Ok(());
    }
    let version = |interface: &str| {
        let prefix = format!("wasi:http/{interface}@");
        exports.iter().find_map(|name| name.strip_prefix(&prefix))
    };
    if let Some(version) = version("incoming-handler").or(version("handler")) {
        bail!(
            "the component exports a handler of `wasi:http@{version}`, but this version serves \
             `wasi:http/incoming-handler@0.2` and `wasi:http/handler@0.3` only"
        );
    }
    let list = listed(&exports);
    let hint =
        if exports.iter().any(|name| is_command(name)) { ". It is a command: `witprof run` runs it" } else { "" };
    bail!(
        "the component exports neither `wasi:http/incoming-handler` nor `wasi:http/handler`, so it does not answer \
         HTTP requests; it exports {list}{hint}"
    )
}

fn exports_of(component: &Component, engine: &Engine) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

fn listed(exports: &[String]) -> String {
    if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") }
}

/// Refuses a component that has nothing to run, and says what it has.
pub(super) fn has_command(component: &Component, engine: &Engine) -> Result<()> {
    let exports = exports_of(component, engine);
    if exports.iter().any(|name| is_command(name)) {
        return Ok(());
    }
    if exports.iter().any(|name| is_handler(name)) {
        bail!("the component answers HTTP requests, and is not a command: `witprof serve` serves it");
    }
    if let Some(version) = exports.iter().find_map(|name| name.strip_prefix("wasi:cli/run@")) {
        bail!("the component exports `wasi:cli/run@{version}`, but this version runs commands of 0.2 and 0.3 only");
    }
    let list = listed(&exports);
    bail!(
        "the component does not export `wasi:cli/run`, so it is not a command; it exports {list}. Call one of its \
         functions with `--invoke`"
    )
}

/// Whether an export makes a component a command that can be run.
fn is_command(export: &str) -> bool {
    export.strip_prefix("wasi:cli/run@").is_some_and(|version| version.starts_with("0.2.") || is_0_3(version))
}

/// Whether an export answers HTTP requests, and can be served.
fn is_handler(export: &str) -> bool {
    export.strip_prefix("wasi:http/incoming-handler@").is_some_and(|version| version.starts_with("0.2."))
        || export.strip_prefix("wasi:http/handler@").is_some_and(is_0_3)
}

/// Whether a version is 0.3.0 or a later one of its line, which is compatible; previews of it are not.
fn is_0_3(version: &str) -> bool {
    version.strip_prefix("0.3.").is_some_and(|patch| patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The imports of a component that `linker` cannot satisfy.
pub(super) fn missing_component_imports<T: 'static>(
    linker: &Linker<T>,
    component: &Component,
    engine: &Engine,
) -> Vec<String> {
    // The linker tells only the first that is missing. So each is added as a stub in turn, and what a stub repairs
    // was missing.
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    let imports: Vec<_> =
        component.component_type().imports(engine).map(|(name, item)| (name.to_owned(), item.ty)).collect();
    let mut missing = Vec::new();
    while let Err(error) = linker.instantiate_pre(component) {
        let message = format!("{error:?}");
        let named = imports.iter().find(|(name, _)| message.contains(&format!("`{name}`")) && !missing.contains(name));
        let Some((name, item)) = named else { break };
        missing.push(name.clone());
        if stub(&mut linker, name, item, engine).is_err() {
            break;
        }
    }
    missing
}

/// Defines an import that does nothing. It is never called.
fn stub<T: 'static>(linker: &mut Linker<T>, name: &str, item: &ComponentItem, engine: &Engine) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            let mut stubs = linker.instance(name)?;
            for (name, item) in instance.exports(engine) {
                match item.ty {
                    ComponentItem::ComponentFunc(_) => stubs.func_new(name, |_, _, _, _| Ok(()))?,
                    ComponentItem::Resource(_) => {
                        stubs.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        ComponentItem::ComponentFunc(_) => linker.root().func_new(name, |_, _, _, _| Ok(())),
        _ => Ok(()),
    }
}

/// The imports of a core module that `linker` cannot satisfy.
pub(super) fn missing_module_imports<T: 'static>(
    linker: &wasmtime::Linker<T>,
    module: &Module,
    mut store: impl AsContextMut<Data = T>,
) -> Vec<String> {
    module
        .imports()
        .filter(|import| linker.get_by_import(&mut store, import).is_none())
        .map(|import| format!("{} {}", import.module(), import.name()))
        .collect()
}
