//! The rate limits of a session.

use std::cell::RefCell;
use std::rc::Rc;

use super::Session;
use super::replies::RequestContext;
use crate::events::Bucket;
use crate::limits::LimitKey;
use crate::limits::fixed_window::{Decision, Rule, Window};
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::surface::Surface;

/// A client's use of its limits in the current minute. Consecutive sessions on one connection share it: a client that
/// leaves a namespace and joins it again keeps its counts.
#[derive(Debug, Clone, Default)]
pub struct RateUsage(Rc<RefCell<Vec<(RateKind, Window)>>>);

/// A limit of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateKind {
    Messages,
    /// Messages of a session that started as a guest; they have another limit.
    GuestMessages,
    Authentications,
    Notifications,
    Typing,
}

impl RateUsage {
    /// Counts one request at `now`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]. A limit of 0 means no limit.
    fn count(&self, kind: RateKind, now: i64, limit: u32) -> Decision {
        if limit == 0 {
            return Decision::Within;
        }
        let rule = Rule::a_minute(limit);
        let mut windows = self.0.borrow_mut();
        match windows.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, window)) => window.count(now, rule),
            None => {
                // Most sessions use one limit only.
                windows.reserve_exact(1);
                let mut window = Window::default();
                let decision = window.count(now, rule);
                windows.push((kind, window));
                decision
            }
        }
    }
}

impl Session {
    /// Messages a minute; 0 means no limit.
    fn message_limit(&self) -> u32 {
        let limits = &self.hub.settings().messages_per_minute;
        match self.surface {
            Surface::Raw => limits.raw,
            Surface::Root if self.started_as_guest => limits.community,
            Surface::Root => limits.push,
            Surface::Chat => limits.chat,
        }
    }

    /// Counts a message; `false` when it is over the limit and was refused.
    pub(super) fn count_message(&mut self, context: &RequestContext) -> bool {
        self.count_request(Bucket::Messages, context)
    }

    /// Counts a request; `false` when it is over the limit and was refused.
    pub(super) fn count_request(&mut self, bucket: Bucket, context: &RequestContext) -> bool {
        let decision = self.count_one(bucket);
        self.apply_decision(decision, bucket, context, self.now())
    }

    /// Counts one more message, for a part of a request that costs as much as a request.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::RateLimited`].
    pub(super) fn count_batch_part(&mut self) -> Result<(), Fault> {
        match self.count_one(Bucket::Messages) {
            Decision::Within => Ok(()),
            Decision::Over(seconds) => Err(Fault::rate_limited(seconds).by(self.limit_rule(Bucket::Messages))),
            Decision::Flood(seconds) => {
                let rule = self.limit_rule(Bucket::Messages);
                self.handle.close_by(Close::Limit, rule);
                Err(Fault::rate_limited(seconds).by(rule))
            }
        }
    }

    fn count_one(&self, bucket: Bucket) -> Decision {
        let settings = self.hub.settings();
        let (kind, limit) = match bucket {
            // The user's shared limit applies, and it is off.
            Bucket::ChatMessages | Bucket::ChatTyping if self.identity.is_some() => return Decision::Within,
            Bucket::Authentications => (RateKind::Authentications, self.message_limit()),
            Bucket::Notifications => (RateKind::Notifications, settings.notifications_per_minute),
            Bucket::Typing => (RateKind::Typing, settings.typing_per_minute),
            _ if self.started_as_guest => (RateKind::GuestMessages, self.message_limit()),
            _ => (RateKind::Messages, self.message_limit()),
        };
        self.rate_usage.count(kind, self.hub.clock().elapsed_ms(), limit)
    }

    /// The limit of `bucket` that all sessions of the user share; `None` when the limit is the session's own.
    pub(super) fn shared_limit(&self, bucket: Bucket) -> Option<(LimitKey, Rule)> {
        let limits = &self.hub.settings().chat_per_minute;
        let user = || Some(self.identity.as_ref()?.user.clone());
        let (key, limit) = match bucket {
            Bucket::Messages | Bucket::Authentications | Bucket::Notifications | Bucket::Typing => return None,
            Bucket::ChatMessages => (LimitKey::ChatMessages(user()?), limits.messages),
            Bucket::ChatTyping => (LimitKey::ChatTyping(user()?), limits.typing),
        };
        (limit > 0).then_some((key, Rule::a_minute(limit)))
    }

    /// Refuses a request over its limit, and closes the session of a flood. `true` when the request is within the
    /// limit.
    pub(super) fn apply_decision(
        &self,
        decision: Decision,
        bucket: Bucket,
        context: &RequestContext,
        now: i64,
    ) -> bool {
        match decision {
            Decision::Within => true,
            Decision::Over(seconds) => {
                self.refuse(context, &Fault::rate_limited(seconds).by(self.limit_rule(bucket)), now);
                false
            }
            Decision::Flood(_) => {
                self.handle.close_by(Close::Limit, self.limit_rule(bucket));
                false
            }
        }
    }
}
