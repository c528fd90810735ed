//! Categories, which have a colour each, and their subcategories.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use fxprof_processed_profile as fxprof;

use crate::symbols::{Direction, Layer};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Category {
    Layer(Layer),
    /// Boundary time, where samples are stacked by interface.
    Boundary,
}

impl Category {
    /// What runs when an interface is crossed in this direction.
    pub(super) fn behind(direction: Direction) -> Self {
        Self::Layer(match direction {
            Direction::Import => Layer::Host,
            Direction::Export | Direction::Internal => Layer::Guest,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Layer(Layer::Guest) => "Guest",
            Self::Layer(Layer::Adapter) => "Adapter",
            Self::Layer(Layer::Trampoline) => "Trampoline",
            Self::Layer(Layer::Host) => "Host",
            Self::Boundary => "Boundary",
        }
    }

    fn color(self) -> fxprof::CategoryColor {
        match self {
            Self::Layer(Layer::Guest) => fxprof::CategoryColor::Blue,
            Self::Layer(Layer::Adapter) => fxprof::CategoryColor::Orange,
            Self::Layer(Layer::Trampoline) => fxprof::CategoryColor::Yellow,
            Self::Layer(Layer::Host) => fxprof::CategoryColor::Purple,
            Self::Boundary => fxprof::CategoryColor::Red,
        }
    }
}

/// Subcategories are numbered with 16 bits; interfaces past this many have none.
const MAX_SUBCATEGORIES: usize = 60_000;

/// The categories of a document. Interfaces are subcategories.
pub(super) struct Categories {
    handles: HashMap<Category, fxprof::CategoryHandle>,
    subcategories: HashMap<(Category, String), fxprof::CategoryPairHandle>,
}

impl Categories {
    pub(super) fn new(out: &mut fxprof::Profile) -> Self {
        let all = Layer::ALL.into_iter().map(Category::Layer).chain([Category::Boundary]);
        let handles = all.map(|category| (category, out.add_category(category.name(), category.color()))).collect();
        Self { handles, subcategories: HashMap::new() }
    }

    pub(super) fn handle(&self, category: Category) -> fxprof::CategoryHandle {
        self.handles[&category]
    }

    pub(super) fn get(
        &mut self,
        out: &mut fxprof::Profile,
        category: Category,
        interface: Option<&str>,
    ) -> fxprof::CategoryPairHandle {
        let handle = self.handles[&category];
        let Some(interface) = interface else { return handle.into() };
        let is_full = self.subcategories.len() >= MAX_SUBCATEGORIES;
        match self.subcategories.entry((category, interface.to_owned())) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if is_full => handle.into(),
            Entry::Vacant(new) => *new.insert(out.add_subcategory(handle, interface)),
        }
    }
}
