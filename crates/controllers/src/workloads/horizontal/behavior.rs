//! How fast a size may change: what was recommended lately, what was changed lately, and the bounds. Facts:
//! `normalizeDesiredReplicas*` in `pkg/controller/podautoscaler/horizontal.go`.

use api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};
use jiff::{SignedDuration, Timestamp};

/// How long the highest recommendation holds where nothing else is said:
/// `--horizontal-pod-autoscaler-downscale-stabilization`.
const STABILIZATION_SECONDS: i32 = 300;

/// Without rules a size at most doubles at once; but up to this many pods it may.
const UNRULED_PODS: i32 = 4;

/// The longest time that matters: upstream's validation lets windows and periods be an hour.
const MEMORY: SignedDuration = SignedDuration::from_secs(3_600);

/// What is remembered of a target. Lost when the process ends, as upstream's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// What was recommended, and when.
    recommended: Vec<(Timestamp, i32)>,
    /// By how much the size changed, and when: growth is positive.
    changed: Vec<(Timestamp, i32)>,
}

/// A recommendation, and what it is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) current: i32,
    pub(super) desired: i32,
    pub(super) least: i32,
    pub(super) most: i32,
}

/// A reason and its text.
pub(super) type Because = (&'static str, &'static str);

/// The size that it comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) replicas: i32,
    /// Why it can be scaled.
    pub(super) able: Because,
    /// Whether the recommendation was cut, and why.
    pub(super) limited: (bool, Because),
}

const STEADY: Because = ("ReadyForNewScale", "recommended size matches current size");
const WITHIN: Because = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: Because =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Because =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_FAST: Because =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_FAST: Because =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const UP_HELD: Because = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_HELD: Because = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

impl Memory {
    /// What the target was when it was first seen counts as recommended, so that it does not shrink at once.
    pub(super) fn begin(&mut self, now: Timestamp, current: i32) {
        if self.recommended.is_empty() {
            self.recommended.push((now, current));
        }
    }

    /// Remembers a change.
    pub(super) fn change(&mut self, now: Timestamp, by: i32) {
        self.changed.push((now, by));
    }

    /// The size that a recommendation comes to; it is remembered.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        wish: Wish,
    ) -> Size {
        let recent = |(at, _): &(Timestamp, i32)| now.duration_since(*at) <= MEMORY;
        self.recommended.retain(recent);
        self.changed.retain(recent);
        let (held, because) = self.hold(now, behavior, wish);
        self.recommended.push((now, wish.desired));
        let able = if held == wish.desired { STEADY } else { because };
        let (replicas, why) = match behavior {
            None => bound(held, wish.least, wish.most, (wish.current * 2).max(UNRULED_PODS)),
            Some(behavior) => self.bound_by_rules(now, behavior, Wish { desired: held, ..wish }),
        };
        Size { replicas, able, limited: (replicas != held, why) }
    }

    /// The recommendation that holds, of those of late.
    fn hold(
        &self,
        now: Timestamp,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        wish: Wish,
    ) -> (i32, Because) {
        let window = |rules: Option<&HPAScalingRules>, default: i32| {
            let seconds = rules.and_then(|rules| rules.stabilization_window_seconds).unwrap_or(default);
            SignedDuration::from_secs(seconds.into())
        };
        let since = |window: SignedDuration| {
            let all = self.recommended.iter();
            all.filter(move |(at, _)| now.duration_since(*at) < window).map(|(_, size)| *size)
        };
        let down = window(behavior.and_then(|rules| rules.scale_down.as_ref()), STABILIZATION_SECONDS);
        let highest = since(down).fold(wish.desired, i32::max);
        let Some(behavior) = behavior else { return (highest, DOWN_HELD) };
        let lowest = since(window(behavior.scale_up.as_ref(), 0)).fold(wish.desired, i32::min);
        let because = if wish.desired >= wish.current { UP_HELD } else { DOWN_HELD };
        (wish.current.max(lowest).min(highest), because)
    }

    fn bound_by_rules(
        &self,
        now: Timestamp,
        behavior: &HorizontalPodAutoscalerBehavior,
        wish: Wish,
    ) -> (i32, Because) {
        if wish.desired > wish.current {
            let limit = self.limit(now, behavior.scale_up.as_ref(), wish.current, Way::Up).max(wish.current);
            if wish.desired > limit.min(wish.most) {
                return if wish.most > limit { (limit, UP_FAST) } else { (wish.most, TOO_MANY) };
            }
        } else if wish.desired < wish.current {
            let limit =
                self.limit(now, behavior.scale_down.as_ref(), wish.current, Way::Down).min(wish.current);
            if wish.desired < limit.max(wish.least) {
                return if wish.least < limit { (limit, DOWN_FAST) } else { (wish.least, TOO_FEW) };
            }
        }
        (wish.desired, WITHIN)
    }

    /// How far the rules let a size go, from where it was at the begin of each period.
    fn limit(&self, now: Timestamp, rules: Option<&HPAScalingRules>, current: i32, way: Way) -> i32 {
        let Some(rules) = rules else { return if way == Way::Up { i32::MAX } else { 0 } };
        let policies = rules.policies.as_deref().unwrap_or_default();
        let limits = policies.iter().map(|policy| {
            let period = SignedDuration::from_secs(policy.period_seconds.into());
            let of_late = self.changed.iter().filter(|(at, _)| now.duration_since(*at) < period);
            let start = current - of_late.map(|(_, by)| by).sum::<i32>();
            let (amount, percent) = (policy.value, f64::from(policy.value) / 100.0);
            match (policy.type_.as_str(), way) {
                ("Percent", Way::Up) => whole((f64::from(start) * (1.0 + percent)).ceil()),
                ("Percent", Way::Down) => whole((f64::from(start) * (1.0 - percent)).trunc()),
                (_, Way::Up) => start.saturating_add(amount),
                (_, Way::Down) => start.saturating_sub(amount),
            }
        });
        let smallest_change = match rules.select_policy.as_deref() {
            Some("Disabled") => return current,
            policy => policy == Some("Min"),
        };
        let limit = if smallest_change == (way == Way::Up) { limits.min() } else { limits.max() };
        limit.unwrap_or(current)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

fn bound(desired: i32, least: i32, most: i32, limit: i32) -> (i32, Because) {
    let (highest, why) = if most > limit { (limit, UP_FAST) } else { (most, TOO_MANY) };
    if desired < least {
        (least, TOO_FEW)
    } else if desired > highest {
        (highest, why)
    } else {
        (desired, WITHIN)
    }
}

/// A number of pods of a fraction that is rounded already.
#[expect(clippy::cast_possible_truncation, reason = "saturates, which is what is meant")]
pub(super) fn whole(number: f64) -> i32 {
    number as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;
    use serde_json::json;

    fn behavior(up: serde_json::Value, down: serde_json::Value) -> HorizontalPodAutoscalerBehavior {
        serde_json::from_value(json!({ "scaleUp": up, "scaleDown": down })).expect("a behavior")
    }

    fn wish(current: i32, desired: i32) -> Wish {
        Wish { current, desired, least: 1, most: 20 }
    }

    #[test]
    fn without_rules() {
        for (current, desired, expected, limited) in [
            (2, 3, 3, "DesiredWithinRange"),
            (2, 9, 4, "ScaleUpLimit"),
            (5, 15, 10, "ScaleUpLimit"),
            (15, 40, 20, "TooManyReplicas"),
            (3, 0, 3, "DesiredWithinRange"),
        ] {
            let mut memory = Memory::default();
            memory.begin(at(0), current);
            let size = memory.settle(at(10), None, wish(current, desired));
            assert_eq!((size.replicas, size.limited.1.0), (expected, limited), "{current} {desired}");
        }
    }

    #[test]
    fn the_highest_recommendation_of_late_holds() {
        let mut memory = Memory::default();
        memory.begin(at(0), 8);
        let mut sizes = Vec::new();
        for (second, desired) in [(0, 8), (100, 5), (250, 3), (299, 2), (310, 2), (420, 2), (700, 0)] {
            let size = memory.settle(at(second), None, wish(8, desired));
            sizes.push((size.replicas, size.able.0 == "ScaleDownStabilized"));
        }
        assert_eq!(sizes, [(8, false), (8, true), (8, true), (8, true), (5, true), (3, true), (2, true)]);
    }

    #[test]
    fn rules() {
        let up = |policies: serde_json::Value, select: &str| {
            let down = json!({ "stabilizationWindowSeconds": 0, "selectPolicy": "Disabled" });
            behavior(json!({ "policies": policies, "selectPolicy": select }), down)
        };
        let down = |policies: serde_json::Value, select: &str| {
            let rules =
                json!({ "policies": policies, "selectPolicy": select, "stabilizationWindowSeconds": 0 });
            behavior(json!({ "selectPolicy": "Max", "policies": [] }), rules)
        };
        let both = json!([
            { "type": "Pods", "value": 4, "periodSeconds": 60 },
            { "type": "Percent", "value": 100, "periodSeconds": 60 },
        ]);
        for (behavior, current, desired, expected, why) in [
            (up(both.clone(), "Max"), 3, 20, 7, "ScaleUpLimit"),
            (up(both.clone(), "Max"), 8, 20, 16, "ScaleUpLimit"),
            (up(both.clone(), "Min"), 8, 20, 12, "ScaleUpLimit"),
            (up(both.clone(), "Disabled"), 8, 20, 8, "ScaleUpLimit"),
            (up(both.clone(), "Max"), 15, 40, 20, "TooManyReplicas"),
            (up(both.clone(), "Max"), 15, 5, 15, "ScaleDownLimit"),
            (down(both.clone(), "Max"), 10, 1, 1, "DesiredWithinRange"),
            (down(both.clone(), "Min"), 10, 1, 6, "ScaleDownLimit"),
            (down(both, "Max"), 10, 0, 1, "TooFewReplicas"),
        ] {
            let size = Memory::default().settle(at(100), Some(&behavior), wish(current, desired));
            assert_eq!(
                (size.replicas, size.limited.1.0),
                (expected, why),
                "{behavior:?} {current} {desired}"
            );
        }
    }

    #[test]
    fn changes_of_late_count() {
        let policies = json!([{ "type": "Pods", "value": 4, "periodSeconds": 60 }]);
        let rules = json!({ "policies": policies, "selectPolicy": "Max", "stabilizationWindowSeconds": 0 });
        let behavior = behavior(rules.clone(), rules);
        let mut memory = Memory::default();
        memory.change(at(80), 3);
        assert_eq!(memory.settle(at(100), Some(&behavior), wish(8, 20)).replicas, 9);
        assert_eq!(memory.settle(at(200), Some(&behavior), wish(8, 20)).replicas, 12);
    }
}
