//! The functions of scripts, by their numbers.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::code::Target;
use crate::interpreters::{LineFormat, SourcePosition};
use crate::samples::ScriptFunction;

/// Functions with what they are known by.
pub(super) struct ScriptTable {
    by_number: FxHashMap<u32, Arc<ScriptFunction>>,
    /// By name and file: where they begin, and their numbers; in order.
    by_name: FxHashMap<(String, String), Vec<(SourcePosition, u32)>>,
    /// Those of which only calls are known, by name and file: the number of one for all.
    callers: FxHashMap<(String, String), u32>,
}

/// A function, as it was found.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) number: u32,
    pub(super) function: Arc<ScriptFunction>,
    /// Where it begins, if that is known.
    pub(super) start: Option<SourcePosition>,
    /// Where it is.
    pub(super) at: Option<SourcePosition>,
}

impl ScriptTable {
    pub(super) fn new(by_number: FxHashMap<u32, Arc<ScriptFunction>>) -> Self {
        let mut by_name: FxHashMap<_, Vec<_>> = FxHashMap::default();
        let mut callers = FxHashMap::default();
        for (number, function) in &by_number {
            let name = (function.name.clone(), function.file.clone());
            if is_call(function) {
                let caller = callers.entry(name).or_insert(*number);
                *caller = (*caller).min(*number);
            } else {
                by_name.entry(name).or_default().push((function.start, *number));
            }
        }
        by_name.values_mut().for_each(|functions| functions.sort_unstable());
        Self { by_number, by_name, callers }
    }

    /// The function with a number, which is at an instruction; `None` if nothing is known of it. Of one that has only scheduled what
    /// runs, a call is known: if it has run itself, it is found by that.
    pub(super) fn find(&self, number: u32, instruction: u32) -> Option<Found> {
        let function = self.by_number.get(&number)?;
        let at = function.position(instruction);
        let found = |number: u32, function: &Arc<ScriptFunction>| {
            let start = (!is_call(function)).then_some(function.start);
            Found { number, function: Arc::clone(function), start, at }
        };
        if !is_call(function) {
            return Some(found(number, function));
        }
        let name = (function.name.clone(), function.file.clone());
        let itself = || {
            let functions = self.by_name.get(&name)?;
            let (_, number) = functions.iter().rfind(|(start, _)| *start <= function.start)?;
            Some(found(*number, self.by_number.get(number)?))
        };
        itself().or_else(|| Some(found(self.callers.get(&name).copied().unwrap_or(number), function)))
    }
}

/// The file and the position to be shown for a position in a function: those of the source that the script was made from, if that is
/// known.
pub(super) fn script_place(
    found: &Found,
    target: Option<Target<'_>>,
    at: Option<SourcePosition>,
) -> (String, Option<SourcePosition>) {
    let script = &found.function;
    let Some(target) = target else { return (script.shown_file().to_owned(), at) };
    #[cfg(feature = "source-maps")]
    {
        let original = |at: SourcePosition| {
            let script = (&*script.file, script.source_map);
            target.map().original_place(target.code(), script, (at.line, at.column))
        };
        if let Some((file, (line, column))) = at.and_then(original) {
            return (target.map().script_path(&file), Some(SourcePosition { line, column }));
        }
    }
    (target.map().script_path(script.shown_file()), at)
}

/// What a function is to be called: as in the source that the script was made from, if that is known.
#[cfg_attr(not(feature = "source-maps"), expect(unused_variables, reason = "nothing else is known without"))]
pub(super) fn script_name(found: &Found, target: Option<Target<'_>>) -> String {
    let script = &found.function;
    #[cfg(feature = "source-maps")]
    {
        let original = |target: Target<'_>| {
            let SourcePosition { line, column } = found.start?;
            let function = ((line, column), &*script.name);
            target.map().original_name(target.code(), (&script.file, script.source_map), function)
        };
        if let Some(name) = target.and_then(original) {
            return name;
        }
    }
    script.shown_name()
}

/// Whether only a call is known.
fn is_call(function: &ScriptFunction) -> bool {
    function.format == LineFormat::SpiderMonkeyCall
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_scheduled_is_the_function_that_is_around_the_call() {
        let function = |name: &str, line, format| {
            let start = SourcePosition { line, column: 1 };
            let (name, file, lines) = (name.to_owned(), "app.js".to_owned(), [].into());
            Arc::new(ScriptFunction { name, file, is_interpreters: false, start, format, lines, source_map: None })
        };
        let functions = [
            function("f/<", 10, LineFormat::SpiderMonkey),
            function("f/<", 20, LineFormat::SpiderMonkey),
            function("f/<", 9, LineFormat::SpiderMonkeyCall),
            function("f/<", 19, LineFormat::SpiderMonkeyCall),
            function("f/<", 25, LineFormat::SpiderMonkeyCall),
            function("g", 12, LineFormat::SpiderMonkeyCall),
            function("g", 14, LineFormat::SpiderMonkeyCall),
        ];
        let table = ScriptTable::new((1..).zip(functions).collect());
        let line = |at: SourcePosition| at.line;
        let found = [2, 3, 4, 5, 6, 7, 9].map(|number| {
            let found = table.find(number, 0)?;
            Some((found.number, found.start.map(line), found.at.map(line)))
        });
        let expected = [
            Some((2, Some(20), None)),
            Some((3, None, Some(9))),
            Some((1, Some(10), Some(19))),
            Some((2, Some(20), Some(25))),
            Some((6, None, Some(12))),
            Some((6, None, Some(14))),
            None,
        ];
        assert_eq!(found, expected);
    }
}
