//! Below which amounts the node tells pressure, and what it keeps back from pods for that. Upstream:
//! `pkg/kubelet/eviction/helpers.go`.

use std::collections::BTreeMap;
use std::str::FromStr;

use meta::quantity::{Format, Quantity};

/// What a threshold looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    ImageFsAvailable,
    ImageFsInodesFree,
    MemoryAvailable,
    NodeFsAvailable,
    NodeFsInodesFree,
    PidAvailable,
}

/// Upstream's names of them.
const SIGNALS: [(&str, Signal); 6] = [
    ("imagefs.available", Signal::ImageFsAvailable),
    ("imagefs.inodesFree", Signal::ImageFsInodesFree),
    ("memory.available", Signal::MemoryAvailable),
    ("nodefs.available", Signal::NodeFsAvailable),
    ("nodefs.inodesFree", Signal::NodeFsInodesFree),
    ("pid.available", Signal::PidAvailable),
];
/// Those that upstream's kubelet takes and overrides: by those of the file system that containers write to.
const OVERRIDDEN: [&str; 3] =
    ["allocatableMemory.available", "containerfs.available", "containerfs.inodesFree"];
/// A tenth of a large disk is more than what is short: 40 GB of four hundred would be kept from pods for ever.
const NODE_FS_BYTES_MAX: u64 = 2 << 30;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    /// Bytes, files or processes.
    Count(u64),
    /// A part of what there is, between 0 and 1, and at most so much.
    Part(f64, u64),
}

impl Amount {
    fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a part of what a machine has, neither negative nor exact"
            )]
            Self::Part(part, max) => ((capacity as f64 * part) as u64).min(max),
        }
    }
}

/// Upstream's `--eviction-hard`: `nodefs.available<10%,memory.available<100Mi`.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Amount>);

/// Upstream's, but that the tenth of a disk is no more than 2 GiB, that process ids have a threshold, too, and that
/// images have none of their own: where they are most of what fills a disk their collection begins at the same point.
impl Default for Thresholds {
    fn default() -> Self {
        Self(BTreeMap::from([
            (Signal::MemoryAvailable, Amount::Count(100 << 20)),
            (Signal::NodeFsAvailable, Amount::Part(0.10, NODE_FS_BYTES_MAX)),
            (Signal::NodeFsInodesFree, Amount::Part(0.05, u64::MAX)),
            (Signal::PidAvailable, Amount::Part(0.05, u64::MAX)),
        ]))
    }
}

impl Thresholds {
    /// What has to be left of `capacity`; 0 without a threshold.
    pub(crate) fn reserved(&self, signal: Signal, capacity: u64) -> u64 {
        self.0.get(&signal).map_or(0, |amount| amount.of(capacity))
    }

    /// Whether less is left than has to be.
    pub(crate) fn is_below(&self, signal: Signal, available: u64, capacity: u64) -> bool {
        available < self.reserved(signal, capacity)
    }

    /// Whether the file system of images has thresholds of its own.
    pub(crate) fn name_images(&self) -> bool {
        self.0.contains_key(&Signal::ImageFsAvailable) || self.0.contains_key(&Signal::ImageFsInodesFree)
    }

    /// Names and values, as a `KubeletConfiguration` has them.
    pub(crate) fn named(&self) -> BTreeMap<&'static str, String> {
        let value = |amount: &Amount| match amount {
            Amount::Count(count) => binary(*count),
            Amount::Part(part, _) => format!("{}%", part * 100.0),
        };
        SIGNALS.iter().filter_map(|(name, signal)| Some((*name, value(self.0.get(signal)?)))).collect()
    }
}

fn binary(count: u64) -> String {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    Quantity::new(count, Format::BinarySi).to_string()
}

/// Errors with upstream's texts.
impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('<').ok_or("malformed pair, expect string<string")?;
            let (name, value) = (name.trim(), value.trim());
            let signal = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal);
            if signal.is_none() && !OVERRIDDEN.contains(&name) {
                return Err(format!("unsupported eviction signal {name}"));
            }
            let amount = amount(name, value)?;
            if let (Some(signal), Some(amount)) = (signal, amount) {
                all.insert(signal, amount);
            }
        }
        Ok(Self(all))
    }
}

/// None for what means "no threshold": `0%` and `100%`.
fn amount(name: &str, value: &str) -> Result<Option<Amount>, String> {
    if let Some(percent) = value.strip_suffix('%') {
        if percent == "0" || percent == "100" {
            return Ok(None);
        }
        let invalid = || format!("strconv.ParseFloat: parsing {percent:?}: invalid syntax");
        let percent: f64 = percent.parse().map_err(|_error| invalid())?;
        return match percent / 100.0 {
            part if part < 0.0 => Err(format!("eviction percentage threshold {name} must be >= 0%: {value}")),
            part if part > 1.0 => {
                Err(format!("eviction percentage threshold {name} must be <= 100%: {value}"))
            }
            part if part.is_nan() => Err(invalid()),
            part => Ok(Some(Amount::Part(part, u64::MAX))),
        };
    }
    let quantity = Quantity::parse(value).map_err(|error| error.to_string())?;
    match u64::try_from(quantity.value()) {
        Ok(count) if quantity.sign() > 0 => Ok(Some(Amount::Count(count))),
        _ => Err(format!("eviction threshold {name} must be positive: {quantity}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_upstream_parses() {
        let given: Thresholds =
            "memory.available<1Gi,nodefs.available<12.5%,imagefs.inodesFree<0%,pid.available<1k"
                .parse()
                .unwrap();
        let named: Vec<_> = given.named().into_iter().collect();
        let named: Vec<_> = named.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(
            named,
            [("memory.available", "1Gi"), ("nodefs.available", "12.5%"), ("pid.available", "1k")]
        );
        assert_eq!("".parse(), Ok(Thresholds(BTreeMap::new())));
        assert_eq!("containerfs.available<5%".parse(), Ok(Thresholds(BTreeMap::new())));
        for (text, why) in [
            ("nodefs.available", "malformed pair, expect string<string"),
            ("disk<5%", "unsupported eviction signal disk"),
            ("nodefs.available<-1%", "eviction percentage threshold nodefs.available must be >= 0%: -1%"),
            ("nodefs.available<101%", "eviction percentage threshold nodefs.available must be <= 100%: 101%"),
            ("nodefs.available<x%", "strconv.ParseFloat: parsing \"x\": invalid syntax"),
            ("nodefs.available<NaN%", "strconv.ParseFloat: parsing \"NaN\": invalid syntax"),
            ("memory.available<0", "eviction threshold memory.available must be positive: 0"),
            ("memory.available<-1Gi", "eviction threshold memory.available must be positive: -1Gi"),
            ("memory.available<much", "quantities must match the regular expression"),
        ] {
            let error = text.parse::<Thresholds>().unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_short() {
        let usual = Thresholds::default();
        for (signal, available, capacity, short) in [
            (Signal::NodeFsAvailable, 999, 10_000, true),
            (Signal::NodeFsAvailable, 1000, 10_000, false),
            // Of a large disk two gibibytes are enough.
            (Signal::NodeFsAvailable, (2 << 30) - 1, 1 << 40, true),
            (Signal::NodeFsAvailable, 2 << 30, 1 << 40, false),
            (Signal::NodeFsInodesFree, 49, 1000, true),
            // A file system that does not count its files.
            (Signal::NodeFsInodesFree, 0, 0, false),
            (Signal::MemoryAvailable, (100 << 20) - 1, 1 << 30, true),
            (Signal::ImageFsAvailable, 0, 1 << 30, false),
        ] {
            assert_eq!(usual.is_below(signal, available, capacity), short, "{signal:?} {available}");
        }
        let given: Thresholds = "nodefs.available<10%".parse().unwrap();
        assert!(given.is_below(Signal::NodeFsAvailable, 2 << 30, 1 << 40));
        assert!(!given.is_below(Signal::MemoryAvailable, 0, 1 << 30));
    }
}
