//! Checks the hub's health: compares a few values with thresholds, and reports issues with recommendations. Pure. Any
//! client with a token can read the report, so it has percentages and no absolute sizes of the machine.

use super::samples::Counted;
use crate::events::chat::monitoring::{Health, HealthStatus};

/// Fewest requests for a meaningful error rate. With fewer requests, the rate counts as 0.
const REQUESTS_MIN: u64 = 100;

/// The inputs of the health check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HealthInputs {
    /// Open connections, and the most that are allowed.
    pub connections: (usize, usize),
    /// Requests of the last 5 minutes.
    pub requests: Counted,
    /// The fullest mailbox: its name, its depth and its bound.
    pub fullest: Option<(String, usize, usize)>,
    /// Bytes of the process in memory, and their limit; `None` where the system reports no limit.
    pub memory: (u64, Option<u64>),
    /// Whether the store fails to write.
    pub is_store_failing: bool,
}

/// The thresholds, 0 to 1: a value at or above `warning` is a warning, at or above `critical` it is critical.
#[derive(Debug, Clone, Copy)]
struct Thresholds {
    warning: f64,
    critical: f64,
}

const CONNECTIONS: Thresholds = Thresholds { warning: 0.8, critical: 0.95 };
const ERRORS: Thresholds = Thresholds { warning: 0.05, critical: 0.25 };
const MAILBOX: Thresholds = Thresholds { warning: 0.5, critical: 0.9 };
const MEMORY: Thresholds = Thresholds { warning: 0.8, critical: 0.95 };

impl Thresholds {
    fn check(self, part: f64) -> HealthStatus {
        if part >= self.critical {
            HealthStatus::Critical
        } else if part >= self.warning {
            HealthStatus::Warning
        } else {
            HealthStatus::Healthy
        }
    }
}

/// Compares `inputs` with the thresholds. The status is the worst one found; each value over a threshold adds an issue.
pub fn check(inputs: &HealthInputs) -> Health {
    let mut health = Health::default();
    let mut found = |status: HealthStatus, issue: &dyn Fn() -> String, recommendation: &'static str| {
        if status > HealthStatus::Healthy {
            health.status = health.status.max(status);
            health.issues.push(issue());
            health.recommendations.push(recommendation);
        }
    };
    let (open, most) = inputs.connections;
    let used = part(open as f64, most as f64);
    found(
        CONNECTIONS.check(used),
        &|| format!("{} of the allowed connections are in use", percent(used)),
        "Raise server.max_connections where memory allows it, or add another hub",
    );
    let rate = if inputs.requests.requests < REQUESTS_MIN { 0.0 } else { inputs.requests.rate() };
    found(
        ERRORS.check(rate),
        &|| format!("{} of the requests of the last 5 minutes were refused or failed", percent(rate)),
        "Find the refused requests and their reasons in monitoring:events and in the log",
    );
    if let Some((name, depth, bound)) = &inputs.fullest {
        let full = part(*depth as f64, *bound as f64);
        found(
            MAILBOX.check(full),
            &|| format!("The mailbox of {name} is {} full", percent(full)),
            "Lower the load or give the hub more processor time; a full mailbox refuses requests",
        );
    }
    if let (resident, Some(most)) = inputs.memory {
        let used = part(resident as f64, most as f64);
        found(
            MEMORY.check(used),
            &|| format!("{} of the available memory is in use", percent(used)),
            "Give the hub more memory, or lower server.max_connections and limits.outbox_bytes",
        );
    }
    found(
        if inputs.is_store_failing { HealthStatus::Critical } else { HealthStatus::Healthy },
        &|| "The store cannot write".into(),
        "Find the reason in the log and repair the disk; features without storage are not affected",
    );
    health
}

fn part(some: f64, all: f64) -> f64 {
    if all > 0.0 { some / all } else { 0.0 }
}

/// A percentage, rounded down: a value below a threshold never prints as the threshold.
fn percent(part: f64) -> String {
    format!("{:.0}%", (part * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> HealthInputs {
        HealthInputs {
            connections: (10, 1_000),
            requests: Counted { requests: 1_000, errors: 1 },
            fullest: Some(("presence".into(), 3, 1_000)),
            memory: (100, Some(1_000)),
            is_store_failing: false,
        }
    }

    #[test]
    fn a_hub_below_all_thresholds_is_healthy() {
        for inputs in
            [healthy(), HealthInputs::default(), HealthInputs { memory: (100, None), fullest: None, ..healthy() }]
        {
            assert_eq!(check(&inputs), Health::default(), "{inputs:?}");
        }
    }

    #[test]
    fn each_value_has_its_thresholds_and_its_issue_text() {
        let connections = |open| HealthInputs { connections: (open, 1_000), ..healthy() };
        let errors = |errors, requests| HealthInputs { requests: Counted { requests, errors }, ..healthy() };
        let mailbox = |depth| HealthInputs { fullest: Some(("fanout-0".into(), depth, 1_000)), ..healthy() };
        let memory = |resident| HealthInputs { memory: (resident, Some(1_000)), ..healthy() };
        for (inputs, status, issue) in [
            (connections(799), HealthStatus::Healthy, ""),
            (connections(800), HealthStatus::Warning, "80% of the allowed connections are in use"),
            (connections(949), HealthStatus::Warning, "94% of the allowed connections are in use"),
            (connections(950), HealthStatus::Critical, "95% of the allowed connections are in use"),
            (connections(1_000), HealthStatus::Critical, "100% of the allowed connections are in use"),
            (errors(49, 1_000), HealthStatus::Healthy, ""),
            (
                errors(50, 1_000),
                HealthStatus::Warning,
                "5% of the requests of the last 5 minutes were refused or failed",
            ),
            (
                errors(25, 100),
                HealthStatus::Critical,
                "25% of the requests of the last 5 minutes were refused or failed",
            ),
            (errors(99, 99), HealthStatus::Healthy, ""),
            (mailbox(499), HealthStatus::Healthy, ""),
            (mailbox(500), HealthStatus::Warning, "The mailbox of fanout-0 is 50% full"),
            (mailbox(900), HealthStatus::Critical, "The mailbox of fanout-0 is 90% full"),
            (memory(799), HealthStatus::Healthy, ""),
            (memory(800), HealthStatus::Warning, "80% of the available memory is in use"),
            (memory(950), HealthStatus::Critical, "95% of the available memory is in use"),
            (HealthInputs { is_store_failing: true, ..healthy() }, HealthStatus::Critical, "The store cannot write"),
        ] {
            let health = check(&inputs);
            assert_eq!((health.status, health.issues.join("; ").as_str()), (status, issue), "{inputs:?}");
            assert_eq!(health.recommendations.len(), health.issues.len());
        }
    }

    #[test]
    fn the_status_is_the_worst_one_and_each_issue_has_a_recommendation() {
        let inputs = HealthInputs { connections: (1_000, 1_000), memory: (800, Some(1_000)), ..healthy() };
        assert_eq!(
            serde_json::to_value(check(&inputs)).unwrap(),
            serde_json::json!({
                "status": "critical",
                "issues": [
                    "100% of the allowed connections are in use",
                    "80% of the available memory is in use",
                ],
                "recommendations": [
                    "Raise server.max_connections where memory allows it, or add another hub",
                    "Give the hub more memory, or lower server.max_connections and limits.outbox_bytes",
                ],
            })
        );
    }
}
