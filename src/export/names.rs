//! Ever shorter forms of a name, for a terminal: what tells least goes first, and what is left is whole.

/// The forms of a name, from the whole one to shorter ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forms {
    /// Those that leave out what tells little: versions, generic arguments, and all of a path but its last two parts.
    pub(super) gentle: Vec<String>,
    /// Those that leave out more, for when there is no room.
    pub(super) hard: Vec<String>,
    /// The first of the gentle ones that does without versions and hashes: where one row of a table has to, all do.
    pub(super) tidy: usize,
}

/// Longer names have no other forms: guests choose them, and no terminal shows so much.
const MAX_BYTES: usize = 4096;

/// Only so many of a path's last parts are in shorter forms.
const MAX_PARTS: usize = 8;

impl Forms {
    /// A name that nothing can be left out of.
    pub(super) fn whole(name: &str) -> Self {
        Self { gentle: vec![name.to_owned()], hard: Vec::new(), tidy: 0 }
    }

    /// Of a function: of a WIT interface, or of Rust or C++ with its path.
    pub(super) fn of_function(name: &str) -> Self {
        if name.len() > MAX_BYTES {
            return Self::whole(name);
        }
        if name.contains("::") || name.contains('<') { Self::of_path(name) } else { Self::of_wit(name) }
    }

    /// Of a name with WIT interfaces in it: `wasi:io/streams@0.2.6#output-stream.write (import)`.
    pub(super) fn of_wit(name: &str) -> Self {
        let mut forms = Self::whole(name);
        if name.len() > MAX_BYTES {
            return forms;
        }
        push(&mut forms.gentle, without_versions(name));
        forms.tidy = forms.gentle.len() - 1;
        push(&mut forms.hard, without_package(&without_versions(name)).to_owned());
        // Longer than the one before, so only for names that would look the same otherwise.
        push(&mut forms.hard, without_package(name).to_owned());
        forms.hard.retain(|form| !forms.gentle.contains(form));
        forms
    }

    /// Of a path of Rust or C++.
    fn of_path(name: &str) -> Self {
        let mut forms = Self::whole(name);
        let Some(parts) = path_parts(name) else { return forms };
        let last = |count: usize| parts[parts.len() - count..].join("::");
        for count in (2..=parts.len().min(MAX_PARTS)).rev() {
            push(&mut forms.gentle, last(count));
        }
        if !parts.is_empty() {
            let only = last(1);
            if forms.gentle.len() == 1 && parts.len() == 1 {
                push(&mut forms.gentle, only);
            } else {
                push(&mut forms.hard, only);
            }
        }
        forms.hard.retain(|form| !forms.gentle.contains(form));
        forms
    }

    /// Of a library: `app/app-74192236fb917229.wasm`, or the interface that an adapter is for.
    pub(super) fn of_library(name: &str) -> Self {
        let mut forms = Self::of_wit(name);
        if is_wit(name) || name.len() > MAX_BYTES {
            return forms;
        }
        let mut parts: Vec<&str> = name.split('/').map(without_hash).collect();
        parts.dedup();
        push(&mut forms.gentle, parts.join("/"));
        forms.tidy = forms.gentle.len() - 1;
        if let Some(last) = parts.last() {
            push(&mut forms.hard, (*last).to_owned());
        }
        forms.hard.retain(|form| !forms.gentle.contains(form));
        forms
    }

    /// Of a line: `src/sort/merge.rs:12`.
    pub(super) fn of_line(name: &str) -> Self {
        if name.contains("::") || is_wit(name) || !name.contains('/') || name.len() > MAX_BYTES {
            return Self::of_function(name);
        }
        let mut forms = Self::whole(name);
        let parts: Vec<&str> = name.split('/').collect();
        for count in (2..parts.len().min(MAX_PARTS + 1)).rev() {
            push(&mut forms.gentle, parts[parts.len() - count..].join("/"));
        }
        push(&mut forms.hard, parts[parts.len() - 1].to_owned());
        forms
    }

    /// A name with what it is of behind it, in brackets: that is made shorter first, and left out last.
    pub(super) fn with_detail(self, detail: &Self) -> Self {
        let both = |name: &str, detail: &str| format!("{name}  [{detail}]");
        let whole = &detail.gentle[0];
        let short = &detail.gentle[detail.gentle.len() - 1];
        let shortest = detail.hard.first().unwrap_or(short);
        let mut forms = Self::whole(&both(&self.gentle[0], whole));
        for name in &self.gentle[self.tidy..] {
            push(&mut forms.gentle, both(name, short));
            if forms.tidy == 0 {
                forms.tidy = forms.gentle.len() - 1;
            }
        }
        let last = &self.gentle[self.gentle.len() - 1];
        for name in std::iter::once(last).chain(&self.hard) {
            push(&mut forms.hard, both(name, shortest));
        }
        for name in std::iter::once(last).chain(&self.hard) {
            push(&mut forms.hard, name.clone());
        }
        forms.hard.retain(|form| !forms.gentle.contains(form));
        forms
    }

    /// All forms.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.gentle.iter().chain(&self.hard).map(String::as_str)
    }
}

/// Adds a form, unless there is nothing in it, or it is the last one again.
fn push(forms: &mut Vec<String>, form: String) {
    if !form.trim().is_empty() && forms.last() != Some(&form) {
        forms.push(form);
    }
}

/// Whether a name begins with a package and an interface of WIT.
fn is_wit(name: &str) -> bool {
    without_package(name).len() < name.len()
}

/// `streams@0.2.6` of `wasi:io/streams@0.2.6`.
fn without_package(name: &str) -> &str {
    let is_word =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let interface = name.split_once('/').and_then(|(package, interface)| {
        let (namespace, package) = package.split_once(':')?;
        (is_word(namespace) && is_word(package) && !interface.is_empty()).then_some(interface)
    });
    interface.unwrap_or(name)
}

/// `wasi:io/streams#output-stream.write` of `wasi:io/streams@0.2.6#output-stream.write`.
fn without_versions(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('@') {
        short.push_str(before);
        let is_version = after.starts_with(|char: char| char.is_ascii_digit());
        if is_version && !before.is_empty() {
            let is_in_version = |char: char| char.is_ascii_alphanumeric() || ".-+".contains(char);
            rest = after.trim_start_matches(is_in_version);
        } else {
            short.push('@');
            rest = after;
        }
    }
    short.push_str(rest);
    short
}

/// `app` of `app-74192236fb917229.wasm`: what Cargo and compilers add to a name.
fn without_hash(name: &str) -> &str {
    const MIN_HASH: usize = 8;
    let stem = name.strip_suffix(".wasm").filter(|stem| !stem.is_empty()).unwrap_or(name);
    match stem.rsplit_once('-') {
        Some((before, hash))
            if !before.is_empty() && hash.len() >= MIN_HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            before
        }
        _ => stem,
    }
}

/// The parts of a path, without generic arguments and parameters. A part that is no name, such as `{{closure}}`, is one with
/// the part before it. Nothing if brackets do not match.
fn path_parts(name: &str) -> Option<Vec<String>> {
    let mut parts: Vec<String> = Vec::new();
    // What LLVM adds to copies: `f(int) (.llvm.1234)`.
    let name = match name.rfind(" (.") {
        Some(at) if at > 0 && name.ends_with(')') => &name[..at],
        _ => name,
    };
    for (index, part) in split_path(name)?.into_iter().enumerate() {
        let short = if index == 0 { short_self(without_result(name, part)?)? } else { without_arguments(part)? };
        match parts.last_mut() {
            // `Vec::<T>::push`.
            _ if short.is_empty() => {}
            Some(last) if short.starts_with('{') => {
                last.push_str("::");
                last.push_str(&short);
            }
            _ => parts.push(short),
        }
    }
    Some(parts)
}

/// The first part of a path without the type that a function template of C++ returns: `bool js::f<int>(int)`.
fn without_result<'p>(name: &str, part: &'p str) -> Option<&'p str> {
    let is_function = name.ends_with(')') || name.ends_with(" const");
    let is_other = ["operator", "vtable ", "typeinfo ", "guard ", "virtual ", "non-virtual "];
    if !is_function || is_other.iter().any(|begin| part.starts_with(begin)) {
        return Some(part);
    }
    let depths = depths(part)?;
    // A space in front of `(` belongs to `(anonymous namespace)`.
    let last = part.rmatch_indices(' ').find(|(at, _)| depths[*at] == 0).map_or(0, |(at, _)| at + 1);
    Some(&part[last..])
}

/// Where a name is cut into parts: at each `::` outside of brackets.
fn split_path(name: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut begin = 0;
    let depths = depths(name)?;
    let bytes = name.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if depths[at] == 0 && bytes[at..].starts_with(b"::") {
            parts.push(&name[begin..at]);
            at += 2;
            begin = at;
        } else {
            at += 1;
        }
    }
    parts.push(&name[begin..]);
    Some(parts)
}

/// For each byte, how many brackets it is inside of, its own included. Nothing if brackets do not match.
fn depths(name: &str) -> Option<Vec<usize>> {
    let bytes = name.as_bytes();
    let mut open: Vec<u8> = Vec::new();
    let mut depths = Vec::with_capacity(bytes.len());
    // `operator<`, `operator>>=` and `operator->` of C++, `->` of Rust.
    let mut is_operator = false;
    for (at, byte) in bytes.iter().enumerate() {
        let before = &bytes[..at];
        if !before.last().is_some_and(|last| b"<>=-".contains(last)) {
            is_operator = before.ends_with(b"operator");
        }
        let is_arrow = *byte == b'>' && (before.ends_with(b"-") || before.ends_with(b"="));
        let closes = match byte {
            b'(' | b'[' | b'{' => {
                open.push(*byte);
                None
            }
            b'<' if !is_operator => {
                open.push(*byte);
                None
            }
            b')' => Some(b'('),
            b']' => Some(b'['),
            b'}' => Some(b'{'),
            b'>' if !is_operator && !is_arrow => Some(b'<'),
            _ => None,
        };
        depths.push(open.len());
        if let Some(opened) = closes
            && open.pop() != Some(opened)
        {
            return None;
        }
    }
    open.is_empty().then_some(depths)
}

/// A part of a path without generic arguments and parameters. `(anonymous namespace)` and `{closure#0}` are no arguments.
fn without_arguments(part: &str) -> Option<String> {
    let depths = depths(part)?;
    let mut short = String::with_capacity(part.len());
    let mut is_left_out = false;
    for (at, char) in part.char_indices() {
        let is_begin =
            depths[at] == 1 && (at == 0 || depths[at - 1] == 0 || b">)]}".contains(&part.as_bytes()[at - 1]));
        if depths[at] == 0 {
            is_left_out = false;
        } else if is_begin && "<([{".contains(char) {
            is_left_out = char == '<' || (char == '(' && !short.is_empty() && !short.ends_with(' '));
        }
        if !is_left_out {
            short.push(char);
        }
    }
    let short = short.trim_end();
    // A method of C++.
    Some(short.strip_suffix(" const").unwrap_or(short).to_owned())
}

/// The first part of a path, which may be a type: `<Vec<T> as core::fmt::Debug>` is `<Vec as Debug>`, `<a::Vec<T>>` is `Vec`.
fn short_self(part: &str) -> Option<String> {
    let Some(inside) = part.strip_prefix('<').and_then(|part| part.strip_suffix('>')) else {
        return without_arguments(part);
    };
    let depths = depths(inside)?;
    let at = inside.match_indices(" as ").find(|(at, _)| depths[*at] == 0).map(|(at, _)| at);
    Some(match at {
        Some(at) => format!("<{} as {}>", short_type(&inside[..at])?, short_type(&inside[at + 4..])?),
        None => short_type(inside)?,
    })
}

/// A type without its path.
fn short_type(name: &str) -> Option<String> {
    let words = split_words(name)?.into_iter().map(|word| {
        let parts = split_path(word)?;
        let named = parts.iter().rev().find(|part| !part.starts_with('<')).unwrap_or(&word);
        let sigil = if parts.len() > 1 {
            word.chars().take_while(|char| "&*".contains(*char)).collect()
        } else {
            String::new()
        };
        Some(format!("{sigil}{}", without_arguments(named)?))
    });
    Some(words.collect::<Option<Vec<_>>>()?.join(" "))
}

fn split_words(name: &str) -> Option<Vec<&str>> {
    let depths = depths(name)?;
    let mut words = Vec::new();
    let mut begin = 0;
    for (at, _) in name.match_indices(' ').filter(|(at, _)| depths[*at] == 0) {
        words.push(&name[begin..at]);
        begin = at + 1;
    }
    words.push(&name[begin..]);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(forms: &Forms) -> Vec<&str> {
        forms.all().collect()
    }

    #[test]
    fn what_tells_least_goes_first() {
        for (name, shorter) in [
            ("main", &[][..]),
            ("app::count_primes", &["count_primes"]),
            (
                "wasmtime::runtime::component::func::may_block",
                &["runtime::component::func::may_block", "component::func::may_block", "func::may_block", "may_block"],
            ),
            ("<T as core::any::Any>::type_id", &["<T as Any>::type_id", "type_id"]),
            (
                "<alloc::vec::Vec<u8> as std::io::Write>::write::{{closure}}",
                &["<Vec as Write>::write::{{closure}}", "write::{{closure}}"],
            ),
            ("<&mut a::b::C<d::E> as F<G>>::h", &["<&mut C as F>::h", "h"]),
            ("<a::b::C<d::E>>::f", &["C::f", "f"]),
            ("a::b::f::<core::option::Option<a::b::C>>", &["a::b::f", "b::f", "f"]),
            (
                "std::__1::vector<int, std::allocator<int>>::push_back(int const&)",
                &["std::__1::vector::push_back", "__1::vector::push_back", "vector::push_back", "push_back"],
            ),
            ("(anonymous namespace)::f(int)", &["(anonymous namespace)::f", "f"]),
            ("js::operator<<(js::A, js::B)", &["js::operator<<", "operator<<"]),
            ("C::operator->() const", &["C::operator->", "operator->"]),
            ("sort<int>(int*, int*)", &["sort"]),
            ("bool js::NativeSetProperty<(js::Q)1>(JSContext*)", &["js::NativeSetProperty", "NativeSetProperty"]),
            ("js::f(int) (.llvm.1601366654815700377)", &["js::f", "f"]),
            ("operator new(unsigned long)", &[]),
            ("broken<::name", &[]),
            (
                "wasi:io/streams@0.2.6#output-stream.write (import)",
                &[
                    "wasi:io/streams#output-stream.write (import)",
                    "streams#output-stream.write (import)",
                    "streams@0.2.6#output-stream.write (import)",
                ],
            ),
            ("run (export)", &[]),
        ] {
            let forms = Forms::of_function(name);
            assert_eq!(all(&forms)[1..], *shorter, "{name}");
        }
        for (name, shorter) in [
            ("app/app-74192236fb917229.wasm", &["app"][..]),
            ("provider/provider.wasm", &["provider"]),
            ("python/libpython3.14.so", &["libpython3.14.so"]),
            ("libc.so.6", &[]),
            (
                "demo:math/ops@0.1.0 (app -> provider)",
                &["demo:math/ops (app -> provider)", "ops (app -> provider)", "ops@0.1.0 (app -> provider)"],
            ),
            ("app/module[3]", &["module[3]"]),
        ] {
            assert_eq!(all(&Forms::of_library(name))[1..], *shorter, "{name}");
        }
        let line = Forms::of_line("a/b/c.rs:12");
        assert_eq!(all(&line), ["a/b/c.rs:12", "b/c.rs:12", "c.rs:12"]);
        let both = Forms::of_function("a::b::f").with_detail(&Forms::of_library("app/app.wasm"));
        assert_eq!(all(&both), ["a::b::f  [app/app.wasm]", "a::b::f  [app]", "b::f  [app]", "f  [app]", "b::f", "f"]);
    }

    #[test]
    fn long_names_have_few_forms() {
        for name in ["a::".repeat(350_000), "<".repeat(1 << 20), "a/".repeat(1 << 19), "@".repeat(1 << 20)] {
            for of in [Forms::of_function, Forms::of_line, Forms::of_library, Forms::of_wit] {
                assert_eq!(of(&name), Forms::whole(&name));
            }
        }
        let (path, file) = ("a::".repeat(1000), format!("{}c.rs:1", "a/".repeat(1000)));
        assert_eq!(all(&Forms::of_function(&path))[1..3], ["a::a::a::a::a::a::a::a", "a::a::a::a::a::a::a"]);
        assert_eq!(all(&Forms::of_line(&file))[1], "a/a/a/a/a/a/a/c.rs:1");
    }

    #[test]
    fn brackets_of_a_long_name_are_counted() {
        assert_eq!(depths(&"<".repeat(1 << 20)), None);
        assert!(depths(&"->".repeat(1 << 19)).is_some_and(|depths| depths.iter().all(|depth| *depth == 0)));
    }

    proptest! {
        #[test]
        fn any_name_has_forms(name in "[a-z<>(){}\\[\\]:/@.0-9 #&*ü-]{0,40}") {
            for forms in [Forms::of_function(&name), Forms::of_library(&name), Forms::of_line(&name)] {
                prop_assert_eq!(&forms.gentle[0], &name);
                prop_assert!(forms.all().skip(1).all(|form| !form.trim().is_empty() && form.len() <= name.len()), "{:?}", forms);
            }
        }
    }
}
