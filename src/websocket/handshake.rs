//! The opening handshake (RFC 6455 section 4.2): the checks of a request, and the response.

use actix_http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_http::ws::hash_key;
use actix_http::{Method, RequestHead, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hubbub_actors::model::fault::{Code, Fault};

use crate::peer::is_token;

/// The subprotocol with a browser's token: `access_token.<jwt>`.
const TOKEN_PROTOCOL: &str = "access_token.";

/// Checks whether the request opens a WebSocket.
///
/// # Errors
/// [`Code::MethodNotAllowed`]; [`Code::UpgradeRequired`] if no WebSocket is offered, over HTTP/1.0, which has no
/// upgrade, or with another version than 13 (RFC 6455 section 4.4); [`Code::InvalidRequest`] naming the header.
pub fn check(head: &RequestHead) -> Result<(), Fault> {
    if head.method != Method::GET {
        return Err(Fault::new(Code::MethodNotAllowed, "A WebSocket is opened with GET"));
    }
    let required = |message| Err(Fault::new(Code::UpgradeRequired, message));
    if head.version < Version::HTTP_11 {
        return required("A WebSocket is opened over HTTP/1.1");
    }
    if !offers_websocket(&head.headers) || !head.upgrade() {
        return required("This is a WebSocket: send Upgrade: websocket and Connection: Upgrade");
    }
    if only_value(&head.headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return required("Sec-WebSocket-Version must be 13");
    }
    let Some(key) = only_value(&head.headers, header::SEC_WEBSOCKET_KEY) else {
        return Err(Fault::field("Sec-WebSocket-Key", "Sec-WebSocket-Key must appear exactly once"));
    };
    if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
        return Err(Fault::field("Sec-WebSocket-Key", "Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    Ok(())
}

/// Whether the client offers a WebSocket.
fn offers_websocket(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::UPGRADE).filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).any(|offer| offer.trim().eq_ignore_ascii_case("websocket"))
}

/// The value of a header that occurs exactly once.
fn only_value(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name);
    values.next().filter(|_| values.next().is_none())
}

/// The first offered subprotocol with a non-empty token.
pub fn token_protocol(headers: &HeaderMap) -> Option<&str> {
    offered_protocols(headers).find(|offer| !token_in(offer).is_empty())
}

/// The first offered subprotocol. A client that offers some and gets none closes the connection.
pub fn first_protocol(headers: &HeaderMap) -> Option<&str> {
    offered_protocols(headers).find(|offer| is_token(offer))
}

fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).map(str::trim)
}

/// The token in a subprotocol from [`token_protocol`].
pub fn token_in(protocol: &str) -> &str {
    protocol.strip_prefix(TOKEN_PROTOCOL).unwrap_or_default()
}

/// The response to a checked request, with the chosen subprotocol.
pub fn acceptance(head: &RequestHead, protocol: Option<&str>) -> Vec<u8> {
    let key = head.headers().get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    let accept = hash_key(key);
    let mut answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".to_vec();
    answer.extend_from_slice(b"Sec-WebSocket-Accept: ");
    answer.extend_from_slice(&accept);
    if let Some(protocol) = protocol {
        answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        answer.extend_from_slice(protocol.as_bytes());
    }
    answer.extend_from_slice(b"\r\n\r\n");
    answer
}

#[cfg(test)]
mod tests {
    use actix_http::test::TestRequest;

    use super::*;

    fn opening() -> TestRequest {
        let mut request = TestRequest::default();
        request
            .insert_header(("upgrade", "websocket"))
            .insert_header(("connection", "keep-alive, Upgrade"))
            .insert_header(("sec-websocket-version", "13"))
            .insert_header(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        request
    }

    #[test]
    fn the_response_has_the_accept_key_of_the_rfc_and_the_token_protocol() {
        let request = opening().insert_header(("sec-websocket-protocol", "chat, access_token.a.b.c")).take().finish();
        assert_eq!(check(request.head()), Ok(()));
        let protocol = token_protocol(request.head().headers());
        let answer = String::from_utf8(acceptance(request.head(), protocol)).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.ends_with("Sec-WebSocket-Protocol: access_token.a.b.c\r\n\r\n"), "{answer}");
        assert_eq!(token_in(token_protocol(request.head().headers()).unwrap()), "a.b.c");
    }

    #[test]
    fn without_a_token_the_first_offered_protocol_is_chosen() {
        for (offers, first, token) in [
            (&["chat, other"][..], Some("chat"), None),
            (&["chat", "access_token.a.b.c"], Some("chat"), Some("access_token.a.b.c")),
            (&[" , a b, (x), v1.chat"], Some("v1.chat"), None),
            (&["", " "], None, None),
            (&[], None, None),
        ] {
            let mut request = opening();
            for offer in offers {
                request.append_header(("sec-websocket-protocol", *offer));
            }
            let request = request.take().finish();
            let headers = request.head().headers();
            assert_eq!((first_protocol(headers), token_protocol(headers)), (first, token), "{offers:?}");
        }
        let answer = String::from_utf8(acceptance(opening().take().finish().head(), None)).unwrap();
        assert!(!answer.contains("Sec-WebSocket-Protocol"), "{answer}");
    }

    #[test]
    fn a_request_that_opens_no_websocket_is_refused_with_its_reason() {
        for (header, value, code) in [
            ("sec-websocket-version", "8", Code::UpgradeRequired),
            ("upgrade", "h2c", Code::UpgradeRequired),
            ("sec-websocket-key", "c2hvcnQ=", Code::InvalidRequest),
        ] {
            let request = opening().insert_header((header, value)).take().finish();
            assert_eq!(check(request.head()).unwrap_err().code, code, "{header}");
        }
        let request = opening().method(Method::POST).take().finish();
        assert_eq!(check(request.head()).unwrap_err().code, Code::MethodNotAllowed);
        let request = opening().version(Version::HTTP_10).take().finish();
        assert_eq!(check(request.head()).unwrap_err().code, Code::UpgradeRequired);
    }

    #[test]
    fn a_websocket_may_be_one_of_several_offered_protocols() {
        for offer in ["h2c, websocket", "websocket, h2c", "WebSocket", "h2c,websocket"] {
            let request = opening().insert_header(("upgrade", offer)).take().finish();
            assert_eq!(check(request.head()), Ok(()), "{offer}");
        }
        let request =
            opening().insert_header(("upgrade", "h2c")).append_header(("upgrade", "websocket")).take().finish();
        assert_eq!(check(request.head()), Ok(()), "in a header of its own");
        for offer in ["websockets", "notwebsocket", "h2c; websocket"] {
            let request = opening().insert_header(("upgrade", offer)).take().finish();
            assert_eq!(check(request.head()).unwrap_err().code, Code::UpgradeRequired, "{offer}");
        }
    }

    #[test]
    fn a_repeated_key_is_refused() {
        for second in ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA=="] {
            let request = opening().append_header(("sec-websocket-key", second)).take().finish();
            let fault = check(request.head()).unwrap_err();
            assert_eq!((fault.code, fault.field.as_deref()), (Code::InvalidRequest, Some("Sec-WebSocket-Key")));
            assert_eq!(fault.message, "Sec-WebSocket-Key must appear exactly once");
        }
    }
}
