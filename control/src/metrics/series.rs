//! Series.
use super::{Sources, writer::Writer};

pub(super) fn write(_sources: &Sources<'_>, _text: &mut Writer) {}
