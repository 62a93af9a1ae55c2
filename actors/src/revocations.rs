//! The revoked tokens, in memory: a copy of the store's table. Every token verification checks it. Not on the delivery
//! path.
//!
//! A revocation with a known expiry of its tokens expires with them. There are as many as recently ended sign-ins. For
//! a revocation made by a client, the lifetime of the tokens is unknown. At most [`REVOCATIONS_MAX`] of these are kept,
//! and none is evicted while there is space. When the table is full, a new one evicts the oldest, if it is older than
//! the longest lifetime of the hub's own tokens. Otherwise the new one is refused. No accepted revocation is evicted
//! earlier.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ahash::{AHashMap, AHashSet};

use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::UserId;
use crate::store::{EvictedRevocation, Revocation, RevocationScope, is_older};

/// Most revocations without a known expiry: of users, `sid`s and `jti`s. Revocations still being written do not count.
pub const REVOCATIONS_MAX: usize = 100_000;

/// `retry_after` while the revocations are unknown, seconds.
const UNKNOWN_SECS: u32 = 5;

/// The table, shared by all clones.
#[derive(Debug, Clone)]
pub struct Revoked {
    table: Arc<RwLock<RevocationTable>>,
    /// Whether the store has not been read yet.
    is_unknown: Arc<AtomicBool>,
    max: usize,
    token_life: Arc<AtomicI64>,
}

#[derive(Debug, Default)]
struct RevocationTable {
    entries: [AHashMap<Arc<str>, RevocationEntry>; RevocationScope::ALL.len()],
    /// Entries that expire, by expiry time.
    by_end: BTreeSet<(i64, RevocationScope, Arc<str>)>,
    /// Entries that can only be evicted, by age.
    by_age: BTreeSet<EvictedRevocation>,
    changes: u64,
}

#[derive(Debug, Clone, Copy)]
struct RevocationEntry {
    before: i64,
    until: Option<i64>,
    made_at: i64,
    /// The number of the change that added it.
    change: u64,
}

/// A version of the table.
#[derive(Debug, Clone, Copy)]
pub struct TableVersion(u64);

impl Revoked {
    /// An empty table. The hub's own tokens live at most `token_life` ms.
    pub fn new(token_life: i64) -> Self {
        let token_life = Arc::new(AtomicI64::new(token_life));
        Self { table: Arc::default(), is_unknown: Arc::default(), max: REVOCATIONS_MAX, token_life }
    }

    /// Sets whether the revocations are unknown.
    pub(crate) fn set_unknown(&self, is_unknown: bool) {
        self.is_unknown.store(is_unknown, Ordering::Release);
    }

    /// Sets the longest lifetime of the hub's own tokens, ms. A shorter value has no effect, because earlier tokens may
    /// live longer.
    pub fn expect_life(&self, token_life: i64) {
        self.token_life.fetch_max(token_life, Ordering::Relaxed);
    }

    /// Refuses a revoked token.
    ///
    /// # Errors
    /// [`Code::TokenRevoked`]; [`Code::AuthUnavailable`] while the revocations are unknown.
    pub fn check(&self, identity: &Identity) -> Result<(), Fault> {
        if self.is_unknown.load(Ordering::Acquire) {
            let message = "The revoked tokens are not known at the moment; try again";
            return Err(Fault { retry_after: Some(UNKNOWN_SECS), ..Fault::new(Code::AuthUnavailable, message) });
        }
        let table = self.read();
        let revoked = RevocationScope::ALL.into_iter().any(|scope| {
            let entry = scope.of(identity).and_then(|subject| table.entries[scope as usize].get(subject));
            entry.is_some_and(|entry| is_older(identity, entry.before))
        });
        if revoked { Err(Fault::new(Code::TokenRevoked, "The token was revoked").by("token revoked")) } else { Ok(()) }
    }

    /// The earliest time of issue of a valid token of `user`, ms since the epoch; `i64::MIN` without a revocation.
    pub fn earliest(&self, user: &UserId) -> i64 {
        self.read().entries[RevocationScope::User as usize].get(user.as_str()).map_or(i64::MIN, |entry| entry.before)
    }

    /// Makes space for one more revocation. Returns the evicted one, if any.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when the table is full and no revocation may be evicted.
    pub fn make_space(&self, revocation: &Revocation) -> Result<Option<EvictedRevocation>, Fault> {
        let mut table = self.write();
        if table.by_age.len() < self.max || table.entry(revocation).is_some() {
            return Ok(None);
        }
        let old_enough = revocation.made_at.saturating_sub(self.token_life.load(Ordering::Relaxed));
        match table.by_age.first().cloned() {
            Some(oldest) if oldest.made_at <= old_enough => {
                table.remove(oldest.scope, &oldest.subject);
                Ok(Some(oldest))
            }
            _ => {
                let message = format!("{} revocations are stored and none is old enough to be evicted", self.max);
                Err(Fault { message: message.into(), ..Fault::overloaded() })
            }
        }
    }

    /// Adds a revocation; `false` when it revokes no further token.
    pub fn add(&self, revocation: &Revocation) -> bool {
        self.write().add(revocation)
    }

    /// The current version.
    pub fn version(&self) -> TableVersion {
        TableVersion(self.read().changes)
    }

    /// Replaces the table by the revocations read from the store after `version`, and keeps the ones added since.
    /// Returns the new ones.
    pub fn replace(&self, version: TableVersion, read: Vec<Revocation>) -> Vec<Revocation> {
        let mut table = self.write();
        let stored: AHashSet<(RevocationScope, Arc<str>)> =
            read.iter().map(|it| (it.scope, it.subject.clone())).collect();
        for scope in RevocationScope::ALL {
            let entries = table.entries[scope as usize].iter();
            let gone = entries.filter(|(subject, entry)| {
                entry.change <= version.0 && !stored.contains(&(scope, Arc::clone(subject)))
            });
            let gone: Vec<Arc<str>> = gone.map(|(subject, _)| subject.clone()).collect();
            for subject in gone {
                table.remove(scope, &subject);
            }
        }
        read.into_iter().filter(|revocation| table.add(revocation)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, RevocationTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RevocationTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationTable {
    fn entry(&self, revocation: &Revocation) -> Option<RevocationEntry> {
        self.entries[revocation.scope as usize].get(&revocation.subject).copied()
    }

    fn add(&mut self, revocation: &Revocation) -> bool {
        while let Some((_, scope, subject)) =
            self.by_end.first().filter(|(until, ..)| *until <= revocation.made_at).cloned()
        {
            self.remove(scope, &subject);
        }
        self.changes += 1;
        let Revocation { scope, ref subject, before, until, made_at, .. } = *revocation;
        let old = self.remove(scope, subject);
        let entry = RevocationEntry {
            before: old.map_or(before, |old| old.before.max(before)),
            until: old.map_or(until, |old| Some(old.until?.max(until?))),
            made_at: old.map_or(made_at, |old| old.made_at.max(made_at)),
            change: self.changes,
        };
        self.entries[scope as usize].insert(subject.clone(), entry);
        match entry.until {
            Some(until) => _ = self.by_end.insert((until, scope, subject.clone())),
            // A disabled account is never evicted; the number of accounts bounds these entries.
            None if scope == RevocationScope::Account => {}
            None => {
                _ = self.by_age.insert(EvictedRevocation { made_at: entry.made_at, scope, subject: subject.clone() })
            }
        }
        old.is_none_or(|old| entry.before > old.before)
    }

    fn remove(&mut self, scope: RevocationScope, subject: &Arc<str>) -> Option<RevocationEntry> {
        let entry = self.entries[scope as usize].remove(subject)?;
        match entry.until {
            Some(until) => _ = self.by_end.remove(&(until, scope, subject.clone())),
            None => {
                _ = self.by_age.remove(&EvictedRevocation { made_at: entry.made_at, scope, subject: subject.clone() })
            }
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "id").unwrap()
    }

    fn token(of: &str, issued_at: Option<i64>) -> Identity {
        Identity { issued_at, ..Identity::of(user(of)) }
    }

    fn token_with(sign_in: Option<&str>, token_id: Option<&str>) -> Identity {
        let identity = token("alice", Some(i64::MAX - 1));
        Identity { sign_in: sign_in.map(Into::into), token_id: token_id.map(Into::into), ..identity }
    }

    fn is_valid(revoked: &Revoked, identity: &Identity) -> bool {
        match revoked.check(identity) {
            Ok(()) => true,
            Err(fault) => {
                assert_eq!((fault.code, &*fault.message), (Code::TokenRevoked, "The token was revoked"));
                false
            }
        }
    }

    #[test]
    fn tokens_issued_before_a_revocation_or_without_a_time_of_issue_are_refused() {
        let revoked = Revoked::new(0);
        let revocation = Revocation::of_user(&user("alice"), 1_000, 1_000);
        assert!(revoked.add(&revocation));
        for (identity, valid) in [
            (token("alice", Some(999)), false),
            (token("alice", None), false),
            (token("alice", Some(1_000)), true),
            (token("bob", None), true),
        ] {
            assert_eq!(is_valid(&revoked, &identity), valid, "{identity:?}");
            assert_eq!(revocation.hits(&identity), !valid, "{identity:?}");
        }
        assert_eq!((revoked.earliest(&user("alice")), revoked.earliest(&user("bob"))), (1_000, i64::MIN));
    }

    #[test]
    fn every_token_is_refused_while_the_revocations_are_unknown() {
        let revoked = Revoked::new(0);
        revoked.clone().set_unknown(true);
        let refused = revoked.check(&token("alice", Some(1))).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::AuthUnavailable, Some(UNKNOWN_SECS)));
        revoked.set_unknown(false);
        assert!(is_valid(&revoked, &token("alice", Some(1))));
    }

    #[test]
    fn an_earlier_revocation_does_not_replace_a_later_one() {
        let revoked = Revoked::new(0);
        let of = |before, now| Revocation::of_user(&user("alice"), before, now);
        assert!(revoked.add(&of(1_000, 1_000)));
        assert!(!revoked.add(&of(500, 2_000)));
        assert!(!is_valid(&revoked, &token("alice", Some(999))));
        assert!(revoked.add(&of(1_500, 3_000)));
        assert!(!is_valid(&revoked, &token("alice", Some(1_499))));
    }

    #[test]
    fn a_revoked_sid_and_a_revoked_jti_are_not_confused() {
        let revoked = Revoked::new(0);
        revoked.add(&Revocation::parse_sid("s", "sid", 0).unwrap());
        revoked.add(&Revocation::parse_jti("t", "jti", 0).unwrap());
        assert!(!is_valid(&revoked, &token_with(Some("s"), None)));
        assert!(!is_valid(&revoked, &token_with(None, Some("t"))));
        assert!(is_valid(&revoked, &token_with(Some("t"), Some("s"))));
        assert!(is_valid(&revoked, &token_with(None, None)));
    }

    #[test]
    fn a_revocation_with_an_expiry_is_removed_at_its_expiry() {
        let revoked = Revoked::new(0);
        revoked.add(&Revocation::of_sign_in("s", user("alice"), 100, 0));
        let other = |now| Revocation::of_user(&user("bob"), 0, now);
        revoked.add(&other(99));
        assert!(!is_valid(&revoked, &token_with(Some("s"), None)));
        revoked.add(&other(100));
        assert!(is_valid(&revoked, &token_with(Some("s"), None)));
    }

    #[test]
    fn a_revocation_added_during_a_read_of_the_store_stays() {
        let revoked = Revoked::new(0);
        let of = |id| Revocation::of_account(&user(id), 0);
        revoked.add(&of("old"));
        let version = revoked.version();
        revoked.add(&of("meanwhile"));
        assert_eq!(revoked.replace(version, vec![of("read")]), [of("read")]);
        assert!(is_valid(&revoked, &token("old", None)));
        assert!(
            !is_valid(&revoked, &token("meanwhile", None)) && !is_valid(&revoked, &token("read", Some(i64::MAX - 1)))
        );
    }

    #[test]
    fn the_oldest_revocation_is_evicted_only_after_the_longest_token_lifetime() {
        let revoked = Revoked { max: 2, ..Revoked::new(100) };
        let of = |id, now| Revocation::of_user(&user(id), i64::MAX, now);
        revoked.add(&Revocation::of_account(&user("dave"), 0));
        for (id, now) in [("alice", 10), ("bob", 15), ("alice", 20), ("bob", 30)] {
            assert_eq!(revoked.make_space(&of(id, now)), Ok(None));
            revoked.add(&of(id, now));
        }
        assert_eq!(revoked.make_space(&of("carol", 119)).unwrap_err().code, Code::Overloaded);
        assert_eq!(revoked.make_space(&of("alice", 119)), Ok(None), "alice has a revocation already");
        let evicted = revoked.make_space(&of("carol", 120)).unwrap().unwrap();
        assert_eq!((&*evicted.subject, evicted.made_at), ("alice", 20));
        revoked.add(&of("carol", 120));
        assert!(is_valid(&revoked, &token("alice", None)));
        assert!(!is_valid(&revoked, &token("bob", None)) && !is_valid(&revoked, &token("dave", None)));
        // A longer lifetime stays in force when it is shortened again: earlier tokens still live as long.
        for life in [1_000, 50] {
            revoked.expect_life(life);
        }
        assert_eq!(revoked.make_space(&of("eve", 1_029)).unwrap_err().code, Code::Overloaded);
        assert!(revoked.make_space(&of("eve", 1_030)).unwrap().is_some());
    }
}
