//! Chooses the deliveries of a publication that are measured: one in [`DELIVERIES_PER_SAMPLE`], and at least one.

/// One of this number of deliveries is measured.
pub(super) const DELIVERIES_PER_SAMPLE: usize = 16;

/// Chooses the deliveries. The first one varies from publication to publication: in a large room the last deliveries
/// wait longer than the first, so every position must be measured equally often.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    /// Advances by the golden ratio, which spreads it evenly over its range.
    phase: u32,
}

/// The choice for one publication.
#[derive(Debug)]
pub(super) struct DeliverySample {
    /// Deliveries until the next that is measured.
    until: usize,
    accepted_us: Option<u64>,
}

impl Sampling {
    /// The choice for a publication with `deliveries` deliveries on this worker, accepted at `accepted_us`. Without a
    /// time, no delivery is measured.
    pub(super) fn of(&mut self, deliveries: usize, accepted_us: Option<u64>) -> DeliverySample {
        self.phase = self.phase.wrapping_add(0x9E37_79B9);
        let first = (u64::from(self.phase) * deliveries.clamp(1, DELIVERIES_PER_SAMPLE) as u64) >> 32;
        DeliverySample { until: first as usize, accepted_us }
    }
}

impl DeliverySample {
    /// When the publication was accepted, if the next delivery is measured.
    pub(super) fn next(&mut self) -> Option<u64> {
        if self.until > 0 {
            self.until -= 1;
            return None;
        }
        self.until = DELIVERIES_PER_SAMPLE - 1;
        self.accepted_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The positions of the measured deliveries.
    fn chosen(sampling: &mut Sampling, deliveries: usize) -> Vec<usize> {
        let mut sample = sampling.of(deliveries, Some(7));
        (0..deliveries).filter(|_| sample.next() == Some(7)).collect()
    }

    #[test]
    fn a_publication_has_at_least_one_sample_and_one_in_sixteen() {
        let mut sampling = Sampling::default();
        for _ in 0..100 {
            for (deliveries, samples) in [(1, 1), (2, 1), (15, 1), (16, 1), (32, 2), (1_600, 100)] {
                assert_eq!(chosen(&mut sampling, deliveries).len(), samples, "of {deliveries}");
            }
        }
    }

    #[test]
    fn every_position_is_measured_equally_often() {
        let mut sampling = Sampling::default();
        for deliveries in [2, 10, 16, 40] {
            let mut turns = vec![0; deliveries];
            (0..1_600).flat_map(|_| chosen(&mut sampling, deliveries)).for_each(|position| turns[position] += 1);
            let even = 1_600 / deliveries.min(DELIVERIES_PER_SAMPLE);
            assert!(turns.iter().all(|turns| (even - even / 8..=even + even / 8).contains(turns)), "{turns:?}");
        }
    }

    #[test]
    fn without_an_acceptance_time_nothing_is_measured() {
        let mut sample = Sampling::default().of(40, None);
        assert!((0..40).all(|_| sample.next().is_none()));
    }
}
