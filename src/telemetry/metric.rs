//! A metric of the [table](super::table): its name, kind, labels and help, and the source of its value.

use hubbub_actors::runtime::counters::{self, CounterMetric, Series, Stats};
use hubbub_actors::runtime::histogram::Snapshot;
use metrics::{Label, counter, gauge};

use super::Readings;

/// The type of a metric in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    /// A value that only grows. It starts at 0 with the process.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// Durations, counted by size.
    Histogram,
}

impl From<counters::CounterKind> for MetricKind {
    fn from(kind: counters::CounterKind) -> Self {
        match kind {
            counters::CounterKind::Counter => Self::Counter,
            counters::CounterKind::Gauge => Self::Gauge,
        }
    }
}

impl MetricKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Reads the values of a metric that are not plain counters of the hub.
pub(super) type ReadValue = fn(&Stats, &Readings<'_>, &mut SampleWriter<'_>);

/// One metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    /// The names of its labels. Each sample has a value for each of them.
    pub(super) labels: &'static [&'static str],
    /// One sentence, with the unit.
    pub(super) help: &'static str,
    /// The hub's counters that it shows.
    pub(super) series: &'static [Series],
    pub(super) read: ReadValue,
}

impl From<&CounterMetric> for Metric {
    fn from(&CounterMetric { name, kind, labels, help, series }: &CounterMetric) -> Self {
        Self { name, kind: kind.into(), labels, help, series, read: |_, _, _| {} }
    }
}

/// A counter.
pub(super) const fn counter(name: &'static str, help: &'static str, read: ReadValue) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels: &[], help, series: &[], read }
}

/// A gauge.
pub(super) const fn gauge(name: &'static str, help: &'static str, read: ReadValue) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels: &[], help, series: &[], read }
}

/// A histogram of durations.
pub(super) const fn histogram(name: &'static str, help: &'static str, read: ReadValue) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels: &[], help, series: &[], read }
}

/// A counter that [`super::Telemetry`] increments itself.
pub(super) const fn counted(name: &'static str, help: &'static str) -> Metric {
    counter(name, help, |_, _, _| {})
}

impl Metric {
    /// Takes the samples of the metric in a scrape.
    pub(super) fn sample(&'static self, stats: &Stats, readings: &Readings<'_>, lines: &mut Vec<String>) {
        let mut samples = SampleWriter { metric: self, lines };
        for series in self.series {
            samples.labelled(series.values, (series.count)(stats).get());
        }
        (self.read)(stats, readings, &mut samples);
    }

    /// The same metric with labels.
    pub(super) const fn by(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }
}

/// Writes the samples of one metric of a scrape.
pub(super) struct SampleWriter<'a> {
    pub(super) metric: &'static Metric,
    /// Lines of histograms. The recorder accepts no counted buckets.
    pub(super) lines: &'a mut Vec<String>,
}

impl SampleWriter<'_> {
    /// The value of a metric without labels.
    pub(super) fn set(&mut self, value: u64) {
        self.labelled(&[], value);
    }

    /// The value, if there is one.
    pub(super) fn set_if(&mut self, value: Option<u64>) {
        value.into_iter().for_each(|value| self.set(value));
    }

    /// The value of the series with these values of the metric's labels.
    pub(super) fn labelled(&mut self, values: &[&str], value: u64) {
        let name = self.metric.name;
        match self.metric.kind {
            MetricKind::Counter => counter!(name, self.labels(values)).absolute(value),
            MetricKind::Gauge | MetricKind::Histogram => gauge!(name, self.labels(values)).set(value as f64),
        }
    }

    /// A value with a fraction, if there is one. Counters of the recorder are integers, so the recorder gets a gauge; the page
    /// shows the kind of the table.
    pub(super) fn fraction(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|value| gauge!(self.metric.name).set(value));
    }

    /// The buckets of a histogram, in seconds.
    pub(super) fn histogram(&mut self, snapshot: &Snapshot) {
        const MICROS: f64 = 1_000_000.0;

        let name = self.metric.name;
        let bounds = snapshot.bounds.iter().map(|&bound| (bound as f64 / MICROS).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(snapshot.cumulative()) {
            self.lines.push(format!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        self.lines.push(format!("{name}_sum {}", snapshot.sum as f64 / MICROS));
        self.lines.push(format!("{name}_count {}", snapshot.count()));
    }

    fn labels(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        let labels = self.metric.labels.iter().zip(values);
        labels.map(|(&label, &value)| Label::new(label, value.to_owned())).collect()
    }
}
