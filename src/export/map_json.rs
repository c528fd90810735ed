//! The symbol map as JSON, for scripts.
//!
//! ```json
//! {"component", "wasmtime", "text_bytes", "padding_bytes", "unattributed_bytes",
//!  "libraries": [{"name", "layer", "interface", "direction", "component", "component_named_by", "bytes", "functions"}],
//!  "functions": [{"name", "library", "offset", "size", "layer", "interface", "function", "direction", "kind",
//!                 "named_by", "signature"}]}
//! ```
//!
//! Sizes are bytes and offsets count from the start of the text section. `library` is the name of one of `libraries`
//! with the same `layer`. What does not apply is `null`.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeSeq, SerializeStruct, Serializer};

use crate::component::WASMTIME;
use crate::error::{Error, Result};
use crate::symbols::{Function, Library, SymbolMap};

/// Writes `map` as one JSON object.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_map_json(map: &SymbolMap, out: &mut dyn Write) -> Result<()> {
    let error = |source: io::Error| Error::Write { format: "JSON map", source };
    serde_json::to_writer(&mut *out, &MapJson(map)).map_err(|source| error(source.into()))?;
    out.write_all(b"\n").map_err(error)
}

struct MapJson<'m>(&'m SymbolMap);

impl Serialize for MapJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let map = self.0;
        let mut json = serializer.serialize_struct("SymbolMap", 7)?;
        json.serialize_field("component", map.component())?;
        json.serialize_field("wasmtime", WASMTIME)?;
        json.serialize_field("text_bytes", &map.text_bytes())?;
        json.serialize_field("padding_bytes", &map.padding_bytes())?;
        json.serialize_field("unattributed_bytes", &map.unattributed_bytes())?;
        json.serialize_field("libraries", &Libraries(map))?;
        json.serialize_field("functions", &Functions(map))?;
        json.end()
    }
}

struct Libraries<'m>(&'m SymbolMap);

impl Serialize for Libraries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.libraries().iter().map(LibraryJson::new))
    }
}

#[derive(Serialize)]
struct LibraryJson<'m> {
    name: &'m str,
    layer: &'static str,
    interface: Option<&'m str>,
    direction: Option<&'static str>,
    component: Option<&'m str>,
    component_named_by: Option<&'static str>,
    bytes: u64,
    functions: u32,
}

impl<'m> LibraryJson<'m> {
    fn new(library: &'m Library) -> Self {
        Self {
            name: &library.name,
            layer: library.layer.name(),
            interface: library.interface.as_deref(),
            direction: library.direction.map(|direction| direction.name()),
            component: library.component.as_deref(),
            component_named_by: library.component_named_by.map(|rule| rule.name()),
            bytes: library.bytes,
            functions: library.functions,
        }
    }
}

struct Functions<'m>(&'m SymbolMap);

impl Serialize for Functions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let functions = self.0.functions();
        let mut list = serializer.serialize_seq(Some(functions.len()))?;
        for function in functions {
            list.serialize_element(&FunctionJson::new(function))?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct FunctionJson<'m> {
    name: std::borrow::Cow<'m, str>,
    library: &'m str,
    offset: u32,
    size: u32,
    layer: &'static str,
    interface: Option<&'m str>,
    function: Option<&'m str>,
    direction: Option<&'static str>,
    kind: &'static str,
    named_by: &'static str,
    signature: Option<&'m str>,
}

impl<'m> FunctionJson<'m> {
    fn new(function: Function<'m>) -> Self {
        Self {
            name: function.name(),
            library: &function.library().name,
            offset: function.offset().get(),
            size: function.size(),
            layer: function.layer().name(),
            interface: function.interface(),
            function: function.interface_function(),
            direction: function.direction().map(|direction| direction.name()),
            kind: function.kind().name(),
            named_by: function.named_by().name(),
            signature: function.signature(),
        }
    }
}
