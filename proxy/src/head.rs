//! Where the parts of a message's head lie in the bytes that were read, so that names and values share them instead of being
//! copied.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// Where a part lies: start and length. A head is far shorter than what these can hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place(u32, u32);

impl Place {
    /// Where `part` lies in `whole`, of which it is a slice.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Self(u32::try_from(start).unwrap_or(0), u32::try_from(part.len()).unwrap_or(0))
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start()..self.start() + self.1 as usize
    }

    pub(crate) fn start(self) -> usize {
        self.0 as usize
    }
}

/// Where a field lies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field {
    name: Place,
    value: Place,
}

impl Field {
    /// Notes in `fields` where those lie that were `parsed` from `whole`.
    pub(crate) fn locate(fields: &mut [Self], parsed: &[httparse::Header<'_>], whole: &[u8]) {
        for (field, parsed) in fields.iter_mut().zip(parsed) {
            let (name, value) = (parsed.name.as_bytes(), parsed.value);
            *field = Self { name: Place::of(name, whole), value: Place::of(value, whole) };
        }
    }

    /// Its name and value, which share the bytes of `head`; `None`: they are not such.
    pub(crate) fn read(self, head: &Bytes) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(head.get(self.name.range())?).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice(self.value.range())).ok()?;
        Some((name, value))
    }

    /// Where it starts.
    pub(crate) fn start(self) -> usize {
        self.name.start()
    }
}
