//! The settings of a hub without sockets: one worker, every topic open, no limits per minute. The fuzz targets use them too.

use hubbub_actors::hub::Settings;
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::presence;
use hubbub_actors::rooms::rules::{AccessRule, Rules, TopicRule};

/// Settings without limits that a reading client could reach.
pub(crate) fn settings() -> Settings {
    let anyone = TopicRule {
        pattern: Pattern::new("*"),
        subscribe: vec![AccessRule::Anyone],
        publish: vec![AccessRule::Anyone],
        history: None,
    };
    Settings {
        presence: presence::PresenceSettings { audience: presence::PresenceAudience::Off, ..Default::default() },
        rules: Rules(vec![anyone]),
        ..Settings::default()
    }
}
