//! Routes: what requests are grouped by. Paths that differ in a number or an identifier only are of one route.
//!
//! Clients choose paths, so there are only so many routes, and their names are only so long.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, bail};

/// The most routes of a server; all others are [`OTHER`].
const MAX_ROUTES: usize = 1000;

/// Bytes of a route's name, and of a path.
pub(super) const MAX_NAME: usize = 200;

/// What the routes beyond the first [`MAX_ROUTES`] are called.
pub(super) const OTHER: &str = "(other)";

/// What stands for a part that differs from request to request.
const PLACEHOLDER: &str = "{}";

/// A part from this length on that is made of hexadecimal digits is a hash or a number of its own kind.
const MIN_HEX: usize = 16;

/// A part from this length on that mixes letters and digits as base64 does is an identifier.
const MIN_BASE64: usize = 20;

/// A route that the options name: `/user/{id}/orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutePattern {
    text: String,
    parts: Vec<PatternPart>,
}

/// What a part of a path has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    Exactly(String),
    Anything,
    /// Whatever follows, be it several parts.
    Rest,
}

impl RoutePattern {
    /// Reads a path in which `{name}` stands for any one part, and `{name...}` at its end for all that follow.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some(path) = text.strip_prefix('/') else { bail!("a route begins with `/`") };
        if text.len() > MAX_NAME {
            bail!("a route has at most {MAX_NAME} bytes");
        }
        let last = path.split('/').count() - 1;
        let part = |(number, part): (usize, &str)| {
            Ok(match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) if name.ends_with("...") && number == last => PatternPart::Rest,
                Some(name) if !name.contains(['{', '}', '.']) => PatternPart::Anything,
                None if !part.contains(['{', '}']) => PatternPart::Exactly(part.to_owned()),
                _ => bail!(
                    "`{part}` is no part of a route: `{{name}}` is a whole part between `/`, and `{{name...}}` the last one"
                ),
            })
        };
        let parts = path.split('/').enumerate().map(part).collect::<Result<_>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }

    fn matches(&self, path: &str) -> bool {
        let mut given = path.strip_prefix('/').unwrap_or(path).split('/');
        for part in &self.parts {
            match (part, given.next()) {
                (PatternPart::Rest, Some(_)) => return true,
                (PatternPart::Anything, Some(given)) if !given.is_empty() => {}
                (PatternPart::Exactly(part), Some(given)) if part == given => {}
                _ => return false,
            }
        }
        given.next().is_none()
    }
}

/// The route of a path: the first of `patterns` that it matches, else the path with its identifiers left out.
pub(super) fn route_of(patterns: &[RoutePattern], path: &str) -> Route {
    let pattern = patterns.iter().find(|pattern| pattern.matches(path));
    pattern.map_or_else(|| Route::Found(grouped(path)), |pattern| Route::Given(pattern.text.clone()))
}

/// What requests are counted as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The options name it, so it is never one of the others.
    Given(String),
    /// It was made of a path, of which clients can send any number.
    Found(String),
}

/// The methods that HTTP has (RFC 9110 and 5789); clients may invent more.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The routes that have been asked for, and what is kept of each.
#[derive(Debug)]
pub(super) struct Routes<V>(HashMap<Arc<str>, V>);

impl<V> Default for Routes<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Clone> Routes<V> {
    /// The name of requests by `method` for `route`, and what is kept of them: `make` makes it of a method and a route, once.
    pub(super) fn entry(&mut self, method: &str, route: &Route, make: impl FnOnce(&str, &str) -> V) -> (Arc<str>, V) {
        let method = if METHODS.contains(&method) { method } else { OTHER };
        let (Route::Given(text) | Route::Found(text)) = route;
        let is_given = matches!(route, Route::Given(_));
        let name = format!("{method} {text}");
        if is_given || self.0.contains_key(name.as_str()) || self.0.len() < MAX_ROUTES {
            self.known(name, || make(method, text))
        } else {
            self.known(OTHER.to_owned(), || make(OTHER, OTHER))
        }
    }

    /// All of them, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    fn known(&mut self, name: String, make: impl FnOnce() -> V) -> (Arc<str>, V) {
        if let Some((name, value)) = self.0.get_key_value(name.as_str()) {
            return (Arc::clone(name), value.clone());
        }
        let (name, value): (Arc<str>, V) = (name.into(), make());
        self.0.insert(Arc::clone(&name), value.clone());
        (name, value)
    }
}

/// The path with a placeholder for each part that is a number or an identifier.
fn grouped(path: &str) -> String {
    // What comes later is cut off anyway, and a placeholder is shorter than what it stands for.
    let mut route = String::new();
    for (number, part) in path.split('/').enumerate() {
        if number > 0 {
            route.push('/');
        }
        route.push_str(if is_identifier(part) { PLACEHOLDER } else { part });
        if route.len() > MAX_NAME {
            break;
        }
    }
    shortened(&route)
}

/// Whether a part of a path is one of many: a number, a UUID, a hash, or another long identifier.
fn is_identifier(part: &str) -> bool {
    let bytes = part.as_bytes();
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let digits = count(u8::is_ascii_digit);
    is_number(part)
        || is_uuid(bytes)
        || (bytes.len() >= MIN_HEX && count(u8::is_ascii_hexdigit) == bytes.len())
        || is_ulid(bytes, digits)
        || is_base64(bytes, digits)
}

/// `7`, `-7` or `7.5`, but not `v7`.
fn is_number(part: &str) -> bool {
    let number = part.strip_prefix('-').unwrap_or(part);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && is_digits(fraction)
}

/// `123e4567-e89b-12d3-a456-426614174000`
fn is_uuid(part: &[u8]) -> bool {
    part.len() == 36
        && part.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `01ARZ3NDEKTSV4RRFFQ69G5FAV`: 26 characters of Crockford's base32, the first of which tells a time of this age.
fn is_ulid(part: &[u8], digits: usize) -> bool {
    let is_symbol = |byte: &u8| byte.is_ascii_alphanumeric() && !b"ILOU".contains(&byte.to_ascii_uppercase());
    part.len() == 26 && digits > 1 && part[0].is_ascii_digit() && part.iter().all(is_symbol)
}

/// A long part of base64, in either alphabet. Words have no digits between letters of both cases.
fn is_base64(part: &[u8], digits: usize) -> bool {
    let content = part.len() - part.iter().rev().take_while(|byte| **byte == b'=').count();
    let is_symbol = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+".contains(byte);
    let has = |is: fn(&u8) -> bool| part.iter().any(is);
    part.len() >= MIN_BASE64
        && part[..content].iter().all(is_symbol)
        && digits >= 2
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
}

/// The beginning of a text, which says that it is one.
pub(super) fn shortened(text: &str) -> String {
    if text.len() <= MAX_NAME {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_NAME)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_identifiers_are_placeholders_and_words_are_not() {
        for (path, route) in [
            ("/", "/"),
            ("", ""),
            ("*", "*"),
            ("/user/1/orders", "/user/{}/orders"),
            ("/user/300/orders/", "/user/{}/orders/"),
            ("/at/-12.5/7", "/at/{}/{}"),
            ("/2024/11/26", "/{}/{}/{}"),
            ("/v1/users", "/v1/users"),
            ("/api/v2.1/x86_64", "/api/v2.1/x86_64"),
            ("/item/123e4567-e89b-12d3-a456-426614174000", "/item/{}"),
            ("/item/123E4567-E89B-12D3-A456-426614174000/x", "/item/{}/x"),
            ("/commit/d670460b4b4aece5", "/commit/{}"),
            ("/commit/d670460b4b4aece5915caf5c68d12f560a9fe3e4", "/commit/{}"),
            ("/cafe/deadbeef", "/cafe/deadbeef"),
            ("/order/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/order/{}"),
            ("/order/01arz3ndektsv4rrffq69g5fav", "/order/{}"),
            ("/video/dQw4w9WgXcQdQw4w9WgXcQ", "/video/{}"),
            ("/session/SGVsbG8gd29ybGQhMTIzNA==", "/session/{}"),
            ("/blog/a-very-long-title-of-a-post-2024", "/blog/a-very-long-title-of-a-post-2024"),
            ("/static/chunk.js", "/static/chunk.js"),
            ("/getAccountInformationOfUsers", "/getAccountInformationOfUsers"),
            ("/.", "/."),
            ("/-", "/-"),
            ("//1//", "//{}//"),
            ("/ü/1", "/ü/{}"),
        ] {
            assert_eq!(grouped(path), route, "{path}");
        }
    }

    #[test]
    fn patterns_say_exactly_which_parts_differ() {
        let pattern = |text| RoutePattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for (text, path, is_match) in [
            ("/user/{id}/orders", "/user/anna/orders", true),
            ("/user/{id}/orders", "/user/anna/orders/1", false),
            ("/user/{id}/orders", "/user//orders", false),
            ("/user/{id}", "/user/anna/", false),
            ("/files/{path...}", "/files/a/b/c", true),
            ("/files/{path...}", "/files", false),
            ("/{}", "/x", true),
            ("/", "/", true),
            ("/", "/x", false),
            ("/v1", "/v1", true),
        ] {
            assert_eq!(pattern(text).matches(path), is_match, "{text} {path}");
        }
        for bad in ["", "user", "/a{id}", "/{id", "/{a...}/b", "/{{}}", &format!("/{}", "x".repeat(MAX_NAME))] {
            assert!(RoutePattern::parse(bad).is_err(), "{bad}");
        }
        // The first that matches counts, and comes before the grouping.
        let patterns = [pattern("/user/me"), pattern("/user/{name}")];
        assert_eq!(route_of(&patterns, "/user/me"), Route::Given("/user/me".to_owned()));
        assert_eq!(route_of(&patterns, "/user/7"), Route::Given("/user/{name}".to_owned()));
        assert_eq!(route_of(&patterns, "/order/7"), Route::Found("/order/{}".to_owned()));
    }

    #[test]
    fn there_are_only_so_many_routes() {
        let mut routes = Routes::default();
        let mut name = |method: &str, route: &str| {
            let route = Route::Found(route.to_owned());
            let (name, value) = routes.entry(method, &route, |method, route| format!("{method}+{route}"));
            (name.to_string(), value)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for number in 0..MAX_ROUTES {
            name("GET", &format!("/x{number}"));
        }
        let other = pair("(other)", "(other)+(other)");
        assert_eq!(name("GET", "/one-more"), other);
        assert_eq!(name("POST", "/x0"), other);
        assert_eq!(name("GET", "/x0"), pair("GET /x0", "GET+/x0"), "what is there stays");
        assert_eq!(routes.0.len(), MAX_ROUTES + 1);
        // A scanner of paths does not take the place of those that the options name, nor does one of methods.
        let given = Route::Given("/user/{id}".to_owned());
        assert_eq!(&*routes.entry("GET", &given, |_, _| String::new()).0, "GET /user/{id}");
        let invented = ["X-1", "X-2"].map(|method| routes.entry(method, &given, |_, _| String::new()).0);
        assert_eq!(invented.map(|name| name.to_string()), ["(other) /user/{id}", "(other) /user/{id}"]);
    }

    #[test]
    fn long_paths_are_cut_between_characters() {
        assert_eq!(shortened("/cart"), "/cart");
        let cut = shortened(&format!("/{}", "ü".repeat(MAX_NAME)));
        assert!(cut.len() <= MAX_NAME + "…".len() && cut.ends_with("ü…"), "{cut}");
    }

    proptest! {
        #[test]
        fn any_path_has_a_route_of_bounded_length(path in "\\PC{0,400}") {
            let route = grouped(&path);
            prop_assert!(route.len() <= MAX_NAME + "…".len());
            // Grouping is done once and for all.
            if route.len() <= MAX_NAME {
                prop_assert_eq!(grouped(&route), route);
            }
        }

        #[test]
        fn a_number_makes_no_route(before in "/[a-z]{1,10}", numbers in any::<(u64, u64)>(), after in "[a-z]{0,10}") {
            let route = |number: u64| grouped(&format!("{before}/{number}/{after}"));
            prop_assert_eq!(route(numbers.0), route(numbers.1));
        }
    }
}
