//! CounterVec and distributions that labels tell apart.

use super::family;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many series one name may have; what comes later is not counted.
const SERIES_MAX: usize = 4096;

/// What is kept for each combination of labels.
struct Vector<const N: usize, T> {
    labels: [&'static str; N],
    series: RwLock<BTreeMap<[String; N], T>>,
}

impl<const N: usize, T> Vector<N, T> {
    const fn new(labels: [&'static str; N]) -> Self {
        Self { labels, series: RwLock::new(BTreeMap::new()) }
    }

    fn with(&self, values: [&str; N], new: impl FnOnce() -> T, change: impl FnOnce(&T)) {
        let key = values.map(str::to_owned);
        if let Some(there) = self.series.read().get(&key) {
            return change(there);
        }
        let mut series = self.series.write();
        if series.len() < SERIES_MAX {
            change(series.entry(key).or_insert_with(new));
        }
    }

    fn clear(&self) {
        self.series.write().clear();
    }

    /// Each combination, as `a="1",b="2"`.
    fn each(&self, mut tell: impl FnMut(&str, &T)) {
        for (values, there) in self.series.read().iter() {
            let pairs = self.labels.iter().zip(values);
            let pairs: Vec<String> =
                pairs.map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
            tell(&pairs.join(","), there);
        }
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// CounterVec of one name. Labels stand in the order of their names.
pub(crate) struct CounterVec<const N: usize> {
    name: &'static str,
    help: &'static str,
    all: Vector<N, AtomicU64>,
}

impl<const N: usize> CounterVec<N> {
    pub(crate) const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, all: Vector::new(labels) }
    }

    pub(crate) fn count(&self, values: [&str; N]) {
        self.all.with(values, AtomicU64::default, |counter| {
            counter.fetch_add(1, Relaxed);
        });
    }

    pub(super) fn reset(&self) {
        self.all.clear();
    }

    pub(super) fn write(&self, out: &mut String) {
        family(out, self.name, "counter", self.help);
        self.all.each(|labels, counter| {
            _ = writeln!(out, "{}{{{labels}}} {}", self.name, counter.load(Relaxed));
        });
    }
}

/// How values are distributed: of one name, and told apart.
pub(crate) struct HistogramVec<const N: usize> {
    name: &'static str,
    help: &'static str,
    /// Upper bounds, ascending.
    bounds: &'static [f64],
    all: Vector<N, Histogram>,
}

struct Histogram {
    /// One for each bound, and one for what is above all.
    buckets: Vec<AtomicU64>,
    /// The bits of the sum, a floating-point number.
    sum: AtomicU64,
}

impl<const N: usize> HistogramVec<N> {
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
        labels: [&'static str; N],
    ) -> Self {
        Self { name, help, bounds, all: Vector::new(labels) }
    }

    pub(crate) fn observe(&self, values: [&str; N], value: f64) {
        let new = || Histogram {
            buckets: (0..=self.bounds.len()).map(|_| AtomicU64::default()).collect(),
            sum: AtomicU64::default(),
        };
        self.all.with(values, new, |histogram| {
            let bucket = self.bounds.partition_point(|bound| *bound < value);
            if let Some(bucket) = histogram.buckets.get(bucket) {
                bucket.fetch_add(1, Relaxed);
            }
            let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
            let _ = histogram.sum.fetch_update(Relaxed, Relaxed, add);
        });
    }

    pub(crate) fn took(&self, values: [&str; N], time: Duration) {
        self.observe(values, time.as_secs_f64());
    }

    pub(super) fn reset(&self) {
        self.all.clear();
    }

    pub(super) fn write(&self, out: &mut String) {
        let name = self.name;
        family(out, name, "histogram", self.help);
        self.all.each(|labels, histogram| {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut total = 0;
            for (i, bucket) in histogram.buckets.iter().enumerate() {
                total += bucket.load(Relaxed);
                let bound = self.bounds.get(i).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
            }
            let sum = f64::from_bits(histogram.sum.load(Relaxed));
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            _ = writeln!(out, "{name}_sum{labels} {sum}\n{name}_count{labels} {total}");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_apart() {
        let counters = CounterVec::new("x_total", "[ALPHA] X.", ["a", "b"]);
        counters.count(["1", "say \"no\"\\\n"]);
        counters.count(["0", ""]);
        counters.count(["0", ""]);
        let mut out = String::new();
        counters.write(&mut out);
        let expected = "# HELP x_total [ALPHA] X.\n# TYPE x_total counter\n\
                        x_total{a=\"0\",b=\"\"} 2\nx_total{a=\"1\",b=\"say \\\"no\\\"\\\\\\n\"} 1\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn values_are_distributed() {
        let histograms = HistogramVec::new("x", "[ALPHA] X.", &[0.5, 2.0], ["a"]);
        for value in [0.5, 0.25, 2.0, 7.0] {
            histograms.observe(["1"], value);
        }
        let mut out = String::new();
        histograms.write(&mut out);
        let expected = "# HELP x [ALPHA] X.\n# TYPE x histogram\n\
                        x_bucket{a=\"1\",le=\"0.5\"} 2\nx_bucket{a=\"1\",le=\"2\"} 3\nx_bucket{a=\"1\",le=\"+Inf\"} 4\n\
                        x_sum{a=\"1\"} 9.75\nx_count{a=\"1\"} 4\n";
        assert_eq!(out, expected);
        let plain: HistogramVec<0> = HistogramVec::new("y", "", &[1.0], []);
        plain.observe([], 2.0);
        let mut out = String::new();
        plain.write(&mut out);
        assert!(out.ends_with("y_bucket{le=\"1\"} 0\ny_bucket{le=\"+Inf\"} 1\ny_sum 2\ny_count 1\n"));
    }

    #[test]
    fn there_are_not_too_many() {
        let counters = CounterVec::new("x", "", ["a"]);
        for i in 0..SERIES_MAX + 10 {
            counters.count([&i.to_string()]);
        }
        assert_eq!(counters.all.series.read().len(), SERIES_MAX);
    }
}
