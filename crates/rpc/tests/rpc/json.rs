//! The dynamic codec: what it reads, what it refuses, and that it never repeats what stood in a body.

use prost_reflect::MessageDescriptor;
use rpc::{json_to_wire, wire_to_json};

use crate::contracts;

fn note() -> MessageDescriptor {
    contracts::sample().pool().get_message_by_name("mozaiks.sample.v1.Note").unwrap()
}

#[test]
fn both_spellings_in_and_camel_case_out() {
    let text = r#"{"name":"apps/acme/notes/n1","text_body":"hi","size":"9007199254740993","labels":{"a":"1"},"free":{"x":[1,{"y":null}]}}"#;
    let wire = json_to_wire(&note(), text.as_bytes()).unwrap();
    assert_eq!(json_to_wire(&note(), text.replace("text_body", "textBody").as_bytes()).unwrap(), wire);
    let back = String::from_utf8(wire_to_json(&note(), &wire).unwrap()).unwrap();
    assert_eq!(back, text.replace("text_body", "textBody").replace("[1,", "[1.0,"));
}

#[test]
fn refusals() {
    let deep = |replies: usize| format!("{}{{}}{}", r#"{"replies":["#.repeat(replies), "]}".repeat(replies));
    let cases = [
        (r#"{"name":"a","name":"b"}"#, "DUPLICATE_KEY", "name"),
        (r#"{"textBody":"a","text_body":"b"}"#, "DUPLICATE_KEY", "text_body"),
        (r#"{"labels":{"a":"1","\u0061":"2"}}"#, "DUPLICATE_KEY", "labels.a"),
        (r#"{"free":{"a":1,"a":2}}"#, "DUPLICATE_KEY", "free.a"),
        (r#"{"replies":[{"name":"a"},{"name":"a","name":"b"}]}"#, "DUPLICATE_KEY", "replies.name"),
        (r#"{"nope":1}"#, "FIELD_UNKNOWN", "nope"),
        (r#"{"replies":[{"nope":{"name":1}}]}"#, "FIELD_UNKNOWN", "replies.nope"),
        (r#"{"name":7}"#, "BODY_INVALID", ""),
        (r#"{"size":"7.5"}"#, "BODY_INVALID", ""),
        (r#"{"plain":"a","rich":"b"}"#, "BODY_INVALID", ""),
        (r#"{"name":"a"} {}"#, "BODY_INVALID", ""),
        (r#"{"name":"a""#, "BODY_INVALID", ""),
        ("", "BODY_INVALID", ""),
        ("[]", "BODY_INVALID", ""),
        (&deep(32), "BODY_INVALID", ""),
    ];
    for (text, reason, field) in cases {
        let error = json_to_wire(&note(), text.as_bytes()).unwrap_err();
        let named = error.fields().first().map_or("", |(path, _)| path.as_str());
        assert_eq!((error.reason(), named), (reason, field), "{text}");
    }
    json_to_wire(&note(), deep(31).as_bytes()).unwrap();
}

#[test]
fn what_stood_in_the_body_is_not_repeated() {
    for text in [r#"{"size":"hunter2"}"#, r#"{"labels":"hunter2"}"#, r#"{"name":["hunter2"]}"#] {
        let error = json_to_wire(&note(), text.as_bytes()).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn bytes_that_are_no_message_are_a_defect() {
    assert_eq!(wire_to_json(&note(), b"\x0a\x05a").unwrap_err().reason(), "ANSWER_UNREADABLE");
}
