//! Random profiles, for property tests.

use std::time::{Duration, SystemTime};

use indexmap::IndexSet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::calls::{CallTrace, CalledFunction, CalledIndex, CalledTimes, TracedCall};
use super::captured::{CaptureReason, Captured};
use super::crossing::Crossing;
use super::memories::{MemoryGrowth, MemoryTrack};
use super::origin::Origin;
use super::tables::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary,
    Sample, SamplerKind, SourceLine, Stack, StackIndex, Thread, TraceIndex,
};
use crate::address::{CodePoint, TextOffset, WasmOffset};
use crate::samples::{LossReason, ProfilerTime, SampleCounts, Span, TraceContext};
use crate::symbols::{Direction, Ends, FunctionKind, Layer};

/// A function: its kind, and which of a few interfaces and functions it is for.
type Function = (FunctionKind, Option<u8>, Option<u8>, Option<Direction>);

fn function() -> impl Strategy<Value = Function> {
    let kind = prop::sample::select(FunctionKind::ALL.to_vec());
    let direction = prop::option::of(prop::sample::select(Direction::ALL.to_vec()));
    (kind, prop::option::of(0..3_u8), prop::option::of(0..3_u8), direction)
}

/// Stacks as frames, outermost first; samples as a stack, wall-clock time in nanoseconds, and the CPU's share in percent.
type Samples = Vec<Vec<(prop::sample::Index, u64, u8)>>;

/// Any profile that keeps the promises of the tables.
pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    let stacks = vec(vec(any::<prop::sample::Index>(), 1..8), 1..12);
    let samples = vec(vec((any::<prop::sample::Index>(), 0..5_000_000_000_u64, 0..=100_u8), 0..20), 0..3);
    (vec(function(), 1..12), stacks, samples)
        .prop_map(|(functions, stacks, samples)| build(&functions, &stacks, &samples))
}

fn build(functions: &[Function], paths: &[Vec<prop::sample::Index>], samples: &Samples) -> Profile {
    let libraries = Layer::ALL.iter().map(|&layer| ProfileLibrary {
        name: format!("the {} <library>", layer.name()),
        layer,
        component: matches!(layer, Layer::Guest | Layer::Script).then(|| "component".to_owned()),
    });
    let functions: Vec<ProfileFunction> = functions
        .iter()
        .zip(0_u32..)
        .map(|((kind, interface, function, direction), index)| {
            let library = Layer::ALL.iter().zip(0..).find(|(layer, _)| **layer == kind.layer());
            let library = LibraryIndex(library.map_or(0, |(_, index)| index));
            let file =
                (matches!(kind.layer(), Layer::Guest | Layer::Script) && index % 4 > 0).then_some(FileIndex(index % 2));
            if *kind == FunctionKind::Inlined {
                // Two of each name.
                let name = format!("inlined; \u{1b}[{}m 7", index / 2);
                return ProfileFunction { file, ..ProfileFunction::without_interface(name, library, *kind) };
            }
            ProfileFunction {
                interface: interface.map(|number| format!("a:b/i{number}@1.0.0")),
                interface_function: function.map(|number| format!("f{number}")),
                direction: *direction,
                ends: match index % 5 {
                    0 => Ends::export("<a>"),
                    1 => Ends::import(None),
                    2 => Ends::internal(Some("component".to_owned()), None),
                    _ => Ends::default(),
                },
                offset: index * 100,
                size: 50,
                file,
                ..ProfileFunction::without_interface(
                    format!("{}; \u{1b}[{}m 7", kind.name(), index / 2),
                    library,
                    *kind,
                )
            }
        })
        .collect();
    let count = u32::try_from(functions.len()).expect("few");
    let frames: Vec<Frame> = (0..count)
        .map(|function| Frame {
            function: FunctionIndex(function),
            point: CodePoint::InstructionPointer(TextOffset::new(function * 100 + 1)),
            instruction: Some(WasmOffset::new(function * 7)).filter(|_| function % 3 > 0),
            source: functions[function as usize].file.map(|file| SourceLine {
                // A function of a script is of one file.
                file: match functions[function as usize].kind {
                    FunctionKind::Script => file,
                    _ if function % 5 == 0 => FileIndex(1 - file.0),
                    _ => file,
                },
                line: 1 + function,
                column: Some(function).filter(|column| *column > 5),
            }),
        })
        .collect();
    let mut stacks = IndexSet::new();
    let mut ends = Vec::new();
    for path in paths {
        let mut caller = None;
        for frame in path {
            let frame = FrameIndex(u32::try_from(frame.index(functions.len())).expect("few"));
            let index = stacks.insert_full(Stack { caller, frame }).0;
            caller = Some(StackIndex(u32::try_from(index).expect("few")));
        }
        ends.extend(caller);
    }
    let threads = samples.iter().enumerate().map(|(number, samples)| {
        let mut time = Duration::ZERO;
        let samples = samples.iter().map(|(stack, wall, cpu)| {
            let wall = Duration::from_nanos(*wall);
            time += wall;
            let (labels, trace) = (LabelsIndex(u32::from(*cpu) % 3), TraceIndex(u32::from(*cpu) % 2));
            let count = 1 + u64::from(*cpu % 4);
            // As good as any number.
            let part = u32::from(*cpu) % 7;
            let cpu = wall * u32::from(*cpu) / 100;
            let preempted = (wall - cpu) * part / 6;
            Sample { time, stack: ends[stack.index(ends.len())], labels, trace, count, wall, cpu, preempted }
        });
        Thread { name: format!("thread {number}"), samples: samples.collect() }
    });
    let threads: Vec<Thread> = threads.filter(|thread| !thread.samples.is_empty()).collect();
    let kept = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.count).sum();
    Profile {
        name: "a <profile>".to_owned(),
        sampler: SamplerKind::Signal,
        origin: Origin {
            command: Some("witprof run <a>".to_owned()),
            witprof: Some("0.1.0".to_owned()),
            cpus: Some(7),
            ..Origin::default()
        },
        interval: Duration::from_millis(1),
        started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        elapsed: Duration::from_secs(100),
        counts: SampleCounts { taken: kept + 3, kept, truncated: 1, lost: [(LossReason::Overload, 3)].into() },
        handler_cost: None,
        knows_preempted: true,
        profiler: ProfilerTime {
            samples: 5,
            wall: Duration::from_nanos(5_000_007),
            cpu: Duration::from_nanos(4_000_003),
        },
        libraries: libraries.collect(),
        functions,
        frames,
        files: vec!["src/<a>.rs".to_owned(), "b;\u{1b}[1m.c".to_owned()],
        sources: [(FileIndex(1), "int <main>;\n".to_owned())].into(),
        missing_lines: vec!["`x` has no lines".to_owned()],
        stacks: stacks.into_iter().collect(),
        threads,
        labels: [None, Some("1"), Some("<2>")]
            .map(|value| value.map(|value| ("request".to_owned(), value.to_owned())).into_iter().collect())
            .to_vec(),
        traces: vec![None, TraceContext::new([0xab; 16], [7; 8])],
        calls: Some(calls()),
        memories: vec![MemoryTrack {
            name: "a <memory>".to_owned(),
            points: vec![(Duration::from_nanos(3), 65536), (Duration::from_millis(4), 131_072)],
            peak: 131_072,
            growths: 1,
        }],
        growths: vec![MemoryGrowth {
            memory: 0,
            time: Duration::from_millis(4),
            from: 65536,
            to: 131_072,
            stack: None,
        }],
        spans: vec![
            Span::new("GET <a>", Duration::from_nanos(5), Duration::from_micros(7)).detail("200").path("/<a>"),
            Span::new("GET /b", Duration::from_micros(6), Duration::ZERO).cpu(Duration::from_nanos(3)),
        ],
        spans_left_out: 17,
        captured: Some(Captured {
            reason: CaptureReason::Asked("<a signal>".to_owned()),
            span: Some(Span::new("GET <a>", Duration::from_nanos(5), Duration::from_micros(7)).failed()),
            thread: None,
            left_out: 2,
        }),
    }
}

/// A profile with one sample, whose stack has functions of these kinds and names, outermost first. Each that has a name is
/// for the interface function of that name.
pub(crate) fn of_stack(frames: &[(FunctionKind, &str)]) -> Profile {
    let mut profile = build(&[], &[], &Samples::new());
    profile.libraries = Layer::ALL
        .iter()
        .map(|&layer| ProfileLibrary { name: layer.name().to_owned(), layer, component: None })
        .collect();
    let library = |layer| Layer::ALL.iter().zip(0..).find(|(one, _)| **one == layer).map_or(0, |(_, index)| index);
    let functions = frames.iter().map(|(kind, name)| {
        let library = LibraryIndex(library(kind.layer()));
        let mut function = ProfileFunction::without_interface((*name).to_owned(), library, *kind);
        if !name.is_empty() {
            function.interface = Some("i".to_owned());
            function.interface_function = Some((*name).to_owned());
            function.direction = Some(Direction::Internal);
        }
        function
    });
    profile.functions = functions.collect();
    let count = u32::try_from(frames.len()).expect("few");
    let point = CodePoint::InstructionPointer(TextOffset::new(0));
    let frame = |index| Frame { function: FunctionIndex(index), point, instruction: None, source: None };
    profile.frames = (0..count).map(frame).collect();
    let stack = |index: u32| Stack { caller: index.checked_sub(1).map(StackIndex), frame: FrameIndex(index) };
    profile.stacks = (0..count).map(stack).collect();
    let wall = Duration::from_millis(1);
    let sample = Sample {
        time: wall,
        stack: StackIndex(count - 1),
        labels: LabelsIndex(0),
        trace: TraceIndex(0),
        count: 1,
        wall,
        cpu: wall,
        preempted: Duration::ZERO,
    };
    profile.threads = vec![Thread { name: "thread".to_owned(), samples: vec![sample] }];
    profile
}

/// A function of a stack made for a test: its kind, name, component, and direction. A kind that may cross an interface is for
/// the interface function of its name.
pub(crate) type Made = (FunctionKind, &'static str, Option<&'static str>, Direction);

/// A profile with a sample of a millisecond for each of these stacks, outermost frames first.
pub(crate) fn of_stacks(paths: &[&[Made]]) -> Profile {
    let mut profile = of_stack(&[(FunctionKind::Guest, "")]);
    (profile.libraries, profile.functions) = (Vec::new(), Vec::new());
    (profile.frames, profile.stacks) = (Vec::new(), Vec::new());
    let sample = profile.threads[0].samples.remove(0);
    let mut known: Vec<Made> = Vec::new();
    for path in paths {
        let mut caller = None;
        for made @ (kind, name, component, direction) in path.iter().copied() {
            let index = known.iter().position(|one| *one == made).unwrap_or_else(|| {
                let position = u32::try_from(known.len()).expect("few");
                let crosses = matches!(
                    kind,
                    FunctionKind::Entry
                        | FunctionKind::Adapter
                        | FunctionKind::ImportLowering
                        | FunctionKind::ResourceIntrinsic
                );
                let component = component.map(str::to_owned);
                profile.libraries.push(ProfileLibrary { name: name.to_owned(), layer: kind.layer(), component });
                profile.functions.push(ProfileFunction {
                    interface: crosses.then(|| "i".to_owned()),
                    interface_function: crosses.then(|| name.to_owned()),
                    direction: crosses.then_some(direction),
                    ..ProfileFunction::without_interface(name.to_owned(), LibraryIndex(position), kind)
                });
                let point = CodePoint::InstructionPointer(TextOffset::new(0));
                let function = FunctionIndex(position);
                profile.frames.push(Frame { function, point, instruction: None, source: None });
                known.push(made);
                known.len() - 1
            });
            let stack = Stack { caller, frame: FrameIndex(u32::try_from(index).expect("few")) };
            let place = profile.stacks.iter().position(|one| *one == stack).unwrap_or_else(|| {
                profile.stacks.push(stack);
                profile.stacks.len() - 1
            });
            caller = Some(StackIndex(u32::try_from(place).expect("few")));
        }
        profile.threads[0].samples.push(Sample { stack: caller.expect("a frame"), ..sample });
    }
    profile.calls = None;
    profile
}

fn calls() -> CallTrace {
    let function = |name: &str, count, times| CalledFunction {
        crossing: Crossing { interface: "a:b/c".to_owned(), function: name.to_owned(), direction: Direction::Import },
        count,
        times,
    };
    let nanos = Duration::from_nanos;
    let times = |cpu| CalledTimes {
        wall: nanos(12_345),
        suspended: nanos(45),
        cpu,
        p50: nanos(1),
        p90: nanos(2),
        p99: nanos(3),
        max: nanos(u64::from(u32::MAX)),
    };
    let call = |function, thread, cpu| TracedCall {
        function: CalledIndex(function),
        thread,
        begin: Duration::from_nanos(77),
        wall: Duration::from_nanos(12),
        suspended: Duration::from_nanos(5),
        cpu,
        stack: None,
    };
    let cpu = Some(Duration::from_nanos(9));
    CallTrace {
        functions: vec![
            function("f", 3, Some(times(cpu))),
            function("<g>", u64::from(u32::MAX) * 3, Some(times(None))),
            function("h", 7, None),
        ],
        kept: vec![call(1, Some(0), None), call(0, None, cpu)],
        unnamed: 4,
    }
}
