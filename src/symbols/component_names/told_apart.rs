//! Settles on a name for each component, and tells those of one name apart.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::evidence::{Evidence, PROVIDER_OF, Rule, few};
use crate::symbols::library::ComponentNamedBy;

/// Components around a component that are a part of its name, at most.
const MAX_PATH: usize = 4;

/// Bytes of a path that a person still reads. Guests choose names, and one may be around many.
const MAX_PATH_BYTES: usize = 200;

/// Instances of one component that are told apart, at most.
const MAX_INSTANCES: usize = 100;

/// A name, and the rule that gave it or tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) rule: ComponentNamedBy,
}

/// The name of each component; different ones for those that have code.
pub(super) fn names(components: &[Evidence]) -> Vec<Name> {
    let called = called(components);
    let mut names: Vec<Name> = Vec::with_capacity(components.len());
    let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, name) in called.iter().enumerate() {
        names.push(match name {
            Some((text, rule)) => Name { text: (*text).to_owned(), rule: rule.public() },
            None => {
                let path = path(components, &called, number).map_or_else(String::new, |path| format!("{path}/"));
                Name { text: format!("{path}component[{number}]"), rule: ComponentNamedBy::Index }
            }
        });
        if let (Some((text, _)), true) = (name, components[number].has_code) {
            groups.entry(text).or_default().push(number);
        }
    }
    for (base, members) in groups {
        // The root keeps its name.
        let others: Vec<usize> = members.iter().copied().filter(|number| *number != 0).collect();
        let is_taken = others.len() < members.len();
        if others.len() + usize::from(is_taken) < 2 {
            continue;
        }
        let around = |number: &usize| path(components, &called, *number).or_else(|| is_taken.then(|| base.to_owned()));
        let paths: Vec<Option<String>> = others.iter().map(around).collect();
        let of_rule = |rule: Rule| Mark {
            rule: rule.public(),
            values: others.iter().map(|number| components[*number].name_by(rule)).collect(),
        };
        // What a person called it is better than where it is, and that is better than what it exports.
        let marks = [
            of_rule(Rule::Instance),
            of_rule(Rule::Module),
            of_rule(Rule::WholeModule),
            Mark::of_paths(&paths),
            of_rule(Rule::Package),
            of_rule(Rule::Provider),
            of_rule(Rule::Instances),
        ];
        for (number, name) in others.iter().zip(tell_apart(base, is_taken, &marks)) {
            names[*number] =
                name.unwrap_or_else(|| Name { text: format!("{base}[{number}]"), rule: ComponentNamedBy::Index });
        }
    }
    // What tells one apart may be another's name.
    let mut taken = HashSet::new();
    for (number, name) in names.iter_mut().enumerate().filter(|(number, _)| components[*number].has_code) {
        if taken.contains(&name.text) {
            *name = Name { text: format!("{}[{number}]", name.text), rule: ComponentNamedBy::Index };
        }
        while !taken.insert(name.text.clone()) {
            name.text.push('\'');
        }
    }
    names
}

/// What each component is called by the first rule that has a name for it. By the later rules a name must be its alone.
fn called(components: &[Evidence]) -> Vec<Option<(&str, Rule)>> {
    let mut called: Vec<Option<(&str, Rule)>> = vec![None; components.len()];
    let first =
        |component: &'_ Evidence, rules: &[Rule]| rules.iter().copied().find(|rule| component.name_by(*rule).is_some());
    let mut taken: HashSet<&str> = HashSet::new();
    if let (Some(root), Some(called)) = (components.first(), called.first_mut()) {
        *called = first(root, &Rule::ALL).and_then(|rule| Some((root.name_by(rule)?, rule)));
        taken.extend(called.filter(|_| root.has_code).map(|(name, _)| name));
    }
    for rule in Rule::ALL {
        let open = called.iter().zip(components).enumerate().filter(|(_, (name, _))| name.is_none());
        let open: Vec<(usize, &str)> =
            open.filter_map(|(number, (_, component))| Some((number, component.name_by(rule)?))).collect();
        let mut count: HashMap<&str, usize> = HashMap::new();
        for (_, name) in open.iter().filter(|(number, _)| components[*number].has_code) {
            *count.entry(name).or_default() += 1;
        }
        let is_free = |name: &str| match rule {
            Rule::Own => true,
            Rule::Instance => !taken.contains(name),
            _ => !taken.contains(name) && count.get(name).is_none_or(|count| *count == 1),
        };
        let settled: Vec<_> =
            open.into_iter().filter(|(number, name)| !components[*number].has_code || is_free(name)).collect();
        for (number, name) in settled {
            called[number] = Some((name, rule));
            if components[number].has_code {
                taken.insert(name);
            }
        }
    }
    // A name that several share tells more than none.
    for (called, component) in called.iter_mut().zip(components).filter(|(called, _)| called.is_none()) {
        *called = first(component, &Rule::ALL).and_then(|rule| Some((component.name_by(rule)?, rule)));
    }
    called
}

/// The components around one, from the outermost; nothing directly inside of the root.
fn path(components: &[Evidence], called: &[Option<(&str, Rule)>], number: usize) -> Option<String> {
    let mut around = Vec::new();
    let mut number = number;
    while let Some(parent) = components.get(number).and_then(|component| component.parent).filter(|one| *one != 0)
        && around.len() < MAX_PATH
    {
        around.extend(called.get(parent).copied().flatten().map(|(name, _)| name));
        number = parent;
    }
    around.reverse();
    let bytes: usize = around.iter().map(|name| name.len()).sum();
    (!around.is_empty() && bytes <= MAX_PATH_BYTES).then(|| around.join("/"))
}

/// What may tell things of one name apart.
struct Mark<'n> {
    rule: ComponentNamedBy,
    /// Of each of them.
    values: Vec<Option<&'n str>>,
}

impl<'n> Mark<'n> {
    fn of_paths(paths: &'n [Option<String>]) -> Self {
        Self { rule: ComponentNamedBy::Path, values: paths.iter().map(Option::as_deref).collect() }
    }

    /// Whether a thing with this value is called by the name alone.
    fn is_plain(&self, base: &str, value: Option<&str>) -> bool {
        value.is_none_or(|value| self.rule != ComponentNamedBy::Path && value == base)
    }

    /// Whether it tells all of them apart. That there is nothing around one is something to know, too.
    fn tells_all(&self, base: &str, is_taken: bool) -> bool {
        let mut seen = HashSet::new();
        let is_complete = self.rule == ComponentNamedBy::Path || self.values.iter().all(Option::is_some);
        let is_free = !is_taken || !self.values.iter().any(|value| self.is_plain(base, *value));
        is_complete && is_free && self.values.iter().all(|value| seen.insert(value))
    }

    fn name(&self, base: &str, value: Option<&str>) -> Name {
        let text = match value {
            Some(path) if self.rule == ComponentNamedBy::Path => format!("{path}/{base}"),
            Some(value) if value != base => format!("{base}[{}]", value.strip_prefix(PROVIDER_OF).unwrap_or(value)),
            Some(_) | None => base.to_owned(),
        };
        Name { text, rule: self.rule }
    }
}

/// Tells things apart that are all called `base`: all of them by the first mark that can, else each by the first that no other
/// has. `None` for those that nothing tells apart. If `is_taken`, something else is called `base` alone.
fn tell_apart(base: &str, is_taken: bool, marks: &[Mark<'_>]) -> Vec<Option<Name>> {
    if let Some(mark) = marks.iter().find(|mark| mark.tells_all(base, is_taken)) {
        return mark.values.iter().map(|value| Some(mark.name(base, *value))).collect();
    }
    let mut count: Vec<HashMap<&str, usize>> = vec![HashMap::new(); marks.len()];
    for (mark, count) in marks.iter().zip(&mut count) {
        for value in mark.values.iter().flatten() {
            *count.entry(value).or_default() += 1;
        }
    }
    let one = |member: usize| {
        marks.iter().zip(&count).find_map(|(mark, count)| {
            let value = (*mark.values.get(member)?).filter(|value| !mark.is_plain(base, Some(value)))?;
            (count.get(value) == Some(&1)).then(|| mark.name(base, Some(value)))
        })
    };
    (0..marks.first().map_or(0, |mark| mark.values.len())).map(one).collect()
}

/// An instance of a component, as the component around it sees it.
pub(super) struct Instance<'n> {
    pub(super) component: usize,
    pub(super) parent: Option<u32>,
    pub(super) name: Option<&'n str>,
}

/// The name of each component instance: that of its component, with what tells it from other instances of that, if anything
/// does. These come in order of instantiation, so that what is around one is before it.
pub(super) fn instances(instances: &[Instance<'_>], components: &[Name]) -> Vec<Rc<str>> {
    let texts: Vec<Rc<str>> = components.iter().map(|name| name.text.as_str().into()).collect();
    let text = |instance: &Instance<'_>| texts.get(instance.component).map_or_else(|| "".into(), Rc::clone);
    let mut names: Vec<Rc<str>> = instances.iter().map(text).collect();
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); components.len()];
    for (number, instance) in instances.iter().enumerate() {
        if let Some(group) = groups.get_mut(instance.component) {
            group.push(number);
        }
    }
    groups.retain(|group| (2..=MAX_INSTANCES).contains(&group.len()));
    groups.sort_by_key(|group| group[0]);
    for group in groups {
        let Some(base) = components.get(instances[group[0]].component) else { continue };
        let values = group.iter().map(|one| instances[*one].name).collect::<Vec<_>>();
        let path = |number: usize| {
            let parent = instances[number].parent.filter(|parent| *parent != 0)?;
            names.get(parent as usize).filter(|path| path.len() <= MAX_PATH_BYTES).map(|path| path.to_string())
        };
        let paths: Vec<_> = group.iter().map(|number| path(*number)).collect();
        let all = values.iter().copied().collect::<Option<Vec<_>>>().and_then(few);
        let is_named_by_all = all.is_some_and(|all| all == base.text);
        let marks = [Mark { rule: ComponentNamedBy::Instance, values: values.clone() }, Mark::of_paths(&paths)];
        for ((number, name), value) in group.iter().zip(tell_apart(&base.text, false, &marks)).zip(&values) {
            match (name, value) {
                (_, Some(value)) if is_named_by_all => names[*number] = (*value).into(),
                (Some(name), _) => names[*number] = name.text.into(),
                (None, _) => {}
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    type Values<'n> = &'n [Option<&'n str>];

    fn told_apart(base: &str, is_taken: bool, marks: &[(ComponentNamedBy, Values<'_>)]) -> Vec<Option<String>> {
        let marks: Vec<_> = marks.iter().map(|(rule, values)| Mark { rule: *rule, values: values.to_vec() }).collect();
        tell_apart(base, is_taken, &marks).into_iter().map(|name| name.map(|name| name.text)).collect()
    }

    #[test]
    fn the_first_mark_that_all_have_tells_them_apart() {
        use ComponentNamedBy::{CoreModule, Instance, Path};
        let names = |names: [&str; 2]| names.map(|name| Some(name.to_owned())).to_vec();
        let modules = (CoreModule, &[Some("x"), Some("y")][..]);
        for (rule, values, expected) in [
            (Instance, [Some("left"), Some("right")], ["m[left]", "m[right]"]),
            (Instance, [Some("m"), Some("right")], ["m", "m[right]"]),
            (Instance, [Some("left"), Some("left")], ["m[x]", "m[y]"]),
            (Instance, [Some("left"), None], ["m[x]", "m[y]"]),
            (Path, [Some("shop"), Some("bank")], ["shop/m", "bank/m"]),
            (Path, [Some("shop"), None], ["shop/m", "m"]),
            (Path, [Some("m"), None], ["m/m", "m"]),
            (Path, [None, None], ["m[x]", "m[y]"]),
        ] {
            assert_eq!(told_apart("m", false, &[(rule, &values), modules]), names(expected), "{values:?}");
        }
        // Where something else has the name alone, none of these may have it.
        for (rule, values) in [(Path, [Some("shop"), None]), (Instance, [Some("m"), Some("n")])] {
            assert_eq!(told_apart("m", true, &[(rule, &values), modules]), names(["m[x]", "m[y]"]), "{values:?}");
        }
    }

    #[test]
    fn what_only_some_have_tells_these() {
        use ComponentNamedBy::{CoreModule, Instance};
        let marks = [
            (Instance, &[Some("left"), Some("same"), Some("same"), None][..]),
            (CoreModule, &[Some("x"), Some("y"), Some("x"), None][..]),
        ];
        let expected = ["m[left]", "m[y]", "", ""].map(|name| (!name.is_empty()).then(|| name.to_owned()));
        assert_eq!(told_apart("m", false, &marks), expected);
    }
}
