//! Notifications that changed while a session waits for its unread ones; the changes are newer than the store. Pure and
//! bounded.

use ahash::AHashSet;

use crate::model::ids::NotificationId;

/// Noted notifications, at most.
pub const NOTED_MAX: usize = 1_000;

/// The noted notifications.
#[derive(Debug, Default)]
pub enum Noted {
    /// Does not record changes.
    #[default]
    Nothing,
    /// Records changes: these notifications changed.
    These(Box<AHashSet<NotificationId>>),
    /// More than [`NOTED_MAX`] changed.
    TooMany,
}

impl Noted {
    /// Starts to note changes.
    pub fn begin(&mut self) {
        *self = Self::These(Box::default());
    }

    /// Notes a change of `id`.
    pub fn add(&mut self, id: &NotificationId) {
        if let Self::These(ids) = self {
            ids.insert(id.clone());
            if ids.len() > NOTED_MAX {
                *self = Self::TooMany;
            }
        }
    }

    /// Stops. Returns the noted notifications; `None` when there were too many.
    pub fn end(&mut self) -> Option<AHashSet<NotificationId>> {
        match std::mem::take(self) {
            Self::Nothing => Some(AHashSet::new()),
            Self::These(ids) => Some(*ids),
            Self::TooMany => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_noted_from_begin_and_up_to_a_bound() {
        let id = |number: usize| NotificationId::parse(&number.to_string(), "id").unwrap();
        let mut noted = Noted::default();
        let count = |noted: &mut Noted| noted.end().map(|ids| ids.len());
        noted.add(&id(0));
        assert_eq!(count(&mut noted), Some(0));
        noted.begin();
        for number in 0..NOTED_MAX {
            noted.add(&id(number));
            noted.add(&id(number));
        }
        assert_eq!(count(&mut noted), Some(NOTED_MAX));
        noted.add(&id(0));
        assert_eq!(count(&mut noted), Some(0), "the list is returned once");
        noted.begin();
        (0..=NOTED_MAX).for_each(|number| noted.add(&id(number)));
        assert_eq!(count(&mut noted), None);
    }
}
