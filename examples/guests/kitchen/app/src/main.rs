//! A command with a known profile: about half of its time goes to [`count_primes`], and most of the rest to calls of
//! the provider's operations.
//!
//! Its one argument, optional, is the number of rounds.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use demo::math::ops::{self, Counter, Point, Shape};

wit_bindgen::generate!({
    path: "../../../../wit/demo-math.wit",
    world: "app",
});

/// Enough rounds for a little more than a second.
const DEFAULT_ROUNDS: u32 = 1500;

/// How often a run says how far it has come.
const REPORTS: u32 = 10;

/// What all rounds together have found.
#[derive(Default)]
struct Totals {
    primes: u64,
    sum: u64,
    area: f64,
    refusals: HashMap<usize, u64>,
    count: u64,
    text: usize,
}

fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map(|rounds| rounds.parse()).transpose() {
        Ok(rounds) => rounds.unwrap_or(DEFAULT_ROUNDS),
        Err(error) => {
            eprintln!("the number of rounds: {error}");
            return ExitCode::FAILURE;
        }
    };

    let mut elapsed = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    let mut totals = Totals::default();
    let mut last = String::new();
    for round in 0..rounds {
        let start = Instant::now();
        totals.primes += count_primes(10_000_000 + round * 800, 800);
        last = describe_points(round, &mut totals);
        sum_values(round, &mut totals);
        classify_numbers(round, &mut totals);
        count_up(round, &mut totals);
        let taken = start.elapsed();
        elapsed += taken;
        slowest = slowest.max(taken);
        if (round + 1) % (rounds / REPORTS).max(1) == 0 {
            println!("round {} of {rounds}: {} primes, {last}", round + 1, totals.primes);
        }
    }

    println!("primes:   {}", totals.primes);
    println!("sum:      {}", totals.sum);
    println!("area:     {:.1}", totals.area);
    println!("refusals: {}", totals.refusals.values().sum::<u64>());
    println!("count:    {}", totals.count);
    println!("text:     {} bytes, at last {last:?}", totals.text);
    // What differs from run to run stays out of stdout.
    eprintln!("{elapsed:.2?}, the slowest round {slowest:.2?}, {} files around", count_files());
    ExitCode::SUCCESS
}

/// Counts the primes among the `length` numbers from `start` on, by trial division.
#[inline(never)]
fn count_primes(start: u32, length: u32) -> u64 {
    let mut count = 0;
    for candidate in start..start + length {
        let mut divisor = 2;
        while divisor * divisor <= candidate && !candidate.is_multiple_of(divisor) {
            divisor += 1;
        }
        if divisor * divisor > candidate {
            count += 1;
        }
    }
    count
}

/// Passes lists of records that hold strings; gets a string.
#[inline(never)]
fn describe_points(round: u32, totals: &mut Totals) -> String {
    let mut points: Vec<Point> = (0..64)
        .map(|i| Point { x: f64::from(i), y: f64::from(round % 100), label: format!("point {i} of round {round}") })
        .collect();
    let mut last = String::new();
    for _ in 0..16 {
        points.rotate_left(1);
        last = ops::describe(&points);
        totals.text += last.len();
    }
    last
}

/// Passes lists of numbers.
#[inline(never)]
fn sum_values(round: u32, totals: &mut Totals) {
    let values: Vec<u32> = (round..round + 4000).collect();
    for part in values.chunks(100) {
        totals.sum += ops::sum(part);
    }
}

/// Passes a number; gets a variant, or a string that says why not.
#[inline(never)]
fn classify_numbers(round: u32, totals: &mut Totals) {
    for n in 0..1000 {
        match ops::classify(u64::from(round + n)) {
            Ok(Shape::None) => {}
            Ok(Shape::Circle(radius)) => totals.area += std::f64::consts::PI * radius * radius,
            Ok(Shape::Rect((width, height))) => totals.area += width * height,
            Err(reason) => *totals.refusals.entry(reason.len()).or_default() += 1,
        }
    }
}

/// Makes resources and calls their methods.
#[inline(never)]
fn count_up(round: u32, totals: &mut Totals) {
    for start in 0..4 {
        let counter = Counter::new(start);
        let mut count = start;
        for by in 0..50 {
            count = counter.increment(by + round);
        }
        totals.count += u64::from(count);
        totals.text += counter.label().len();
    }
}

/// How many files the command can see; none unless it is given a directory.
fn count_files() -> usize {
    std::fs::read_dir(".").map_or(0, |entries| entries.count())
}
