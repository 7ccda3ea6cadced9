//! Holds the rules of the house on the tree itself: sizes, imports, banned words, documents. Reads files and runs nothing.
//! A rule is a function from one file to its faults; beside it stand a case that it reports and the test over the tree.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/errors.rs"]
mod errors;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;
