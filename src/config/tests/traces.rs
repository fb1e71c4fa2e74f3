//! OpenTelemetry's own variables.

use std::time::Duration;

use super::*;

const RECEIVER: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn with(variables: &[(&str, &str)]) -> Given {
    serve().variables(&[RECEIVER]).variables(variables)
}

fn traces(variables: &[(&str, &str)]) -> TracesConfig {
    with(variables).config().traces.expect("traces are off")
}

#[test]
fn traces_are_off_unless_a_receiver_is_named() {
    let without = serve().variables(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);

    assert_eq!(without.config().traces, None);
    assert_eq!(
        with(&[]).config().traces,
        Some(TracesConfig::to("http://collector:4318/v1/traces".parse().unwrap()))
    );
    assert!(given(&["demo"]).variables(&[RECEIVER]).demo().traces.is_some());
}

#[test]
fn traces_may_be_turned_off_in_spite_of_a_receiver() {
    for (name, value, is_on) in [
        ("OTEL_SDK_DISABLED", "true", false),
        ("OTEL_SDK_DISABLED", "TRUE", false),
        ("OTEL_SDK_DISABLED", "false", true),
        ("OTEL_SDK_DISABLED", "", true),
        ("OTEL_TRACES_EXPORTER", "none", false),
        ("OTEL_TRACES_EXPORTER", "otlp", true),
    ] {
        let traces = with(&[(name, value)]).config().traces;

        assert_eq!(traces.is_some(), is_on, "{name}={value}");
    }
}

#[test]
fn the_address_of_traces_alone_is_taken_as_it_is() {
    for (base, own, endpoint) in [
        ("http://a:4318", None, "http://a:4318/v1/traces"),
        ("http://a:4318/", None, "http://a:4318/v1/traces"),
        ("https://a/otlp/", None, "https://a/otlp/v1/traces"),
        ("http://a:4318", Some("http://b/own"), "http://b/own"),
    ] {
        let own = own.map(|own| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own));
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", base);
        let given = serve().variables(&[base]).variables(own.as_slice());

        assert_eq!(given.config().traces.unwrap().endpoint.as_str(), endpoint);
    }
}

#[test]
fn samplers_have_the_names_of_the_specification() {
    let sampler = |parent_based, ratio| TracesSampler { parent_based, ratio };
    for (name, arg, expected) in [
        ("parentbased_always_on", None, sampler(true, 1.0)),
        ("always_on", None, sampler(false, 1.0)),
        ("always_off", None, sampler(false, 0.0)),
        ("traceidratio", Some("0.25"), sampler(false, 0.25)),
        ("traceidratio", None, sampler(false, 1.0)),
        ("parentbased_always_off", Some("nonsense"), sampler(true, 0.0)),
        ("parentbased_traceidratio", Some("0"), sampler(true, 0.0)),
    ] {
        let arg = arg.map(|arg| ("OTEL_TRACES_SAMPLER_ARG", arg));
        let given = with(&[("OTEL_TRACES_SAMPLER", name)]).variables(arg.as_slice());

        assert_eq!(given.config().traces.unwrap().sampler, expected, "{name} {arg:?}");
    }
}

#[test]
fn a_name_of_the_service_of_its_own_wins_over_that_of_the_resource() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let attributes =
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20b,service.name=c");

    assert_eq!(
        traces(&[attributes]).resource,
        [pair("deployment.environment.name", "a b"), pair("service.name", "c")]
    );
    assert_eq!(
        traces(&[attributes, ("OTEL_SERVICE_NAME", "d")]).resource,
        [pair("deployment.environment.name", "a b"), pair("service.name", "d")]
    );
}

#[test]
fn headers_are_read_and_never_shown() {
    let loaded = with(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20Y2FuYXJ5, a=b")]);
    let loaded = loaded.loaded();

    let headers = loaded.settings.traces.as_ref().unwrap().headers.iter();
    let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("authorization", "Basic Y2FuYXJ5"), ("a", "b")]);
    assert!(!format!("{loaded:?}").contains("Y2FuYXJ5"));
}

#[test]
fn what_is_for_traces_alone_wins() {
    let traces = traces(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
    ]);

    assert_eq!(traces.form, OtlpForm::Json);
    assert_eq!(traces.timeout, Duration::from_millis(2500));
    assert!(traces.gzip);
}

#[test]
fn batches_have_the_limits_that_are_set() {
    let set = traces(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "3000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
    ]);

    assert_eq!(set.schedule_delay, Duration::from_millis(100));
    assert_eq!(set.timeout, Duration::from_secs(3));
    // The default of the one gives way to the other.
    assert_eq!((set.max_queue_size, set.max_batch_size), (10, 10));
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (name, value, refusal) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "is grpc: must be http/protobuf or http/json, which receivers take at port 4318: gRPC \
             is not spoken here",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "udp", "is udp: must be http/protobuf or http/json"),
        ("OTEL_SDK_DISABLED", "yes", "is yes: must be true or false"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "is zipkin: must be otlp or none"),
        (
            "OTEL_TRACES_SAMPLER",
            "sometimes",
            "is sometimes: must be parentbased_always_on or always_on or always_off or \
             traceidratio or parentbased_always_off or parentbased_traceidratio",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10s",
            "is 10s: must be a whole number of milliseconds, 1 to 86400000",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "is 0: must be a whole number of spans, 1 to 1000000"),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "4000",
            "is 4000: must be at most OTEL_BSP_MAX_QUEUE_SIZE, which is 2048",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "canary",
            "is (redacted): must be headers as name=value, with commas between them and \
             percent-encoded values",
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a",
            "is a: must be key=value pairs, with commas between them and percent-encoded values",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://user:canary@a",
            "is (redacted): must be an http or https address without user, query and fragment, \
             such as http://localhost:4318",
        ),
    ] {
        assert_eq!(with(&[(name, value)]).refusals(), [format!("{name} {refusal}")]);
    }
    let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
    assert_eq!(
        with(&ratio).refusals(),
        ["OTEL_TRACES_SAMPLER_ARG is 2: must be a share from 0 to 1, such as 0.1"]
    );
}
