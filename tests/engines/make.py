#!/usr/bin/env python3
"""Finds out how engines of JavaScript are to be read, and proves it: those of StarlingMonkey, in the npm package
`@bytecodealliance/componentize-js`.

    make.py [--folder FOLDER] [--versions VERSION,...] table WITPROF    writes the table of engines, as Rust
    make.py [--folder FOLDER] [--versions VERSION,...] prove WITPROF    records a program with each, and compares with what it is

Packages are installed into folders of their own, one for each version, below FOLDER, by default a temporary one. Those that are there are
taken as they are, and so are components that were made of them.

A package has up to three engines: `release`, `debug`, and `weval`. Several versions may have the same engine. That of weval has another
interpreter, for code that is compiled ahead of time; it is listed, but is not in the table.

`table` takes no value from anywhere but the engines:

- The constants are those of the file, and have to be the same in a component that was made with it.
- The evaluation loop is `js::Interpret` in the debug build, where functions have names. In the release build it is the function whose
  largest jump table has as many targets; where there are several such functions, it has to be one in which the program's time is.
- The context's address is one that the code loads from. Which one, and where things are, is seen in a process that runs the program: it is
  stopped many times, and only what leads from the context to the program's own functions in all stops is it. WITPROF is there to
  run the program, and need not know the engine.

`prove` prints a line for each engine, and fails if anything is missing or wrong: with WITPROF, every function of `app.js` has its name, its
file and its line, three times the work is three times the time, and next to nothing is unknown. With `--outside` it reads the stacks
itself, with what the table says, so that the engine need not be known to WITPROF.

Linux only. It needs Node.js and npm, and the right to read the memory of processes that it starts.
"""

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).parent
PACKAGE = "@bytecodealliance/componentize-js"
FIRST = (0, 18, 0)
FILES = {
    "release": "starlingmonkey_embedding.wasm",
    "debug": "starlingmonkey_embedding.debug.wasm",
    "weval": "starlingmonkey_embedding_weval.wasm",
}
IN_TABLE = ("release", "debug")
LOOP = "js::Interpret(JSContext*, js::RunState&)"

# What tells an engine: so many bytes of its memory, from there on.
DATA, MANY = 1 << 20, 256 << 10

# How the layouts are called in `layout.rs`: by where the context has the activation, by where the source object has the source, and by the
# number that arenas of scripts have.
LAYOUTS = {(132, 16, 18): "FIREFOX_127", (136, 16, 28): "FIREFOX_140", (132, 24, 28): "FIREFOX_147"}

# Where things are that are the same in all of them: of SpiderMonkey's sources, for 32 bits.
ACTIVATION_CONTEXT, ACTIVATION_PREVIOUS, ACTIVATION_KIND = 0, 8, 56
ACTIVATION_INSTRUCTION, ACTIVATION_FRAME, ACTIVATION_ENTRY = 64, 68, 72
FRAME_SCRIPT, FRAME_PREVIOUS, FRAME_PREVIOUS_INSTRUCTION, FRAME_ARGUMENTS = 8, 28, 32, 44
SCRIPT_SOURCE, SCRIPT_LINE, SCRIPT_FLAGS, SCRIPT_SHARED, SCRIPT_SIZE = 12, 32, 40, 52, 56
SHARED_DATA, DATA_CODE_LENGTH, DATA_CODE = 8, 4, 33
FUNCTION_SCRIPT, FUNCTION_NAME = 32, 40
SOURCE_FILE = 60
IS_FUNCTION, IS_SELF_HOSTED = 1 << 2, 1 << 3
TAG_UNDEFINED, TAG_STRING, TAG_OBJECT = 0xFFFFFF83, 0xFFFFFF86, 0xFFFFFF8C
# Where a context may have its activation.
ACTIVATIONS = range(64, 256, 4)

SOURCE = "source.js"
SECONDS = 10


class Unreadable(Exception):
    """What is looked for is not there."""


# WebAssembly


def number(data, at):
    """An unsigned number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def past(data, at):
    """Where a number ends."""
    while data[at] >= 128:
        at += 1
    return at + 1


def sections(data):
    at = 8
    while at < len(data):
        size, start = number(data, at + 1)
        yield data[at], start, start + size
        at = start + size


class Module:
    """The core module that is the engine, alone or in a component."""

    def __init__(self, file):
        data = file.read_bytes()
        if data[4:8] != b"\x01\0\0\0":
            data = max((data[start:end] for kind, start, end in sections(data) if kind == 1), key=len)
        self.data = data

    def section(self, wanted):
        return next(((start, end) for kind, start, end in sections(self.data) if kind == wanted), None)

    def memory(self):
        """What is in its memory at first, as far as something is."""
        memory = bytearray()
        at, _ = self.section(11)
        count, at = number(self.data, at)
        for _ in range(count):
            flags, at = number(self.data, at)
            if flags == 2:
                _, at = number(self.data, at)
            if flags != 1:
                # i32.const, end. No address has its top bit set.
                address, at = number(self.data, at + 1)
                at += 1
            length, at = number(self.data, at)
            if flags != 1:
                memory.extend(bytes(max(0, address + length - len(memory))))
                memory[address : address + length] = self.data[at : at + length]
            at += length
        return bytes(memory)

    def imported(self):
        """How many functions are imported. They come before all others."""
        at, _ = self.section(2)
        count, at = number(self.data, at)
        functions = 0
        for _ in range(count):
            # Two names.
            for _ in range(2):
                length, at = number(self.data, at)
                at += length
            kind = self.data[at]
            at += 1
            if kind == 0:
                functions += 1
                at = past(self.data, at)
            elif kind == 3:
                at += 2
            else:
                at += kind == 1
                flags, at = number(self.data, at)
                for _ in range(1 + (flags & 1)):
                    at = past(self.data, at)
        return functions

    def bodies(self):
        at, _ = self.section(10)
        count, at = number(self.data, at)
        for _ in range(count):
            size, at = number(self.data, at)
            yield at, at + size
            at += size

    def names(self):
        """The names of functions, if there are any."""
        names = {}
        for kind, start, end in sections(self.data):
            length, at = number(self.data, start)
            if kind != 0 or self.data[at : at + length] != b"name":
                continue
            at += length
            while at < end:
                part = self.data[at]
                size, at = number(self.data, at + 1)
                if part == 1:
                    count, inside = number(self.data, at)
                    for _ in range(count):
                        index, inside = number(self.data, inside)
                        length, inside = number(self.data, inside)
                        names[index] = self.data[inside : inside + length].decode(errors="replace")
                        inside += length
                at += size
        return names

    def targets(self, start, end):
        """How many targets the largest jump table of a function has, with the default. It has none in code that is not understood."""
        data, largest = self.data, 0
        count, at = number(data, start)
        for _ in range(count):
            at = past(data, at) + 1
        while at < end:
            code = data[at]
            at += 1
            if code == 0x0E:
                count, at = number(data, at)
                largest = max(largest, count + 1)
                for _ in range(count + 1):
                    at = past(data, at)
            elif code in (2, 3, 4, 0x0C, 0x0D, 0x10, 0x41, 0x42, 0xD2) or 0x20 <= code <= 0x26:
                at = past(data, at)
            elif code == 0x11 or 0x28 <= code <= 0x3E:
                at = past(data, past(data, at))
            elif code in (0x3F, 0x40, 0xD0):
                at += 1
            elif code == 0x43:
                at += 4
            elif code == 0x44:
                at += 8
            elif code == 0x1C:
                count, at = number(data, at)
                at += count
            elif code == 0xFC:
                code, at = number(data, at)
                for _ in range({8: 2, 10: 2, 12: 2, 14: 2}.get(code, int(code > 7))):
                    at = past(data, at)
            elif code > 0xFC:
                return 0
        return largest

    def loaded(self):
        """The addresses that code loads words from, and how often: `i32.const`, `i32.load`. What only looks like it is among them."""
        start, end = self.section(10)
        found = collections.Counter()
        for match in re.finditer(rb"\x41([\x80-\xff]{2,3}[\0-\x7f])\x28\x02(?=([\x80-\xff]{0,3}[\0-\x7f]))", self.data[start:end]):
            address = number(match[1], 0)[0] + number(match[2], 0)[0]
            found[address] += address % 4 == 0
        return found


def constants(memory):
    return hashlib.sha256(memory[DATA : DATA + MANY]).hexdigest()


# Packages


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, encoding="utf-8", **options).stdout


def key(version):
    return tuple(int(part) for part in version.split("."))


def versions():
    """All from the first on, oldest first."""
    known = json.loads(run("npm", "view", PACKAGE, "versions", "--json"))
    known = [version for version in known if re.fullmatch(r"\d+\.\d+\.\d+", version)]
    return sorted((version for version in known if key(version) >= FIRST), key=key)


def installed(folder, version):
    """Where a version of the package is."""
    place = folder / version
    package = place / "node_modules" / PACKAGE
    if not package.exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        run("npm", "install", "--no-audit", "--no-fund", "--prefix", place, f"{PACKAGE}@{version}")
    return package


@dataclasses.dataclass
class Engine:
    """An engine, and all that have it."""

    file: pathlib.Path
    package: pathlib.Path
    build: str
    version: str
    packages: list
    digest: str
    # What `table` finds.
    constants: str = ""
    context: int = 0
    targets: int = 0
    layout: tuple = ()

    def __str__(self):
        return f"{self.version} {self.build}"

    def component(self):
        """A component that was made with it."""
        output = self.file.parents[4] / f"{self.build}.wasm"
        if not output.exists():
            run("node", FOLDER / "build.mjs", self.package, FOLDER / "app.js", FOLDER / "app.wit", output, self.build)
        return output

    def where(self):
        """The versions and builds that have it, in words."""
        builds = collections.defaultdict(list)
        for version, build in self.packages:
            builds[build].append(version)
        return "; ".join(f"{', '.join(versions)} {build}" for build, versions in builds.items())


def engines(folder, wanted):
    """Each engine once, oldest first."""
    found = {}
    for version in wanted:
        package = installed(folder, version)
        for build, name in FILES.items():
            file = package / "lib" / name
            if file.exists():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                engine = found.setdefault(digest, Engine(file, package, build, version, [], digest))
                engine.packages.append((version, build))
    return list(found.values())


# Processes


class Process:
    """A process that runs a component, from outside."""

    def __init__(self, pid):
        self.pid, self.memory = pid, os.open(f"/proc/{pid}/mem", os.O_RDONLY)

    def read(self, address, length):
        try:
            return os.pread(self.memory, length, address)
        except OSError:
            return b""

    @contextlib.contextmanager
    def stopped(self):
        os.kill(self.pid, signal.SIGSTOP)
        try:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                while self.state(thread) not in "TtZX":
                    time.sleep(0)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def state(self, thread):
        with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0]

    def base(self, digest):
        """Where a linear memory begins that has these constants."""
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as file:
            starts = [int(line.split("-")[0], 16) for line in file if " rw" in line]
        return next((start for start in starts if constants(self.read(start, DATA + MANY)) == digest), None)


class Memory:
    """A linear memory in a process."""

    def __init__(self, process, base):
        self._process, self._base = process, base

    def bytes(self, address, length):
        if not 0 < address < (1 << 32) - length:
            raise Unreadable(f"{address:#x}")
        data = self._process.read(self._base + address, length)
        if len(data) < length:
            raise Unreadable(f"{address:#x}")
        return data

    def word(self, address):
        return int.from_bytes(self.bytes(address, 4), "little")

    def pair(self, address):
        return struct.unpack("<II", self.bytes(address, 8))


def text(memory, at):
    """The characters of a string without parts."""
    flags, length = memory.pair(at)
    if flags & 0x3F != 0x18 or length > 1000:
        raise Unreadable("no name")
    characters = at + 8 if flags & 0x40 else memory.word(at + 8)
    encoding, width = ("latin-1", 1) if flags & 0x400 else ("utf-16-le", 2)
    return memory.bytes(characters, length * width).decode(encoding)


def file_name(memory, source):
    box = memory.word(source + SOURCE_FILE)
    characters, length = memory.pair(box)
    name = memory.bytes(characters, min(length, 1000))
    if not name.endswith(b"\0"):
        raise Unreadable("no name of a file")
    return name[:-1].decode(errors="replace")


def function(memory, frame, layout):
    """The name, the file and the line of the function that a frame is of."""
    _, source_at, script_kind = layout
    script = memory.word(frame + FRAME_SCRIPT)
    arena = script & ~0xFFF
    if memory.bytes(arena + 4, 1)[0] != script_kind or (arena + 0x1000 - script) % SCRIPT_SIZE:
        raise Unreadable("no script")
    flags = memory.word(script + SCRIPT_FLAGS)
    source, tag = memory.pair(memory.word(script + SCRIPT_SOURCE) + source_at)
    if tag:
        raise Unreadable("no source")
    name = None
    if flags & IS_FUNCTION:
        callee, tag = memory.pair(memory.word(frame + FRAME_ARGUMENTS) - 16)
        if tag != TAG_OBJECT or memory.word(callee + FUNCTION_SCRIPT) != script:
            raise Unreadable("no function")
        atom, tag = memory.pair(callee + FUNCTION_NAME)
        if tag not in (TAG_STRING, TAG_UNDEFINED):
            raise Unreadable("no name")
        name = text(memory, atom) if tag == TAG_STRING else ""
    return name, file_name(memory, source), memory.word(script + SCRIPT_LINE)


def stack(memory, context, layout):
    """What runs in a context, innermost first."""
    activation, functions = memory.word(context + layout[0]), []
    while activation:
        if memory.word(activation + ACTIVATION_CONTEXT) != context or memory.bytes(activation + ACTIVATION_KIND, 1) != b"\0":
            raise Unreadable("no activation")
        frame, entry = memory.word(activation + ACTIVATION_FRAME), memory.word(activation + ACTIVATION_ENTRY)
        while True:
            functions.append(function(memory, frame, layout))
            if len(functions) > 2000:
                raise Unreadable("no end")
            previous = memory.word(frame + FRAME_PREVIOUS)
            if (frame == entry) != (previous == 0):
                raise Unreadable("no entry")
            if frame == entry:
                break
            frame = previous
        activation = memory.word(activation + ACTIVATION_PREVIOUS)
    return functions


@contextlib.contextmanager
def running(engine, witprof, seconds):
    """A process that runs the program with an engine, and its memory."""
    with tempfile.TemporaryDirectory() as place:
        output = pathlib.Path(place) / "p.json"
        invoke = f"run({seconds * 1000})"
        command = [witprof, "run", "--quiet", "-o", output, "--interval", "100ms", "--invoke", invoke, engine.component()]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) as started:
            try:
                process = Process(started.pid)
                base = None
                # The memory is there as soon as the component is compiled, and what it does when it runs is not all there at once.
                while base is None and started.poll() is None:
                    time.sleep(0.2)
                    base = process.base(engine.constants)
                if base is None:
                    raise SystemExit(f"{engine}: it ended, or its memory was not found")
                yield process, Memory(process, base)
            finally:
                started.kill()


def layouts_at(memory, address):
    """How everything might be, if the address of the context is there: what leads to functions of the program."""
    context = memory.word(address)
    for activation_at in ACTIVATIONS:
        with contextlib.suppress(Unreadable):
            activation = memory.word(context + activation_at)
            if memory.word(activation) != context or activation == context:
                continue
            script = memory.word(memory.word(activation + ACTIVATION_FRAME) + FRAME_SCRIPT)
            kind = memory.bytes((script & ~0xFFF) + 4, 1)[0]
            for source_at in 16, 24:
                layout = activation_at, source_at, kind
                with contextlib.suppress(Unreadable):
                    if any(file == SOURCE for _, file, _ in stack(memory, context, layout)):
                        yield layout


def find(engine, witprof, stops=60):
    """The address of the context, and the layout."""
    candidates = engine.loaded
    found, whole = collections.Counter(), 0
    with running(engine, witprof, 60) as (process, memory):
        for _ in range(20 * stops):
            time.sleep(0.002)
            with process.stopped():
                here = set()
                for address in candidates:
                    with contextlib.suppress(Unreadable):
                        here.update((address, layout) for layout in layouts_at(memory, address))
            found.update(here)
            whole += bool(here)
            if len(found) and whole == 1:
                # What leads nowhere now is none of them.
                candidates = {address for address, _ in found}
            if whole == stops:
                break
    # A few stops are in the middle of a change.
    return whole, [(address, layout, count) for (address, layout), count in found.most_common() if count >= 0.9 * stops]


# The table


def describe(engine, debug_targets):
    """What the files of an engine say."""
    module = Module(engine.file)
    memory = module.memory()
    engine.constants = constants(memory)
    engine.loaded = {address: count for address, count in module.loaded().items() if count >= 20}
    loops, sizes = [], {}
    names, imported = module.names(), module.imported()
    for index, (start, end) in enumerate(module.bodies(), imported):
        # No loop with two hundred instructions is smaller.
        if end - start > 4096:
            sizes[index] = module.targets(start, end)
    named = [index for index in sizes if names.get(index) == LOOP]
    if named:
        engine.targets = sizes[named[0]]
        loops = [index for index, targets in sizes.items() if targets == engine.targets]
    elif debug_targets:
        loops = [index for index, targets in sizes.items() if targets == debug_targets]
        engine.targets = debug_targets
    engine.loops = loops
    engine.others = sorted((targets for targets in sizes.values() if targets > 150), reverse=True)
    return memory


def compare(engine, memory):
    """Whether a component that was made with an engine has its constants, and how far they go."""
    app = Module(engine.component()).memory()
    same = next((at for at in range(DATA, len(memory)) if app[at : at + 1] != memory[at : at + 1]), len(memory))
    return constants(app) == engine.constants, same - DATA


def is_hottest_of(engine, witprof):
    """Whether most of the time of the program is in one of several functions that could be the loop."""
    # Indices are those of the component, where more is imported.
    module = Module(engine.component())
    large = ((index, body) for index, body in enumerate(module.bodies(), module.imported()) if body[1] - body[0] > 4096)
    loops = {f"func[{index}]" for index, body in large if module.targets(*body) == engine.targets}
    with tempfile.TemporaryDirectory() as place:
        profile = pathlib.Path(place) / "p.json"
        run(witprof, "run", "--quiet", "-o", profile, "--invoke", "run(3000)", engine.component())
        report = run(witprof, "report", "--json", "--no-scripts", "--by", "function", profile)
    hottest = max(json.loads(report)["rows"], key=lambda row: row["self_ms"])
    print(f"{engine}: of {sorted(loops)}, it is {hottest['name']}", file=sys.stderr)
    return hottest["name"] in loops


def table(options):
    problems, rows = [], []
    every = engines(options.folder, options.versions)
    # Debug builds first, for their loops have names.
    loops = {}
    for engine in sorted(every, key=lambda engine: engine.build != "debug"):
        memory = describe(engine, loops.get(engine.version))
        if engine.build == "debug":
            loops.update({version: engine.targets for version, _ in engine.packages})
        engine.initial = memory
    for engine in every:
        say = [f"{engine.where()}: file {engine.digest[:16]}, constants {engine.constants[:16]}"]
        say.append(f"jump tables {engine.others[:6]}")
        if engine.build in IN_TABLE:
            if len(engine.loops) != 1:
                say.append(f"{len(engine.loops)} functions could be the loop")
                if not is_hottest_of(engine, options.witprof):
                    problems.append(f"{engine}: its time is in none of the {len(engine.loops)} functions that could be the loop")
            is_same, length = compare(engine, engine.initial)
            say.append(f"loop {engine.targets}, in the component {'the same' if is_same else 'OTHERS'} for {length} bytes")
            if not is_same:
                problems.append(f"{engine}: other constants in the component")
            whole, found = find(engine, options.witprof)
            ranks = sorted(engine.loaded, key=engine.loaded.get, reverse=True)
            for address, layout, count in found:
                say.append(f"context {address} (rank {ranks.index(address) + 1}, {engine.loaded[address]} loads), layout {layout}, {count} of {whole}")
            # Where several words have the context's address, what the engine itself uses most is it.
            found.sort(key=lambda each: -engine.loaded[each[0]])
            if not found or len({layout for _, layout, _ in found}) != 1:
                problems.append(f"{engine}: {len(found)} contexts and layouts")
            else:
                engine.context, engine.layout = found[0][:2]
                rows.append(engine)
        else:
            say.append("not in the table")
        print("; ".join(say), file=sys.stderr, flush=True)
    write(options.folder, rows)
    print(rust(joined(rows, every, problems)))
    finish(problems)


def joined(rows, every, problems):
    """Entries of the table: engines with the same constants are read as the same one, and have to be read the same way."""
    entries = {}
    for engine in rows:
        first = entries.setdefault(engine.constants, engine)
        if first is not engine:
            print(f"{engine} has the constants of {first}", file=sys.stderr)
            first.packages += engine.packages
        if (engine.context, engine.targets, engine.layout) != (first.context, first.targets, first.layout):
            problems.append(f"{engine} is not read as {first}")
    for engine in every:
        if engine.build not in IN_TABLE and engine.constants in entries:
            problems.append(f"{engine} has the constants of {entries[engine.constants]}")
    return list(entries.values())


def rust(rows):
    lines = [
        "//! The engines that are known. Made by `tests/engines/make.py`, which says how each was proved.",
        "",
        "use super::engines::{Engine, hex};",
        "use super::layout::{FIREFOX_127, FIREFOX_140, FIREFOX_147};",
        "",
        "/// By the versions of componentize-js that have them.",
        "pub(super) const ENGINES: &[Engine] = &[",
    ]
    for engine in rows:
        lines += [
            f"    // {engine.where()}",
            "    Engine {",
            f'        constants: hex("{engine.constants}"),',
            f"        context: {engine.context:_},",
            f"        targets: {engine.targets},",
            f"        layout: &{LAYOUTS.get(engine.layout, engine.layout)},",
            "    },",
        ]
    return "\n".join([*lines, "];"])


def write(folder, rows):
    """For `prove`."""
    file = folder / "table.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept.update({engine.digest: [engine.constants, engine.context, engine.layout] for engine in rows})
    file.write_text(json.dumps(kept, indent=0), encoding="utf-8")


# The proof


def expected():
    """The functions of the program, each with the line where it begins and all that are its own."""
    lines = (FOLDER / "app.js").read_text(encoding="utf-8").splitlines()

    def depth(at):
        return len(lines[at - 1]) - len(lines[at - 1].lstrip())

    found = {}
    for begin, line in enumerate(lines, 1):
        _, mark, name = line.partition("// named: ")
        if mark:
            end = next(at for at in range(begin + 1, len(lines) + 1) if lines[at - 1] and depth(at) <= depth(begin))
            found[name] = begin, end
    # What is within another function is that one's, but where it begins and ends the one around goes on.
    own = {}
    for name, (begin, end) in found.items():
        inner = (range(first + 1, last) for first, last in found.values() if begin < first and last <= end)
        own[name] = begin, set(range(begin, end + 1)).difference(*inner)
    return own


def problems_of(places, times, unknown):
    """What is wrong, and what was seen: the places of each function, and its time."""
    problems = [problem for name, place in expected().items() for problem in misplaced(name, *place, places.get(name))]
    ratio = times["triple"] / times["single"] if times["single"] else 0
    if not 2.7 <= ratio <= 3.3:
        problems.append("three times the work is not three times the time")
    if unknown > 0.01:
        problems.append("too much is unknown")
    return problems, f"{len(expected())} functions, {ratio:.2f} of the time for three times the work, {unknown:.2%} unknown"


def misplaced(name, begin, own, places):
    if not places:
        yield f"no {name}"
    for file, line in places or ():
        # A reader of starts tells where a function begins, and one of stacks where it is.
        if file != SOURCE or line not in own:
            yield f"{name}, of line {begin}, is at {file}:{line}"


def outside(engine, options):
    """The proof by what is read here."""
    places, times = collections.defaultdict(set), collections.Counter()
    whole, unreadable = 0, collections.Counter()
    with running(engine, options.witprof, 60) as (process, memory):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.001)
            with process.stopped():
                try:
                    functions = stack(memory, memory.word(engine.context), engine.layout)
                except Unreadable as error:
                    unreadable[str(error)] += 1
                    continue
            whole += bool(functions)
            for name, file, line in functions:
                places[name].add((file, line))
            times.update({name for name, _, _ in functions})
    begins = {name: begin for name, (begin, _) in expected().items()}
    wrong = [f"{name} begins at {place}" for name in begins for place in places[name] if place != (SOURCE, begins[name])]
    problems, say = problems_of(places, times, unreadable.total() / max(1, whole))
    return problems + wrong, f"{whole} stacks, {say}"


def inside(engine, options):
    """The proof by a profile."""
    with tempfile.TemporaryDirectory() as place:
        profile = pathlib.Path(place) / "p.json"
        command = [options.witprof, "run", "--quiet", "--sampler", "signal", "-o", profile]
        run(*command, "--invoke", f"run({SECONDS * 1000})", engine.component())
        rows = json.loads(run(options.witprof, "report", "--json", "--by", "script", profile))["rows"]
        places = places_of(json.loads(profile.read_text(encoding="utf-8")))
    times = collections.Counter()
    for row in rows:
        times[row["name"]] += row["total_ms"]
    problems, say = problems_of(places, times, times["(unknown script function)"] / max(1, times["run"]))
    return problems, f"{times['run'] / 1000:.1f} s, {say}"


def places_of(profile):
    """Where each function of a profile was."""
    shared = profile["shared"]
    strings, functions, frames = shared["stringArray"], shared["funcTable"], shared["frameTable"]
    places = collections.defaultdict(set)
    for function, line in zip(frames["func"], frames["line"]):
        source = functions["source"][function]
        if source is not None:
            places[strings[functions["name"][function]]].add((strings[shared["sources"]["filename"][source]], line))
    return places


def prove(options):
    every = [engine for engine in engines(options.folder, options.versions) if engine.build in IN_TABLE]
    problems = []
    if options.outside:
        known = json.loads((options.folder / "table.json").read_text(encoding="utf-8"))
        for engine in every:
            engine.constants, engine.context, engine.layout = known[engine.digest]
    for engine in every:
        here, say = (outside if options.outside else inside)(engine, options)
        print(f"{engine.where()}: {say}{''.join(f'; {problem}' for problem in here)}", flush=True)
        problems += [f"{engine}: {problem}" for problem in here]
    finish(problems)


def finish(problems):
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="where packages and components are kept")
    parser.add_argument("--versions", type=lambda text: text.split(","), help="of the package, instead of all")
    parser.add_argument("--outside", action="store_true", help="prove what the table says, whatever WITPROF knows")
    parser.add_argument("what", choices=["table", "prove"])
    parser.add_argument("witprof", metavar="WITPROF")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.folder is None:
            options.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options.folder = options.folder.resolve()
        options.versions = options.versions or versions()
        {"table": table, "prove": prove}[options.what](options)


if __name__ == "__main__":
    main()
