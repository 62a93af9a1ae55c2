//! Authentication: turns credentials of a client into a verified identity, key or request.
//!
//! | input | verified by | result |
//! |---|---|---|
//! | a token | [`tokens::Tokens`] | an [`Identity`](hubbub_actors::model::identity::Identity) |
//! | an API key | [`api_key::ApiKeys`] | an [`api_key::ApiKey`], with its [`scope::Scope`]s |
//! | a signed request | [`signature::Signatures`] | accepted or refused |
//!
//! `jwt` verifies a signed token by an `algorithm` and a key: the shared secret or a public key (`public_key`), which
//! may come from a key set (`key_set`) that `key_source` loads and refreshes. `opaque` asks the application about other
//! tokens. `claims` reads the claims of both.
//!
//! This module knows neither configuration files nor transports. It takes plain settings and plain text, the time is an
//! argument, and an error is a [`Fault`]. No message contains a secret, a token or an expected signature.

mod algorithm;
pub mod api_key;
mod claims;
pub mod jwt;
pub mod key_set;
pub mod key_source;
pub mod opaque;
pub mod public_key;
pub mod scope;
pub mod signature;
pub mod tokens;

use std::time::Duration;

use hubbub_actors::model::fault::{Code, Fault};

/// The error for a token that cannot be verified now; a client may retry after `wait`.
fn unavailable(wait: Duration) -> Fault {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
    Fault {
        retry_after: Some(seconds),
        ..Fault::new(Code::AuthUnavailable, "The token cannot be verified at the moment; try again")
    }
}

/// The error for a token when the hub does not understand the application's response. A retry gets the same response, so
/// the error suggests none.
fn not_understood() -> Fault {
    Fault::new(Code::AuthUnavailable, "The token cannot be verified: the answer about it was not understood")
        .by("auth.backend.url")
}
