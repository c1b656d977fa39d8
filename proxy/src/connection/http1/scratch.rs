//! What the HTTP/1 connections of one worker use in turn, so that none has to keep it: the date, room for a head.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    time::SystemTime,
};

use httpdate::HttpDate;
use weir_shared::time::Moment;

/// Room for a response's head to begin with, in bytes: most fit, with a small body.
const ROOM: usize = 2 * 1024;
/// More room than this is not kept.
const MOST_ROOM: usize = 32 * 1024;

/// What is used in turn.
#[derive(Default)]
pub(crate) struct Scratch {
    date: RefCell<(Moment, Vec<u8>)>,
    room: Cell<Vec<u8>>,
}

impl Scratch {
    /// Appends a `Date` field (RFC 9110 §6.6.1), as it is at `now`; the text is made anew when that has changed.
    pub(super) fn write_date(&self, now: Moment, out: &mut Vec<u8>) {
        let mut date = self.date.borrow_mut();
        let (made, text) = &mut *date;
        if *made != now || text.is_empty() {
            *made = now;
            text.clear();
            // Writing into a vector cannot fail.
            let _ = write!(text, "date: {}\r\n", HttpDate::from(SystemTime::now()));
        }
        out.extend_from_slice(text);
    }

    /// Room to write into.
    pub(super) fn room(&self) -> Vec<u8> {
        let mut room = self.room.take();
        room.reserve(ROOM);
        room
    }

    /// Keeps `room` for the next response.
    pub(super) fn give_back_room(&self, room: Vec<u8>) {
        if room.capacity() <= MOST_ROOM {
            self.room.set(room);
        }
    }
}
