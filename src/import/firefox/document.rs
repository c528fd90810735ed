//! The parts of a file that are read, as they are written.

use serde::Deserialize;

use crate::export::firefox::Meta;

pub(super) type Column<T> = Vec<T>;

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) meta: MetaJson,
    #[serde(default)]
    pub(super) libs: Vec<LibraryJson>,
    pub(super) threads: Vec<ThreadJson>,
    #[serde(default)]
    pub(super) shared: SharedJson,
}

#[derive(Deserialize)]
pub(super) struct MetaJson {
    pub(super) interval: f64,
    #[serde(rename = "startTime", default)]
    pub(super) start_time: f64,
    #[serde(default)]
    pub(super) product: String,
    #[serde(rename = "preprocessedProfileVersion")]
    pub(super) version: u32,
    #[serde(rename = "sampleUnits", default)]
    pub(super) units: Option<UnitsJson>,
    #[serde(default)]
    pub(super) witprof: Option<Meta>,
}

#[derive(Deserialize)]
pub(super) struct UnitsJson {
    #[serde(rename = "threadCPUDelta", default)]
    pub(super) cpu: String,
}

#[derive(Deserialize)]
pub(super) struct LibraryJson {
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "breakpadId", default)]
    pub(super) id: String,
}

#[derive(Deserialize, Default)]
pub(super) struct SharedJson {
    #[serde(rename = "stringArray", default)]
    pub(super) strings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadJson {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) process_name: String,
    #[serde(default)]
    pub(super) pid: serde_json::Value,
    #[serde(default)]
    pub(super) tid: serde_json::Value,
    pub(super) samples: SamplesJson,
    pub(super) stack_table: StacksJson,
    pub(super) frame_table: FramesJson,
    pub(super) func_table: FunctionsJson,
    #[serde(default)]
    pub(super) resource_table: ResourcesJson,
    #[serde(default)]
    pub(super) native_symbols: SymbolsJson,
    #[serde(default)]
    pub(super) string_array: Vec<String>,
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
pub(super) struct StacksJson {
    pub(super) prefix: Column<Option<u32>>,
    pub(super) frame: Column<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FramesJson {
    pub(super) func: Column<u32>,
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
