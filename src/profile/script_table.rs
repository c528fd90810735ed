//! The functions of scripts, by their numbers.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::code::Target;
use crate::interpreters::{LineFormat, SourcePosition};
use crate::samples::ScriptFunction;
#[cfg(feature = "source-maps")]
use crate::symbols::SourceMap;

/// Functions with what they are known by.
pub(super) struct ScriptTable {
    by_number: FxHashMap<u32, Arc<ScriptFunction>>,
    /// By number of one of which only a call is known: that of the function.
    callers: FxHashMap<u32, u32>,
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
        let (calls, others): (Vec<_>, Vec<_>) = by_number.iter().partition(|(_, function)| is_call(function));
        // Where functions begin, and their numbers; in order.
        let mut starts: FxHashMap<_, Vec<(SourcePosition, u32)>> = FxHashMap::default();
        for (number, function) in others {
            starts.entry((&function.name, &function.file)).or_default().push((function.start, *number));
        }
        starts.values_mut().for_each(|functions| functions.sort_unstable());
        // Of calls of what has not run itself, the first stands for all.
        let mut first: FxHashMap<_, u32> = FxHashMap::default();
        for (number, function) in &calls {
            let first = first.entry((&function.name, &function.file)).or_insert(**number);
            *first = (*first).min(**number);
        }
        let callers = calls.iter().map(|(number, function)| {
            let name = (&function.name, &function.file);
            let around =
                starts.get(&name).and_then(|starts| starts.iter().rfind(|(start, _)| *start <= function.start));
            (**number, around.map_or(first[&name], |(_, number)| *number))
        });
        Self { callers: callers.collect(), by_number }
    }

    /// The function with a number, which is at an instruction; `None` if nothing is known of it. Of one that has only scheduled what
    /// runs, a call is known: if it has run itself, it is found by that.
    pub(super) fn find(&self, number: u32, instruction: u32) -> Option<Found> {
        let at = self.by_number.get(&number)?.position(instruction);
        let number = self.callers.get(&number).copied().unwrap_or(number);
        let function = Arc::clone(self.by_number.get(&number)?);
        let start = (!is_call(&function)).then_some(function.start);
        Some(Found { number, function, start, at })
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
        let original = |at: SourcePosition| source_map(script, target)?.original((at.line, at.column));
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
            source_map(script, target)?.name((line, column), &script.name)
        };
        if let Some(name) = target.and_then(original) {
            return name;
        }
    }
    script.shown_name()
}

#[cfg(feature = "source-maps")]
fn source_map(script: &ScriptFunction, target: Target<'_>) -> Option<SourceMap> {
    target.map().source_map(target.code(), (&script.file, script.source_map))
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
