//! What an operator's tools get: traces, metrics, logs.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{Collector, Config, wait_for, wait_until};
use serde_json::Value;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn one_trace_leads_from_the_submit_to_the_fold_and_metrics_arrive() {
    let place = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let config = Config::devnet(place.path())
        .set("telemetry.otlp_endpoint", collector.url())
        .set("telemetry.log_format", "json");
    let mut pool = config.start_ready();
    let whole = ["submit", "handle", "commit", "fold"];
    let way = wait_for("a fold whose trace begins with a submit", MINUTE, || {
        let seen = collector.seen();
        let mut folds = seen.spans.iter().filter(|span| span.name == "fold");
        folds.find(|fold| seen.way_to(fold) == whole).map(|fold| (fold.clone(), seen.clone()))
    });
    let (fold, seen) = way;
    let handled = seen.spans.iter().find(|span| span.trace == fold.trace && span.name == "handle").unwrap();
    assert_eq!(handled.texts["actor"], "share_ledger");
    assert_eq!(handled.texts["msg"], "append_shares");
    pool.process.signal("TERM");
    assert_eq!(pool.process.code(MINUTE), 0);

    // The last figures are sent when the pool ends.
    let seen = collector.seen();
    assert_eq!(seen.refused, Vec::<String>::new());
    assert_eq!(seen.services, BTreeSet::from(["meshpool".to_owned()]));
    for name in ["meshpool_actor_depth", "meshpool_shares_accepted", "meshpool_queue_depth"] {
        assert!(seen.metrics.contains(name), "{name} is not among {:?}", seen.metrics);
    }
    assert!(seen.metrics.iter().all(|name| name.starts_with("meshpool_")), "{:?}", seen.metrics);

    // Its log was written for machines.
    let log = pool.process.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(lines.len() > 5, "{log}");
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
}

#[test]
fn a_log_for_people_has_one_line_for_each_event_and_no_colours_in_a_file() {
    let place = tempfile::tempdir().unwrap();
    let config = Config::devnet(place.path());
    let mut pool = config.start_ready();
    pool.process.wait_log("block accepted", MINUTE);
    pool.process.signal("TERM");
    assert_eq!(pool.process.code(MINUTE), 0);
    let log = pool.process.log();
    assert!(!log.contains('\u{1b}'));
    assert!(log.lines().any(|line| line.contains(" INFO ") && line.contains("stratum listens")), "{log}");
}

/// Labels and value.
type Sample = (BTreeMap<String, String>, f64);
type Samples = BTreeMap<String, Vec<Sample>>;

/// Samples by name, after every rule of the Prometheus text format was checked.
fn parse(text: &str) -> Samples {
    let mut samples: Samples = BTreeMap::new();
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next().unwrap(), words.next().unwrap());
            let rest = words.next().unwrap_or_default().to_owned();
            match kind {
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram"].contains(&rest.as_str()), "{line}");
                    assert_eq!(types.insert(name.to_owned(), rest), None, "told twice: {line}");
                }
                "HELP" => assert!(!rest.is_empty(), "no help: {line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (front, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = match front.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("no end: {line}"))),
            None => (front, ""),
        };
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let family = of_histogram.filter(|family| types.get(*family).is_some_and(|kind| kind == "histogram"));
        assert!(is_name(name) && types.contains_key(family.unwrap_or(name)), "{line}");
        let labels = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
            let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(is_name(label), "{line}");
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        });
        let sample = (labels.collect(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")));
        let known = samples.entry(name.to_owned()).or_default();
        assert!(known.iter().all(|(labels, _)| *labels != sample.0), "told twice: {line}");
        known.push(sample);
    }
    for (name, kind) in types.iter().filter(|(name, _)| *name != "target_info") {
        assert!(name.starts_with("meshpool_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
    samples
}

/// Each metric in a line: its name, its kind, the names of its labels (of a histogram the bounds of its buckets), and its
/// help text.
fn outline(text: &str) -> Vec<String> {
    let samples = parse(text);
    let told = |kind: &'static str| {
        text.lines().filter_map(move |line| line.strip_prefix("# ")?.strip_prefix(kind)?.trim_start().split_once(' '))
    };
    let types: BTreeMap<&str, &str> = told("TYPE").collect();
    let line = |(name, help): (&str, &str)| {
        let by = match types[name] {
            "histogram" => {
                let buckets = samples[&format!("{name}_bucket")].iter().map(|(labels, _)| labels["le"].clone());
                buckets.collect::<Vec<_>>()
            }
            _ => samples[name]
                .iter()
                .flat_map(|(labels, _)| labels.keys().cloned())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        };
        let (kind, by) = (types[name], by.join(","));
        format!("{name} {kind} [{by}] {help}")
    };
    told("HELP").map(line).collect()
}

#[test]
fn a_whole_pool_has_these_metrics() {
    let place = tempfile::tempdir().unwrap();
    let pool = Config::devnet(place.path()).start_ready();
    wait_until("an accepted share", MINUTE, || pool.metric("meshpool_shares_accepted_total", "") > 0);
    let lines = outline(&pool.try_get("/metrics").unwrap().body);
    let known: Vec<&str> = include_str!("metrics.txt").lines().collect();
    let added: Vec<_> = lines.iter().filter(|line| !known.contains(&line.as_str())).collect();
    let gone: Vec<_> = known.iter().filter(|line| !lines.iter().any(|now| now == *line)).collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "metrics.txt lacks {added:#?} and has, beside what there is, {gone:#?}"
    );
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn metrics_are_valid_and_every_queue_has_depth_capacity_and_refusals() {
    let place = tempfile::tempdir().unwrap();
    let pool = Config::devnet(place.path()).start_ready();
    wait_until("an accepted share", MINUTE, || pool.metric("meshpool_shares_accepted_total", "") > 0);
    let samples = parse(&pool.try_get("/metrics").unwrap().body);
    let labels = |name: &str, label: &str| -> BTreeSet<String> {
        let found = samples.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        found.iter().map(|(labels, _)| labels[label].clone()).collect()
    };
    let actors = labels("meshpool_actor_generation", "actor");
    assert!(actors.contains("share_ledger") && actors.contains("payout") && actors.len() >= 7, "{actors:?}");
    for name in ["depth", "capacity", "refused_total", "lost_total", "busy_ms", "up"] {
        assert_eq!(labels(&format!("meshpool_actor_{name}"), "actor"), actors, "{name}");
    }
    let queues = labels("meshpool_queue_depth", "queue");
    assert!(["share_log_bytes", "offers", "owed_checks"].iter().all(|name| queues.contains(*name)), "{queues:?}");
    for name in ["capacity", "refused_total"] {
        assert_eq!(labels(&format!("meshpool_queue_{name}"), "queue"), queues, "{name}");
    }
    for kind in ["actor", "queue"] {
        for (labels, capacity) in &samples[&format!("meshpool_{kind}_capacity")] {
            assert!(*capacity > 0.0, "{labels:?}");
        }
    }
    assert_eq!(pool.terminate(), 0);
}
