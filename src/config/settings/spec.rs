//! One setting: its names, meaning, default, format and reload rule.
//!
//! Flags, variables, `--help`, refusals, completions, manual pages and `docs/SETTINGS.md` are all
//! made from this.

use std::ops::Deref;

use super::formats::{Arity, Format, ReadValue, one_line};

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

/// A setting without the type of its value.
pub(crate) struct SettingSpec {
    /// Name in the settings file and in refusals: `upstream.deadline`.
    pub(crate) key: &'static str,
    pub(crate) meaning: &'static str,
    /// What `--help` and `check` show in place of a default where there is none.
    pub(crate) unset: &'static str,
    /// Whether a change takes effect while the process runs. Other changes wait for a restart.
    pub(crate) is_reloadable: bool,
    /// What is allowed, as the end of a sentence.
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

/// Declares a setting with a format. It needs a restart to change and has no default, unless
/// the methods of [`Setting`] say otherwise. The macro `settings!` adds
/// key and meaning.
pub(crate) fn setting<T>(format: Format<T>) -> Setting<T> {
    let Format { allowed, placeholder, arity, read, unset: when_unset } = format;
    let spec = SettingSpec {
        key: "",
        meaning: "",
        unset: "none",
        is_reloadable: false,
        allowed,
        placeholder,
        arity,
        default: None,
        demo_default: None,
        flag: None,
        roles: &[],
        is_secret: |_| false,
    };
    Setting { spec, read, when_unset }
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
