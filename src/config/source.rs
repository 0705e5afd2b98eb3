//! Where settings come from, and the errors that they cause.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// Environment variables. No `Debug`: their values are secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process.
    pub fn of_the_process() -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        Self(
            std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    /// Given ones.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// The value of `name`; one that is empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// The text of a configuration file, and what to call it. No `Debug`: it holds secrets.
pub struct FileText {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl FileText {
    /// Reads the file at `path`, which exists or was asked for.
    pub(super) fn read(path: &str) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let shown = Shown::Value(format!("{path}: {error}"));
            let wants = "a TOML file that can be read";
            ConfigErrors(vec![SettingError::wrong(
                "COUNTERFOIL_CONFIG",
                shown,
                wants,
            )])
        })?;
        Ok(Self {
            path: path.into(),
            text,
        })
    }

    /// Given text, for tests.
    pub fn of(text: &str) -> Self {
        Self {
            path: "counterfoil.toml".into(),
            text: text.to_owned(),
        }
    }

    /// Every value by its dotted key, or what is wrong with the file. TOML's own message would quote the line,
    /// which may hold a secret: only its place is kept.
    fn values(&self) -> Result<BTreeMap<String, String>, SettingError> {
        let not_toml = |error: config::ConfigError| {
            let said = error.to_string();
            let place = said
                .lines()
                .next()
                .and_then(|line| line.find("at line").map(|at| line[at..].to_owned()));
            let place =
                place.map(|place| place.split(" in ").next().unwrap_or_default().to_owned());
            let wants = format!(
                "valid TOML{}",
                place.map(|place| format!(" ({place})")).unwrap_or_default()
            );
            SettingError::wrong(&self.path.display().to_string(), Shown::Secret, &wants)
        };
        let source = config::File::from_str(&self.text, config::FileFormat::Toml);
        let parsed = config::Config::builder()
            .add_source(source)
            .build()
            .map_err(not_toml)?;
        let mut values = BTreeMap::new();
        flatten("", parsed.cache, &mut values);
        Ok(values)
    }
}

fn flatten(key: &str, value: config::Value, into: &mut BTreeMap<String, String>) {
    match value.kind {
        config::ValueKind::Table(table) => {
            for (name, value) in table {
                let key = if key.is_empty() {
                    name
                } else {
                    format!("{key}.{name}")
                };
                flatten(&key, value, into);
            }
        }
        other => {
            into.insert(key.to_owned(), other.to_string());
        }
    }
}

/// Whether an error may show the value it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Value(String),
    Secret,
    Nothing,
}

/// One setting that is wrong: which, what it holds (a secret is not shown), and what it should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The variable, or the key in the file.
    pub name: String,
    got: Shown,
    /// What is wanted, to follow "must be".
    pub wants: String,
}

impl SettingError {
    pub(super) fn wrong(name: &str, got: Shown, wants: &str) -> Self {
        Self {
            name: name.to_owned(),
            got,
            wants: wants.to_owned(),
        }
    }

    pub(super) fn missing(name: &str, wants: &str) -> Self {
        Self::wrong(name, Shown::Nothing, wants)
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, got, wants } = self;
        match got {
            Shown::Value(value) => write!(f, "{name} is `{value}`, but must be {wants}"),
            Shown::Secret => write!(f, "{name} (its value is not shown) must be {wants}"),
            Shown::Nothing => write!(f, "{name} is missing; it must be {wants}"),
        }
    }
}

/// Everything that is wrong with the settings, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<SettingError>);

impl ConfigErrors {
    pub(super) fn unless_empty(errors: Vec<SettingError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of the settings cannot be used:", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|error| writeln!(f, "  - {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The environment above the file, with the errors that came up so far.
pub(super) struct Settings<'a> {
    environment: &'a Environment,
    file: BTreeMap<String, String>,
    path: String,
    known: BTreeSet<String>,
    errors: Vec<SettingError>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(environment: &'a Environment, file: Option<&FileText>) -> Self {
        let (values, errors) = match file.map(FileText::values) {
            None => (BTreeMap::new(), Vec::new()),
            Some(Ok(values)) => (values, Vec::new()),
            Some(Err(error)) => (BTreeMap::new(), vec![error]),
        };
        let path = file
            .map(|file| file.path.display().to_string())
            .unwrap_or_default();
        Self {
            environment,
            file: values,
            path,
            known: BTreeSet::new(),
            errors,
        }
    }

    pub(super) fn note(&mut self, error: SettingError) {
        self.errors.push(error);
    }

    pub(super) fn has(&self, variable: &str, key: &str) -> bool {
        self.environment.get(variable).is_some() || self.file.contains_key(key)
    }

    /// A setting whose value may be shown; `None` where it is not set, or wrong (which is noted).
    pub(super) fn plain<T>(
        &mut self,
        variable: &str,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed(variable, key, parse, Shown::Value)
    }

    /// A setting whose value is never shown.
    pub(super) fn secret<T>(
        &mut self,
        variable: &str,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed(variable, key, parse, |_| Shown::Secret)
    }

    fn parsed<T>(
        &mut self,
        variable: &str,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        shown: impl Fn(String) -> Shown,
    ) -> Option<T> {
        self.known.insert(key.to_owned());
        let in_file = || {
            self.file
                .get(key)
                .map(|value| (format!("{key} in {}", self.path), value.clone()))
        };
        let in_environment = self
            .environment
            .get(variable)
            .map(|value| (variable.to_owned(), value.to_owned()));
        let (name, value) = in_environment.or_else(in_file)?;
        parse(value.trim())
            .map_err(|wants| self.note(SettingError::wrong(&name, shown(value), &wants)))
            .ok()
    }

    /// The names in `STRIPE_<NAME>_SECRET_KEY` and its companions, and in `[stripe.<name>]`, in small letters.
    pub(super) fn stripe_account_names(&self) -> BTreeSet<String> {
        let set = self
            .environment
            .0
            .iter()
            .filter(|(_, value)| !value.is_empty());
        let in_environment = set.filter_map(|(variable, _)| {
            let rest = variable.strip_prefix("STRIPE_")?;
            let endings = ["_SECRET_KEY", "_WEBHOOK_SECRET", "_API_BASE"];
            let name = endings
                .into_iter()
                .find_map(|ending| rest.strip_suffix(ending))?;
            is_account_name(&name.to_ascii_lowercase()).then(|| name.to_ascii_lowercase())
        });
        let in_file = self.file.keys().filter_map(|key| {
            let (name, _field) = key.strip_prefix("stripe.")?.split_once('.')?;
            is_account_name(name).then(|| name.to_owned())
        });
        in_environment.chain(in_file).collect()
    }

    /// The errors, with those about keys of the file that nobody asked for.
    pub(super) fn finish(mut self) -> Result<(), ConfigErrors> {
        let strange: Vec<_> = self
            .file
            .keys()
            .filter(|key| !self.known.contains(*key))
            .cloned()
            .collect();
        for key in strange {
            let name = format!("{key} in {}", self.path);
            self.note(SettingError::wrong(
                &name,
                Shown::Secret,
                "removed or renamed: there is no such setting",
            ));
        }
        ConfigErrors::unless_empty(self.errors)
    }
}

fn is_account_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
