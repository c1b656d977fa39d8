//! YAML 1.2 for people who keep configurations in files: read into the same values as JSON, and written from them.
//!
//! Scalars mean what the core schema says (YAML 1.2.2 §10.3), so that `no` is a text and `0777` a number. What could make
//! a small text large or a reader guess is bounded or refused: depth, copies made by aliases, keys given twice, tags.

mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

pub use read::{YamlError, parse};
pub use write::text;
