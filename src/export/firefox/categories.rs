//! Categories, which have a colour each, and their subcategories.

use fxprof_processed_profile as fxprof;
use indexmap::IndexSet;
use serde::Serialize;

use crate::symbols::{Direction, Layer};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Layer(Layer),
    /// Boundary time, where samples are stacked by interface.
    Boundary,
}

/// In the order of the file. The front-end wants a grey one for what has none; nothing of ours is in that.
const ALL: [(Option<Category>, &str, fxprof::CategoryColor); 7] = [
    (None, "Other", fxprof::CategoryColor::Gray),
    (Some(Category::Layer(Layer::Guest)), "Guest", fxprof::CategoryColor::Blue),
    (Some(Category::Layer(Layer::Adapter)), "Adapter", fxprof::CategoryColor::Orange),
    (Some(Category::Layer(Layer::Trampoline)), "Trampoline", fxprof::CategoryColor::Yellow),
    (Some(Category::Layer(Layer::Host)), "Host", fxprof::CategoryColor::Purple),
    (Some(Category::Boundary), "Boundary", fxprof::CategoryColor::Red),
    (Some(Category::Layer(Layer::Script)), "Script", fxprof::CategoryColor::Green),
];

impl Category {
    /// What runs when an interface is crossed in this direction.
    pub(super) fn behind(direction: Direction) -> Self {
        Self::Layer(match direction {
            Direction::Import => Layer::Host,
            Direction::Export | Direction::Internal => Layer::Guest,
        })
    }

    /// Its position in the list of categories.
    pub(super) fn index(self) -> u16 {
        (0..).zip(ALL).find(|(_, (category, ..))| *category == Some(self)).map_or(0, |(index, _)| index)
    }
}

/// A category and a subcategory, as positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CategoryRow {
    pub(super) category: u16,
    pub(super) subcategory: u16,
}

/// Subcategories are numbered with 16 bits; interfaces past this many have none.
const MAX_SUBCATEGORIES: usize = 60_000;

/// The categories of a document. Interfaces are subcategories.
pub(super) struct Categories(Vec<CategoryJson>);

#[derive(Serialize)]
struct CategoryJson {
    name: &'static str,
    color: fxprof::CategoryColor,
    subcategories: IndexSet<String>,
}

impl Categories {
    pub(super) fn new() -> Self {
        // The first subcategory is the category itself.
        let subcategories = IndexSet::from_iter(["Other".to_owned()]);
        Self(ALL.map(|(_, name, color)| CategoryJson { name, color, subcategories: subcategories.clone() }).into())
    }

    pub(super) fn row(&mut self, category: Category, interface: Option<&str>) -> CategoryRow {
        let category = category.index();
        let subcategories = &mut self.0[usize::from(category)].subcategories;
        let row = match interface {
            Some(interface) if subcategories.len() < MAX_SUBCATEGORIES || subcategories.contains(interface) => {
                subcategories.insert_full(interface.to_owned()).0
            }
            _ => 0,
        };
        CategoryRow { category, subcategory: u16::try_from(row).unwrap_or(0) }
    }
}

impl Serialize for Categories {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
