//! What would go wrong in a run, said before it starts.

use anyhow::{Result, anyhow, bail};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime::{AsContextMut, Engine, Module};
use wasmtime_cli::commands::RunCommand;

use super::WasmFile;

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

/// Refuses what the epoch sampler cannot work with.
pub(super) fn epoch_options(command: &RunCommand) -> Result<()> {
    if command.run.common.wasm.epoch_interruption == Some(false) {
        bail!("`-W epoch-interruption=n` turns off what the epoch sampler works by: leave it out");
    }
    Ok(())
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
    let version_of = |interface: &str| {
        let prefix = format!("wasi:http/{interface}@");
        exports.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (incoming, handler) = (version_of("incoming-handler"), version_of("handler"));
    if incoming.iter().any(|version| version.starts_with("0.2.")) || handler.iter().any(|version| is_0_3(version)) {
        return Ok(());
    }
    if let Some(version) = incoming.first().or(handler.first()) {
        bail!(
            "the component exports a handler of `wasi:http@{version}`, but this version serves \
             `wasi:http/incoming-handler@0.2` and `wasi:http/handler@0.3` only"
        );
    }
    let list = listed(&exports);
    let hint = if exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        ". It is a command: `witprof run` runs it"
    } else {
        ""
    };
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
    let versions: Vec<&str> = exports.iter().filter_map(|name| name.strip_prefix("wasi:cli/run@")).collect();
    if versions.iter().any(|version| version.starts_with("0.2.") || is_0_3(version)) {
        return Ok(());
    }
    if let Some(version) = versions.first() {
        bail!("the component exports `wasi:cli/run@{version}`, but this version runs commands of 0.2 and 0.3 only");
    }
    let list = listed(&exports);
    bail!(
        "the component does not export `wasi:cli/run`, so it is not a command; it exports {list}. Call one of its \
         functions with `--invoke`"
    )
}

/// Whether a version is 0.3.0 or a later one of its line, which is compatible; previews of it are not.
fn is_0_3(version: &str) -> bool {
    version.strip_prefix("0.3.").is_some_and(|patch| patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What to say of imports that nothing provides.
pub(super) fn missing_imports(file: &WasmFile, missing: &[String]) -> anyhow::Error {
    anyhow!(
        "`{}` cannot be run: nothing provides its imports {}. Some are turned on with `-S`, for instance `-S http`",
        file.path().display(),
        missing.join(", "),
    )
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
