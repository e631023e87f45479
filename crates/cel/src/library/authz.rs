//! Questions to the authorizer.
//!
//! Upstream counterpart: apiserver `pkg/cel/library/authz.go`.

use std::rc::Rc;

use meta::names::{self, NameUse};
use value::Str;

use crate::decls::Library;
use crate::eval::Call;
use crate::library::string;
use crate::opaque::{Opaque, ResourceCheck};
use crate::types::Type;
use crate::val::{Eval, Val, fail};

/// Answers questions of expressions, as one user.
pub trait Authorizer {
    /// Whether the user may do that.
    fn authorize(&self, access: &Access<'_>) -> Decision;

    /// The same authorizer for a service account.
    fn service_account<'a>(&self, namespace: &str, name: &str) -> Rc<dyn Authorizer + 'a>
    where
        Self: 'a;
}

/// What is asked for.
#[derive(Clone, Copy)]
pub enum Access<'q> {
    /// A path that is no resource.
    Path {
        /// HTTP verb, lower case.
        verb: &'q str,
        /// The path.
        path: &'q str,
    },
    /// A resource.
    Resource {
        /// API verb.
        verb: &'q str,
        /// The resource; its selectors are still texts.
        check: &'q ResourceCheck<'q>,
    },
}

/// What the authorizer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, if the authorizer says.
    pub reason: Str,
    /// What went wrong in deciding, if anything.
    pub error: Option<Str>,
}

/// The type of `authorizer`.
pub fn authorizer_type() -> Type {
    Type::object("kubernetes.authorization.Authorizer")
}

/// The type of `authorizer.requestResource`.
pub fn resource_check_type() -> Type {
    Type::object("kubernetes.authorization.ResourceCheck")
}

pub(crate) const LIBRARY: Library = Library {
    since: 0,
    signatures: "
        path authorizer_path kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck
        group authorizer_group kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck
        serviceAccount authorizer_serviceaccount kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer
        resource groupcheck_resource kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck
        subresource resourcecheck_subresource kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
        namespace resourcecheck_namespace kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
        name resourcecheck_name kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
        check pathcheck_check kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision
        check resourcecheck_check kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision
        errored decision_errored kubernetes.authorization.Decision.() -> bool
        error decision_error kubernetes.authorization.Decision.() -> string
        allowed decision_allowed kubernetes.authorization.Decision.() -> bool
        reason decision_reason kubernetes.authorization.Decision.() -> string
    ",
    runs: &[
        ("path", |c, a| {
            let path = string(c, a, 1)?;
            if path.trim().is_empty() {
                return fail("path must not be empty");
            }
            match opaque(c, a)? {
                Opaque::Authorizer(z) => Ok(Val::opaque(Opaque::PathCheck(z.clone(), path.clone()))),
                _ => c.no_overload(a),
            }
        }),
        ("group", |c, a| match opaque(c, a)? {
            Opaque::Authorizer(z) => Ok(Val::opaque(Opaque::GroupCheck(z.clone(), string(c, a, 1)?.clone()))),
            _ => c.no_overload(a),
        }),
        ("serviceAccount", |c, a| {
            let Opaque::Authorizer(z) = opaque(c, a)? else { return c.no_overload(a) };
            let (namespace, name) = (string(c, a, 1)?, string(c, a, 2)?);
            if !names::name_is_dns_subdomain(name, NameUse::Whole).is_empty() {
                return fail("Invalid service account name");
            }
            if !names::name_is_dns_label(namespace, NameUse::Whole).is_empty() {
                return fail("Invalid service account namespace");
            }
            Ok(Val::opaque(Opaque::Authorizer(service_account(z, namespace, name))))
        }),
        ("resource", |c, a| {
            let Opaque::GroupCheck(z, group) = opaque(c, a)? else { return c.no_overload(a) };
            let resource = string(c, a, 1)?;
            if resource.trim().is_empty() {
                return fail("resource must not be empty");
            }
            let check = ResourceCheck {
                authorizer: z.clone(),
                group: group.clone(),
                resource: resource.clone(),
                subresource: Str::default(),
                namespace: Str::default(),
                name: Str::default(),
                field_selector: Str::default(),
                label_selector: Str::default(),
            };
            Ok(Val::opaque(Opaque::ResourceCheck(check)))
        }),
        ("subresource", |c, a| with(c, a, |r, s| r.subresource = s)),
        ("namespace", |c, a| with(c, a, |r, s| r.namespace = s)),
        ("name", |c, a| with(c, a, |r, s| r.name = s)),
        ("check", |c, a| {
            let verb = string(c, a, 1)?;
            let decision = match opaque(c, a)? {
                Opaque::PathCheck(z, path) => z.authorize(&Access::Path { verb, path }),
                Opaque::ResourceCheck(r) => r.authorizer.authorize(&Access::Resource { verb, check: r }),
                _ => return c.no_overload(a),
            };
            Ok(Val::opaque(Opaque::Decision(decision)))
        }),
        ("errored", |c, a| Ok(Val::Bool(decision(c, a)?.error.is_some()))),
        ("error", |c, a| Ok(Val::String(decision(c, a)?.error.clone().unwrap_or_default()))),
        ("allowed", |c, a| Ok(Val::Bool(decision(c, a)?.allowed))),
        ("reason", |c, a| Ok(Val::String(decision(c, a)?.reason.clone()))),
    ],
};

pub(crate) const SELECTORS: Library = Library {
    since: 31,
    signatures: "
        fieldSelector authorizer_fieldselector kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
        labelSelector authorizer_labelselector kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
    ",
    runs: &[
        ("fieldSelector", |c, a| with(c, a, |r, s| r.field_selector = s)),
        ("labelSelector", |c, a| with(c, a, |r, s| r.label_selector = s)),
    ],
};

fn service_account<'a>(z: &Rc<dyn Authorizer + 'a>, namespace: &str, name: &str) -> Rc<dyn Authorizer + 'a> {
    z.service_account(namespace, name)
}

fn opaque<'v, 'a>(call: &Call, args: &'v [Val<'a>]) -> Eval<&'v Opaque<'a>> {
    match args.first() {
        Some(Val::Opaque(o)) => Ok(o),
        _ => call.no_overload(args),
    }
}

fn with<'a>(call: &Call, args: &[Val<'a>], set: fn(&mut ResourceCheck<'a>, Str)) -> Eval<Val<'a>> {
    let Opaque::ResourceCheck(r) = opaque(call, args)? else { return call.no_overload(args) };
    let mut r = r.clone();
    set(&mut r, string(call, args, 1)?.clone());
    Ok(Val::opaque(Opaque::ResourceCheck(r)))
}

fn decision<'v>(call: &Call, args: &'v [Val<'_>]) -> Eval<&'v Decision> {
    match opaque(call, args)? {
        Opaque::Decision(d) => Ok(d),
        _ => call.no_overload(args),
    }
}
