//! What people read of an error.

/// An error with its causes, each said once: many an error tells its cause already.
pub fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it: {0}")]
    struct Told(#[source] io::Error);

    #[test]
    fn causes_are_told_once() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let told: anyhow::Result<()> = Err(Told(denied())).context("cannot start");
        assert_eq!(text(&told.unwrap_err()), "cannot start: cannot read it: permission denied");
        let untold: anyhow::Result<()> = Err(denied()).context("cannot read it").context("cannot start");
        assert_eq!(text(&untold.unwrap_err()), "cannot start: cannot read it: permission denied");
        assert_eq!(text(&denied().into()), "permission denied");
    }
}
