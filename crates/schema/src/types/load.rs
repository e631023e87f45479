//! Reads the table of types.
//!
//! The format, line by line, columns separated by tabs:
//! - `#…` a comment
//! - `@short⇥path` a package
//! - `=reference⇥shape[⇥more]` a type; `more` is `+structType` of a struct, `a|b` the values of a string
//! - `json⇥go⇥type⇥flags⇥number[⇥extra…]` a field of the struct above. Flags: `p`ointer, `i`nlined,
//!   omit`e`mpty, omit`z`ero, `o`ptional, `r`equired. An extra is a letter and its value: patch `s`trategy,
//!   patch merge `k`ey, `l`ist type, list map `K`eys, `m`ap type, struc`t` type, `d`efault, feature `g`ate.
//!
//! Unnamed types are not listed; their references are Go's expressions (`[]core/v1.Pod`).

use super::NameHasher;
use super::{Field, ListType, Shape, Struct, Type, TypeId, Types, Wire, WireKind, hash};
use crate::zero;
use std::collections::HashMap;

/// A line of a field before inlining.
struct Raw {
    field: Field,
    inline: bool,
}

/// Reads the table. It is ours and a test reads all of it, so what does not fit is skipped, not reported.
pub(super) fn load(text: &'static str) -> Types {
    let mut loader = Loader::default();
    for line in text.lines().filter(|line| line.starts_with(['@', '='])) {
        if let Some((short, path)) = line.strip_prefix('@').and_then(|rest| rest.split_once('\t')) {
            loader.types.packages.push((short, path));
        } else if let Some(reference) = line.strip_prefix('=').and_then(|rest| rest.split('\t').next()) {
            loader.add(reference, reference);
        }
    }
    // Own fields of structs, by type, and which type comes last.
    let mut raw: Vec<Vec<Raw>> = Vec::with_capacity(loader.types.types.capacity());
    let mut last = None;
    for line in text.lines().filter(|line| !line.starts_with(['@', '#'])) {
        let mut columns = Columns(Some(line));
        if line.starts_with('=') {
            let id = loader.resolve(columns.next().and_then(|c| c.get(1..)).unwrap_or(""));
            let shape = columns.next().unwrap_or("");
            let more = columns.next().unwrap_or("");
            let shape = loader.shape(shape, more);
            let is_struct = matches!(shape, Shape::Struct(_));
            let ty = &mut loader.types.types[usize::from(id.0)];
            ty.shape = shape;
            ty.values = if is_struct { "" } else { more };
            last = is_struct.then_some(usize::from(id.0));
        } else if let Some(last) = last {
            if raw.len() <= last {
                raw.resize_with(last + 1, Vec::new);
            }
            raw[last].extend(loader.field(columns));
        }
    }
    for (fields, ty) in raw.iter().zip(&mut loader.types.types) {
        let Shape::Struct(structure) = &mut ty.shape else { continue };
        structure.fields.reserve_exact(fields.len());
        inline(&raw, fields, "", &mut structure.fields, 0);
        structure.wire = wire(fields, &structure.fields);
        index(structure);
    }
    let mut types = loader.types;
    always(&mut types);
    types.types.shrink_to_fit();
    types
}

/// The columns of a line.
struct Columns(Option<&'static str>);

impl Iterator for Columns {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let rest = self.0?;
        // Columns are short: a plain loop beats a vectorised search.
        let Some(end) = rest.bytes().position(|b| b == b'\t') else {
            self.0 = None;
            return Some(rest);
        };
        self.0 = rest.get(end + 1..);
        rest.get(..end)
    }
}

struct Loader {
    types: Types,
}

impl Default for Loader {
    fn default() -> Self {
        let types = Types {
            types: Vec::with_capacity(2_048),
            by_reference: HashMap::with_capacity_and_hasher(2_048, NameHasher::default()),
            packages: Vec::with_capacity(80),
        };
        Self { types }
    }
}

impl Loader {
    fn add(&mut self, key: &'static str, reference: &'static str) -> TypeId {
        let id = TypeId(u16::try_from(self.types.types.len()).expect("far fewer types than 65,536"));
        self.types.types.push(Type {
            reference,
            name: reference.rsplit('.').next().unwrap_or(""),
            shape: Shape::Any,
            values: "",
        });
        self.types.by_reference.insert(key, id);
        id
    }

    /// The id of a reference; unnamed types are added as they come.
    fn resolve(&mut self, reference: &'static str) -> TypeId {
        if let Some(id) = self.types.by_reference.get(reference) {
            return *id;
        }
        let named =
            !reference.starts_with("[]") && !reference.starts_with("map[") && reference != "interface{}";
        let shape = self.shape(reference, "");
        let id = self.add(reference, if named { reference } else { "" });
        self.types.types[usize::from(id.0)].shape = shape;
        id
    }

    fn shape(&mut self, text: &'static str, more: &'static str) -> Shape {
        let schema = "apiextensions/v1.JSONSchemaProps";
        match text {
            "struct" => Shape::Struct(Box::new(Struct { struct_type: more, ..Struct::default() })),
            "string" => Shape::String,
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "float64" => Shape::Float64,
            "[]byte" => Shape::Bytes,
            "quantity" => Shape::Quantity,
            "intorstring" => Shape::IntOrString,
            "time" => Shape::Time,
            "microtime" => Shape::MicroTime,
            "duration" => Shape::Duration,
            "rawextension" => Shape::RawExtension,
            "fieldsv1" => Shape::FieldsV1,
            "json" => Shape::Json,
            "schemaorbool" => Shape::SchemaOrBool(self.resolve(schema)),
            "schemaorarray" => Shape::SchemaOrArray(self.resolve(schema)),
            "schemaorstrings" => Shape::SchemaOrStrings(self.resolve(schema)),
            _ => {
                if let Some(element) = text.strip_prefix("message[]") {
                    Shape::MessageList(self.resolve(element))
                } else if let Some(element) = text.strip_prefix("[]") {
                    Shape::List(self.resolve(element))
                } else if let Some((key, value)) = text.strip_prefix("map[").and_then(|t| t.split_once(']')) {
                    Shape::Map { key: self.resolve(key), value: self.resolve(value) }
                } else {
                    Shape::Any
                }
            }
        }
    }

    fn field(&mut self, mut columns: Columns) -> Option<Raw> {
        let (json, go, ty) = (columns.next()?, columns.next()?, columns.next()?);
        let flags = columns.next()?;
        let mut field = Field {
            json,
            go,
            ty: self.resolve(ty),
            number: columns.next()?.parse().unwrap_or(0),
            inlined: "",
            pointer: flags.contains('p'),
            omitempty: flags.contains('e'),
            omitzero: flags.contains('z'),
            optional: flags.contains('o'),
            required: flags.contains('r') || !flags.contains(['o', 'e', 'z']),
            list_type: ListType::Unset,
            list_map_keys: Vec::new(),
            patch_merge_key: "",
            patch_strategy: "",
            map_type: "",
            struct_type: "",
            default: "",
            feature_gate: "",
        };
        for extra in columns {
            let (letter, value) = extra.split_at_checked(1).unwrap_or(("", ""));
            match letter {
                "s" => field.patch_strategy = value,
                "k" => field.patch_merge_key = value,
                "l" => {
                    field.list_type = match value {
                        "map" => ListType::Map,
                        "set" => ListType::Set,
                        _ => ListType::Atomic,
                    }
                }
                "K" => field.list_map_keys = value.split(',').collect(),
                "m" => field.map_type = value,
                "t" => field.struct_type = value,
                "d" => field.default = value,
                "g" => field.feature_gate = value,
                _ => {}
            }
        }
        Some(Raw { field, inline: flags.contains('i') })
    }
}

/// Appends the JSON fields of `fields`, those of inlined structs in their place.
fn inline(all: &[Vec<Raw>], fields: &[Raw], path: &'static str, out: &mut Vec<Field>, depth: usize) {
    for raw in fields {
        if !raw.inline {
            out.push(Field { inlined: path, ..raw.field.clone() });
        } else if let Some(inner) = all.get(usize::from(raw.field.ty.0)).filter(|_| depth < 8) {
            // One level is a slice of the table; two (admission rules) are spelled out.
            let path = match path {
                "" => raw.field.go,
                "RuleWithOperations" => "RuleWithOperations.Rule",
                _ => path,
            };
            inline(all, inner, path, out, depth + 1);
        }
    }
}

/// The members of the message that a struct with these own fields makes.
fn wire(own: &[Raw], flat: &[Field]) -> Vec<Wire> {
    let mut wire = Vec::with_capacity(own.len());
    let mut flat = flat.iter().enumerate();
    for raw in own {
        let kind = if raw.inline {
            WireKind::Inlined(raw.field.ty)
        } else {
            // Both are in Go order.
            let Some((at, _)) = flat.find(|(_, f)| f.inlined.is_empty() && f.json == raw.field.json) else {
                break;
            };
            WireKind::Field(u16::try_from(at).unwrap_or(u16::MAX))
        };
        if raw.field.number > 0 {
            wire.push(Wire { number: raw.field.number, kind });
        }
    }
    wire.sort_by_key(|w| w.number);
    wire
}

/// Notes the fields that are there even when zero.
fn always(types: &mut Types) {
    for id in 0..types.types.len() {
        let Shape::Struct(s) = &types.types[id].shape else { continue };
        let is_always = |i: &u16| zero::is_always(types, &s.fields[usize::from(*i)]);
        let always: Vec<u16> =
            s.sorted.iter().filter(|i| is_always(i)).map(|i| s.rank[usize::from(*i)]).collect();
        if let Shape::Struct(s) = &mut types.types[id].shape {
            // Ranks are below 128; a test checks it.
            s.always_mask = always.iter().fold(0, |mask, rank| mask | 1_u128.wrapping_shl(u32::from(*rank)));
            s.always = always;
        }
    }
}

/// Makes the ways in by name.
fn index(structure: &mut Struct) {
    let n = structure.fields.len();
    let narrow = |i: usize| u16::try_from(i).unwrap_or(u16::MAX);
    structure.sorted = (0..n).map(narrow).collect();
    structure.sorted.sort_by_key(|i| structure.fields[usize::from(*i)].json);
    structure.rank = vec![0; n];
    for (rank, i) in structure.sorted.iter().enumerate() {
        structure.rank[usize::from(*i)] = narrow(rank);
    }
    let size = (2 * n).next_power_of_two().max(2);
    structure.hashed = vec![0; size];
    for (i, field) in structure.fields.iter().enumerate() {
        let mut slot = hash(field.json.as_bytes()) & (size - 1);
        while structure.hashed[slot] != 0 {
            slot = (slot + 1) & (size - 1);
        }
        structure.hashed[slot] = narrow(i + 1);
    }
    structure.fields.shrink_to_fit();
}
