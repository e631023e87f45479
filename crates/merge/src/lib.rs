//! Strategic merge patch and server-side apply.
