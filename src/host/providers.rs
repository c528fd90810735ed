//! Which option provides what a guest imports. Found by trying each, so that it is true of the Wasmtime that runs it.

use std::collections::HashMap;

use anyhow::anyhow;
use wasmtime_cli::commands::RunCommand;
use wasmtime_cli_flags::WasiOptions;
use witprof::export::escape_control;

use super::WasmFile;

/// An option of `-S` that provides imports.
struct Flag {
    name: &'static str,
    is_on: fn(&WasiOptions) -> bool,
    turn_on: fn(&mut WasiOptions),
}

/// Those with the fewest interfaces come last, so that a set of them is reduced to what is needed.
const FLAGS: [Flag; 8] = [
    Flag {
        name: "cli",
        is_on: |wasi| wasi.cli == Some(true),
        turn_on: |wasi| {
            // An alias that must not be given beside it.
            wasi.common = None;
            wasi.cli = Some(true);
        },
    },
    Flag { name: "http", is_on: |wasi| wasi.http == Some(true), turn_on: |wasi| wasi.http = Some(true) },
    Flag { name: "config", is_on: |wasi| wasi.config == Some(true), turn_on: |wasi| wasi.config = Some(true) },
    Flag { name: "keyvalue", is_on: |wasi| wasi.keyvalue == Some(true), turn_on: |wasi| wasi.keyvalue = Some(true) },
    Flag { name: "tls", is_on: |wasi| wasi.tls == Some(true), turn_on: |wasi| wasi.tls = Some(true) },
    Flag { name: "p3", is_on: |wasi| wasi.p3 != Some(false), turn_on: |wasi| wasi.p3 = Some(true) },
    Flag { name: "preview0", is_on: |wasi| wasi.preview0 != Some(false), turn_on: |wasi| wasi.preview0 = Some(true) },
    Flag {
        name: "network-error-code",
        is_on: |wasi| wasi.network_error_code == Some(true),
        turn_on: |wasi| wasi.network_error_code = Some(true),
    },
];

/// A set of [`FLAGS`], one bit each.
type Flags = u8;

/// Looks for the options that `missing` imports need. `still_missing` says what is missing with the options of a command;
/// `None` if the guest cannot have those.
pub(super) fn find(
    command: &mut RunCommand,
    missing: &[String],
    mut still_missing: impl FnMut(&mut RunCommand) -> Option<Vec<String>>,
) -> Vec<(String, Option<Vec<&'static str>>)> {
    let original = command.run.common.wasi.clone();
    let mut known: HashMap<Flags, Option<Vec<String>>> = HashMap::new();
    let mut provides = |flags: Flags, import: &String| {
        let still = known.entry(flags).or_insert_with(|| {
            for (_, flag) in FLAGS.iter().enumerate().filter(|(number, _)| flags & (1 << number) != 0) {
                (flag.turn_on)(&mut command.run.common.wasi);
            }
            let still = still_missing(command);
            command.run.common.wasi = original.clone();
            still
        });
        still.as_ref().is_some_and(|still| !still.contains(import))
    };
    let off: Vec<Flags> =
        (0..FLAGS.len()).filter(|number| !(FLAGS[*number].is_on)(&original)).map(|number| 1 << number).collect();
    let mut find_one = |import: &String| {
        if let Some(flag) = off.iter().find(|flag| provides(**flag, import)) {
            return Some(*flag);
        }
        // Some interfaces need two, such as those of WASI 0.3 where both `cli` and `p3` are turned off.
        let pairs = off.iter().flat_map(|a| off.iter().filter(move |b| *b > a).map(move |b| a | b));
        pairs.into_iter().find(|flags| provides(*flags, import))
    };
    let names = |flags: Flags| {
        let chosen = FLAGS.iter().enumerate().filter(|(number, _)| flags & (1 << number) != 0);
        chosen.map(|(_, flag)| flag.name).collect()
    };
    missing.iter().map(|import| (import.clone(), find_one(import).map(names))).collect()
}

/// What to say of missing imports, and of the options that provide them.
pub(super) fn advice(file: &WasmFile, found: &[(String, Option<Vec<&'static str>>)]) -> anyhow::Error {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (import, flags) in found {
        let key = match flags {
            Some(flags) => format!("add `-S {}` for", flags.join(",")),
            None => "no option provides".to_owned(),
        };
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, imports)) => imports.push(import),
            None => groups.push((key, vec![import])),
        }
    }
    groups.sort_by_key(|(key, _)| key.starts_with("no "));
    let lines = groups.iter().map(|(key, imports)| {
        // A line each, whatever the names are.
        let list = imports.join(", ");
        let remedy = if key.starts_with("no ") { remedy(imports) } else { "" };
        format!("{key} {}{remedy}", escape_control(&list))
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    anyhow!(lines).context(format!("`{}` cannot be run: it imports what it is not given", file.path().display()))
}

/// What helps with imports that no option provides.
fn remedy(imports: &[&str]) -> &'static str {
    let of_wasi = imports.iter().filter(|import| import.starts_with("wasi:") || import.starts_with("wasi_")).count();
    if of_wasi == imports.len() {
        // Whether the interface or only its version is unknown, nobody can tell.
        "; Wasmtime 48 has WASI 0.2.0 to 0.2.12 and 0.3.0"
    } else if imports.iter().any(|import| import.contains(' ')) {
        "; `--preload NAME=FILE` gives a core module the exports of another"
    } else {
        "; compose the component with others that export them"
    }
}
