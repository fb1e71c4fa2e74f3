//! Settings: each is declared once, by the macro [`settings!`]. Flags, variables, `--help`, refusals, completions,
//! manual pages and `docs/SETTINGS.md` are all made from the declaration.

mod formats;
mod loader;

use std::ops::Deref;

pub(crate) use formats::{
    base_address, bytes, duration, is_one_line, listen_address, may_hold_secret, number, one_of,
    path, project_id, secret, share, switch, text, timeout, web_address,
};
pub(crate) use loader::SettingsLoader;
pub use loader::{Loaded, SettingsError, ShownSetting};

/// Declares a section of settings: a struct whose fields are settings.
///
/// ```text
/// settings! {
///     /// How watched records are read.
///     #[derive(Clone, Debug)]
///     pub struct SubscriptionsConfig in "subscriptions." for SERVE_AND_DEMO {
///         /// how often a watched record is read
///         pub poll_interval: Duration = duration(…).default("5s"),
///     } and {
///         /// A field that is no setting, and its value before anything is read.
///         pub other: Option<Other> = None,
///     }
/// }
/// ```
///
/// The key is the prefix and the field's name: `subscriptions.poll_interval`. The doc comment is the
/// meaning that `--help`, the manual page and `docs/SETTINGS.md` show. The expression is a [`Setting`]
/// of the field's type: its format with the allowed range, its default, and how it differs from other
/// settings.
///
/// The struct gets a function for each setting, named like the field, so that rules between settings can
/// name what they refuse: `loader.refuse(&[&Self::poll_interval()], "must …")`. `Self::read` reads all fields,
/// `Self::specs` lists the settings, and `Default` has the defaults of `serve`.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Section:ident in $prefix:literal for $roles:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field_visibility:vis $field:ident: $Value:ty = $setting:expr,
            )+
        }
        $(and {
            $(
                $(#[$other_attribute:meta])*
                $other_visibility:vis $other:ident: $Other:ty = $initial:expr,
            )+
        })?
    ) => {
        $(#[$attribute])*
        $visibility struct $Section {
            $( $(#[doc = $meaning])+ $field_visibility $field: $Value, )+
            $($( $(#[$other_attribute])* $other_visibility $other: $Other, )+)?
        }

        impl $Section {
            $(
                pub(super) fn $field() -> $crate::config::settings::Setting<$Value> {
                    let key = concat!($prefix, stringify!($field));
                    $setting.named(key, concat!($($meaning),+), $roles)
                }
            )+
            pub(super) fn specs() -> Vec<$crate::config::settings::SettingSpec> {
                vec![$(Self::$field().spec),+]
            }

            pub(super) fn read(loader: &mut $crate::config::settings::SettingsLoader<'_>) -> Self {
                Self {
                    $( $field: loader.read(&Self::$field()), )+
                    $($( $other: $initial, )+)?
                }
            }
        }

        impl Default for $Section {
            fn default() -> Self {
                let role = $crate::config::settings::Role::Serve;
                Self {
                    $( $field: Self::$field().default_value(role), )+
                    $($( $other: $initial, )+)?
                }
            }
        }
    };
}
pub(crate) use settings;

/// What the process runs as. A setting may belong to some roles only, or have another default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Serve,
    Demo,
    Simulate,
}

/// The commands that have a setting.
pub(crate) const SERVE_AND_DEMO: &[Role] = &[Role::Serve, Role::Demo];
/// The demo has an upstream and callers of its own.
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
    when_unset: Option<fn() -> T>,
}

/// Reads a value. `None` for one that is not allowed.
type ReadValue<T> = Box<dyn Fn(&str) -> Option<T>>;

impl<T: 'static> Setting<T> {
    /// A setting whose texts have a type of their own. Blanks at the ends do not count. It has no default, unless
    /// another method says so. The macro `settings!` adds key and meaning.
    pub(crate) fn new(
        placeholder: &'static str,
        allowed: impl Into<String>,
        parse: impl Fn(&str) -> Option<T> + 'static,
    ) -> Self {
        let spec = SettingSpec {
            key: "",
            meaning: "",
            unset: "none",
            is_reloadable: true,
            allowed: allowed.into(),
            placeholder,
            arity: Arity::One,
            default: None,
            demo_default: None,
            flag: None,
            roles: EVERY_ROLE,
            is_secret: |_| false,
        };
        Self { spec, read: Box::new(move |text| parse(text.trim())), when_unset: None }
    }

    /// A value that may be left out.
    pub(crate) fn optional(self) -> Setting<Option<T>> {
        let read = Box::new(move |text: &str| (self.read)(text).map(Some));
        Setting { spec: self.spec, read, when_unset: Some(|| None) }
    }

    /// Any number of values, with commas between them.
    pub(crate) fn list<C: FromIterator<T>>(self) -> Setting<C> {
        let allowed = format!("a list with commas between the items, each {}", self.spec.allowed);
        let read = move |text: &str| {
            let items = text.split(',').filter(|_| !text.trim().is_empty());
            items.map(|item| (self.read)(item)).collect()
        };
        let spec = SettingSpec { allowed, arity: Arity::Many, ..self.spec };
        Setting { spec, read: Box::new(read), when_unset: Some(|| std::iter::empty().collect()) }
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

    /// Changes wait for a restart. All other settings take changes while the process runs.
    pub(crate) fn needs_restart(mut self) -> Self {
        self.spec.is_reloadable = false;
        self
    }

    /// The value where nothing is set, of a setting without a default to show.
    pub(crate) fn when_unset(mut self, value: fn() -> T) -> Self {
        self.when_unset = Some(value);
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
        // `simulate` reads its settings once.
        self.spec.is_reloadable &= roles.contains(&Role::Serve);
        self.spec.meaning = meaning.trim_ascii_start();
        self
    }

    /// Reads what a source gave; the error is a clause that says what is allowed.
    pub(crate) fn read(&self, text: &str) -> Result<T, String> {
        (self.read)(text).ok_or_else(|| format!("must be {}", self.spec.allowed))
    }

    /// The value where nothing is set.
    pub(crate) fn default_value(&self, role: Role) -> T {
        let value = match self.spec.default_in(role) {
            Some(text) => (self.read)(text),
            None => self.when_unset.map(|value| value()),
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
        // `simulate` has no other settings.
        let key = self.key.strip_prefix("simulator.").unwrap_or(self.key);
        self.flag.map_or_else(|| key.replace(['.', '_'], "-"), str::to_owned)
    }

    pub(crate) fn is_for(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it stands in tables of the settings file, and has neither flag nor variable.
    pub(crate) fn is_in_tables(&self) -> bool {
        self.key.contains(TABLE)
    }

    /// Whether a command has a flag for it.
    pub(crate) fn is_flag_of(&self, role: Role) -> bool {
        self.is_for(role) && !self.is_in_tables()
    }

    /// What is shown of the value where nothing is set.
    pub(crate) fn shown_default(&self, role: Role) -> String {
        let default = self.default_in(role).map(|default| self.shown(default));
        default.unwrap_or_else(|| self.unset.to_owned())
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
