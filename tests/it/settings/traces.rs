//! OpenTelemetry's own variables, as far as the gateway reads them itself.

use std::time::Duration;

use super::*;

const RECEIVER: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn with(variables: &[(&str, &str)]) -> Given {
    serve().variables(&[RECEIVER]).variables(variables)
}

#[test]
fn traces_go_to_the_receiver_that_is_named_unless_they_are_turned_off() {
    let unused = serve().variables(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert_eq!(unused.config().traces, None);
    assert!(given(&["demo"]).variables(&[RECEIVER]).demo().traces.is_some());
    let to_base = Some("http://collector:4318/v1/traces");
    for (name, value, endpoint) in [
        (RECEIVER.0, "http://a:4318/", Some("http://a:4318/v1/traces")),
        (RECEIVER.0, "https://a/otlp/", Some("https://a/otlp/v1/traces")),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/own", Some("http://b/own")),
        ("OTEL_SDK_DISABLED", "TRUE", None),
        ("OTEL_SDK_DISABLED", "false", to_base),
        ("OTEL_SDK_DISABLED", "", to_base),
        ("OTEL_TRACES_EXPORTER", "none", None),
        ("OTEL_TRACES_EXPORTER", "otlp", to_base),
    ] {
        let traces = with(&[(name, value)]).config().traces;

        let address = traces.as_ref().map(|traces| traces.endpoint.as_str());
        assert_eq!(address, endpoint, "{name}={value}");
    }
}

#[test]
fn the_shorter_of_both_time_limits_holds_and_that_for_traces_wins_over_the_general_one() {
    let general = ("OTEL_EXPORTER_OTLP_TIMEOUT", "1");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500");
    for (variables, millis) in [
        (&[][..], 10_000),
        (&[general], 1),
        (&[general, own], 2500),
        (&[own, ("OTEL_BSP_EXPORT_TIMEOUT", "2000")], 2000),
    ] {
        let traces = with(variables).config().traces.unwrap();

        assert_eq!(traces.timeout, Duration::from_millis(millis), "{variables:?}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (name, value, refusal) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "is grpc (the environment): must be http/protobuf or http/json",
        ),
        ("OTEL_SDK_DISABLED", "yes", "is yes (the environment): must be true or false"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "is zipkin (the environment): must be otlp or none"),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10s",
            "is 10s (the environment): must be a whole number of milliseconds, 1 to 86400000",
        ),
        (
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "0",
            "is 0 (the environment): must be a whole number from 1 to 1000000",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://user:canary@a",
            "is (redacted) (the environment): must be an http or https address without user, query and fragment, \
             such as http://localhost:4318",
        ),
    ] {
        assert_eq!(with(&[(name, value)]).refusals(), [format!("{name} {refusal}")]);
    }
}
