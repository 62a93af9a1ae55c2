//! An outbox's way with frames: offered, seen by the pipe, gone. What each delivery costs beside the kernel.

use std::hint::black_box;
use std::rc::Rc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubbub_actors::connection::outbox::{Frame, Outbox, OutboxCapacity};

/// Members of a room.
const MEMBERS: usize = 1_000;

const BOUND: OutboxCapacity = OutboxCapacity { bytes: 1 << 20, frames: 16_384 };

fn outbox(criterion: &mut Criterion) {
    let frame: Frame = Rc::new(Bytes::from(vec![b'x'; 200]));
    let mut group = criterion.benchmark_group("outbox");
    for frames in [1_usize, 16, 256] {
        group.throughput(Throughput::Elements(frames as u64));
        // One that was used before, as nearly all are.
        let mut outbox = Outbox::new(BOUND);
        group.bench_function(format!("through/{frames}"), |bencher| {
            bencher.iter(|| {
                for _ in 0..frames {
                    black_box(outbox.offer(frame.clone(), None));
                }
                let bytes = outbox.slices().map(<[u8]>::len).sum();
                outbox.advance(black_box(bytes));
            });
        });
    }
    // Rooms whose members were written to before, each time another one: with a hundred of them, more outboxes than the
    // nearest caches hold.
    for rooms in [1, 100] {
        let mut outboxes: Vec<_> = (0..rooms * MEMBERS).map(|_| Box::new(Outbox::new(BOUND))).collect();
        let mut write = |room: usize| {
            for member in outboxes.iter_mut().skip(room * MEMBERS).take(MEMBERS) {
                black_box(member.offer(frame.clone(), None));
                member.advance(frame.len());
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
