//! Named formats.
//!
//! Upstream counterpart: apiserver `pkg/cel/library/format.go`.

use meta::names::{self, NameUse};

use crate::decls::Library;
use crate::library::{string, urls};
use crate::opaque::Opaque;
use crate::time;
use crate::val::Val;

pub(crate) const LIBRARY: Library = Library {
    since: 31,
    signatures: "
        validate format-validate kubernetes.NamedFormat.(string) -> optional(list(string))
        format.named format-named (string) -> optional(kubernetes.NamedFormat)
        format.dns1123Label format.dns1123Label () -> kubernetes.NamedFormat
        format.dns1123Subdomain format.dns1123Subdomain () -> kubernetes.NamedFormat
        format.dns1035Label format.dns1035Label () -> kubernetes.NamedFormat
        format.qualifiedName format.qualifiedName () -> kubernetes.NamedFormat
        format.dns1123LabelPrefix format.dns1123LabelPrefix () -> kubernetes.NamedFormat
        format.dns1123SubdomainPrefix format.dns1123SubdomainPrefix () -> kubernetes.NamedFormat
        format.dns1035LabelPrefix format.dns1035LabelPrefix () -> kubernetes.NamedFormat
        format.labelValue format.labelValue () -> kubernetes.NamedFormat
        format.uri format.uri () -> kubernetes.NamedFormat
        format.uuid format.uuid () -> kubernetes.NamedFormat
        format.byte format.byte () -> kubernetes.NamedFormat
        format.date format.date () -> kubernetes.NamedFormat
        format.datetime format.datetime () -> kubernetes.NamedFormat
    ",
    runs: &[
        ("validate", |c, a| {
            let Val::Opaque(o) = &a[0] else { return c.no_overload(a) };
            let Opaque::Format(f) = &**o else { return c.no_overload(a) };
            let problems = (f.check)(string(c, a, 1)?);
            Ok(if problems.is_empty() {
                Val::Optional(None)
            } else {
                Val::some(Val::list(problems.into_iter().map(Val::string).collect()))
            })
        }),
        ("format.named", |c, a| {
            Ok(find(string(c, a, 0)?)
                .map_or(Val::Optional(None), |f| Val::some(Val::opaque(Opaque::Format(f)))))
        }),
        ("format.dns1123Label", constant),
        ("format.dns1123Subdomain", constant),
        ("format.dns1035Label", constant),
        ("format.qualifiedName", constant),
        ("format.dns1123LabelPrefix", constant),
        ("format.dns1123SubdomainPrefix", constant),
        ("format.dns1035LabelPrefix", constant),
        ("format.labelValue", constant),
        ("format.uri", constant),
        ("format.uuid", constant),
        ("format.byte", constant),
        ("format.date", constant),
        ("format.datetime", constant),
    ],
};

/// A named format.
#[derive(Debug)]
pub struct Format {
    key: &'static str,
    name: &'static str,
    check: fn(&str) -> Vec<String>,
    /// The length of the regular expression that it is charged as.
    regex_size: usize,
}

impl Format {
    /// The name that it shows.
    pub fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn regex_size(&self) -> usize {
        self.regex_size
    }
}

/// Lengths of govalidator's and strfmt's patterns.
const URL_PATTERN: usize = 1103;
const UUID_PATTERN: usize = 70;
const BASE64_PATTERN: usize = 84;
const DATE_TIME_PATTERN: usize = 71;

macro_rules! formats {
    ($($key:literal $name:literal $size:expr, $check:expr;)*) => {
        [$(Format { key: $key, name: $name, check: $check, regex_size: $size }),*]
    };
}

static FORMATS: [Format; 13] = formats! {
    "dns1123Label" "DNS1123Label" 30, |s| names::name_is_dns_label(s, NameUse::Whole);
    "dns1123Subdomain" "DNS1123Subdomain" 60, |s| names::name_is_dns_subdomain(s, NameUse::Whole);
    "dns1035Label" "DNS1035Label" 30, |s| names::name_is_dns1035_label(s, NameUse::Whole);
    "qualifiedName" "QualifiedName" 60, names::qualified_name;
    "dns1123LabelPrefix" "DNS1123LabelPrefix" 30, |s| names::name_is_dns_label(s, NameUse::Prefix);
    "dns1123SubdomainPrefix" "DNS1123SubdomainPrefix" 60, |s| names::name_is_dns_subdomain(s, NameUse::Prefix);
    "dns1035LabelPrefix" "DNS1035LabelPrefix" 30, |s| names::name_is_dns1035_label(s, NameUse::Prefix);
    "labelValue" "LabelValue" 40, names::label_value;
    "uri" "URI" URL_PATTERN, |s| urls::parse_request_uri(s).err().into_iter().collect();
    "uuid" "uuid" UUID_PATTERN, |s| problem(is_uuid(s), "does not match the UUID format");
    "byte" "byte" BASE64_PATTERN, |s| problem(!s.is_empty() && crate::base64::decode(s).is_some(), "invalid base64");
    "date" "date" DATE_TIME_PATTERN, |s| problem(time::parse_openapi_time(s, true).is_some(), "invalid date");
    "datetime" "datetime" DATE_TIME_PATTERN, |s| problem(time::is_openapi_date_time(s), "invalid datetime");
};

fn problem(valid: bool, text: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![text.to_owned()] }
}

fn is_uuid(s: &str) -> bool {
    let hex: String = match s.len() {
        36 if [8, 13, 18, 23].iter().all(|&i| s.as_bytes()[i] == b'-') => s.replace('-', ""),
        32 => s.to_owned(),
        _ => return false,
    };
    hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

fn find(key: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.key == key)
}

fn constant<'a>(call: &crate::eval::Call, args: &[Val<'a>]) -> crate::val::Eval<Val<'a>> {
    let key = call.function.strip_prefix("format.").unwrap_or_default();
    find(key).map_or_else(|| call.no_overload(args), |f| Ok(Val::opaque(Opaque::Format(f))))
}
