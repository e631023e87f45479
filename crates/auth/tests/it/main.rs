//! Who may do what, against a real server's recorded answers.

mod golden;
