//! The time of entries in an outbox: added, read by the socket writer, removed. The cost of a delivery without the kernel.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubbub_actors::connection::SlotId;
use hubbub_actors::connection::outbox::{Content, Entry, Outbox, OutboxCapacity};
use hubbub_actors::publication::Payload;

/// Members of a room.
const MEMBERS: usize = 1_000;

const BOUND: OutboxCapacity = OutboxCapacity { bytes: 1 << 20, entries: 16_384 };

fn outbox(criterion: &mut Criterion) {
    let content = Content::of(Payload::text([&[b'x'; 200][..]]));
    let entry = || Entry::new(SlotId::NONE, content.clone());
    let mut group = criterion.benchmark_group("outbox");
    for entries in [1_usize, 16, 256] {
        group.throughput(Throughput::Elements(entries as u64));
        // A used outbox, as nearly all are.
        let mut outbox = Outbox::new(BOUND);
        group.bench_function(format!("through/{entries}"), |bencher| {
            bencher.iter(|| {
                for _ in 0..entries {
                    black_box(outbox.offer(entry(), None));
                }
                let bytes: usize = outbox.messages().map(|(_, message)| message.len()).sum();
                black_box(bytes);
                outbox.advance(entries, 0);
            });
        });
    }
    // Used outboxes, in another room each time. The outboxes of 100 rooms do not fit into the CPU's nearest caches.
    for rooms in [1, 100] {
        let mut outboxes: Vec<_> = (0..rooms * MEMBERS).map(|_| Box::new(Outbox::new(BOUND))).collect();
        let mut write = |room: usize| {
            for member in outboxes.iter_mut().skip(room * MEMBERS).take(MEMBERS) {
                black_box(member.offer(entry(), None));
                member.advance(1, 0);
            }
        };
        (0..rooms).for_each(&mut write);
        let mut room = (0..rooms).cycle();
        group.throughput(Throughput::Elements(MEMBERS as u64));
        group.bench_function(format!("{rooms} rooms of {MEMBERS}"), |bencher| {
            bencher.iter(|| room.next().map(&mut write));
        });
    }
    group.finish();
}

criterion_group!(outboxes, outbox);
criterion_main!(outboxes);
