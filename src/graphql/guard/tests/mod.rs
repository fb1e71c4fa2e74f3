//! The guard's tests, and what they share.

mod bounds;
mod corpus;
mod equivalence;
mod refusals;
mod schema;
mod weights;

use async_graphql::Variables;
use serde_json::json;

use super::{Guard, Measure, Refusal};
use crate::config::LimitsConfig;

fn guard() -> Guard {
    Guard::new(&LimitsConfig::default())
}

fn no_variables() -> Variables {
    Variables::from_json(json!({}))
}

/// Weighs a document of one operation without variables.
fn measure(document: &str) -> Result<Measure, Refusal> {
    guard().measure(document, None, &no_variables())
}

/// Weighs and checks a document as a request of its own.
fn admit(document: &str) -> Result<Measure, Refusal> {
    let measure = measure(document)?;
    // The corpus repeats fields of the root without end; what each costs is what is looked at.
    let limits = LimitsConfig { max_root_fields: usize::MAX, ..LimitsConfig::default() };
    Guard::new(&limits).admit(&[measure])?;
    Ok(measure)
}

/// What a document is refused with, as text.
fn refusal(document: &str) -> String {
    admit(document).expect_err(document).to_string()
}

/// The fullest introspection query of the usual tools, types unwrapped so many times.
fn introspection_query(unwrapped: usize) -> String {
    let of_type = "ofType { kind name ".repeat(unwrapped) + &"} ".repeat(unwrapped);
    format!(
        "query Introspection {{
          __schema {{
            description
            queryType {{ name kind }} mutationType {{ name kind }} subscriptionType {{ name kind }}
            types {{ ...Full }}
            directives {{
              name description isRepeatable locations args(includeDeprecated: true) {{ ...Input }}
            }}
          }}
        }}
        fragment Full on __Type {{
          kind name description specifiedByURL isOneOf
          fields(includeDeprecated: true) {{
            name description
            args(includeDeprecated: true) {{ ...Input }}
            type {{ ...Reference }}
            isDeprecated deprecationReason
          }}
          inputFields(includeDeprecated: true) {{ ...Input }}
          interfaces {{ ...Reference }}
          enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }}
          possibleTypes {{ ...Reference }}
        }}
        fragment Input on __InputValue {{
          name description type {{ ...Reference }} defaultValue isDeprecated deprecationReason
        }}
        fragment Reference on __Type {{ kind name {of_type} }}"
    )
}

/// Fragments that each spread the next one twice.
fn bomb(fragments: usize) -> String {
    let links =
        each(fragments, |link| format!("fragment f{link} on Query{{...f{0} ...f{0}}}", link + 1));
    format!("{{...f0}}{links}fragment f{fragments} on Query{{__typename}}")
}

/// Texts with running numbers from 0, one after the other.
fn each(times: usize, text: impl Fn(usize) -> String) -> String {
    (0..times).map(text).collect::<Vec<_>>().concat()
}
