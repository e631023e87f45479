//! Completion indexes of Jobs, as text in status and annotations: `0,2-5,7`. Facts:
//! `pkg/controller/job/indexed_job_utils.go`.

use api::core::v1::Pod;
use std::collections::BTreeSet;
use std::fmt;

/// The label and annotation that say which index a pod is for.
pub(super) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The index that a pod is for.
pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    let text = pod.metadata.annotations.as_ref()?.get(COMPLETION_INDEX)?;
    text.parse().ok().filter(|index| *index >= 0)
}

/// A set of indexes, as ranges of both their ends, ordered, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Of a text; indexes from `completions` on are left out, and so is what cannot be read.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let mut all = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
            if first < 0 || first >= completions {
                continue;
            }
            all.push(first, last.min(completions - 1));
        }
        all
    }

    /// Adds a range that begins at or after the last one; they grow together where they touch.
    fn push(&mut self, first: i32, last: i32) {
        match self.0.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// With others.
    pub(super) fn union(&self, others: &Self) -> Self {
        let mut ranges: Vec<_> = self.0.iter().chain(&others.0).copied().collect();
        ranges.sort_unstable();
        let mut all = Self::default();
        ranges.into_iter().for_each(|(first, last)| all.push(first, last));
        all
    }

    /// How many there are.
    pub(super) fn count(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether one is among them.
    pub(super) fn has(&self, index: i32) -> bool {
        let place = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(place).is_some_and(|(first, _)| *first <= index)
    }

    /// How many are in both.
    pub(super) fn overlap(&self, others: &Self) -> i32 {
        let (mut here, mut there, mut count) = (0, 0, 0);
        while let (Some(one), Some(other)) = (self.0.get(here), others.0.get(there)) {
            count += (one.1.min(other.1) - one.0.max(other.0) + 1).max(0);
            if one.1 <= other.1 { here += 1 } else { there += 1 }
        }
        count
    }

    /// The first `count` below `completions` that are not among them.
    pub(super) fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut found = Vec::new();
        let mut next = 0;
        for &(first, last) in self.0.iter().chain([&(completions, completions)]) {
            found.extend((next..first.min(completions)).take(count - found.len()));
            next = next.max(last.saturating_add(1));
        }
        found
    }
}

impl From<BTreeSet<i32>> for Indexes {
    fn from(indexes: BTreeSet<i32>) -> Self {
        let mut all = Self::default();
        indexes.into_iter().for_each(|index| all.push(index, index));
        all
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, completions, canonical, count) in [
            ("", 10, "", 0),
            ("0", 10, "0", 1),
            ("0,1", 10, "0,1", 2),
            ("0,1,2", 10, "0-2", 3),
            ("0-3,5,7-9", 10, "0-3,5,7-9", 8),
            ("0-3,5,7-9", 8, "0-3,5,7", 6),
            ("0-3,x,7-9", 6, "0-3", 4),
            ("2-", 6, "", 0),
        ] {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.to_string().as_str(), indexes.count()), (canonical, count), "{text}");
        }
    }

    #[test]
    fn sets() {
        let one = Indexes::parse("0-3,5,7-9", 20);
        let other = Indexes::parse("2,4,12-14", 20);
        assert_eq!(one.union(&other).to_string(), "0-5,7-9,12-14");
        assert_eq!((one.overlap(&other), other.overlap(&one), one.overlap(&one)), (1, 1, 8));
        assert_eq!((0..11).filter(|index| one.has(*index)).count(), 8);
        assert_eq!(one.missing(3, 12), [4, 6, 10]);
        assert_eq!(one.missing(9, 12), [4, 6, 10, 11]);
        assert_eq!(one.missing(0, 12), [] as [i32; 0]);
        assert_eq!(Indexes::default().missing(2, 3), [0, 1]);
        assert_eq!(one.missing(5, 5), [4]);
    }
}
