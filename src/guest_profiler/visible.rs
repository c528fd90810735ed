//! What may be seen in a profile.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::code::{Entry, Targets};
use crate::component::Code;
use crate::error::{Error, Result};
use crate::symbols::SymbolMap;

/// The code that may be seen, by text section. All core modules of a component share one, so for modules that were
/// allowed by themselves, it is not enough to know the section.
#[derive(Debug)]
pub(super) struct Visible {
    engine: Engine,
    entries: Vec<Arc<Entry>>,
    /// By address of the text section. Stays in this process.
    by_text: FxHashMap<usize, Text>,
}

#[derive(Debug)]
struct Text {
    target: u32,
    modules: Modules,
}

/// Which modules of a text section may be seen.
#[derive(Debug)]
enum Modules {
    All,
    /// By static index.
    Only(FxHashSet<u32>),
}

impl Visible {
    pub(super) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), entries: Vec::new(), by_text: FxHashMap::default() }
    }

    /// Allows all of a component.
    pub(super) fn component(&mut self, name: &str, component: &Component) -> Result<()> {
        self.check(name, component.engine())?;
        let code = Code::Component(component.clone());
        let map = SymbolMap::builder(name).build(&code)?;
        self.add(map, code, Modules::All)
    }

    /// Allows one core module. If it is part of a component that is allowed, or was allowed before, it keeps that name.
    pub(super) fn module(&mut self, name: &str, module: &Module) -> Result<()> {
        self.check(name, module.engine())?;
        // One without functions is on no stack.
        let Some(index) = module.functions().next().map(|function| function.module.as_u32()) else { return Ok(()) };
        let code = Code::Module(module.clone());
        if let Some(known) = self.by_text.get_mut(&address(code.text())) {
            if let Modules::Only(modules) = &mut known.modules {
                modules.insert(index);
            }
            return Ok(());
        }
        let mut map = SymbolMap::builder(name).build(&code)?;
        map.rename_module(name);
        self.add(map, code, Modules::Only(FxHashSet::from_iter([index])))
    }

    /// What was allowed.
    pub(super) fn targets(&self) -> Targets {
        self.entries.iter().cloned().collect()
    }

    /// The target that this module belongs to, if it may be seen. `index` is its static index.
    pub(super) fn target_of(&self, module: &Module, index: u32) -> Option<u32> {
        let text = self.by_text.get(&address(module.text()))?;
        let is_visible = match &text.modules {
            Modules::All => true,
            Modules::Only(modules) => modules.contains(&index),
        };
        is_visible.then_some(text.target)
    }

    fn add(&mut self, map: SymbolMap, code: Code, modules: Modules) -> Result<()> {
        // As many targets as there are distinct texts in memory.
        let target = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let text = address(code.text());
        self.entries.push(Arc::new(Entry::new(target, map.into(), code)?));
        self.by_text.insert(text, Text { target, modules });
        Ok(())
    }

    fn check(&self, name: &str, engine: &Engine) -> Result<()> {
        if Engine::same(&self.engine, engine) { Ok(()) } else { Err(Error::OtherEngine { name: name.to_owned() }) }
    }
}

fn address(text: &[u8]) -> usize {
    text.as_ptr().addr()
}
