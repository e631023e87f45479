//! Making inputs: a file of the corpus, changed in a few places.

/// How long an input may become, in bytes.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if that is 0.
    pub const fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }
}

/// The input of run `i` of a seed.
pub fn input(corpus: &[Vec<u8>], dictionary: &[&str], seed: u64, i: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ i);
    dice.next();
    let mut input = corpus.get(dice.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=dice.below(8) {
        change(&mut input, corpus, dictionary, &mut dice);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], dictionary: &[&str], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    let end = (at + dice.below(16) + 1).min(input.len()).max(at);
    match dice.below(10) {
        0 => insert(input, at, &[dice.next() as u8]),
        1 if at < input.len() => input[at] = dice.next() as u8,
        2 if at < input.len() => input[at] ^= 1 << dice.below(8),
        3 => drop(input.drain(at..end)),
        4 => {
            let piece = input[at..end].to_vec();
            let to = dice.below(input.len() + 1);
            insert(input, to, &piece);
        }
        5 => {
            // The same piece many times: depth, length, repetition.
            let piece = input[at..end].repeat(1 << dice.below(9));
            insert(input, at, &piece);
        }
        6 => {
            let other = corpus.get(dice.below(corpus.len())).map_or(&[][..], Vec::as_slice);
            let from = dice.below(other.len() + 1);
            let to = (from + dice.below(64)).min(other.len());
            insert(input, at, &other[from..to]);
        }
        _ => {
            if let Some(word) = dictionary.get(dice.below(dictionary.len())) {
                if dice.below(2) == 0 {
                    input.drain(at..end);
                }
                insert(input, at, word.as_bytes());
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if input.len() + piece.len() <= INPUT_BYTES_MAX {
        input.extend_from_slice(piece);
        input[at..].rotate_right(piece.len());
    }
}
