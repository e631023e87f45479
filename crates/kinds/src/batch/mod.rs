//! The kinds of `batch`. Upstream: `pkg/apis/batch/{v1,validation}`, `pkg/registry/batch`.

mod cron;
mod cron_job;
mod indexes;
mod job;
mod job_policies;
mod job_status;
mod job_update;

use crate::hooks::Hooks;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "jobs" => job::HOOKS,
        "cronjobs" => cron_job::HOOKS,
        _ => Hooks::NONE,
    }
}
