//! The operations of `demo:math`, with one function that takes time: [`checksum`].

use std::cell::Cell;

use exports::demo::math::ops::{Guest, GuestCounter, Point, Shape};

wit_bindgen::generate!({
    path: "../../../../wit/demo-math.wit",
    world: "provider",
});

struct Provider;

impl Guest for Provider {
    type Counter = Counter;

    fn sum(values: Vec<u32>) -> u64 {
        values.iter().copied().map(u64::from).sum()
    }

    fn describe(points: Vec<Point>) -> String {
        let count = points.len();
        let (mut x, mut y) = (0.0, 0.0);
        let mut labels = Vec::new();
        for point in &points {
            x += point.x;
            y += point.y;
            labels.extend_from_slice(point.label.as_bytes());
        }
        let divisor = count.max(1) as f64;
        format!("{count} points around ({:.2}, {:.2}), labels {:08x}", x / divisor, y / divisor, checksum(&labels))
    }

    fn classify(n: u64) -> Result<Shape, String> {
        match n % 4 {
            0 => Ok(Shape::None),
            1 => Ok(Shape::Circle(n as f64 / 4.0)),
            2 => Ok(Shape::Rect((n as f64, n as f64 / 2.0))),
            _ => Err(format!("{n} stands for no shape")),
        }
    }
}

/// The CRC-32 of `bytes`, one bit at a time.
#[inline(never)]
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let mask = (crc & 1).wrapping_neg();
            crc = (crc >> 1) ^ (0xedb8_8320 & mask);
        }
    }
    !crc
}

struct Counter {
    count: Cell<u32>,
}

impl GuestCounter for Counter {
    fn new(start: u32) -> Self {
        Self { count: Cell::new(start) }
    }

    fn increment(&self, by: u32) -> u32 {
        let count = self.count.get().wrapping_add(by);
        self.count.set(count);
        count
    }

    fn label(&self) -> String {
        format!("count {}", self.count.get())
    }
}

export!(Provider);
