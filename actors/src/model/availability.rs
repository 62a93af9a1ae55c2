//! A user's availability.

/// The availability that a user shows to others. It applies to all sessions of the user, and ends with the last of
/// them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Availability {
    /// Connected.
    #[default]
    Online,
    /// Connected and inactive.
    Away,
    /// Connected and busy.
    Busy,
    /// Without a session. A user cannot set this value.
    Offline,
}
