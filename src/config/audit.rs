//! `audit.*`: the log of who saw which recording.

use std::path::PathBuf;

use super::inbound::{AuthKind, AuthSettings};
use super::settings::{SERVE, Setting, SettingsLoader, is_one_line, settings, switch};

settings! {
    /// The settings that [`AuditConfig`] is made of.
    pub(super) struct AuditSettings in "audit." for SERVE {
        /// where the audit log goes: one JSON line for each recording, list or link that a caller got, and
        /// for each refusal. A file is opened again on SIGHUP, for rotation
        log: Option<AuditSink> = sink().optional()
            .shown_when_unset("off where inbound.auth is none, else stdout")
            .reloadable(),
        /// refuses an answer with `AUDIT_UNAVAILABLE` (HTTP 503) if its audit events cannot be written; without
        /// it the answer is given and a metric counts the events
        required: bool = switch().default("false").reloadable(),
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
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let AuditSettings { log, required } = AuditSettings::read(loader);
        let asks_who = loader.read(&AuthSettings::auth()) != AuthKind::None;
        let default = if asks_who { AuditSink::Stdout } else { AuditSink::Off };
        let sink = log.unwrap_or(default);
        if required && sink == AuditSink::Off {
            let (required, log) = (AuditSettings::required(), AuditSettings::log());
            let problem = "must be false where audit.log is off";
            loader.refuse(&[&required, &log, &AuthSettings::auth()], problem);
        }
        Self { sink, required }
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
