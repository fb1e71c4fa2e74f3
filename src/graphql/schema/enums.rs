//! What the enumerations of the schema have in common.

/// Makes an enumeration of the schema and its counterpart of the domain out of each other.
macro_rules! same_as_in_domain {
    ($name:ident: $($variant:ident),+) => {
        impl From<domain::$name> for $name {
            fn from(known: domain::$name) -> Self {
                match known {
                    $(domain::$name::$variant => Self::$variant,)+
                }
            }
        }

        impl From<$name> for domain::$name {
            fn from(shown: $name) -> Self {
                match shown {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }
    };
}

pub(super) use same_as_in_domain;
