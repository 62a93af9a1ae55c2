//! The configuration file of a test hub.

use toml::{Table, Value as Toml};

use super::{API_KEY, JWT_SECRET};

/// The configuration of every test hub, with the keys of `more` merged over it.
#[track_caller]
pub(crate) fn configuration(more: &str) -> String {
    let mut whole: Table = toml::toml! {
        [server]
        host = "127.0.0.1"
        port = 0
        data_dir = "data"
        [auth]
        [api]
    };
    let mut set = |section: &str, key: &str, value: Toml| {
        whole[section].as_table_mut().unwrap().insert(key.to_owned(), value);
    };
    set("auth", "jwt_secret", JWT_SECRET.into());
    let key = Table::from_iter([("name".to_owned(), "tests".into()), ("key".to_owned(), API_KEY.into())]);
    set("api", "keys", vec![Toml::from(key)].into());
    merge(&mut whole, more.parse().expect("a test's configuration is TOML"));
    whole.to_string()
}

/// Merges the tables of `over` into those of `base`; other values are replaced.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Toml::Table(base)), Toml::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
