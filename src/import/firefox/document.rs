//! The parts of a file that are read, as any version writes them.
//!
//! What only some versions have is optional here: which version has what, `versions` knows. `meta` comes before the
//! rest in every file that is known, so its version is judged before the shape of the rest is.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::own_data::OwnData;

pub(super) type Column<T> = Vec<T>;

/// A whole file.
pub(super) struct Document {
    pub(super) meta: MetaJson,
    pub(super) libs: Vec<LibraryJson>,
    pub(super) threads: Vec<ThreadJson>,
    pub(super) shared: SharedJson,
}

/// Reads a [`Document`], and has its `meta` judged as soon as it was read.
pub(super) struct Judged<J>(pub(super) J);

impl<'de, J: FnMut(&MetaJson) -> Result<(), String>> DeserializeSeed<'de> for Judged<J> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Meta,
    Libs,
    Threads,
    Shared,
    #[serde(other)]
    Other,
}

impl<'de, J: FnMut(&MetaJson) -> Result<(), String>> Visitor<'de> for Judged<J> {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a profile")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Document, A::Error> {
        let (mut meta, mut libs, mut threads, mut shared) = (None, None, None, None);
        while let Some(key) = map.next_key()? {
            match key {
                Key::Meta => {
                    let read: MetaJson = map.next_value()?;
                    (self.0)(&read).map_err(de::Error::custom)?;
                    meta = Some(read);
                }
                Key::Libs => libs = Some(map.next_value()?),
                Key::Threads => threads = Some(map.next_value()?),
                Key::Shared => shared = Some(map.next_value()?),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Document {
            meta: meta.ok_or_else(|| de::Error::missing_field("meta"))?,
            libs: libs.unwrap_or_default(),
            threads: threads.ok_or_else(|| de::Error::missing_field("threads"))?,
            shared: shared.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaJson {
    #[serde(default)]
    pub(super) interval: Option<f64>,
    #[serde(default)]
    pub(super) start_time: f64,
    /// When the recording began and ended, in milliseconds from `start_time`; or the part of it that was saved.
    #[serde(default)]
    pub(super) profiling_start_time: Option<f64>,
    #[serde(default)]
    pub(super) profiling_end_time: Option<f64>,
    #[serde(default)]
    pub(super) product: String,
    #[serde(default)]
    pub(super) preprocessed_profile_version: Option<u32>,
    /// That of the Gecko format, which processed profiles have too: what they were made from.
    #[serde(default)]
    pub(super) version: Option<u32>,
    #[serde(default)]
    pub(super) sample_units: Option<UnitsJson>,
    #[serde(default)]
    pub(super) witprof: Option<OwnData>,
}

#[derive(Deserialize)]
pub(super) struct UnitsJson {
    #[serde(rename = "threadCPUDelta", default)]
    pub(super) cpu: String,
    #[serde(default)]
    pub(super) time: String,
}

impl UnitsJson {
    /// Whether what is called time is a place in a file.
    pub(super) fn is_of_sizes(&self) -> bool {
        self.time == "bytes"
    }
}

#[derive(Deserialize)]
pub(super) struct LibraryJson {
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "breakpadId", default)]
    pub(super) id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SharedJson {
    pub(super) string_array: Option<Vec<String>>,
    pub(super) sources: Option<SourcesJson>,
    pub(super) stack_table: Option<StacksJson>,
    pub(super) frame_table: Option<FramesJson>,
    pub(super) func_table: Option<FunctionsJson>,
    pub(super) resource_table: Option<ResourcesJson>,
    pub(super) native_symbols: Option<SymbolsJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadJson {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) process_name: String,
    #[serde(default)]
    pub(super) tid: serde_json::Value,
    pub(super) samples: SamplesJson,
    pub(super) string_array: Option<Vec<String>>,
    pub(super) stack_table: Option<StacksJson>,
    pub(super) frame_table: Option<FramesJson>,
    pub(super) func_table: Option<FunctionsJson>,
    pub(super) resource_table: Option<ResourcesJson>,
    pub(super) native_symbols: Option<SymbolsJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SamplesJson {
    pub(super) stack: Column<Option<u32>>,
    pub(super) time: Option<Column<f64>>,
    pub(super) time_deltas: Option<Column<f64>>,
    pub(super) weight: Option<Column<f64>>,
    pub(super) weight_type: Option<String>,
    #[serde(rename = "threadCPUDelta")]
    pub(super) cpu: Option<Column<Option<f64>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StacksJson {
    pub(super) prefix: Option<Column<Option<u32>>>,
    pub(super) prefix_offset: Option<Column<u32>>,
    pub(super) frame: Column<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FramesJson {
    pub(super) func: Column<u32>,
    pub(super) lib: Option<Column<Option<i64>>>,
    #[serde(default)]
    pub(super) address: Column<Option<i64>>,
    #[serde(default)]
    pub(super) native_symbol: Column<Option<u32>>,
    #[serde(default)]
    pub(super) inline_depth: Column<Option<u32>>,
    #[serde(default)]
    pub(super) line: Column<Option<u32>>,
    #[serde(default)]
    pub(super) column: Column<Option<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionsJson {
    pub(super) name: Column<u32>,
    #[serde(default)]
    pub(super) resource: Column<Option<i64>>,
    #[serde(default)]
    pub(super) file_name: Column<Option<u32>>,
    #[serde(default)]
    pub(super) source: Column<Option<u32>>,
    #[serde(default)]
    pub(super) line_number: Column<Option<u32>>,
}

#[derive(Deserialize, Default)]
pub(super) struct SourcesJson {
    #[serde(default)]
    pub(super) filename: Column<Option<u32>>,
    #[serde(default)]
    pub(super) content: Column<Option<String>>,
}

#[derive(Deserialize, Default)]
pub(super) struct ResourcesJson {
    #[serde(default)]
    pub(super) lib: Column<Option<i64>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct SymbolsJson {
    #[serde(default)]
    pub(super) address: Column<i64>,
    #[serde(default)]
    pub(super) function_size: Column<Option<i64>>,
}
