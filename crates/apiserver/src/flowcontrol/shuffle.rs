//! Shuffle sharding: the few queues that a flow may use, dealt by its hash.
//!
//! Upstream: `k8s.io/apiserver/pkg/util/shufflesharding`.

/// The largest hand, as validation allows with 64 bits of hash.
pub(super) const HAND_MAX: usize = 16;

/// Deals `hand` different numbers below `deck`. Every hand is as likely as any other.
pub(super) fn deal(mut hash: u64, deck: usize, hand: usize, out: &mut [usize; HAND_MAX]) -> usize {
    let hand = hand.min(deck).min(HAND_MAX);
    for dealt in 0..hand {
        let left = (deck - dealt) as u64;
        let mut card = (hash % left) as usize;
        hash /= left;
        // The card is the so-manieth of those that are left: step over what was dealt, smallest first.
        let (before, _) = out.split_at(dealt);
        let mut sorted = [0; HAND_MAX];
        let sorted = &mut sorted[..dealt];
        sorted.copy_from_slice(before);
        sorted.sort_unstable();
        for taken in sorted.iter() {
            if *taken <= card {
                card += 1;
            }
        }
        if let Some(place) = out.get_mut(dealt) {
            *place = card;
        }
    }
    hand
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn hands_are_different_cards_and_fair() {
        let (deck, hand) = (7_u64, 3);
        let mut seen: HashMap<Vec<usize>, usize> = HashMap::new();
        for hash in 0..7 * 6 * 5 {
            let mut out = [0; HAND_MAX];
            let n = deal(hash, deck as usize, hand, &mut out);
            let mut cards = out[..n].to_vec();
            assert!(cards.iter().all(|c| *c < 7));
            cards.sort_unstable();
            cards.dedup();
            assert_eq!(cards.len(), 3);
            *seen.entry(cards).or_default() += 1;
        }
        assert_eq!(seen.len(), 35);
        assert!(seen.values().all(|n| *n == 6));
    }

    #[test]
    fn hands_are_never_larger_than_the_deck() {
        let mut out = [0; HAND_MAX];
        assert_eq!(deal(u64::MAX, 1, 1, &mut out), 1);
        assert_eq!(deal(9, 2, 8, &mut out), 2);
        assert_eq!(deal(9, 100, 99, &mut out), HAND_MAX);
        assert_eq!(deal(9, 0, 3, &mut out), 0);
    }
}
