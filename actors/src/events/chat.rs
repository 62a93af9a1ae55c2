//! The events of Socket.IO clients on `/chat`: so far, how a request is refused there.

use serde::Serialize;

use crate::fault::Fault;

/// A refusal as an acknowledgement.
#[derive(Debug, Serialize)]
pub struct Failed<'a> {
    success: bool,
    message: &'a str,
}

impl<'a> Failed<'a> {
    /// What a client is told of `fault`.
    pub fn new(fault: &'a Fault) -> Self {
        Self { success: false, message: &fault.message }
    }
}
