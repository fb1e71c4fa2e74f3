//! Settings: each is declared once, by the macro [`settings!`], and read by [`SettingsLoader`].

mod setting;
mod formats;
mod loader;

pub(crate) use formats::{
    base_address, bytes, duration, file_path, is_one_line, listen_address, may_hold_secret, number,
    one_of, project_id, secret, share, switch, text, timeout, web_address,
};
pub(crate) use loader::SettingsLoader;
pub use loader::{Loaded, SettingsError, ShownSetting};
pub(crate) use setting::{
    Arity, EVERY_ROLE, Role, SERVE, SERVE_AND_DEMO, Setting, SettingSpec, TABLE, one_line,
};

/// Declares a section of settings: a struct whose fields are settings.
///
/// ```text
/// settings! {
///     /// How watched records are read.
///     #[derive(Clone, Debug)]
///     pub struct SubscriptionsConfig in "subscriptions." {
///         /// how often a watched record is read
///         pub poll_interval: Duration = duration(…).default("5s").reloadable(),
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
        $visibility:vis struct $Section:ident in $prefix:literal $(for $roles:ident)? {
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
                    $setting.named(key, concat!($($meaning),+), Self::ROLES)
                }
            )+
            const ROLES: &'static [$crate::config::settings::Role] =
                match [$crate::config::settings::SERVE_AND_DEMO, $($roles)?] {
                    [.., last] => last,
                };

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
