use super::*;

/// Our calendar is jiff's, through leap years and centuries.
#[test]
fn calendar() {
    for day in (-719_000..2_900_000).step_by(97) {
        let seconds = day * SECONDS_PER_DAY + 12_345;
        let time = Time::from_unix(seconds, 0);
        let timestamp = jiff::Timestamp::from_second(seconds).expect("within jiff's years");
        assert_eq!(time.to_string(), timestamp.to_string());
        assert_eq!(Time::parse(&time.to_string()), Ok(time));
        assert_eq!(Time::from(timestamp), time);
    }
}

#[test]
fn limits_do_not_panic() {
    for seconds in [i64::MIN, i64::MIN + 1, 0, i64::MAX] {
        let time = Time::from_unix(seconds, u32::MAX);
        let _ = (time.to_string(), time.to_micro_string(), time.is_zero());
        for nanos in [i64::MIN, -1, 0, 1, i64::MAX] {
            let duration = Duration::from_nanos(nanos);
            let _ = (time.plus(duration).since(time), duration.to_string(), human_duration(duration));
        }
    }
}

#[test]
fn sums() {
    let time = |text| Time::parse(text).expect("a time");
    let start = time("2024-02-28T23:59:59.75Z");
    let end = start.plus(Duration::from_nanos(86_400_500_000_000));
    assert_eq!(end, time("2024-03-01T00:00:00.25Z"));
    assert_eq!(end.since(start).to_string(), "24h0m0.5s");
    assert_eq!(start.since(end).to_string(), "-24h0m0.5s");
    assert_eq!(time("9999-12-31T00:00:00Z").since(Time::default()).nanos(), i64::MAX);
    assert_eq!(start.to_micro_string(), "2024-02-28T23:59:59.750000Z");
}

#[test]
fn zero() {
    assert!(Time::parse("0001-01-01T00:00:00Z").expect("a time").is_zero());
    assert_eq!(Time::default().to_string(), "0001-01-01T00:00:00Z");
}
