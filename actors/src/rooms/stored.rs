//! How what rooms keep goes to the disk when the hub goes away, and comes back.

use std::sync::Arc;

use super::history::Saved;
use super::rules::{HistoryRule, Rules};
use crate::delivery::{Delivery, Event};
use crate::fault::Fault;
use crate::ids::{Epoch, EventName, RoomName};
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
        let first = history.last.saturating_sub(history.messages.len() as u64) + 1;
        let restored = |(offset, event): (u64, StoredEvent)| {
            let (name, topic) = (EventName::parse(&event.name, "name")?, event.tells_topic.then(|| room.clone()));
            let StoredEvent { data, timestamp, .. } = event;
            Ok(Arc::new(Delivery::new(Event { name, topic, data, timestamp, offset: Some(offset) })))
        };
        let messages = (first..).zip(history.messages).map(restored).collect::<Result<_, Fault>>()?;
        let saved = Saved { epoch: Epoch::of(&history.epoch), last: history.last, messages };
        Ok(Some(Self { room, rule, saved }))
    }
}

/// What a room keeps, as the store has it.
pub(super) fn stored((room, Saved { epoch, last, messages }): (RoomName, Saved)) -> StoredHistory {
    let stored = |delivery: Arc<Delivery>| StoredEvent {
        name: delivery.name().as_str().to_owned(),
        tells_topic: delivery.topic().is_some(),
        data: delivery.data().clone(),
        timestamp: delivery.timestamp(),
    };
    let messages = messages.into_iter().map(stored).collect();
    StoredHistory { room: room.as_str().to_owned(), epoch: epoch.to_string(), last, messages }
}
