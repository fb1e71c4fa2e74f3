//! A subscription has one root field, which may be selected several times: equal fields are one
//! (specification, section 5.2.4.1). The validator counts selections and not response keys.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::diagnostic::{Diagnostic, ToCliReport as _};
use apollo_compiler::validation::DiagnosticData;

/// How the validator's message ends. A test notices when it no longer does.
const SEVERAL_ROOT_FIELDS: &str = "can only have one root field";

/// Whether the validator refuses a subscription only because it selects its one field several times.
pub(super) fn is_wrongly_refused(
    document: &ExecutableDocument,
    diagnostic: &Diagnostic<'_, DiagnosticData>,
) -> bool {
    let place = diagnostic.error.location();
    let refused = document.operations.iter().find(|operation| operation.location() == place);
    diagnostic.error.to_string().ends_with(SEVERAL_ROOT_FIELDS)
        && refused.is_some_and(|operation| {
            let mut keys = operation.root_fields(document).map(|field| field.response_key());
            let first = keys.next();
            keys.all(|key| Some(key) == first)
        })
}
