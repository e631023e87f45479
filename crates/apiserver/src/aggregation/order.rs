//! In which order discovery shows groups and their versions.
//!
//! Upstream: `SortedByGroupAndVersion` in `kube-aggregator/pkg/apis/apiregistration/v1/helper` for the legacy
//! list, `calculateAPIGroupsLocked` in `apiserver/pkg/endpoints/discovery/aggregated` for the other one.

use super::GROUP;
use crate::crd::compare_versions;
use std::cmp::Reverse;
use value::Str;

/// A version of a group, and how early both come.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) group: Str,
    pub(crate) version: Str,
    pub(crate) group_priority: i64,
    pub(crate) version_priority: i64,
}

/// What decides between groups of the same priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    /// The names of the groups: aggregated discovery.
    Groups,
    /// The names of their APIServices, which begin with the version: the legacy list. There the group of
    /// APIServices itself is always the first.
    ApiServices,
}

/// Groups with their versions. A group is as early as the earliest of its versions.
pub(crate) fn ordered(mut places: Vec<Place>, ties: Ties) -> Vec<(Str, Vec<Str>)> {
    places.sort_by(|a, b| {
        let versions = b.version_priority.cmp(&a.version_priority);
        versions.then_with(|| compare_versions(&b.version, &a.version))
    });
    let name = |place: &Place| match ties {
        Ties::Groups => place.group.to_string(),
        Ties::ApiServices => format!("{}.{}", place.version, place.group),
    };
    let rank = |place: &Place| {
        let own = ties == Ties::ApiServices && place.group == GROUP;
        (Reverse(own), Reverse(place.group_priority), name(place))
    };
    let mut groups = Vec::new();
    for place in &places {
        let rank = rank(place);
        match groups.iter_mut().find(|(_, (group, _))| *group == place.group) {
            None => groups.push((rank, (place.group.clone(), vec![place.version.clone()]))),
            Some((best, (_, versions))) => {
                versions.push(place.version.clone());
                if rank < *best {
                    *best = rank;
                }
            }
        }
    }
    groups.sort_by(|(a, _), (b, _)| a.cmp(b));
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of a real server.
    #[test]
    fn groups_and_versions_stand_as_upstream() {
        let place = |(group, version, group_priority, version_priority): (&str, &str, i64, i64)| Place {
            group: group.into(),
            version: version.into(),
            group_priority,
            version_priority,
        };
        let custom = [
            ("b.ex.io", "v1"),
            ("a.ex.io", "v1beta1"),
            ("a.ex.io", "v2"),
            ("a.ex.io", "v1alpha1"),
            ("c.ex.io", "v1alpha1"),
            ("c.ex.io", "v1"),
            ("z.ex.io", "v1"),
            ("z.ex.io", "v10"),
            ("z.ex.io", "v2beta1"),
            ("z.ex.io", "foo"),
        ]
        .map(|(group, version)| place((group, version, 1_000, 100)));
        let others = [
            ("apiregistration.k8s.io", "v1", 20_000, 1),
            ("apps", "v1", 17_800, 15),
            ("batch", "v1", 17_400, 15),
            ("r.ex.io", "v1", 1_000, 15),
            ("early.ex.io", "v1", 17_500, 15),
            ("aa.ex.io", "v1beta1", 1_000, 15),
            ("b.ex.io", "v2", 2_000, 15),
            ("late.ex.io", "v1", 10, 5),
            ("late.ex.io", "v2", 5, 10),
            ("late.ex.io", "v3", 10, 5),
            ("z.ex.io", "v5", 100, 200),
        ]
        .map(place);
        let all: Vec<Place> = custom.into_iter().chain(others).collect();
        let shown = |ties| {
            let groups = ordered(all.clone(), ties).into_iter();
            groups.map(|(group, versions)| format!("{group} {}", versions.join(","))).collect::<Vec<_>>()
        };
        let first = ["apiregistration.k8s.io v1", "apps v1", "early.ex.io v1", "batch v1", "b.ex.io v1,v2"];
        let (a, z) = ("a.ex.io v2,v1beta1,v1alpha1", "z.ex.io v5,v10,v1,v2beta1,foo");
        let (aa, c, r) = ("aa.ex.io v1beta1", "c.ex.io v1,v1alpha1", "r.ex.io v1");
        let last = "late.ex.io v2,v3,v1";
        let want =
            |middle: [&'static str; 5]| first.into_iter().chain(middle).chain([last]).collect::<Vec<_>>();
        assert_eq!(shown(Ties::ApiServices), want([z, c, r, a, aa]));
        assert_eq!(shown(Ties::Groups), want([a, aa, c, r, z]));
    }
}
