//! What replicas tell each other, and how they find out that they have missed something.
//!
//! Purges are counted. A replica that hears of a purge whose number is not the next one, or finds a
//! higher count when it connects, has missed some, and drops all that it keeps itself.

use serde::{Deserialize, Serialize};

use super::super::key::CallerKey;
use super::super::purge::Purge;
use super::super::invalidation::{Refused, Revocation};
use crate::domain::{ProjectId, RecordId};

/// Something that every replica has to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// What is kept is to be dropped.
    Purged(Purge),
    /// The upstream refused a caller.
    Revoked(Revocation),
    /// The upstream says that there is no such record, which puts no right to see others in doubt.
    Absent {
        /// Who asked.
        caller: CallerKey,
        /// The project.
        project: ProjectId,
        /// The record.
        id: RecordId,
    },
}

/// What a replica makes of what it hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// News of another replica.
    News(News),
    /// Purges were missed: nothing that is kept can be relied on.
    Missed,
}

/// A message on the channel.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// Which replica tells.
    pub(super) from: u64,
    /// How many purges there were, this one included, where it is about purges.
    pub(super) purges: Option<u64>,
    /// What is told; nothing where it is about the count alone.
    pub(super) told: Option<Told>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    PurgedAll,
    PurgedProject {
        project: String,
    },
    PurgedRecord {
        project: String,
        id: String,
    },
    Refused {
        caller: Option<String>,
        project: String,
        id: Option<String>,
    },
    /// Versions before this one take it for something missed and empty their cache.
    RefusedToken {
        caller: Option<String>,
    },
    Absent {
        caller: Option<String>,
        project: String,
        id: String,
    },
}

impl Told {
    pub(super) fn of(news: &News) -> Self {
        match news {
            News::Purged(Purge::All) => Self::PurgedAll,
            News::Purged(Purge::Project(project)) => {
                Self::PurgedProject { project: project.to_string() }
            }
            News::Purged(Purge::Record(project, id)) => {
                Self::PurgedRecord { project: project.to_string(), id: id.to_string() }
            }
            News::Revoked(Revocation { caller, of }) => {
                let caller = told_caller(*caller);
                match of {
                    Refused::Token => Self::RefusedToken { caller },
                    Refused::Record(project, id) => {
                        let (project, id) = (project.to_string(), Some(id.to_string()));
                        Self::Refused { caller, project, id }
                    }
                    Refused::Lists(project) => {
                        Self::Refused { caller, project: project.to_string(), id: None }
                    }
                }
            }
            News::Absent { caller, project, id } => Self::Absent {
                caller: told_caller(*caller),
                project: project.to_string(),
                id: id.to_string(),
            },
        }
    }

    fn read(self) -> Option<News> {
        let project = |text: String| ProjectId::parse(&text).ok();
        let record = |text: String| RecordId::parse(&text).ok();
        Some(match self {
            Self::PurgedAll => News::Purged(Purge::All),
            Self::PurgedProject { project: of } => News::Purged(Purge::Project(project(of)?)),
            Self::PurgedRecord { project: of, id } => {
                News::Purged(Purge::Record(project(of)?, record(id)?))
            }
            Self::Refused { caller, project: of, id } => {
                let (caller, project) = (heard_caller(caller)?, project(of)?);
                let of = match id {
                    Some(id) => Refused::Record(project, record(id)?),
                    None => Refused::Lists(project),
                };
                News::Revoked(Revocation { caller, of })
            }
            Self::RefusedToken { caller } => {
                let caller = heard_caller(caller)?;
                News::Revoked(Revocation { caller, of: Refused::Token })
            }
            Self::Absent { caller, project: of, id } => News::Absent {
                caller: heard_caller(caller)?,
                project: project(of)?,
                id: record(id)?,
            },
        })
    }
}

fn told_caller(caller: CallerKey) -> Option<String> {
    match caller {
        CallerKey::Gateway => None,
        CallerKey::Holder(hash) => Some(hex::encode(hash)),
    }
}

fn heard_caller(told: Option<String>) -> Option<CallerKey> {
    match told {
        None => Some(CallerKey::Gateway),
        Some(hash) => Some(CallerKey::Holder(hex::decode(hash).ok()?.try_into().ok()?)),
    }
}

/// How many purges a replica knows of.
#[derive(Debug, Default)]
pub(super) struct Count(Option<u64>);

/// What is to be done about the count that stands in the tier.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CaughtUp {
    /// Nothing was missed.
    Even,
    /// Purges were missed.
    Missed,
    /// The tier has lost its count, which is this, and others are to be told.
    Restore(u64),
}

impl Count {
    /// Compares with what stands in the tier, on connecting.
    pub(super) fn catch_up(&mut self, stands: u64) -> CaughtUp {
        let known = self.0.replace(stands);
        match known {
            Some(known) if stands < known => {
                self.0 = Some(known);
                CaughtUp::Restore(known)
            }
            Some(known) if stands == known => CaughtUp::Even,
            // On the first connection it is not known what came before.
            Some(_) | None => CaughtUp::Missed,
        }
    }

    /// Takes in a message; what it means for what is kept.
    pub(super) fn hear(&mut self, own: u64, bytes: &[u8]) -> Option<Heard> {
        // Another version may tell of purges that this one does not understand.
        let Ok(message) = serde_json::from_slice::<Message>(bytes) else {
            return Some(Heard::Missed);
        };
        let missed = message.purges.is_some_and(|purges| {
            let known = self.0.unwrap_or_default();
            let next = known.saturating_add(message.told.is_some().into());
            self.0 = Some(known.max(purges));
            purges > next
        });
        if missed {
            return Some(Heard::Missed);
        }
        if message.from == own {
            return None;
        }
        match message.told?.read() {
            Some(news) => Some(Heard::News(news)),
            None => Some(Heard::Missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u64 = 1;
    const OTHER: u64 = 2;

    fn message(from: u64, purges: Option<u64>, news: Option<&News>) -> Vec<u8> {
        serde_json::to_vec(&Message { from, purges, told: news.map(Told::of) }).unwrap()
    }

    fn revoked(caller: CallerKey, of: Refused) -> News {
        News::Revoked(Revocation { caller, of })
    }

    fn project() -> ProjectId {
        ProjectId::parse("p").unwrap()
    }

    #[test]
    fn news_arrive_as_they_were_told() {
        let id = RecordId::parse("r").unwrap();
        for news in [
            News::Purged(Purge::All),
            News::Purged(Purge::Project(project())),
            News::Purged(Purge::Record(project(), id.clone())),
            revoked(CallerKey::Gateway, Refused::Lists(project())),
            revoked(CallerKey::Holder([7; 32]), Refused::Token),
            News::Absent { caller: CallerKey::Gateway, project: project(), id: id.clone() },
            revoked(CallerKey::Holder([7; 32]), Refused::Record(project(), id)),
        ] {
            let heard = Count::default().hear(OWN, &message(OTHER, None, Some(&news)));

            assert_eq!(heard, Some(Heard::News(news)));
        }
    }

    #[test]
    fn a_gap_between_two_purges_is_noticed() {
        let purge = News::Purged(Purge::Project(project()));
        let mut count = Count(Some(4));

        let next = count.hear(OWN, &message(OTHER, Some(5), Some(&purge)));
        let after_a_gap = count.hear(OWN, &message(OTHER, Some(7), Some(&purge)));
        let again = count.hear(OWN, &message(OTHER, Some(6), Some(&purge)));

        assert_eq!(next, Some(Heard::News(purge.clone())));
        assert_eq!(after_a_gap, Some(Heard::Missed));
        assert_eq!(again, Some(Heard::News(purge)));
    }

    #[test]
    fn a_count_at_the_end_of_its_range_stays_there() {
        let purge = News::Purged(Purge::All);
        let mut count = Count(Some(u64::MAX));

        let heard = count.hear(OWN, &message(OTHER, Some(u64::MAX), Some(&purge)));

        assert_eq!(heard, Some(Heard::News(purge)));
    }

    #[test]
    fn ones_own_news_are_no_news_but_count() {
        let purge = News::Purged(Purge::All);
        let mut count = Count(Some(0));

        assert_eq!(count.hear(OWN, &message(OWN, Some(1), Some(&purge))), None);
        assert_eq!(count.catch_up(1), CaughtUp::Even);
    }

    #[test]
    fn a_replica_that_was_away_notices_what_it_missed() {
        assert_eq!(Count(None).catch_up(0), CaughtUp::Missed);
        assert_eq!(Count(Some(3)).catch_up(3), CaughtUp::Even);
        assert_eq!(Count(Some(3)).catch_up(4), CaughtUp::Missed);
    }

    #[test]
    fn a_tier_that_lost_its_count_gets_it_back_and_who_knows_less_has_missed_something() {
        let (mut knows_all, mut knows_less) = (Count(Some(3)), Count(Some(2)));

        assert_eq!(knows_all.catch_up(0), CaughtUp::Restore(3));
        assert_eq!(knows_less.hear(OWN, &message(OTHER, Some(3), None)), Some(Heard::Missed));
        assert_eq!(knows_all.hear(OTHER, &message(OTHER, Some(3), None)), None);
    }

    #[test]
    fn what_is_not_understood_counts_as_missed() {
        for bytes in [&b"{"[..], br#"{"from":2,"purges":null,"told":{"something":{}}}"#] {
            assert_eq!(Count(Some(0)).hear(OWN, bytes), Some(Heard::Missed));
        }
    }
}
