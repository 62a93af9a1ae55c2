//! How often the client of one connection may ask to be let into namespaces, pure. Every CONNECT counts, also one for a
//! namespace that does not exist: each is a token to judge, a session to open or at least an answer.

use hubbub_actors::limits::fixed_window::{Decision, Rule, Window};

/// CONNECTs of one connection that are judged in a minute; the window is closed at [`Attempt::Flood`].
const CONNECTS: Rule = Rule::a_minute(60);

/// What the log calls that limit.
pub(super) const RULE: &str = "60 CONNECTs of a connection in a minute";

/// CONNECTs beyond those that are answered with a refusal; the client hears nothing of the rest.
const REFUSALS: u32 = 30;

/// What becomes of a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It is judged.
    Allowed,
    /// It is refused; the next can be judged in so many seconds.
    Refused(u32),
    /// It is refused, and not answered; the next can be judged in so many seconds.
    Unanswered(u32),
    /// The connection is closed.
    Flood,
}

/// The CONNECTs of one connection.
#[derive(Debug, Default)]
pub(super) struct Connects(Window);

impl Connects {
    /// Counts one at `now`, ms by the clock that nobody sets.
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
    fn a_burst_is_judged_then_refused_then_ignored_then_closed() {
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
    fn a_minute_later_it_begins_anew() {
        let mut connects = Connects::default();
        for _ in 0..100 {
            connects.count(0);
        }
        assert_eq!(connects.count(59_999), Attempt::Unanswered(1));
        assert_eq!(connects.count(60_000), Attempt::Allowed);
    }
}
