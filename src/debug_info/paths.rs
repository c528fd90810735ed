//! Paths of source files, as they may be shown.
//!
//! A compiler writes down where a file was on the machine that it ran on, which tells names of people and of projects. A
//! profile is made to be shared, so a path is cut to what tells the file:
//!
//! - what the user's own rules (`--path-map`) turn it into, as it is;
//! - else, what is of the Rust distribution or of a package that Cargo fetched, from there on;
//! - else, below the folder that was compiled in, from there on;
//! - else, if it is relative, as it is;
//! - else, the file, with the folder that it is in unless that is one of a user's.

use std::borrow::Cow;

/// Rules for paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathMap {
    /// What a path begins with, and what it is to begin with. The longest that fits counts.
    rules: Vec<(String, String)>,
}

impl PathMap {
    pub(crate) fn new(mut rules: Vec<(String, String)>) -> Self {
        for (from, _) in &mut rules {
            *from = normalized(from).into_owned();
        }
        rules.retain(|(from, _)| !from.is_empty());
        rules.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Self { rules }
    }

    /// What to show for `path`, which was compiled in `folder`.
    pub(super) fn shown(&self, path: &str, folder: &str) -> String {
        self.mapped(path).unwrap_or_else(|| shared_path(&normalized(path), &normalized(folder)).to_owned())
    }

    /// What the rules make of a path; `None` if there is none for it.
    pub(crate) fn mapped(&self, path: &str) -> Option<String> {
        let path = normalized(path);
        self.rules.iter().find_map(|(from, to)| {
            if (from.as_str(), to.as_str()) == ("/", "/") {
                return Some(path.clone().into_owned());
            }
            let rest = below(&path, from)?;
            Some(match (to.trim_end_matches('/'), rest) {
                ("", rest) if to.is_empty() => rest.to_owned(),
                (to, "") => to.to_owned(),
                (to, rest) => format!("{to}/{rest}"),
            })
        })
    }
}

/// The part of a path that tells the file and not the machine.
fn shared_path<'p>(path: &'p str, folder: &str) -> &'p str {
    let is_relative = !path.starts_with('/') && path.as_bytes().get(1) != Some(&b':');
    // Behind these there is the name of a registry, or the hash of a compiler.
    for known in ["/registry/src/", "/rustc/"] {
        if let Some((_, rest)) = path.split_once(known)
            && let Some((_, rest)) = rest.split_once('/')
        {
            return rest;
        }
    }
    for known in ["/rustlib/src/rust/", "/git/checkouts/"] {
        if let Some((_, rest)) = path.split_once(known) {
            return rest;
        }
    }
    // A folder that everything is below of is no place that anybody compiles in.
    let is_folder = folder.bytes().filter(|byte| *byte == b'/').count() > 1;
    if let Some(rest) = below(path, folder).filter(|rest| is_folder && !rest.is_empty()) {
        return rest;
    }
    if is_relative && !path.starts_with("../") {
        return path;
    }
    let mut from_the_end = path.rmatch_indices('/').map(|(at, _)| at + 1);
    let Some(file) = from_the_end.next() else { return path };
    let folder = from_the_end.next();
    // `/home/NAME/file` and `C:/Users/NAME/file` have two folders around the file.
    let around = path[..file].split('/').filter(|part| !part.is_empty() && !part.ends_with(':')).count();
    match folder {
        Some(folder) if around > 2 => &path[folder..],
        _ => &path[file..],
    }
}

/// What is left of `path` below `folder`, if it is.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    if rest.is_empty() || folder.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// `path` with `/` between its parts, and without the parts `.` and `..`, as far as they can be told without its files.
fn normalized(path: &str) -> Cow<'_, str> {
    let is_normal = |part: &str| !matches!(part, "." | "..");
    if !path.contains(['\\']) && path.split('/').all(is_normal) {
        return Cow::Borrowed(path);
    }
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Cow::Owned(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_tell_where_they_were_compiled() {
        let map = PathMap::default();
        for (path, folder, shown) in [
            ("/home/me/shop/src/main.rs", "/home/me/shop", "src/main.rs"),
            ("/home/me/shop/./mix.h", "/home/me/shop/", "mix.h"),
            ("/home/me/shop/build/../src/a.c", "/home/me/shop/build", "src/a.c"),
            ("/home/me/shop/build/../src/a.c", "/home/me/shop", "src/a.c"),
            ("src/main.rs", "/home/me/shop", "src/main.rs"),
            (
                "/home/me/.cargo/registry/src/index.crates.io-6f17d22bba15001f/serde-1.0.2/src/lib.rs",
                "/home/me/shop",
                "serde-1.0.2/src/lib.rs",
            ),
            ("/rustc/abcdef/library/core/src/num/mod.rs", "/rustc/abcdef", "library/core/src/num/mod.rs"),
            ("/rustc/abcdef/library/core/src/num/mod.rs", "/home/me/shop", "library/core/src/num/mod.rs"),
            (
                "/home/me/.rustup/toolchains/x/lib/rustlib/src/rust/library/std/src/io.rs",
                "/x/y",
                "library/std/src/io.rs",
            ),
            ("/opt/sdk/share/include/math.h", "/home/me/shop", "include/math.h"),
            ("/x.c", "/", "x.c"),
            ("/home/me/x.c", "/", "x.c"),
            ("/home/me/x.c", "/tmp", "x.c"),
            (r"C:\Users\me\x.c", "", "x.c"),
            ("../../other/x.c", "", "other/x.c"),
            (r"C:\work\shop\src\main.rs", r"C:\work\shop", "src/main.rs"),
            (r"C:\work\shop\src\main.rs", "", "src/main.rs"),
            ("/home/me/shopping/x.c", "/home/me/shop", "shopping/x.c"),
        ] {
            assert_eq!(map.shown(path, folder), shown, "{path} in {folder}");
        }
    }

    #[test]
    fn the_longest_rule_that_fits_counts() {
        let rules = [("/home/me", "~"), ("/home/me/shop", ""), ("/opt", "/sdk/"), ("rel", "/abs")];
        let map = PathMap::new(rules.map(|(from, to)| (from.to_owned(), to.to_owned())).to_vec());
        for (path, shown) in [
            ("/home/me/x.c", "~/x.c"),
            ("/home/me/shop/src/x.c", "src/x.c"),
            ("/home/men/shop/src/x.c", "src/x.c"),
            ("/opt/x.c", "/sdk/x.c"),
            ("rel/x.c", "/abs/x.c"),
        ] {
            assert_eq!(map.shown(path, "/nowhere/at/all"), shown, "{path}");
        }
        let all = PathMap::new(vec![("/".to_owned(), "/".to_owned())]);
        for path in ["/home/me/x.c", "../x/y.c", "x.c", "C:/work/x.c"] {
            assert_eq!(all.shown(path, "/home/me"), path);
        }
        let windows =
            PathMap::new(vec![(r"C:\work".to_owned(), "/me".to_owned()), ("./src".to_owned(), "lib".to_owned())]);
        assert_eq!(windows.shown(r"C:\work\a\x.c", ""), "/me/a/x.c");
        assert_eq!(windows.shown("./src/x.c", ""), "lib/x.c");
    }
}
