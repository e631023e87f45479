//! The messages of `openapiv3/OpenAPIv3.proto`, as far as documents here use them.

use super::Member::{
    Any, Anys, Double, Each, Flag, Integer, Items, Named, NamedTexts, One, OrFlag, Scalar, Text, Texts,
};
use super::{Choice, Message};

pub(super) static DOCUMENT: Message = Message {
    members: &[
        ("openapi", 1, Text),
        ("info", 2, One(&Choice::Plain(&INFO))),
        ("paths", 4, Named(1, &Choice::Plain(&PATH_ITEM))),
        ("components", 5, One(&Choice::Plain(&COMPONENTS))),
        ("security", 6, NamedTexts),
    ],
    extensions: 9,
};

static INFO: Message =
    Message { members: &[("title", 1, Text), ("description", 2, Text), ("version", 6, Text)], extensions: 7 };

static COMPONENTS: Message = Message {
    members: &[
        ("schemas", 1, Named(1, &SCHEMA_OR_REFERENCE)),
        ("securitySchemes", 7, Named(1, &Choice::OrReference(&SECURITY_SCHEME))),
    ],
    extensions: 10,
};

static SECURITY_SCHEME: Message = Message {
    members: &[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)],
    extensions: 9,
};

static OPERATION_CHOICE: Choice = Choice::Plain(&OPERATION);
static PARAMETER_CHOICE: Choice = Choice::OrReference(&PARAMETER);
static SCHEMA_OR_REFERENCE: Choice = Choice::OrReference(&SCHEMA);
static MEDIA_CHOICE: Choice = Choice::Plain(&MEDIA_TYPE);

static PATH_ITEM: Message = Message {
    members: &[
        ("description", 3, Text),
        ("get", 4, One(&OPERATION_CHOICE)),
        ("put", 5, One(&OPERATION_CHOICE)),
        ("post", 6, One(&OPERATION_CHOICE)),
        ("delete", 7, One(&OPERATION_CHOICE)),
        ("options", 8, One(&OPERATION_CHOICE)),
        ("head", 9, One(&OPERATION_CHOICE)),
        ("patch", 10, One(&OPERATION_CHOICE)),
        ("parameters", 13, Each(&PARAMETER_CHOICE)),
    ],
    extensions: 14,
};

static OPERATION: Message = Message {
    members: &[
        ("tags", 1, Texts),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Each(&PARAMETER_CHOICE)),
        ("requestBody", 7, One(&Choice::OrReference(&REQUEST_BODY))),
        ("responses", 8, Named(2, &Choice::OrReference(&RESPONSE))),
        ("deprecated", 10, Flag),
    ],
    extensions: 13,
};

static PARAMETER: Message = Message {
    members: &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, One(&SCHEMA_OR_REFERENCE)),
    ],
    extensions: 14,
};

static REQUEST_BODY: Message = Message {
    members: &[("description", 1, Text), ("content", 2, Named(1, &MEDIA_CHOICE)), ("required", 3, Flag)],
    extensions: 4,
};

static RESPONSE: Message =
    Message { members: &[("description", 1, Text), ("content", 3, Named(1, &MEDIA_CHOICE))], extensions: 5 };

static MEDIA_TYPE: Message = Message { members: &[("schema", 1, One(&SCHEMA_OR_REFERENCE))], extensions: 5 };

static EXTERNAL_DOCS: Message =
    Message { members: &[("description", 1, Text), ("url", 2, Text)], extensions: 3 };

static SCHEMA: Message = Message {
    members: &[
        ("nullable", 1, Flag),
        ("externalDocs", 6, One(&Choice::Plain(&EXTERNAL_DOCS))),
        ("example", 7, Any),
        ("title", 9, Text),
        ("multipleOf", 10, Double),
        ("maximum", 11, Double),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Double),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Integer),
        ("minLength", 16, Integer),
        ("pattern", 17, Text),
        ("maxItems", 18, Integer),
        ("minItems", 19, Integer),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Integer),
        ("minProperties", 22, Integer),
        ("required", 23, Texts),
        ("enum", 24, Anys),
        ("type", 25, Text),
        ("allOf", 26, Each(&SCHEMA_OR_REFERENCE)),
        ("oneOf", 27, Each(&SCHEMA_OR_REFERENCE)),
        ("anyOf", 28, Each(&SCHEMA_OR_REFERENCE)),
        ("not", 29, One(&Choice::Plain(&SCHEMA))),
        ("items", 30, Items(&SCHEMA_OR_REFERENCE)),
        ("properties", 31, Named(1, &SCHEMA_OR_REFERENCE)),
        ("additionalProperties", 32, OrFlag(&SCHEMA_OR_REFERENCE)),
        ("default", 33, Scalar),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    extensions: 36,
};
