//! When `metadata.generation` counts.

use super::row::FieldPath;
use crate::equal::semantic_equal;
use value::Value;

/// The rule of a kind for `metadata.generation`; upstream has it in each `PrepareForCreate/Update`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Generation {
    /// The server leaves it alone.
    #[default]
    None,
    /// It starts at 1 and counts changes of these fields.
    Fields(Vec<FieldPath>),
    /// As `Fields`, but an empty list or map is another than none (where upstream compares by
    /// `reflect.DeepEqual`).
    ExactFields(Vec<FieldPath>),
    /// As `Fields`, but it does not start at 1 (CSIDriver).
    FieldsUnstarted(Vec<FieldPath>),
    /// It starts at 1 and counts changes of anything but these fields, whatever they are (custom resources).
    AllBut(Vec<FieldPath>),
    /// The same of typed objects, and of the labels (EndpointSlice).
    AllButAndLabels(Vec<FieldPath>),
}

impl Generation {
    /// Sets the generation of a new object.
    pub fn create(&self, object: &mut Value) {
        if !matches!(self, Self::None | Self::FieldsUnstarted(_))
            && let Some(metadata) = object.object_at("metadata")
        {
            metadata.set("generation", 1);
        }
    }

    /// Sets the generation of a changed object from that of the old one.
    pub fn update(&self, new: &mut Value, old: &Value) {
        if self.changed(new, old) {
            let next = old.at("metadata").at("generation").int().saturating_add(1);
            if let Some(metadata) = new.object_at("metadata") {
                metadata.set("generation", next);
            }
        }
    }

    /// Whether the change counts.
    pub(super) fn changed(&self, new: &Value, old: &Value) -> bool {
        match self {
            Self::None => false,
            Self::Fields(paths) | Self::FieldsUnstarted(paths) => {
                paths.iter().any(|p| !semantic_equal(follow(new, p), follow(old, p)))
            }
            Self::ExactFields(paths) => paths.iter().any(|p| follow(new, p) != follow(old, p)),
            Self::AllBut(paths) => !equal_but(new, old, paths, |a, b| a == b),
            Self::AllButAndLabels(paths) => {
                !equal_but(new, old, paths, semantic_equal)
                    || !semantic_equal(new.at("metadata").at("labels"), old.at("metadata").at("labels"))
            }
        }
    }
}

fn follow<'a>(object: &'a Value, path: &FieldPath) -> &'a Value {
    path.iter().fold(object, |v, k| v.at(k))
}

fn equal_but(new: &Value, old: &Value, paths: &[FieldPath], equal: fn(&Value, &Value) -> bool) -> bool {
    let (mut new, mut old) = (new.clone(), old.clone());
    for v in [&mut new, &mut old] {
        for path in paths {
            if let Some((last, parents)) = path.split_last() {
                let parent = parents.iter().try_fold(&mut *v, |v, k| v.get_mut(k));
                if let Some(parent) = parent {
                    parent.remove(last);
                }
            }
        }
    }
    equal(&new, &old)
}
