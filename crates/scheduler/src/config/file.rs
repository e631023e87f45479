//! `KubeSchedulerConfiguration`: `k8s.io/kube-scheduler/config/v1`. Fields that are not known are errors; those
//! that only mean something to another program are read and left.

use super::Config;
use crate::placement::AddedAffinity;
use crate::plugins::MAX_NODE_SCORE;
use crate::plugins::node_resources_fit::{Ignored, Strategy, Weighted};
use crate::plugins::pod_topology_spread::Defaults;
use crate::pod::SpreadConstraint;
use crate::profile::Profile;
use crate::status::{Plugin, PluginSet};
use api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a point of a utilization shape gives at most.
const MAX_CUSTOM_PRIORITY_SCORE: i64 = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default)]
    leader_election: LeaderElection,
    percentage_of_nodes_to_score: Option<i32>,
    pod_initial_backoff_seconds: Option<i64>,
    pod_max_backoff_seconds: Option<i64>,
    #[serde(default)]
    profiles: Vec<KubeSchedulerProfile>,
    #[serde(default)]
    extenders: Vec<Value>,
    #[serde(rename = "parallelism")]
    _parallelism: Option<Value>,
    #[serde(rename = "clientConnection")]
    _client_connection: Option<Value>,
    #[serde(rename = "enableProfiling")]
    _enable_profiling: Option<Value>,
    #[serde(rename = "enableContentionProfiling")]
    _enable_contention_profiling: Option<Value>,
    #[serde(rename = "delayCacheUntilActive")]
    _delay_cache_until_active: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaderElection {
    leader_elect: Option<bool>,
    resource_name: Option<String>,
    resource_namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KubeSchedulerProfile {
    scheduler_name: Option<String>,
    percentage_of_nodes_to_score: Option<i32>,
    #[serde(default)]
    plugins: Plugins,
    #[serde(default)]
    plugin_config: Vec<PluginConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Plugins {
    multi_point: Set,
    pre_filter: Set,
    filter: Set,
    post_filter: Set,
    pre_score: Set,
    score: Set,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Set {
    enabled: Vec<Named>,
    disabled: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    weight: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginConfig {
    name: String,
    #[serde(default)]
    args: Value,
}

impl Configuration {
    pub(super) fn apply(self, mut config: Config) -> Result<Config, String> {
        if self.kind != "KubeSchedulerConfiguration" || self.api_version != "kubescheduler.config.k8s.io/v1" {
            return Err(format!("{} {} is not kubescheduler.config.k8s.io/v1", self.api_version, self.kind));
        }
        if !self.extenders.is_empty() {
            return Err("extenders are not called by this scheduler".to_owned());
        }
        let seconds = |given: Option<i64>, default| given.map_or(default, SignedDuration::from_secs);
        config.backoff.initial = seconds(self.pod_initial_backoff_seconds, config.backoff.initial);
        config.backoff.max = seconds(self.pod_max_backoff_seconds, config.backoff.max);
        if config.backoff.initial <= SignedDuration::ZERO || config.backoff.max < config.backoff.initial {
            return Err(
                "podInitialBackoffSeconds must be above 0 and not above podMaxBackoffSeconds".to_owned()
            );
        }
        match self.leader_election.leader_elect {
            Some(false) => config.leader_election = None,
            _ => {
                if let Some(elector) = &mut config.leader_election {
                    elector.name = self.leader_election.resource_name.unwrap_or(elector.name.clone());
                    let namespace = self.leader_election.resource_namespace;
                    elector.namespace = namespace.unwrap_or(elector.namespace.clone());
                }
            }
        }
        if self.profiles.is_empty() {
            for profile in &mut config.profiles {
                profile.percentage_of_nodes_to_score = percentage(self.percentage_of_nodes_to_score)?;
            }
            return Ok(config);
        }
        let alone = self.profiles.len() == 1;
        let profile = |given: KubeSchedulerProfile| given.profile(alone, self.percentage_of_nodes_to_score);
        config.profiles = self.profiles.into_iter().map(profile).collect::<Result<_, _>>()?;
        Ok(config)
    }
}

fn percentage(given: Option<i32>) -> Result<i32, String> {
    match given.unwrap_or_default() {
        percentage @ 0..=100 => Ok(percentage),
        other => Err(format!("percentageOfNodesToScore is {other}, not between 0 and 100")),
    }
}

impl KubeSchedulerProfile {
    fn profile(self, alone: bool, global: Option<i32>) -> Result<Profile, String> {
        let mut profile = Profile::default();
        match self.scheduler_name {
            Some(name) => profile.name = name.into(),
            None if alone => {}
            None => return Err("of several profiles each needs a schedulerName".to_owned()),
        }
        profile.percentage_of_nodes_to_score = percentage(self.percentage_of_nodes_to_score.or(global))?;
        let plugins = &self.plugins;
        // What all points say comes first, then what one point says (KEP-785).
        for (set, filters, scores) in [
            (&plugins.multi_point, true, true),
            (&plugins.pre_filter, true, false),
            (&plugins.filter, true, false),
            (&plugins.post_filter, true, false),
            (&plugins.pre_score, false, true),
            (&plugins.score, false, true),
        ] {
            let point = if filters && !scores { Point::Filter } else { Point::Score };
            set.apply(&mut profile, if filters && scores { Point::All } else { point })?;
        }
        for config in self.plugin_config {
            apply_args(&mut profile, &config.name, config.args)
                .map_err(|error| format!("args of plugin {}: {error}", config.name))?;
        }
        Ok(profile)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Point {
    All,
    Filter,
    Score,
}

/// Plugins that are always there: without them nothing works, or nothing can be turned off.
const ALWAYS: [&str; 5] =
    ["PrioritySort", "DefaultBinder", "NodeName", "NodeDeclaredFeatures", "GangScheduling"];

impl Set {
    fn apply(&self, profile: &mut Profile, point: Point) -> Result<(), String> {
        for named in &self.disabled {
            let disabled = match plugin(&named.name)? {
                Some(plugin) => PluginSet::of(&[plugin]),
                None if named.name == "*" => PluginSet::ALL,
                None => continue,
            };
            if point != Point::Score {
                disabled.iter().for_each(|plugin| profile.filters.remove(plugin));
            }
            if point != Point::Filter {
                profile.weights.retain(|(plugin, _)| !disabled.has(*plugin));
            }
        }
        let defaults = Profile::default().weights;
        for named in &self.enabled {
            let Some(plugin) = plugin(&named.name)? else { continue };
            if point != Point::Score {
                profile.filters.insert(plugin);
            }
            let scores = defaults.iter().find(|(known, _)| *known == plugin);
            if let (Some((_, default)), true) = (scores, point != Point::Filter) {
                profile.weights.retain(|(known, _)| *known != plugin);
                profile
                    .weights
                    .push((plugin, named.weight.filter(|weight| *weight != 0).unwrap_or(*default)));
            }
        }
        Ok(())
    }
}

/// A plugin by its name; none for those that are always there.
fn plugin(name: &str) -> Result<Option<Plugin>, String> {
    let known = Plugin::ALL.into_iter().find(|plugin| plugin.name() == name);
    match known {
        Some(Plugin::NodeName) | None if name == "*" || ALWAYS.contains(&name) => Ok(None),
        Some(plugin) => Ok(Some(plugin)),
        None => Err(format!("plugin {name} is not known")),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PreemptionArgs {
    min_candidate_nodes_percentage: Option<i32>,
    min_candidate_nodes_absolute: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InterPodAffinityArgs {
    hard_pod_affinity_weight: Option<i32>,
    ignore_preferred_terms_of_existing_pods: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FitArgs {
    ignored_resources: Vec<String>,
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<ScoringStrategy>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScoringStrategy {
    r#type: String,
    resources: Vec<Resource>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    weight: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Ratio {
    #[serde(default)]
    shape: Vec<ShapePoint>,
}

#[derive(Deserialize)]
struct ShapePoint {
    utilization: i64,
    score: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpreadArgs {
    default_constraints: Vec<TopologySpreadConstraint>,
    defaulting_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BalancedArgs {
    resources: Vec<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeBindingArgs {
    bind_timeout_seconds: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinityArgs {
    added_affinity: Option<NodeAffinity>,
}

fn apply_args(profile: &mut Profile, plugin: &str, args: Value) -> Result<(), String> {
    match plugin {
        "DefaultPreemption" => {
            let args: PreemptionArgs = read(args)?;
            let (percentage, least) = &mut profile.preemption_candidates;
            *percentage = args.min_candidate_nodes_percentage.unwrap_or(*percentage);
            *least = args.min_candidate_nodes_absolute.unwrap_or(*least);
            if !(0..=100).contains(percentage) || *least < 0 || *percentage + *least == 0 {
                return Err("minCandidateNodes must be at least one node".to_owned());
            }
        }
        "InterPodAffinity" => {
            let args: InterPodAffinityArgs = read(args)?;
            let settings = &mut profile.inter_pod_affinity;
            settings.hard_weight = args.hard_pod_affinity_weight.unwrap_or(settings.hard_weight);
            settings.ignore_existing = args.ignore_preferred_terms_of_existing_pods;
        }
        "NodeResourcesFit" => {
            let args: FitArgs = read(args)?;
            profile.ignored_resources =
                Ignored { resources: args.ignored_resources, groups: args.ignored_resource_groups };
            if let Some(strategy) = args.scoring_strategy {
                profile.scored_resources =
                    weighted(strategy.resources).unwrap_or(profile.scored_resources.clone());
                profile.strategy = strategy_of(&strategy.r#type, strategy.requested_to_capacity_ratio)?;
            }
        }
        "NodeResourcesBalancedAllocation" => {
            let args: BalancedArgs = read(args)?;
            profile.balanced_resources =
                weighted(args.resources).unwrap_or(profile.balanced_resources.clone());
        }
        "PodTopologySpread" => profile.default_constraints = default_constraints(read(args)?)?,
        "VolumeBinding" => {
            let args: VolumeBindingArgs = read(args)?;
            profile.volume_bind_timeout_seconds =
                args.bind_timeout_seconds.unwrap_or(profile.volume_bind_timeout_seconds);
        }
        "NodeAffinity" => {
            let args: NodeAffinityArgs = read(args)?;
            profile.added_affinity = args.added_affinity.as_ref().map(AddedAffinity::new).unwrap_or_default();
        }
        _ => {}
    }
    Ok(())
}

fn read<T: DeserializeOwned + Default>(args: Value) -> Result<T, String> {
    if args.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(args).map_err(|error| error.to_string())
}

fn weighted(resources: Vec<Resource>) -> Option<Vec<Weighted>> {
    let weighted = resources.into_iter().map(|resource| {
        let weight = resource.weight.filter(|weight| *weight != 0).unwrap_or(1);
        Weighted { resource: resource.name.into(), weight }
    });
    Some(weighted.collect()).filter(|resources: &Vec<_>| !resources.is_empty())
}

fn strategy_of(name: &str, ratio: Option<Ratio>) -> Result<Strategy, String> {
    match name {
        "" | "LeastAllocated" => Ok(Strategy::LeastAllocated),
        "MostAllocated" => Ok(Strategy::MostAllocated),
        "RequestedToCapacityRatio" => {
            let shape = ratio.unwrap_or_default().shape;
            let rises = shape.windows(2).all(|pair| pair[0].utilization < pair[1].utilization);
            let fits = |point: &ShapePoint| {
                (0..=100).contains(&point.utilization)
                    && (0..=MAX_CUSTOM_PRIORITY_SCORE).contains(&point.score)
            };
            if shape.is_empty() || !rises || !shape.iter().all(fits) {
                return Err(
                    "the shape must be points of rising utilization up to 100 and scores up to 10".to_owned()
                );
            }
            let scale = MAX_NODE_SCORE / MAX_CUSTOM_PRIORITY_SCORE;
            let line = shape.iter().map(|point| (point.utilization, point.score * scale));
            Ok(Strategy::RequestedToCapacityRatio(line.collect()))
        }
        other => Err(format!("scoring strategy {other} is not known")),
    }
}

fn default_constraints(args: SpreadArgs) -> Result<Defaults, String> {
    match args.defaulting_type.as_str() {
        "" | "System" if args.default_constraints.is_empty() => Ok(Defaults::System),
        "List" => {
            let of = |action: &str| -> Vec<SpreadConstraint> {
                let constraints = args.default_constraints.iter();
                let constraints = constraints.filter(|constraint| constraint.when_unsatisfiable == action);
                constraints.map(|constraint| SpreadConstraint::new(constraint, &Default::default())).collect()
            };
            Ok(Defaults::List { hard: of("DoNotSchedule"), soft: of("ScheduleAnyway") })
        }
        _ => Err("defaultConstraints need defaultingType List".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(mut configuration: Value) -> Result<Config, crate::Error> {
        configuration["apiVersion"] = json!("kubescheduler.config.k8s.io/v1");
        configuration["kind"] = json!("KubeSchedulerConfiguration");
        Config::from_configuration("me", &configuration)
    }

    #[test]
    fn defaults_are_upstreams() {
        let config = config(json!({})).expect("the defaults");
        assert_eq!(config.profiles[0].weights, Profile::default().weights);
        assert_eq!(&*config.profiles[0].name, "default-scheduler");
        assert_eq!(config.leader_election.map(|elector| elector.name).as_deref(), Some("kube-scheduler"));
    }

    #[test]
    fn profiles_change_plugins_and_weights() {
        let config = config(json!({
            "podInitialBackoffSeconds": 2,
            "leaderElection": {"leaderElect": false},
            "percentageOfNodesToScore": 30,
            "profiles": [
                {"schedulerName": "one", "plugins": {
                    "multiPoint": {"disabled": [{"name": "ImageLocality"}]},
                    "filter": {"disabled": [{"name": "TaintToleration"}]},
                    "score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 7}]}}},
                {"schedulerName": "two", "percentageOfNodesToScore": 100, "pluginConfig": [
                    {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated",
                        "resources": [{"name": "cpu", "weight": 3}]}}},
                    {"name": "PodTopologySpread", "args": {"defaultingType": "List"}}]},
            ],
        }))
        .expect("a configuration");
        assert!(config.leader_election.is_none());
        let [one, two] = config.profiles.as_slice() else { panic!("two profiles") };
        assert_eq!(one.weights, [(Plugin::NodeResourcesFit, 7)]);
        assert!(!one.filters.has(Plugin::TaintToleration) && one.filters.has(Plugin::NodeAffinity));
        assert_eq!((one.percentage_of_nodes_to_score, two.percentage_of_nodes_to_score), (30, 100));
        assert_eq!(two.strategy, Strategy::MostAllocated);
        assert_eq!(two.scored_resources.len(), 1);
        assert_eq!(two.default_constraints, Defaults::List { hard: Vec::new(), soft: Vec::new() });
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (configuration, told) in [
            (json!({"extenders": [{"urlPrefix": "http://x"}]}), "extenders"),
            (json!({"unknown": 1}), "unknown field"),
            (json!({"percentageOfNodesToScore": 101}), "between 0 and 100"),
            (json!({"profiles": [{}, {}]}), "schedulerName"),
            (json!({"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]}), "same schedulerName"),
            (
                json!({"profiles": [{"plugins": {"score": {"enabled": [{"name": "Mine"}]}}}]}),
                "Mine is not known",
            ),
            (json!({"podInitialBackoffSeconds": 0}), "podInitialBackoffSeconds"),
        ] {
            let error = config(configuration.clone()).expect_err("not to be meant").to_string();
            assert!(error.contains(told), "{configuration}: {error}");
        }
    }
}
