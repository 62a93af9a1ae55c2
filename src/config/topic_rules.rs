//! Describes the topic rules in force, for the log at the start and for `hubbub check`.

use std::fmt::Write as _;

use hubbub_actors::rooms::rules::AccessRule;

use super::TopicRuleEntry;

/// Most rules in one line; `hubbub check --diff` and the file show all.
const SHOWN_MAX: usize = 20;

/// The rules in one line: each pattern with its access rules, and what happens to topics without a matching pattern. A
/// configured list replaces the built-in rule for `*`, so a list without `*` refuses all other topics.
pub fn in_force(rules: &[TopicRuleEntry]) -> String {
    let mut line = String::from("topic rules (the first match applies): ");
    for (index, rule) in rules.iter().take(SHOWN_MAX).enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(line, "{separator}{:?} subscribe {}", rule.pattern, names(&rule.subscribe));
        let _ = write!(line, ", publish {}", names(&rule.publish));
        if rule.history > 0 {
            let _ = write!(line, ", history {}", rule.history);
        }
    }
    if let Some(more) = rules.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        let _ = write!(line, "; and {more} more");
    }
    if rules.is_empty() {
        line = "there are no topic rules: clients may use no topic".into();
    } else if !rules.iter().any(|rule| rule.pattern == "*") {
        line.push_str("; other topics are refused, because no rule has the pattern \"*\"");
    }
    line
}

/// The access rules in the words of the configuration.
fn names(access: &[AccessRule]) -> String {
    access.iter().map(AccessRule::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn described(text: &str) -> String {
        let config: Config = toml::from_str(text).unwrap();
        in_force(&config.topics)
    }

    #[test]
    fn the_built_in_rule_is_described() {
        assert_eq!(
            described(""),
            "topic rules (the first match applies): \"*\" subscribe authenticated, publish authenticated"
        );
    }

    #[test]
    fn a_configured_rule_replaces_the_built_in_rule() {
        let news = "[[topics]]\npattern = 'news.*'\npublish = ['server', 'role:editor']\nhistory = 100\n";
        let rule = "topic rules (the first match applies): \"news.*\" subscribe authenticated, \
                    publish server or role:editor, history 100";
        let closed = "; other topics are refused, because no rule has the pattern \"*\"";
        assert_eq!(described(news), format!("{rule}{closed}"));
        let open = "; \"*\" subscribe anyone, publish authenticated";
        assert_eq!(
            described(&format!("{news}[[topics]]\npattern = '*'\nsubscribe = 'anyone'")),
            format!("{rule}{open}")
        );
        assert_eq!(described("topics = []"), "there are no topic rules: clients may use no topic");
    }

    #[test]
    fn a_long_list_is_shortened() {
        let rules: String = (0..23).map(|n| format!("[[topics]]\npattern = 'room{n}'\n")).collect();
        let line = described(&rules);
        assert!(
            line.contains("\"room19\"") && !line.contains("\"room20\"") && line.contains("; and 3 more;"),
            "{line}"
        );
    }
}
