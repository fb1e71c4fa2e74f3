//! `upstream.credentials` and what belongs to it.

use std::path::PathBuf;

use url::Url;

use super::settings::{SERVE, file_path, one_of, settings, web_address};

const CREDENTIALS: &[(&str, CredentialsKind)] = &[
    ("passthrough", CredentialsKind::Passthrough),
    ("aksk", CredentialsKind::AkSk),
    ("password", CredentialsKind::Password),
    ("metadata", CredentialsKind::Metadata),
];

settings! {
    /// As whom the upstream is called, and how the gateway knows that it is the upstream.
    pub(super) struct CredentialsSettings in "upstream." for SERVE {
        /// credentials for the upstream: each caller's token, the gateway's access key, a token that the
        /// gateway logs in for, or the temporary key of the cloud server that it runs on
        pub(super) credentials: CredentialsKind =
            one_of(CREDENTIALS).default("passthrough"),
        /// address of the metadata service, for `upstream.credentials=metadata`
        pub(super) metadata_endpoint: Url =
            web_address("http://169.254.169.254").default("http://169.254.169.254"),
        /// file with further trusted CA certificates, as PEM, for the upstream, IAM and the metadata service;
        /// read again when it changes
        pub(super) ca_file: Option<PathBuf> = file_path().reloadable(),
    }
}

/// The words of `upstream.credentials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialsKind {
    Passthrough,
    AkSk,
    Password,
    Metadata,
}

impl CredentialsKind {
    /// Whether everybody who is let in acts with the same credentials: those of the gateway.
    pub(super) fn are_the_gateways(self) -> bool {
        self != Self::Passthrough
    }

    /// As it stands in the settings.
    pub(super) fn word(self) -> &'static str {
        CREDENTIALS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| *word)
    }
}
