//! Fuzzing on stable Rust: a deterministic mutator drives targets that panic when something is wrong.
//!
//! ```text
//! cargo fuzz TARGET --runs N --seed S   made inputs; TARGET may be `all`; also --seconds, --cpu-seconds, --faults
//! cargo fuzz TARGET --file PATH         one input again
//! cargo test -p fuzz                    the corpus as it is
//! ```
//!
//! Run `i` of seed `S` is the same on every machine. A failing input is written to `artifacts/`; when it is
//! understood it becomes a file in `corpus/TARGET/`, and so a test. To add a target, write a function in
//! `targets/`, add a row to [`targets::ALL`] and a few small files to the corpus.

pub mod mutate;
pub mod targets;
pub mod trees;

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Makes the input of a run from corpus, dictionary, seed and number.
pub type Make = fn(&[Vec<u8>], &[&str], u64, u64) -> Vec<u8>;

/// Something to be fuzzed.
pub struct Target {
    /// How it is called on the command line and where its corpus lies.
    pub name: &'static str,
    /// Panics if the input shows a fault.
    pub run: fn(&[u8]),
    /// Pieces that inputs are likely made of.
    pub dictionary: &'static [&'static str],
    /// [`mutate::input`] unless said.
    pub make: Make,
}

impl Target {
    /// A target whose inputs are changed as bytes.
    pub const fn new(name: &'static str, run: fn(&[u8]), dictionary: &'static [&'static str]) -> Self {
        Self { name, run, dictionary, make: mutate::input }
    }

    /// The same with inputs made by another mutator.
    #[must_use]
    pub const fn made_by(self, make: Make) -> Self {
        Self { make, ..self }
    }
}

/// Where the corpus of a target lies.
pub fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The corpus of a target, in the order of file names.
///
/// # Errors
/// If it cannot be read.
pub fn corpus(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths =
        fs::read_dir(corpus_dir(target))?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.into_iter().map(|p| Ok((p.clone(), fs::read(p)?))).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus_replays() {
        for target in super::targets::ALL {
            let corpus = super::corpus(target.name).expect(target.name);
            assert!(!corpus.is_empty(), "{} has no corpus", target.name);
            for (path, input) in corpus {
                println!("{}", path.display());
                (target.run)(&input);
            }
        }
    }

    #[test]
    fn runs_are_reproducible() {
        let corpus = vec![b"{\"a\":1}".to_vec(), b"[1,2,3]".to_vec()];
        let make = |i| super::mutate::input(&corpus, &["null"], 7, i);
        assert_eq!((0..50).map(make).collect::<Vec<_>>(), (0..50).map(make).collect::<Vec<_>>());
        assert_ne!(make(1), make(2));
    }
}
