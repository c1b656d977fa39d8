//! Part of the checker.
