//! Source maps: which place in which source a place in a bundled or compiled script comes from.

use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;
use sourcemap::DecodedMap;

use crate::component::{Code, initial_bytes};
use crate::error::{Error, Result};
use crate::lock::lock;

/// Which source a place in a script comes from: what bundlers, minifiers and compilers of TypeScript write beside what they make
/// ([ECMA-426](https://tc39.es/ecma426/)).
///
/// ```
/// # use witprof::{SourceMap, SymbolMap};
/// # fn example(component: &wasmtime::component::Component, json: &[u8]) -> witprof::Result<SymbolMap> {
/// let source_map = SourceMap::parse(json)?.for_script("app.js");
/// SymbolMap::builder("shop").source_map(source_map).build(component)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SourceMap {
    /// The script that it is for, by the end of its path.
    script: Option<String>,
    /// Whether somebody has said that it is for that one, and no other.
    is_for_one: bool,
    map: Arc<DecodedMap>,
}

/// A place in a file: its line and column, from 1 on. A column of 0 is not known.
pub(crate) type LineAndColumn = (u32, u32);

impl SourceMap {
    /// Reads a source map. It is for the script that it names itself, if it does.
    ///
    /// # Errors
    /// [`Error::SourceMap`] if it is none.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let map = sourcemap::decode_slice(json).map_err(|error| Error::SourceMap { problem: error.to_string() })?;
        Ok(Self::of(map))
    }

    fn of(map: DecodedMap) -> Self {
        let script = match &map {
            DecodedMap::Regular(map) => map.get_file(),
            DecodedMap::Index(map) => map.get_file(),
            DecodedMap::Hermes(map) => map.get_file(),
        };
        let script = script.filter(|script| !script.is_empty()).map(str::to_owned);
        Self { script, is_for_one: false, map: Arc::new(map) }
    }

    /// The source map that is in a URL itself.
    fn in_url(url: &str) -> Option<Self> {
        sourcemap::decode_data_url(url).ok().map(Self::of)
    }

    /// Says which script it is for: one whose path is this, or ends with this behind a `/`.
    #[must_use]
    pub fn for_script(self, path: &str) -> Self {
        Self { script: Some(path.to_owned()), is_for_one: true, ..self }
    }

    /// The same, unless it names its script itself.
    #[must_use]
    pub fn or_for_script(self, path: &str) -> Self {
        Self { script: self.script.or_else(|| Some(path.to_owned())), ..self }
    }

    /// The script that it is for, if that is known.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        self.script.as_deref()
    }

    /// Whether it is for the script with this path. componentize-js calls a source that it got without a name `source.js`, so that may be
    /// any.
    fn is_for(&self, path: &str) -> bool {
        const WITHOUT_A_NAME: &str = "source.js";
        let is_end = |script: &str| {
            let before = path.strip_suffix(script.trim_start_matches("./"));
            before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
        };
        path == WITHOUT_A_NAME && !self.is_for_one || self.script.as_deref().is_some_and(is_end)
    }

    /// Where a place comes from.
    pub(crate) fn original(&self, at: LineAndColumn) -> Option<(String, LineAndColumn)> {
        let token = self.token(at)?;
        // The way there, from where a bundle was written, says nothing.
        let mut source = token.get_source()?;
        while let Some(rest) = source.strip_prefix("./").or_else(|| source.strip_prefix("../")) {
            source = rest;
        }
        Some((source.to_owned(), (token.get_src_line().checked_add(1)?, token.get_src_col().checked_add(1)?)))
    }

    /// What a function was called, whose parameters begin at a place. Only if its name stands directly before them, so that it is no
    /// other name.
    pub(crate) fn name(&self, (line, column): LineAndColumn, name: &str) -> Option<String> {
        let before = column.checked_sub(u32::try_from(name.encode_utf16().count()).ok()?)?;
        let token = self.token((line, before)).filter(|token| token.get_dst_col().checked_add(1) == Some(before))?;
        token.get_name().filter(|original| !original.is_empty()).map(str::to_owned)
    }

    fn token(&self, (line, column): LineAndColumn) -> Option<sourcemap::Token<'_>> {
        // Without a column, the first that the line has will do.
        let (line, column) = (line.checked_sub(1)?, column.saturating_sub(1));
        self.map.lookup_token(line, column).filter(|token| token.get_dst_line() == line)
    }
}

/// The source maps of the scripts of a component.
#[derive(Debug, Default)]
pub(super) struct SourceMaps {
    /// Those that were given, the last first.
    given: Vec<SourceMap>,
    /// Those that scripts have in themselves, by where in the memory that is.
    inline: Mutex<FxHashMap<(u32, u32), Option<SourceMap>>>,
}

/// The longest URL that is looked at, in bytes.
const MAX_URL: u32 = 256 << 20;

impl SourceMaps {
    pub(super) fn new(given: Vec<SourceMap>) -> Self {
        Self { given: given.into_iter().rev().collect(), inline: Mutex::default() }
    }

    /// The source map of a script. `url` is where its address of one is in the memory, and how many bytes that has.
    pub(super) fn of(&self, code: Option<&Code>, (path, url): (&str, Option<(u32, u32)>)) -> Option<SourceMap> {
        let given = self.given.iter().find(|map| map.is_for(path)).cloned();
        given.or_else(|| self.inline(code, url?))
    }

    /// The source map that a script has in itself. The script was in the memory when the component was made, and is there in the same
    /// place.
    fn inline(&self, code: Option<&Code>, (at, length): (u32, u32)) -> Option<SourceMap> {
        if let Some(known) = lock(&self.inline).get(&(at, length)) {
            return known.clone();
        }
        let read = |bytes: &[u8]| {
            let (units, rest) = bytes.as_chunks();
            let text = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)));
            let text: String = text.collect::<std::result::Result<_, _>>().ok().filter(|_| rest.is_empty())?;
            SourceMap::in_url(text.strip_suffix('\0')?)
        };
        let found =
            (length <= MAX_URL).then_some(code).flatten().and_then(|code| initial_bytes(code, at, length, read));
        lock(&self.inline).insert((at, length), found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Line 1 of what was made: from column 1 on line 3 of `a.ts`, from column 9 on line 7, column 5, of `b.ts`. Line 2 is of nobody.
    const MAP: &str = r#"{"version": 3, "file": "app.js", "sources": ["src/a.ts", "src/b.ts"], "names": [],
        "mappings": "AAEA,QCII;"}"#;

    #[test]
    fn places_come_from_sources() {
        let map = SourceMap::parse(MAP.as_bytes()).expect("a source map");
        assert_eq!(map.script(), Some("app.js"));
        let a = Some(("src/a.ts".to_owned(), (3, 1)));
        let b = Some(("src/b.ts".to_owned(), (7, 5)));
        let places = [(1, 1), (1, 8), (1, 9), (1, 900), (1, 0), (2, 1), (0, 1)];
        assert_eq!(places.map(|at| map.original(at)), [a.clone(), a.clone(), b.clone(), b, a, None, None]);
    }

    #[test]
    fn a_name_counts_only_directly_before_the_parameters() {
        // `function r(n)` on line 1, where `r`, in column 10, was `work`.
        let json = r#"{"version": 3, "sources": ["a.ts"], "names": ["work"], "mappings": "AAAA,SAASA"}"#;
        let map = SourceMap::parse(json.as_bytes()).expect("a source map");
        let names = [(11, "r"), (12, "r"), (12, "ro"), (10, "r"), (1, "r"), (0, "")];
        let found = names.map(|(column, name)| map.name((1, column), name));
        let work = Some("work".to_owned());
        assert_eq!(found, [work.clone(), None, work, None, None, None]);
    }

    #[test]
    fn a_map_is_for_the_script_that_it_names() {
        let map = SourceMap::parse(MAP.as_bytes()).expect("a source map");
        let is_for = |map: &SourceMap| {
            ["app.js", "dist/app.js", "/app.js", "myapp.js", "app.js.map", "source.js", "lib/source.js"]
                .map(|path| map.is_for(path))
        };
        assert_eq!(is_for(&map), [true, true, true, false, false, true, false]);
        assert_eq!(map.clone().or_for_script("other.js").script(), Some("app.js"));
        assert_eq!(is_for(&map.clone().for_script("app.js")), [true, true, true, false, false, false, false]);
        assert_eq!(is_for(&map.for_script("./lib/source.js")), [false, false, false, false, false, false, true]);
    }

    #[test]
    fn what_is_no_source_map_is_refused() {
        for json in ["", "{}x", "[]", r#"{"version": 3, "sources": [], "names": [], "mappings": "!"}"#] {
            assert!(matches!(SourceMap::parse(json.as_bytes()), Err(Error::SourceMap { .. })), "{json}");
        }
    }

    #[test]
    fn urls_may_have_it_in_themselves() {
        let url = "data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbImEudHMiXSwibmFtZXMiOltdLCJtYXBwaW5ncyI6IkFBQUEifQ==";
        let map = SourceMap::in_url(url).expect("a source map");
        assert_eq!(map.original((1, 1)), Some(("a.ts".to_owned(), (1, 1))));
        for other in ["app.js.map", "data:application/json;base64,e", "data:text/plain;base64,e30=", ""] {
            assert!(SourceMap::in_url(other).is_none(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_mappings_do_no_harm(mappings in "[A-Za-z0-9+/,;]{0,60}", line: u32, column: u32) {
            let json = MAP.replace("AAEA,QCII;", &mappings);
            if let Ok(map) = SourceMap::parse(json.as_bytes()) {
                let _ = (map.original((line, column)), map.name((line, column), "f"));
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes: Vec<u8>, url in "data:application/json;base64,[A-Za-z0-9+/=]{0,60}") {
            let _ = (SourceMap::parse(&bytes), SourceMap::in_url(&url));
        }
    }
}
