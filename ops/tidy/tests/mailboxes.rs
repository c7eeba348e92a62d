//! The table of restart policies and mailboxes in `actors/README.md` is what the roles start.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The words of all roles, one space between two.
fn roles() -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services/hosts/src/roles");
    let files = std::fs::read_dir(dir).expect("roles lie together").map(|entry| entry.expect("a file is there").path());
    let texts: Vec<String> = files.map(|file| std::fs::read_to_string(file).expect("a role is text")).collect();
    words(&texts.join(" "))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(")
}

/// What follows each `before`, up to `end`.
fn each<'a>(text: &'a str, before: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).map(move |rest| rest.split(end).next().unwrap_or(rest))
}

fn the<'a>(text: &'a str, before: &str, end: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split(end).next().map(str::trim)
}

/// `8 + 16` for `Limits { messages: 8, urgent: 16 }`; a mailbox whose size is set is named by its setting.
fn bounds(limits: &str, policies: &str) -> String {
    let limits = match limits.strip_prefix("policies::") {
        Some(name) => {
            the(policies, &format!("const {name}: Limits = "), ';').expect("limits that a role names are there")
        }
        None => limits,
    };
    let messages = match the(limits, "usize::try_from(settings.", '(') {
        Some(setting) => format!("`{}`", setting.trim_end_matches(".get")),
        None => the(limits, "messages: ", ',').expect("limits bound messages").to_owned(),
    };
    let urgent = the(limits, "urgent: ", '}').expect("limits bound urgent messages").trim_end_matches([' ', ',']);
    let urgent = match urgent.strip_prefix("policies::") {
        Some(name) => the(policies, &format!("const {name}: usize = "), ';').expect("a bound that is named is there"),
        None => urgent,
    };
    format!("{messages} + {urgent}")
}

/// The actor behind a name that a role starts, and its bounds.
fn started(name: &str, roles: &str, wiring: &str, policies: &str) -> (String, String) {
    if let Some(field) = name.strip_prefix("wiring.") {
        let actor = the(wiring, &format!("{field}: ActorRef<"), '>').expect("a field of the wiring has a type");
        let made = the(wiring, &format!("{field}: ActorRef::unbound("), ')').expect("the wiring makes its actors");
        // The call in the middle of the limits ends in a bracket, too.
        let made = if made.starts_with("Limits") {
            the(wiring, &format!("{field}: ActorRef::unbound("), '}')
        } else {
            Some(made)
        };
        return (actor.to_owned(), bounds(made.expect("it was found before"), policies));
    }
    let made = the(roles, &format!("let {name} = ActorRef::<"), ';').expect("a role makes what it starts");
    let (actor, limits) = made.split_once(">::unbound(").expect("an actor's mailbox is bounded where it is made");
    (actor.to_owned(), bounds(limits.trim_end_matches(')'), policies))
}

#[test]
fn the_map_says_how_each_actor_is_restarted_and_bounded() {
    let (roles, wiring, policies) =
        (roles(), words(&text("services/hosts/src/wiring.rs")), words(&text("services/hosts/src/policies.rs")));
    let mut rows = BTreeSet::new();
    for start in each(&roles, "host.start(&", ')') {
        let mut arguments = start.split(',').map(str::trim);
        let (name, policy) = (arguments.next().expect("it names an actor"), arguments.next().expect("and a policy"));
        let policy = policy.strip_prefix("policies::").expect("policies stand in one place");
        let (actor, bounds) = started(name, &roles, &wiring, &policies);
        rows.insert(format!("| `{actor}` | `{policy}` | {bounds} |"));
    }
    assert!(rows.len() > 10, "actors are looked for in vain: {rows:?}");
    let map = text("actors/README.md");
    let table = map.lines().skip_while(|line| !line.starts_with("| actor | restart | mailbox |")).skip(2);
    let told: BTreeSet<String> = table.take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
    let (missing, wrong): (Vec<_>, Vec<_>) = (rows.difference(&told).collect(), told.difference(&rows).collect());
    assert!(missing.is_empty() && wrong.is_empty(), "actors/README.md lacks {missing:#?} and has {wrong:#?}");
}

#[test]
fn the_map_says_what_each_policy_means() {
    let policies = words(&text("services/hosts/src/policies.rs"));
    let map = text("actors/README.md");
    let vital = the(&policies, "const VITAL: Policy = ", ';').expect("there is one to begin with");
    let seconds = |within: &str, key: &str| -> u64 {
        let value = the(within, &format!("{key}: Duration::from_secs("), ')').expect("the policy says it");
        value.parse().expect("seconds are a number")
    };
    let budget = the(vital, "max_restarts: ", ',').expect("the policy has a budget");
    let stalls: BTreeMap<&str, u64> = ["VITAL", "MONEY"]
        .map(|name| (name, the(&policies, &format!("const {name}: Policy = "), ';').expect("the policy is there")))
        .map(|(name, policy)| (name, seconds(policy, "stall_after")))
        .into();
    let cool_off = the(&policies, "cool_off: Duration::from_secs(", ')').expect("one policy degrades");
    for said in [
        format!("`VITAL`: {budget} restarts in {} s, then the host ends", seconds(vital, "within")),
        format!("a message that takes {} s is a stall", stalls["VITAL"]),
        format!("`MONEY`: the same, but a stall is {} s", stalls["MONEY"]),
        format!("`COSMETIC`: the host goes on without it and tries again every {cool_off} s"),
    ] {
        assert!(words(&map).contains(&said), "actors/README.md does not say: {said}");
    }
}
