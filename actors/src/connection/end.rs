//! The end of a session or of a connection: its reason, and whether the log has it.

use std::cell::Cell;

use crate::model::close::Close;

/// Why a session or a connection ended.
#[derive(Debug, Default)]
pub struct EndState {
    /// The reason of the close by the hub; set once.
    closed: Cell<Option<Close>>,
    /// Why the client ended it. Counts when the hub did not close it.
    noted: Cell<Option<Close>>,
    /// The configuration key that caused the close, when it is not the usual one for this close.
    rule: Cell<Option<&'static str>>,
    is_logged: Cell<bool>,
    /// The connection was closed, and the session with it.
    is_inherited: Cell<bool>,
}

impl EndState {
    /// Closes it because of `rule`. `true`: it was open.
    pub(super) fn close(&self, close: Close, rule: Option<&'static str>) -> bool {
        let is_first = self.closed.get().is_none();
        if is_first {
            self.closed.set(Some(close));
            self.rule.set(rule);
        }
        is_first
    }

    /// Records why the client ended it. Only the first reason counts.
    pub fn note(&self, close: Close) {
        self.noted.set(self.noted.get().or(Some(close)));
    }

    /// The reason of the close; `None` while it is open.
    pub fn closed(&self) -> Option<Close> {
        self.closed.get()
    }

    /// The reason of the end; `None` when the connection was lost, or is open.
    pub fn reason(&self) -> Option<Close> {
        self.closed.get().or(self.noted.get())
    }

    /// The configuration key that caused the close, when it is not the usual one for this close.
    pub fn rule(&self) -> Option<&'static str> {
        self.rule.get()
    }

    /// Marks the reason as logged: by the refused request, or by another session of the connection.
    pub fn mark_logged(&self) {
        self.is_logged.set(true);
    }

    /// Whether the log has the reason of the close already.
    pub fn is_logged(&self) -> bool {
        self.is_logged.get()
    }

    /// Takes over the end of the connection, unless the session was closed itself.
    pub(super) fn inherit(&self, connection: &Self) {
        if self.closed.get().is_none() {
            self.closed.set(connection.closed.get());
            self.rule.set(connection.rule.get());
            self.is_inherited.set(true);
        }
        if self.is_inherited.get() {
            self.is_logged.set(self.is_logged.get() || connection.is_logged.get());
        }
        self.noted.set(self.noted.get().or(connection.noted.get()));
    }
}
