//! What an HTTP/2 client may send that costs work and carries nothing.
//!
//! The library bounds what it keeps, and some of what it does: fields, blocks in many frames, streams reset before they
//! are served, empty content. It answers PING, SETTINGS and the like as fast as they come, and lets a client begin requests
//! and take them back for ever, which servers then work for in vain (CVE-2023-44487). Here such frames are counted, against
//! an allowance that grows with time and with what is really transferred.

use weir_shared::time::Moment;

use super::frames::{CONTINUATION, DATA, Frame, GOAWAY, HEADERS, RST_STREAM, SETTINGS};

/// Frames without content that may come at once.
const BURST: u32 = 1000;
/// More of them each second.
const PER_SECOND: u32 = 100;
/// More of them with each request, and with each frame of an answer: clients make room for more, say what comes first, and
/// measure how long the way is.
const PER_MESSAGE: u32 = 4;
/// Bytes of content that allow one more.
const PER_BYTES: u32 = 1024;
/// What SETTINGS and GOAWAY count: they concern all streams, and a client needs few.
const WEIGHTY: u32 = 20;
/// Requests that may be taken back at once (Envoy 500): a browser that leaves a page takes back what it has open, at most
/// 128 here.
const RESETS: u32 = 500;
/// More of them each second; and one more with each request that is answered to the end.
const RESETS_PER_SECOND: u32 = 50;

/// The client has used up what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

/// What a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    frames: Left,
    resets: Left,
    /// Content that has come since it last allowed a frame, in bytes.
    content: u32,
    /// When something was last added for the time that has passed.
    at: Moment,
}

/// A number up to a bound.
#[derive(Debug)]
struct Left {
    now: u32,
    most: u32,
}

impl Left {
    fn new(most: u32) -> Self {
        Self { now: most, most }
    }

    fn add(&mut self, count: u32) {
        self.now = self.now.saturating_add(count).min(self.most);
    }

    fn take(&mut self, count: u32) -> Result<(), Exceeded> {
        self.now = self.now.checked_sub(count).ok_or(Exceeded)?;
        Ok(())
    }
}

impl Allowance {
    pub(super) fn new(now: Moment) -> Self {
        Self { frames: Left::new(BURST), resets: Left::new(RESETS), content: 0, at: now }
    }

    /// Adds what the time up to `now` allows.
    pub(super) fn refill(&mut self, now: Moment) {
        let seconds = u32::try_from(now.since(self.at).as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.at = now;
            self.frames.add(seconds.saturating_mul(PER_SECOND));
            self.resets.add(seconds.saturating_mul(RESETS_PER_SECOND));
        }
    }

    /// A frame begins to arrive.
    pub(super) fn received(&mut self, frame: Frame) -> Result<(), Exceeded> {
        match frame.kind {
            DATA if frame.has_content() || frame.ends_stream() => {
                self.content = self.content.saturating_add(frame.length);
                self.frames.add(self.content / PER_BYTES);
                self.content %= PER_BYTES;
                Ok(())
            }
            // What is wrong with them the library counts.
            HEADERS => {
                self.frames.add(PER_MESSAGE);
                Ok(())
            }
            CONTINUATION => Ok(()),
            RST_STREAM => self.resets.take(1),
            SETTINGS | GOAWAY => self.frames.take(WEIGHTY),
            _ => self.frames.take(1),
        }
    }

    /// A frame has begun to leave.
    pub(super) fn sent(&mut self, frame: Frame) {
        if matches!(frame.kind, DATA | HEADERS) {
            self.frames.add(PER_MESSAGE);
        }
        if frame.ends_stream() {
            self.resets.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_shared::time::Moment;

    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, length: u32) -> Frame {
        Frame { kind, flags, length, stream: 1 }
    }

    fn seconds(count: u64) -> Moment {
        Moment::from_elapsed(std::time::Duration::from_secs(count))
    }

    /// How many of `frame` are taken before it is too many.
    fn most(allowance: &mut Allowance, frame: Frame) -> u32 {
        (0..).find(|_| allowance.received(frame).is_err()).unwrap()
    }

    #[test]
    fn frames_without_content_are_bounded_in_number_and_by_time() {
        for (frame, expected) in [
            (frame(PING, 0, 8), BURST),
            (frame(WINDOW_UPDATE, 0, 4), BURST),
            (frame(DATA, 0, 0), BURST),
            (frame(DATA, 8, 200), BURST),
            (frame(99, 0, 0), BURST),
            (frame(SETTINGS, 0, 0), BURST / WEIGHTY),
            (frame(RST_STREAM, 0, 4), RESETS),
        ] {
            assert_eq!(most(&mut Allowance::new(seconds(0)), frame), expected, "{frame:?}");
        }
        let mut allowance = Allowance::new(seconds(0));
        most(&mut allowance, frame(PING, 0, 8));
        allowance.refill(seconds(3));
        assert_eq!(most(&mut allowance, frame(PING, 0, 8)), 3 * PER_SECOND);
        allowance.refill(seconds(3600));
        assert_eq!(most(&mut allowance, frame(PING, 0, 8)), BURST, "time is not saved up");
    }

    /// A client that makes room twice for each frame it gets, pings with each and takes back every other request.
    #[test]
    fn what_is_transferred_allows_more() {
        let mut allowance = Allowance::new(seconds(0));
        for _ in 0..100_000 {
            allowance.received(frame(HEADERS, 5, 40)).unwrap();
            allowance.sent(frame(DATA, 0, 16_384));
            for kind in [WINDOW_UPDATE, WINDOW_UPDATE, PING] {
                allowance.received(frame(kind, 0, 8)).unwrap();
            }
            allowance.received(frame(HEADERS, 5, 40)).unwrap();
            allowance.received(frame(RST_STREAM, 0, 4)).unwrap();
            allowance.sent(frame(DATA, 1, 0));
        }
    }

    #[test]
    fn content_allows_by_its_size() {
        let mut allowance = Allowance::new(seconds(0));
        most(&mut allowance, frame(PING, 0, 8));
        (0..100).for_each(|_| allowance.received(frame(DATA, 0, 100)).unwrap());
        assert_eq!(most(&mut allowance, frame(PING, 0, 8)), 100 * 100 / PER_BYTES);
    }
}
