//! Request heads, pure: the end of a head, the framing of its body, and the head for actix-http.
//!
//! Heads are parsed with httparse, like in actix-http and by the same rules. Heads that actix-http would refuse are
//! refused here, so that every refusal has a body and a request id. Offers to upgrade to anything but a WebSocket are
//! removed, because actix-http's encoder would repeat them in its response (RFC 9110 section 7.8 allows a server to
//! ignore them).

use std::borrow::Cow;
use std::mem::MaybeUninit;

use actix_http::{Method, Uri};
use hubbub_actors::model::fault::{Code, Fault};

use crate::peer::BasePath;

/// Longest request head, in bytes. A longer one is answered with 431.
pub const HEAD_MAX: usize = 32_768;

/// Longest request target, in bytes. A longer one is answered with 414.
pub const TARGET_MAX: usize = 16_384;

/// Most header lines of a request. More are answered with 431.
pub const HEADERS_MAX: usize = 96;

/// Most `Connection` options that are read. Four are in use.
const OPTIONS_MAX: usize = 16;

/// The routes that accept a WebSocket.
const WEBSOCKET_ROUTES: [&str; 2] = ["/ws", "/socket.io"];

/// The framing of a body (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// This many bytes, at least one.
    Counted(u64),
    /// Chunks.
    Chunked,
}

/// A whole request head.
#[derive(Debug, PartialEq, Eq)]
pub struct HttpHead {
    /// Its length in the input, bytes.
    pub length: usize,
    /// The head for actix-http, if it differs from the input.
    pub rewritten: Option<Vec<u8>>,
    /// The framing of its body.
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// It offers a WebSocket at a route that accepts one.
    pub upgrades: bool,
    /// No further request follows on this connection.
    pub is_last: bool,
}

/// Like [`parse_under`], without a base path.
///
/// # Errors
/// As [`parse_under`].
pub fn parse(input: &[u8]) -> Result<Option<HttpHead>, Fault> {
    parse_under(&BasePath::default(), input)
}

/// Parses the head at the start of `input`; `None` if it is incomplete. The routes are under `base`.
///
/// # Errors
/// The fault to answer with. The rest of the connection's input is invalid then.
pub fn parse_under(base: &BasePath, input: &[u8]) -> Result<Option<HttpHead>, Fault> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large("The request has too many header lines")),
        Err(error) => return Err(malformed(format!("The request head is not HTTP/1.1: {error}"))),
    };
    if !has_end(input.get(..length).unwrap_or_default(), &mut 0)? {
        return Err(malformed("The request head does not end with an empty line"));
    }
    if length > HEAD_MAX {
        return Err(head_too_large());
    }
    let head = HeadFields {
        method: request.method.unwrap_or_default(),
        target: request.path.unwrap_or_default(),
        is_1_1: request.version == Some(1),
        headers: request.headers,
    };
    head.check_request_line()?;
    let framing = head.framing()?;
    head.check_host()?;
    let tokens = head.connection_tokens();
    let has = |name: &str| tokens.iter().any(|token| token.eq_ignore_ascii_case(name));
    let upgrades = head.offers_websocket(base, framing) && has("upgrade");
    let expects_continue = head.is_1_1 && framing != Framing::None && head.expects_continue();
    Ok(Some(HttpHead {
        length,
        rewritten: head.needs_rewrite(&tokens).then(|| head.rewrite(&tokens, upgrades)),
        framing,
        expects_continue,
        upgrades,
        is_last: has("close") || (!head.is_1_1 && !has("keep-alive")),
    }))
}

/// Whether `Host` is the last header line of a whole head, as in upgrade requests of Node.js programs.
pub fn is_host_last(head: &[u8]) -> bool {
    let mut lines = head.trim_ascii_end().rsplit(|byte| *byte == b'\n');
    lines.next().and_then(|line| line.get(..5)).is_some_and(|name| name.eq_ignore_ascii_case(b"Host:"))
}

/// Whether `input` contains the end of a head, an empty line. Starts at `scanned` and advances it.
///
/// # Errors
/// A line ends with a bare LF, which not every implementation accepts as a line end (RFC 9112 section 2.2).
pub fn has_end(input: &[u8], scanned: &mut usize) -> Result<bool, Fault> {
    while let Some(found) = memchr::memchr(b'\n', input.get(*scanned..).unwrap_or_default()) {
        let line_end = *scanned + found;
        let before = input.get(..line_end).unwrap_or_default();
        if !before.ends_with(b"\r") {
            return Err(malformed("A line of the request head does not end with CRLF"));
        }
        if before.ends_with(b"\r\n\r") {
            return Ok(true);
        }
        *scanned = line_end + 1;
    }
    *scanned = input.len();
    Ok(false)
}

/// Checks an incomplete head.
///
/// # Errors
/// The fault to answer with, if the head cannot become valid.
pub fn check_partial(input: &[u8]) -> Result<(), Fault> {
    // A method is a token (RFC 9110 section 9.1). TLS and other protocols fail at their first byte.
    if input.first().is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~\r".contains(byte)) {
        return Err(malformed("The request does not begin with a method: this is an HTTP port"));
    }
    let target = input.split(|byte| matches!(byte, b' ' | b'\r')).nth(1).unwrap_or_default();
    if target.len() > TARGET_MAX {
        return Err(target_too_long());
    }
    if input.len() > HEAD_MAX { Err(head_too_large()) } else { Ok(()) }
}

/// Whether the input of a refused head is HTTP: its first line contains an HTTP version. TLS and other protocols have
/// none.
pub fn is_http(input: &[u8]) -> bool {
    let line = first_line(input).trim_ascii_end();
    line.rsplit(|byte| *byte == b' ').next().is_some_and(|word| word.starts_with(b"HTTP/")) && line.contains(&b' ')
}

/// The first line that is not empty.
fn first_line(input: &[u8]) -> &[u8] {
    input.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default()
}

/// The stand-in for a refused request, which the application answers with the fault. It keeps the properties that
/// affect the response: HEAD or not, a path under `/api` of `base` or not, the request id and the origin.
pub fn stand_in(base: &BasePath, input: &[u8]) -> Vec<u8> {
    let mut words = first_line(input).split(|byte| *byte == b' ');
    let method = if words.next() == Some(b"HEAD") { "HEAD" } else { "GET" };
    let target = words.next().and_then(|target| target.strip_prefix(base.as_str().as_bytes()));
    let route = if target.is_some_and(|route| route.starts_with(b"/api/")) { "/api/" } else { "/" };
    let mut head = format!("{method} {base}{route} HTTP/1.1\r\nHost: -\r\nConnection: close\r\n").into_bytes();
    for name in ["x-request-id", "origin"] {
        if let Some(value) = find_header(input, name) {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The value of the first line `name: …`, visible ASCII only, of a head that may be malformed elsewhere.
fn find_header<'a>(input: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let lines = input.split(|byte| *byte == b'\n').skip(1);
    let mut values = lines.filter_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| value.strip_prefix(b":"))?
    });
    values.next().map(<[u8]>::trim_ascii).filter(|value| value.len() <= 256 && value.iter().all(u8::is_ascii_graphic))
}

/// The fault of a head that missed its deadline.
pub fn too_slow() -> Fault {
    Fault::new(Code::RequestTimeout, "The request head did not arrive in time").by("server.head_secs")
}

fn malformed(message: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(Code::InvalidRequest, message)
}

fn too_large(message: &'static str) -> Fault {
    Fault::new(Code::HeadersTooLarge, message)
}

fn head_too_large() -> Fault {
    too_large("The request head is longer than 32768 bytes")
}

fn target_too_long() -> Fault {
    Fault::new(Code::UriTooLong, "The request target is longer than 16384 bytes")
}

/// A head as parsed by httparse.
struct HeadFields<'a> {
    method: &'a str,
    target: &'a str,
    is_1_1: bool,
    headers: &'a [httparse::Header<'a>],
}

impl<'a> HeadFields<'a> {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The value of a header that may occur once; `None` if it is absent.
    fn single(&self, name: &'static str) -> Result<Option<&'a str>, Fault> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Fault::field(name, format!("`{name}` appears more than once")));
        }
        first
            .map(|value| std::str::from_utf8(value.trim_ascii()))
            .transpose()
            .map_err(|_| Fault::field(name, format!("`{name}` is not text")))
    }

    fn check_request_line(&self) -> Result<(), Fault> {
        if self.target.len() > TARGET_MAX {
            return Err(target_too_long());
        }
        Method::from_bytes(self.method.as_bytes()).map_err(|_| malformed("The method is not a token"))?;
        if self.method == Method::CONNECT.as_str() {
            return Err(Fault::new(Code::MethodNotAllowed, "The hub is not a proxy and does not support CONNECT"));
        }
        let uri = Uri::try_from(self.target).map_err(|error| malformed(format!("The request target: {error}")))?;
        percent_encoding::percent_decode_str(uri.path())
            .decode_utf8()
            .map_err(|_| malformed("The path of the request is not UTF-8"))?;
        Ok(())
    }

    /// RFC 9112 section 6.3, as strictly as actix-http.
    fn framing(&self) -> Result<Framing, Fault> {
        let length = self.single("Content-Length")?;
        if let Some(encoding) = self.single("Transfer-Encoding")? {
            return match (self.is_1_1, length, encoding.eq_ignore_ascii_case("chunked")) {
                (true, None, true) => Ok(Framing::Chunked),
                (_, Some(_), _) => {
                    Err(Fault::field("Content-Length", "`Content-Length` and `Transfer-Encoding` exclude each other"))
                }
                _ => Err(Fault::field("Transfer-Encoding", "`Transfer-Encoding` can only be `chunked`, in HTTP/1.1")),
            };
        }
        match length {
            None if !self.is_1_1 && self.method == Method::POST.as_str() => {
                Err(Fault::field("Content-Length", "A POST in HTTP/1.0 needs `Content-Length`"))
            }
            None => Ok(Framing::None),
            Some(length) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                match length.parse() {
                    Ok(0) => Ok(Framing::None),
                    Ok(length) => Ok(Framing::Counted(length)),
                    Err(_) => Err(Fault::field("Content-Length", "`Content-Length` is too large")),
                }
            }
            Some(_) => Err(Fault::field("Content-Length", "`Content-Length` is not a number")),
        }
    }

    /// RFC 9112 section 3.2.
    fn check_host(&self) -> Result<(), Fault> {
        match self.values("Host").count() {
            1 => Ok(()),
            0 if !self.is_1_1 => Ok(()),
            0 => Err(Fault::field("Host", "`Host` is missing")),
            _ => Err(Fault::field("Host", "`Host` appears more than once")),
        }
    }

    /// The options of `Connection`, without duplicates. A value that is not visible ASCII is ignored, as in actix-http.
    fn connection_tokens(&self) -> Vec<&'a str> {
        let is_visible = |value: &&[u8]| value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        let values = self.values("Connection").filter(is_visible).filter_map(|value| std::str::from_utf8(value).ok());
        let tokens = values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty());
        let mut known: Vec<&str> = Vec::new();
        for token in tokens {
            if known.len() < OPTIONS_MAX && !known.iter().any(|other| other.eq_ignore_ascii_case(token)) {
                known.push(token);
            }
        }
        known
    }

    fn offers_websocket(&self, base: &BasePath, framing: Framing) -> bool {
        // The target may have the absolute form (RFC 9112 section 3.2.2).
        let is_websocket = |uri: Uri| base.route(uri.path()).is_some_and(|route| WEBSOCKET_ROUTES.contains(&route));
        let at_websocket = Uri::try_from(self.target).is_ok_and(is_websocket);
        let may = self.is_1_1 && self.method == Method::GET.as_str() && framing == Framing::None && at_websocket;
        let offers = self.values("Upgrade").filter_map(|value| std::str::from_utf8(value).ok());
        may && offers.flat_map(|value| value.split(',')).any(|offer| offer.trim().eq_ignore_ascii_case("websocket"))
    }

    fn expects_continue(&self) -> bool {
        let mut items = self.values("Expect").flat_map(|value| value.split(|byte| *byte == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
    }

    /// Whether the head contains anything that actix-http must not see.
    fn needs_rewrite(&self, tokens: &[&str]) -> bool {
        let named = |header: &httparse::Header<'_>| is_hop_by_hop(header.name);
        self.headers.iter().any(named) || tokens.iter().any(|token| is_upgrade_token(token))
    }

    /// The head with a normalized `Connection`, and with the WebSocket offer or none.
    fn rewrite(&self, tokens: &[&str], upgrades: bool) -> Vec<u8> {
        let version = if self.is_1_1 { "1.1" } else { "1.0" };
        let mut head = format!("{} {} HTTP/{version}\r\n", self.method, self.target).into_bytes();
        let is_kept = |name: &str| !is_hop_by_hop(name) && !name.eq_ignore_ascii_case("Connection");
        for header in self.headers.iter().filter(|header| is_kept(header.name)) {
            for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        if upgrades {
            head.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
        } else {
            let kept: Vec<_> = tokens.iter().copied().filter(|token| !is_upgrade_token(token)).collect();
            if !kept.is_empty() {
                head.extend_from_slice(format!("Connection: {}\r\n", kept.join(", ")).as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Headers between the client and this stream only.
fn is_hop_by_hop(name: &str) -> bool {
    ["Upgrade", "HTTP2-Settings", "Expect"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn is_upgrade_token(token: &str) -> bool {
    ["upgrade", "http2-settings"].iter().any(|own| token.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests;
