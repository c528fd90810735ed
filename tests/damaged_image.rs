//! Damaged images. In a process of its own, because it silences the panic messages of the whole process.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::fmt::Write as _;

use witprof::{Error, SymbolMap};

#[test]
fn a_damaged_image_is_an_error_or_a_map_but_never_a_panic() {
    let engine = support::engine();
    let wasm = wat::parse_file(support::root().join("tests/map/resources.wat")).expect("WAT");
    let image = engine.precompile_component(&wasm).expect("compiling");
    // Panics that the library turns into errors would flood the output.
    std::panic::set_hook(Box::new(|_| {}));
    let mut refused = 0;
    let mut damage = |image: &[u8]| {
        let result = std::panic::catch_unwind(|| match SymbolMap::builder("damaged").source(&wasm).serialized(image) {
            Ok(map) => {
                walk(&map);
                false
            }
            Err(Error::Image { .. }) => true,
            Err(other) => panic!("unexpected error {other}"),
        });
        refused += usize::from(result.expect("no panic gets out"));
    };
    for length in (0..image.len()).step_by(997) {
        damage(&image[..length]);
    }
    let mut damaged = image.clone();
    // Every byte of the headers and of the description of the code, and some of the rest.
    let (start, end) = info_section(&image);
    for position in (0..64).chain(start..end).chain((0..image.len()).step_by(101)) {
        for bit in [0, 3, 7] {
            damaged[position] ^= 1 << bit;
            damage(&damaged);
            damaged[position] ^= 1 << bit;
        }
    }
    let _ = std::panic::take_hook();
    assert!(refused > 500, "only {refused} damaged images were refused");
}

fn info_section(image: &[u8]) -> (usize, usize) {
    use object::{Object as _, ObjectSection as _};
    let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(image).expect("an ELF image");
    let section = elf.section_by_name(".wasmtime.info").expect("the description of the code");
    let (start, length) = section.file_range().expect("a section with contents");
    (usize::try_from(start).expect("small"), usize::try_from(start + length).expect("small"))
}

/// Uses everything that a map can tell.
fn walk(map: &SymbolMap) {
    let mut text = String::new();
    for function in map.functions() {
        let _ = write!(text, "{}{:?}{:?}", function.name(), function.library(), function.signature());
        assert!(map.lookup(function.offset()).is_some());
    }
}
