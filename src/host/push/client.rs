//! One request to a collector.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 1 << 16;

/// The longest that a collector may have us wait.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// Where requests go, and what they have in common.
#[derive(Clone, Debug)]
pub(super) struct Target {
    uri: Uri,
    headers: HeaderMap,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was taken, with these words.
    Taken(Bytes),
    /// It was not taken, for this reason, and never will be.
    Refused(String),
    /// It may be taken later; after this time, if that was said.
    Later(String, Option<Duration>),
}

impl Target {
    /// `path` is below `base`, which may have a path of its own, and a user with a password.
    pub(super) fn new(base: &str, path: &str, content_type: &'static str, headers: &[String]) -> Result<Self> {
        let uri: Uri = base.parse().with_context(|| format!("reading the address `{base}`"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            bail!("the address `{base}` does not begin with `http://` or `https://`");
        }
        let authority = uri.authority().with_context(|| format!("the address `{base}` names no host"))?.as_str();
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let path = format!("{}/{path}", uri.path().trim_end_matches('/'));
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build()?;
        let mut all = HeaderMap::new();
        all.insert(header::HOST, HeaderValue::from_str(host)?);
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        all.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        all.insert(header::USER_AGENT, HeaderValue::from_static(concat!("witprof/", env!("CARGO_PKG_VERSION"))));
        if let Some(user) = user {
            let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(user.as_bytes())))?;
            value.set_sensitive(true);
            all.insert(header::AUTHORIZATION, value);
        }
        for text in headers {
            let (name, value) = text.split_once(':').ok_or_else(|| anyhow!("a header is `NAME: VALUE`"))?;
            let name: HeaderName = name.trim().parse().context("reading the name of a header")?;
            let mut value = HeaderValue::from_str(value.trim()).context("reading the value of a header")?;
            value.set_sensitive(true);
            all.insert(name, value);
        }
        Ok(Self { uri, headers: all })
    }

    /// The address for a message, without a password.
    pub(super) fn shown(&self) -> String {
        self.uri.to_string()
    }

    /// Sends a body that is compressed with gzip.
    pub(super) async fn post(&self, body: Bytes) -> Outcome {
        match tokio::time::timeout(TIMEOUT, self.exchange(body)).await {
            Ok(Ok((status, wait, answer))) => outcome(status, wait, answer),
            Ok(Err(error)) => {
                let is_wrong = matches!(
                    error.downcast_ref::<wasmtime_wasi_http::Error>(),
                    Some(
                        wasmtime_wasi_http::Error::HttpRequestUriInvalid
                            | wasmtime_wasi_http::Error::InvalidDnsNameError(_)
                    )
                );
                let problem = format!("{error:#}");
                if is_wrong { Outcome::Refused(problem) } else { Outcome::Later(problem, None) }
            }
            Err(_) => Outcome::Later(format!("no answer within {TIMEOUT:?}"), None),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<(StatusCode, Option<Duration>, Bytes)> {
        let mut request = Request::post(self.uri.clone()).body(Full::new(body).map_err(|never| match never {}))?;
        *request.headers_mut() = self.headers.clone();
        let (response, connection) = wasmtime_wasi_http::default_send_request(request, None).await?;
        let (head, body) = response.into_parts();
        // Drives the connection, while its answer is read and no longer.
        let body = Limited::new(body, MAX_ANSWER).collect();
        let body = tokio::select! {
            biased;
            body = body => body.map_err(|error| anyhow!("reading the answer: {error}"))?.to_bytes(),
            _ = connection => Bytes::new(),
        };
        let wait = head.headers.get(header::RETRY_AFTER).and_then(|value| wait_of(value.to_str().ok()?.trim()));
        Ok((head.status, wait, body))
    }
}

/// The time that `Retry-After` says: seconds, or until when.
fn wait_of(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

/// What an answer means: which can be tried again, <https://opentelemetry.io/docs/specs/otlp/#failures> says.
fn outcome(status: StatusCode, wait: Option<Duration>, answer: Bytes) -> Outcome {
    if status.is_success() {
        return Outcome::Taken(answer);
    }
    let text = words_of(&answer);
    let problem = if text.is_empty() { status.to_string() } else { format!("{status}: {text}") };
    match status.as_u16() {
        429 | 502 | 503 | 504 => Outcome::Later(problem, wait.map(|wait| wait.min(MAX_WAIT))),
        _ => Outcome::Refused(problem),
    }
}

/// What an answer says, binary as it may be or a page: its beginning and its end, where some have the reason.
pub(super) fn words_of(answer: &[u8]) -> String {
    const KEPT: usize = 200;
    let text: Vec<char> = String::from_utf8_lossy(answer).chars().filter(|char| !char.is_control()).collect();
    let words: String = if text.len() <= 2 * KEPT {
        text.into_iter().collect()
    } else {
        text[..KEPT].iter().chain(&['…']).chain(&text[text.len() - KEPT..]).collect()
    };
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_put_together() {
        let target = |base: &str| Target::new(base, "v1development/profiles", "application/x-protobuf", &[]);
        for (base, shown) in [
            ("http://c:4318", "http://c:4318/v1development/profiles"),
            ("http://c:4318/", "http://c:4318/v1development/profiles"),
            ("https://c/a/b", "https://c/a/b/v1development/profiles"),
            ("http://user:word@c", "http://c/v1development/profiles"),
        ] {
            assert_eq!(target(base).expect(base).shown(), shown);
        }
        for bad in ["", "c:4318", "/x", "ftp://c", "http://"] {
            assert!(target(bad).is_err(), "{bad}");
        }
        let with_user = target("http://user:word@c").expect("an address");
        assert_eq!(with_user.headers[header::AUTHORIZATION], "Basic dXNlcjp3b3Jk");
        assert!(!format!("{with_user:?}").contains("dXNlcjp3b3Jk"), "secrets are not told");
        assert!(Target::new("http://c", "x", "y", &["no colon".to_owned()]).is_err());
    }

    #[test]
    fn what_may_be_tried_again_is_told_from_what_may_not() {
        let of = |status: u16, wait| {
            let answer = Bytes::from_static(b"<b>\x1b[1m");
            outcome(StatusCode::from_u16(status).expect("a status"), wait, answer)
        };
        assert!(matches!(of(200, None), Outcome::Taken(_)));
        for status in [429, 502, 503, 504] {
            assert!(matches!(of(status, None), Outcome::Later(_, None)), "{status}");
        }
        for status in [400, 401, 404, 408, 413, 415, 500] {
            assert!(matches!(of(status, None), Outcome::Refused(problem) if !problem.contains('\u{1b}')), "{status}");
        }
        let words = words_of(format!("begin{}end", "x".repeat(1000)).as_bytes());
        assert!(words.starts_with("begin") && words.ends_with("end") && words.chars().count() == 401, "{words}");
        assert_eq!((wait_of("3"), wait_of("soon")), (Some(Duration::from_secs(3)), None));
        assert_eq!(wait_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let long = Duration::from_secs(1 << 40);
        assert!(matches!(of(503, Some(long)), Outcome::Later(_, Some(wait)) if wait == MAX_WAIT));
    }
}
