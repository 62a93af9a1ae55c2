//! Whose tokens no longer hold. What the hub goes by while it runs is [`crate::revoked`].

use rusqlite::{Connection, params};

use super::condition::Setback;
use super::{Store, stored_id};
use crate::fault::Fault;
use crate::ids::UserId;

/// Tokens that no longer hold: those of one sign-in, or all of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Whose.
    pub user: UserId,
    /// The sign-in; `None` for all tokens of the user.
    pub sign_in: Option<String>,
    /// When the last of them has ended by itself, ms since the epoch; `None` when that is not known.
    pub until: Option<i64>,
}

impl Store {
    /// The revocations that matter at `now`.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn revocations(&self, now: i64) -> Result<Vec<Revocation>, Fault> {
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT user_id, sign_in, until FROM revocations
                 WHERE until IS NULL OR until > ?1 ORDER BY user_id, sign_in",
            )?;
            let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let rows = rows.collect::<Result<Vec<(String, String, Option<i64>)>, _>>()?;
            rows.into_iter()
                .map(|(user, sign_in, until)| {
                    let sign_in = (!sign_in.is_empty()).then_some(sign_in);
                    Ok(Revocation { user: stored_id(&user)?, sign_in, until })
                })
                .collect()
        })
        .await
    }
}

/// Keeps a revocation, and forgets those that matter no more at `now`.
pub(super) fn record(conn: &Connection, revocation: &Revocation, now: i64) -> Result<(), Setback> {
    conn.prepare_cached("DELETE FROM revocations WHERE until <= ?1")?.execute([now])?;
    conn.prepare_cached(
        "INSERT INTO revocations (user_id, sign_in, made_at, until) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET made_at = ?3, until = ?4",
    )?
    .execute(params![
        revocation.user.as_str(),
        revocation.sign_in.as_deref().unwrap_or_default(),
        now,
        revocation.until
    ])?;
    Ok(())
}
