//! The reader on what real Pythons had in their memories: `tests/snapshots/`, whose README says how they were made. What they ran was
//! read by another reader.

use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;

use super::tests::read_all;
use super::*;

/// A memory of which some bytes are known.
struct Snapshot {
    name: String,
    version: u32,
    runtime: u32,
    bytes: Vec<u8>,
    /// Where bytes are known.
    known: Vec<usize>,
    /// What runs, as text.
    stack: String,
}

fn snapshots() -> Vec<Snapshot> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of snapshots")
        .map(|file| file.expect("a file").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "snapshot"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).expect("text");
            let stack = std::fs::read_to_string(file.with_extension("stack")).expect("text");
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            Snapshot::parse(name, &text, stack)
        })
        .collect()
}

impl Snapshot {
    /// Reads `python HEX runtime HEX length HEX`, and then lines with an address and bytes from there on, in hexadecimal numbers.
    fn parse(name: String, text: &str, stack: String) -> Self {
        let number = |text: &str| u32::from_str_radix(text, 16).expect("a number");
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().expect("a first line").split(' ').collect();
        let ["python", version, "runtime", runtime, "length", length] = head[..] else { panic!("{name}: {head:?}") };
        let mut bytes = vec![0; number(length) as usize];
        let mut known = Vec::new();
        for line in lines {
            let (address, data) = line.split_once(' ').expect("an address and bytes");
            for (place, digits) in (number(address) as usize..).zip(data.as_bytes().chunks(2)) {
                let digits = std::str::from_utf8(digits).expect("digits");
                bytes[place] = u8::from_str_radix(digits, 16).expect("a byte");
                known.push(place);
            }
        }
        Self { name, version: number(version), runtime: number(runtime), bytes, known, stack }
    }

    fn memory(&self) -> GuestMemory<'_> {
        GuestMemory::new(&self.bytes)
    }

    /// What is read, in the form of the file.
    fn read(&self) -> String {
        let memory = self.memory();
        let mut python = Python::at(memory, self.runtime).expect("a Python that is known");
        let threads: Vec<u32> = python.threads(memory).collect();
        let [thread] = threads[..] else { panic!("{}: {} threads", self.name, threads.len()) };
        let frames: Vec<_> = python.frames(memory, thread).collect();
        let mut stack = String::new();
        for frame in &frames {
            match frame {
                Some(Frame::Function { function, instruction }) => {
                    let identity = python.identity(memory, function.address()).expect("a code object");
                    let code = python.function(memory, &identity).expect("a code object");
                    let unit = (instruction - code.instructions) / 2;
                    let line = line_of(code.lines.bytes, code.start.line, unit)
                        .map_or("?".to_owned(), |line| line.to_string());
                    writeln!(stack, "{} {}:{line}", code.name, code.file).expect("memory");
                }
                Some(Frame::Run { .. }) => stack.push_str("-- run --\n"),
                None => {}
            }
        }
        // The list leads nowhere, or ends before the run that is always the first.
        if !matches!(frames.last(), Some(Some(Frame::Run { .. }))) {
            stack.push_str("(cut)\n");
        }
        stack
    }
}

#[test]
fn what_real_pythons_ran_is_read() {
    let snapshots = snapshots();
    for version in [13, 14, 15] {
        let of_version = snapshots.iter().filter(|snapshot| snapshot.version >> 16 == 0x300 | version);
        assert!(of_version.count() >= 5, "snapshots of 3.{version}");
    }
    for mut snapshot in snapshots {
        if snapshot.version >> 4 & 15 != 15 {
            let problem = Python::at(snapshot.memory(), snapshot.runtime).map(drop);
            assert_eq!(problem, Err(InterpreterProblem::BeforeRelease), "{}", snapshot.name);
            // This one has the table of the release all the same.
            snapshot.bytes[snapshot.runtime as usize + 8] = 0xf0;
        }
        assert_eq!(snapshot.read(), snapshot.stack, "{}", snapshot.name);
    }
}

#[test]
fn damaged_snapshots_do_no_harm() {
    for snapshot in snapshots() {
        let Snapshot { runtime, bytes, known, .. } = &snapshot;
        let bytes = std::cell::RefCell::new(bytes.clone());
        let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
        let result = runner.run(&damage, |damage| {
            let mut bytes = bytes.borrow_mut();
            let places: Vec<(usize, u8)> =
                damage.iter().map(|(at, byte)| (known[at.index(known.len())], *byte)).collect();
            let before: Vec<u8> =
                places.iter().map(|(place, byte)| std::mem::replace(&mut bytes[*place], *byte)).collect();
            let frames = read_all(&bytes, *runtime, &[]);
            for ((place, _), byte) in places.iter().zip(before).rev() {
                bytes[*place] = byte;
            }
            prop_assert!(frames <= 2 * MAX_FRAMES);
            Ok(())
        });
        result.unwrap_or_else(|problem| panic!("{}: {problem}", snapshot.name));
    }
}
