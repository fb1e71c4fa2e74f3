//! What the GraphQL endpoint can answer at once: one plain operation for one recording that is fresh in the cache.
//!
//! Whatever a request's fields mean is read by the same code as on the long way, from fields that hyper has
//! not read. What turns out to need a wait goes on from there on the long way.

use std::net::IpAddr;
use std::sync::Arc;

use super::{AtOnce, Message};
use crate::http::cache_headers;
use crate::http::compression;
use crate::http::endpoint::{ANSWERS, Asker, Begun, Endpoint, Prepared, Read, form};
use crate::http::log_line::Noted;
use crate::http::request;
use crate::http::request_id;
use crate::http::response::Answers;
use crate::trace::Trace;

impl Endpoint {
    /// Writes the whole answer to a POST, as HTTP/1.1 has it, where everything for it is at hand.
    pub(crate) fn answer_at_once(
        self: &Arc<Self>,
        peer: IpAddr,
        message: &Message<'_, '_>,
        into: &mut Vec<u8>,
    ) -> AtOnce {
        self.try_to_answer(peer, message, into).unwrap_or(AtOnce::Unread)
    }

    /// Nothing where the request is not an ordinary one of somebody who may ask: it is the long way's to
    /// say why.
    fn try_to_answer(
        self: &Arc<Self>,
        peer: IpAddr,
        Message { fields, body, .. }: &Message<'_, '_>,
        into: &mut Vec<u8>,
    ) -> Option<AtOnce> {
        let since = self.clock.now();
        // Spans begin where the request does.
        if self.tracer.is_on() || body.len() > self.limits.max_body_bytes {
            return None;
        }
        let form = form(fields, &ANSWERS).ok()?;
        request::check_content_type(fields).ok()?;
        let presented = self.callers.presented(fields).ok()?;
        let caller = self.callers.admit_at_once(presented, Some(peer))?;
        if self.in_flight.available_permits() == 0 {
            return None;
        }
        let asker = Asker { caller, request_id: request_id::text_of(fields), trace: Trace::NONE };
        let Read { begun, name } = self.read(fields, body, (form, &asker)).ok()??;
        // An answer that is made of many recordings may be a large one.
        let is_for_one = matches!(&begun, Begun::Admitted(operation) if operation.asks_for_one());
        let begun = if is_for_one {
            self.begin(begun, asker.asking(cache_headers::wanted(fields)))
        } else {
            begun
        };
        let (served, summary) = match begun {
            Begun::Answered(served, summary) if is_for_one => (vec![served], summary),
            begun => {
                let (endpoint, read) = (Arc::clone(self), Read { begun, name });
                return Some(AtOnce::Prepared(Box::new(Prepared { endpoint, asker, form, read })));
            }
        };
        let mut answers = Answers { served, summary, is_batch: false, form };
        let noted = Noted::of(&self.metrics, name, &answers).by(asker.caller.name);
        let coding = |length, has_links| {
            if self.compression { compression::chosen(fields, length, has_links) } else { None }
        };
        let date = |into: &mut Vec<u8>| self.dates.write(since, into);
        answers.write(&asker.request_id, coding, date, into)?;
        self.metrics.fast_path.inc();
        let noted = noted.having_read(answers.summary);
        self.note(&noted, (&asker.request_id, &Trace::NONE), 200, since);
        Some(AtOnce::Answered)
    }
}
