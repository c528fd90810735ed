//! Which core module each linear memory belongs to: the one that defines it, whoever makes it grow.

use wasmtime_environ::component::{
    Component as ComponentInfo, CoreDef, CoreExport, ExportItem, GlobalInitializer, InstantiateModule,
};
use wasmtime_environ::{EntityIndex, EntityRef as _, MemoryIndex};

use super::artifacts::{Artifacts, ModuleArtifact};

/// The memories of a component or core module. Modules are static indices.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Memories {
    /// In the order in which one instance makes them: size at first, in bytes, and the module that defines it. Empty if it also
    /// instantiates modules of others.
    pub(crate) in_order: Vec<(u64, u32)>,
    /// By module: those that define the memories it uses, in the order of its own numbers for them.
    pub(crate) used_by: Vec<Vec<u32>>,
}

impl Memories {
    pub(crate) fn read(artifacts: &Artifacts<'_>) -> Self {
        let instances = match &artifacts.component {
            Some(component) => instances(component),
            None => vec![(Some(0), &[][..])],
        };
        let reader = Reader { modules: &artifacts.modules, instances };
        let mut memories = Self { in_order: Vec::new(), used_by: vec![Vec::new(); artifacts.modules.len()] };
        for (instance, (index, _)) in reader.instances.iter().enumerate() {
            let Some((index, module)) = index.and_then(|index| Some((index, artifacts.modules.get(index as usize)?)))
            else {
                continue;
            };
            memories.in_order.extend(module.memories().map(|bytes| (bytes, index)));
            let used = &mut memories.used_by[index as usize];
            for memory in 0..module.all_memories() {
                if let Some(owner) = reader.owner(instance, MemoryIndex::new(memory))
                    && !used.contains(&owner)
                {
                    used.push(owner);
                }
            }
        }
        if reader.instances.iter().any(|(module, _)| module.is_none()) {
            memories.in_order.clear();
        }
        memories
    }
}

/// The core instances in order: which module, and what satisfies its imports. `None` is a module of others.
fn instances(component: &ComponentInfo) -> Vec<(Option<u32>, &[CoreDef])> {
    let instantiated = component.initializers.iter().filter_map(|initializer| match initializer {
        GlobalInitializer::InstantiateModule(instantiate, _) => Some(instantiate),
        _ => None,
    });
    let instances = instantiated.map(|instantiate| match instantiate {
        InstantiateModule::Static(module, arguments) => (Some(module.as_u32()), &**arguments),
        InstantiateModule::Import(..) => (None, &[][..]),
    });
    instances.collect()
}

struct Reader<'a> {
    modules: &'a [ModuleArtifact<'a>],
    instances: Vec<(Option<u32>, &'a [CoreDef])>,
}

impl Reader<'_> {
    /// The module that defines a memory of an instance.
    fn owner(&self, mut instance: usize, mut memory: MemoryIndex) -> Option<u32> {
        loop {
            let (index, arguments) = self.instances.get(instance)?;
            let index = (*index)?;
            let module = self.modules.get(index as usize)?;
            if memory.index() >= module.imported_memories() {
                return Some(index);
            }
            let position = module.imports().position(|(_, _, import)| import == EntityIndex::Memory(memory))?;
            let CoreDef::Export(CoreExport { instance: other, item: ExportItem::Index(EntityIndex::Memory(exported)) }) =
                arguments.get(position)?
            else {
                return None;
            };
            // An instance imports from those before it; a damaged image may say otherwise.
            let other = other.as_u32() as usize;
            (other < instance).then_some(())?;
            (instance, memory) = (other, *exported);
        }
    }
}
