//! Tests of the memory through its public calls, on a manual clock.

use super::*;

const CONFLICT: &str = "The name was used before";
const ROOMY: Bound = Bound { entries: 100, bytes: 100_000 };

fn memory(owner: Bound, total: Bound) -> (Idempotency, Clock) {
    let clock = Clock::manual(1_000_000);
    (Idempotency::new(Bounds { owner, total }, CONFLICT, clock.clone()), clock)
}

fn key(owner: &str, name: &str) -> IdempotencyKey {
    IdempotencyKey { owner: owner.into(), name: name.into() }
}

fn first(memory: &Idempotency, owner: &str, name: &str) -> Ticket {
    match memory.look_up(&key(owner, name), [1; 32]).unwrap() {
        Found::First(ticket) => ticket,
        other => panic!("{name} of {owner}: {other:?}"),
    }
}

fn keep(memory: &Idempotency, owner: &str, name: &str, answer: &str) {
    first(memory, owner, name).keep(Bytes::copy_from_slice(answer.as_bytes()));
}

/// The stored answer; `None` when the name is not in use.
fn again(memory: &Idempotency, owner: &str, name: &str) -> Option<String> {
    match memory.look_up(&key(owner, name), [1; 32]).unwrap() {
        Found::First(ticket) => {
            ticket.free();
            None
        }
        Found::Again(answer) => Some(String::from_utf8(answer.to_vec()).unwrap()),
        Found::InProgress(_) => panic!("{name} of {owner} is in progress"),
    }
}

fn code(memory: &Idempotency, owner: &str, name: &str, digest: RequestDigest) -> Code {
    memory.look_up(&key(owner, name), digest).unwrap_err().code
}

#[test]
fn the_same_request_gets_the_first_answer_for_five_minutes() {
    let (memory, clock) = memory(ROOMY, ROOMY);
    keep(&memory, "one", "a", "yes");
    clock.advance(KEPT_MS - 1);
    assert_eq!(again(&memory, "one", "a").as_deref(), Some("yes"));
    clock.advance(1);
    assert_eq!(again(&memory, "one", "a"), None);
    assert_eq!(memory.fill(), Fill { entries: 0, bytes: 0, evicted_early: 0 });
}

#[test]
fn a_step_of_the_wall_clock_does_not_change_the_expiry_of_an_answer() {
    let (memory, clock) = memory(ROOMY, ROOMY);
    keep(&memory, "one", "a", "yes");
    clock.step(10 * KEPT_MS);
    assert_eq!(again(&memory, "one", "a").as_deref(), Some("yes"));
    clock.step(-20 * KEPT_MS);
    clock.advance(KEPT_MS);
    assert_eq!(again(&memory, "one", "a"), None);
}

#[test]
fn a_different_request_with_a_used_name_is_a_conflict() {
    let (memory, _) = memory(ROOMY, ROOMY);
    let ticket = first(&memory, "one", "a");
    assert_eq!(code(&memory, "one", "a", [2; 32]), Code::Conflict);
    ticket.keep(Bytes::new());
    let fault = memory.look_up(&key("one", "a"), [2; 32]).unwrap_err();
    assert_eq!((fault.code, &*fault.message), (Code::Conflict, CONFLICT));
    assert_eq!(again(&memory, "other", "a"), None, "two owners may use the same name");
}

#[test]
fn a_request_without_an_effect_frees_its_name() {
    let (memory, _) = memory(ROOMY, ROOMY);
    first(&memory, "one", "a").free();
    keep(&memory, "one", "a", "later");
    assert_eq!(again(&memory, "one", "a").as_deref(), Some("later"));
}

#[test]
fn a_dropped_ticket_leaves_an_unknown_outcome_until_it_expires() {
    let (memory, clock) = memory(ROOMY, ROOMY);
    drop(first(&memory, "one", "a"));
    assert_eq!(code(&memory, "one", "a", [1; 32]), Code::OutcomeUnknown);
    clock.advance(KEPT_MS);
    assert_eq!(again(&memory, "one", "a"), None);
}

#[tokio::test]
async fn a_second_request_waits_for_the_end_of_the_first() {
    let (memory, _) = memory(ROOMY, ROOMY);
    for end in [true, false] {
        let ticket = first(&memory, "one", "a");
        let waiting = memory.clone();
        let second = tokio::spawn(async move {
            match waiting.claim(&key("one", "a"), [1; 32]).await.unwrap() {
                Claim::First(ticket) => {
                    ticket.free();
                    None
                }
                Claim::Again(answer) => Some(answer),
            }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        match end {
            // The waiting request replaces a request without an effect.
            true => ticket.free(),
            false => ticket.keep(Bytes::from_static(b"yes")),
        }
        assert_eq!(second.await.unwrap().is_none(), end);
    }
}

#[test]
fn an_owner_over_its_share_evicts_only_its_own_answers() {
    let (memory, _) = memory(Bound { entries: 3, ..ROOMY }, ROOMY);
    keep(&memory, "other", "a", "other's");
    for n in 0..5 {
        keep(&memory, "one", &n.to_string(), "one's");
    }
    assert_eq!(memory.fill().evicted_early, 2);
    assert_eq!(again(&memory, "other", "a").as_deref(), Some("other's"));
    // The oldest answer was evicted.
    assert_eq!(again(&memory, "one", "1"), None);
    assert_eq!(again(&memory, "one", "4").as_deref(), Some("one's"));
}

#[test]
fn the_bytes_of_an_owner_are_bounded() {
    let (memory, _) = memory(Bound { bytes: 2_000, ..ROOMY }, ROOMY);
    keep(&memory, "other", "a", "other's");
    let large = "x".repeat(600);
    for n in 0..4 {
        keep(&memory, "one", &n.to_string(), &large);
    }
    assert_eq!((memory.fill().entries, memory.fill().evicted_early), (3, 2));
    assert!(memory.fill().bytes <= 2_300);
    keep(&memory, "one", "too large", &"x".repeat(2_000));
    assert_eq!(again(&memory, "one", "too large"), None);
    assert_eq!(again(&memory, "one", "3"), Some(large));
}

#[test]
fn a_full_memory_evicts_the_oldest_answer_of_the_owner_and_else_of_all() {
    let (memory, _) = memory(ROOMY, Bound { entries: 3, ..ROOMY });
    keep(&memory, "old", "a", "1");
    keep(&memory, "one", "a", "2");
    keep(&memory, "one", "b", "3");
    keep(&memory, "one", "c", "4");
    assert_eq!(again(&memory, "old", "a").as_deref(), Some("1"));
    keep(&memory, "new", "a", "5");
    assert_eq!(again(&memory, "one", "c").as_deref(), Some("4"));
    let ticket = first(&memory, "another", "a");
    assert_eq!((memory.fill().entries, memory.fill().evicted_early), (3, 3));
    drop(ticket);
}

#[test]
fn an_unfinished_request_is_never_evicted() {
    let (memory, _) = memory(Bound { entries: 2, ..ROOMY }, ROOMY);
    let tickets = ["a", "b"].map(|name| first(&memory, "one", name));
    assert_eq!(code(&memory, "one", "c", [1; 32]), Code::Overloaded);
    assert_eq!(again(&memory, "other", "c"), None, "another owner has space");
    let [a, b] = tickets;
    a.keep(Bytes::from_static(b"1"));
    keep(&memory, "one", "c", "2");
    b.free();
    assert_eq!(again(&memory, "one", "c").as_deref(), Some("2"));
}

#[test]
fn exported_requests_are_restored_in_the_next_memory() {
    let (before, clock) = memory(ROOMY, ROOMY);
    keep(&before, "one", "a", "yes");
    clock.advance(1_000);
    let under_way = first(&before, "one", "b");
    drop(first(&before, "two", "c"));
    let taken = before.take();
    assert_eq!(taken.iter().map(|one| one.left_ms).collect::<Vec<_>>(), [KEPT_MS - 1_000, KEPT_MS, KEPT_MS]);
    // After the export, nothing is claimed and a late answer is not stored.
    assert_eq!(code(&before, "one", "d", [1; 32]), Code::ShuttingDown);
    under_way.keep(Bytes::new());

    let (after, clock) = memory(ROOMY, ROOMY);
    after.restore(taken);
    assert_eq!(after.fill().entries, 3);
    assert_eq!(again(&after, "one", "a").as_deref(), Some("yes"));
    assert_eq!(code(&after, "one", "a", [2; 32]), Code::Conflict);
    for (owner, name) in [("one", "b"), ("two", "c")] {
        assert_eq!(code(&after, owner, name, [1; 32]), Code::OutcomeUnknown);
    }
    clock.advance(KEPT_MS - 1_000);
    assert_eq!(again(&after, "one", "a"), None);
}

#[test]
fn different_lists_of_parts_have_different_digests() {
    assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    assert_ne!(digest(&[b"a"]), digest(&[b"a", b""]));
}
