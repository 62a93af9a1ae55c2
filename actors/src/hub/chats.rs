//! Changes of chats.

use super::Hub;
use crate::chats::writer::{ChatWriter, DeleteChat, MakeChat, PutChat};
use crate::model::fault::Fault;
use crate::model::ids::ChatId;
use crate::runtime::mailbox::{Receive, ReplySender};
use crate::store::Chat;

impl Hub {
    /// Creates or replaces a chat; returns the stored chat, and whether it was created. Sessions without access have
    /// left it, or leave as soon as their pending token is verified.
    ///
    /// # Errors
    /// As [`crate::store::Store::put_chat`]; [`crate::model::fault::Code::LimitReached`] when the limit of chats or
    /// participants is reached.
    pub async fn put_chat(&self, chat: Chat) -> Result<(Chat, bool), Fault> {
        self.ask_chat_writer(|reply| PutChat { chat, reply }).await
    }

    /// Creates a chat unless its id exists.
    ///
    /// # Errors
    /// As [`Hub::put_chat`].
    pub async fn make_chat(&self, chat: Chat) -> Result<(), Fault> {
        self.ask_chat_writer(|reply| MakeChat { chat, reply }).await
    }

    /// Deletes a chat with its messages; `false` when the id does not exist. Its sessions have left it.
    ///
    /// # Errors
    /// As [`crate::store::Store::put_chat`].
    pub async fn delete_chat(&self, id: ChatId) -> Result<bool, Fault> {
        self.ask_chat_writer(|reply| DeleteChat { id, reply }).await
    }

    pub(super) async fn ask_chat_writer<T, M>(
        &self,
        request: impl FnOnce(ReplySender<Result<T, Fault>>) -> M,
    ) -> Result<T, Fault>
    where
        ChatWriter: Receive<M>,
        M: Send + 'static,
    {
        self.chat_writer.ask(request).inspect_err(|fault| self.count(fault))?.for_change().await?
    }
}
