//! Who is calling: from what a client shows to what the hub believes.
//!
//! | what came | who judges it | what it becomes |
//! |---|---|---|
//! | a token | [`tokens::Tokens`] | an [`Identity`](hubbub_actors::model::identity::Identity) |
//! | an API key | [`api_key::ApiKeys`] | an [`api_key::ApiKey`] |
//! | a signed request | [`signature::Signatures`] | leave to go on |
//!
//! How a token is verified depends on its kind: `jwt` judges one by an `algorithm` and a key, the shared secret or a public one
//! (`public_key`), which may come from a set (`key_set`) that is loaded and refreshed (`key_source`); `opaque` asks the
//! application about a token that only it can read. What the claims mean is in `claims`, apart from all that.
//!
//! Knows neither configuration files nor how a request came: it takes plain settings and plain text, the time is an argument, and a
//! refusal is a [`Fault`]. No message it makes holds a secret, a token or an expected signature.

mod algorithm;
pub mod api_key;
mod claims;
pub mod jwt;
pub mod key_set;
pub mod key_source;
pub mod opaque;
pub mod public_key;
pub mod signature;
pub mod tokens;

use std::time::Duration;

use hubbub_actors::model::fault::{Code, Fault};

/// The refusal of a token that nobody can judge now; `wait` is when it may be tried again.
fn unavailable(wait: Duration) -> Fault {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
    Fault {
        retry_after: Some(seconds),
        ..Fault::new(Code::AuthUnavailable, "The token cannot be verified at the moment; try again")
    }
}

/// The refusal of a token about which the application gave an answer that means nothing to the hub. Another attempt gets
/// the same answer, so none is invited.
fn not_understood() -> Fault {
    Fault::new(Code::AuthUnavailable, "The token cannot be verified: the answer about it was not understood")
        .by("auth.backend.url")
}
