//! One word per thing: names that were given up do not come back.
use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

/// A name that no identifier may have, and what is said instead.
const BANNED: &[(&str, &str)] = &[
    ("Pair", "TrustKey is whom the pool trusts: an address and an origin"),
    ("Port", "ActorHandle is what a host has of an actor; a port is a number"),
    ("Pulse", "LoopProgress counts turns of a loop; a heartbeat is a host's"),
    ("Ticket", "MailboxPermit is a message's right to wait"),
    ("Drill", "FaultInjection"),
    ("DrillOrder", "InjectedFault"),
    ("carry", "continue_with"),
    ("Place", "it named seven things: a lock, a URL, a permit, a location, a cursor, counts, an index"),
    ("ClaimPlace", "ClaimPermit"),
    ("Purse", "SpendableFunds"),
    ("Coin", "WalletOutput"),
    ("Look", "WalletSnapshot is what the wallet showed at one tip"),
    ("Trail", "TxLocator"),
    ("shunned", "excluded_outputs"),
    ("Draft", "PlannedTransaction"),
    ("Courier", "BlockBroadcaster"),
    ("Desk", "BroadcastTarget"),
    ("fate", "outcome"),
    ("Trouble", "an error of its crate: PayoutError, TemplateError"),
    ("OperatorWord", "OperatorDecision"),
    ("Front", "StratumShard: one per arbiter"),
    ("Door", "ListenerKind"),
    ("Gate", "ConnectionLimiter, SendPermission"),
    ("Doubt", "InDoubtShares"),
    ("Doubtful", "InDoubtShare"),
    ("Era", "ProcessNumber; an epoch is a lease's"),
    ("Visits", "ReconnectHistory"),
    ("Drift", "TimingBias"),
    ("Patience", "what it waits for: SilenceTimeout, HoldDelay, FailoverTimeouts"),
    ("Suspect", "Penalty"),
    ("Suspects", "Penalties"),
    ("Voider", "VoidProcessor"),
    ("Rechecker", "AuditSampler"),
    ("Vitals", "Liveness"),
    ("Mood", "LedgerBehavior"),
    ("Rig", "TestLog"),
    ("Told", "of what: TipEvent, ShareFacts"),
    ("Kept", "of what: BanTable, PrunedFiles"),
    ("Swept", "of what"),
    ("Given", "of what"),
];

fn identifiers(tokens: TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                into.insert(name.to_string());
            }
            TokenTree::Group(group) => identifiers(group.stream(), into),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder of the tree can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file of ours and the identifiers in it.
fn names_by_file() -> Vec<(String, BTreeSet<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all = Vec::new();
    ["schema", "actors", "services", "ops"].iter().for_each(|floor| files(&root.join(floor), &mut all));
    assert!(all.len() > 300, "the tree has more files than {}", all.len());
    let read = |file: std::path::PathBuf| {
        let text = std::fs::read_to_string(&file).expect("a source file is text");
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut names = BTreeSet::new();
        identifiers(tokens, &mut names);
        (file.strip_prefix(&root).unwrap_or(&file).display().to_string(), names)
    };
    all.into_iter().map(read).collect()
}

#[test]
fn names_that_were_given_up_do_not_come_back() {
    let mut back = Vec::new();
    for (file, names) in names_by_file() {
        for (name, instead) in BANNED.iter().filter(|(name, _)| names.contains(*name)) {
            back.push(format!("{file}: {name}: {instead}"));
        }
    }
    assert!(back.is_empty(), "{}", back.join("\n"));
}

#[test]
fn telemetry_is_handed_in_and_never_global() {
    // What finds its meter by itself is exported where nobody sees it, and by every test of the process.
    let is_global = |names: &BTreeSet<String>| names.contains("opentelemetry") && names.contains("global");
    let found: Vec<String> =
        names_by_file().into_iter().filter(|(_, names)| is_global(names)).map(|(file, _)| file).collect();
    assert!(found.is_empty(), "{found:?} use OpenTelemetry's global provider: hand in `instruments::Registry`");
}
