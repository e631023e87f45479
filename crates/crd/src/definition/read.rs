//! A definition as upstream's internal type: what all versions share stands at the top.

use crate::schema::Schema;
use crate::shown;
use meta::quote::json_string;
use value::{Str, Value};

/// What is validated of a definition.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// `spec.versions`; schema and the like are absent where they stand at the top.
    pub versions: Vec<Version>,
    /// Whether `spec.versions` is null.
    pub no_versions: bool,
    /// The schema that all versions share: `Some(None)` is one without `openAPIV3Schema`.
    pub schema: Option<Option<Schema>>,
    /// Subresources that all versions share.
    pub subresources: Option<Value>,
    /// Columns that all versions share.
    pub columns: Vec<Value>,
    /// Selectable fields that all versions share.
    pub selectable: Vec<Value>,
}

/// One version.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Its name.
    pub name: Str,
    /// Whether it is served.
    pub served: bool,
    /// Whether it is stored.
    pub storage: bool,
    /// Whether it is deprecated.
    pub deprecated: bool,
    /// What is said of that.
    pub deprecation_warning: Option<Str>,
    /// Its schema.
    pub schema: Option<Option<Schema>>,
    /// Its subresources.
    pub subresources: Option<Value>,
    /// Its columns.
    pub columns: Vec<Value>,
    /// Its selectable fields.
    pub selectable: Vec<Value>,
}

impl Definition {
    /// Reads a definition.
    pub fn read(object: &Value) -> Self {
        let versions = object.at("spec").at("versions");
        let mut out = Self { no_versions: versions.is_null(), ..Self::default() };
        out.versions = versions.items().iter().map(Version::read).collect();
        let Some(first) = out.versions.first().cloned() else { return out };
        let all = |test: &dyn Fn(&Version) -> bool| out.versions.iter().all(test);
        let schema = all(&|v| v.schema == first.schema);
        let subresources = all(&|v| v.subresources == first.subresources);
        let columns = all(&|v| v.columns == first.columns);
        let selectable = all(&|v| v.selectable == first.selectable);
        for v in &mut out.versions {
            if schema {
                v.schema = None;
            }
            if subresources {
                v.subresources = None;
            }
            if columns {
                v.columns.clear();
            }
            if selectable {
                v.selectable.clear();
            }
        }
        if schema {
            out.schema = first.schema;
        }
        if subresources {
            out.subresources = first.subresources;
        }
        if columns {
            out.columns = first.columns;
        }
        if selectable {
            out.selectable = first.selectable;
        }
        out
    }

    /// The schema of a version.
    pub fn schema_of<'a>(&'a self, version: &'a Version) -> Option<&'a Schema> {
        let schema = self.schema.as_ref().or(version.schema.as_ref())?;
        schema.as_ref()
    }

    /// All schemas.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        let versions = self.versions.iter().filter_map(|v| v.schema.as_ref()?.as_ref());
        self.schema.iter().filter_map(Option::as_ref).chain(versions)
    }

    /// Whether a test holds for any schema, or one below it.
    pub fn any_schema(&self, test: &mut dyn FnMut(&Schema) -> bool) -> bool {
        self.schemas().any(|s| s.any(test))
    }

    /// `spec.versions` as errors print it.
    pub fn shown_versions(&self) -> String {
        if self.no_versions {
            return "null".into();
        }
        let versions: Vec<String> = self.versions.iter().map(Version::shown).collect();
        format!("[{}]", versions.join(","))
    }
}

impl Version {
    /// Reads a version.
    pub fn read(v: &Value) -> Self {
        let schema = v.at("schema");
        let props = schema.at("openAPIV3Schema");
        Self {
            name: v.at("name").str().into(),
            served: v.at("served").bool(),
            storage: v.at("storage").bool(),
            deprecated: v.at("deprecated").bool(),
            deprecation_warning: v.at("deprecationWarning").as_str().map(Str::from),
            schema: schema.as_object().map(|_| props.as_object().map(|_| Schema::read(props))),
            subresources: v.at("subresources").as_object().map(|_| v.at("subresources").clone()),
            columns: v.at("additionalPrinterColumns").items().to_vec(),
            selectable: v.at("selectableFields").items().to_vec(),
        }
    }

    fn shown(&self) -> String {
        let null = || "null".to_owned();
        let text = |v: &Value| json_string(v.str());
        let many = |list: &[Value], show: &dyn Fn(&Value) -> String| {
            if list.is_empty() {
                return null();
            }
            format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(","))
        };
        let column = |c: &Value| {
            shown::object(&[
                ("Name", text(c.at("name"))),
                ("Type", text(c.at("type"))),
                ("Format", text(c.at("format"))),
                ("Description", text(c.at("description"))),
                ("Priority", c.at("priority").int().to_string()),
                ("JSONPath", text(c.at("jsonPath"))),
            ])
        };
        let schema = self.schema.as_ref().map(|s| {
            let s = s.as_ref().map_or_else(null, shown::schema);
            shown::object(&[("OpenAPIV3Schema", s)])
        });
        let subresources = self.subresources.as_ref().map(|s| {
            let status = if s.at("status").is_null() { null() } else { "{}".into() };
            let scale = s.at("scale");
            let scale = scale.as_object().map(|_| {
                let selector = scale.at("labelSelectorPath").as_str();
                shown::object(&[
                    ("SpecReplicasPath", text(scale.at("specReplicasPath"))),
                    ("StatusReplicasPath", text(scale.at("statusReplicasPath"))),
                    ("LabelSelectorPath", selector.map_or_else(null, json_string)),
                ])
            });
            shown::object(&[("Status", status), ("Scale", scale.unwrap_or_else(null))])
        });
        let warning = self.deprecation_warning.as_ref().map(|w| json_string(w));
        shown::object(&[
            ("Name", json_string(&self.name)),
            ("Served", self.served.to_string()),
            ("Storage", self.storage.to_string()),
            ("Deprecated", self.deprecated.to_string()),
            ("DeprecationWarning", warning.unwrap_or_else(null)),
            ("Schema", schema.unwrap_or_else(null)),
            ("Subresources", subresources.unwrap_or_else(null)),
            ("AdditionalPrinterColumns", many(&self.columns, &column)),
            (
                "SelectableFields",
                many(&self.selectable, &|f| shown::object(&[("JSONPath", text(f.at("jsonPath")))])),
            ),
        ])
    }
}
