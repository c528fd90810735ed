//! Names of WIT functions as toolchains spell them in core imports and exports, and as WIT authors write them.
//!
//! | spelled | meant |
//! | --- | --- |
//! | import `wasi:io/streams@0.2.6` `[method]output-stream.write` | `wasi:io/streams@0.2.6` `output-stream.write` |
//! | import `$root` `[async-lower]greet` | world-level `greet` |
//! | import `[export]demo:math/ops` `[resource-new]counter` | `demo:math/ops` `counter.new` |
//! | export `demo:math/ops#sum`, `cabi_post_demo:math/ops#sum` | `demo:math/ops` `sum` |
//! | export `[callback][async-lift]wasi:cli/run@0.3.0#run` | `wasi:cli/run@0.3.0` `run` |
//! | import `cm32p2\|demo:math/ops@1` `sum`, export `cm32p2\|demo:math/ops@1\|sum_post` | `demo:math/ops@1` `sum` |
//!
//! The spellings are those of the component model's build targets (`wit-component`'s `validation.rs`).

use wasmparser::names::{ComponentName, ComponentNameKind};

/// A function of a WIT interface, or of the world itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WitName<'n> {
    /// The interface; `None` for the world.
    pub(super) interface: Option<&'n str>,
    /// The function as an author writes it: `output-stream.write`.
    pub(super) function: String,
}

/// What a core export has to do with the WIT function it is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CoreExportRole {
    Function,
    PostReturn,
    Callback,
}

/// Reads the name of a core import. `None` if it does not name a WIT function.
pub(super) fn from_core_import<'n>(module: &'n str, field: &'n str) -> Option<WitName<'n>> {
    let module = module.strip_prefix("[export]").unwrap_or(module);
    let (module, field) = match module.strip_prefix("cm32p2") {
        Some(rest) => {
            let interface = rest.strip_prefix('|').unwrap_or(rest);
            let interface = interface.strip_prefix("_ex_").unwrap_or(interface);
            (if interface.is_empty() { "$root" } else { interface }, field)
        }
        None => (module, field),
    };
    let function = function_name(field)?;
    if module == "$root" {
        return Some(WitName { interface: None, function });
    }
    is_interface_or_label(module).then_some(WitName { interface: Some(module), function })
}

/// Reads the name of a core export. `None` if it does not name a WIT function of an interface: a plain name may be a
/// world-level function or anything else.
pub(super) fn from_core_export(name: &str) -> Option<(WitName<'_>, CoreExportRole)> {
    if let Some(rest) = name.strip_prefix("cm32p2|") {
        let (interface, function) = rest.split_once('|')?;
        let (function, role) = match function.strip_suffix("_post") {
            Some(function) => (function, CoreExportRole::PostReturn),
            None => (function, CoreExportRole::Function),
        };
        let interface = (!interface.is_empty()).then_some(interface);
        return Some((WitName { interface, function: function_name(function)? }, role));
    }
    let (name, role) = if let Some(rest) = name.strip_prefix("cabi_post_") {
        (rest, CoreExportRole::PostReturn)
    } else if let Some(rest) = name.strip_prefix("[callback]") {
        (rest, CoreExportRole::Callback)
    } else {
        (name, CoreExportRole::Function)
    };
    let name = name.strip_prefix("[async-lift]").or_else(|| name.strip_prefix("[async-lift-stackful]")).unwrap_or(name);
    let (interface, function) = name.split_once('#')?;
    if !is_interface_or_label(interface) {
        return None;
    }
    Some((WitName { interface: Some(interface), function: function_name(function)? }, role))
}

/// A name that a toolchain gave to what it exports, as its author would write it: `[async-lift]wasi:cli/run@0.3.0#run` is
/// `wasi:cli/run@0.3.0#run`, and `cabi_post_demo:math/ops#sum` is `demo:math/ops#sum (post-return)`. `None` for all others.
pub(super) fn readable(name: &str) -> Option<String> {
    let (rest, role) = if let Some(rest) = name.strip_prefix("cabi_post_") {
        (rest, " (post-return)")
    } else if let Some(rest) = name.strip_prefix("[callback]") {
        (rest, " (callback)")
    } else {
        (name, "")
    };
    let rest = rest.strip_prefix("[async-lift]").or_else(|| rest.strip_prefix("[async-lift-stackful]")).unwrap_or(rest);
    let readable = match from_core_export(name) {
        Some((WitName { interface: Some(interface), function }, role_of_name)) => {
            let role = if role_of_name == CoreExportRole::PostReturn { " (post-return)" } else { role };
            format!("{interface}#{function}{role}")
        }
        Some((WitName { interface: None, function }, CoreExportRole::PostReturn)) => {
            format!("{function} (post-return)")
        }
        Some((WitName { interface: None, function }, _)) => function,
        None if rest.len() < name.len() && !rest.is_empty() => format!("{rest}{role}"),
        None => return None,
    };
    (readable != name).then_some(readable)
}

/// Writes a function name as an author does: `[method]pool.insert` becomes `pool.insert`, `[constructor]pool` becomes
/// `pool.constructor`. `None` for an empty name.
pub(super) fn function_name(spelled: &str) -> Option<String> {
    let spelled = spelled.strip_prefix("[async-lower]").unwrap_or(spelled);
    let spelled = spelled.strip_prefix("[async]").unwrap_or(spelled);
    let Some((annotation, name)) = spelled.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return (!spelled.is_empty()).then(|| spelled.to_owned());
    };
    let suffix = match annotation {
        "method" | "static" | "async method" | "async static" | "task-return" => None,
        "constructor" => Some("constructor"),
        "dtor" => Some("dtor"),
        "resource-drop" => Some("drop"),
        "resource-new" => Some("new"),
        "resource-rep" => Some("rep"),
        // `[stream-read-0]get-body`: an intrinsic on the first stream in the type of `get-body`.
        other if other.starts_with("stream-") || other.starts_with("future-") => None,
        _ => return None,
    };
    if name.is_empty() {
        return None;
    }
    Some(match suffix {
        Some(suffix) => format!("{name}.{suffix}"),
        None => name.to_owned(),
    })
}

fn is_interface_or_label(name: &str) -> bool {
    let parsed = ComponentName::new(name, 0);
    parsed.is_ok_and(|name| matches!(name.kind(), ComponentNameKind::Interface(_) | ComponentNameKind::Label(_)))
        // Names canonicalised by build targets cut the version short (`@0.2`), which the strict grammar refuses.
        || name.split_once('@').is_some_and(|(base, version)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
                && ComponentName::new(base, 0)
                    .is_ok_and(|name| matches!(name.kind(), ComponentNameKind::Interface(_)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_toolchains_leave_is_made_readable() {
        for (name, expected) in [
            ("[async-lift]wasi:cli/run@0.3.0#run", "wasi:cli/run@0.3.0#run"),
            ("[callback][async-lift]wasi:cli/run@0.3.0#run", "wasi:cli/run@0.3.0#run (callback)"),
            ("cabi_post_demo:math/ops#sum", "demo:math/ops#sum (post-return)"),
            ("demo:math/ops#[method]counter.increment", "demo:math/ops#counter.increment"),
            ("cm32p2|demo:math/ops@1|sum", "demo:math/ops@1#sum"),
            ("cm32p2|demo:math/ops@1|sum_post", "demo:math/ops@1#sum (post-return)"),
            ("cm32p2||run", "run"),
            ("[async-lift]run", "run"),
            ("[callback][async-lift]run", "run (callback)"),
            ("cabi_post_run", "run (post-return)"),
        ] {
            assert_eq!(readable(name).as_deref(), Some(expected), "{name}");
        }
        for name in ["run", "main", "wasi:cli/run@0.2.6#run", "cabi_realloc", "cabi_post_", "[unknown]x", "a#b"] {
            assert_eq!(readable(name), None, "{name}");
        }
    }

    fn import(module: &str, field: &str) -> Option<(Option<String>, String)> {
        from_core_import(module, field).map(|name| (name.interface.map(str::to_owned), name.function))
    }

    fn wit(interface: &str, function: &str) -> Option<(Option<String>, String)> {
        let interface = (!interface.is_empty()).then(|| interface.to_owned());
        Some((interface, function.to_owned()))
    }

    #[test]
    fn imports_are_read_in_every_spelling() {
        let streams = "wasi:io/streams@0.2.6";
        assert_eq!(import(streams, "[method]output-stream.write"), wit(streams, "output-stream.write"));
        assert_eq!(import(streams, "[resource-drop]output-stream"), wit(streams, "output-stream.drop"));
        assert_eq!(import("$root", "[async-lower]greet"), wit("", "greet"));
        assert_eq!(import("[export]demo:math/ops", "[resource-new]counter"), wit("demo:math/ops", "counter.new"));
        assert_eq!(import("[export]a:b/c", "[task-return]run"), wit("a:b/c", "run"));
        assert_eq!(import("cm32p2|demo:math/ops@1", "sum"), wit("demo:math/ops@1", "sum"));
        assert_eq!(import("cm32p2|demo:math/ops@0.2", "sum"), wit("demo:math/ops@0.2", "sum"));
        assert_eq!(import("cm32p2", "greet"), wit("", "greet"));
        assert_eq!(
            import("wasi:cli/stdin@0.3.0", "[stream-read-0]read-via-stream"),
            wit("wasi:cli/stdin@0.3.0", "read-via-stream")
        );
    }

    #[test]
    fn what_is_not_wit_is_left_alone() {
        assert_eq!(import("", "7"), None);
        assert_eq!(import("GOT.mem", "x"), None);
        assert_eq!(import("wasi_snapshot_preview1", "fd_write"), None);
        assert_eq!(import("$root", "[waitable-set-new]"), None);
        assert_eq!(from_core_export("memory"), None);
        assert_eq!(from_core_export("cabi_realloc"), None);
        assert_eq!(from_core_export("not an interface#f"), None);
    }

    #[test]
    fn exports_are_read_in_every_spelling() {
        let export =
            |name| from_core_export(name).map(|(name, role)| (name.interface.map(str::to_owned), name.function, role));
        let ops = Some("demo:math/ops@0.1.0".to_owned());
        let sum = |role| Some((ops.clone(), "sum".to_owned(), role));
        assert_eq!(export("demo:math/ops@0.1.0#sum"), sum(CoreExportRole::Function));
        assert_eq!(export("cabi_post_demo:math/ops@0.1.0#sum"), sum(CoreExportRole::PostReturn));
        assert_eq!(export("[async-lift]demo:math/ops@0.1.0#sum"), sum(CoreExportRole::Function));
        assert_eq!(export("[callback][async-lift]demo:math/ops@0.1.0#sum"), sum(CoreExportRole::Callback));
        assert_eq!(export("cm32p2|demo:math/ops@0.1.0|sum_post"), sum(CoreExportRole::PostReturn));
        let dtor = export("demo:math/ops@0.1.0#[dtor]counter");
        assert_eq!(dtor, Some((ops.clone(), "counter.dtor".to_owned(), CoreExportRole::Function)));
    }
}
