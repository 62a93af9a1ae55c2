//! The rate limit of one connection's CONNECTs, pure. CONNECTs to unknown namespaces count too: each costs a token
//! check, a session or at least a reply.

use hubbub_actors::limits::fixed_window::{Decision, Rule, Window};

/// CONNECTs of one connection that are authorized in a minute. At [`Attempt::Flood`] the connection is closed.
const CONNECTS: Rule = Rule::a_minute(60);

/// The name of that limit in the log.
pub(super) const RULE: &str = "60 CONNECTs of a connection in a minute";

/// Excess CONNECTs that are answered with a refusal. The rest get no reply.
const REFUSALS: u32 = 30;

/// The decision on a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It is authorized.
    Allowed,
    /// It is refused. The next one can be authorized after this many seconds.
    Refused(u32),
    /// It is refused without a reply. The next one can be authorized after this many seconds.
    Unanswered(u32),
    /// The connection is closed.
    Flood,
}

/// The CONNECTs of one connection.
#[derive(Debug, Default)]
pub(super) struct Connects(Window);

impl Connects {
    /// Counts a CONNECT at `now`, in ms of the monotonic clock.
    pub(super) fn count(&mut self, now: i64) -> Attempt {
        match self.0.count(now, CONNECTS) {
            Decision::Within => Attempt::Allowed,
            Decision::Over(seconds) if self.0.counted() <= CONNECTS.most + REFUSALS => Attempt::Refused(seconds),
            Decision::Over(seconds) => Attempt::Unanswered(seconds),
            Decision::Flood(_) => Attempt::Flood,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_authorized_then_refused_then_ignored_then_closed() {
        let mut connects = Connects::default();
        let attempts: Vec<_> = (0..602).map(|_| connects.count(1_000)).collect();
        let count = |what| attempts.iter().filter(|&&attempt| attempt == what).count();
        assert_eq!(
            (count(Attempt::Allowed), count(Attempt::Refused(60)), count(Attempt::Unanswered(60))),
            (60, 30, 510)
        );
        assert_eq!(
            (attempts[599], attempts[600], attempts[601]),
            (Attempt::Unanswered(60), Attempt::Flood, Attempt::Flood)
        );
    }

    #[test]
    fn a_new_window_begins_after_a_minute() {
        let mut connects = Connects::default();
        for _ in 0..100 {
            connects.count(0);
        }
        assert_eq!(connects.count(59_999), Attempt::Unanswered(1));
        assert_eq!(connects.count(60_000), Attempt::Allowed);
    }
}
