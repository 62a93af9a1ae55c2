//! Recovery by token on `/chat` and `/ws`: a new session of the user takes over the chats of a suspended session, and the
//! messages that it missed. `suspension` suspends the session.

use actix::fut::{ActorFutureExt, WrapFuture, ready};

use super::suspension::joined;
use super::{ReplyFuture, Session};
use crate::connection::{Recoverability, ReplySlot};
use crate::events::ServerEvent as _;
use crate::events::chat::connection::{RecoveredSession, SessionState};
use crate::events::chat::rooms::OnlineUpdate;
use crate::events::json::{self, Json};
use crate::events::timestamp::Iso;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::recovery::ClaimedRecord;
use crate::rooms::publication_log::RoomCursor;
use crate::rooms::{Access, RecoverRooms, Recovered, Replay};
use crate::runtime::mailbox::ReplyReceiver;

impl Session {
    pub(super) fn state(&self) -> Result<SessionState, Fault> {
        let mut rooms: Vec<_> = self.rooms.keys().filter_map(RoomName::chat).collect();
        rooms.sort_unstable();
        Ok(SessionState {
            user_id: self.identity()?.user.clone(),
            socket_id: self.handle.session(),
            connected_at: Iso(self.began_at),
            last_activity: Iso(self.last_request_at),
            rooms,
            message_queue: [],
            recovery_token: self.recovery_token.clone(),
        })
    }

    /// Makes the chats of a session with a recovery token recoverable. Resolves when no message that is not written yet
    /// was published before that. A client must not have the token earlier.
    pub(super) fn make_recoverable(&mut self) -> impl Future<Output = Result<(), Fault>> + use<> {
        self.handle.set_recoverable(Recoverability::ByCut);
        self.has_token = true;
        let was_recoverable = std::mem::replace(&mut self.has_recoverable_chats, true);
        let begun = (!was_recoverable).then(|| {
            let chats = self.rooms.keys().filter(|room| room.chat().is_some()).cloned().collect();
            self.hub.rooms().make_recoverable(chats, self.handle.addr())
        });
        async move {
            match begun {
                Some(begun) => begun?.await,
                None => Ok(()),
            }
        }
    }

    /// Recovers `suspended` under the reply `reply_slot`. Messages of its chats follow the reply.
    pub(super) fn resume(&mut self, suspended: ClaimedRecord, reply_slot: ReplySlot) -> ReplyFuture<RecoveredSession> {
        let last_activity = Iso(suspended.last_activity);
        let (chats, recovering) = match self.recover_chats(suspended, reply_slot) {
            Ok(recovering) => recovering,
            Err(fault) => return Box::pin(ready(Err(fault))),
        };
        Box::pin(recovering.into_actor(self).map(move |recovered, session, _| {
            let Recovered { number, missed, dropped, online, .. } = recovered?;
            for chat in chats {
                session.rooms.entry(chat).and_modify(|joined| *joined = number);
            }
            let messages = missed.into_iter().flatten().map(|message| Json::text(message.data())).collect();
            session.send_online_updates(&online);
            let state = SessionState { last_activity, ..session.state()? };
            Ok(RecoveredSession::new(state, messages, dropped))
        }))
    }

    fn recover_chats(
        &mut self,
        mut suspended: ClaimedRecord,
        reply_slot: ReplySlot,
    ) -> Result<(Vec<RoomName>, ReplyReceiver<Recovered>), Fault> {
        self.began_at = suspended.holder.connected_at;
        let identity = self.identity()?.clone();
        let (session, entering) = (self.handle.session(), self.entering()?);
        let rooms: Vec<(RoomCursor, Access)> = self.accesses(&identity, suspended.take_cursors());
        let chats: Vec<_> = joined(&rooms).map(|(room, _)| room).collect();
        self.handle.defer(chats.iter().cloned(), reply_slot);
        for (room, number) in joined(&rooms) {
            self.rooms.insert(room.clone(), number);
            self.update_presence_on_join(room);
        }
        let (new_rooms, head) = (Vec::new(), self.hub.rooms().head());
        let replay = Replay::Messages;
        let recover = |reply| RecoverRooms { session, entering, rooms, new_rooms, head, replay, reply };
        Ok((chats, self.hub.rooms().recover(recover)?))
    }

    /// Sends the users of these chats to the client, as far as they fit in a quarter of an outbox: what it missed may take
    /// half of it.
    pub(super) fn send_online_updates(&self, online: &[OnlineUpdate]) {
        let (now, mut free) = (self.now(), self.hub.settings().outbox.half().half().bytes);
        for update in online {
            let payload = self.handle.encoder().answer(OnlineUpdate::NAME, &json::to_vec(update), &None, now);
            let Some(left) = free.checked_sub(payload.len()) else { return };
            free = left;
            self.handle.send(payload);
        }
    }
}
