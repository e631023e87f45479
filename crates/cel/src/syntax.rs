//! Says what breaks the grammar.
use crate::issues::Issues;
use crate::lexer::{LexError, T, Token};
pub(crate) fn explain(source: &str, tokens: &[Token], errors: &[LexError]) -> Issues {
    let mut issues = Issues::new(source);
    for e in errors {
        issues.report(Some(e.start), format!("Syntax error: token recognition error at: '{}'", e.text));
    }
    let _ = (tokens, T::Eof.display());
    issues
}
