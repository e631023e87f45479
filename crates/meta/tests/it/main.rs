//! Inputs with what upstream's own functions (Kubernetes 1.36) answer to them, and hostile inputs.
//!
//! `upstream/*.txt` hold one case a line: the input and the answer as JSON strings with a tab between.

mod hostile;
mod recorded;
mod texts;
