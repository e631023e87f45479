//! Pod network (CNI), Service rules (nftables).
