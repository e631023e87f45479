//! The cluster's DNS, answered on every node.
