//! The scheduler as a whole.

mod simulation;
mod upstream;
