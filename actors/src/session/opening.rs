//! Opens a session: insert it in the session table, recover or authenticate it, send the greeting.

use super::{AuthState, RecoveryRequest, Session, SessionStart};
use super::{authentication, monitoring, pending_joins};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::state_recovery::RecoveryAttempt;
use crate::connection::SessionSpec;
use crate::hub::Hub;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, SessionId};
use crate::model::surface::Surface;
use crate::registry::SessionEntry;
use crate::runtime::clock::Expiry;
use crate::worker::Worker;

impl Session {
    /// Opens a session. With a known user, it joins the room of everybody and the room of the user. From then on its
    /// outbox collects messages; the transport writes them once it is attached. The greeting comes first.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a mailbox is full, [`crate::model::fault::Code::TokenRevoked`]
    /// for a revoked token, [`crate::model::fault::Code::Unauthenticated`] for a guest on a surface without guests, and
    /// [`crate::model::fault::Code::ShuttingDown`] while the hub drains.
    pub async fn open(worker: &Worker, mut start: SessionStart) -> Result<Self, Fault> {
        let hub = worker.hub();
        hub.accepting()?;
        if matches!(start.auth, AuthState::Guest) && start.surface != Surface::Root {
            return Err(Fault::unauthenticated());
        }
        let is_recoverable = start.encoder.is_numbered() && hub.settings().recovery.window_ms > 0;
        let mut attempt = Self::attempt_recovery(hub, start.recovery.take(), is_recoverable, &start.auth).await;
        let suspended = attempt.as_mut().and_then(|attempt| attempt.suspended.take());
        let last = attempt.as_ref().and_then(|attempt| attempt.request.last);
        let pid = match (&suspended, &attempt) {
            (Some(_), Some(attempt)) => Some(attempt.request.pid.clone()),
            _ if is_recoverable => Some(RecoveryToken::random()?),
            _ => None,
        };
        let id = suspended.as_ref().map_or_else(SessionId::random, |(suspended, _)| suspended.holder.session);
        let (mut session, auth_state) = Self::insert(worker, start, id);
        if let Some(pid) = pid {
            session.enable_recovery(pid, last);
        }
        let opened = match (auth_state, attempt, suspended) {
            (_, Some(attempt), Some((suspended, identity))) => session.recover(attempt, suspended, identity).await,
            (auth_state, attempt, _) => session.begin(auth_state, attempt.as_ref()).await,
        };
        // A session that failed to open cannot be recovered.
        opened.inspect_err(|_| session.handle.forgo())?;
        if session.hub.accepting().is_err() {
            // The hub started to drain meanwhile, and did not see the session.
            session.handle.close_after_replies(Close::GoingAway);
        }
        session.report_opened();
        Ok(session)
    }

    async fn attempt_recovery(
        hub: &Arc<Hub>,
        request: Option<RecoveryRequest>,
        is_recoverable: bool,
        auth_state: &AuthState,
    ) -> Option<RecoveryAttempt> {
        match request {
            Some(request) if is_recoverable => Some(RecoveryAttempt::redeem(hub, request, auth_state).await),
            request => request.map(RecoveryAttempt::unrecoverable),
        }
    }

    /// Inserts the session in its worker's table. From here on `Drop` undoes every step.
    fn insert(worker: &Worker, start: SessionStart, id: SessionId) -> (Self, AuthState) {
        let hub = worker.hub().clone();
        let now = hub.clock().now_ms();
        let handle = worker.session_table().insert(SessionSpec {
            session: id,
            encoder: start.encoder,
            connection: start.connection,
            expiry: Expiry::NEVER,
        });
        hub.stats().connected(matches!(start.auth, AuthState::Known(_)), start.transport).add(1);
        let session = Self {
            worker: worker.clone(),
            handle,
            input: Rc::default(),
            surface: start.surface,
            connected_at: now,
            peer: start.peer,
            began_at: now,
            identity: None,
            started_as_guest: matches!(start.auth, AuthState::Guest),
            address_slot: start.slot.map(Box::new),
            user_slot: None,
            rooms: HashMap::default(),
            pending_joins: pending_joins::PendingJoins::default(),
            rate_usage: start.rate_usage,
            backlog: None,
            named: None,
            has_recoverable_chats: false,
            typing: None,
            debugging: None,
            last_request_at: now,
            recovery_token: None,
            has_token: false,
            monitor_reports: monitoring::MonitorReports::none(start.transport),
            end: None,
            is_present: false,
            entry: SessionEntry::new(hub.registry().clone(), now),
            hub,
        };
        (session, start.auth)
    }

    /// Begins a new session. `attempt` is the failed recovery, if the client asked for one.
    async fn begin(&mut self, auth_state: AuthState, attempt: Option<&RecoveryAttempt>) -> Result<(), Fault> {
        let now = self.connected_at;
        let AuthState::Known(identity) = auth_state else {
            self.greet(attempt, None, now);
            return Ok(());
        };
        self.greet(attempt, Some(&identity), now);
        let reply_slot = self.reserve_online_users(&identity);
        let joins = self.attach_user(identity)?;
        self.confirm_own_rooms(authentication::wait_for_joins(joins).await?);
        if let Some(reply_slot) = reply_slot {
            self.send_online_users(reply_slot);
        }
        Ok(())
    }

    fn greet(&self, attempt: Option<&RecoveryAttempt>, identity: Option<&Identity>, now: i64) {
        match (attempt, self.surface, identity) {
            (Some(attempt), ..) => self.send_not_recovered(attempt, now),
            (None, Surface::Raw, Some(identity)) => self.greet_raw(identity, now),
            (None, Surface::Root, _) => self.greet_root(now),
            // The first message on `/chat` is the list of online users.
            (None, Surface::Raw, None) | (None, Surface::Chat, _) => {}
        }
    }
}
