//! WIT signatures of interface functions, read from the types in the component's own bytes.

use std::collections::HashMap;
use std::fmt::Write as _;

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, FunctionKind, Handle, Resolve, Type, TypeDefKind, TypeId, WorldItem};

use super::wit_name;
use crate::component::Source;

/// Signatures by interface and function; the interface is `None` for functions of a world.
#[derive(Debug, Default)]
pub(super) struct WitSignatures {
    /// `None` where two components mean different functions by the same name, as worlds may.
    by_function: HashMap<(Option<String>, String), Option<String>>,
}

impl WitSignatures {
    /// Reads the types of a component and of every component nested in it. A nested component that is not complete by
    /// itself, because it refers to types of its parent, is left out: its functions then have no signature.
    pub(super) fn decode(bytes: &[u8], source: &Source) -> Self {
        let mut signatures = Self::default();
        for range in source.wit_ranges() {
            let Some(component) = bytes.get(range) else { continue };
            // The decoder asserts what every component made from WIT satisfies; others have no signatures.
            let decoded = std::panic::catch_unwind(|| decode(component));
            if let Ok(Ok(DecodedWasm::Component(resolve, world))) = decoded {
                let world = &resolve.worlds[world];
                for item in world.imports.values().chain(world.exports.values()) {
                    if let WorldItem::Function(function) = item {
                        signatures.add(&resolve, None, function);
                    }
                }
                for (id, interface) in &resolve.interfaces {
                    let name = resolve.id_of(id).or_else(|| interface.name.clone());
                    for function in interface.functions.values() {
                        signatures.add(&resolve, name.as_deref(), function);
                    }
                }
            }
        }
        signatures
    }

    pub(super) fn get(&self, interface: Option<&str>, function: &str) -> Option<&str> {
        let key = (interface.map(str::to_owned), function.to_owned());
        self.by_function.get(&key)?.as_deref()
    }

    fn add(&mut self, resolve: &Resolve, interface: Option<&str>, function: &Function) {
        let Some(name) = wit_name::function_name(&function.name) else { return };
        let signature = signature(resolve, function);
        let known = self.by_function.entry((interface.map(str::to_owned), name));
        known
            .and_modify(|known| {
                if known.as_deref() != Some(signature.as_str()) {
                    *known = None;
                }
            })
            .or_insert(Some(signature.clone()));
    }
}

/// A function as WIT writes it, with types by name: `read: func(len: u64) -> result<list<u8>, stream-error>`.
fn signature(resolve: &Resolve, function: &Function) -> String {
    let mut out = String::new();
    let method = matches!(function.kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_));
    let name = function.item_name();
    let parameters = function.params.iter().skip(usize::from(method));
    let parameters: Vec<String> =
        parameters.map(|param| format!("{}: {}", param.name, type_name(resolve, &param.ty))).collect();
    let parameters = parameters.join(", ");
    let (before, result) = match function.kind {
        FunctionKind::Constructor(_) => return format!("constructor({parameters})"),
        FunctionKind::Static(_) => ("static func", &function.result),
        FunctionKind::AsyncStatic(_) => ("static async func", &function.result),
        FunctionKind::Freestanding | FunctionKind::Method(_) => ("func", &function.result),
        FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) => ("async func", &function.result),
    };
    let _ = write!(out, "{name}: {before}({parameters})");
    if let Some(result) = result {
        let _ = write!(out, " -> {}", type_name(resolve, result));
    }
    out
}

fn type_name(resolve: &Resolve, ty: &Type) -> String {
    let primitive = match ty {
        Type::Id(id) => return defined_type_name(resolve, *id),
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
    };
    primitive.to_owned()
}

fn defined_type_name(resolve: &Resolve, id: TypeId) -> String {
    let def = &resolve.types[id];
    if let Some(name) = &def.name {
        return name.clone();
    }
    let name = |ty: &Type| type_name(resolve, ty);
    let maybe = |constructor: &str, ty: &Option<Type>| match ty {
        Some(ty) => format!("{constructor}<{}>", name(ty)),
        None => constructor.to_owned(),
    };
    match &def.kind {
        TypeDefKind::Handle(Handle::Own(resource)) => defined_type_name(resolve, *resource),
        TypeDefKind::Handle(Handle::Borrow(resource)) => format!("borrow<{}>", defined_type_name(resolve, *resource)),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Option(ty) => format!("option<{}>", name(ty)),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_owned(),
            (Some(ok), None) => format!("result<{}>", name(ok)),
            (None, Some(err)) => format!("result<_, {}>", name(err)),
            (Some(ok), Some(err)) => format!("result<{}, {}>", name(ok), name(err)),
        },
        TypeDefKind::List(ty) => format!("list<{}>", name(ty)),
        TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", name(ty)),
        TypeDefKind::Map(key, value) => format!("map<{}, {}>", name(key), name(value)),
        TypeDefKind::Future(ty) => maybe("future", ty),
        TypeDefKind::Stream(ty) => maybe("stream", ty),
        TypeDefKind::Type(ty) => name(ty),
        // These always have a name in WIT; a component that leaves it out is shown by the kind of its type.
        TypeDefKind::Record(_) => "record".to_owned(),
        TypeDefKind::Resource => "resource".to_owned(),
        TypeDefKind::Flags(_) => "flags".to_owned(),
        TypeDefKind::Variant(_) => "variant".to_owned(),
        TypeDefKind::Enum(_) => "enum".to_owned(),
        TypeDefKind::Unknown => "unknown".to_owned(),
    }
}
