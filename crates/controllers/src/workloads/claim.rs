//! Who manages which object: by controller reference and selector, as in
//! `pkg/controller/controller_ref_manager.go`.

use api::meta::v1::ObjectMeta;
use api::owners;

/// What an owner does about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It manages it already.
    Own,
    /// Nobody does, and its selector says that it should.
    Adopt,
    /// It does, but its selector says that it should not.
    Release,
    /// Nothing.
    Ignore,
}

/// Decides about one object of the owner's namespace. An owner that is being deleted neither adopts nor
/// releases, and what is being deleted is not adopted.
pub(crate) fn claim(owner: &ObjectMeta, object: &ObjectMeta, selected: bool) -> Claim {
    let owner_goes = owner.deletion_timestamp.is_some();
    match owners::controller_of(object) {
        Some(reference) if Some(&reference.uid) != owner.uid.as_ref() => Claim::Ignore,
        Some(_) if selected => Claim::Own,
        Some(_) if owner_goes => Claim::Ignore,
        Some(_) => Claim::Release,
        None if selected && !owner_goes && object.deletion_timestamp.is_none() => Claim::Adopt,
        None => Claim::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::meta::v1::{OwnerReference, Time};

    fn meta(uid: &str, owner: Option<&str>, goes: bool) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.into()),
            deletion_timestamp: goes.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            owner_references: owner.map(|uid| {
                vec![OwnerReference { uid: uid.into(), controller: Some(true), ..Default::default() }]
            }),
            ..Default::default()
        }
    }

    #[test]
    fn claims() {
        for (owner_goes, controller, goes, selected, expected) in [
            (false, Some("me"), false, true, Claim::Own),
            (true, Some("me"), false, true, Claim::Own),
            (false, Some("me"), true, true, Claim::Own),
            (false, Some("me"), false, false, Claim::Release),
            (true, Some("me"), false, false, Claim::Ignore),
            (false, Some("other"), false, true, Claim::Ignore),
            (false, None, false, true, Claim::Adopt),
            (true, None, false, true, Claim::Ignore),
            (false, None, true, true, Claim::Ignore),
            (false, None, false, false, Claim::Ignore),
        ] {
            let decided = claim(&meta("me", None, owner_goes), &meta("pod", controller, goes), selected);
            assert_eq!(decided, expected, "{owner_goes} {controller:?} {goes} {selected}");
        }
    }
}
