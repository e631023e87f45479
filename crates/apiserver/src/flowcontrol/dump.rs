//! `/debug/api_priority_and_fairness/…`: levels, queues and waiting requests as tables of comma-separated
//! columns.
//!
//! Upstream: `apf_controller_debug.go`. Requests that run without having waited are not listed one by one.

use super::FlowControl;
use super::config::Schema;
use super::queueset::{QueueState, Work};
use crate::call::Call;
use crate::reply::Reply;
use jiff::Timestamp;
use value::Str;

/// Columns are at least so wide, as upstream's tab writer makes them.
const COLUMN_MIN: usize = 8;

/// What is known of a request that waits.
#[derive(Debug, Default)]
pub(super) struct Detail {
    schema: Str,
    flow: Str,
    arrived: Timestamp,
    user: Str,
    verb: Str,
    path: String,
    namespace: Str,
    name: Str,
    version: String,
    resource: Str,
    subresource: Str,
}

impl Detail {
    pub(super) fn of(call: &Call, schema: &Schema, flow: &Str) -> Self {
        let info = &call.info;
        let version = match info.group.as_str() {
            "" => info.version.to_string(),
            group => format!("{group}/{}", info.version),
        };
        Self {
            schema: schema.name.clone(),
            flow: flow.clone(),
            arrived: Timestamp::now(),
            user: call.user.name.clone(),
            verb: info.verb.clone(),
            path: call.path.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            version,
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
        }
    }

    fn columns(&self, work: Work) -> Vec<String> {
        let latency = work.last_nanoseconds as f64 / 1e9;
        vec![
            self.schema.to_string(),
            String::new(),
            String::new(),
            self.flow.to_string(),
            self.arrived.to_string(),
            work.initial.to_string(),
            work.last.to_string(),
            format!("{latency}s"),
            "0001-01-01T00:00:00Z".into(),
        ]
    }

    fn more(&self) -> Vec<String> {
        vec![
            self.user.to_string(),
            self.verb.to_string(),
            self.path.clone(),
            self.namespace.to_string(),
            self.name.to_string(),
            self.version.clone(),
            self.resource.to_string(),
            self.subresource.to_string(),
        ]
    }
}

/// A level as it is.
#[derive(Debug)]
pub(super) struct LevelState {
    pub(super) running: u32,
    pub(super) dispatched: u64,
    pub(super) rejected: u64,
    pub(super) timed_out: u64,
    pub(super) cancelled: u64,
    pub(super) has_queues: bool,
    pub(super) waiting: usize,
    pub(super) queues: Vec<QueueDump>,
}

/// A queue as it is.
#[derive(Debug)]
pub(super) struct QueueDump {
    running: usize,
    seats: u32,
    next_r: i128,
    initial_seats: u32,
    max_seats: u32,
    /// The columns of each request, without and with details.
    requests: Vec<(Vec<String>, Vec<String>)>,
}

pub(super) fn queue<T>(state: &QueueState<'_, T>, detail: impl Fn(&T) -> &Detail) -> QueueDump {
    QueueDump {
        running: state.running,
        seats: state.seats,
        next_r: state.next_r,
        initial_seats: state.waiting.iter().map(|(w, _)| w.initial).sum(),
        max_seats: state.waiting.iter().map(|(w, _)| w.max_seats()).sum(),
        requests: state
            .waiting
            .iter()
            .map(|(work, payload)| (detail(payload).columns(*work), detail(payload).more()))
            .collect(),
    }
}

fn seat_seconds(r: i128) -> String {
    format!("{:.8}ss", r as f64 / 1e9)
}

/// Answers a request; `None` if the path is something else.
pub(crate) fn answer(call: &Call, flow: &FlowControl) -> Option<Reply> {
    let what = call.path.strip_prefix("/debug/api_priority_and_fairness/")?;
    let rows = match what {
        "dump_priority_levels" => levels(flow),
        "dump_queues" => queues(flow),
        "dump_requests" => {
            let details = call.query.get("includeRequestDetails").is_some_and(|v| !v.is_empty());
            requests(flow, details)
        }
        _ => return None,
    };
    Some(Reply::text(200, table(&rows)))
}

fn row<const N: usize>(columns: [&str; N]) -> Vec<String> {
    columns.map(str::to_owned).to_vec()
}

fn levels(flow: &FlowControl) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "PriorityLevelName",
        "ActiveQueues",
        "IsIdle",
        "IsQuiescing",
        "WaitingRequests",
        "ExecutingRequests",
        "DispatchedRequests",
        "RejectedRequests",
        "TimedoutRequests",
        "CancelledRequests",
    ])];
    for level in &flow.current.load().levels {
        let state = level.state();
        let active = state.queues.iter().filter(|q| !q.requests.is_empty()).count();
        rows.push(vec![
            level.name().to_string(),
            active.to_string(),
            (state.waiting == 0 && state.running == 0).to_string(),
            "false".into(),
            state.waiting.to_string(),
            state.running.to_string(),
            state.dispatched.to_string(),
            state.rejected.to_string(),
            state.timed_out.to_string(),
            state.cancelled.to_string(),
        ]);
    }
    rows
}

fn queues(flow: &FlowControl) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "PriorityLevelName",
        "Index",
        "PendingRequests",
        "ExecutingRequests",
        "SeatsInUse",
        "NextDispatchR",
        "InitialSeatsSum",
        "MaxSeatsSum",
        "TotalWorkSum",
    ])];
    for level in &flow.current.load().levels {
        let state = level.state();
        for (i, queue) in state.queues.iter().enumerate().filter(|_| state.has_queues) {
            rows.push(vec![
                level.name().to_string(),
                i.to_string(),
                queue.requests.len().to_string(),
                queue.running.to_string(),
                queue.seats.to_string(),
                seat_seconds(queue.next_r),
                queue.initial_seats.to_string(),
                queue.max_seats.to_string(),
                seat_seconds(i128::from(queue.initial_seats) * 3_000_000),
            ]);
        }
    }
    rows
}

fn requests(flow: &FlowControl, details: bool) -> Vec<Vec<String>> {
    let mut head = row([
        "PriorityLevelName",
        "FlowSchemaName",
        "QueueIndex",
        "RequestIndexInQueue",
        "FlowDistingsher",
        "ArriveTime",
        "InitialSeats",
        "FinalSeats",
        "AdditionalLatency",
        "StartTime",
    ]);
    if details {
        head.extend(row([
            "UserName",
            "Verb",
            "APIPath",
            "Namespace",
            "Name",
            "APIVersion",
            "Resource",
            "SubResource",
        ]));
    }
    let mut rows = vec![head];
    for level in &flow.current.load().levels {
        for (i, queue) in level.state().queues.into_iter().enumerate() {
            for (j, (columns, more)) in queue.requests.into_iter().enumerate() {
                let mut row = vec![level.name().to_string()];
                row.extend(columns);
                row[2] = i.to_string();
                row[3] = j.to_string();
                if details {
                    row.extend(more);
                }
                rows.push(row);
            }
        }
    }
    rows
}

/// Columns with commas, each as wide as its widest cell, as Go's tab writer aligns them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count() + 2);
        cells.max().unwrap_or(0).max(COLUMN_MIN)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            if i + 1 == row.len() {
                out.push_str(cell);
            } else {
                let cell = format!("{cell},");
                out.push_str(&format!("{cell:<width$}", width = widths[i]));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [row(["PriorityLevelName", "IsIdle", "x"]), row(["exempt", "true", "1"])];
        assert_eq!(table(&rows), "PriorityLevelName, IsIdle, x\nexempt,            true,   1\n");
    }
}
