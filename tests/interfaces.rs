//! Interfaces in a map are those that the component has: what it, or a component nested in it, imports or exports.
//!
//! `WITPROF_COMPONENTS=FOLDER` looks at the components in a folder as well.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;

use wasmparser::{ComponentExternalKind, Parser, Payload};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};
use witprof::{Direction, FunctionKind, SymbolMap};

/// The names of all instances that the components in these bytes import and export, and those of the whole.
struct Declared {
    all: BTreeSet<String>,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

fn declared(wasm: &[u8]) -> Declared {
    let mut declared = Declared { all: BTreeSet::new(), imports: BTreeSet::new(), exports: BTreeSet::new() };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("a valid component") {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import.expect("an import");
                    if import.ty.kind() == ComponentExternalKind::Instance {
                        declared.all.insert(import.name.name.to_owned());
                        if depth == 1 {
                            declared.imports.insert(import.name.name.to_owned());
                        }
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.expect("an export");
                    if export.kind == ComponentExternalKind::Instance {
                        declared.all.insert(export.name.name.to_owned());
                        if depth == 1 {
                            declared.exports.insert(export.name.name.to_owned());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    declared
}

/// All components in the tree, and those that the environment names.
fn components() -> Vec<(PathBuf, Vec<u8>)> {
    let own = ["tests/map", "tests/guests", "examples"].map(|folder| support::root().join(folder));
    let others = std::env::var_os("WITPROF_COMPONENTS").map(PathBuf::from);
    let mut found = Vec::new();
    for folder in own.into_iter().chain(others) {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "wat" || end == "wasm") {
                let wasm = wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                if Parser::is_component(&wasm) {
                    found.push((path, wasm));
                }
            }
        }
    }
    found
}

#[test]
fn no_map_has_an_interface_that_its_component_has_not() {
    let engine = support::engine();
    let mut config = support::config();
    config.debug_symbols(false);
    let without_symbols = Engine::new(&config).expect("an engine");
    let (mut checked, mut crossings) = (0, 0);
    for (path, wasm) in components() {
        let declared = declared(&wasm);
        for engine in [&engine, &without_symbols] {
            let map = SymbolMap::builder("case").source(&wasm).build(support::component(engine, &wasm));
            let map = map.expect("a map");
            for library in map.libraries() {
                let Some(interface) = &library.interface else { continue };
                let has = match library.direction {
                    Some(Direction::Import) => &declared.imports,
                    Some(Direction::Export) => &declared.exports,
                    _ => &declared.all,
                };
                assert!(has.contains(interface), "{}: {}", path.display(), library.name);
            }
            for function in map.functions() {
                let Some(interface) = function.interface() else { continue };
                assert!(declared.all.contains(interface), "{}: {} {interface}", path.display(), function.name());
                crossings += 1;
            }
        }
        checked += 1;
    }
    assert!(checked > 30 && crossings > 500, "{checked} components, {crossings} functions at interfaces");
}

/// The component imports 0.2.6 of what its core module spells as 0.2.0, as toolchains do that merge versions.
#[test]
fn a_drop_belongs_to_the_version_that_is_imported() {
    let wasm = wat::parse_file(support::root().join("tests/map/merged_versions.wat")).expect("WAT");
    let component = support::component(&support::engine(), &wasm);
    // With the source and without: the wiring alone tells.
    for builder in [SymbolMap::builder("case").source(&wasm), SymbolMap::builder("case")] {
        let map = builder.build(&component).expect("a map");
        let drop = map
            .functions()
            .find(|function| function.kind() == FunctionKind::ResourceIntrinsic && function.name() == "pollable.drop");
        let drop = drop.expect("the drop of a pollable");
        assert_eq!(drop.library().name, "wasi:io/poll@0.2.6 (import)");
        assert_eq!((drop.interface(), drop.direction()), (Some("wasi:io/poll@0.2.6"), Some(Direction::Import)));
        assert_eq!(drop.named_by().name(), "wit");
    }
}

/// A component in a composition spells a version of its own, of what the whole imports, and of what its neighbour exports.
#[test]
fn components_of_a_composition_mean_what_they_are_given() {
    let wat = r#"(component $whole
      (import "wasi:io/poll@0.2.6" (instance $poll (export "pollable" (type (sub resource)))))
      (component $provider
        (core module $code (func (export "demo:math/ops@0.1.0#answer") (result i32) i32.const 42))
        (core instance $i (instantiate $code))
        (func $answer (result s32) (canon lift (core func $i "demo:math/ops@0.1.0#answer")))
        (instance $ops (export "answer" (func $answer)))
        (export "demo:math/ops@0.1.3" (instance $ops)))
      (component $app
        (import "wasi:io/poll@0.2.3" (instance $poll (export "pollable" (type (sub resource)))))
        (import "demo:math/ops@0.1.2" (instance $ops (export "answer" (func (result s32)))))
        (alias export $poll "pollable" (type $pollable))
        (core func $drop (canon resource.drop $pollable))
        (core func $answer (canon lower (func $ops "answer")))
        (core module $main
          (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))
          (import "demo:math/ops@0.1.1" "answer" (func $answer (result i32)))
          (func (export "run") (result i32) (call $drop (i32.const 0)) (call $answer)))
        (core instance $m (instantiate $main
          (with "wasi:io/poll@0.2.0" (instance (export "[resource-drop]pollable" (func $drop))))
          (with "demo:math/ops@0.1.1" (instance (export "answer" (func $answer))))))
        (func (export "run") (result s32) (canon lift (core func $m "run"))))
      (instance $p (instantiate $provider))
      (instance $a (instantiate $app
        (with "wasi:io/poll@0.2.3" (instance $poll)) (with "demo:math/ops@0.1.2" (instance $p "demo:math/ops@0.1.3"))))
      (export "run" (func $a "run")))"#;
    let wasm = wat::parse_str(wat).expect("WAT");
    let component = Component::new(&Engine::new(&Config::new()).expect("an engine"), &wasm).expect("a component");
    let map = SymbolMap::builder("whole").source(&wasm).build(&component).expect("a map");
    let libraries: Vec<&str> = map.libraries().iter().map(|library| library.name.as_str()).collect();
    assert!(libraries.contains(&"wasi:io/poll@0.2.6 (import)"), "{libraries:?}");
    // Named by its consumer, in the version that this imports.
    assert!(libraries.contains(&"demo:math/ops@0.1.2 (app -> provider)"), "{libraries:?}");
    let declared = declared(&wasm).all;
    assert!(map.functions().filter_map(|function| function.interface()).all(|interface| declared.contains(interface)));
}

/// Names that tell more than a number, or a package that several components share.
#[test]
fn components_without_a_name_are_called_after_their_core_module() {
    let provider = |module: &str, answer: u32| {
        format!(
            r#"(component
          (core module (@name "{module}") (func (export "demo:math/ops#answer") (result i32) i32.const {answer}))
          (core instance $i (instantiate 0))
          (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
          (instance $ops (export "answer" (func $answer)))
          (export "demo:math/ops" (instance $ops)))"#
        )
    };
    let wat = format!(
        r#"(component {} {}
          (component (core module (@name "app.wasm") (func (export "run"))) (core instance (instantiate 0)))
          (component (core module (func (export "nothing"))) (core instance (instantiate 0)))
          (instance (instantiate 0)) (instance (instantiate 1)) (instance (instantiate 2)) (instance (instantiate 3)))"#,
        provider("doubler.wasm", 1),
        provider("halver.wasm", 2),
    );
    let wasm = wat::parse_str(&wat).expect("WAT");
    let component = support::component(&support::engine(), &wasm);
    let map = SymbolMap::builder("whole").source(&wasm).build(&component).expect("a map");
    let libraries: Vec<&str> = map.libraries().iter().map(|library| library.name.as_str()).collect();
    let expected = ["doubler/doubler.wasm", "halver/halver.wasm", "app/app.wasm", "component[4]/module[3]"];
    for expected in expected {
        assert!(libraries.contains(&expected), "{expected}: {libraries:?}");
    }
}
