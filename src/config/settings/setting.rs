//! One setting: its names, meaning, default, format and reload rule.
//!
//! Flags, variables, `--help`, refusals, completions, manual pages and `docs/SETTINGS.md` are all
//! made from this.

use std::ops::Deref;

/// What the process runs as. A setting may belong to some roles only, or have another default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Serve,
    Demo,
    Simulate,
}

/// The commands that have a setting, unless its section says otherwise.
pub(crate) const SERVE_AND_DEMO: &[Role] = &[Role::Serve, Role::Demo];
/// The commands that have a setting which is not for the demo: that has an upstream and callers of its own.
pub(crate) const SERVE: &[Role] = &[Role::Serve];
pub(crate) const EVERY_ROLE: &[Role] = &[Role::Serve, Role::Demo, Role::Simulate];

/// In the key of a setting that stands in tables, this stands for the name of the table.
pub(crate) const TABLE: &str = "<id>";

/// How many values a setting's flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    One,
    /// The flag alone means `true`.
    AtMostOne,
    /// The flag may be repeated.
    Many,
}

/// A setting without the type of its value.
pub(crate) struct SettingSpec {
    /// Name in the settings file and in refusals: `upstream.deadline`.
    pub(crate) key: &'static str,
    pub(crate) meaning: &'static str,
    /// What `--help` and `check` show in place of a default where there is none.
    pub(crate) unset: &'static str,
    /// Whether a change takes effect while the process runs. Other changes wait for a restart.
    pub(crate) is_reloadable: bool,
    /// What is allowed, as the end of a sentence: "true or false".
    pub(crate) allowed: String,
    /// Stands for the value in the usage of the flag.
    pub(crate) placeholder: &'static str,
    pub(crate) arity: Arity,
    default: Option<&'static str>,
    demo_default: Option<&'static str>,
    flag: Option<&'static str>,
    /// The commands that have the setting.
    roles: &'static [Role],
    is_secret: fn(&str) -> bool,
}

/// A setting whose value is a `T`.
pub(crate) struct Setting<T> {
    pub(crate) spec: SettingSpec,
    read: ReadValue<T>,
    when_unset: fn() -> Option<T>,
}

/// Reads a value; the error is a clause that says what is allowed.
type ReadValue<T> = Box<dyn Fn(&str) -> Result<T, String>>;

impl<T: 'static> Setting<T> {
    /// A setting whose texts have a type of their own. Blanks at the ends do not count. It needs a restart to
    /// change and has no default, unless other methods say so. The macro `settings!` adds key and meaning.
    pub(crate) fn new(
        placeholder: &'static str,
        allowed: impl Into<String>,
        parse: impl Fn(&str) -> Option<T> + 'static,
    ) -> Self {
        let allowed = allowed.into();
        let problem = format!("must be {allowed}");
        let read = move |text: &str| parse(text.trim()).ok_or_else(|| problem.clone());
        let spec = SettingSpec {
            key: "",
            meaning: "",
            unset: "none",
            is_reloadable: false,
            allowed,
            placeholder,
            arity: Arity::One,
            default: None,
            demo_default: None,
            flag: None,
            roles: EVERY_ROLE,
            is_secret: |_| false,
        };
        Self { spec, read: Box::new(read), when_unset: || None }
    }

    /// A value that may be left out.
    pub(crate) fn optional(self) -> Setting<Option<T>> {
        let read = Box::new(move |text: &str| (self.read)(text).map(Some));
        Setting { spec: self.spec, read, when_unset: || Some(None) }
    }

    /// Any number of values, with commas between them.
    pub(crate) fn list<C: FromIterator<T>>(self) -> Setting<C> {
        let allowed = format!("a list with commas between the items, each {}", self.spec.allowed);
        let read = move |text: &str| {
            let items = text.split(',').filter(|_| !text.trim().is_empty());
            // The item is named by its position, because it may be a secret.
            let item = |(at, item)| {
                (self.read)(item).map_err(|problem| format!("item {}: {problem}", at + 1_usize))
            };
            items.enumerate().map(item).collect()
        };
        let spec = SettingSpec { allowed, arity: Arity::Many, ..self.spec };
        Setting { spec, read: Box::new(read), when_unset: || Some(std::iter::empty().collect()) }
    }
}

impl<T> Setting<T> {
    /// The value where nothing is set, as a user would write it.
    pub(crate) fn default(mut self, text: &'static str) -> Self {
        self.spec.default = Some(text);
        self
    }

    /// The default of the command `demo`, where it differs.
    pub(crate) fn demo_default(mut self, text: &'static str) -> Self {
        self.spec.demo_default = Some(text);
        self
    }

    /// What is shown in place of a default.
    pub(crate) fn shown_when_unset(mut self, words: &'static str) -> Self {
        self.spec.unset = words;
        self
    }

    /// Changes take effect while the process runs.
    pub(crate) fn reloadable(mut self) -> Self {
        self.spec.is_reloadable = true;
        self
    }

    /// Another flag than the key's.
    pub(crate) fn with_flag(mut self, flag: &'static str) -> Self {
        self.spec.flag = Some(flag);
        self
    }

    /// Another key than that of the section and the field.
    pub(crate) fn with_key(mut self, key: &'static str) -> Self {
        self.spec.key = key;
        self
    }

    /// No value is ever shown.
    pub(crate) fn secret(self) -> Self {
        self.secret_if(|_| true)
    }

    /// Values for which `is_secret` holds are never shown.
    pub(crate) fn secret_if(mut self, is_secret: fn(&str) -> bool) -> Self {
        self.spec.is_secret = is_secret;
        self
    }

    /// For the macro `settings!`. The meaning is a doc comment, which begins with a blank.
    pub(crate) fn named(
        mut self,
        key: &'static str,
        meaning: &'static str,
        roles: &'static [Role],
    ) -> Self {
        if self.spec.key.is_empty() {
            self.spec.key = key;
        }
        self.spec.roles = roles;
        self.spec.meaning = meaning.trim_ascii_start();
        self
    }

    /// Reads what a source gave; the error is a clause that says what is allowed.
    pub(crate) fn read(&self, text: &str) -> Result<T, String> {
        (self.read)(text)
    }

    /// The value where nothing is set.
    pub(crate) fn default_value(&self, role: Role) -> T {
        let value = match self.spec.default_in(role) {
            Some(text) => self.read(text).ok(),
            None => (self.when_unset)(),
        };
        value.expect("a setting allows its own default, or may be left out")
    }
}

impl<T> Deref for Setting<T> {
    type Target = SettingSpec;

    fn deref(&self) -> &SettingSpec {
        &self.spec
    }
}

impl SettingSpec {
    /// Name in the environment: `GATEWAY_UPSTREAM__DEADLINE`.
    pub(crate) fn variable(&self) -> String {
        format!("GATEWAY_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }

    /// Name on the command line, without dashes in front: `upstream-deadline`.
    pub(crate) fn flag(&self) -> String {
        self.flag.map_or_else(|| self.key.replace(['.', '_'], "-"), str::to_owned)
    }

    pub(crate) fn is_for(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it stands in tables of the settings file, and has neither flag nor variable.
    pub(crate) fn is_in_tables(&self) -> bool {
        self.key.contains(TABLE)
    }

    /// The default as a user would write it, if there is one.
    pub(crate) fn default_in(&self, role: Role) -> Option<&'static str> {
        match role {
            Role::Demo => self.demo_default.or(self.default),
            Role::Serve | Role::Simulate => self.default,
        }
    }

    /// What a source gave, without secrets, on one line.
    pub(crate) fn shown(&self, text: &str) -> String {
        if (self.is_secret)(text) { "(redacted)".to_owned() } else { one_line(text) }
    }
}

/// Writes foreign text on one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let is_plain = !shown.is_empty() && shown.trim() == shown;
    if is_plain && shown.escape_debug().eq(shown.chars()) { shown } else { format!("{shown:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_one_line() {
        for (text, shown) in
            [("12s", "12s"), ("", "\"\""), ("a\nb", "\"a\\nb\""), (" a", "\" a\""), ("ü", "ü")]
        {
            assert_eq!(one_line(text), shown);
        }
        assert_eq!(one_line(&"x".repeat(101)), format!("{}…", "x".repeat(100)));
    }
}
