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
use crate::http::response::{Answers, Served};
use crate::trace::{Span, Trace};

impl Endpoint {
    /// Writes the whole answer to a POST, as HTTP/1.1 has it, where everything for it is at hand.
    pub(crate) fn answer_at_once(
        endpoint: &Arc<Self>,
        peer: IpAddr,
        message: &Message<'_, '_>,
        into: &mut Vec<u8>,
    ) -> AtOnce {
        endpoint.try_to_answer((peer, message), endpoint, into).unwrap_or(AtOnce::Unread)
    }

    /// Nothing where the request is not an ordinary one of somebody who may ask: it is the long way's to
    /// say why.
    fn try_to_answer(
        &self,
        (peer, message): (IpAddr, &Message<'_, '_>),
        endpoint: &Arc<Self>,
        into: &mut Vec<u8>,
    ) -> Option<AtOnce> {
        let Message { fields, body, .. } = message;
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
        let read = self.read(fields, body, (form, &asker)).ok()??;
        let prepared = |asker, read| {
            let endpoint = Arc::clone(endpoint);
            Some(AtOnce::Prepared(Box::new(Prepared { endpoint, asker, form, read })))
        };
        // An answer that is made of many recordings may be a large one.
        let (operation, name, is_new) = match read {
            Read { begun: Begun::Admitted(operation), name, is_new }
                if operation.asks_for_one() =>
            {
                (operation, name, is_new)
            }
            other => return prepared(asker, other),
        };
        let reader = self.records.reader(asker.asking(cache_headers::wanted(fields)));
        let Some(answer) = self.engine.answer_now(&operation, &reader) else {
            let begun = Begun::Waits(operation, Arc::new(reader), Span::default());
            return prepared(asker, Read { begun, name, is_new });
        };
        if is_new {
            self.engine.remember(body, &operation);
        }
        let served = vec![Served { answer, is_stale: false }];
        let mut answers = Answers { served, summary: reader.take_summary(), is_batch: false, form };
        let noted = Noted::of(&self.metrics, name, &answers).by(asker.caller.name);
        let coding = |length, has_links| {
            let is_wanted = self.compression && compression::is_worth_it(length, has_links);
            if is_wanted { compression::accepted(fields) } else { None }
        };
        let date = |into: &mut Vec<u8>| self.dates.write(since, into);
        answers.write(&asker.request_id, coding, date, into)?;
        let took = self.clock.now().saturating_duration_since(since);
        self.metrics.fast_path.inc();
        self.metrics.count(200, took);
        let noted = noted.having_read(answers.summary);
        noted.log((&asker.request_id, &Trace::NONE), 200, took);
        Some(AtOnce::Answered)
    }
}
