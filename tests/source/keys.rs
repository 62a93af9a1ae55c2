//! A refusal names the configuration key of its limit: each of these names is a key.

use std::collections::BTreeSet;

use hubbub::config::Config;
use serde_json::Value;

use crate::files;

/// The keys and the sections of `value`.
fn keys(within: &str, value: &Value, found: &mut BTreeSet<String>) {
    found.insert(within.to_owned());
    for (name, value) in value.as_object().into_iter().flatten() {
        keys(&format!("{within}.{name}"), value, found);
    }
}

#[test]
fn every_named_limit_is_a_configuration_key() {
    let config = serde_json::to_value(Config::default()).unwrap();
    let mut known = BTreeSet::new();
    keys("limits", &config["limits"], &mut known);
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let files = files::below(&["actors/src", "src"]);
    for file in files.iter().filter(|file| !file.path.contains("/tests")) {
        let code = file.text.split("\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let texts = line.split('"').skip(1).step_by(2).filter(|text| text.starts_with("limits."));
            for key in texts.flat_map(|text| text.split(", ")) {
                checked += 1;
                if !known.contains(key) {
                    wrong.push(format!("{}:{}: there is no key {key}", file.path, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong keys:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 20, "{checked} keys were found");
}
