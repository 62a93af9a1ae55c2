//! A polling POST whose session was found: the body is read only then, within what the session takes, and not to the end when
//! the session ends meanwhile. Either side may go away: the other learns it by its end of a oneshot.

use std::future::Future;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::EngineError;

/// How a session answers a POST.
pub(super) type PostResult = Result<(), EngineError>;

/// The request's side of a POST that its session waits for.
#[derive(Debug)]
pub(super) struct Posting {
    /// Bytes that the body may have.
    pub(super) max_size: usize,
    /// Takes the body; dropped, it tells that none will come.
    pub(super) body: oneshot::Sender<Bytes>,
    /// Brings the answer, before the body came when the session ended.
    pub(super) result: oneshot::Receiver<PostResult>,
}

impl Posting {
    /// A POST to a session that takes `max_size` bytes, and the session's side of it.
    pub(super) fn new(max_size: usize) -> (Self, oneshot::Receiver<Bytes>, oneshot::Sender<PostResult>) {
        let ((body, coming), (answer, heard)) = (oneshot::channel(), oneshot::channel());
        (Self { max_size, body, result: heard }, coming, answer)
    }

    /// Reads a body by `read`, and has the session hear it.
    ///
    /// # Errors
    /// What is wrong with the body, or what the session says.
    pub(super) async fn finish<R>(self, read: impl FnOnce(usize) -> R) -> PostResult
    where
        R: Future<Output = Result<Bytes, EngineError>>,
    {
        let Self { max_size, body, result: mut heard } = self;
        tokio::select! {
            read = read(max_size) => {
                // A session that ended takes none, and has answered.
                let _ = body.send(read?);
            }
            answer = &mut heard => return answer.unwrap_or_else(|_| Err(EngineError::unknown_sid())),
        }
        heard.await.unwrap_or_else(|_| Err(EngineError::unknown_sid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_body_comes_to_the_session_and_its_answer_to_the_request() {
        let (posting, coming, answer) = Posting::new(10);
        let session = async move {
            assert_eq!(coming.await.unwrap(), "abc");
            answer.send(Ok(())).unwrap();
        };
        let request = posting.finish(async |max| {
            assert_eq!(max, 10);
            Ok(Bytes::from_static(b"abc"))
        });
        assert_eq!(tokio::join!(request, session).0, Ok(()));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_leaves_the_session() {
        let (posting, coming, _answer) = Posting::new(10);
        let refused = posting.finish(async |_| Err(EngineError::too_slow())).await;
        assert_eq!(refused, Err(EngineError::too_slow()));
        assert!(coming.await.is_err(), "the session waits for it");
    }

    #[tokio::test]
    async fn a_session_that_ends_ends_the_reading() {
        for says in [Some(EngineError::bad_request("x")), None] {
            let (posting, _coming, answer) = Posting::new(10);
            let want = says.clone().unwrap_or_else(EngineError::unknown_sid);
            match says {
                Some(refusal) => answer.send(Err(refusal)).unwrap(),
                None => drop(answer),
            }
            assert_eq!(posting.finish(async |_| std::future::pending().await).await, Err(want));
        }
    }
}
