//! The rate limits of a session. [`Session::limit_of`] is the only place that maps a [`Bucket`] to its limit.
//!
//! `docs/contributing.md` has the recipe for a new limit. The word `rule` here: the configuration key; [`Rule`]: the limit.

use std::cell::RefCell;
use std::rc::Rc;

use super::Session;
use super::replies::RequestContext;
use crate::events::Bucket;
use crate::hub::Settings;
use crate::limits::LimitKey;
use crate::limits::fixed_window::{Decision, Rule, Window};
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::surface::Surface;

/// A client's use of its limits in the current minute. Consecutive sessions on one connection share it: a client that
/// leaves a namespace and joins it again keeps its counts.
#[derive(Debug, Clone, Default)]
pub struct RateUsage(Rc<RefCell<Vec<(RateKind, Window)>>>);

/// A window in [`RateUsage`]: one for each limit that a session does not share.
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
    /// Counts one request at `now`, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    fn count(&self, kind: RateKind, now: i64, limit: u32) -> Decision {
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

/// The limit of a [`Bucket`] in one session.
struct BucketLimit {
    window: BucketWindow,
    /// Requests per minute; 0 means no limit.
    per_minute: u32,
    /// The configuration key of the limit.
    rule: &'static str,
}

/// The window that counts the requests of a [`Bucket`].
enum BucketWindow {
    /// A window of the session, in its [`RateUsage`].
    Own(RateKind),
    /// A window that all sessions of the user share, in [`RateLimit`](crate::limits::RateLimit).
    Shared(LimitKey),
}

impl Session {
    /// The limit of `bucket`. A new bucket gets its window, its number and its configuration key here.
    fn limit_of(&self, bucket: Bucket) -> BucketLimit {
        let settings = self.hub.settings();
        match (bucket, &self.identity) {
            (Bucket::Messages, _) | (Bucket::ChatMessages | Bucket::ChatTyping, None) => self.message_limit(&settings),
            (Bucket::Authentications, _) => {
                BucketLimit { window: BucketWindow::Own(RateKind::Authentications), ..self.message_limit(&settings) }
            }
            (Bucket::Notifications, _) => BucketLimit {
                window: BucketWindow::Own(RateKind::Notifications),
                per_minute: settings.notifications_per_minute,
                rule: "limits.community.notifications_per_minute",
            },
            (Bucket::Typing, _) => BucketLimit {
                window: BucketWindow::Own(RateKind::Typing),
                per_minute: settings.typing_per_minute,
                rule: "limits.community.typing_per_minute",
            },
            (Bucket::ChatMessages, Some(own)) => BucketLimit {
                window: BucketWindow::Shared(LimitKey::ChatMessages(own.user.clone())),
                per_minute: settings.chat_per_minute.messages,
                rule: "limits.chat.messages_per_minute",
            },
            (Bucket::ChatTyping, Some(own)) => BucketLimit {
                window: BucketWindow::Shared(LimitKey::ChatTyping(own.user.clone())),
                per_minute: settings.chat_per_minute.typing,
                rule: "limits.chat.typing_per_minute",
            },
        }
    }

    /// The limit of the surface's messages.
    fn message_limit(&self, settings: &Settings) -> BucketLimit {
        let limits = &settings.messages_per_minute;
        let (kind, per_minute, rule) = match self.surface {
            Surface::Raw => (RateKind::Messages, limits.raw, "limits.raw.messages_per_minute"),
            Surface::Root if self.started_as_guest => {
                (RateKind::GuestMessages, limits.community, "limits.community.messages_per_minute")
            }
            Surface::Root => (RateKind::Messages, limits.push, "limits.push.messages_per_minute"),
            Surface::Chat => (RateKind::Messages, limits.chat, "limits.chat.requests_per_minute"),
        };
        BucketLimit { window: BucketWindow::Own(kind), per_minute, rule }
    }

    /// The configuration key of the limit of `bucket`.
    fn limit_rule(&self, bucket: Bucket) -> &'static str {
        self.limit_of(bucket).rule
    }

    /// Counts a message that arrived at `now`, ms since the epoch; `false` when it is over the limit and was refused.
    pub(super) fn count_message(&mut self, context: &RequestContext, now: i64) -> bool {
        self.count_request(Bucket::Messages, context, now)
    }

    /// Counts a request; `false` when it is over the limit and was refused.
    pub(super) fn count_request(&mut self, bucket: Bucket, context: &RequestContext, now: i64) -> bool {
        let decision = self.count_one(bucket);
        self.apply_decision(decision, bucket, context, now)
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

    /// Counts a request in the session's own window. A bucket without a limit, or with a shared one, is not counted here.
    fn count_one(&self, bucket: Bucket) -> Decision {
        match self.limit_of(bucket) {
            BucketLimit { window: BucketWindow::Own(kind), per_minute: limit @ 1.., .. } => {
                self.rate_usage.count(kind, self.hub.clock().elapsed_ms(), limit)
            }
            BucketLimit { .. } => Decision::Within,
        }
    }

    /// The limit of `bucket` that all sessions of the user share; `None` when it is turned off, or when the limit is
    /// the session's own.
    pub(super) fn shared_limit(&self, bucket: Bucket) -> Option<(LimitKey, Rule)> {
        match self.limit_of(bucket) {
            BucketLimit { window: BucketWindow::Shared(key), per_minute: limit @ 1.., .. } => {
                Some((key, Rule::a_minute(limit)))
            }
            BucketLimit { .. } => None,
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::events::table::CLIENT;
    use crate::session::AuthState;
    use crate::testkit::{GRACE_MS, TestHub, identity, session_start};

    #[actix::test]
    async fn each_bucket_has_a_number_a_configuration_key_and_an_own_or_a_shared_window() {
        let hub = TestHub::start(GRACE_MS);
        let user = |name| AuthState::Known(Arc::new(identity(name)));
        let community = "limits.community.messages_per_minute";
        // The messages of each session, and its chat messages and typing if they have limits of their own.
        for (surface, auth_state, messages, of_user) in [
            (Surface::Raw, user("a"), (0, "limits.raw.messages_per_minute"), true),
            (Surface::Root, user("b"), (4, "limits.push.messages_per_minute"), true),
            (Surface::Chat, user("c"), (3, "limits.chat.requests_per_minute"), true),
            (Surface::Root, AuthState::Guest, (2, community), false),
        ] {
            let session = Session::open(&hub.worker, session_start(&hub.worker, surface, auth_state)).await.unwrap();
            let shared = |limit| if of_user { limit } else { messages };
            let limits = [
                (Bucket::Messages, messages, false),
                (Bucket::Authentications, messages, false),
                (Bucket::Notifications, (3, "limits.community.notifications_per_minute"), false),
                (Bucket::Typing, (9, "limits.community.typing_per_minute"), false),
                (Bucket::ChatMessages, shared((2, "limits.chat.messages_per_minute")), of_user),
                (Bucket::ChatTyping, shared((1, "limits.chat.typing_per_minute")), of_user),
            ];
            for row in CLIENT {
                let is_listed = limits.iter().any(|(bucket, ..)| *bucket == row.costs);
                assert!(is_listed, "add {:?} to the limits of this test", row.costs);
            }
            for (bucket, (per_minute, rule), is_shared) in limits {
                let limit = session.limit_of(bucket);
                assert_eq!((limit.per_minute, limit.rule), (per_minute, rule), "{bucket:?} on {surface:?}");
                let key = session.shared_limit(bucket).map(|(key, _)| key.rule().into_owned());
                assert_eq!(key.as_deref(), is_shared.then_some(rule), "{bucket:?} on {surface:?}");
            }
        }
    }
}
