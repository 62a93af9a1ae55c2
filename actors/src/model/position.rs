//! A position in a topic's history.

/// The position behind a message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The numbering that the offset belongs to.
    pub epoch: String,
    /// The number of the last message before this position.
    pub offset: u64,
}
