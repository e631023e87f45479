//! How seats are shared out anew: what levels do not use is lent to those that want more.
//!
//! Upstream: `conc_alloc.go` and `updateBorrowingLocked` in `apf_controller.go` (KEP-1040, borrowing).

/// What a level of limited seats may and wants to have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) target: f64,
}

/// A target below this counts as this, so that nothing is divided by zero.
const TARGET_MIN: f64 = 0.001;
/// Steps of the search: more than a double has bits.
const STEPS: u32 = 200;

/// The shares that add up to `sum`: each its target times one common factor, within its bounds. `None` if the
/// bounds do not allow it.
pub(super) fn share(sum: f64, wishes: &[Wish]) -> Option<(Vec<f64>, f64)> {
    const NEAR: f64 = 1e-7;
    let (low, high): (f64, f64) = wishes.iter().fold((0.0, 0.0), |(l, h), w| (l + w.low, h + w.high));
    let broken = |w: &Wish| w.low < 0.0 || w.high < w.low || w.target < w.low;
    if sum < 0.0 || low - sum > NEAR || sum - high > NEAR || wishes.iter().any(broken) {
        return None;
    }
    let at =
        |factor: f64| wishes.iter().map(move |w| (w.target.max(TARGET_MIN) * factor).clamp(w.low, w.high));
    // The total grows with the factor: halve the interval that holds it.
    let mut below = 0.0_f64;
    let mut above = wishes.iter().map(|w| w.high / w.target.max(TARGET_MIN)).fold(1.0, f64::max);
    for _ in 0..STEPS {
        let middle = f64::midpoint(below, above);
        if at(middle).sum::<f64>() < sum { below = middle } else { above = middle }
    }
    Some((at(above).collect(), above))
}

/// A level as the sharing sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Demand {
    pub(super) exempt: bool,
    pub(super) nominal: u32,
    pub(super) low: u32,
    pub(super) high: u32,
    /// The seats it has now.
    pub(super) current: u32,
    /// The most seats that were wanted at once since the last time.
    pub(super) watermark: u32,
    /// What was wanted on average, smoothed.
    pub(super) smoothed: f64,
}

impl Demand {
    /// What it keeps in any case: what it needs of its own.
    fn floor(&self) -> u32 {
        if self.exempt {
            self.low.max(self.watermark)
        } else {
            self.low.max(self.nominal.min(self.watermark))
        }
    }

    pub(super) fn target(&self) -> f64 {
        f64::from(self.floor()).max(self.smoothed)
    }
}

/// The limits of all levels, and the fair fraction.
pub(super) fn limits(demands: &[Demand]) -> (Vec<u32>, f64) {
    let total: i64 = demands.iter().map(|d| i64::from(d.nominal)).sum();
    let limited = || demands.iter().filter(|d| !d.exempt);
    let taken: i64 = demands.iter().filter(|d| d.exempt).map(|d| i64::from(d.floor())).sum();
    let remaining = total - taken;
    let low: i64 = limited().map(|d| i64::from(d.low)).sum();
    let floor: i64 = limited().map(|d| i64::from(d.floor())).sum();
    if remaining <= low {
        return (demands.iter().map(|d| if d.exempt { d.floor() } else { d.low }).collect(), 0.0);
    }
    if remaining <= floor {
        let fraction = (remaining - low) as f64 / (floor - low) as f64;
        let limit = |d: &Demand| match d.exempt {
            true => d.floor(),
            false => d.low + (f64::from(d.floor() - d.low) * fraction).round() as u32,
        };
        return (demands.iter().map(limit).collect(), 0.0);
    }
    let wishes: Vec<Wish> = limited()
        .map(|d| Wish { low: d.floor().into(), high: f64::from(d.high.max(d.floor())), target: d.target() })
        .collect();
    let (shares, fraction) = match share(total as f64, &wishes) {
        Some((shares, fraction)) => (shares, fraction),
        None => (limited().map(|d| d.current.into()).collect(), 0.0),
    };
    let mut shares = shares.into_iter();
    let limit = |d: &Demand| match d.exempt {
        true => d.floor(),
        false => shares.next().unwrap_or_default().round() as u32,
    };
    (demands.iter().map(limit).collect(), fraction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const fn wish(low: f64, target: f64, high: f64) -> Wish {
        Wish { low, high, target }
    }

    #[test]
    fn shares_follow_targets_within_bounds() {
        let table: [(f64, &[Wish], &[f64]); 6] = [
            (100.0, &[wish(0.0, 1.0, 100.0), wish(0.0, 1.0, 100.0)], &[50.0, 50.0]),
            (100.0, &[wish(0.0, 1.0, 100.0), wish(0.0, 3.0, 100.0)], &[25.0, 75.0]),
            (100.0, &[wish(40.0, 40.0, 100.0), wish(0.0, 160.0, 100.0)], &[40.0, 60.0]),
            (100.0, &[wish(0.0, 1.0, 10.0), wish(0.0, 1.0, 100.0)], &[10.0, 90.0]),
            (10.0, &[wish(4.0, 5.0, 9.0), wish(6.0, 7.0, 9.0)], &[4.0, 6.0]),
            (18.0, &[wish(4.0, 5.0, 9.0), wish(6.0, 7.0, 9.0)], &[9.0, 9.0]),
        ];
        for (sum, wishes, want) in table {
            let (got, _) = share(sum, wishes).unwrap();
            assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6), "{got:?} for {wishes:?}");
        }
        assert!(share(3.0, &[wish(4.0, 5.0, 9.0)]).is_none());
        assert!(share(10.0, &[wish(4.0, 5.0, 9.0)]).is_none());
        assert!(share(5.0, &[wish(4.0, 3.0, 9.0)]).is_none());
    }

    #[test]
    fn the_busy_borrow_from_the_idle() {
        let level = |nominal, low, watermark, smoothed| Demand {
            nominal,
            low,
            high: 600,
            watermark,
            smoothed,
            ..Demand::default()
        };
        let idle = level(200, 100, 0, 0.0);
        let busy = level(200, 100, 300, 290.0);
        let (got, fair) = limits(&[idle, busy, idle]);
        assert!((599..=601).contains(&got.iter().sum::<u32>()), "{got:?}");
        assert!(got[1] > 330 && got[0] == got[2] && got[0] >= 100, "{got:?}");
        assert!(fair > 0.0);
        // Nobody wants anything: everybody as much, for targets are at least what is kept.
        let (got, _) = limits(&[idle, idle, idle]);
        assert_eq!(got, [200, 200, 200]);
        // The exempt take what they need first.
        let exempt = Demand { exempt: true, watermark: 450, ..Demand::default() };
        let (got, fair) = limits(&[exempt, level(300, 60, 300, 300.0), level(300, 60, 300, 300.0)]);
        assert_eq!((got, fair), (vec![450, 75, 75], 0.0));
        let exempt = Demand { watermark: 900, ..exempt };
        assert_eq!(limits(&[exempt, level(300, 60, 300, 300.0)]).0, [900, 60]);
    }
}
