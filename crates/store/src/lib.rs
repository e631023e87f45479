//! A revisioned key-value map with watches: in memory, embedded on disk, or etcd.
