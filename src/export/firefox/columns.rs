//! Tables of columns, written value by value: nothing of a column is held but what it is made of.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A column: what makes an iterator of its values.
pub(super) struct Column<M>(M);

/// A column of the values that `make` iterates over.
pub(super) fn column<M: Fn() -> I, I: Iterator<Item: Serialize>>(make: M) -> Column<M> {
    Column(make)
}

impl<M: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Column<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

/// A table that is being written.
pub(super) struct Table<S: Serializer> {
    map: S::SerializeMap,
    rows: usize,
}

impl<S: Serializer> Table<S> {
    /// A table with so many rows.
    pub(super) fn new(serializer: S, rows: usize) -> Result<Self, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("length", &rows)?;
        Ok(Self { map, rows })
    }

    /// Adds a column.
    pub(super) fn add<M: Fn() -> I, I: Iterator<Item: Serialize>>(
        mut self,
        name: &str,
        make: M,
    ) -> Result<Self, S::Error> {
        self.map.serialize_entry(name, &column(make))?;
        Ok(self)
    }

    /// Adds a column that has the same value everywhere.
    pub(super) fn all<V: Serialize + Clone>(self, name: &str, value: V) -> Result<Self, S::Error> {
        let rows = self.rows;
        self.add(name, || std::iter::repeat_n(value.clone(), rows))
    }

    /// Adds what is no column.
    pub(super) fn entry<V: Serialize + ?Sized>(mut self, name: &str, value: &V) -> Result<Self, S::Error> {
        self.map.serialize_entry(name, value)?;
        Ok(self)
    }

    pub(super) fn end(self) -> Result<S::Ok, S::Error> {
        self.map.end()
    }
}

/// A time in nanoseconds, written in milliseconds: exactly, as [`f64`] is written with as many digits as tell it from others.
#[derive(Clone, Copy)]
pub(super) struct Milliseconds(pub(super) u64);

impl Serialize for Milliseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const UNIT: u64 = 1_000_000;
        if self.0.is_multiple_of(UNIT) {
            return serializer.serialize_u64(self.0 / UNIT);
        }
        #[allow(clippy::cast_precision_loss, reason = "exact for 99 days")]
        serializer.serialize_f64(self.0 as f64 / UNIT as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        let longest = 99 * 86_400 * 1_000_000_000;
        for (nanos, expected) in [
            (0, "0"),
            (1, "1e-6"),
            (1_500_000, "1.5"),
            (1_000_000, "1"),
            (2_147_483_647, "2147.483647"),
            (1_000_100, "1.0001"),
            (longest - 1, "8553599999.999999"),
        ] {
            let written = serde_json::to_string(&Milliseconds(nanos)).expect("a number");
            assert_eq!(written, expected);
        }
    }
}
