//! A counter that the threads of the hub change at the same time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The parts of a number that only increases: each thread adds to its own, and the threads beyond this number share them.
/// A power of two.
const PARTS: usize = 8;

/// A part of a number. It has a cache line of its own: processors that change the same line wait for each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Part(AtomicU64);

/// A number that only increases, or a number that increases and decreases.
#[derive(Debug)]
pub struct Count(Box<[Part]>);

/// A number that increases and decreases has one part: so it has all earlier changes whenever it is read.
impl Default for Count {
    fn default() -> Self {
        Self(Box::new([Part::default()]))
    }
}

impl Count {
    /// A number that only increases, for threads that change it often.
    pub fn increasing() -> Self {
        Self((0..PARTS).map(|_| Part::default()).collect())
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.part().fetch_add(n, Ordering::Relaxed);
    }

    /// Subtracts `n`; only for numbers that can decrease.
    pub fn sub(&self, n: u64) {
        self.part().fetch_sub(n, Ordering::Relaxed);
    }

    /// The current number.
    pub fn get(&self) -> u64 {
        self.0.iter().map(|Part(part)| part.load(Ordering::Relaxed)).sum()
    }

    /// The part of this thread.
    fn part(&self) -> &AtomicU64 {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let Part(part) = &self.0[THREAD.with(|thread| thread & (self.0.len() - 1))];
        part
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_number_has_the_changes_of_all_threads() {
        let (increasing, both) = (Count::increasing(), Count::default());
        thread::scope(|scope| {
            for _ in 0..2 * PARTS {
                scope.spawn(|| {
                    increasing.add(10);
                    both.add(10);
                    both.sub(9);
                });
            }
        });
        assert_eq!((increasing.get(), both.get()), (20 * PARTS as u64, 2 * PARTS as u64));
    }
}
