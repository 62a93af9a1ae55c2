//! The documentation of every key, taken from the doc comment of its field.

use std::path::PathBuf;

use hubbub_actors::model::ids::UserId;
use hubbub_actors::rooms::rules::AccessRule;
use ipnet::IpNet;

use super::{Algorithm, AudienceSetting, KeyExpiry, LogFormat, Offsets, Scope, Secret};

/// A key of a section.
#[derive(Debug, Clone, Copy)]
pub struct KeyDoc {
    /// Its name in the section.
    pub name: &'static str,
    /// The lines of its doc comment.
    pub doc: &'static str,
    /// The keys within it, if it is a section or a list of tables.
    pub keys: &'static [KeyDoc],
}

/// The keys of a type: none, if it is a plain value.
pub trait DocumentedKeys {
    /// The keys, in the order of the struct.
    const KEYS: &'static [KeyDoc] = &[];
}

macro_rules! plain {
    ($($type:ty),*) => { $(impl DocumentedKeys for $type {})* };
}

plain!(bool, u16, u32, usize, String, PathBuf, Secret, IpNet, UserId, KeyExpiry);
plain!(AccessRule, Algorithm, AudienceSetting, LogFormat, Offsets, Scope);

impl<T: DocumentedKeys> DocumentedKeys for Option<T> {
    const KEYS: &'static [KeyDoc] = T::KEYS;
}

impl<T: DocumentedKeys> DocumentedKeys for Vec<T> {
    const KEYS: &'static [KeyDoc] = T::KEYS;
}

/// Defines a struct of keys, and collects the documentation of its fields.
macro_rules! documented {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])? pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$attribute])*
        pub struct $name {
            $($(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $field: $type,)*
        }

        impl $crate::config::keys::DocumentedKeys for $name {
            const KEYS: &'static [$crate::config::keys::KeyDoc] = &[$(
                $crate::config::keys::KeyDoc {
                    name: stringify!($field),
                    doc: concat!($($doc, "\n"),+),
                    keys: <$type as $crate::config::keys::DocumentedKeys>::KEYS,
                },
            )*];
        }
    };
}

pub(super) use documented;
