//! Notifications that changed while a session waits for its unread ones; the changes are newer than the store. Pure and
//! bounded.

use ahash::AHashSet;

use crate::model::ids::NotificationId;

/// Notifications that are noted, at most.
pub const NOTED_MAX: usize = 1_000;

/// What was noted.
#[derive(Debug, Default)]
pub enum Noted {
    /// It is not asked for.
    #[default]
    Nothing,
    /// Something came about these.
    These(Box<AHashSet<NotificationId>>),
    /// They were more than [`NOTED_MAX`].
    TooMany,
}

impl Noted {
    /// Notes from here on.
    pub fn begin(&mut self) {
        *self = Self::These(Box::default());
    }

    /// Notes that something came about `id`.
    pub fn add(&mut self, id: &NotificationId) {
        if let Self::These(ids) = self {
            ids.insert(id.clone());
            if ids.len() > NOTED_MAX {
                *self = Self::TooMany;
            }
        }
    }

    /// Notes nothing any more. What was noted; `None` when it was too much.
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
