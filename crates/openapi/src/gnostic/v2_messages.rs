//! The messages of `openapiv2/OpenAPIv2.proto`, as far as documents here use them.

use super::Member::{
    Any, Anys, Double, Each, Flag, Integer, Items, Named, NamedTexts, One, OrFlag, Text, Texts, TextsWithin,
};
use super::{Choice, Message};

pub(super) static DOCUMENT: Message = Message {
    members: &[
        ("swagger", 1, Text),
        ("info", 2, One(&Choice::Plain(&INFO))),
        ("paths", 8, Named(2, &Choice::Plain(&PATH_ITEM))),
        ("definitions", 9, Named(1, &SCHEMA_CHOICE)),
        ("parameters", 10, Named(1, &SHARED_CHOICE)),
        ("security", 12, NamedTexts),
        ("securityDefinitions", 13, Named(1, &Choice::Within(&[2], &API_KEY))),
    ],
    extensions: 16,
};

static INFO: Message =
    Message { members: &[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], extensions: 7 };

static API_KEY: Message = Message {
    members: &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)],
    extensions: 5,
};

static OPERATION_CHOICE: Choice = Choice::Plain(&OPERATION);
static SCHEMA_CHOICE: Choice = Choice::Plain(&SCHEMA);
/// `Parameter` → body, or `NonBodyParameter` → query or path.
static SHARED_CHOICE: Choice =
    Choice::ByPlace(&[("body", &[1], &BODY), ("query", &[2, 3], &QUERY), ("path", &[2, 4], &PATH)]);
/// `ParametersItem` → the same, or a reference.
static PARAMETER_CHOICE: Choice =
    Choice::ByPlace(&[("body", &[1, 1], &BODY), ("query", &[1, 2, 3], &QUERY), ("path", &[1, 2, 4], &PATH)]);

static PATH_ITEM: Message = Message {
    members: &[
        ("get", 2, One(&OPERATION_CHOICE)),
        ("put", 3, One(&OPERATION_CHOICE)),
        ("post", 4, One(&OPERATION_CHOICE)),
        ("delete", 5, One(&OPERATION_CHOICE)),
        ("options", 6, One(&OPERATION_CHOICE)),
        ("head", 7, One(&OPERATION_CHOICE)),
        ("patch", 8, One(&OPERATION_CHOICE)),
        ("parameters", 9, Each(&PARAMETER_CHOICE)),
    ],
    extensions: 10,
};

static OPERATION: Message = Message {
    members: &[
        ("tags", 1, Texts),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Texts),
        ("consumes", 7, Texts),
        ("parameters", 8, Each(&PARAMETER_CHOICE)),
        ("responses", 9, Named(1, &Choice::Within(&[1], &RESPONSE))),
        ("schemes", 10, Texts),
        ("deprecated", 11, Flag),
    ],
    extensions: 13,
};

static BODY: Message = Message {
    members: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, One(&SCHEMA_CHOICE)),
    ],
    extensions: 6,
};

static QUERY: Message = Message {
    members: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("format", 7, Text),
        ("uniqueItems", 20, Flag),
    ],
    extensions: 23,
};

static PATH: Message = Message {
    members: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("uniqueItems", 19, Flag),
    ],
    extensions: 22,
};

static RESPONSE: Message = Message {
    members: &[("description", 1, Text), ("schema", 2, One(&Choice::Within(&[1], &SCHEMA)))],
    extensions: 5,
};

static EXTERNAL_DOCS: Message =
    Message { members: &[("description", 1, Text), ("url", 2, Text)], extensions: 3 };

static SCHEMA: Message = Message {
    members: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Double),
        ("maximum", 7, Double),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Double),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, Texts),
        ("enum", 20, Anys),
        ("additionalProperties", 21, OrFlag(&SCHEMA_CHOICE)),
        ("type", 22, TextsWithin),
        ("items", 23, Items(&SCHEMA_CHOICE)),
        ("allOf", 24, Each(&SCHEMA_CHOICE)),
        ("properties", 25, Named(1, &SCHEMA_CHOICE)),
        ("externalDocs", 29, One(&Choice::Plain(&EXTERNAL_DOCS))),
        ("example", 30, Any),
    ],
    extensions: 31,
};
