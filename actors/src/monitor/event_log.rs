//! Stores the newest connection events in memory, and hides private fields from viewers without permission. Pure.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;

use crate::events::chat::monitoring::{
    AskEvents, ConnectionEvent, ConnectionEventKind, Details, TopAddress, TopUserAgent,
};
use crate::model::identity::Identity;
use crate::model::ids::UserId;

/// Most stored events; a new event evicts the oldest. An event owns at most a user id and a user agent.
pub const EVENTS_MAX: usize = 1_000;

/// Most recent events in the full metrics.
pub const RECENT: usize = 10;

/// Most addresses, and most user agents, in the full metrics.
const TOP: usize = 10;

/// The caller of a monitoring request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// The holder of an API key.
    Operator,
    /// A user.
    User {
        /// The user's id.
        user: UserId,
        /// Whether the user has the role `admin` and sees every field of every event.
        is_admin: bool,
    },
}

impl Viewer {
    /// The viewer with this identity.
    pub fn new(identity: &Identity) -> Self {
        Self::User { user: identity.user.clone(), is_admin: identity.has_role("admin") }
    }

    fn sees_all(&self) -> bool {
        match self {
            Self::Operator => true,
            Self::User { is_admin, .. } => *is_admin,
        }
    }

    /// Whether the viewer sees every field of an event. Operators, admins and the event's own user do.
    fn sees_all_of(&self, event: &ConnectionEvent) -> bool {
        self.sees_all() || matches!(self, Self::User { user, .. } if event.user_id.as_ref() == Some(user))
    }

    /// A copy of the event without the fields that the viewer must not see.
    fn view(&self, event: &ConnectionEvent) -> ConnectionEvent {
        let event = event.clone();
        if self.sees_all_of(&event) {
            return event;
        }
        let details = Details { room: None, ..event.details };
        ConnectionEvent { socket_id: None, ip_address: None, user_agent: None, details, ..event }
    }
}

/// A ring buffer of events.
#[derive(Debug, Default)]
pub struct EventLog(VecDeque<ConnectionEvent>);

impl EventLog {
    /// Stores an event, and evicts the oldest when there are [`EVENTS_MAX`].
    pub fn record(&mut self, event: ConnectionEvent) {
        if self.0.len() >= EVENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// The events that match `ask`, newest first, as `viewer` may see them. A filter by address matches only events
    /// that `viewer` sees in full; otherwise a viewer could guess addresses.
    pub fn find(&self, ask: &AskEvents, viewer: &Viewer) -> Vec<ConnectionEvent> {
        let ip = ask.ip.map(|ip| ip.to_canonical());
        let fits = |event: &&ConnectionEvent| {
            ask.kind.is_none_or(|kind| event.kind == kind)
                && ask.user_id.as_ref().is_none_or(|user| event.user_id.as_ref() == Some(user))
                && ip.is_none_or(|ip| event.ip_address == Some(ip) && viewer.sees_all_of(event))
        };
        self.0.iter().rev().filter(fits).take(ask.limit).map(|event| viewer.view(event)).collect()
    }

    /// The newest events, as `viewer` may see them.
    pub fn recent(&self, viewer: &Viewer) -> Vec<ConnectionEvent> {
        self.0.iter().rev().take(RECENT).map(|event| viewer.view(event)).collect()
    }

    /// The addresses with the most stored connects. Empty unless `viewer` is an operator or an admin.
    pub fn top_addresses(&self, viewer: &Viewer) -> Vec<TopAddress> {
        let addresses = self.connects(viewer).filter_map(|event| event.ip_address);
        top(addresses).into_iter().map(|(ip, count): (IpAddr, _)| TopAddress { ip, count }).collect()
    }

    /// The user agents with the most stored connects. Empty unless `viewer` is an operator or an admin.
    pub fn top_user_agents(&self, viewer: &Viewer) -> Vec<TopUserAgent> {
        let agents = self.connects(viewer).filter_map(|event| event.user_agent.as_ref());
        let counted = |(agent, count): (&Arc<str>, _)| TopUserAgent { user_agent: agent.clone(), count };
        top(agents).into_iter().map(counted).collect()
    }

    fn connects(&self, viewer: &Viewer) -> impl Iterator<Item = &ConnectionEvent> {
        let may_see = viewer.sees_all();
        self.0.iter().filter(move |event| may_see && event.kind == ConnectionEventKind::Connect)
    }
}

/// The [`TOP`] most frequent values with their counts. Values with equal counts are in ascending order.
fn top<T: Ord + Hash>(all: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: AHashMap<T, usize> = AHashMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(one, count)| (Reverse(count), one)).collect();
    counts.sort_unstable();
    counts.into_iter().take(TOP).map(|(Reverse(count), one)| (one, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::chat::monitoring::Details;
    use crate::events::json;
    use crate::events::timestamp::Iso;
    use crate::model::ids::SessionId;

    fn user(name: &str) -> UserId {
        UserId::parse(name, "user").unwrap()
    }

    fn viewer(name: &str) -> Viewer {
        Viewer::new(&Identity::of(user(name)))
    }

    fn admin() -> Viewer {
        Viewer::new(&Identity { roles: vec!["admin".into()], ..Identity::of(user("admin")) })
    }

    fn event(kind: ConnectionEventKind, name: Option<&str>, ip: &str, at: i64) -> ConnectionEvent {
        ConnectionEvent {
            kind,
            socket_id: Some(SessionId::random()),
            user_id: name.map(user),
            ip_address: ip.parse().ok(),
            user_agent: Some(format!("agent of {ip}").into()),
            timestamp: Iso(at),
            details: Details::default(),
        }
    }

    fn log() -> EventLog {
        let mut log = EventLog::default();
        for (at, (kind, name, ip)) in [
            (ConnectionEventKind::Connect, Some("alice"), "10.0.0.1"),
            (ConnectionEventKind::Connect, Some("bob"), "10.0.0.2"),
            (ConnectionEventKind::AuthFailure, None, "10.0.0.2"),
            (ConnectionEventKind::Disconnect, Some("alice"), "10.0.0.1"),
            (ConnectionEventKind::Connect, Some("bob"), "10.0.0.1"),
        ]
        .into_iter()
        .enumerate()
        {
            log.record(event(kind, name, ip, at as i64));
        }
        log
    }

    fn found(log: &EventLog, ask: &str, viewer: &Viewer) -> Vec<i64> {
        let ask = json::parse(ask.as_bytes()).unwrap();
        log.find(&ask, viewer).into_iter().map(|event| event.timestamp.0).collect()
    }

    #[test]
    fn the_log_keeps_the_newest_events() {
        let mut log = EventLog::default();
        for at in 0..EVENTS_MAX as i64 + 7 {
            log.record(event(ConnectionEventKind::Connect, None, "10.0.0.1", at));
        }
        assert_eq!(log.0.len(), EVENTS_MAX);
        assert_eq!(found(&log, r#"{"limit":2}"#, &admin()), [1_006, 1_005]);
        assert_eq!(log.0.front().map(|event| event.timestamp.0), Some(7));
    }

    #[test]
    fn filters_select_events_newest_first() {
        let log = log();
        for (ask, expected) in [
            ("{}", vec![4, 3, 2, 1, 0]),
            (r#"{"limit":2}"#, vec![4, 3]),
            (r#"{"type":"connect"}"#, vec![4, 1, 0]),
            (r#"{"type":"error"}"#, vec![]),
            (r#"{"userId":"alice"}"#, vec![3, 0]),
            (r#"{"ip":"10.0.0.1"}"#, vec![4, 3, 0]),
            (r#"{"ip":"::ffff:10.0.0.1"}"#, vec![4, 3, 0]),
            (r#"{"ip":"10.0.0.1","userId":"alice","type":"connect","limit":9}"#, vec![0]),
        ] {
            assert_eq!(found(&log, ask, &admin()), expected, "{ask}");
        }
    }

    #[test]
    fn a_user_without_the_admin_role_finds_only_own_events_by_address() {
        let log = log();
        for (ask, expected) in [
            ("{}", vec![4, 3, 2, 1, 0]),
            (r#"{"userId":"bob"}"#, vec![4, 1]),
            (r#"{"ip":"10.0.0.1"}"#, vec![3, 0]),
            (r#"{"ip":"10.0.0.2"}"#, vec![]),
            (r#"{"ip":"10.0.0.1","userId":"bob"}"#, vec![]),
            (r#"{"ip":"10.0.0.2","type":"auth_failure"}"#, vec![]),
        ] {
            assert_eq!(found(&log, ask, &viewer("alice")), expected, "{ask}");
        }
    }

    #[test]
    fn private_fields_of_other_users_are_hidden_from_users_without_the_admin_role() {
        let log = log();
        for (viewer, whole) in [(admin(), vec![4, 3, 2, 1, 0]), (viewer("alice"), vec![3, 0]), (viewer("x"), vec![])] {
            for event in log.recent(&viewer) {
                let shown = [event.socket_id.is_some(), event.ip_address.is_some(), event.user_agent.is_some()];
                assert_eq!(shown, [whole.contains(&event.timestamp.0); 3], "{viewer:?} {event:?}");
            }
            let ask = json::parse(b"{}").unwrap();
            assert_eq!(log.find(&ask, &viewer), log.recent(&viewer));
        }
    }

    #[test]
    fn top_lists_are_ordered_by_connects_and_visible_to_admins_only() {
        let mut log = log();
        for last in 10..30 {
            log.record(event(ConnectionEventKind::Connect, None, &format!("10.0.0.{last}"), 9));
        }
        let counted: Vec<_> = log.top_addresses(&admin()).into_iter().map(|top| (top.ip, top.count)).collect();
        let expected = ["10.0.0.1", "10.0.0.2"].into_iter().map(str::to_owned);
        let expected = expected.chain((10..18).map(|last| format!("10.0.0.{last}")));
        let counts = [2].into_iter().chain(std::iter::repeat(1));
        let expected: Vec<_> = expected.map(|ip| ip.parse::<IpAddr>().unwrap()).zip(counts).collect();
        assert_eq!(counted, expected);
        let agents = log.top_user_agents(&admin());
        assert_eq!((agents.len(), &*agents[0].user_agent, agents[0].count), (10, "agent of 10.0.0.1", 2));
        assert_eq!((log.top_addresses(&viewer("bob")), log.top_user_agents(&viewer("bob"))), (vec![], vec![]));
    }
}
