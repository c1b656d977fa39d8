//! Rules of planning, one by one.
