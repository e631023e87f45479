//! The node agent: makes the pods of this node run, and says how they are.
