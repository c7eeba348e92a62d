//! The four layers, and which of them a value came from.
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use secrecy::SecretString;

use crate::check::Broken;
use crate::error::{Problem, SettingsError, unknown};
use crate::{LogFormat, PasswordSources, Settings};

const ENV_PREFIX: &str = "POOL_";
const ENV_PASSWORD: &str = "BLOCKNET_WALLET_PASSWORD";
const FILE_DEFAULT: &str = "pool.toml";

/// Where to load from.
#[derive(Debug)]
pub struct Load {
    /// The settings file, which must exist. `None`: `./pool.toml` if there is one, and not even that on the devnet.
    pub file: Option<PathBuf>,
    /// Start from the preset of the simulated network instead of the defaults.
    pub devnet: bool,
    /// Values given on the command line; the strongest layer.
    pub flags: Vec<Flag>,
    /// The environment.
    pub env: Vec<(String, String)>,
}

/// A value given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the operator wrote it, like `--data-dir`.
    pub name: String,
    /// The key it sets, like `data.dir`.
    pub key: String,
    /// The value, as text.
    pub value: String,
}

impl Load {
    /// With this process's environment and no flags.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, devnet: bool) -> Load {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
        Load { file, devnet, flags: Vec::new(), env }
    }

    /// With one more value from the command line.
    #[must_use]
    pub fn flag(mut self, name: &str, key: &str, value: impl Into<String>) -> Load {
        self.flags.push(Flag { name: name.to_owned(), key: key.to_owned(), value: value.into() });
        self
    }
}

/// Loads and checks the settings.
///
/// # Errors
/// Everything that is wrong with them; rules between keys are only looked at when each key is right by itself.
pub fn load(load: &Load) -> Result<Settings, SettingsError> {
    let (settings, problems) = read(load);
    if problems.is_empty() { Ok(settings) } else { Err(SettingsError(problems)) }
}

/// How the log is wanted, as far as that can be told when something else is wrong: the text that says what is a part
/// of the log.
#[must_use]
pub fn log_format(load: &Load) -> LogFormat {
    read(load).0.telemetry.log_format
}

/// Not to be used where there is a problem.
fn read(load: &Load) -> (Settings, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut figment = Figment::new();
    if load.devnet {
        let dict = Toml::from_str(include_str!("devnet.toml")).expect("a test parses the preset");
        figment = figment.merge(Layer { place: "the devnet preset".to_owned(), dict });
    }
    let file = read_file(load, &mut problems);
    if let Some(layer) = file.layer {
        figment = figment.merge(layer);
    }
    let known = Value::serialize(Settings::default()).expect("the defaults are plain values");
    let mut ignored = Vec::new();
    for (name, value) in &load.env {
        let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
        if !rest.contains("__") {
            match meant_key(&known, rest) {
                Some(key) => problems.push(misnamed(name, &key)),
                None => ignored.push(name.clone()),
            }
            continue;
        }
        let key = rest.to_lowercase().replace("__", ".");
        match text_layer(&known, &key, value, format!("environment variable {name}")) {
            Ok(layer) => figment = figment.merge(layer),
            Err(problem) => problems.push(problem),
        }
    }
    for flag in &load.flags {
        match text_layer(&known, &flag.key, &flag.value, format!("command line option {}", flag.name)) {
            Ok(layer) => figment = figment.merge(layer),
            Err(problem) => problems.push(problem),
        }
    }
    let mut settings = extract(&figment, &mut problems);
    if load.devnet {
        settings.fill_devnet();
    }
    if problems.is_empty() {
        let mut tree = tree_of(&figment);
        let mut place =
            |key: &str| place_of(&figment, &mut tree, &key.split('.').map(str::to_owned).collect::<Vec<_>>());
        for Broken { key, other, what } in settings.broken_rules() {
            let place = place(&key).or_else(|| place(other?));
            problems.push(Problem { key, what, place });
        }
        settings.pool.use_account_texts();
    }
    let env = load.env.iter().find(|(name, value)| name == ENV_PASSWORD && !value.is_empty());
    settings.password =
        PasswordSources { env: env.map(|(_, value)| SecretString::from(value.clone())), config_dir: file.dir };
    settings.ignored = ignored;
    (settings, problems)
}

// === names in the environment ===

/// The key that a name without `__` gives if one `_` is read as that. Orchestrators put names like `POOL_PORT` into
/// the environment of whatever runs beside a service called `pool`; those give none.
fn meant_key(known: &Value, name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let keys = name.match_indices('_').map(|(at, _)| format!("{}.{}", &name[..at], &name[at + 1..]));
    keys.into_iter().find(|key| known.find_ref(key).is_some_and(|value| value.as_dict().is_none()))
}

/// What the operator meant is certain, and to overlook it could send money that was to stay.
fn misnamed(name: &str, key: &str) -> Problem {
    let right = format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase());
    let what = format!("is set by {right}, with two underscores after the section");
    Problem { key: key.to_owned(), what, place: Some(format!("environment variable {name}")) }
}

// === one layer ===

struct Layer {
    place: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

struct File {
    dir: PathBuf,
    layer: Option<Layer>,
}

fn read_file(load: &Load, problems: &mut Vec<Problem>) -> File {
    let path = load.file.clone().unwrap_or_else(|| PathBuf::from(FILE_DEFAULT));
    // An absolute path says which file is meant wherever the text ends up. (It fails for an empty path only.)
    let path = std::path::absolute(&path).unwrap_or(path);
    let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
    if load.file.is_none() && load.devnet {
        return File { dir, layer: None };
    }
    let layer = match std::fs::read_to_string(&path) {
        Ok(text) => parse_file(&path, &text).map_err(|problem| problems.push(problem)).ok(),
        Err(error) if error.kind() == ErrorKind::NotFound && load.file.is_none() => None,
        Err(error) => {
            let what = format!("cannot be read: {error}");
            problems.push(Problem { key: path.display().to_string(), what, place: None });
            None
        }
    };
    File { dir, layer }
}

/// The parser's own text would repeat the line, which may hold a secret; its message and the line's number do not.
fn parse_file(path: &Path, text: &str) -> Result<Layer, Problem> {
    let place = path.display().to_string();
    match <Toml as Format>::from_str(text) {
        Ok(dict) => Ok(Layer { place, dict }),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            let what = format!("line {line}: {}", error.message().replace('\n', ", "));
            Err(Problem { key: place, what, place: None })
        }
    }
}

/// One key from a text. What it becomes is decided by the key's type and not by its looks: a password may be `12345`.
fn text_layer(known: &Value, key: &str, text: &str, place: String) -> Result<Layer, Problem> {
    let refused = |what, place| Problem { key: key.to_owned(), what, place: Some(place) };
    let value = match known.find_ref(key).filter(|_| !key.is_empty()) {
        Some(Value::Dict(..)) => return Err(refused("is a section, set one of its keys".to_owned(), place)),
        Some(like) => typed(text, like),
        None => {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            let siblings = known.find_ref(section).and_then(Value::as_dict);
            let names = siblings.into_iter().flat_map(Dict::keys).map(String::as_str);
            return Err(refused(unknown(name, names), place));
        }
    };
    let dict = figment::util::nest(key, value).into_dict().expect("a known key has a name");
    Ok(Layer { place, dict })
}

/// A text that does not fit is left as it is, so that the refusal can show it.
fn typed(text: &str, like: &Value) -> Value {
    let trimmed = text.trim();
    match like {
        Value::Num(..) => match (trimmed.parse::<u64>(), trimmed.parse::<f64>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) => Value::from(number),
            _ => Value::from(text),
        },
        Value::Bool(..) => trimmed.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        Value::Array(..) if trimmed.is_empty() => Value::from(Vec::<String>::new()),
        Value::Array(..) if trimmed.starts_with('[') && trimmed.ends_with(']') => {
            trimmed.parse().unwrap_or_else(|never| match never {})
        }
        Value::Array(..) => Value::from(trimmed.split(',').map(str::trim).collect::<Vec<_>>()),
        _ => Value::from(text),
    }
}

// === the tree ===

/// Serde stops at the first value it cannot take. So that one is noted and taken out, and the rest is tried again.
fn extract(figment: &Figment, problems: &mut Vec<Problem>) -> Settings {
    let mut tree = tree_of(figment);
    loop {
        let error = match tree.deserialize::<Settings>() {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        let place = place_of(figment, &mut tree, &error.path);
        problems.push(Problem::found(&error.path, &error.kind, place));
        if !take_out(&mut tree, &error.path) {
            return Settings::default(); // Not to be used: there is a problem.
        }
    }
}

fn tree_of(figment: &Figment) -> Value {
    figment.find_value("").unwrap_or_else(|_| Value::from(Dict::new()))
}

/// Where the value at `path` was set. What an element of a list lacks is looked for where the element was set.
fn place_of(figment: &Figment, tree: &mut Value, path: &[String]) -> Option<String> {
    let element = path.iter().position(|name| name.parse::<usize>().is_ok()).map(|index| &path[..=index]);
    let tag = at(tree, path).map(|value| value.tag()).or_else(|| Some(at(tree, element?)?.tag()))?;
    figment.get_metadata(tag).map(|metadata| metadata.name.to_string())
}

fn at<'a>(tree: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(tree, |value, name| match value {
        Value::Dict(_, dict) => dict.get_mut(name),
        Value::Array(_, list) => list.get_mut(name.parse::<usize>().ok()?),
        _ => None,
    })
}

fn take_out(tree: &mut Value, path: &[String]) -> bool {
    let Some((name, parents)) = path.split_last() else { return false };
    match at(tree, parents) {
        Some(Value::Dict(_, dict)) => dict.remove(name).is_some(),
        // An element goes with its whole list: without it the others would change their numbers.
        Some(Value::Array(..)) => take_out(tree, parents),
        _ => false,
    }
}
