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

/// Replaces the section that describes the code by a longer one.
fn with_info(image: &[u8], info: &[u8]) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().expect("8 bytes"));
    let headers = usize::try_from(word(0x28)).expect("small");
    let (start, end) = info_section(image);
    let header = (headers..image.len()).step_by(64).find(|at| {
        usize::try_from(word(at + 24)).is_ok_and(|offset| offset == start)
            && usize::try_from(word(at + 32)).is_ok_and(|length| length == end - start)
    });
    let header = header.expect("the header of the section");
    let mut changed = image.to_vec();
    changed.resize(image.len().next_multiple_of(16), 0);
    let offset = changed.len() as u64;
    changed[header + 24..header + 32].copy_from_slice(&offset.to_le_bytes());
    changed[header + 32..header + 40].copy_from_slice(&(info.len() as u64).to_le_bytes());
    changed.extend_from_slice(info);
    changed
}

#[test]
fn absurd_counts_neither_abort_nor_hang() {
    let engine = support::engine();
    let wasm = wat::parse_file(support::root().join("tests/map/resources.wat")).expect("WAT");
    let image = engine.precompile_component(&wasm).expect("compiling");
    let (start, end) = info_section(&image);
    let info = &image[start..end];
    assert!(SymbolMap::builder("same").serialized(&with_info(&image, info)).is_ok(), "the change itself is harmless");
    std::panic::set_hook(Box::new(|_| {}));
    for position in 0..info.len() {
        // A number of one byte becomes the largest of five.
        if info[position] < 0x80 && (position == 0 || info[position - 1] < 0x80) {
            let absurd = [&info[..position], &[0xff, 0xff, 0xff, 0xff, 0x0f], &info[position + 1..]].concat();
            if let Ok(map) = SymbolMap::builder("damaged").source(&wasm).serialized(&with_info(&image, &absurd)) {
                walk(&map);
            }
        }
    }
    let _ = std::panic::take_hook();
}
