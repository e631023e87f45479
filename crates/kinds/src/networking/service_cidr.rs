//! ServiceCIDR: ranges that Services take their addresses from.

use crate::hooks::Hooks;
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names::ip::{self, Cidr};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    prepare_create: |_, c| prepare::reset_status(c),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, c| {
        let mut errors = ErrorList::new();
        validate(c.at("spec"), &mut errors);
        errors
    },
    validate_update: |_, new, old| validate_update(new.at("spec"), old.at("spec")),
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::reset_meta_for_status(new, old);
    },
    ..Hooks::NONE
};

fn validate(spec: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let (cidrs, path) = (spec.at("cidrs"), path.child("cidrs"));
    let items = cidrs.items();
    if items.is_empty() {
        errors.push(Error::required(&path, "at least one CIDR required"));
        return;
    }
    if items.len() > 2 {
        errors.push(internal::invalid(
            &path,
            "networking.ServiceCIDRSpec",
            spec,
            "may only hold up to 2 values",
        ));
        return;
    }
    for (i, cidr) in items.iter().enumerate() {
        errors.extend(ip::cidr(&path.index(i), cidr.str()));
    }
    let family = |v: &Value| Cidr::parse_sloppy(v.str()).map(|c| c.address.is_ipv4());
    if let [first, second] = items
        && family(first).is_some()
        && family(first) == family(second)
    {
        let text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(Error::invalid(&path, cidrs.clone(), text));
    }
}

fn validate_update(new: &Value, old: &Value) -> ErrorList {
    const IMMUTABLE: &str = "field is immutable";
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let path = path.child("cidrs");
    let (news, olds) = (new.at("cidrs").items(), old.at("cidrs").items());
    let same = |i: usize, errors: &mut ErrorList| {
        if let (Some(n), Some(o)) = (news.get(i), olds.get(i))
            && n != o
        {
            errors.push(Error::invalid(&path.index(i), n.clone(), IMMUTABLE));
        }
    };
    if news.len() == olds.len() {
        (0..olds.len()).for_each(|i| same(i, &mut errors));
    } else if olds.len() == 1 && news.len() == 2 {
        // A second family may be added.
        same(0, &mut errors);
        validate(new, &mut errors);
    } else {
        errors.push(Error::invalid(&path, new.at("cidrs").clone(), IMMUTABLE));
    }
    errors
}
