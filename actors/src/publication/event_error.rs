//! A refused event, as an encoder needs it.

use super::Correlation;
use crate::events::RefusalForm;
use crate::events::wording::ErrorStyle;
use crate::model::fault::Fault;

/// A refused event and the reason.
#[derive(Debug, Clone, Copy)]
pub struct EventError<'a> {
    /// The reason.
    pub fault: &'a Fault,
    /// The refused event; `None` when its name is unreadable, or when the hub refuses without a request.
    pub event: Option<&'a str>,
    /// The form of the refusal on `/`.
    pub refused: RefusalForm,
    /// The document that defines the error codes for clients of `/`.
    pub style: ErrorStyle,
    /// The name of the event that a successful request returns.
    pub reply: &'static str,
    /// The requested room, when the refusal repeats it.
    pub room: Option<&'a str>,
    /// The client's id of the request.
    pub correlation: &'a Correlation,
}

impl<'a> EventError<'a> {
    /// A refusal without a readable request.
    pub fn of(fault: &'a Fault, correlation: &'a Correlation) -> Self {
        Self {
            fault,
            event: None,
            refused: RefusalForm::Invalid,
            style: ErrorStyle::Push,
            reply: "",
            room: None,
            correlation,
        }
    }
}
