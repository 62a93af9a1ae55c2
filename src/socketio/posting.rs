//! A polling POST after its session was found. Its body is read only then, up to the session's limit, and no further
//! once the session ends. Each side learns from its oneshot channel when the other is gone.

use std::future::Future;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::EngineError;

/// A session's response to a POST.
pub(super) type PostResult = Result<(), EngineError>;

/// The request's side of a POST.
#[derive(Debug)]
pub(super) struct Posting {
    /// Bytes that the body may have.
    pub(super) max_size: usize,
    /// Sends the body; dropped when no body will arrive.
    pub(super) body: oneshot::Sender<Bytes>,
    /// Receives the response; early, if the session ends before the body arrived.
    pub(super) result: oneshot::Receiver<PostResult>,
}

impl Posting {
    /// Both sides of a POST to a session that takes `max_size` bytes.
    pub(super) fn new(max_size: usize) -> (Self, oneshot::Receiver<Bytes>, oneshot::Sender<PostResult>) {
        let (body, receiver) = oneshot::channel();
        let (answer, result) = oneshot::channel();
        (Self { max_size, body, result }, receiver, answer)
    }

    /// Reads the body with `read` and passes it to the session.
    ///
    /// # Errors
    /// The error of the body, or of the session.
    pub(super) async fn finish<R>(self, read: impl FnOnce(usize) -> R) -> PostResult
    where
        R: Future<Output = Result<Bytes, EngineError>>,
    {
        let Self { max_size, body, mut result } = self;
        tokio::select! {
            read = read(max_size) => {
                // A session that ended takes no body, and has answered.
                let _ = body.send(read?);
            }
            answer = &mut result => return answer.unwrap_or_else(|_| Err(EngineError::unknown_sid())),
        }
        result.await.unwrap_or_else(|_| Err(EngineError::unknown_sid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_session_receives_the_body_and_the_request_its_answer() {
        let (posting, body, answer) = Posting::new(10);
        let session = async move {
            assert_eq!(body.await.unwrap(), "abc");
            answer.send(Ok(())).unwrap();
        };
        let request = posting.finish(async |max| {
            assert_eq!(max, 10);
            Ok(Bytes::from_static(b"abc"))
        });
        assert_eq!(tokio::join!(request, session).0, Ok(()));
    }

    #[tokio::test]
    async fn a_missing_body_notifies_the_session() {
        let (posting, body, _answer) = Posting::new(10);
        let refused = posting.finish(async |_| Err(EngineError::too_slow())).await;
        assert_eq!(refused, Err(EngineError::too_slow()));
        assert!(body.await.is_err(), "the session waits for it");
    }

    #[tokio::test]
    async fn the_end_of_a_session_stops_the_reading() {
        for answers in [Some(EngineError::bad_request("x")), None] {
            let (posting, _coming, answer) = Posting::new(10);
            let want = answers.clone().unwrap_or_else(EngineError::unknown_sid);
            match answers {
                Some(refusal) => answer.send(Err(refusal)).unwrap(),
                None => drop(answer),
            }
            assert_eq!(posting.finish(async |_| std::future::pending().await).await, Err(want));
        }
    }
}
