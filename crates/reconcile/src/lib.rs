//! What every controller stands on: work queue, workers, events, leader lease.
