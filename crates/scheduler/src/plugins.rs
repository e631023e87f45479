//! What upstream's plugins decide, one file each. `placement.rs` has those that depend on the node alone.

pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;

/// The most that a plugin gives a node.
pub const MAX_NODE_SCORE: i64 = 100;

/// Scales scores so that the highest is [`MAX_NODE_SCORE`]; `reverse`: the less the better.
/// Upstream: `pkg/scheduler/framework/plugins/helper/normalize_score.go`.
pub fn normalize(scores: &mut [i64], reverse: bool) {
    let most = scores.iter().copied().max().unwrap_or_default();
    for score in scores {
        *score = match (most, reverse) {
            (0, true) => MAX_NODE_SCORE,
            (0, false) => *score,
            (most, true) => MAX_NODE_SCORE - MAX_NODE_SCORE * *score / most,
            (most, false) => MAX_NODE_SCORE * *score / most,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizing() {
        // Cases of upstream's normalize_score_test.go.
        for (reverse, scores, wanted) in [
            (false, [1, 2, 3, 4], [25, 50, 75, 100]),
            (true, [1, 2, 3, 4], [75, 50, 25, 0]),
            (false, [1000, 10, 20, 30], [100, 1, 2, 3]),
            (true, [1000, 10, 20, 30], [0, 99, 98, 97]),
            (true, [1, 1, 1, 1], [0, 0, 0, 0]),
            (false, [1, 1, 1, 1], [100, 100, 100, 100]),
            (true, [0, 0, 0, 0], [100, 100, 100, 100]),
            (false, [0, 0, 0, 0], [0, 0, 0, 0]),
        ] {
            let mut scores = scores;
            normalize(&mut scores, reverse);
            assert_eq!(scores, wanted);
        }
    }
}
