//! Environments: which names, types and functions an expression may use.
//!
//! Upstream counterpart: apiserver `pkg/cel/environment`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use value::Str;

use crate::checker::Checked;
use crate::decl::DeclType;
use crate::decls::{self, Function};
use crate::issues::Issues;
use crate::library;
use crate::macros;
use crate::parser;
use crate::program::Program;
use crate::types::Type;
use crate::{checker, validators};

/// The minor version of Kubernetes that this is.
pub const MINOR_VERSION: u32 = 36;

/// What all environments of one version share.
#[derive(Debug)]
struct Base {
    functions: HashMap<&'static str, Function>,
    types: HashMap<&'static str, Type>,
    macros: macros::Set,
    /// Whether constant arguments are validated.
    validates_constants: bool,
}

impl Base {
    fn new(minor: u32) -> Self {
        let mut types: HashMap<&'static str, Type> = HashMap::new();
        for (name, t) in [
            ("bool", Type::Bool),
            ("bytes", Type::Bytes),
            ("double", Type::Double),
            ("duration", Type::Duration),
            ("google.protobuf.Duration", Type::Duration),
            ("google.protobuf.Timestamp", Type::Timestamp),
            ("int", Type::Int),
            ("list", Type::list(Type::Dyn)),
            ("map", Type::map(Type::Dyn, Type::Dyn)),
            ("null_type", Type::Null),
            ("string", Type::String),
            ("timestamp", Type::Timestamp),
            ("type", Type::Type(None)),
            ("uint", Type::Uint),
            ("kubernetes.URL", Type::object("kubernetes.URL")),
        ] {
            types.insert(name, t);
        }
        let since = |version: u32| minor >= version;
        if since(28) {
            types.insert("optional_type", Type::optional(Type::Dyn));
            types.insert("kubernetes.Quantity", Type::object("kubernetes.Quantity"));
        }
        if since(30) {
            types.insert("net.IP", Type::opaque("net.IP"));
            types.insert("net.CIDR", Type::opaque("net.CIDR"));
        }
        if since(31) {
            types.insert("kubernetes.NamedFormat", Type::object("kubernetes.NamedFormat"));
        }
        if since(33) {
            types.insert("kubernetes.Semver", Type::object("kubernetes.Semver"));
        }
        Self {
            functions: decls::functions(library::LIBRARIES, minor),
            types,
            macros: macros::Set { optional: since(28), two_variables: since(32), sort_by: since(34) },
            validates_constants: since(29),
        }
    }

    /// The base of a version; each is made once.
    fn of(minor: u32) -> Arc<Self> {
        type Lazy = LazyLock<Arc<Base>, fn() -> Arc<Base>>;
        static BASES: LazyLock<Vec<Lazy>> = LazyLock::new(|| {
            macro_rules! bases {
                ($($n:literal)*) => { vec![$(LazyLock::new((|| Arc::new(Base::new($n))) as fn() -> Arc<Base>)),*] };
            }
            bases!(27 28 29 30 31 32 33 34 35 36)
        });
        let i = (minor.clamp(27, MINOR_VERSION) - 27) as usize;
        LazyLock::force(&BASES[i]).clone()
    }
}

/// An environment. Cheap to clone and to extend.
#[derive(Clone, Debug)]
pub struct Env {
    base: Arc<Base>,
    variables: Vec<(Str, Type)>,
    types: Arc<HashMap<Str, Arc<DeclType>>>,
    mutation: bool,
    json_patch: bool,
}

impl Env {
    /// The environment of Kubernetes 1.`minor`, without variables.
    pub fn of_version(minor: u32) -> Self {
        Self {
            base: Base::of(minor),
            variables: Vec::new(),
            types: Arc::new(HashMap::new()),
            mutation: false,
            json_patch: false,
        }
    }

    /// For expressions that are written now: what the previous version also understands.
    pub fn new_expressions() -> Self {
        Self::of_version(MINOR_VERSION - 1)
    }

    /// For expressions that were accepted before: everything any version had.
    pub fn stored_expressions() -> Self {
        Self::of_version(MINOR_VERSION)
    }

    /// Declares a variable of a plain type.
    #[must_use]
    pub fn variable_of(mut self, name: &str, t: Type) -> Self {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push((name.into(), t));
        self
    }

    /// Declares a variable of a declared type, and all object types within it.
    #[must_use]
    pub fn variable_decl(self, name: &str, t: &Arc<DeclType>) -> Self {
        let cel = t.cel.clone();
        self.with_decl(t).variable_of(name, cel)
    }

    /// Declares a variable that holds an optional of a declared type.
    #[must_use]
    pub fn variable_optional(self, name: &str, t: &Arc<DeclType>) -> Self {
        let cel = Type::optional(t.cel.clone());
        self.with_decl(t).variable_of(name, cel)
    }

    /// Declares the object types within `t`.
    #[must_use]
    pub fn with_decl(mut self, t: &Arc<DeclType>) -> Self {
        DeclType::collect(t, Arc::make_mut(&mut self.types));
        self
    }

    /// Allows `Object{…}` and `Object.spec.…{…}` literals, of dynamic fields (mutating policies).
    #[must_use]
    pub fn with_mutation(mut self) -> Self {
        self.mutation = true;
        self
    }

    /// Allows `JSONPatch{…}` literals and `jsonpatch.escapeKey`.
    #[must_use]
    pub fn with_json_patch(mut self) -> Self {
        self.json_patch = true;
        self
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&(Str, Type)> {
        self.variables.iter().find(|(n, _)| n == name)
    }

    /// Whether there are variables whose names begin with `name` and a dot.
    pub(crate) fn has_variables_under(&self, name: &str) -> bool {
        self.variables.iter().any(|(n, _)| n.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        if name == "jsonpatch.escapeKey" && !self.json_patch {
            return None;
        }
        self.base.functions.get(name)
    }

    /// The type that a name denotes.
    pub(crate) fn find_type(&self, name: &str) -> Option<Type> {
        if let Some(t) = self.base.types.get(name) {
            return Some(t.clone());
        }
        if let Some(t) = self.types.get(name) {
            return Some(t.cel.clone());
        }
        let synthetic = self.mutation && library::structs::is_object_type(name)
            || self.json_patch && name == library::structs::JSON_PATCH;
        synthetic.then(|| Type::object(name))
    }

    /// The type of a field of an object type: `None` if the type is unknown, `Some(None)` if it has no such
    /// field.
    pub(crate) fn struct_field(&self, type_name: &str, field: &str) -> Option<Option<Type>> {
        if let Some(t) = self.types.get(type_name) {
            return Some(t.field(field).map(|f| f.cel.clone()));
        }
        if self.mutation && library::structs::is_object_type(type_name) {
            return Some(library::structs::object_field(type_name, field));
        }
        if self.json_patch && type_name == library::structs::JSON_PATCH {
            return Some(library::structs::json_patch_field(field));
        }
        // Types that the language itself knows have no fields to set.
        self.base
            .types
            .get(type_name)
            .filter(|t| !matches!(t, Type::Struct(_) | Type::Opaque(..)))
            .map(|_| None)
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        Program::new(self.checked(source)?, self).map_err(CompileError::Plan)
    }

    /// The type of an expression, which is not made a program: it may have constant parts that fail.
    ///
    /// # Errors
    /// What is wrong with its grammar and types, in upstream's words.
    pub fn type_of(&self, source: &str) -> Result<Type, Issues> {
        let checked = self.checked(source)?;
        Ok(checked.type_of(&checked.expr).clone())
    }

    fn checked(&self, source: &str) -> Result<Checked, Issues> {
        let parsed = parser::parse(source, self.base.macros)?;
        let checked = checker::check(source, parsed, self)?;
        validators::validate(source, &checked, self.base.validates_constants)?;
        Ok(checked)
    }
}

/// Why an expression does not compile.
#[derive(Clone, Debug)]
pub enum CompileError {
    /// It breaks the grammar or does not type-check.
    Issues(Issues),
    /// It type-checks, but a constant part of it already fails. Upstream calls this "program instantiation
    /// failed".
    Plan(String),
}

impl From<Issues> for CompileError {
    fn from(i: Issues) -> Self {
        Self::Issues(i)
    }
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issues(i) => i.fmt(f),
            Self::Plan(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CompileError {}
