//! `audit.*`: the log of who saw which recording.

use std::path::PathBuf;

use super::InboundConfig;
use super::settings::{Bool, Optional, Parsed, Role, SettingsLoader, setting, settings};

/// The demo has one caller and nothing to guard.
const SERVE: &[Role] = &[Role::Serve];

const SINK: Parsed<AuditSink> = Parsed {
    allowed: "off, stdout or the path of a file, without control characters",
    placeholder: "off|stdout|FILE",
    parse: sink,
};

settings! {
    /// The settings that [`AuditConfig`] is made of.
    pub(super) struct AuditSettings in "audit." {
        /// where the audit log goes: one JSON line for each recording, list or link that a caller got, and
        /// for each refusal. A file is opened again on SIGHUP, for rotation
        log: Option<AuditSink> = setting(&Optional(SINK))
            .shown_when_unset("off where inbound.auth is none, else stdout")
            .only_for(SERVE)
            .reloadable(),
        /// refuses an answer with `AUDIT_UNAVAILABLE` (HTTP 503) if its audit events cannot be written; without
        /// it the answer is given and a metric counts the events
        required: bool = setting(&Bool).default("false").only_for(SERVE).reloadable(),
    }
}

/// The audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// `audit.log`
    pub sink: AuditSink,
    /// `audit.required`
    pub required: bool,
}

/// Where audit events are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditSink {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

impl AuditConfig {
    pub(super) fn load(loader: &mut SettingsLoader<'_>, inbound: &InboundConfig) -> Self {
        let AuditSettings { log, required } = AuditSettings::read(loader);
        let default = if inbound.asks_who() { AuditSink::Stdout } else { AuditSink::Off };
        let sink = log.unwrap_or(default);
        if required && sink == AuditSink::Off && loader.are_valid(AuditSettings::SPECS) {
            let problem = "must be false where audit.log is off";
            loader.refuse(&AuditSettings::required, problem);
        }
        Self { sink, required }
    }
}

fn sink(text: &str) -> Option<AuditSink> {
    match text {
        "off" => Some(AuditSink::Off),
        "stdout" => Some(AuditSink::Stdout),
        "" => None,
        path => (!path.contains(char::is_control)).then(|| AuditSink::File(path.into())),
    }
}
