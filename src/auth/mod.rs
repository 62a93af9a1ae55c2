//! Who is calling: from what a client shows to what the hub believes.
//!
//! | what came | who judges it | what it becomes |
//! |---|---|---|
//! | a token | [`tokens::Tokens`] | an [`Identity`](hubbub_actors::identity::Identity) |
//! | an API key | [`api_key::ApiKeys`] | an [`api_key::ApiKey`] |
//! | a signed request | [`signature::Signatures`] | leave to go on |
//!
//! What a token's claims mean is in `claims`, apart from how the token was verified, because more ways to verify one
//! will stand beside `jwt`: public keys from a file, key sets that are fetched and refreshed, and opaque tokens that the
//! application backend answers for.
//!
//! Knows neither configuration files nor HTTP: it takes plain settings and plain text, the time is an argument, and a
//! refusal is a [`Fault`](hubbub_actors::fault::Fault). No message it makes holds a secret, a token or an expected signature.

pub mod api_key;
mod claims;
pub mod jwt;
pub mod signature;
pub mod tokens;
