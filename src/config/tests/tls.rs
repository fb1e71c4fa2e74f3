//! Certificates of the listener, and those that the upstream is trusted by.

use super::{Given, serve};

const CERT: (&str, &str) = ("GATEWAY_TLS__CERT_FILE", "/etc/gateway/tls.crt");
const KEY: (&str, &str) = ("GATEWAY_TLS__KEY_FILE", "/etc/gateway/tls.key");
const CLIENT_CA: (&str, &str) = ("GATEWAY_TLS__CLIENT_CA_FILE", "/etc/gateway/clients.pem");
const UPSTREAM_CA: (&str, &str) = ("GATEWAY_UPSTREAM__CA_FILE", "/etc/gateway/upstream.pem");

pub(super) fn certificate() -> String {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()
}

fn trusting(text: &str) -> Given {
    serve().variables(&[UPSTREAM_CA]).file(UPSTREAM_CA.1, text)
}

#[test]
fn the_listener_speaks_tls_where_both_files_are_named_and_not_elsewhere() {
    let tls = serve().variables(&[CERT, KEY, CLIENT_CA]).config().tls.unwrap();

    assert_eq!(tls.cert_file.to_str(), Some(CERT.1));
    assert_eq!(tls.key_file.to_str(), Some(KEY.1));
    assert_eq!(tls.client_ca_file.unwrap().to_str(), Some(CLIENT_CA.1));
    assert_eq!(serve().config().tls, None);
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

        let refusals = trusting(text).refusals();

        assert_eq!(refusals.len(), 1, "of {text:?}: {refusals:#?}");
        assert!(refusals[0].starts_with(&start), "{} does not start with {start}", refusals[0]);
    }
    assert_eq!(serve().variables(&[UPSTREAM_CA]).refusals().len(), 1);
}
