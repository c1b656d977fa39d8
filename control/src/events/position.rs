//! How far a listener has come, as the id of an event.

use std::{fmt, str::FromStr};

use weir_shared::id::{Epoch, Revision};

/// How far a listener has come: it knows every change up to `revision`, and all else that was told up to `sequence`.
///
/// Each event moves one of the two by one, so that the order of positions is the order of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The last change of the configuration.
    pub revision: Revision,
    /// The last event that this process observed. Sequences of a process begin at the microsecond in which it started,
    /// so that those of an earlier process are known by being smaller.
    pub sequence: u64,
}

/// Id of an event: `epoch.revision.sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Life of the store. Revisions of another one are other revisions.
    pub epoch: Epoch,
    /// How far a listener has come with the event.
    pub position: Position,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.position.revision, self.position.sequence)
    }
}

/// What was given is no id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of an event, as in 7f3a9c.43.1795383600123456")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let mut parts = text.split('.');
        let (Some(epoch), Some(revision), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoEventId);
        };
        let number = |text: &str| text.parse().map_err(|_| NoEventId);
        let position = Position { revision: Revision(number(revision)?), sequence: number(sequence)? };
        Ok(Self { epoch: Epoch(epoch.into()), position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let position = Position { revision: Revision(43), sequence: 1832 };
        let id = EventId { epoch: Epoch("7f3a9c".into()), position };
        assert_eq!(id.to_string(), "7f3a9c.43.1832");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "7f3a9c", "7f3a9c.43", "7f3a9c.43.x", "7f3a9c.-1.2", "7f3a9c.43.1.1", "7f3a9c..1"] {
            assert_eq!(bad.parse::<EventId>(), Err(NoEventId), "{bad}");
        }
    }
}
