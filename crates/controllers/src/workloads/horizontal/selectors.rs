//! Which pods an autoscaler's target has, and whether they are its alone. Mirrors `validateAndParseSelector` and
//! `hpasControllingPodsUnderSelector` of `horizontal.go`.

use api::core::v1::Pod;
use api::{Key, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What autoscalers select, as of when each was last able to tell.
#[derive(Debug, Default)]
pub(super) struct Selectors(BTreeMap<Key, Selector>);

/// Why pods cannot be told, in the words of the event and of the condition.
#[derive(Debug, PartialEq)]
pub(super) struct Unfit {
    /// The event's reason.
    pub(super) event: &'static str,
    /// The condition's.
    pub(super) reason: &'static str,
    /// The event's text.
    pub(super) why: String,
    /// The condition's.
    pub(super) text: String,
}

impl Unfit {
    fn of(reason: &'static str, why: String) -> Self {
        Self { event: reason, reason, text: why.clone(), why }
    }
}

impl Selectors {
    /// Of the `pods` of its namespace, those that the target of an autoscaler has. `selector` is from the target's
    /// scale.
    pub(super) fn select(
        &mut self,
        scaler: &Key,
        selector: &str,
        mut pods: Vec<Arc<Pod>>,
    ) -> Result<Vec<Arc<Pod>>, Unfit> {
        if selector.is_empty() {
            let text = "the HPA target's scale is missing a selector".to_owned();
            let why = "selector is required".to_owned();
            return Err(Unfit { event: "SelectorRequired", reason: "InvalidSelector", why, text });
        }
        let parsed = Selector::parse(selector).map_err(|error| {
            let text =
                format!("couldn't convert selector into a corresponding internal selector object: {error}");
            Unfit::of("InvalidSelector", text)
        })?;
        pods.retain(|pod| parsed.matches(pod.metadata.labels.as_ref()));
        self.0.insert(scaler.clone(), parsed);
        let others = self.0.iter().filter(|(other, selector)| {
            other.namespace == scaler.namespace
                && pods.iter().any(|pod| selector.matches(pod.metadata.labels.as_ref()))
        });
        // As Go prints them.
        let names: Vec<_> =
            others.map(|(other, _)| format!("{{{} {}}}", other.name, other.namespace)).collect();
        if names.len() > 1 {
            let text =
                format!("pods by selector {selector} are controlled by multiple HPAs: [{}]", names.join(" "));
            return Err(Unfit::of("AmbiguousSelector", text));
        }
        Ok(pods)
    }

    /// An autoscaler is gone.
    pub(super) fn forget(&mut self, scaler: &Key) {
        self.0.remove(scaler);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::pod;

    /// Autoscalers look in turn, each at what its target selects: the reason for what the last one finds, and the
    /// names in it.
    #[test]
    fn pods_have_one_autoscaler() {
        let pods = || {
            ["app=web,tier=front", "app=web,tier=back", "app=db"]
                .iter()
                .enumerate()
                .map(|(n, labels)| pod(&format!("p{n}")).labels(labels).build())
                .collect::<Vec<_>>()
        };
        let ambiguous = |selector: &str, names: &str| {
            format!("AmbiguousSelector: pods by selector {selector} are controlled by multiple HPAs: {names}")
        };
        let none = "InvalidSelector: the HPA target's scale is missing a selector";
        let cases: [(&[(&str, &str)], String); 9] = [
            (&[("n/a", "app=web")], "2".into()),
            (&[("n/a", "app=web"), ("n/b", "app=db")], "1".into()),
            (&[("n/a", "app=web"), ("n/b", "app=web")], ambiguous("app=web", "[{a n} {b n}]")),
            (&[("n/b", "tier=back"), ("n/a", "app=web")], ambiguous("app=web", "[{a n} {b n}]")),
            (&[("n/a", "app=web"), ("m/a", "app=web")], "2".into()),
            (&[("n/a", "app=web"), ("n/a", "app=db"), ("n/b", "app=web")], "2".into()),
            (&[("n/a", "app=none"), ("n/b", "app=none")], "0".into()),
            (&[("n/a", "")], none.into()),
            (&[("n/a", "app=web"), ("n/b", "")], none.into()),
        ];
        for (looks, expected) in cases {
            let mut selectors = Selectors::default();
            let mut found = String::new();
            for (key, selector) in looks {
                let (namespace, name) = key.split_once('/').expect("a key");
                found = match selectors.select(&Key::new(namespace, name), selector, pods()) {
                    Ok(pods) => pods.len().to_string(),
                    Err(unfit) => format!("{}: {}", unfit.reason, unfit.text),
                };
            }
            assert_eq!(found, expected, "{looks:?}");
        }
    }

    #[test]
    fn what_is_gone_selects_nothing() {
        let mut selectors = Selectors::default();
        let (a, b) = (Key::new("n", "a"), Key::new("n", "b"));
        let pods = vec![pod("p").labels("app=web").build()];
        assert!(selectors.select(&a, "app=web", pods.clone()).is_ok());
        let unfit = selectors.select(&b, "app=web", pods.clone()).expect_err("two select it");
        assert_eq!((unfit.event, unfit.reason), ("AmbiguousSelector", "AmbiguousSelector"));
        selectors.forget(&b);
        assert_eq!(selectors.select(&a, "app=web", pods.clone()).expect("it is alone").len(), 1);
        let unfit = selectors.select(&a, "app in", pods).expect_err("no selector");
        assert_eq!((unfit.event, unfit.reason), ("InvalidSelector", "InvalidSelector"));
        let start = "couldn't convert selector into a corresponding internal selector object: ";
        assert!(unfit.text.starts_with(start) && unfit.text == unfit.why, "{}", unfit.text);
    }
}
