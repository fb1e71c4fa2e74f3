//! The certificates that the upstream is trusted by.

use super::*;

const UPSTREAM_CA: (&str, &str) = ("GATEWAY_UPSTREAM__CA_FILE", "/etc/gateway/upstream.pem");

pub(super) fn certificate() -> String {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()
}

fn trusting(text: &str) -> Given {
    serve().variables(&[UPSTREAM_CA]).file(UPSTREAM_CA.1, text)
}

#[test]
fn every_certificate_of_the_upstreams_ca_file_is_read() {
    let bundle = format!("# a comment\n{}\n{}", certificate(), certificate());

    let config = trusting(&bundle).config();

    assert_eq!(config.upstream.ca_certificates.len(), 2);
    assert!(serve().config().upstream.ca_certificates.is_empty());
}

#[test]
fn an_upstreams_ca_file_that_holds_something_else_is_refused_with_what_is_wrong() {
    let certificate = certificate();
    let cut = certificate.get(..200).unwrap();
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, problem) in [
        ("", "it holds no certificate, which begins with -----BEGIN CERTIFICATE-----"),
        ("no PEM at all", "it holds no certificate, which begins with -----BEGIN CERTIFICATE-----"),
        (cut, "it is no PEM: "),
        (odd, "certificate 1 of it cannot be read: "),
        (&format!("{certificate}{odd}"), "certificate 2 of it cannot be read: "),
    ] {
        let start = format!(
            "upstream.ca_file is {} (GATEWAY_UPSTREAM__CA_FILE): cannot be used: {problem}",
            UPSTREAM_CA.1
        );

        trusting(text).assert_refused(&[&start]);
    }
    serve().variables(&[UPSTREAM_CA]).assert_refused(&["upstream.ca_file is "]);
}
