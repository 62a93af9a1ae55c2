//! An outbox's way with frames: offered, seen by the pipe, gone. What each delivery costs beside the kernel.

use std::hint::black_box;
use std::rc::Rc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hubbub_actors::outbox::{Bound, Frame, Outbox};

const BOUND: Bound = Bound { bytes: 1 << 20, frames: 16_384 };

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
    // A thousand outboxes, as a fan-out meets them: none is in the cache.
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("a room of 1000", |bencher| {
        bencher.iter_batched_ref(
            || (0..1_000).map(|_| Box::new(Outbox::new(BOUND))).collect::<Vec<_>>(),
            |members| {
                for member in members {
                    black_box(member.offer(frame.clone(), None));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(outboxes, outbox);
criterion_main!(outboxes);
