//! The symbol map: golden maps of small components, properties of random ones, and damaged images.
//!
//! Each `tests/map/*.wat` has its expected map beside it. `WITPROF_BLESS=1 cargo test` rewrites them.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::Value;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use witprof::export::{MapDetail, TableStyle, write_map_json, write_map_table};
use witprof::{Error, SymbolMap, TextOffset};

fn cases() -> Vec<PathBuf> {
    let folder = support::root().join("tests/map");
    let entries = std::fs::read_dir(folder).expect("tests/map").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "wat")).collect();
    cases.sort();
    cases
}

/// Builds a map as `witprof map` does: of a component or module, with its source.
fn map_of(engine: &Engine, name: &str, wasm: &[u8]) -> SymbolMap {
    let builder = SymbolMap::builder(name).source(wasm).signatures();
    if wasmparser::Parser::is_component(wasm) {
        builder.build(support::component(engine, wasm)).expect("a map of a component")
    } else {
        builder.build(Module::new(engine, wasm).expect("a module")).expect("a map of a module")
    }
}

/// A map as text, without what depends on the machine: offsets and sizes.
fn describe(map: &SymbolMap) -> String {
    let mut text = format!("component {}\nunattributed bytes {}\n", map.component(), map.unattributed_bytes());
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    for (index, library) in map.libraries().iter().enumerate() {
        let direction = library.direction.map(|direction| direction.name());
        let (layer, interface) = (library.layer.name(), or_dash(library.interface.as_deref()));
        let _ = write!(text, "\n{layer} | {} | {interface} | {}", library.name, or_dash(direction));
        if let (Some(component), Some(rule)) = (&library.component, library.component_named_by) {
            let _ = write!(text, " | {component} by {}", rule.name());
        }
        text.push('\n');
        let functions = map.functions().filter(|function| function.library_index() as usize == index);
        for function in functions {
            let crossing = function.interface_function().map(|name| {
                let direction = function.direction().map_or("", |direction| direction.name());
                format!(" | {direction} {} {name}", function.interface().unwrap_or("world"))
            });
            let _ =
                write!(text, "  {} | {} by {}", function.name(), function.kind().name(), function.named_by().name());
            let _ = writeln!(text, "{}", crossing.unwrap_or_default());
            if let Some(signature) = function.signature() {
                let _ = writeln!(text, "    {signature}");
            }
        }
    }
    text
}

/// What must be true of any map.
fn check(map: &SymbolMap, text_bytes: usize) {
    assert_eq!(map.unattributed_bytes(), 0);
    assert_eq!(map.text_bytes(), text_bytes as u64);
    let mut end = 0;
    let mut covered = 0;
    for function in map.functions() {
        let (start, size) = (function.offset().get(), function.size());
        assert!(start >= end, "functions overlap");
        // Padding is shorter than the alignment it makes, and resolves to nothing; each byte of the function to it.
        assert!(start - end < 64, "{} bytes before {} are no padding", start - end, function.name());
        for offset in end..start {
            assert!(map.lookup(TextOffset::new(offset)).is_none());
        }
        let step = if map.text_bytes() < 1 << 20 { 1 } else { 7 };
        for offset in (start..start + size).step_by(step) {
            let found = map.lookup(TextOffset::new(offset)).expect("a byte of a function");
            assert_eq!(found.offset(), function.offset());
        }
        assert!(!function.name().is_empty() && !function.name().contains("<unknown>"), "{}", function.name());
        end = start + size;
        covered += u64::from(size);
    }
    assert!(map.lookup(TextOffset::new(end)).is_none());
    assert!(map.lookup(TextOffset::new(u32::MAX)).is_none());
    assert_eq!(covered + map.padding_bytes(), map.text_bytes());
    assert_eq!(map.libraries().iter().map(|library| library.bytes).sum::<u64>(), covered);
    let functions: u32 = map.libraries().iter().map(|library| library.functions).sum();
    assert_eq!(functions as usize, map.functions().len());
    for library in map.libraries() {
        assert!(!library.name.is_empty() && !library.name.contains("<unknown>"), "{}", library.name);
    }
}

#[test]
fn every_case_has_the_expected_map() {
    let engine = support::engine();
    assert!(cases().len() > 20);
    for case in cases() {
        let name = case.file_stem().expect("a name").to_string_lossy().into_owned();
        let wasm = wat::parse_file(&case).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        let map = map_of(&engine, &name, &wasm);
        support::assert_golden(&case.with_extension("map"), &describe(&map));
    }
}

#[test]
fn every_byte_of_every_case_is_accounted_for() {
    let engine = support::engine();
    for case in cases() {
        let wasm = wat::parse_file(&case).expect("WAT");
        let map = map_of(&engine, "case", &wasm);
        let text_bytes = if wasmparser::Parser::is_component(&wasm) {
            support::component(&engine, &wasm).text().len()
        } else {
            Module::new(&engine, &wasm).expect("a module").text().len()
        };
        check(&map, text_bytes);
    }
}

#[test]
fn serialized_images_give_the_same_map() {
    let engine = support::engine();
    for case in cases() {
        let wasm = wat::parse_file(&case).expect("WAT");
        let image = if wasmparser::Parser::is_component(&wasm) {
            engine.precompile_component(&wasm).expect("compiling")
        } else {
            engine.precompile_module(&wasm).expect("compiling")
        };
        let builder = SymbolMap::builder("case").source(&wasm).signatures();
        let map = builder.serialized(&image).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        assert_eq!(describe(&map), describe(&map_of(&engine, "case", &wasm)), "{}", case.display());
    }
}

#[test]
fn without_source_and_without_symbols_everything_still_has_a_name() {
    let mut config = support::config();
    config.debug_symbols(false);
    let engine = Engine::new(&config).expect("an engine");
    for case in cases() {
        let wasm = wat::parse_file(&case).expect("WAT");
        if wasmparser::Parser::is_component(&wasm) {
            let component = support::component(&engine, &wasm);
            let map = SymbolMap::builder("case").build(&component).expect("a map");
            check(&map, component.text().len());
        }
    }
}

#[test]
fn without_symbols_imports_are_named_by_their_consumers() {
    let mut config = support::config();
    config.debug_symbols(false);
    let engine = Engine::new(&config).expect("an engine");
    let wasm = wat::parse_file(support::root().join("tests/map/imports.wat")).expect("WAT");
    let map = SymbolMap::builder("case").build(support::component(&engine, &wasm)).expect("a map");
    let lowered = map.functions().find(|function| function.name() == "stream.write").expect("the lowered import");
    assert_eq!(lowered.library().name, "demo:log/sink@1.2.3 (import)");
    assert_eq!(lowered.named_by().name(), "core-import");
}

#[test]
fn the_bundled_composition_is_named_from_wit() {
    let engine = support::engine();
    let wasm = support::read(&support::kitchen());
    let component = support::component(&engine, &wasm);
    let map = SymbolMap::builder("kitchen").source(&wasm).signatures().build(&component).expect("a map");
    check(&map, component.text().len());
    let library = |name: &str| map.libraries().iter().find(|library| library.name == name);
    assert!(library("demo:math/ops@0.1.0 (app -> provider)").is_some_and(|library| library.functions >= 5));
    assert!(
        map.libraries()
            .iter()
            .any(|library| library.name.starts_with("wasi:io/streams@0.2") && library.name.ends_with("(import)"))
    );
    assert!(
        map.libraries()
            .iter()
            .any(|library| library.name.starts_with("wasi:cli/run@0.2") && library.name.ends_with("(export)"))
    );
    let adapter = map
        .functions()
        .find(|function| function.kind() == witprof::FunctionKind::Adapter && function.name() == "describe")
        .expect("the adapter of `describe`");
    assert_eq!(adapter.signature(), Some("describe: func(points: list<point>) -> string"));
    let write = map.signature(
        map.functions().find_map(|f| f.interface().filter(|i| i.starts_with("wasi:io/streams"))),
        "output-stream.write",
    );
    assert_eq!(write, Some("write: func(contents: list<u8>) -> result<_, stream-error>"));
}

#[test]
fn ten_thousand_functions_are_all_found() {
    let mut wat = String::from("(component $big (core module $m\n");
    for index in 0..10_000 {
        let _ = writeln!(wat, "(func $function_{index} (result i32) i32.const {index})");
    }
    wat.push_str("(func (export \"f\") (result i32) (call $function_9999)))\n(core instance (instantiate $m)))");
    let engine = support::engine();
    let component = support::component(&engine, wat.as_bytes());
    let map = SymbolMap::builder("big").build(&component).expect("a map");
    check(&map, component.text().len());
    let library = map.libraries().iter().find(|library| library.name == "big/m").expect("the module");
    assert_eq!(library.functions, 10_001);
    assert!(map.functions().any(|function| function.name() == "function_7777"));
}

#[test]
fn modules_of_one_name_stay_apart() {
    let wat = "(component $c
        (core module $x (func (export \"a\"))) (core instance (instantiate $x))
        (core module $y (@name \"x\") (func (export \"b\"))) (core instance (instantiate $y))
        (core module $z (@name \"x[1]\") (func (export \"c\"))) (core instance (instantiate $z)))";
    let engine = support::engine();
    let map = SymbolMap::builder("c").build(support::component(&engine, wat.as_bytes())).expect("a map");
    let guests: std::collections::HashSet<_> = map
        .functions()
        .filter(|one| one.layer() == witprof::Layer::Guest)
        .map(|one| one.library().name.as_str())
        .collect();
    assert_eq!(guests.len(), 3, "{guests:?}");
}

#[test]
fn a_name_that_stands_for_gigabytes_is_shown_as_it_is() {
    let bomb = format!("_ZN1AI1BE{}E", "1CIS_S_E".repeat(60));
    let wat = format!(
        "(component (core module (func (export \"{bomb}\") ) (func (@name \"{bomb}\"))) (core instance (instantiate 0)))"
    );
    let engine = support::engine();
    let map = SymbolMap::builder("c").build(support::component(&engine, wat.as_bytes())).expect("a map");
    assert!(map.functions().all(|function| function.name().len() < 100_000));
}

#[test]
fn an_engine_with_guest_debugging_is_refused() {
    let mut config = support::config();
    config.guest_debug(true);
    let engine = Engine::new(&config).expect("an engine");
    let component = support::component(&engine, b"(component)");
    let error = SymbolMap::builder("debugged").build(&component).expect_err("guest debugging");
    assert!(matches!(error, Error::GuestDebug { .. }));
}

#[test]
fn the_json_map_has_the_documented_fields() {
    let engine = support::engine();
    let wasm = support::read(&support::kitchen());
    let map = map_of(&engine, "kitchen", &wasm);
    let mut json = Vec::new();
    write_map_json(&map, &mut json).expect("writing to memory");
    let json: Value = serde_json::from_slice(&json).expect("valid JSON");
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let top = ["component", "wasmtime", "text_bytes", "padding_bytes", "unattributed_bytes", "libraries", "functions"];
    let mut found = keys(&json);
    found.sort();
    assert_eq!(found, sorted(&top));
    let mut found = keys(&json["libraries"][0]);
    found.sort();
    assert_eq!(
        found,
        sorted(&["name", "layer", "interface", "direction", "component", "component_named_by", "bytes", "functions"])
    );
    let mut found = keys(&json["functions"][0]);
    found.sort();
    let function = [
        "name",
        "library",
        "offset",
        "size",
        "layer",
        "interface",
        "function",
        "direction",
        "kind",
        "named_by",
        "signature",
    ];
    assert_eq!(found, sorted(&function));
    assert_eq!(json["unattributed_bytes"], 0);
    let libraries: Vec<&Value> = json["libraries"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert!(json["functions"].as_array().expect("a list").iter().all(|one| libraries.contains(&&one["library"])));
    assert_eq!(json["functions"].as_array().expect("a list").len(), map.functions().len());
}

#[test]
fn hostile_names_do_not_reach_a_terminal() {
    let wat = "(component (core module (func (export \"\\1b[31mred\\u{202e}\")) (func (export \"a\\nb\")))
        (core instance (instantiate 0)))";
    let engine = support::engine();
    let map = SymbolMap::builder("\u{1b}[2J").build(support::component(&engine, wat.as_bytes())).expect("a map");
    let mut table = Vec::new();
    write_map_table(&map, MapDetail::Functions, TableStyle::default(), &mut table).expect("writing to memory");
    let table = String::from_utf8(table).expect("text");
    assert!(table.contains("\\u{1b}[31mred\\u{202e}"), "{table}");
    assert!(table.lines().all(|line| !line.chars().any(|char| char.is_control())), "{table:?}");
}

/// A composition that passes a tuple so wide that the adapter converts parts of it in functions of their own.
fn composition_with_adapter_helpers() -> String {
    let types = format!("(type $inner (tuple {})) (type $wide (tuple {}))", "string ".repeat(40), "$inner ".repeat(40));
    format!(
        r#"(component $composed
          (component $provider
            (core module $code (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 16)
              (func (export "demo:wide/api#take") (param i32 i32)))
            (core instance $i (instantiate $code))
            {types}
            (func $take (param "all" (list $wide))
              (canon lift (core func $i "demo:wide/api#take") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc"))))
            (instance $api (export "take" (func $take)))
            (export "demo:wide/api" (instance $api)))
          (component $app
            {types}
            (import "demo:wide/api" (instance $api (export "take" (func (param "all" (list $wide))))))
            (core module $memory (memory (export "memory") 1))
            (core instance $mem (instantiate $memory))
            (core func $take (canon lower (func $api "take") (memory (core memory $mem "memory"))))
            (core module $main
              (import "demo:wide/api" "take" (func $take (param i32 i32)))
              (func (export "run") (call $take (i32.const 0) (i32.const 0))))
            (core instance $m (instantiate $main (with "demo:wide/api" (instance (export "take" (func $take))))))
            (func (export "run") (canon lift (core func $m "run"))))
          (instance $p (instantiate $provider))
          (instance $a (instantiate $app (with "demo:wide/api" (instance $p "demo:wide/api"))))
          (export "run" (func $a "run")))"#
    )
}

#[test]
fn helpers_of_adapters_belong_to_the_adapter_that_needs_them() {
    let engine = support::engine();
    let component = support::component(&engine, composition_with_adapter_helpers().as_bytes());
    let map = SymbolMap::builder("composed").build(&component).expect("a map");
    let helpers: Vec<_> =
        map.functions().filter(|function| function.kind() == witprof::FunctionKind::AdapterHelper).collect();
    assert!(!helpers.is_empty(), "the tuple is too small to need a helper");
    for helper in helpers {
        assert!(helper.library().name.starts_with("demo:wide/api ("), "{}", helper.library().name);
    }
}

/// A random component, or `None` if the bytes do not describe one.
fn random_component(bytes: &[u8]) -> Option<Vec<u8>> {
    use arbitrary::{Arbitrary as _, Unstructured};
    wasm_smith::Component::arbitrary(&mut Unstructured::new(bytes)).ok().map(|component| component.to_bytes())
}

/// A random core module inside a component, so that there is code in it.
fn random_module(bytes: &[u8]) -> Option<Vec<u8>> {
    use arbitrary::Unstructured;
    let mut unstructured = Unstructured::new(bytes);
    let config = wasm_smith::Config {
        allow_start_export: false,
        min_funcs: 1,
        max_imports: 0,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(config, &mut unstructured).ok()?.to_bytes();
    let mut component = wasm_encoder::Component::new();
    component
        .section(&wasm_encoder::RawSection { id: wasm_encoder::ComponentSectionId::CoreModule.into(), data: &module });
    let mut instances = wasm_encoder::InstanceSection::new();
    instances.instantiate::<[(&str, wasm_encoder::ModuleArg); 0], _>(0, []);
    component.section(&instances);
    Some(component.finish())
}

#[test]
fn random_components_are_mapped_completely() {
    let engine = support::engine();
    let mut mapped = 0;
    let mut with_code = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for round in 0..240 {
        let bytes = prop::collection::vec(any::<u8>(), 2000).new_tree(&mut runner).expect("bytes").current();
        let wasm = if round % 2 == 0 { random_component(&bytes) } else { random_module(&bytes) };
        let Some(wasm) = wasm else { continue };
        let Ok(component) = Component::new(&engine, &wasm) else { continue };
        let builder = SymbolMap::builder("random").source(&wasm).signatures();
        let map = builder.build(&component).expect("a map of what Wasmtime compiled");
        check(&map, component.text().len());
        mapped += 1;
        with_code += usize::from(map.functions().len() > 0);
    }
    // The generators must keep producing what Wasmtime accepts, or this shows nothing.
    assert!(mapped >= 60 && with_code >= 30, "{mapped} components, {with_code} with code");
}

/// A component of a composition: what it is called, what it exports, and what it instantiates how many times.
#[derive(Clone, Debug)]
struct Part {
    name: Option<&'static str>,
    module: Option<&'static str>,
    interface: Option<&'static str>,
    inside: Vec<(Part, Option<&'static str>, usize)>,
}

/// Few names, so that they meet; some look like what tells names apart.
fn part() -> impl Strategy<Value = Part> {
    let name = || prop::option::of(prop::sample::select(vec!["a", "b", "a[b]", "b/a", "component[1]"]));
    let module = || prop::option::of(prop::sample::select(vec!["a.wasm", "b", "libpython3.14.so"]));
    let interface = || prop::option::of(prop::sample::select(vec!["a:a/a", "a:a/b", "wasi:http/handler@0.2.0"]));
    let part = move |inside| {
        let fields = (name(), module(), interface(), inside);
        fields.prop_map(|(name, module, interface, inside)| Part { name, module, interface, inside })
    };
    part(Just(Vec::new()).boxed())
        .prop_recursive(4, 32, 3, move |inner| part(prop::collection::vec((inner, name(), 1..3_usize), 1..4).boxed()))
}

impl Part {
    fn write(&self, wat: &mut String) {
        let name = |name: Option<&str>| name.map_or_else(String::new, |name| format!("(@name \"{name}\")"));
        let _ = write!(wat, "(component {} ", name(self.name));
        for (index, (inside, instance, times)) in self.inside.iter().enumerate() {
            inside.write(wat);
            for _ in 0..*times {
                let _ = write!(wat, "(instance {} (instantiate {index}))", name(*instance));
            }
        }
        let _ = write!(
            wat,
            "(core module {} (func (export \"f\"))) (core instance $i (instantiate 0))
             (func $f (canon lift (core func $i \"f\")))",
            name(self.module)
        );
        if let Some(interface) = self.interface {
            let _ = write!(wat, "(instance $e (export \"f\" (func $f))) (export \"{interface}\" (instance $e))");
        }
        wat.push(')');
    }

    fn count(&self) -> usize {
        1 + self.inside.iter().map(|(inside, ..)| inside.count()).sum::<usize>()
    }
}

#[test]
fn components_of_any_names_stay_apart() {
    let engine = support::engine();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut largest = 0;
    for _ in 0..60 {
        let whole = part().new_tree(&mut runner).expect("a composition").current();
        let mut wat = String::new();
        whole.write(&mut wat);
        let wasm = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}: {wat}"));
        let component = support::component(&engine, &wasm);
        let map = SymbolMap::builder("a").source(&wasm).build(&component).expect("a map");
        check(&map, component.text().len());
        let guests: Vec<_> = map.libraries().iter().filter(|one| one.layer == witprof::Layer::Guest).collect();
        let mut components: Vec<_> = guests.iter().filter_map(|one| one.component.as_deref()).collect();
        components.sort_unstable();
        components.dedup();
        assert_eq!((guests.len(), components.len()), (whole.count(), whole.count()), "{components:?} {wat}");
        assert!(guests.iter().all(|one| one.component_named_by.is_some()));
        largest = largest.max(whole.count());
    }
    assert!(largest >= 8, "{largest} components");
}

#[test]
fn what_is_not_an_image_is_refused() {
    for bytes in [&b""[..], b"\0asm", b"\x7fELF", include_bytes!("map.rs")] {
        let error = SymbolMap::builder("nothing").serialized(bytes).expect_err("not an image");
        assert!(error.to_string().contains("nothing"), "{error}");
    }
    // An ELF file, but not Wasmtime's.
    let own = std::fs::read(std::env::current_exe().expect("this test")).expect("reading it");
    assert!(SymbolMap::builder("test").serialized(&own).is_err());
}
