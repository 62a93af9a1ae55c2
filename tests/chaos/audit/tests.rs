use super::*;

const LAST: PublishedId = PublishedId { publisher: LAST_PUBLISHER, n: 0 };

fn message(n: u64) -> PublishedId {
    PublishedId { publisher: 0, n }
}

fn attempts(results: &[PublishResult]) -> Vec<PublishAttempt> {
    let attempt =
        |(n, result): (usize, &PublishResult)| PublishAttempt { topic: 0, message: message(n as u64), result: *result };
    let last = PublishAttempt { topic: 0, message: LAST, result: PublishResult::Accepted };
    results.iter().enumerate().map(attempt).chain([last]).collect()
}

/// The record of a reader with these events and the last message.
fn record(events: &[ReaderEvent]) -> ReaderRecord {
    let mut record = ReaderRecord { name: "reader".into(), ..ReaderRecord::default() };
    for event in events {
        record.add(0, *event);
    }
    record.add(0, ReaderEvent::Received(LAST));
    record
}

fn received(numbers: &[u64]) -> Vec<ReaderEvent> {
    numbers.iter().map(|n| ReaderEvent::Received(message(*n))).collect()
}

fn faults(events: &[ReaderEvent]) -> usize {
    DeliveryAudit::of(&attempts(&[PublishResult::Accepted; 5]), None, &[record(events)]).faults.len()
}

#[test]
fn missing_duplicate_and_reordered_messages_are_faults() {
    assert_eq!(faults(&received(&[0, 1, 2, 3, 4])), 0);
    assert_eq!(faults(&received(&[1, 2, 3, 4])), 1, "the first is missing");
    assert_eq!(faults(&received(&[0, 1, 3, 4])), 1, "one is missing");
    assert_eq!(faults(&received(&[0, 1, 2, 3])), 1, "the last is missing");
    assert_eq!(faults(&received(&[0, 1, 1, 2, 3, 4])), 1, "one arrived twice");
    assert_eq!(faults(&received(&[0, 2, 1, 3, 4])), 2, "one arrived late, after it counted as missing");
    assert_eq!(faults(&received(&[0, 1, 2, 3, 4, 5])), 1, "5 was never published");
}

#[test]
fn a_missing_message_is_no_fault_at_a_reported_loss_only() {
    let events = |reconnect: ReaderEvent, then: &[u64]| [received(&[0, 1]), vec![reconnect], received(then)].concat();
    assert_eq!(faults(&events(ReaderEvent::Lost, &[3, 4])), 0);
    assert_eq!(faults(&events(ReaderEvent::Lost, &[])), 0);
    assert_eq!(faults(&events(ReaderEvent::Recovered, &[3, 4])), 1);
    assert_eq!(faults(&events(ReaderEvent::Lost, &[2, 4])), 1, "the loss was reported before the gap");
    assert_eq!(faults(&events(ReaderEvent::Lost, &[1, 2, 3, 4])), 1, "one arrived twice");
}

#[test]
fn a_refused_message_must_not_arrive_and_an_unanswered_one_can() {
    use PublishResult::{Accepted, Refused, Unknown};
    let faults = |third: PublishResult, numbers: &[u64]| {
        let attempts = attempts(&[Accepted, Accepted, third, Accepted]);
        DeliveryAudit::of(&attempts, None, &[record(&received(numbers))]).faults.len()
    };
    assert_eq!((faults(Unknown, &[0, 1, 3]), faults(Unknown, &[0, 1, 2, 3])), (0, 0));
    assert_eq!((faults(Refused, &[0, 1, 3]), faults(Refused, &[0, 1, 2, 3])), (0, 1));
}

#[test]
fn readers_receive_the_history_and_no_loss_report_if_no_loss_is_allowed() {
    let faults = |history: &[u64], events: &[ReaderEvent]| {
        let history: Vec<_> = history.iter().map(|n| message(*n)).chain([LAST]).collect();
        DeliveryAudit::of(&attempts(&[PublishResult::Accepted; 3]), Some(&[history]), &[record(events)]).faults.len()
    };
    let around = |event: ReaderEvent| [received(&[0, 1]), vec![event], received(&[2])].concat();
    assert_eq!(faults(&[0, 1, 2], &received(&[0, 1, 2])), 0);
    assert_eq!(faults(&[0, 2, 1], &received(&[0, 1, 2])), 1);
    assert_eq!(faults(&[0, 1, 2], &around(ReaderEvent::Lost)), 1);
    assert_eq!(faults(&[0, 1, 2], &around(ReaderEvent::Recovered)), 0);
}

#[test]
fn a_reader_without_the_last_message_is_a_fault() {
    let mut record = record(&received(&[0, 1, 2, 3, 4]));
    record.events.get_mut(&0).unwrap().pop();
    assert_eq!(DeliveryAudit::of(&attempts(&[PublishResult::Accepted; 5]), None, &[record]).faults.len(), 1);
}
