//! What the fields of a request say about the message itself, found in one pass.
//!
//! Hot path: a look-up by name costs as much as passing several fields does, and most of those asked about here are absent.

use http::{HeaderMap, HeaderValue, header};

/// How often a field is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Lines<'h> {
    #[default]
    None,
    One(&'h HeaderValue),
    Several,
}

impl<'h> Lines<'h> {
    fn add(&mut self, line: &'h HeaderValue) {
        *self = if matches!(self, Self::None) { Self::One(line) } else { Self::Several };
    }

    /// Whether there is any.
    pub(crate) fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// The fields of a request that say how the message is to be read and passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey<'h> {
    /// Bytes of all field lines, with their ends.
    pub(crate) size: usize,
    pub(crate) host: Lines<'h>,
    pub(crate) transfer_encoding: Lines<'h>,
    pub(crate) content_length: Lines<'h>,
    pub(crate) connection: Lines<'h>,
    pub(crate) te: Lines<'h>,
    /// The first of them.
    pub(crate) expect: Option<&'h HeaderValue>,
}

impl<'h> Survey<'h> {
    /// Passes over `headers`.
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let mut survey = Self::default();
        for (name, value) in headers {
            survey.size += name.as_str().len() + value.len() + 4;
            match *name {
                header::HOST => survey.host.add(value),
                header::TRANSFER_ENCODING => survey.transfer_encoding.add(value),
                header::CONTENT_LENGTH => survey.content_length.add(value),
                header::CONNECTION => survey.connection.add(value),
                header::TE => survey.te.add(value),
                header::EXPECT => survey.expect = survey.expect.or(Some(value)),
                _ => {}
            }
        }
        survey
    }
}
