//! Whether an APIService can be used: its Service, its endpoints, and whether it answers.
//!
//! Upstream: `kube-aggregator/pkg/controllers/status`.

use super::Service;
use value::Value;

/// What is known without asking the other server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The condition is clear.
    Clear(Condition),
    /// It is to be asked.
    Ask,
}

/// The condition `Available`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) available: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Condition {
    pub(super) fn passed() -> Self {
        Self { available: true, reason: "Passed", message: "all checks passed".into() }
    }

    pub(super) fn local() -> Self {
        let message = "Local APIServices are always available".into();
        Self { available: true, reason: "Local", message }
    }

    pub(super) const fn no(reason: &'static str, message: String) -> Self {
        Self { available: false, reason, message }
    }

    /// Whether an APIService tells that it can be used.
    pub(super) fn holds(object: &Value) -> bool {
        let conditions = object.at("status").at("conditions").items();
        conditions.iter().any(|c| c.at("type").str() == "Available" && c.at("status").str() == "True")
    }

    /// The object with this condition; `None` if it has it already.
    pub(super) fn apply(&self, object: &Value, now: &str) -> Option<Value> {
        let status = if self.available { "True" } else { "False" };
        let mut conditions = object.at("status").at("conditions").items().to_vec();
        let there = conditions.iter().position(|c| c.at("type").str() == "Available");
        let old = there.map(|i| conditions[i].clone()).unwrap_or_default();
        let same = old.at("status").str() == status;
        if same && old.at("reason").str() == self.reason && old.at("message").str() == self.message {
            return None;
        }
        let since = if same { old.at("lastTransitionTime").clone() } else { now.into() };
        let mut new = Value::object();
        new.set("type", "Available");
        new.set("status", status);
        new.set("lastTransitionTime", since);
        new.set("reason", self.reason);
        new.set("message", self.message.clone());
        match there {
            Some(i) => conditions[i] = new,
            None => conditions.push(new),
        }
        let mut object = object.clone();
        let mut all = Value::object();
        all.set("conditions", conditions);
        object.set("status", all);
        Some(object)
    }
}

/// Judges by the objects. `slices` are those of the Service.
pub(super) fn judge(wanted: &Service, service: Option<&Value>, slices: &[Value]) -> Judgement {
    let (name, namespace) = (&wanted.name, &wanted.namespace);
    let no = |reason, message| Judgement::Clear(Condition::no(reason, message));
    let Some(service) = service else {
        return no("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    };
    let spec = service.at("spec");
    if spec.at("type").str() != "ClusterIP" {
        return Judgement::Ask;
    }
    let port = spec.at("ports").items().iter().find(|p| p.at("port").as_i64() == Some(wanted.port));
    let Some(port) = port else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {}", wanted.port);
        return no("ServicePortError", message);
    };
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return no("EndpointsNotFound", message);
    }
    let port_name = port.at("name").str();
    let serves = |slice: &Value| {
        slice.at("ports").items().iter().any(|p| p.at("name").str() == port_name)
            && slice.at("endpoints").items().iter().any(|endpoint| {
                endpoint.at("conditions").at("ready").as_bool() != Some(false)
                    && !endpoint.at("addresses").items().is_empty()
            })
    };
    if !slices.iter().any(serves) {
        let message = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
        );
        return no("MissingEndpoints", message);
    }
    Judgement::Ask
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use value::json;

    #[test]
    fn services_are_judged() {
        let wanted = Service { namespace: "n".into(), name: "s".into(), port: 443 };
        let parse = |text: &str| json::parse(text.as_bytes()).unwrap();
        let service = |port| {
            parse(&format!(r#"{{"spec":{{"type":"ClusterIP","ports":[{{"name":"https","port":{port}}}]}}}}"#))
        };
        let slice = |name: &str, ready: &str| {
            parse(&format!(
                r#"{{"ports":[{{"name":"{name}","port":8443}}],"endpoints":[{{"addresses":["10.0.0.1"],"conditions":{{"ready":{ready}}}}}]}}"#
            ))
        };
        let external = parse(r#"{"spec":{"type":"ExternalName"}}"#);
        let none = "endpointslices for service/s in \"n\" have no addresses with port name \"https\"";
        type Case<'a> = (Option<Value>, Vec<Value>, Option<(&'a str, &'a str)>);
        let table: [Case<'_>; 8] = [
            (None, vec![], Some(("ServiceNotFound", "service/s in \"n\" is not present"))),
            (Some(external), vec![], None),
            (
                Some(service(80)),
                vec![],
                Some(("ServicePortError", "service/s in \"n\" is not listening on port 443")),
            ),
            (
                Some(service(443)),
                vec![],
                Some(("EndpointsNotFound", "cannot find endpointslices for service/s in \"n\"")),
            ),
            (Some(service(443)), vec![slice("http", "true")], Some(("MissingEndpoints", none))),
            (Some(service(443)), vec![slice("https", "false")], Some(("MissingEndpoints", none))),
            (Some(service(443)), vec![slice("https", "true")], None),
            (Some(service(443)), vec![slice("http", "true"), slice("https", "null")], None),
        ];
        for (service, slices, want) in table {
            let got = judge(&wanted, service.as_ref(), &slices);
            let want = want.map_or(Judgement::Ask, |(reason, message)| {
                Judgement::Clear(Condition::no(reason, message.into()))
            });
            assert_eq!(got, want);
        }
    }

    #[test]
    fn conditions_keep_their_time() {
        let object = json::parse(br#"{"status":{}}"#).unwrap();
        let first = Condition::passed().apply(&object, "one").unwrap();
        assert!(Condition::passed().apply(&first, "two").is_none());
        let local = Condition::local().apply(&first, "two").unwrap();
        let conditions = |o: &Value| o.at("status").at("conditions").items().to_vec();
        assert_eq!(conditions(&local)[0].at("lastTransitionTime").str(), "one");
        let gone = Condition::no("ServiceNotFound", String::new()).apply(&local, "three").unwrap();
        assert_eq!(conditions(&gone)[0].at("lastTransitionTime").str(), "three");
        assert_eq!(conditions(&gone).len(), 1);
    }
}
