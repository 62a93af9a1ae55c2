//! What outlasts a planned restart: written whole when the hub goes away in order, taken out whole when it comes back. A
//! hub that crashed wrote nothing, so that nobody takes what it had then for all that there was.

use rusqlite::Connection;

use super::Store;
use super::condition::Setback;
use crate::fault::Fault;

/// Something that is handed over to the next start.
pub(super) trait Handover: Sized + Send + 'static {
    /// The SQL that empties its tables.
    const CLEAR: &'static str;

    /// Writes all of it into its empty tables.
    fn write(&self, conn: &Connection) -> Result<(), Setback>;

    /// Reads all that its tables hold.
    fn read(conn: &Connection) -> Result<Self, Setback>;
}

impl Store {
    /// Keeps it until it is taken, instead of what there is.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(super) async fn hand_over<T: Handover>(&self, state: T) -> Result<(), Fault> {
        self.write(move |conn| {
            conn.execute_batch(T::CLEAR)?;
            state.write(conn)
        })
        .await
    }

    /// Takes out what was kept: it is read once.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(super) async fn take_over<T: Handover>(&self) -> Result<T, Fault> {
        self.write(|conn| {
            let taken = T::read(conn)?;
            conn.execute_batch(T::CLEAR)?;
            Ok(taken)
        })
        .await
    }
}
