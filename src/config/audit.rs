//! `audit.*`: the log of who saw which recording.

use std::path::PathBuf;

use super::inbound::{InboundAuth, InboundConfig};
use super::settings::{SERVE, Setting, SettingsLoader, is_one_line, settings, switch};

settings! {
    /// The audit log.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AuditConfig in "audit." for SERVE {
        /// where the audit log goes: one JSON line for each recording, list or link that a caller got, and
        /// for each refusal. A file is opened again on SIGHUP, for rotation
        pub sink: AuditSink = sink()
            .with_key("audit.log")
            .when_unset(|| AuditSink::Off)
            .shown_when_unset("off where inbound.auth is none, else stdout"),
        /// refuses an answer with `AUDIT_UNAVAILABLE` (HTTP 503) if its audit events cannot be written; without
        /// it the answer is given and a metric counts the events
        pub required: bool = switch().default("false"),
    }
}

/// Where audit events are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditSink {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

impl AuditConfig {
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let mut audit = Self::read(loader);
        let auth = InboundConfig::auth();
        if !loader.is_set(&Self::sink()) && loader.read(&auth) != InboundAuth::None {
            audit.sink = AuditSink::Stdout;
        }
        if audit.required && audit.sink == AuditSink::Off {
            let problem = "must be false where audit.log is off";
            loader.refuse(&[&Self::required(), &Self::sink(), &auth], problem);
        }
        audit
    }
}

fn sink() -> Setting<AuditSink> {
    let allowed = "off, stdout or the path of a file, without control characters";
    Setting::new("off|stdout|FILE", allowed, |text| match text {
        "off" => Some(AuditSink::Off),
        "stdout" => Some(AuditSink::Stdout),
        path => is_one_line(path).then(|| AuditSink::File(path.into())),
    })
}
