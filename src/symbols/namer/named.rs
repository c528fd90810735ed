//! A function with its names, and the names of what Wasmtime generates for itself.

use std::borrow::Cow;
use std::rc::Rc;

use wasmtime_environ::component::UnsafeIntrinsic;
use wasmtime_environ::{Abi, BuiltinFunctionIndex, HostCall};

use crate::symbols::ends::Ends;
use crate::symbols::function::{Direction, FunctionKind, NamedBy};

/// A function with its names, before they are interned.
pub(super) struct Named<'a> {
    pub(super) kind: FunctionKind,
    pub(super) library: Rc<str>,
    /// Whether the library as a whole stands for the interface.
    pub(super) library_is_interface: bool,
    pub(super) name: Cow<'a, str>,
    pub(super) named_by: NamedBy,
    pub(super) interface: Option<String>,
    pub(super) interface_function: Option<String>,
    pub(super) direction: Option<Direction>,
    /// From where to where it crosses.
    pub(super) ends: Ends,
}

impl<'a> Named<'a> {
    /// A function that has nothing to do with an interface.
    pub(super) fn plain(
        kind: FunctionKind,
        library: impl Into<Rc<str>>,
        name: impl Into<Cow<'a, str>>,
        named_by: NamedBy,
    ) -> Self {
        Self {
            kind,
            library: library.into(),
            library_is_interface: false,
            name: name.into(),
            named_by,
            interface: None,
            interface_function: None,
            direction: None,
            ends: Ends::default(),
        }
    }

    /// Adds the interface function it crosses or implements, without making the library stand for it.
    pub(super) fn crossing(mut self, interface: Option<String>, function: String, direction: Direction) -> Self {
        self.interface = interface;
        self.interface_function = Some(function);
        self.direction = Some(direction);
        self
    }

    /// Adds from where to where it crosses.
    pub(super) fn between(mut self, ends: Ends) -> Self {
        self.ends = ends;
        self
    }

    /// Marks a library that holds one interface only.
    pub(super) fn of_interface_library(mut self) -> Self {
        self.library_is_interface = true;
        self
    }
}

/// The array-call variant of a trampoline is a second function with the same purpose.
pub(super) fn with_abi(name: String, abi: Abi) -> String {
    match abi {
        Abi::Wasm => name,
        Abi::Array => format!("{name} [array call]"),
        Abi::Patchable => format!("{name} [patchable call]"),
    }
}

/// What a library of the world's own functions, which are in no interface, is called.
pub(super) const WORLD: &str = "world";

pub(super) const CANONICAL_ABI: &str = "canonical ABI";

pub(super) fn canonical(kind: FunctionKind, name: &str, abi: Abi) -> Named<'static> {
    Named::plain(kind, CANONICAL_ABI, with_abi(name.to_owned(), abi), NamedBy::Wasmtime)
}

/// A function of an interface, and which way it crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    /// The interface; `None` for the world.
    pub(super) interface: Option<String>,
    pub(super) function: String,
    pub(super) direction: Direction,
}

impl Crossing {
    /// A trampoline for this function.
    pub(super) fn trampoline(self, kind: FunctionKind, abi: Abi, named_by: NamedBy) -> Named<'static> {
        let Self { interface, function, direction } = self;
        let library = format!("{} ({})", interface.as_deref().unwrap_or(WORLD), direction.name());
        Named::plain(kind, library, with_abi(function.clone(), abi), named_by)
            .crossing(interface, function, direction)
            .of_interface_library()
    }
}

pub(super) fn builtin_call(builtin: BuiltinFunctionIndex, abi: Abi) -> Named<'static> {
    let name = with_abi(instruction_name(builtin.name()), abi);
    Named::plain(FunctionKind::Builtin, "wasmtime builtins", name, NamedBy::Wasmtime)
}

/// Most give trusted guests access to host memory; the rest are how `context.get` and `context.set` are compiled.
pub(super) fn unsafe_intrinsic(intrinsic: UnsafeIntrinsic, abi: Abi) -> Named<'static> {
    use UnsafeIntrinsic::{ContextGetI32_0, ContextGetI32_1, ContextSetI32_0, ContextSetI32_1};
    let context = match intrinsic {
        ContextGetI32_0 => "context.get 0",
        ContextGetI32_1 => "context.get 1",
        ContextSetI32_0 => "context.set 0",
        ContextSetI32_1 => "context.set 1",
        other => {
            let name = with_abi(other.name().to_owned(), abi);
            let library = "wasmtime unsafe intrinsics";
            return Named::plain(FunctionKind::UnsafeIntrinsic, library, name, NamedBy::Wasmtime);
        }
    };
    canonical(FunctionKind::CanonicalIntrinsic, context, abi)
}

/// Builtins that carry out one WebAssembly instruction are shown as that instruction.
pub(super) fn instruction_name(builtin: &str) -> String {
    match builtin {
        "memory_grow" | "memory_copy" | "memory_fill" | "table_grow" | "ref_func" | "cont_new" => {
            builtin.replacen('_', ".", 1)
        }
        "memory_atomic_notify" | "memory_atomic_wait32" | "memory_atomic_wait64" => builtin.replace('_', "."),
        other => other.replace('_', "-"),
    }
}

pub(super) fn pulley_host_call(call: HostCall) -> Named<'static> {
    let name = match call {
        HostCall::ArrayCall => "host function".to_owned(),
        HostCall::Builtin(builtin) => instruction_name(builtin.name()),
        HostCall::ComponentLowerImport => "lowered import".to_owned(),
        HostCall::ComponentBuiltin(builtin) => builtin.name().replace('_', "-"),
    };
    Named::plain(FunctionKind::Builtin, "pulley host calls", name, NamedBy::Wasmtime)
}
