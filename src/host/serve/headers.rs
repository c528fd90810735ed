//! Headers that every request gets: `-H`.

use anyhow::{Context as _, Result};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// Headers that replace those of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestHeaders {
    entries: Vec<(HeaderName, HeaderValue)>,
}

impl RequestHeaders {
    /// Reads `name: value`, or `@file` with one of them in each line.
    pub(super) fn parse(headers: &[String]) -> Result<Self> {
        let mut entries = Vec::new();
        for header in headers {
            let Some(path) = header.strip_prefix('@') else {
                entries.push(parse_header(header)?);
                continue;
            };
            let lines = std::fs::read_to_string(path).with_context(|| format!("reading the headers in `{path}`"))?;
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                entries.push(parse_header(line).with_context(|| format!("reading the headers in `{path}`"))?);
            }
        }
        Ok(Self { entries })
    }

    /// All that a client sent go before any is added: one may be there several times.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, _) in &self.entries {
            headers.remove(name);
        }
        for (name, value) in &self.entries {
            headers.append(name, value.clone());
        }
    }
}

fn parse_header(header: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = header.split_once(':').with_context(|| format!("the header `{header}` has no `:`"))?;
    let name = HeaderName::from_bytes(name.trim().as_bytes());
    let value = HeaderValue::from_str(value.trim_start());
    let problem = |part| format!("the header `{header}` has a {part} that HTTP does not allow");
    Ok((name.with_context(|| problem("name"))?, value.with_context(|| problem("value"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_replace_what_the_client_sent() {
        let parse = |headers: &[&str]| {
            RequestHeaders::parse(&headers.iter().map(|&header| header.to_owned()).collect::<Vec<_>>())
        };
        let headers = parse(&["a: 1", "A:2"]).expect("headers");
        let mut sent = HeaderMap::new();
        sent.insert("a", HeaderValue::from_static("0"));
        sent.insert("b", HeaderValue::from_static("3"));
        headers.apply(&mut sent);
        assert_eq!(sent.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(sent["b"], "3");
        for bad in ["a", "ü: 1", "a: x\u{7f}", ": 1", "@/nowhere/headers"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
