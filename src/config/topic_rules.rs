//! Describes the topic rules in force, for the log at the start and for `hubbub check`.

use std::fmt::Write as _;

use hubbub_actors::rooms::rules::AccessRule;

use super::TopicRule;

/// Most rules in one line; `hubbub check --diff` and the file show all.
const TOLD_MAX: usize = 20;

/// The rules in one line: each pattern with its access rules, and what happens to topics without a matching pattern. A
/// configured list replaces the built-in rule for `*`, so a list without `*` refuses all other topics.
pub fn in_force(rules: &[TopicRule]) -> String {
    let mut line = String::from("topic rules, the first that fits holds: ");
    for (index, rule) in rules.iter().take(TOLD_MAX).enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(line, "{separator}{:?} subscribe {}", rule.pattern, names(&rule.subscribe));
        let _ = write!(line, ", publish {}", names(&rule.publish));
        if rule.history > 0 {
            let _ = write!(line, ", history {}", rule.history);
        }
    }
    if let Some(more) = rules.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        let _ = write!(line, "; and {more} more");
    }
    if rules.is_empty() {
        line = "there are no topic rules: clients may use no topic".into();
    } else if !rules.iter().any(|rule| rule.pattern == "*") {
        line.push_str("; topics that fit none of these are refused, for no rule has the pattern \"*\"");
    }
    line
}

/// The access rules in the words of the configuration.
fn names(who: &[AccessRule]) -> String {
    who.iter().map(AccessRule::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn told(text: &str) -> String {
        let config: Config = toml::from_str(text).unwrap();
        in_force(&config.topics)
    }

    #[test]
    fn the_built_in_rule_is_told() {
        assert_eq!(
            told(""),
            "topic rules, the first that fits holds: \"*\" subscribe authenticated, publish authenticated"
        );
    }

    #[test]
    fn a_rule_of_ones_own_takes_the_place_of_the_built_in_one_and_that_is_told() {
        let news = "[[topics]]\npattern = 'news.*'\npublish = ['server', 'role:editor']\nhistory = 100\n";
        let rule = "topic rules, the first that fits holds: \"news.*\" subscribe authenticated, \
                    publish server or role:editor, history 100";
        let closed = "; topics that fit none of these are refused, for no rule has the pattern \"*\"";
        assert_eq!(told(news), format!("{rule}{closed}"));
        let open = "; \"*\" subscribe anyone, publish authenticated";
        assert_eq!(told(&format!("{news}[[topics]]\npattern = '*'\nsubscribe = 'anyone'")), format!("{rule}{open}"));
        assert_eq!(told("topics = []"), "there are no topic rules: clients may use no topic");
    }

    #[test]
    fn a_long_list_is_cut() {
        let rules: String = (0..23).map(|n| format!("[[topics]]\npattern = 'room{n}'\n")).collect();
        let line = told(&rules);
        assert!(
            line.contains("\"room19\"") && !line.contains("\"room20\"") && line.contains("; and 3 more;"),
            "{line}"
        );
    }
}
