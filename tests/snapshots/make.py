#!/usr/bin/env python3
"""Makes snapshots of what CPython has in its memory while it runs: of 32-bit builds, as WebAssembly's are.

    make.py [--until PATTERN] NAME COMMAND...      starts a program that runs Python, stops it, and looks
    make.py [--until PATTERN] --process PID NAME   looks at one that runs already
    make.py --memory FILE NAME                     looks at a linear memory that was written to a file
    make.py --check [NAME...]                      reads snapshots again, by default all in the folder of this file

Each makes two files, in the folder of this file:

- `NAME.snapshot` has the bytes that were read, and no others. The first line says which memory it was, in words with a number after
  each: `python` (`PY_VERSION_HEX`), `runtime` (the address of `_PyRuntime`), `length` (of the memory). Each of the other lines has an
  address and at most 32 bytes that begin there. All numbers are hexadecimal.
- `NAME.stack` is what runs, innermost first, as this script understands it. It is the expectation for other readers, so it shares
  nothing with them: `FIELDS` was written down from CPython's headers (`Include/internal/pycore_debug_offsets.h`).

A line of a stack is one of

- `QUALNAME FILE:LINE`, with `?` for a line that cannot be told,
- `-- run --`: the frames above belong to one run of the evaluation loop, those below to another one,
- `(unreadable)`: a frame whose code object is none,
- `(cut)`, the last: the frames below are not known, for the list ends without a run, or leads nowhere.

A program may be stopped at any instruction, also where it changes the list. `--until cut` takes stops until that was caught; PATTERN is a
regular expression that is searched in the stack as a whole. With `--told`, the program writes what Python itself says of its frames,
then an empty line, and waits: it is an error if what is read differs.

Linux only. It needs the right to read the other process's memory, which it has for programs that it starts itself.
"""

import argparse
import bisect
import contextlib
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent
COOKIE = b"xdebugpy"
RUN, UNREADABLE, CUT = "-- run --", "(unreadable)", "(cut)"

# At which byte the table has each number, in 3.13, 3.14, 3.15. Numbers have eight bytes there, whatever the width of a pointer.
VERSIONS = (0x030D, 0x030E, 0x030F)
FIELDS = {
    "free_threaded": (16, 16, 16),
    "runtime.interpreters_head": (40, 40, 40),
    "interpreter.size": (48, 48, 48),
    "interpreter.id": (56, 56, 56),
    "interpreter.next": (64, 64, 64),
    "interpreter.threads_head": (72, 72, 72),
    "interpreter.threads_main": (None, 80, 80),
    "interpreter.gc": (80, 88, 88),
    "interpreter.ceval_gil": (112, 120, 120),
    "interpreter.gil_locked": (136, 144, 144),
    "interpreter.gil_holder": (144, 152, 152),
    "interpreter.code_object_generation": (None, 160, 160),
    "thread.size": (152, 176, 176),
    "thread.next": (168, 192, 192),
    "thread.interp": (176, 200, 200),
    "thread.current_frame": (184, 208, 208),
    "thread.base_frame": (None, None, 216),
    "frame.size": (224, 248, 312),
    "frame.previous": (232, 256, 320),
    "frame.executable": (240, 264, 328),
    "frame.instr_ptr": (248, 272, 336),
    "frame.owner": (264, 288, 352),
    "code.size": (272, 312, 376),
    "code.filename": (280, 320, 384),
    "code.qualname": (296, 336, 400),
    "code.linetable": (304, 344, 408),
    "code.firstlineno": (312, 352, 416),
    "code.instructions": (344, 384, 448),
    "object.type": (360, 408, 472),
    "type.name": (376, 424, 488),
    "bytes.size": (520, 600, 696),
    "bytes.data": (528, 608, 704),
    "text.state": (544, 624, 720),
    "text.length": (552, 632, 728),
    "text.header": (560, 640, 736),
    "gc.collecting": (576, 656, 760),
}
TABLE_END = (584, 760, 888)

# The last bits of a reference say how it is counted.
TAGS = 3
# Frames of this owner, and of those after it, were put there by the evaluation loop itself.
OWNED_BY_INTERPRETER = 3
# Nothing real has more; what is damaged may.
MAX_FRAMES, MAX_TEXT, MAX_LINES, MAX_LIST = 1 << 12, 1 << 12, 1 << 20, 64
PAGE = 1 << 12


class Unreadable(Exception):
    """What is looked for is not there."""


class Memory:
    """A linear memory: reads it, and remembers what was read."""

    def __init__(self, read, length):
        self._read, self.length = read, length
        self.bytes = {}
        # Where pointers are that were followed, for who moves what they point to.
        self.pointers = set()
        # Pages that have to stay together with others, although nothing in them is read.
        self.pages = set()

    def read(self, address, length):
        found = self._read(address, length) if address + length <= self.length else b""
        if len(found) != length:
            raise Unreadable(f"{length} bytes at {address:#x}")
        self.bytes.update(enumerate(found, address))
        return found

    def number(self, address, length=4):
        return int.from_bytes(self.read(address, length), "little")

    def pointer(self, address):
        self.pointers.add(address)
        return self.number(address)

    def pieces(self):
        """What was read, as (address, bytes) without gaps in between."""
        pieces = []
        for address in sorted(self.bytes):
            if not pieces or address != pieces[-1][0] + len(pieces[-1][1]):
                pieces.append((address, bytearray()))
            pieces[-1][1].append(self.bytes[address])
        return pieces


class Python:
    """CPython in a memory."""

    def __init__(self, memory, runtime):
        self.memory, self.runtime = memory, runtime
        if memory.read(runtime, 8) != COOKIE:
            raise Unreadable("no table")
        self.version = memory.number(runtime + 8, 8)
        if self.version >> 16 not in VERSIONS:
            raise Unreadable(f"version {self.version:#x}")
        column = VERSIONS.index(self.version >> 16)
        table = memory.read(runtime, TABLE_END[column])
        places = {name: places[column] for name, places in FIELDS.items()}
        self.offsets = {name: struct.unpack_from("<Q", table, at)[0] for name, at in places.items() if at is not None}
        if self.offsets["free_threaded"]:
            raise Unreadable("free-threaded")

    def at(self, address, name):
        return address + self.offsets[name]

    def thread(self):
        """The thread that runs. On the way it reads what a reader may need that asks which one does."""
        read, offsets = self.memory, self.offsets
        interpreter = read.pointer(self.at(self.runtime, "runtime.interpreters_head"))
        for name in "id", "code_object_generation":
            if f"interpreter.{name}" in offsets:
                read.number(self.at(interpreter, f"interpreter.{name}"), 8)
        for name in "next", "threads_main", "ceval_gil", "gil_holder":
            if f"interpreter.{name}" in offsets:
                read.pointer(self.at(interpreter, f"interpreter.{name}"))
        read.number(self.at(interpreter, "interpreter.gil_locked"))
        read.number(self.at(interpreter, "interpreter.gc") + offsets["gc.collecting"])
        first = thread = read.pointer(self.at(interpreter, "interpreter.threads_head"))
        if not interpreter or not thread:
            raise Unreadable("nothing runs yet")
        for _ in range(MAX_LIST):
            if read.pointer(self.at(thread, "thread.interp")) != interpreter:
                raise Unreadable("a thread of another interpreter")
            read.pointer(self.at(thread, "thread.current_frame"))
            thread = read.pointer(self.at(thread, "thread.next"))
            if not thread:
                return first
        raise Unreadable("threads without end")

    def stack(self):
        """The lines of what runs."""
        lines = list(self.frames())
        # What is outermost is always a run.
        if lines and lines[-1] not in (RUN, CUT):
            lines.append(CUT)
        return lines

    def frames(self):
        thread, base = self.thread(), None
        if "thread.base_frame" in self.offsets:
            base = self.memory.pointer(self.at(thread, "thread.base_frame"))
            self.memory.read(base, self.offsets["frame.size"])
        frame = self.memory.pointer(self.at(thread, "thread.current_frame"))
        for _ in range(MAX_FRAMES):
            if frame in (0, base):
                return
            try:
                line, frame = self.frame(frame)
            except Unreadable:
                break
            yield line
        yield CUT

    def frame(self, frame):
        """The line of a frame, and the next one."""
        self.memory.read(frame, self.offsets["frame.size"])
        previous = self.memory.pointer(self.at(frame, "frame.previous"))
        if self.memory.number(self.at(frame, "frame.owner"), 1) >= OWNED_BY_INTERPRETER:
            return RUN, previous
        executable = self.memory.pointer(self.at(frame, "frame.executable"))
        if executable & TAGS == TAGS:
            raise Unreadable("a number")
        instruction = self.memory.pointer(self.at(frame, "frame.instr_ptr"))
        try:
            return self.function(executable & ~TAGS, instruction), previous
        except Unreadable:
            return UNREADABLE, previous

    def function(self, code, instruction):
        if self.type_name(code) != b"code":
            raise Unreadable("no code object")
        self.memory.read(code, self.offsets["code.size"])
        qualname = self.text(self.memory.pointer(self.at(code, "code.qualname")))
        filename = self.text(self.memory.pointer(self.at(code, "code.filename")))
        lines = self.data(self.memory.pointer(self.at(code, "code.linetable")))
        first = self.memory.number(self.at(code, "code.firstlineno"))
        # An instruction has two bytes, as has what is kept between instructions.
        unit = (instruction - self.at(code, "code.instructions")) // 2
        self.memory.pages.update(range(code // PAGE, instruction // PAGE + 1) if 0 <= unit < MAX_LINES else ())
        try:
            line = line_of(lines, first, unit)
        except IndexError:
            line = None
        return f"{qualname} {filename}:{'?' if line is None else line}"

    def type_name(self, thing):
        kind = self.memory.pointer(self.at(thing, "object.type"))
        name = self.memory.pointer(self.at(kind, "type.name"))
        return self.memory.read(name, len(b"code\0")).split(b"\0")[0]

    def text(self, text):
        self.memory.read(text, self.offsets["text.header"])
        state = self.memory.number(self.at(text, "text.state"))
        length = self.memory.number(self.at(text, "text.length"))
        width, compact, ascii = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        encoding = {1: "latin-1", 2: "utf-16le", 4: "utf-32le"}.get(width)
        if not compact or not encoding or length > MAX_TEXT:
            raise Unreadable("no text")
        # If not all of it is ASCII, two words come first: what it is in UTF-8, and how long.
        start = self.at(text, "text.header") + (0 if ascii else 8)
        self.memory.read(text, start - text)
        try:
            return self.memory.read(start, length * width).decode(encoding)
        except UnicodeDecodeError as error:
            raise Unreadable("no text") from error

    def data(self, data):
        length = self.memory.number(self.at(data, "bytes.size"))
        if length > MAX_LINES:
            raise Unreadable("too long")
        return self.memory.read(self.at(data, "bytes.data"), length)


def line_of(table, first, unit):
    """The line of an instruction, by a table that CPython's `InternalDocs/code_objects.md` describes."""
    starts, lines = [0], []
    position, line = 0, first

    def unsigned():
        nonlocal position
        value = shift = 0
        while True:
            byte = table[position]
            position += 1
            value |= (byte & 63) << shift
            shift += 6
            if not byte & 64:
                return value

    def signed():
        value = unsigned()
        return -(value >> 1) if value & 1 else value >> 1

    while position < len(table):
        head = table[position]
        position += 1
        kind = head >> 3 & 15
        # Of what follows, only lines matter here; the rest are columns.
        if kind in (13, 14):
            line += signed()
            for _ in range(3 if kind == 14 else 0):
                unsigned()
        elif kind >= 10 and kind != 15:
            line += kind - 10
            position += 2
        elif kind != 15:
            position += 1
        starts.append(starts[-1] + (head & 7) + 1)
        lines.append(None if kind == 15 else line)
    return lines[bisect.bisect_right(starts, unit) - 1] if 0 <= unit < starts[-1] else None


class Process:
    """A process that runs Python somewhere in its memory."""

    def __init__(self, pid):
        self.pid = pid
        self._memory = self._found = None

    @contextlib.contextmanager
    def stopped(self):
        """Meanwhile no thread of it does anything."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            while not all(state in "TtXZ" for state in self.states()):
                time.sleep(0.001)
            # Not once for all: a process that executes something else has another memory from then on.
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as self._memory:
                yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    def states(self):
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            # A name comes first, in which there may be anything.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield (task / "stat").read_text().rpartition(")")[2].split()[0]

    def mappings(self):
        """Where it has memory that it can write to."""
        for line in pathlib.Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            addresses, access = line.split()[:2]
            if access.startswith("rw"):
                yield tuple(int(address, 16) for address in addresses.split("-"))

    def read(self, address, length):
        try:
            return os.pread(self._memory.fileno(), length, address)
        except OSError:
            return b""

    def cookies(self):
        for start, end in self.mappings():
            # They are aligned, so that none is in two pieces.
            for piece in range(start, end, 1 << 24):
                found = self.read(piece, min(end - piece, 1 << 24))
                at = found.find(COOKIE)
                while at >= 0:
                    yield piece + at
                    at = found.find(COOKIE, at + 1)

    def memory(self, base):
        """The linear memory that begins there; what is mapped without a gap belongs to it."""
        end = base
        for start, next_end in self.mappings():
            end = next_end if start == end else end
        # A 32-bit process is its own memory.
        length = 1 << 32 if base == 0 else end - base
        return Memory(lambda address, length: self.read(base + address, length), length)

    def python(self):
        """The Python in it, from where it was before, or from a search: the cookie may be in files and images as well, and where the
        memory begins is known by what leads from thing to thing in it."""
        for base, cookie in [self._found] if self._found else self.candidates():
            with contextlib.suppress(Unreadable):
                python = Python(self.memory(base), cookie - base)
                python.thread()
                self._found = base, cookie
                return python
        self._found = None
        raise Unreadable("no Python")

    def candidates(self):
        for cookie in self.cookies():
            bases = [start for start, _ in self.mappings() if start <= cookie < start + (1 << 32)]
            bases += [0] if cookie < 1 << 32 else []
            yield from ((base, cookie) for base in reversed(bases))


def stops(process, seconds):
    """Python and its stack, at one moment after the other."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.uniform(0.0005, 0.003))
        try:
            with process.stopped(), contextlib.suppress(Unreadable):
                python = process.python()
                if lines := python.stack():
                    yield python, lines
        except (ProcessLookupError, FileNotFoundError) as error:
            raise SystemExit("the program ended") from error
    raise SystemExit("it did not come to that in time")


def of_memory(file):
    data = pathlib.Path(file).read_bytes()
    at = data.find(COOKIE)
    while at >= 0:
        with contextlib.suppress(Unreadable):
            python = Python(Memory(lambda address, length: data[address : address + length], len(data)), at)
            return python, python.stack()
        at = data.find(COOKIE, at + 1)
    raise SystemExit(f"no Python in {file}")


def told_by(output):
    """What a program says of its frames."""
    lines = []
    for line in output:
        if not line.strip():
            return lines
        lines.append(line.rstrip("\n"))
    raise SystemExit("the program ended")


def compare(told, lines):
    """Frames that came after it was said may differ."""
    functions = [line for line in lines if line != RUN]
    if not told or functions[-len(told) :] != told:
        raise SystemExit("\n".join(["Python itself says:", *told, "but this was read:", *functions]))
    print(f"the outermost {len(told)} of {len(functions)} functions are those that Python itself says")


def of_process(pid, options, told=None):
    for count, (python, lines) in enumerate(stops(Process(pid), options.seconds), 1):
        if re.search(options.until, "\n".join(lines), re.MULTILINE):
            print(f"stop {count}")
            if told is not None:
                compare(told, lines)
            return python, lines


def of_command(options):
    output = subprocess.PIPE if options.told else subprocess.DEVNULL
    with subprocess.Popen(options.command, stdin=subprocess.DEVNULL, stdout=output, encoding="utf-8") as started:
        try:
            told = told_by(started.stdout) if options.told else None
            return of_process(started.pid, options, told)
        finally:
            started.kill()


def packed(python):
    """The same in a memory that is no larger than it has to be, for a process of 32 bits has things all over its 4 GiB.

    Pages move together, in the order in which they are; pointers that were followed are changed accordingly, and nothing else is."""
    memory = python.memory
    pages = sorted({address // PAGE for address in memory.bytes} | memory.pages)
    # The first page stays empty, as it always is.
    new = {page: index for index, page in enumerate(pages, 1)}

    def moved(address):
        return new[address // PAGE] * PAGE + address % PAGE if address // PAGE in new else address

    result = Memory(None, (len(pages) + 1) * PAGE)
    result.bytes = {moved(address): byte for address, byte in memory.bytes.items()}
    for at in memory.pointers:
        pointer = int.from_bytes(bytes(memory.bytes[at + byte] for byte in range(4)), "little")
        pointer = moved(pointer).to_bytes(4, "little")
        result.bytes.update(enumerate(pointer, moved(at)))
    return result, moved(python.runtime)


def write(name, python, lines, pack):
    memory, runtime = packed(python) if pack else (python.memory, python.runtime)
    text = [f"python {python.version:x} runtime {runtime:x} length {memory.length:x}"]
    for address, data in memory.pieces():
        for start in range(0, len(data), 32):
            text.append(f"{address + start:x} {data[start : start + 32].hex()}")
    for suffix, content in ("snapshot", text), ("stack", lines):
        file = FOLDER / f"{name}.{suffix}"
        file.write_text("\n".join(content) + "\n", encoding="utf-8")
        print(f"{file.name}: {file.stat().st_size} bytes")


def read(file):
    """The Python in a snapshot."""
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    words = head.split()
    numbers = {key: int(number, 16) for key, number in zip(words[::2], words[1::2])}
    known = {}
    for line in lines:
        address, data = line.split()
        known.update(enumerate(bytes.fromhex(data), int(address, 16)))

    def bytes_at(address, length):
        # What is not there ends it: a reader needs nothing that was not written.
        return bytes(known[at] for at in range(address, address + length) if at in known)

    python = Python(Memory(bytes_at, numbers["length"]), numbers["runtime"])
    if python.version != numbers["python"]:
        raise Unreadable("it is of another version than it says")
    return python, known


def check(names):
    files = [FOLDER / f"{name}.snapshot" for name in names] or sorted(FOLDER.glob("*.snapshot"))
    failed = 0
    for file in files:
        problem = problem_of(file)
        failed += problem is not None
        print(f"{file.name}: {problem or 'as expected'}")
    sys.exit(bool(failed))


def problem_of(file):
    expected = file.with_suffix(".stack").read_text(encoding="utf-8").splitlines()
    try:
        python, known = read(file)
        if python.stack() != expected:
            return "another stack"
        return "bytes that nothing needs" if known != python.memory.bytes else None
    except Unreadable as error:
        return str(error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", nargs="*", metavar="NAME", help="read snapshots again")
    parser.add_argument("--until", default="", metavar="PATTERN", help="take stops until the stack has this")
    parser.add_argument("--told", action="store_true", help="compare with what the program writes")
    parser.add_argument("--pack", action="store_true", help="leave no room between pages")
    parser.add_argument("--seconds", type=float, default=120, help="when to give up")
    parser.add_argument("--process", type=int, metavar="PID", help="look at one that runs")
    parser.add_argument("--memory", metavar="FILE", help="look at a memory in a file")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    if options.check is not None:
        return check(options.check)
    if not options.name:
        parser.error("what is it to be called?")
    if options.memory:
        python, lines = of_memory(options.memory)
    elif options.process:
        python, lines = of_process(options.process, options)
    elif options.command:
        python, lines = of_command(options)
    else:
        parser.error("what is to be looked at?")
    write(options.name, python, lines, options.pack)


if __name__ == "__main__":
    main()
