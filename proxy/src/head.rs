//! The fields of a message's head: where they lie in the bytes that were read, so that values share them instead of being
//! copied, and the maps they are gathered in.

use std::{cell::RefCell, ops::Range};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Most maps kept for messages to come: a burst of requests has so many before the first is answered.
const MOST_MAPS: usize = 64;
/// More fields than these are not kept room for.
const MOST_FIELDS: usize = 64;

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

    /// Its name and value, which shares the bytes of `head`; `None`: they are not such.
    pub(crate) fn read(self, head: &Bytes) -> Option<(HeaderName, HeaderValue)> {
        Some((HeaderName::from_bytes(self.name(head)).ok()?, self.value(head)?))
    }

    fn name(self, head: &Bytes) -> &[u8] {
        head.get(self.name.range()).unwrap_or_default()
    }

    fn value(self, head: &Bytes) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(head.slice(self.value.range())).ok()
    }

    /// Where it starts.
    pub(crate) fn start(self) -> usize {
        self.name.start()
    }
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes into the map.
    Kept,
    /// It was for whoever reads the message.
    Dropped,
}

/// What reads a message's fields one after the other, noting what they say about the message itself.
pub(crate) trait Reader: Clone {
    type Error;

    /// What is said of a field that is none.
    const MALFORMED: Self::Error;

    /// Notes what a field says, and decides what becomes of it.
    fn take_in(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<Fate, Self::Error>;
}

/// Gathers `fields` of `head` in `map`, in which those of another message may be, as far as `reader` keeps them. Answers the
/// reader, as it is then.
pub(crate) fn gather<R: Reader>(
    reader: &R,
    fields: &[Field],
    head: &Bytes,
    map: &mut HeaderMap,
) -> Result<R, R::Error> {
    let mut refilling = reader.clone();
    if refill(&mut refilling, fields, head, map)? {
        return Ok(refilling);
    }
    let mut reader = reader.clone();
    map.clear();
    map.try_reserve(fields.len()).map_err(|_| R::MALFORMED)?;
    for field in fields {
        let (name, value) = field.read(head).ok_or(R::MALFORMED)?;
        if reader.take_in(&name, &value)? == Fate::Kept {
            map.try_append(name, value).map_err(|_| R::MALFORMED)?;
        }
    }
    Ok(reader)
}

/// The same where the names in `map` are those of the message, in their order: values are put in their place, and no name has to
/// be understood, copied or looked up. Answers whether that is so: most messages look like the one before.
fn refill<R: Reader>(
    reader: &mut R,
    fields: &[Field],
    head: &Bytes,
    map: &mut HeaderMap,
) -> Result<bool, R::Error> {
    if map.is_empty() || map.len() != map.keys_len() {
        return Ok(false);
    }
    let mut places = map.iter_mut();
    let mut next = places.next();
    for field in fields {
        let text = field.name(head);
        match &mut next {
            Some((name, place)) if is_spelling_of(text, name.as_str().as_bytes()) => {
                let value = field.value(head).ok_or(R::MALFORMED)?;
                if reader.take_in(name, &value)? == Fate::Dropped {
                    return Ok(false);
                }
                **place = value;
                next = places.next();
            }
            _ => {
                let (name, value) = field.read(head).ok_or(R::MALFORMED)?;
                if reader.take_in(&name, &value)? == Fate::Kept {
                    return Ok(false);
                }
            }
        }
    }
    Ok(next.is_none())
}

/// Whether `text` is `name`, which is in lower case, in whichever case. Eight bytes at once: names are too short for what the
/// library does, which looks at each byte.
fn is_spelling_of(text: &[u8], name: &[u8]) -> bool {
    let (Some((texts, text_end)), Some((names, name_end))) = (eights(text), eights(name)) else {
        return text.eq_ignore_ascii_case(name);
    };
    let is_alike =
        |text: &[u8; 8], name: &[u8; 8]| lower(u64::from_ne_bytes(*text)) == u64::from_ne_bytes(*name);
    text.len() == name.len()
        && is_alike(text_end, name_end)
        && texts.iter().zip(names).all(|(text, name)| is_alike(text, name))
}

/// `bytes` in eights, the last of which may overlap the one before; `None`: there are fewer.
fn eights(bytes: &[u8]) -> Option<(&[[u8; 8]], &[u8; 8])> {
    Some((bytes.as_chunks().0, bytes.last_chunk()?))
}

/// Eight characters of ASCII in lower case, other bytes as they are.
fn lower(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = eight & (0x7f * EACH);
    // The highest bit of each byte: whether it is at least `A`, and whether it is beyond `Z`.
    let (at_least_a, beyond_z) = (low + (0x80 - 0x41) * EACH, low + (0x80 - 0x5b) * EACH);
    let is_upper = (at_least_a ^ beyond_z) & !eight & (0x80 * EACH);
    eight | (is_upper >> 2)
}

/// Maps of messages that are over, for those to come.
#[derive(Debug, Default)]
pub(crate) struct Maps(RefCell<Vec<HeaderMap>>);

impl Maps {
    /// A map to [`gather`] in.
    pub(crate) fn take(&self) -> HeaderMap {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps `map` for another message: its room and its names, but no value, which may be a secret and holds the bytes that
    /// were read.
    pub(crate) fn give_back(&self, mut map: HeaderMap) {
        let mut maps = self.0.borrow_mut();
        if map.capacity() > MOST_FIELDS || maps.len() >= MOST_MAPS {
            return;
        }
        if map.len() == map.keys_len() {
            map.values_mut().for_each(|value| *value = HeaderValue::from_static(""));
        } else {
            map.clear();
        }
        maps.push(map);
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn no_value_is_kept_with_a_map() {
        let maps = Maps::default();
        for values in [&["secret"][..], &["secret", "another"]] {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(header::COOKIE, HeaderValue::from_static(value));
            }
            maps.give_back(map);
            assert!(maps.take().values().all(HeaderValue::is_empty));
        }
    }

    #[test]
    fn the_case_of_a_name_does_not_matter_and_all_else_does() {
        for length in [1, 7, 8, 9, 17] {
            let name = vec![b'-'; length];
            for (place, there) in
                (0..length).flat_map(|place| b"-az09_`{~\x80\xe1".map(|there| (place, there)))
            {
                let (mut text, mut name) = (name.clone(), name.clone());
                name[place] = there;
                for here in 0..=255_u8 {
                    text[place] = here;
                    assert_eq!(
                        is_spelling_of(&text, &name),
                        here.to_ascii_lowercase() == there,
                        "{here} {there}"
                    );
                }
            }
            assert!(!is_spelling_of(&name, &name[1..]) && !is_spelling_of(&name[1..], &name));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let maps = Maps::default();
        maps.give_back(HeaderMap::with_capacity(MOST_FIELDS + 1));
        assert!(maps.0.borrow().is_empty());
        for _ in 0..=MOST_MAPS {
            maps.give_back(HeaderMap::new());
        }
        assert_eq!(maps.0.borrow().len(), MOST_MAPS);
    }
}
