//! OpenTelemetry's own variables.

use std::time::Duration;

use super::*;

const RECEIVER: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn with(variables: &[(&str, &str)]) -> Given {
    serve().variables(&[RECEIVER]).variables(variables)
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
fn traces_go_to_the_receiver_unless_they_are_turned_off() {
    let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let to_base = Some("http://collector:4318/v1/traces");
    for (name, value, endpoint) in [
        (base, "http://a:4318/", Some("http://a:4318/v1/traces")),
        (base, "https://a/otlp/", Some("https://a/otlp/v1/traces")),
        (own, "http://b/own", Some("http://b/own")),
        ("OTEL_SDK_DISABLED", "true", None),
        ("OTEL_SDK_DISABLED", "TRUE", None),
        ("OTEL_SDK_DISABLED", "false", to_base),
        ("OTEL_SDK_DISABLED", "", to_base),
        ("OTEL_TRACES_EXPORTER", "none", None),
        ("OTEL_TRACES_EXPORTER", "otlp", to_base),
    ] {
        let others = [RECEIVER].into_iter().filter(|(other, _)| *other != name);
        let variables: Vec<_> = others.chain([(name, value)]).collect();

        let traces = serve().variables(&variables).config().traces;

        let address = traces.as_ref().map(|traces| traces.endpoint.as_str());
        assert_eq!(address, endpoint, "{name}={value}");
    }
}

#[test]
fn values_for_traces_alone_win_and_those_not_set_have_defaults() {
    let set = with(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20Y2FuYXJ5, a=b"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
    ]);

    let loaded = set.clone().loaded();
    let short = set.variables(&[("OTEL_BSP_EXPORT_TIMEOUT", "2000")]).config().traces.unwrap();

    let traces = loaded.settings.traces.as_ref().unwrap();
    assert_eq!((traces.form, traces.gzip), (OtlpForm::Json, true));
    assert_eq!(
        (traces.timeout, short.timeout),
        (Duration::from_millis(2500), Duration::from_secs(2))
    );
    assert_eq!(traces.schedule_delay, Duration::from_millis(100));
    // The default of the batch is lowered to the queue's size.
    assert_eq!((traces.max_queue_size, traces.max_batch_size), (10, 10));
    let headers = traces.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
    assert!(headers.eq([("authorization", "Basic Y2FuYXJ5"), ("a", "b")]));
    assert!(!format!("{loaded:?}").contains("Y2FuYXJ5"));
    let defaults = with(&[]).config().traces.unwrap();
    assert_eq!((defaults.form, defaults.gzip), (OtlpForm::Protobuf, false));
    assert_eq!((defaults.timeout, defaults.max_batch_size), (Duration::from_secs(10), 512));
}

#[test]
fn the_services_own_name_wins_over_that_among_the_resource_attributes() {
    let attributes =
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20b,service.name=c");
    for (service, name) in [(None, "c"), (Some(("OTEL_SERVICE_NAME", "d")), "d")] {
        let given = with(&[attributes]).variables(service.as_slice());

        let resource = given.config().traces.unwrap().resource;

        let pairs = resource.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        assert!(pairs.eq([("deployment.environment.name", "a b"), ("service.name", name)]));
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
fn what_cannot_be_used_is_refused_by_name() {
    for (name, value, refusal) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "is grpc: must be http/protobuf or http/json, which receivers take at port 4318: gRPC \
             is not spoken here",
        ),
        ("OTEL_SDK_DISABLED", "yes", "is yes: must be true or false"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "is zipkin: must be otlp or none"),
        (
            "OTEL_TRACES_SAMPLER",
            "sometimes",
            "is sometimes: must be parentbased_always_on, always_on, always_off, traceidratio, \
             parentbased_always_off or parentbased_traceidratio",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10s",
            "is 10s: must be a whole number of milliseconds, 1 to 86400000",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "is 0: must be a whole number from 1 to 1000000"),
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
        ["OTEL_TRACES_SAMPLER_ARG is 2: must be a share from 0 to 1, such as 0.05"]
    );
}
