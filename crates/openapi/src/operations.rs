//! Paths and operations of a kind, from its row: one mechanism for all kinds.

use crate::definitions::{Definitions, PATCH};
use crate::document::Kind;
use crate::names::{capital, group_tag, group_version_id, identifier};
use crate::parameters::{of_meta, of_options, of_path, of_query, sorted};
use crate::phrases::{of_operation, of_variable};
use crate::tree::{array, gvk, object, of_type, set_text};
use kinds::Row;
use kinds::table::Subresource;
use schema::types::{TypeId, Types};
use value::{Map, Str, Value};

/// Media types of built-in kinds, and of discovery.
pub(crate) const PLAIN: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// Media types of custom resources.
pub(crate) const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const STREAMS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Where a media type stands in lists: text (of logs) first, then before those that are rarer.
pub(crate) fn media_rank(media: &str) -> usize {
    let mut all = ["text/plain"].iter().chain(STREAMS).chain(PATCHES);
    all.position(|m| *m == media).unwrap_or(usize::MAX)
}

/// What all subresources `scale` are.
const SCALE: &str = "k8s.io/api/autoscaling/v1.Scale";

/// What connections pass on.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// A path under construction.
struct Path {
    path: String,
    /// Methods with their operations, each with all its parameters.
    operations: Vec<(&'static str, Value)>,
}

/// What an operation is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    kind: &'a Kind<'a>,
    sub: Option<&'a Subresource>,
}

impl Subject<'_> {
    fn row(&self) -> &Row {
        self.kind.row
    }

    fn verbs(&self) -> &[Str] {
        self.sub.map_or(&self.row().verbs, |s| &s.verbs)
    }

    /// Media types of its objects.
    fn media(&self) -> &'static [&'static str] {
        if self.kind.is_custom() { CUSTOM } else { PLAIN }
    }

    /// Media types of its lists.
    fn list_media(&self) -> &'static [&'static str] {
        if self.kind.is_custom() { CUSTOM } else { STREAMS }
    }

    /// Media types of bodies that it takes.
    fn body_media(&self) -> &'static [&'static str] {
        if self.kind.is_custom() { CUSTOM } else { &["*/*"] }
    }

    fn has(&self, verb: &str) -> bool {
        self.verbs().iter().any(|v| v == verb)
    }

    /// `x-kubernetes-group-version-kind` of its operations.
    fn gvk(&self) -> Value {
        let row = self.row();
        match self.sub {
            Some(_) if self.kind.is_custom() => gvk(&row.group, &row.version, &row.kind),
            Some(sub) if !sub.version.is_empty() => gvk(&sub.group, &sub.version, &sub.kind),
            Some(sub) => gvk(&row.group, &row.version, &sub.kind),
            None => gvk(&row.group, &row.version, &row.kind),
        }
    }

    /// The name in operation ids: `readCoreV1NamespacedPodStatus`.
    fn id(&self, verb: &str, middle: &str, namespaced: bool, end: &str) -> String {
        let row = self.row();
        let group_version = group_version_id(&row.group, &row.version);
        let namespaced = if namespaced { "Namespaced" } else { "" };
        let sub = self.sub.map(|s| capital(&s.name)).unwrap_or_default();
        let rest = identifier(&format!("{middle}{namespaced}{}{sub}{end}", row.kind), true);
        format!("{verb}{group_version}{rest}")
    }

    /// The options of a connection, and of logs.
    fn options(&self) -> Option<TypeId> {
        let (row, sub) = (self.row(), self.sub?);
        let types = Types::builtin();
        let own = format!("{}{}Options", row.kind, capital(&sub.name));
        let name = if sub.kind.ends_with("Options") { sub.kind.as_str() } else { own.as_str() };
        types.by_kind(&row.group, &row.version, name).filter(|_| !row.go_type.is_empty())
    }
}

/// The paths of a kind.
pub(crate) fn of_kind(kind: &Kind<'_>, definitions: &mut Definitions<'_>) -> Vec<(Str, Value)> {
    let row = kind.row;
    let root = root(row);
    let mut builder = Builder { definitions, paths: Vec::new() };
    let main = Subject { kind, sub: None };
    let (scope, variables) =
        if row.namespaced { ("/namespaces/{namespace}", vec!["namespace"]) } else { ("", Vec::new()) };
    let collection = format!("{scope}/{}", row.plural);
    let item = format!("{collection}/{{name}}");
    let item_variables = || [variables.as_slice(), &["name"]].concat();
    builder.collection(main, format!("{root}{collection}"), variables.clone());
    builder.item(main, format!("{root}{item}"), item_variables());
    if row.namespaced && main.has("list") {
        builder.all_namespaces(main, format!("{root}/{}", row.plural));
    }
    // The paths of old watches.
    if main.has("watch") {
        let watch = format!("{root}/watch");
        if row.go_type.is_empty() {
            // Custom resources never had them.
        } else {
            builder.watch_list(main, format!("{watch}{collection}"), variables.clone());
            if main.has("get") {
                builder.watch_one(main, format!("{watch}{item}"), item_variables());
            }
            if row.namespaced {
                builder.watch_list(main, format!("{watch}/{}", row.plural), Vec::new());
            }
        }
    }
    for sub in &row.subresources {
        let subject = Subject { kind, sub: Some(sub) };
        let path = format!("{root}{item}/{}", sub.name);
        if sub.kind.ends_with("Options") {
            builder.connect(subject, path, item_variables());
        } else {
            builder.item(subject, path, item_variables());
        }
    }
    builder.finish()
}

/// `/api/v1`, `/apis/apps/v1`.
pub(crate) fn root(row: &Row) -> String {
    if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    }
}

struct Builder<'a, 'b> {
    definitions: &'a mut Definitions<'b>,
    paths: Vec<Path>,
}

impl Builder<'_, '_> {
    /// What the subject's bodies are.
    fn schema(&mut self, subject: Subject<'_>) -> Value {
        match subject.sub {
            Some(sub) if !sub.go_type.is_empty() => self.definitions.go(&sub.go_type).unwrap_or_default(),
            Some(sub) if sub.name == "scale" => self.definitions.go(SCALE).unwrap_or_default(),
            // Logs and whatever else is no object.
            Some(_) if subject.options().is_some() => of_type("string"),
            _ => subject.kind.schema(self.definitions),
        }
    }

    fn collection(&mut self, subject: Subject<'_>, path: String, variables: Vec<&'static str>) {
        let row = subject.row();
        let mut operations = Vec::new();
        if subject.has("deletecollection") {
            let status = self.definitions.meta("Status");
            let mut operation = operation(
                subject,
                "deletecollection",
                subject.id("delete", "Collection", row.namespaced, ""),
                &[("200", &status)],
                subject.media(),
            );
            let list = of_meta("ListOptions").into_iter();
            if subject.kind.is_custom() {
                set_parameters(&mut operation, list);
            } else {
                let list = list.filter(|p| !matches!(p.at("name").str(), "watch" | "allowWatchBookmarks"));
                set_parameters(&mut operation, list.chain(of_meta("DeleteOptions")));
                set_body(&mut operation, &["*/*"], self.definitions.meta("DeleteOptions"), false);
            }
            operations.push(("delete", operation));
        }
        if subject.has("list") {
            let id = subject.id("list", "", row.namespaced, "");
            operations.push(("get", self.list(subject, id)));
        }
        if subject.has("create") {
            operations.push(("post", self.create(subject)));
        }
        self.push(path, variables, operations, subject.gvk().at("kind").str(), true);
    }

    fn all_namespaces(&mut self, subject: Subject<'_>, path: String) {
        let id = subject.id("list", "", false, "ForAllNamespaces");
        let list = self.list(subject, id);
        self.push(path, Vec::new(), vec![("get", list)], subject.gvk().at("kind").str(), true);
    }

    fn list(&mut self, subject: Subject<'_>, id: String) -> Value {
        let schema = subject.kind.list_schema(self.definitions);
        let mut operation = operation(subject, "list", id, &[("200", &schema)], subject.list_media());
        set_parameters(&mut operation, of_meta("ListOptions"));
        operation
    }

    fn create(&mut self, subject: Subject<'_>) -> Value {
        let schema = self.schema(subject);
        let id = subject.id("create", "", subject.row().namespaced, "");
        let answers = [("200", &schema), ("201", &schema), ("202", &schema)];
        let mut operation = operation(subject, "post", id, &answers, subject.media());
        set_parameters(&mut operation, of_meta("CreateOptions"));
        set_body(&mut operation, subject.body_media(), schema, true);
        operation
    }

    fn item(&mut self, subject: Subject<'_>, path: String, variables: Vec<&'static str>) {
        let row = subject.row();
        let id = |verb: &str| subject.id(verb, "", row.namespaced, "");
        let mut operations = Vec::new();
        if subject.has("get") {
            let schema = self.schema(subject);
            let options = subject.options();
            let with_text = [PLAIN, &["text/plain"]].concat();
            let media = if options.is_some() { with_text.as_slice() } else { subject.media() };
            let mut operation = operation(subject, "get", id("read"), &[("200", &schema)], media);
            let own = if subject.kind.is_custom() { of_meta("GetOptions") } else { Vec::new() };
            set_parameters(&mut operation, options.map_or(own, of_options));
            operations.push(("get", operation));
        }
        // What is created at an item is a subresource; items themselves are created in their collection.
        if subject.has("create") && subject.sub.is_some() {
            operations.push(("post", self.create(subject)));
        }
        if subject.has("update") {
            let schema = self.schema(subject);
            let answers = [("200", &schema), ("201", &schema)];
            let mut operation = operation(subject, "put", id("replace"), &answers, subject.media());
            set_parameters(&mut operation, of_meta("UpdateOptions"));
            set_body(&mut operation, subject.body_media(), schema, true);
            operations.push(("put", operation));
        }
        if subject.has("patch") {
            let schema = self.schema(subject);
            let answers = [("200", &schema), ("201", &schema)];
            let is_custom = subject.kind.is_custom();
            let answers = if is_custom { &answers[..1] } else { &answers };
            let mut operation = operation(subject, "patch", id("patch"), answers, subject.media());
            set_parameters(&mut operation, of_meta("PatchOptions"));
            let patches = PATCHES.iter().copied();
            let not_custom = "application/strategic-merge-patch+json";
            let patches: Vec<&str> = patches.filter(|m| !is_custom || *m != not_custom).collect();
            set_body(&mut operation, &patches, self.definitions.extra(PATCH), true);
            operations.push(("patch", operation));
        }
        if subject.has("delete") {
            // What is finalized in steps (namespaces) answers with the object too, but does not say so.
            let says_so = row.returns_deleted && !row.subresources.iter().any(|s| s.name == "finalize");
            let schema = if says_so { self.schema(subject) } else { self.definitions.meta("Status") };
            let answers = [("200", &schema), ("202", &schema)];
            let mut operation = operation(subject, "delete", id("delete"), &answers, subject.media());
            set_parameters(&mut operation, of_meta("DeleteOptions"));
            set_body(&mut operation, subject.body_media(), self.definitions.meta("DeleteOptions"), false);
            operations.push(("delete", operation));
        }
        self.push(path, variables, operations, subject.gvk().at("kind").str(), true);
    }

    fn watch_list(&mut self, subject: Subject<'_>, path: String, variables: Vec<&'static str>) {
        let row = subject.row();
        let end = if row.namespaced && variables.is_empty() { "ListForAllNamespaces" } else { "List" };
        let id = subject.id("watch", "", !variables.is_empty(), end);
        self.watch(subject, "watchlist", id, path, variables);
    }

    fn watch_one(&mut self, subject: Subject<'_>, path: String, variables: Vec<&'static str>) {
        let id = subject.id("watch", "", subject.row().namespaced, "");
        self.watch(subject, "watch", id, path, variables);
    }

    fn watch(
        &mut self,
        subject: Subject<'_>,
        action: &str,
        id: String,
        path: String,
        variables: Vec<&'static str>,
    ) {
        let event = self.definitions.meta("WatchEvent");
        let mut operation = operation(subject, action, id, &[("200", &event)], STREAMS);
        set_parameters(&mut operation, of_meta("ListOptions"));
        self.push(path, variables, vec![("get", operation)], subject.gvk().at("kind").str(), true);
    }

    /// A connection; those that pass on requests (they may also delete) take all methods, and a path.
    fn connect(&mut self, subject: Subject<'_>, path: String, variables: Vec<&'static str>) {
        let namespaced = subject.row().namespaced;
        let passes = subject.has("delete");
        let schema = of_type("string");
        let operations = |end: &str| -> Vec<(&'static str, Value)> {
            let methods = METHODS.into_iter().filter(|m| passes || matches!(*m, "get" | "post"));
            let operation = methods.map(|method| {
                let verb =
                    format!("connect{}", group_version_id(&subject.row().group, &subject.row().version));
                let row = subject.row();
                let scope = if namespaced { "Namespaced" } else { "" };
                let sub = subject.sub.map(|s| capital(&s.name)).unwrap_or_default();
                let id = format!("{verb}{}{scope}{}{sub}{end}", capital(method), row.kind);
                let mut operation = operation(subject, "connect", id, &[("200", &schema)], &["*/*"]);
                set_parameters(&mut operation, subject.options().map(of_options).unwrap_or_default());
                (method, operation)
            });
            operation.collect()
        };
        if passes {
            let with_path = [variables.as_slice(), &["path"]].concat();
            self.push(
                format!("{path}/{{path}}"),
                with_path,
                operations("WithPath"),
                subject.gvk().at("kind").str(),
                false,
            );
        }
        self.push(path, variables, operations(""), subject.gvk().at("kind").str(), false);
    }

    fn push(
        &mut self,
        path: String,
        variables: Vec<&'static str>,
        mut operations: Vec<(&'static str, Value)>,
        kind: &str,
        pretty: bool,
    ) {
        if operations.is_empty() {
            return;
        }
        for (_, operation) in &mut operations {
            let own = operation.remove("parameters").unwrap_or_default();
            let mut all = own.items().to_vec();
            all.extend(variables.iter().map(|v| {
                let mut variable = of_path(v);
                set_text(&mut variable, "description", of_variable(v, kind));
                variable
            }));
            if pretty {
                all.push(of_query("pretty", "string"));
            }
            operation.set("parameters", sorted(all));
        }
        self.paths.push(Path { path, operations });
    }

    fn finish(self) -> Vec<(Str, Value)> {
        self.paths.into_iter().map(|path| (Str::from(path.path), item(path.operations))).collect()
    }
}

/// A path's operations; parameters that all of them have stand beside them.
fn item(mut operations: Vec<(&'static str, Value)>) -> Value {
    let lists: Vec<Vec<Value>> = operations
        .iter_mut()
        .map(|(_, operation)| match operation.remove("parameters") {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        })
        .collect();
    let is_common = |p: &Value| lists.iter().all(|list| list.contains(p));
    let common: Vec<Value> = lists.first().into_iter().flatten().filter(|p| is_common(p)).cloned().collect();
    let mut item = Value::object();
    for ((method, mut operation), list) in operations.into_iter().zip(&lists) {
        let own: Vec<Value> = list.iter().filter(|p| !common.contains(p)).cloned().collect();
        if !own.is_empty() {
            operation.set("parameters", own);
        }
        item.set(method, operation);
    }
    if !common.is_empty() {
        item.set("parameters", common);
    }
    item
}

fn operation(
    subject: Subject<'_>,
    action: &str,
    id: String,
    answers: &[(&'static str, &Value)],
    media: &[&str],
) -> Value {
    let row = subject.row();
    let sub = subject.sub.map_or("", |s| &s.name);
    // Connections name their method in their id: `connectCoreV1GetNamespacedPodExec`.
    let prefix = format!("connect{}", group_version_id(&row.group, &row.version));
    let methods =
        METHODS.iter().filter(|m| id.strip_prefix(&prefix).is_some_and(|r| r.starts_with(&capital(m))));
    let method = methods.copied().next().unwrap_or_default();
    let watchable = subject.has("watch") && !subject.kind.is_custom();
    let phrase = of_operation(action, method, sub, &row.kind, watchable);
    object([
        ("description", phrase.into()),
        ("operationId", id.into()),
        ("tags", array([format!("{}_{}", group_tag(&row.group), row.version).into()])),
        ("x-kubernetes-action", action.into()),
        ("x-kubernetes-group-version-kind", subject.gvk()),
        ("responses", responses(answers, media)),
    ])
}

/// Answers by code, and the one to strangers.
pub(crate) fn responses(answers: &[(&'static str, &Value)], media: &[&str]) -> Value {
    let mut responses = Value::object();
    for (code, schema) in answers {
        let description = match *code {
            "200" => "OK",
            "201" => "Created",
            _ => "Accepted",
        };
        let answer = object([("description", description.into()), ("content", content(media, schema))]);
        responses.set(code, answer);
    }
    responses.set("401", object([("description", "Unauthorized".into())]));
    responses
}

fn content(media: &[&str], schema: &Value) -> Value {
    let entries = media.iter().map(|m| (Str::from(*m), object([("schema", schema.clone())])));
    Value::Object(Map::from_entries(entries.collect(), |_| {}))
}

fn set_parameters(operation: &mut Value, parameters: impl IntoIterator<Item = Value>) {
    operation.set("parameters", sorted(parameters.into_iter().collect()));
}

fn set_body(operation: &mut Value, media: &[&str], schema: Value, required: bool) {
    let mut body = object([("content", content(media, &schema))]);
    if required {
        body.set("required", true);
    }
    operation.set("requestBody", body);
}
