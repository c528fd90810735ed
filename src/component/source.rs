//! What only the original component bytes know: names of nested components and of their instances, and which module is whose.
//!
//! Compilation flattens a component: nested components become numbered *component instances*, and core modules
//! become numbered *static modules*. Both numberings follow from the order in which Wasmtime walks the binary, so
//! walking it the same way gives each number its name back:
//!
//! - static modules are numbered in the order in which their bytes appear;
//! - component instances are numbered as they are instantiated, the root being 0, depth first.
//!
//! The walk evaluates component definitions only (nesting, outer aliases, components passed as arguments). What it
//! cannot evaluate, such as a component imported from the host, makes the instance numbering unknown; then the names
//! of nested components are left to the next best rule, rather than risked.

use std::collections::HashMap;

use wasmparser::{
    Chunk, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentName, ComponentOuterAliasKind, Encoding,
    KnownCustom, Parser, Payload,
};

/// More steps than any real composition takes; a chain of nested components that double can ask for 2^n.
const MAX_STEPS: usize = 500_000;

/// Deeper than any real composition nests.
const MAX_DEPTH: usize = 200;

/// The names found in the bytes of a component.
#[derive(Debug, Default)]
pub(crate) struct Source {
    components: Vec<ComponentSource>,
    /// By static module index: the component whose bytes contain it.
    modules: Vec<ModuleSource>,
    /// By component instance index. Empty if it could not be determined.
    instances: Vec<InstanceSource>,
}

/// A component instance, as the walk finds it.
#[derive(Clone, Copy, Debug)]
struct InstanceSource {
    /// The component it is an instance of.
    component: usize,
    /// Where it is instantiated: the instance around it, and which of the instantiations in the component of that. `None`
    /// for the root.
    site: Option<(u32, usize)>,
}

/// A place where a component instantiates another, and what it calls the instance.
#[derive(Debug, Default)]
struct Instantiation {
    /// In its name section.
    name: Option<String>,
    /// The word by which it exports the instance, or gives it or a part of it to others.
    label: Option<String>,
    /// Whether there are several such words, so that none of them is its name.
    is_several: bool,
}

/// A component found in the bytes; number 0 is the root.
#[derive(Debug, Default)]
pub(crate) struct ComponentSource {
    /// Its own name, or the name its parent gave it.
    pub(crate) name: Option<String>,
    /// Names of its imported instances, in order.
    imports: Vec<String>,
    /// Names of its exported instances, in order.
    exports: Vec<String>,
    /// Names of the functions that it exports itself, in order.
    exported_functions: Vec<String>,
    /// What it instantiates, in order.
    instantiations: Vec<Instantiation>,
    /// By instance index space: the instantiation, if it is one or what one exports; and whether it is all of it.
    instance_space: Vec<Option<(usize, bool)>>,
    /// Steps that matter to numbering, in order.
    steps: Vec<Step>,
    /// By core module index space: the static module, if it is one.
    module_space: Vec<Option<usize>>,
    /// By component index space: the nested component, if it is one.
    component_space: Vec<Option<usize>>,
    /// Byte range in the file.
    range: std::ops::Range<usize>,
    /// Whether it imports or exports a function under a name that is no WIT function name, such as `a:b/c`.
    is_beyond_wit: bool,
}

/// A core module found in the bytes.
#[derive(Debug, Default)]
struct ModuleSource {
    component: usize,
    /// The name that the surrounding component's name section gives it.
    name: Option<String>,
}

/// What happens to the component index space, and instantiations.
#[derive(Debug, Clone)]
enum Step {
    Define(usize),
    Import(String),
    OuterAlias { count: u32, index: u32 },
    Unknown,
    Instantiate { component: u32, instantiation: usize, arguments: Vec<(String, u32)> },
}

impl Source {
    /// Walks the bytes of a component or core module. `None` if they are neither, or damaged: names are then left to
    /// other rules, because whoever compiled the bytes has reported that already.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut source = Self::default();
        // The components that are open, with the parsers to go on with.
        let mut open: Vec<(usize, Parser)> = Vec::new();
        let mut parser = Parser::new(0);
        let mut rest = bytes;
        loop {
            let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).ok()? else { return None };
            rest = rest.get(consumed..)?;
            match payload {
                Payload::Version { encoding: Encoding::Module, .. } => return Some(source),
                Payload::Version { .. } if open.is_empty() => {
                    source.components.push(ComponentSource { range: 0..bytes.len(), ..Default::default() });
                    open.push((0, Parser::new(0)));
                }
                // Code is nine tenths of a component, and has nothing to say here.
                Payload::ModuleSection { unchecked_range, .. } => {
                    let component = open.last()?.0;
                    let module = source.modules.len();
                    source.modules.push(ModuleSource { component, name: None });
                    source.components[component].module_space.push(Some(module));
                    rest = rest.get(unchecked_range.len()..)?;
                }
                Payload::ComponentSection { parser: inner, unchecked_range } => {
                    let nested = source.components.len();
                    source.components.push(ComponentSource { range: unchecked_range, ..Default::default() });
                    let parent = &mut source.components[open.last()?.0];
                    parent.steps.push(Step::Define(nested));
                    parent.component_space.push(Some(nested));
                    open.push((nested, std::mem::replace(&mut parser, inner)));
                }
                Payload::End(_) => match open.pop() {
                    Some((_, outer)) if !open.is_empty() => parser = outer,
                    _ => break,
                },
                payload => source.component_payload(open.last()?.0, payload)?,
            }
        }
        source.instances = source.number_instances().unwrap_or_default();
        Some(source)
    }

    fn component_payload(&mut self, component: usize, payload: Payload<'_>) -> Option<()> {
        let this = self.components.get_mut(component)?;
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import.ok()?;
                    match import.ty.kind() {
                        ComponentExternalKind::Component => {
                            this.steps.push(Step::Import(import.name.name.to_owned()));
                            this.component_space.push(None);
                        }
                        ComponentExternalKind::Module => this.module_space.push(None),
                        ComponentExternalKind::Instance => {
                            this.imports.push(import.name.name.to_owned());
                            this.instance_space.push(None);
                        }
                        ComponentExternalKind::Func => this.is_beyond_wit |= !is_wit_function(import.name.name),
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    this.alias(&alias.ok()?);
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.ok()?;
                    match export.kind {
                        // An export also adds to the index space of its kind.
                        ComponentExternalKind::Component => {
                            this.steps.push(Step::Unknown);
                            this.component_space.push(None);
                        }
                        ComponentExternalKind::Module => this.module_space.push(None),
                        ComponentExternalKind::Instance => {
                            this.exports.push(export.name.name.to_owned());
                            this.label(export.index, export.name.name);
                            this.instance_space.push(this.instance_space.get(export.index as usize).copied().flatten());
                        }
                        ComponentExternalKind::Func => {
                            this.is_beyond_wit |= !is_wit_function(export.name.name);
                            this.exported_functions.push(export.name.name.to_owned());
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    let ComponentInstance::Instantiate { component_index, args } = instance.ok()? else {
                        this.instance_space.push(None);
                        continue;
                    };
                    for arg in args.iter().filter(|arg| arg.kind == ComponentExternalKind::Instance) {
                        this.label(arg.index, arg.name);
                    }
                    let components = args.iter().filter(|arg| arg.kind == ComponentExternalKind::Component);
                    let arguments = components.map(|arg| (arg.name.to_owned(), arg.index)).collect();
                    let instantiation = this.instantiations.len();
                    this.instantiations.push(Instantiation::default());
                    this.instance_space.push(Some((instantiation, true)));
                    this.steps.push(Step::Instantiate { component: component_index, instantiation, arguments });
                }
            }
            Payload::CustomSection(custom) => {
                if let KnownCustom::ComponentName(names) = custom.as_known() {
                    self.names(component, names);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Name sections are decoration: a damaged one ends early and nothing else happens.
    fn names(&mut self, component: usize, names: wasmparser::ComponentNameSectionReader<'_>) {
        for name in names.into_iter().map_while(Result::ok) {
            match name {
                ComponentName::Component { name, .. } => {
                    self.components[component].name = Some(name.to_owned());
                }
                ComponentName::CoreModules(map) => {
                    for naming in map.into_iter().map_while(Result::ok) {
                        let module = self.components[component].module_space.get(naming.index as usize);
                        if let Some(Some(module)) = module {
                            self.modules[*module].name = Some(naming.name.to_owned());
                        }
                    }
                }
                ComponentName::Instances(map) => {
                    let this = &mut self.components[component];
                    for naming in map.into_iter().map_while(Result::ok) {
                        let instantiation = this.instance_space.get(naming.index as usize).copied().flatten();
                        // An instance that is exported has a second index, and may have a second name.
                        if let Some((instantiation, true)) = instantiation.filter(|_| is_given(naming.name)) {
                            this.instantiations[instantiation].name.get_or_insert_with(|| naming.name.to_owned());
                        }
                    }
                }
                ComponentName::Components(map) => {
                    for naming in map.into_iter().map_while(Result::ok) {
                        let nested = self.components[component].component_space.get(naming.index as usize);
                        if let Some(Some(nested)) = nested.copied() {
                            self.components[nested].name.get_or_insert_with(|| naming.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The component that a component instance is an instance of.
    pub(crate) fn component_of_instance(&self, instance: u32) -> Option<usize> {
        Some(self.instances.get(instance as usize)?.component)
    }

    /// The instance inside of which a component instance is made; `None` for the root.
    pub(crate) fn parent_of_instance(&self, instance: u32) -> Option<u32> {
        Some(self.instances.get(instance as usize)?.site?.0)
    }

    /// What the component around a component instance calls it: in its name section, else the one word by which it exports
    /// it, or gives it to others.
    pub(crate) fn instance_name(&self, instance: u32) -> Option<&str> {
        let (parent, instantiation) = self.instances.get(instance as usize)?.site?;
        let parent = self.components.get(self.component_of_instance(parent)?)?;
        let Instantiation { name, label, is_several } = parent.instantiations.get(instantiation)?;
        name.as_deref().or(label.as_deref().filter(|_| !is_several))
    }

    /// How many component instances there are, if that could be determined.
    pub(crate) fn instance_count(&self) -> Option<usize> {
        (!self.instances.is_empty()).then_some(self.instances.len())
    }

    /// How many core modules there are in the bytes.
    pub(crate) fn module_count(&self) -> usize {
        self.modules.len()
    }

    /// How many components there are in the bytes, the root included.
    pub(crate) fn component_count(&self) -> usize {
        self.components.len()
    }

    /// The component whose bytes contain a core module.
    pub(crate) fn component_of_module(&self, module: u32) -> Option<usize> {
        Some(self.modules.get(module as usize)?.component)
    }

    /// The name that the component around a core module gives it.
    pub(crate) fn module_name(&self, module: u32) -> Option<&str> {
        self.modules.get(module as usize)?.name.as_deref()
    }

    /// A component's name in a name section.
    pub(crate) fn component_name(&self, component: usize) -> Option<&str> {
        self.components.get(component)?.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Of each component, the root first, the interfaces that it imports and exports.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = (Vec<&str>, Vec<&str>)> {
        fn names(names: &[String]) -> Vec<&str> {
            names.iter().map(String::as_str).collect()
        }
        self.components.iter().map(|component| (names(&component.imports), names(&component.exports)))
    }

    /// What a component exports, those first that tell most about it: interfaces that are not standard ones, other interfaces,
    /// functions.
    pub(crate) fn component_exports(&self, component: usize) -> impl Iterator<Item = &str> {
        let (exports, functions) = match self.components.get(component) {
            Some(component) => (component.exports.as_slice(), component.exported_functions.as_slice()),
            None => (&[][..], &[][..]),
        };
        let interfaces = exports.iter().filter(|name| name.contains('/'));
        let own = interfaces.clone().filter(|name| !name.starts_with("wasi:"));
        let standard = interfaces.filter(|name| name.starts_with("wasi:"));
        own.chain(standard).chain(functions).map(String::as_str)
    }

    /// Byte ranges of the components that WIT can describe, the root first.
    pub(crate) fn wit_ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.components.iter().filter(|component| !component.is_beyond_wit).map(|component| component.range.clone())
    }

    fn number_instances(&self) -> Option<Vec<InstanceSource>> {
        let mut walk = Walk { source: self, scopes: vec![Scope::default()], instances: Vec::new(), steps: 0 };
        walk.instantiate(InstanceSource { component: 0, site: None }, 0, &HashMap::new(), 0)?;
        Some(walk.instances)
    }
}

/// An evaluation of component definitions. Scopes refer to each other by position, because a component is defined in
/// the scope that holds it.
struct Walk<'s> {
    source: &'s Source,
    scopes: Vec<Scope>,
    instances: Vec<InstanceSource>,
    steps: usize,
}

/// The component index space of an instance being walked.
#[derive(Default)]
struct Scope {
    components: Vec<Option<Value>>,
    /// The scope of the instance inside which the component is defined.
    parent: Option<usize>,
}

/// A component together with the scope that its outer aliases refer to.
#[derive(Clone, Copy)]
struct Value {
    component: usize,
    defined_in: usize,
}

impl Walk<'_> {
    /// Makes `instance`, whose own index space is `scope`. `None` if anything cannot be evaluated.
    fn instantiate(
        &mut self,
        instance: InstanceSource,
        scope: usize,
        arguments: &HashMap<&str, Option<Value>>,
        depth: usize,
    ) -> Option<()> {
        let number = u32::try_from(self.instances.len()).ok()?;
        self.instances.push(instance);
        let source = self.source;
        for step in &source.components.get(instance.component)?.steps {
            self.steps += 1;
            if self.steps > MAX_STEPS || depth > MAX_DEPTH {
                return None;
            }
            let value = match step {
                Step::Define(nested) => Some(Value { component: *nested, defined_in: scope }),
                Step::Import(name) => arguments.get(name.as_str()).copied().flatten(),
                Step::OuterAlias { count, index } => self.get(self.outer(scope, *count)?, *index),
                Step::Unknown => None,
                Step::Instantiate { component, instantiation, arguments } => {
                    let value = self.get(scope, *component)?;
                    self.steps += arguments.len();
                    let arguments =
                        arguments.iter().map(|(name, index)| (name.as_str(), self.get(scope, *index))).collect();
                    let inner = self.scopes.len();
                    self.scopes.push(Scope { components: Vec::new(), parent: Some(value.defined_in) });
                    let site = Some((number, *instantiation));
                    self.instantiate(
                        InstanceSource { component: value.component, site },
                        inner,
                        &arguments,
                        depth + 1,
                    )?;
                    continue;
                }
            };
            self.scopes[scope].components.push(value);
        }
        Some(())
    }

    fn get(&self, scope: usize, index: u32) -> Option<Value> {
        *self.scopes[scope].components.get(index as usize)?
    }

    /// The scope `count` levels up; 0 is this one.
    fn outer(&self, mut scope: usize, count: u32) -> Option<usize> {
        for _ in 0..count {
            scope = self.scopes[scope].parent?;
        }
        Some(scope)
    }
}

impl ComponentSource {
    /// Notes that the instance with an index is exported or passed on as `name`.
    fn label(&mut self, instance: u32, name: &str) {
        let instantiation = self.instance_space.get(instance as usize).copied().flatten();
        if let Some((instantiation, _)) = instantiation.filter(|_| is_label(name)) {
            let instantiation = &mut self.instantiations[instantiation];
            let label = instantiation.label.get_or_insert_with(|| name.to_owned());
            instantiation.is_several |= label != name;
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                self.steps.push(Step::OuterAlias { count: *count, index: *index });
                self.component_space.push(None);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }
            | ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                self.module_space.push(None);
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                self.steps.push(Step::Unknown);
                self.component_space.push(None);
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Instance, instance_index, .. } => {
                let whole = self.instance_space.get(*instance_index as usize).copied().flatten();
                self.instance_space.push(whole.map(|(instantiation, _)| (instantiation, false)));
            }
            _ => {}
        }
    }
}

/// Whether a name of an instance tells which one it is, and not which interface it has.
fn is_given(name: &str) -> bool {
    use wasmparser::names::{ComponentName, ComponentNameKind};
    !name.is_empty()
        && !ComponentName::new(name, 0).is_ok_and(|name| matches!(name.kind(), ComponentNameKind::Interface(_)))
}

/// Whether a name of an export or import is a plain word.
fn is_label(name: &str) -> bool {
    use wasmparser::names::{ComponentName, ComponentNameKind};
    ComponentName::new(name, 0).is_ok_and(|name| matches!(name.kind(), ComponentNameKind::Label(_)))
}

/// Whether a component-level function name is one that WIT can spell.
fn is_wit_function(name: &str) -> bool {
    use wasmparser::names::{ComponentName, ComponentNameKind as Kind};
    ComponentName::new(name, 0).is_ok_and(|name| match name.kind() {
        Kind::Label(_) | Kind::Constructor(_) | Kind::Method(_) | Kind::Static(_) => true,
        Kind::Interface(_) | Kind::Dependency(_) | Kind::Url(_) | Kind::Hash(_) => false,
    })
}
