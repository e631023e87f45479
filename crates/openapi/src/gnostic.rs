//! Documents in protobuf: the messages of `gnostic-models`, which Go clients ask for.
