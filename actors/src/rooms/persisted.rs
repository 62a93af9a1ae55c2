//! How what rooms keep goes to the disk when the hub goes away, and comes back.

use std::sync::Arc;

use super::history::Saved;
use super::rules::{HistoryRule, Rules};
use crate::events::json;
use crate::model::fault::Fault;
use crate::model::ids::{Epoch, EventName, RoomName};
use crate::publication::{Event, Publication};
use crate::store::{StoredEvent, StoredHistory};

/// What a room kept before the start.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) room: RoomName,
    pub(crate) rule: HistoryRule,
    pub(crate) saved: Saved,
}

impl Restored {
    /// What was stored of a room that keeps history still.
    pub(super) fn of(rules: &Rules, history: StoredHistory) -> Result<Option<Self>, Fault> {
        let room = RoomName::parse(&history.room, "room")?;
        let Some(rule) = rules.history(&room) else { return Ok(None) };
        // No topic ever had so many messages: the row is damaged, and its numbers would overflow.
        if i64::try_from(history.last).is_err() {
            return Err(Fault::field("last", "`last` is no offset"));
        }
        let first = history.last.saturating_sub(history.messages.len() as u64) + 1;
        let restored = |(offset, event): (u64, StoredEvent)| {
            let (name, topic) = (EventName::parse(&event.name, "name")?, event.tells_topic.then(|| room.clone()));
            let StoredEvent { data, timestamp, .. } = event;
            if !json::is_json(&data) {
                return Err(Fault::field("data", "`data` is no JSON"));
            }
            Ok(Arc::new(Publication::new(Event { name, topic, data, timestamp, offset: Some(offset) })))
        };
        let messages = (first..).zip(history.messages).map(restored).collect::<Result<_, Fault>>()?;
        let saved = Saved { epoch: Epoch::of(&history.epoch), last: history.last, messages };
        Ok(Some(Self { room, rule, saved }))
    }
}

/// What a room keeps, as the store has it.
pub(super) fn stored((room, Saved { epoch, last, messages }): (RoomName, Saved)) -> StoredHistory {
    let stored = |delivery: Arc<Publication>| StoredEvent {
        name: delivery.name().as_str().to_owned(),
        tells_topic: delivery.topic().is_some(),
        data: delivery.data().clone(),
        timestamp: delivery.timestamp(),
    };
    let messages = messages.into_iter().map(stored).collect();
    StoredHistory { room: room.as_str().to_owned(), epoch: epoch.to_string(), last, messages }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::topic_pattern::Pattern;
    use crate::rooms::rules::{TopicRule, Who};

    #[test]
    fn a_history_that_ends_beyond_all_offsets_or_is_no_json_is_left_out() {
        let rule = HistoryRule { messages: 5, age_ms: None };
        let who = || vec![Who::Anyone];
        let pattern = Pattern::new("*");
        let rules = Rules(vec![TopicRule { pattern, subscribe: who(), publish: who(), history: Some(rule) }]);
        let restored_of = |last, messages: usize, data: &'static str| {
            let event = || StoredEvent { name: "x".into(), tells_topic: true, data: data.into(), timestamp: 1 };
            let messages = (0..messages).map(|_| event()).collect();
            let stored = StoredHistory { room: "room".into(), epoch: "e".into(), last, messages };
            Restored::of(&rules, stored).map(|restored| restored.map(|restored| restored.saved.messages.len()))
        };
        let restored = |last, messages| restored_of(last, messages, "1");
        assert_eq!(restored_of(2, 2, "{").unwrap_err().field.as_deref(), Some("data"));
        assert_eq!(restored(u64::MAX, 2).unwrap_err().field.as_deref(), Some("last"));
        assert!(restored(u64::MAX - 1, 0).is_err());
        assert_eq!(restored(i64::MAX as u64, 2), Ok(Some(2)));
    }
}
