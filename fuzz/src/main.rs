//! The driver; see the library's documentation.

use fuzz::{Target, corpus, targets};
use std::error::Error;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// An input on which a target takes longer than this is a finding: inputs are small.
const SLOW: Duration = Duration::from_secs(2);

const USAGE: &str = "usage: TARGET|all [--runs N] [--seconds N] [--seed S] [--faults N] | TARGET --file PATH";

/// How long a target is fuzzed.
struct Bounds {
    runs: u64,
    time: Duration,
    seed: u64,
    faults: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let name = args.next().ok_or(USAGE)?;
    let mut bounds = Bounds { runs: 100_000, time: Duration::MAX, seed: 1, faults: 1 };
    let mut file = None;
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--runs" => bounds.runs = value.parse()?,
            "--seconds" => bounds.time = Duration::from_secs(value.parse()?),
            "--seed" => bounds.seed = value.parse()?,
            "--faults" => bounds.faults = value.parse()?,
            "--file" => file = Some(value),
            _ => return Err(format!("no flag is called {flag}; {USAGE}").into()),
        }
    }
    let chosen: Vec<&Target> = targets::ALL.iter().filter(|t| name == "all" || name == t.name).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = targets::ALL.iter().map(|t| t.name).collect();
        return Err(format!("no target {name}; there are {}", names.join(", ")).into());
    }
    let mut faults = 0;
    for target in chosen {
        match &file {
            Some(path) => (target.run)(&fs::read(path)?),
            None => faults += fuzz(target, &bounds)?,
        }
    }
    process::exit(i32::from(faults > 0));
}

/// How many faults were found.
fn fuzz(target: &Target, bounds: &Bounds) -> Result<u64, Box<dyn Error>> {
    let corpus: Vec<Vec<u8>> = corpus(target.name)?.into_iter().map(|(_, input)| input).collect();
    let (begin, seed) = (Instant::now(), bounds.seed);
    let (mut runs, mut faults) = (0, 0);
    while runs < bounds.runs && faults < bounds.faults && begin.elapsed() < bounds.time {
        let input = (target.make)(&corpus, target.dictionary, seed, runs);
        let start = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let slow = start.elapsed() > SLOW;
        if outcome.is_err() || slow {
            faults += 1;
            let what = if slow { "slow" } else { "fault" };
            let dir = format!("{}/artifacts", env!("CARGO_MANIFEST_DIR"));
            let path = format!("{dir}/{}-{what}-{seed}-{runs}", target.name);
            fs::create_dir_all(dir)?;
            fs::write(&path, &input)?;
            let name = target.name;
            eprintln!("{name}: {what} in run {runs} of seed {seed}; again: {name} --file {path}");
        }
        runs += 1;
    }
    println!("{}: {runs} runs of seed {seed} in {:.1?}, {faults} faults", target.name, begin.elapsed());
    Ok(faults)
}
