//! What the room actor restores at its start, and how histories are written to the disk and read back. [`segments`] does
//! the same for the publication log.

pub(crate) mod segments;

use std::sync::Arc;

use self::segments::SavedLog;
use super::history::SavedHistory;
use super::rules::{HistoryRule, Rules};
use crate::events::json;
use crate::model::fault::Fault;
use crate::model::ids::{Epoch, EventName, RoomName, UserId};
use crate::publication::{Event, Publication};
use crate::store::{StoredEvent, StoredHistory};

/// The log of the previous run, and the rooms of each record.
#[derive(Debug, Default)]
pub(crate) struct RestoredLog {
    pub(crate) log: SavedLog,
    /// The rooms of all records. A room is named once for each of its records.
    pub(crate) cursors: Vec<(RoomName, UserId)>,
}

/// A room's history from the previous run.
#[derive(Debug)]
pub(crate) struct RestoredHistory {
    pub(crate) room: RoomName,
    pub(crate) rule: HistoryRule,
    pub(crate) saved: SavedHistory,
}

impl RestoredHistory {
    /// Reads a stored history; `None` when the rules keep no history of the room now.
    pub(super) fn of(rules: &Rules, history: StoredHistory) -> Result<Option<Self>, Fault> {
        let room = RoomName::parse(&history.room, "room")?;
        let Some(rule) = rules.history(&room) else { return Ok(None) };
        // No topic has so many messages: the row is damaged, and its numbers would overflow.
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
        let saved = SavedHistory { epoch: Epoch::of(&history.epoch), last: history.last, messages };
        Ok(Some(Self { room, rule, saved }))
    }
}

/// Converts a room's history for the store.
pub(super) fn stored((room, SavedHistory { epoch, last, messages }): (RoomName, SavedHistory)) -> StoredHistory {
    let stored = |publication: Arc<Publication>| StoredEvent {
        name: publication.name().as_str().to_owned(),
        tells_topic: publication.topic().is_some(),
        data: publication.data().clone(),
        timestamp: publication.timestamp(),
    };
    let messages = messages.into_iter().map(stored).collect();
    StoredHistory { room: room.as_str().to_owned(), epoch: epoch.to_string(), last, messages }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::topic_pattern::Pattern;
    use crate::rooms::rules::{AccessRule, TopicRule};

    #[test]
    fn a_history_with_an_impossible_offset_or_invalid_json_is_rejected() {
        let rule = HistoryRule { messages: 5, age_ms: None };
        let anyone = || vec![AccessRule::Anyone];
        let pattern = Pattern::new("*");
        let rules = Rules(vec![TopicRule { pattern, subscribe: anyone(), publish: anyone(), history: Some(rule) }]);
        let restored_of = |last, messages: usize, data: &'static str| {
            let event = || StoredEvent { name: "x".into(), tells_topic: true, data: data.into(), timestamp: 1 };
            let messages = (0..messages).map(|_| event()).collect();
            let stored = StoredHistory { room: "room".into(), epoch: "e".into(), last, messages };
            RestoredHistory::of(&rules, stored).map(|restored| restored.map(|restored| restored.saved.messages.len()))
        };
        let restored = |last, messages| restored_of(last, messages, "1");
        assert_eq!(restored_of(2, 2, "{").unwrap_err().field.as_deref(), Some("data"));
        assert_eq!(restored(u64::MAX, 2).unwrap_err().field.as_deref(), Some("last"));
        assert!(restored(u64::MAX - 1, 0).is_err());
        assert_eq!(restored(i64::MAX as u64, 2), Ok(Some(2)));
    }
}
