//! Texts of the types that have a JSON form of their own.

pub(crate) mod base64;
pub(crate) mod duration;
pub(crate) mod field_set;
pub(crate) mod quantity;
pub(crate) mod time;

#[cfg(test)]
mod tests;
