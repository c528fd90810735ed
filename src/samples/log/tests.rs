use std::collections::BTreeMap;

use proptest::prelude::*;

use rustc_hash::FxHashSet;

use super::*;
use crate::samples::LabelsInUse;

fn sample(seconds: u64) -> RawSample {
    let (time, wall) = (Duration::from_secs(seconds), Duration::from_secs(1));
    let (preempted, truncated) = (Some(Duration::ZERO), seconds.is_multiple_of(2));
    RawSample { time, wall, cpu: wall, preempted, truncated, labels: LabelsId::default() }
}

fn frame(function: u32) -> RawFrame {
    RawFrame::Wasm { target: function % 7, module: 0, function, instruction: None }
}

fn kept(log: &SampleLog) -> u64 {
    let timelines = log.windows().flat_map(|window| window.threads.values());
    timelines.flat_map(|thread| thread.timeline.entries().iter()).map(|entry| entry.count).sum()
}

fn bytes(log: &SampleLog) -> usize {
    log.windows().map(Window::bytes).sum()
}

fn is_sum(counts: &SampleCounts) -> bool {
    counts.taken == counts.kept + counts.lost.values().sum::<u64>()
}

fn keep_last(seconds: u64, windows: usize) -> Retention {
    Retention { window: Duration::from_secs(seconds), windows, bytes: usize::MAX }
}

#[test]
fn the_oldest_window_is_dropped_and_counted() {
    let mut log = SampleLog::new(Duration::from_millis(1), keep_last(10, 3));
    for second in 1..=100 {
        log.record(sample(second), [frame(1), frame(2)].into_iter());
        assert!(is_sum(&log.counts));
        assert_eq!(log.counts.kept, kept(&log));
        assert!(log.counts.kept <= 30);
        let since = Duration::from_nanos(log.kept_since().load(Ordering::Relaxed));
        assert!(since >= Duration::from_secs(second.saturating_sub(31)), "{since:?} at {second}");
    }
    assert!(log.counts.kept > 20 && log.counts.truncated <= log.counts.kept / 2 + 1, "{:?}", log.counts);
    assert_eq!(log.counts.lost[&LossReason::WindowDropped], 100 - log.counts.kept);
}

#[test]
fn memory_is_bounded() {
    let limit = 8 << 20;
    let mut log = SampleLog::new(Duration::from_millis(1), Retention::all(limit));
    for number in 0..300_000_u32 {
        // All of them distinct: the worst case.
        log.record(sample(number.into()), [frame(number), frame(number + 1)].into_iter());
    }
    assert!(bytes(&log) <= limit + limit / 2);
    assert!(kept(&log) > 10_000 && log.counts.lost[&LossReason::WindowDropped] > 0, "{:?}", log.counts);
    assert!(is_sum(&log.counts));
}

#[test]
fn what_is_dropped_is_freed_after_the_lock() {
    let log = Mutex::new(SampleLog::new(Duration::from_millis(1), keep_last(10, 2)));
    for second in 0..100 {
        with_log(&log, |log| log.record(sample(second), [frame(1)].into_iter()));
        assert!(lock(&log).dropped.is_empty());
    }
    assert!(lock(&log).generation >= 9);
}

/// Somebody tries every path there is, for days.
#[test]
fn labels_cannot_be_used_up() {
    let limit = 8 << 20;
    for retention in [keep_last(100, 8), Retention::all(limit)] {
        let mut log = SampleLog::new(Duration::from_millis(1), retention);
        let registry = Arc::clone(log.labels());
        for second in 0..200_000_u64 {
            let labels = registry.add([("path".to_owned(), format!("/{second:0>40}"))]);
            log.record(RawSample { labels: labels.id(), ..sample(second) }, [frame(1)].into_iter());
        }
        assert!(bytes(&log) <= limit + limit / 2, "{}", bytes(&log));
        let frozen = log.freeze(Duration::from_secs(199_900)..Duration::MAX, false);
        let mut paths: Vec<String> =
            frozen.windows.iter().flat_map(|window| labels_in(window, &frozen.period)).collect();
        paths.sort();
        // All that were not so long ago are told apart.
        assert!(paths.iter().map(String::as_str).eq(
            (199_900..200_000).map(|second| format!("/{second:0>40}")).collect::<Vec<_>>().iter().map(String::as_str)
        ));
    }
}

fn labels_in(window: &Window, period: &Range<Duration>) -> Vec<String> {
    let entries = window.threads.values().flat_map(|thread| thread.timeline.of(period));
    entries.map(|entry| value_of(window, entry.labels)).collect()
}

fn value_of(window: &Window, labels: LabelSetId) -> String {
    let set = window.labels.get(labels).expect("a set of the window");
    set.labels.first().map_or_else(String::new, |(_, value)| value.clone())
}

#[test]
fn a_full_table_of_a_long_window_says_other() {
    let mut log = SampleLog::new(Duration::from_millis(1), keep_last(1_000_000, 8));
    let registry = Arc::clone(log.labels());
    for second in 0..70_000_u64 {
        let labels = registry.add([("path".to_owned(), second.to_string())]);
        log.record(RawSample { labels: labels.id(), ..sample(second) }, [frame(1)].into_iter());
    }
    let labels = labels_in(&log.current, &(Duration::ZERO..Duration::MAX));
    assert_eq!((labels[5].as_str(), labels[69_999].as_str()), ("5", "(other)"));
}

#[test]
fn spans_count_into_the_memory() {
    let limit = 8 << 20;
    let mut log = SampleLog::new(Duration::from_millis(1), Retention::all(limit));
    for second in 0..50_000 {
        let span =
            Span::new("GET /".to_owned() + &"x".repeat(2000), Duration::from_secs(second), Duration::from_secs(1));
        log.record_span(span);
        assert!(log.current.bytes() <= limit / 4 + (1 << 16));
    }
    assert!(bytes(&log) <= limit + limit / 2, "{}", bytes(&log));
    let (spans, left_out) = log.freeze(Duration::from_secs(49_990)..Duration::MAX, false).spans();
    assert_eq!(spans.len(), 10, "the last ones are there");
    assert_eq!(spans[0].begin, Duration::ZERO, "in the time of the period");
    assert_eq!(left_out, 0, "of its windows nothing had to be left out");
}

#[test]
fn targets_go_with_the_windows_that_refer_to_them() {
    let mut log = SampleLog::new(Duration::from_millis(1), keep_last(10, 3));
    for second in 0..100 {
        let target = u32::try_from(second / 10).expect("small");
        let frame = RawFrame::Wasm { target, module: 0, function: 1, instruction: None };
        log.record(sample(second), [RawFrame::HiddenHost, frame].into_iter());
    }
    let mut in_use = FxHashSet::default();
    let complete = log.windows_in_use(&mut in_use);
    in_use.extend(complete.iter().flat_map(|window| window.stacks.targets()));
    let mut targets: Vec<u32> = in_use.into_iter().collect();
    targets.sort_unstable();
    assert_eq!(targets, [7, 8, 9]);
}

#[derive(Clone, Debug)]
enum Step {
    Sample {
        after: u64,
        thread: usize,
        frames: Vec<u32>,
        label: usize,
    },
    Loss {
        after: u64,
        count: u64,
    },
    Span {
        length: u64,
    },
    /// Labels are used no more, and others in their place.
    NewLabels {
        label: usize,
    },
    Look {
        begin: u64,
        length: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..4, 0_usize..3, prop::collection::vec(0_u32..5, 0..5), 0_usize..3)
            .prop_map(|(after, thread, frames, label)| Step::Sample { after, thread, frames, label }),
        1 => (0_u64..4, 1_u64..5).prop_map(|(after, count)| Step::Loss { after, count }),
        1 => (1_u64..50).prop_map(|length| Step::Span { length }),
        1 => (0_usize..3).prop_map(|label| Step::NewLabels { label }),
        2 => (0_u64..400, 0_u64..100).prop_map(|(begin, length)| Step::Look { begin, length }),
    ]
}

/// A sample as the model remembers it.
#[derive(Clone, Debug)]
struct Seen {
    window: u64,
    time: Duration,
    thread: ThreadId,
    frames: Vec<RawFrame>,
    label: String,
}

/// How many samples there are of each time, thread, stack and label.
type Counts = BTreeMap<(Duration, String, String, String), u64>;

fn of_model(seen: &[Seen], oldest: u64, period: &Range<Duration>) -> Counts {
    let mut counts = Counts::new();
    for seen in seen.iter().filter(|seen| seen.window >= oldest && period.contains(&seen.time)) {
        let key = (seen.time, format!("{:?}", seen.thread), format!("{:?}", seen.frames), seen.label.clone());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn of_log(log: &FrozenLog) -> Counts {
    let mut counts = Counts::new();
    for window in &log.windows {
        let stacks: Vec<_> = window.stacks.stacks().collect();
        let frames = |stack: StackId| {
            let mut frames = Vec::new();
            let mut next = Some(stack);
            while let Some(stack) = next {
                let (caller, frame) = stacks[stack.0 as usize];
                frames.insert(0, *window.stacks.frame(frame).expect("a frame of the window"));
                next = caller;
            }
            frames
        };
        for (track, thread) in &window.threads {
            let Track::Thread(id) = track else { panic!("{track:?}") };
            for entry in thread.timeline.of(&log.period) {
                let frames = format!("{:?}", frames(entry.stack));
                let key = (entry.time, format!("{id:?}"), frames, value_of(window, entry.labels));
                *counts.entry(key).or_default() += entry.count;
            }
        }
    }
    counts
}

proptest! {
    #[test]
    fn a_frozen_log_is_what_the_log_was(steps in prop::collection::vec(step(), 1..300)) {
        let threads: Vec<ThreadIdentity> =
            (0..3).map(|_| std::thread::spawn(ThreadIdentity::current).join().expect("an identity")).collect();
        let ms = Duration::from_millis;
        let retention = Retention { window: ms(40), windows: 3, bytes: usize::MAX };
        let mut log = SampleLog::new(ms(1), retention);
        let registry = Arc::clone(log.labels());
        let mut names = 0;
        let mut new_labels = || {
            names += 1;
            let name = names.to_string();
            (registry.add([("name".to_owned(), name.clone())]), name)
        };
        let mut labels: Vec<(LabelsInUse, String)> = (0..3).map(|_| new_labels()).collect();
        let (mut now, mut seen, mut spans, mut lost) = (0, Vec::<Seen>::new(), Vec::<(u64, Span)>::new(), 0_u64);
        let mut looks = Vec::new();
        for step in steps {
            match step {
                Step::Sample { after, thread, frames, label } => {
                    now += after;
                    let frames: Vec<RawFrame> = frames.into_iter().map(frame).collect();
                    let (labels, label) = &labels[label];
                    let sample = RawSample { time: ms(now), labels: labels.id(), ..sample(1) };
                    log.record_for(&threads[thread], sample, frames.iter().copied());
                    if frames.is_empty() {
                        lost += 1;
                    } else {
                        let (window, label) = (log.generation, label.clone());
                        seen.push(Seen { window, time: ms(now), thread: threads[thread].id, frames, label });
                    }
                }
                Step::Loss { after, count } => {
                    now += after;
                    log.counts.taken += count;
                    log.count_lost(LossReason::Overload, count, ms(now));
                    lost += count;
                }
                Step::Span { length } => {
                    let span = Span::new("span", ms(now.saturating_sub(length)), ms(length.min(now)));
                    log.record_span(span.clone());
                    spans.push((log.generation, span));
                }
                Step::NewLabels { label } => labels[label] = new_labels(),
                Step::Look { begin, length } => {
                    for period in [ms(begin)..ms(begin + length), ms(now.saturating_sub(length))..ms(now + 1), Duration::ZERO..Duration::MAX] {
                        let oldest = log.generation - log.complete.len() as u64;
                        let expected = of_model(&seen, oldest, &period);
                        let frozen = log.freeze(period.clone(), period == (Duration::ZERO..Duration::MAX));
                        let counts = frozen.counts();
                        prop_assert!(is_sum(&counts), "{counts:?}");
                        prop_assert_eq!(counts.kept, expected.values().sum::<u64>());
                        let expected_spans = spans.iter().filter(|(window, span)| *window >= oldest && period.contains(&span.begin)).count();
                        prop_assert_eq!(frozen.spans().0.len(), expected_spans);
                        looks.push((frozen, expected));
                    }
                }
            }
            prop_assert!(is_sum(&log.counts));
            prop_assert_eq!(log.counts.kept, kept(&log));
            let lost_now = log.counts.lost.iter().filter(|(reason, _)| **reason != LossReason::WindowDropped);
            prop_assert_eq!(lost_now.map(|(_, lost)| lost).sum::<u64>(), lost);
        }
        // Whatever has happened since.
        for (frozen, expected) in looks {
            prop_assert_eq!(of_log(&frozen), expected);
        }
    }
}
