//! That a run fails by what must not happen, and that time counts from when a message was due.

use super::*;

const SIZE: usize = 100;

fn delivery(room: usize, number: u64) -> String {
    let mark = mark(room, number);
    format!(r#"{{"payload":"{mark}{}@"}}"#, "x".repeat(SIZE - mark.len() - 1))
}

fn ack(recipients: usize) -> String {
    format!(r#"{{"message_id":"m","recipients":{recipients}}}"#)
}

fn cast() -> Cast {
    Cast { publisher: 2, dialect: Dialect::Raw, members: vec![0, 1], deaf: None }
}

fn hear(load: &mut Broadcasts, who: usize, text: &str, now: Instant) -> Result<(), String> {
    let text = text.as_bytes();
    let heard = if who == 2 && position(text, b"recipients").is_some() {
        Heard::Answer(None, text)
    } else {
        Heard::Delivery(text)
    };
    load.message(who, heard, now, &mut Mail::default())
}

#[test]
fn what_is_lost_doubled_or_wrong_fails_the_run() {
    let now = Instant::now();
    let fresh = || {
        let mut load = Broadcasts::new(vec![cast()], Pace::InFlight(1), SIZE);
        load.start(now, &mut Mail::default());
        load
    };
    let mut load = fresh();
    for (who, text) in [(0, delivery(0, 0)), (2, ack(2)), (1, delivery(0, 0)), (1, delivery(0, 1))] {
        hear(&mut load, who, &text, now).unwrap();
    }
    assert!(!load.is_settled() && load.verify().is_err());
    load.stop();
    for (who, text) in [(0, delivery(0, 1)), (2, ack(2))] {
        hear(&mut load, who, &text, now).unwrap();
    }
    assert!(load.is_settled() && load.verify().is_ok());
    for (who, text) in [(0, delivery(0, 1)), (0, delivery(1, 0)), (2, delivery(0, 0)), (2, ack(1)), (2, ack(20))] {
        assert!(hear(&mut fresh(), who, &text, now).is_err(), "{text}");
    }
    let answer = Heard::Answer(Some(request(1)), b"\"recipients\":2");
    assert!(fresh().message(2, answer, now, &mut Mail::default()).is_err(), "the answer to another request");
}

#[test]
fn who_publishes_to_its_own_room_does_not_hear_itself() {
    let now = Instant::now();
    let mut load = Broadcasts::new(vec![Cast { members: vec![0, 1, 2], ..cast() }], Pace::InFlight(1), SIZE);
    load.start(now, &mut Mail::default());
    assert!(hear(&mut load, 2, &delivery(0, 0), now).is_err());
    for (who, text) in [(0, delivery(0, 0)), (2, ack(2)), (1, delivery(0, 0))] {
        hear(&mut load, who, &text, now).unwrap();
    }
}

#[test]
fn a_deaf_member_is_waited_for_by_nobody_and_may_be_put_out() {
    let now = Instant::now();
    let cast = Cast { deaf: Some(1), ..cast() };
    let mut load = Broadcasts::new(vec![cast], Pace::InFlight(1), SIZE);
    load.start(now, &mut Mail::default());
    for (who, text) in [(0, delivery(0, 0)), (2, ack(2)), (0, delivery(0, 1)), (2, ack(1))] {
        hear(&mut load, who, &text, now).unwrap();
    }
    assert_eq!(load.delivered(), 2);
}

#[test]
fn a_publisher_that_is_late_counts_from_when_it_was_due() {
    let start = Instant::now();
    let mut load = Broadcasts::new(vec![cast()], Pace::EachSecond(50), SIZE);
    load.start(start, &mut Mail::default());
    // The generator was away for three messages' time; nothing is left out, and each is as late as it is.
    let late = start + Duration::from_millis(45);
    load.tick(late, &mut Mail::default()).unwrap();
    assert_eq!((load.rooms[0].sent, load.due()), (3, Some(start + Duration::from_millis(60))));
    for number in 0..3 {
        hear(&mut load, 0, &delivery(0, number), late).unwrap();
    }
    let quantiles = [0.3, 0.6, 1.0].map(|share| load.latency.quantile(share).round());
    assert_eq!(quantiles, [5.0, 25.0, 45.0]);
}
