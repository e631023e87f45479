//! The driver; see the library's documentation.

use fuzz::{Target, corpus, mutate, targets};
use std::error::Error;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// An input on which a target takes longer than this is a finding: inputs are small.
const SLOW: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let name = args.next().ok_or("usage: TARGET|all [--runs N] [--seed S] [--file PATH]")?;
    let (mut runs, mut seed, mut file) = (100_000_u64, 1_u64, None);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--runs" => runs = value.parse()?,
            "--seed" => seed = value.parse()?,
            "--file" => file = Some(value),
            _ => return Err(format!("no flag is called {flag}").into()),
        }
    }
    let chosen: Vec<&Target> = targets::ALL.iter().filter(|t| name == "all" || name == t.name).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = targets::ALL.iter().map(|t| t.name).collect();
        return Err(format!("no target {name}; there are {}", names.join(", ")).into());
    }
    for target in chosen {
        match &file {
            Some(path) => (target.run)(&fs::read(path)?),
            None => fuzz(target, runs, seed)?,
        }
    }
    Ok(())
}

fn fuzz(target: &Target, runs: u64, seed: u64) -> Result<(), Box<dyn Error>> {
    let corpus: Vec<Vec<u8>> = corpus(target.name)?.into_iter().map(|(_, input)| input).collect();
    let begin = Instant::now();
    for i in 0..runs {
        let input = mutate::input(&corpus, target.dictionary, seed, i);
        let start = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let slow = start.elapsed() > SLOW;
        if outcome.is_err() || slow {
            let what = if slow { "slow" } else { "fault" };
            let path = format!("{}/artifacts/{}-{what}-{seed}-{i}", env!("CARGO_MANIFEST_DIR"), target.name);
            fs::create_dir_all(format!("{}/artifacts", env!("CARGO_MANIFEST_DIR")))?;
            fs::write(&path, &input)?;
            eprintln!(
                "{}: {what} in run {i} of seed {seed}; again: {} --file {path}",
                target.name, target.name
            );
            process::exit(1);
        }
    }
    println!("{}: {runs} runs of seed {seed} in {:.1?}, no fault", target.name, begin.elapsed());
    Ok(())
}
