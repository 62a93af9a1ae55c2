//! One HTTP request to another service, bounded in time and bytes. It knows no tokens and no keys. Its errors never contain the
//! URL, which may hold a password.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use tokio::time::timeout;

/// How long a response to a GET may take, from the connection to its last byte.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections that are kept.
const IDLE: usize = 8;

/// How a redirect is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// It is not followed, so that a token is sent to the configured service alone.
    Refused,
    /// Up to three are followed, but not to another scheme.
    SameScheme,
}

/// A client for one service.
pub struct HttpClient {
    client: Client,
    url: Url,
    /// The `Host` of a GET, if it differs from that of the URL.
    host: Option<HeaderValue>,
}

/// The response of the service.
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The body, whole.
    body: Bytes,
    /// Its `Content-Encoding`, although `identity` was requested.
    encoding: Option<String>,
}

impl HttpAnswer {
    /// A response without a content encoding.
    #[cfg(test)]
    pub fn plain(status: u16, body: &[u8]) -> Self {
        Self { status, body: Bytes::copy_from_slice(body), encoding: None }
    }

    /// The size of the body, in bytes.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// The body.
    ///
    /// # Errors
    /// If it is compressed, by its header or its first bytes. Compression was not requested and is not supported.
    pub fn body(&self) -> Result<&Bytes, String> {
        let encoding = match &self.encoding {
            Some(encoding) => encoding,
            None if self.body.starts_with(&GZIP) => "gzip",
            None => return Ok(&self.body),
        };
        Err(format!(
            "an answer in the content encoding {encoding}, although the request had `Accept-Encoding: identity`"
        ))
    }
}

/// The first bytes of gzip (RFC 1952, section 2.3.1). No JSON text begins with them.
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Longest content encoding that is logged, in bytes.
const ENCODING_MAX: usize = 20;

/// The content encoding of a response; `None` for `identity`.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    let name = names.find(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))?;
    let is_plain = name.len() <= ENCODING_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Some(if is_plain { name.to_ascii_lowercase() } else { "of an unknown name".to_owned() })
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpFailure {
    /// It did not arrive within this time.
    Slow(Duration),
    /// It is longer than this, in bytes.
    TooLong(usize),
    /// The connection failed.
    Broken(String),
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(within) => write!(f, "no whole answer within {} ms", within.as_millis()),
            Self::TooLong(most) => write!(f, "an answer of more than {most} bytes"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl HttpClient {
    /// A client for `url`, which is `http` or `https`. Proxies of the environment are not used: the route to the issuer
    /// comes from the configuration alone.
    ///
    /// # Errors
    /// If `url` is malformed, or if the system has no root certificates for `https`.
    pub fn new(url: &str, redirects: Redirects) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        // One provider for the process. An existing one is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(concat!("hubbub/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(IDLE)
            .redirect(policy(redirects));
        if url.scheme() == "http" {
            // Plain HTTP needs no root certificates, and a container may have none.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| innermost(&error))?;
        Ok(Self { client, url, host: None })
    }

    /// The same client with this `Host` in its GETs.
    #[must_use]
    pub fn with_host(self, host: HeaderValue) -> Self {
        Self { host: Some(host), ..self }
    }

    /// The URL without a user name, a password, a query and a fragment.
    pub fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        // Fails only for a URL that cannot have them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }

    /// Sends a GET, with `bearer` if given. A response of more than `most` bytes is an error.
    ///
    /// # Errors
    /// See [`HttpFailure`].
    pub async fn get(&self, bearer: Option<&str>, most: usize) -> Result<HttpAnswer, HttpFailure> {
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        answer(request, TIMEOUT, most).await
    }

    /// Posts JSON to `path` below the URL, and waits up to `within` for the response.
    ///
    /// # Errors
    /// See [`HttpFailure`].
    pub async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        within: Duration,
        most: usize,
    ) -> Result<HttpAnswer, HttpFailure> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        let json = HeaderValue::from_static("application/json");
        let request = self.client.post(url).headers(headers).header(CONTENT_TYPE, json).body(body);
        answer(request, within, most).await
    }
}

/// `text` as the value of a header that no debug output shows; `None` if it cannot be one.
pub fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn answer(request: RequestBuilder, within: Duration, most: usize) -> Result<HttpAnswer, HttpFailure> {
    timeout(within, read(request, most)).await.unwrap_or(Err(HttpFailure::Slow(within)))
}

async fn read(request: RequestBuilder, most: usize) -> Result<HttpAnswer, HttpFailure> {
    let broken = |error: reqwest::Error| HttpFailure::Broken(innermost(&error));
    // Without the second header, a proxy may compress as it likes (RFC 9110, section 12.5.3).
    let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "identity");
    let mut answer = request.send().await.map_err(broken)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > most {
            return Err(HttpFailure::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpAnswer { status: answer.status().as_u16(), body: body.into(), encoding: encoding(answer.headers()) })
}

fn policy(redirects: Redirects) -> Policy {
    match redirects {
        Redirects::Refused => Policy::none(),
        Redirects::SameScheme => Policy::custom(|attempt| {
            let same = attempt.previous().last().is_some_and(|from| from.scheme() == attempt.url().scheme());
            if same && attempt.previous().len() <= 3 { attempt.follow() } else { attempt.stop() }
        }),
    }
}

/// The root cause of an error: `connection refused` and not `error sending request`.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "the request failed".into(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_answer_is_recognized_by_its_header_or_its_first_bytes() {
        let of = |values: &[&'static str], body: &[u8]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            let answer = HttpAnswer { encoding: encoding(&headers), ..HttpAnswer::plain(200, body) };
            answer.body().map(|body| body.to_vec())
        };
        for plain in [&[][..], &[""], &["identity"], &["Identity , "]] {
            assert_eq!(of(plain, b"{}"), Ok(b"{}".to_vec()), "{plain:?}");
        }
        for (values, name) in [
            (&["gzip"][..], "gzip"),
            (&["identity", "BR"], "br"),
            (&["identity, zstd"], "zstd"),
            (&["a\tb"], "of an unknown name"),
            (&["aaaaaaaaaaaaaaaaaaaaa"], "of an unknown name"),
        ] {
            let why = of(values, b"{}").unwrap_err();
            assert!(why.contains(&format!("content encoding {name}, ")), "{values:?}: {why}");
        }
        assert!(of(&[], b"\x1f\x8b\x08").unwrap_err().contains("content encoding gzip, "));
    }
}
