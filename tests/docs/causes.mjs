// What causes each `extensions.code`: a request to the demo, or a test if no request to the demo can.

const PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd";

/** A recording of the simulated upstream that answers with a fault. */
function record(id, projectId = PROJECT) {
  return { body: { query: `{ screenRecord(projectId: "${projectId}", id: "${id}") { id size } }` } };
}

export const CAUSES = {
  BAD_USER_INPUT: record("../x"),
  UNAUTHENTICATED: { ...record("2ac2ce17-a579-4a3b-a534-a6a6b7fd0b63"), headers: { "x-auth-token": "another" } },
  UPSTREAM_UNAUTHENTICATED: record("fault-apigw-0301-signature-wrong-401"),
  FORBIDDEN: record("2ac2ce17-a579-4a3b-a534-a6a6b7fd0b63", "another"),
  NOT_FOUND: record("00000000000000000000000000000000"),
  CONFLICT: record("fault-wks-conflict-409"),
  RATE_LIMITED: record("fault-apigw-0308-throttled-with-retry-after-429"),
  UPSTREAM_ERROR: record("fault-wks-internal-500"),
  UPSTREAM_UNAVAILABLE: record("fault-wks-unavailable-503"),
  UPSTREAM_TIMEOUT: record("fault-apigw-0201-backend-timeout-504"),
  UPSTREAM_INVALID_RESPONSE: record("sample-size-not-a-number"),
  GRAPHQL_PARSE_FAILED: { body: { query: "{" } },
  GRAPHQL_VALIDATION_FAILED: { body: { query: "{ nonsense }" } },
  OPERATION_RESOLUTION_FAILURE: { body: { query: "query A { __typename } query B { __typename }" } },
  PERSISTED_QUERY_NOT_FOUND: { body: { extensions: { persistedQuery: { version: 1, sha256Hash: "0".repeat(64) } } } },
  QUERY_TOO_COMPLEX: { body: { query: `{ ${"a: __typename ".repeat(101)} }` } },
  RESPONSE_TOO_LARGE: {
    heldBy: ["tests/it/response_size.rs", "an_answer_over_the_limit_is_replaced_by_an_error_however_it_is_executed"],
  },
  BAD_REQUEST: { body: "this is no JSON" },
  QUERY_NOT_IN_SAFELIST: { heldBy: ["tests/it/trusted.rs", "with_documents_only_every_other_document_is_refused"] },
  OVERLOADED: { heldBy: ["tests/it/limits.rs", "one_request_too_many_is_503_at_once"] },
  AUDIT_UNAVAILABLE: {
    heldBy: ["tests/it/audit.rs", "an_answer_whose_required_events_cannot_be_written_is_refused_as_a_whole"],
  },
  // A panic, which no known request causes.
  INTERNAL_SERVER_ERROR: { heldBy: ["src/http/refusal.rs", "panicked"] },
};

/** Compares a table's column `retryable` for a code with an answer. */
export function retryableOf(rows, code, came) {
  const says = rows.find((row) => row.code === code)?.cells.retryable;
  const means = { yes: true, no: false, "–": undefined };
  // For some codes it depends; the cell says on what.
  return !(says in means) || means[says] === came ? [] : [`${code} is ${says} in a table, and ${came} in an answer`];
}
