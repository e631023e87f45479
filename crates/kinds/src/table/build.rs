//! Makes rows out of facts and rules.

use super::facts::FACTS;
use super::generation::Generation;
use super::row::{DeletePolicy, Encoding, FieldPath, MetaChecks, Row, Storage, Subresource, SubresourceKind};
use super::rules::{self, Rule};
use super::{SelectableFields, Table};
use crate::convert;
use crate::hooks::Hooks;
use std::sync::Arc;
use value::Str;

/// What discovery tells of a kind. Lists are separated by blanks.
pub(super) struct Facts {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    pub(super) verbs: &'static str,
    pub(super) short_names: &'static str,
    pub(super) categories: &'static str,
    pub(super) storage_version_hash: &'static str,
    pub(super) subresources: &'static [SubFacts],
}

/// What discovery tells of a subresource.
pub(super) struct SubFacts {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) verbs: &'static str,
}

pub(super) fn builtin() -> Table {
    Table::new(FACTS.iter().map(|f| Arc::new(row(f))).collect())
}

fn row(f: &Facts) -> Row {
    let rule = rules::rule(f.group, f.plural);
    let (group_priority, version_priority) = rules::priority(f.group, f.version);
    Row {
        group: f.group.into(),
        version: f.version.into(),
        kind: f.kind.into(),
        list_kind: format!("{}List", f.kind).into(),
        plural: f.plural.into(),
        singular: f.singular.into(),
        short_names: words(f.short_names),
        categories: words(f.categories),
        namespaced: f.namespaced,
        verbs: words(f.verbs),
        subresources: f.subresources.iter().map(|s| subresource(f, s, &rule)).collect(),
        go_type: go_type(f.group, f.version, f.kind),
        list_go_type: go_type(f.group, f.version, &format!("{}List", f.kind)),
        storage: storage(f),
        fields: rules::fields(f.group, f.version, f.plural),
        delete: rule.delete,
        graceful: rule.graceful,
        returns_deleted: rule.returns_deleted,
        create_on_update: rule.create_on_update,
        unconditional_update: rule.unconditional_update,
        reset_fields: paths(rule.resets),
        generation: rule.generation,
        update_meta: rules::update_meta(f.group, f.plural, ""),
        lapses: rule.lapses,
        deprecation: rules::deprecation(f.group, f.plural).map(Str::from),
        group_priority,
        version_priority,
        storage_version_hash: f.storage_version_hash.into(),
        hooks: crate::hooks_of(f.group, f.version, f.plural),
    }
}

impl Row {
    /// Whether this is a custom resource's.
    pub fn is_custom(&self) -> bool {
        self.go_type.is_empty() && self.storage.is_some()
    }

    /// A row for a custom resource, with the rules that hold for all of them; names, verbs and subresources
    /// are filled in by the caller.
    pub fn custom(
        group: impl Into<Str>,
        version: impl Into<Str>,
        kind: impl Into<Str>,
        plural: impl Into<Str>,
    ) -> Self {
        let (group, version, kind, plural) = (group.into(), version.into(), kind.into(), plural.into());
        Self {
            storage: Some(Storage {
                group: group.clone(),
                version: version.clone(),
                go_type: Str::default(),
                prefix: format!("/registry/{group}/{plural}").into(),
                encoding: Encoding::Json,
                convert: None,
                default: Hooks::NONE.default,
            }),
            list_kind: format!("{kind}List").into(),
            singular: kind.to_lowercase().into(),
            group,
            version,
            kind,
            plural,
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: words("create delete deletecollection get list patch update watch"),
            subresources: Vec::new(),
            go_type: Str::default(),
            list_go_type: Str::default(),
            fields: SelectableFields { error: super::FieldError::Label, ..SelectableFields::default() },
            delete: DeletePolicy::Background,
            graceful: false,
            returns_deleted: false,
            create_on_update: false,
            unconditional_update: false,
            reset_fields: Vec::new(),
            generation: Generation::AllBut(paths(&["metadata"])),
            update_meta: MetaChecks::USUAL,
            lapses: false,
            deprecation: None,
            // Upstream's crdregistration controller registers all custom groups with these.
            group_priority: 1000,
            version_priority: 100,
            storage_version_hash: Str::default(),
            hooks: Hooks::NONE,
        }
    }
}

fn subresource(f: &Facts, s: &SubFacts, rule: &Rule) -> Subresource {
    let (group, version) =
        if s.group.is_empty() && s.version.is_empty() { (f.group, f.version) } else { (s.group, s.version) };
    let does = match s.name {
        "scale" => SubresourceKind::Scale,
        "binding" | "eviction" | "token" => SubresourceKind::Action,
        "attach" | "exec" | "log" | "portforward" | "proxy" => SubresourceKind::Connect,
        _ => SubresourceKind::Object,
    };
    let resets = match s.name {
        "status" => rule.status_resets,
        "approval" => &["spec", "status.certificate"],
        "finalize" => &["status"],
        _ => &[],
    };
    Subresource {
        name: s.name.into(),
        group: s.group.into(),
        version: s.version.into(),
        kind: s.kind.into(),
        go_type: if does == SubresourceKind::Connect {
            Str::default()
        } else {
            go_type(group, version, s.kind)
        },
        verbs: words(s.verbs),
        does,
        reset_fields: paths(resets),
        counts_generation: matches!(s.name, "scale" | "ephemeralcontainers" | "resize"),
        update_meta: rules::update_meta(f.group, f.plural, s.name),
        makes_tables: does != SubresourceKind::Action
            && s.name != "finalize"
            && !matches!(
                (f.group, f.plural),
                ("apiextensions.k8s.io" | "apiregistration.k8s.io", _)
                    | ("resource.k8s.io", "resourceclaims")
            ),
    }
}

fn storage(f: &Facts) -> Option<Storage> {
    // Discovery hashes the storage version of exactly the kinds that are stored.
    if f.storage_version_hash.is_empty() {
        return None;
    }
    let (group, version, convert) = match (f.group, f.version, f.plural) {
        ("events.k8s.io", ..) => ("", "v1", Some(convert::EVENT)),
        ("autoscaling", "v1", "horizontalpodautoscalers") => ("autoscaling", "v2", Some(convert::HPA)),
        // Kept one release behind by upstream (default_storage_factory_builder.go); of the same shape.
        (g, _, "mutatingadmissionpolicies" | "mutatingadmissionpolicybindings") => {
            (g, "v1beta1", Some(convert::ADMISSION_POLICY))
        }
        (g, v, _) => (g, v, None),
    };
    let (prefix, encoding) = match (f.group, f.plural) {
        ("", "replicationcontrollers") => ("/registry/controllers".into(), Encoding::Protobuf),
        ("", "endpoints") => ("/registry/services/endpoints".into(), Encoding::Protobuf),
        ("", "nodes") => ("/registry/minions".into(), Encoding::Protobuf),
        ("", "services") => ("/registry/services/specs".into(), Encoding::Protobuf),
        ("networking.k8s.io", "ingresses") => ("/registry/ingress".into(), Encoding::Protobuf),
        // Servers of their own upstream, with JSON codecs and the group in the key.
        ("apiextensions.k8s.io" | "apiregistration.k8s.io", plural) => {
            (Str::from(format!("/registry/{}/{plural}", f.group)), Encoding::Json)
        }
        (_, plural) => (Str::from(format!("/registry/{plural}")), Encoding::Protobuf),
    };
    Some(Storage {
        group: group.into(),
        version: version.into(),
        go_type: go_type(group, version, f.kind),
        prefix,
        encoding,
        convert,
        default: crate::hooks_of(group, version, f.plural).default,
    })
}

/// The Go type of a served kind, named as in `schema::Types`.
fn go_type(group: &str, version: &str, kind: &str) -> Str {
    match group {
        "apiextensions.k8s.io" => {
            format!("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/{version}.{kind}").into()
        }
        "apiregistration.k8s.io" => {
            format!("k8s.io/kube-aggregator/pkg/apis/apiregistration/{version}.{kind}").into()
        }
        "" => format!("k8s.io/api/core/{version}.{kind}").into(),
        _ => {
            let package = group.split('.').next().unwrap_or(group);
            format!("k8s.io/api/{package}/{version}.{kind}").into()
        }
    }
}

fn words(s: &str) -> Vec<Str> {
    s.split_ascii_whitespace().map(Str::from).collect()
}

pub(super) fn paths(p: &[&str]) -> Vec<FieldPath> {
    p.iter().map(|p| p.split('.').map(Str::from).collect()).collect()
}
