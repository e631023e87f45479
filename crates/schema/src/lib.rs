//! Types of the built-in kinds: strict decoding, Go's JSON form, JSON and protobuf codecs.
