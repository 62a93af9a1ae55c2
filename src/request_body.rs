//! Reads the body of a request within a bound. Callers check the sender first.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::web::{Bytes, Payload};
use hubbub_actors::model::fault::{Code, Fault};

use crate::http_stream::{Exchange, body_too_slow};

/// Reads the body of `request`, at most `most` bytes.
///
/// # Errors
/// [`Code::UnsupportedEncoding`] if it is encoded, [`Code::PayloadTooLarge`], [`Code::RequestTimeout`], and
/// [`Code::InvalidRequest`] if it ends early or its chunks are malformed.
pub async fn read(request: &HttpRequest, payload: Payload, most: usize) -> Result<Bytes, Fault> {
    check_head(request.headers(), most)?;
    let exchange = request.conn_data::<std::rc::Rc<Exchange>>();
    if let Some(exchange) = exchange {
        exchange.permit_body(most);
    }
    match payload.to_bytes_limited(most).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) if exchange.is_some_and(|exchange| exchange.is_body_late()) => Err(body_too_slow()),
        Ok(Err(_)) => Err(Fault::new(Code::InvalidRequest, "The body ended early, or its chunks are malformed")),
        Err(_) => Err(too_large()),
    }
}

/// Refuses a body by its head alone.
fn check_head(headers: &HeaderMap, most: usize) -> Result<(), Fault> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if length.unwrap_or(0) == 0 && !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let encodings = headers.get_all(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii());
    if encodings.into_iter().any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Fault::new(Code::UnsupportedEncoding, "Send the body without `Content-Encoding`"));
    }
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    Ok(())
}

fn too_large() -> Fault {
    Fault::new(Code::PayloadTooLarge, "The body is too large").by("server.max_body")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn an_encoded_or_too_long_body_is_refused_by_its_head() {
        for (headers, refused) in [
            (&[][..], None),
            (&[("content-encoding", "gzip")], None),
            (&[("content-encoding", "gzip"), ("content-length", "0")], None),
            (&[("content-encoding", "identity"), ("content-length", "5")], None),
            (&[("content-encoding", "gzip"), ("content-length", "5")], Some(Code::UnsupportedEncoding)),
            (&[("content-encoding", "br"), ("transfer-encoding", "chunked")], Some(Code::UnsupportedEncoding)),
            (&[("content-length", "10")], None),
            (&[("content-length", "11")], Some(Code::PayloadTooLarge)),
        ] {
            let mut request = TestRequest::default();
            for header in headers {
                request = request.append_header(*header);
            }
            let request = request.to_http_request();
            assert_eq!(check_head(request.headers(), 10).map_err(|fault| fault.code).err(), refused, "{headers:?}");
        }
    }
}
