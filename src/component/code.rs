//! What can be profiled.

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::image::Image;
use crate::address::InstructionRanges;

/// Compiled code that can be profiled. Whatever takes it takes a component or module as well, or a reference to one; copies
/// are cheap.
///
/// ```
/// # use wasmtime::{Engine, Module};
/// # use witprof::SymbolMap;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let module = Module::new(&Engine::default(), "(module)")?;
/// let map = SymbolMap::builder("empty").build(&module)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Code {
    /// A component.
    Component(Component),
    /// A core module that stands alone. Modules of a component come with the component.
    Module(Module),
}

impl Code {
    /// The whole image, in place.
    pub(crate) fn image(&self) -> &[u8] {
        let range = match self {
            Self::Component(component) => component.image_range(),
            Self::Module(module) => module.image_range(),
        };
        let len = range.end.addr().saturating_sub(range.start.addr());
        // SAFETY: both `image_range` methods are `slice.as_ptr_range()` of one `&[u8]` that covers the whole image
        // (Wasmtime 48: `self.inner.code.image().as_ptr_range()`), so the pointers bound one readable allocation of
        // `len` initialised bytes. The mapping is owned by the `Arc` inside the component or module, and is never
        // written to after publication, except when guest debugging patches breakpoints, for which Wasmtime makes a
        // private copy per store. `self` is borrowed for as long as the slice lives, so the owner outlives it.
        #[allow(unsafe_code, reason = "reads the compiled image in place instead of copying megabytes")]
        unsafe {
            std::slice::from_raw_parts(range.start, len)
        }
    }

    /// The text section: where a code address has to lie to belong to this code.
    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Self::Component(component) => component.text(),
            Self::Module(module) => module.text(),
        }
    }

    /// Which text was compiled from which instruction; nothing if it was compiled without an address map.
    pub(crate) fn instruction_ranges(&self) -> Option<InstructionRanges> {
        Image::parse(self.image()).ok()?.address_map().and_then(InstructionRanges::read)
    }

    /// The engine that compiled it.
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Component(component) => component.engine(),
            Self::Module(module) => module.engine(),
        }
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Component(_) => "Component",
            Self::Module(_) => "Module",
        };
        f.debug_struct(kind).field("text_bytes", &self.text().len()).finish()
    }
}

impl From<Component> for Code {
    fn from(component: Component) -> Self {
        Self::Component(component)
    }
}

impl From<&Component> for Code {
    fn from(component: &Component) -> Self {
        Self::Component(component.clone())
    }
}

impl From<Module> for Code {
    fn from(module: Module) -> Self {
        Self::Module(module)
    }
}

impl From<&Module> for Code {
    fn from(module: &Module) -> Self {
        Self::Module(module.clone())
    }
}

impl From<&Code> for Code {
    fn from(code: &Code) -> Self {
        code.clone()
    }
}
