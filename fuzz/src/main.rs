//! The driver; see the library's documentation.

use fuzz::{Target, corpus, targets};
use std::error::Error;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// An input on which a target takes longer than this of the processor is a finding: inputs are small.
const SLOW: Duration = Duration::from_secs(2);

/// After so many runs the clock of the processor is looked at.
const LOOK_RUNS: u64 = 4_096;

/// How often it is said how far it has come: who ends it knows what was done.
const PROGRESS: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: TARGET|all [--runs N] [--seconds N] [--cpu-seconds N] [--seed S] [--from RUN] \
                     [--faults N] | TARGET --file PATH";

/// How long a target is fuzzed.
struct Bounds {
    runs: u64,
    time: Duration,
    cpu: Duration,
    seed: u64,
    /// The number of the first run: a seed is gone on with.
    from: u64,
    faults: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let name = args.next().ok_or(USAGE)?;
    let mut bounds =
        Bounds { runs: 100_000, time: Duration::MAX, cpu: Duration::MAX, seed: 1, from: 0, faults: 1 };
    let mut file = None;
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--runs" => bounds.runs = value.parse()?,
            "--seconds" => bounds.time = Duration::from_secs(value.parse()?),
            "--cpu-seconds" => bounds.cpu = Duration::from_secs(value.parse()?),
            "--from" => bounds.from = value.parse()?,
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
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // The library that reads YAML panics; the reader makes that an error.
        if !value::yaml::is_reading() {
            report(panic);
        }
    }));
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
    let (name, seed, from) = (target.name, bounds.seed, bounds.from);
    let (begin, cpu_before) = (Instant::now(), cpu_time()?);
    let (mut runs, mut faults) = (0, 0);
    let (mut start, mut told) = (begin, begin);
    while runs < bounds.runs && faults < bounds.faults && start - begin < bounds.time {
        let input = (target.make)(&corpus, target.dictionary, seed, from + runs);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let mut end = Instant::now();
        // Others may have had the processor: it is run again by the processor's clock.
        let slow = end - start > SLOW && {
            let before = cpu_time()?;
            let _ = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            end = Instant::now();
            cpu_time()?.saturating_sub(before) > SLOW
        };
        start = end;
        if outcome.is_err() || slow {
            faults += 1;
            let what = if slow { "slow" } else { "fault" };
            let dir = format!("{}/artifacts", env!("CARGO_MANIFEST_DIR"));
            let run = from + runs;
            let path = format!("{dir}/{name}-{what}-{seed}-{run}");
            fs::create_dir_all(dir)?;
            fs::write(&path, &input)?;
            eprintln!("{name}: {what} in run {run} of seed {seed}; again: {name} --file {path}");
        }
        runs += 1;
        if runs % LOOK_RUNS == 0 {
            let cpu = cpu_time()?.saturating_sub(cpu_before);
            if end - told > PROGRESS {
                told = end;
                println!(
                    "{name}: {runs} runs of seed {seed} from {from} so far, {cpu:.1?} of processor time"
                );
            }
            if cpu >= bounds.cpu {
                break;
            }
        }
    }
    let (cpu, elapsed) = (cpu_time()?.saturating_sub(cpu_before), begin.elapsed());
    println!(
        "{name}: {runs} runs of seed {seed} from {from} in {elapsed:.1?}, {cpu:.1?} of processor time, {faults} faults"
    );
    Ok(faults)
}

/// For how long this thread has had a processor: the first number of `schedstat`, in nanoseconds.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}
