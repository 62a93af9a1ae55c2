//! A polling POST whose session was found: the body is read only then, within what the session takes, and not to the end when
//! the session ends meanwhile. Either side may go away: the other learns it by its end of a oneshot.

use std::future::Future;

use actix_http::header::{CONTENT_LENGTH, HeaderMap};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::refusal::Refusal;

/// How a session answers a POST.
pub(super) type Heard = Result<(), Refusal>;

/// The request's side of a POST that its session waits for.
#[derive(Debug)]
pub(super) struct Posting {
    /// Bytes that the body may have.
    pub(super) max_size: usize,
    /// Takes the body; dropped, it tells that none will come.
    pub(super) body: oneshot::Sender<Bytes>,
    /// Brings the answer, before the body came when the session ended.
    pub(super) heard: oneshot::Receiver<Heard>,
}

impl Posting {
    /// A POST to a session that takes `max_size` bytes, and the session's side of it.
    pub(super) fn new(max_size: usize) -> (Self, oneshot::Receiver<Bytes>, oneshot::Sender<Heard>) {
        let ((body, coming), (answer, heard)) = (oneshot::channel(), oneshot::channel());
        (Self { max_size, body, heard }, coming, answer)
    }

    /// Reads a body by `read`, unless its head declares too much, and has the session hear it.
    ///
    /// # Errors
    /// What is wrong with the body, or what the session says.
    pub(super) async fn finish<R>(self, headers: &HeaderMap, read: impl FnOnce(usize) -> R) -> Heard
    where
        R: Future<Output = Result<Bytes, Refusal>>,
    {
        let Self { max_size, body, mut heard } = self;
        if declared_size(headers).is_some_and(|size| size > max_size as u64) {
            return Err(Refusal::too_large(max_size));
        }
        tokio::select! {
            read = read(max_size) => {
                // A session that ended takes none, and has answered.
                let _ = body.send(read?);
            }
            answer = &mut heard => return answer.unwrap_or_else(|_| Err(Refusal::unknown_sid())),
        }
        heard.await.unwrap_or_else(|_| Err(Refusal::unknown_sid()))
    }
}

/// The body's size as the head has it.
fn declared_size(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn headers(size: Option<u64>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(size) = size {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        headers
    }

    #[tokio::test]
    async fn the_body_comes_to_the_session_and_its_answer_to_the_request() {
        let (posting, coming, answer) = Posting::new(10);
        let session = async move {
            assert_eq!(coming.await.unwrap(), "abc");
            answer.send(Ok(())).unwrap();
        };
        let headers = headers(Some(10));
        let request = posting.finish(&headers, async |max| {
            assert_eq!(max, 10);
            Ok(Bytes::from_static(b"abc"))
        });
        assert_eq!(tokio::join!(request, session).0, Ok(()));
    }

    #[tokio::test]
    async fn a_body_that_is_declared_too_large_is_not_read() {
        let (posting, coming, _answer) = Posting::new(10);
        let refused = posting.finish(&headers(Some(11)), async |_| panic!("was read")).await;
        assert_eq!(refused, Err(Refusal::too_large(10)));
        assert!(coming.await.is_err(), "the session waits for it");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_leaves_the_session() {
        let (posting, coming, _answer) = Posting::new(10);
        let refused = posting.finish(&headers(None), async |_| Err(Refusal::too_slow())).await;
        assert_eq!(refused, Err(Refusal::too_slow()));
        assert!(coming.await.is_err(), "the session waits for it");
    }

    #[tokio::test]
    async fn a_session_that_ends_ends_the_reading() {
        for says in [Some(Refusal::bad_request("x")), None] {
            let (posting, _coming, answer) = Posting::new(10);
            let want = says.clone().unwrap_or_else(Refusal::unknown_sid);
            match says {
                Some(refusal) => answer.send(Err(refusal)).unwrap(),
                None => drop(answer),
            }
            assert_eq!(posting.finish(&headers(None), async |_| std::future::pending().await).await, Err(want));
        }
    }
}
