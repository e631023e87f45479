//! The scheduler as a whole.

mod simulation;
