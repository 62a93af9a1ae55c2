//! Whose tokens no longer hold, as the hub asks at every connect: a table in memory, the same as the store's. Off the
//! delivery path.

use std::sync::{PoisonError, RwLock};

use ahash::AHashMap;

use crate::fault::{Code, Fault};
use crate::identity::Identity;
use crate::ids::UserId;
use crate::store::Revocation;

/// The table.
#[derive(Debug, Default)]
pub struct Revoked(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    users: AHashMap<UserId, Vec<Entry>>,
    changes: u64,
}

#[derive(Debug)]
struct Entry {
    sign_in: Option<String>,
    until: Option<i64>,
    /// The number of the change that brought it.
    change: u64,
}

/// A moment in the table's life.
#[derive(Debug, Clone, Copy)]
pub struct Moment(u64);

impl Revoked {
    /// Refuses a token that no longer holds.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn check(&self, identity: &Identity) -> Result<(), Fault> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entries = table.users.get(&identity.user).map_or(&[][..], Vec::as_slice);
        match entries.iter().any(|entry| entry.sign_in.is_none() || entry.sign_in == identity.sign_in) {
            true => Err(Fault::new(Code::InvalidToken, "The token was revoked")),
            false => Ok(()),
        }
    }

    /// Adds a revocation; `false` when it is there already.
    pub fn add(&self, revocation: &Revocation) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).add(revocation)
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        Moment(self.0.read().unwrap_or_else(PoisonError::into_inner).changes)
    }

    /// Makes the table what was read from the store after `moment`, but for what was added since; answers what is new.
    pub fn replace(&self, moment: Moment, read: Vec<Revocation>) -> Vec<Revocation> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.users.retain(|user, entries| {
            entries.retain(|entry| {
                let still = |it: &Revocation| it.user == *user && it.sign_in == entry.sign_in;
                entry.change > moment.0 || read.iter().any(still)
            });
            !entries.is_empty()
        });
        read.into_iter().filter(|revocation| table.add(revocation)).collect()
    }

    /// Forgets what matters no more at `now`: the tokens have ended by themselves.
    pub fn sweep(&self, now: i64) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.users.retain(|_, entries| {
            entries.retain(|entry| entry.until.is_none_or(|until| until > now));
            !entries.is_empty()
        });
    }
}

impl Table {
    fn add(&mut self, revocation: &Revocation) -> bool {
        self.changes += 1;
        let entries = self.users.entry(revocation.user.clone()).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.sign_in == revocation.sign_in) {
            (entry.until, entry.change) = (revocation.until, self.changes);
            return false;
        }
        let Revocation { sign_in, until, .. } = revocation.clone();
        entries.push(Entry { sign_in, until, change: self.changes });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "id").unwrap()
    }

    fn revocation(id: &str, sign_in: Option<&str>) -> Revocation {
        Revocation { user: user(id), sign_in: sign_in.map(Into::into), until: sign_in.map(|_| 100) }
    }

    fn holds(revoked: &Revoked, id: &str, sign_in: Option<&str>) -> bool {
        let identity = Identity { sign_in: sign_in.map(Into::into), ..Identity::of(user(id)) };
        revoked.check(&identity).is_ok()
    }

    #[test]
    fn a_sign_in_is_revoked_alone_and_a_user_with_every_token() {
        let revoked = Revoked::default();
        assert!(revoked.add(&revocation("alice", Some("s1"))));
        assert!(!revoked.add(&revocation("alice", Some("s1"))));
        assert!(!holds(&revoked, "alice", Some("s1")));
        assert!(holds(&revoked, "alice", Some("s2")) && holds(&revoked, "alice", None));
        assert!(holds(&revoked, "bob", Some("s1")));
        revoked.add(&revocation("bob", None));
        assert!(!holds(&revoked, "bob", Some("s1")) && !holds(&revoked, "bob", None));
        revoked.sweep(100);
        assert!(holds(&revoked, "alice", Some("s1")) && !holds(&revoked, "bob", None));
    }

    #[test]
    fn what_is_added_while_the_store_is_read_stays() {
        let revoked = Revoked::default();
        revoked.add(&revocation("old", None));
        let moment = revoked.moment();
        revoked.add(&revocation("meanwhile", None));
        let new = revoked.replace(moment, vec![revocation("read", None)]);
        assert_eq!(new, [revocation("read", None)]);
        assert!(holds(&revoked, "old", None));
        assert!(!holds(&revoked, "meanwhile", None) && !holds(&revoked, "read", None));
    }
}
