//! Tests of refresh tokens: the text, the table row by row, and the machine against a model.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::domain::session::{Device, EndReason, Epochs, Satisfied};

const START: Time = Time::from_seconds(1_000_000);
const KEY: [u8; 32] = [7; 32];
const SESSION: &str = "ses_0198f3a0-0000-8000-8000-000000000001";

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn opened() -> Session {
    let device = Device { name: String::new(), remember: true };
    let born = Epochs { installation: 1, app: 1, user: 1 };
    Session::opened(Satisfied::password("usr_1", "acme", START), born, &device, String::new(), START)
}

/// A session of generation `generation`, rotated `age` seconds before the returned instant.
fn rotated_ago(generation: i64, age: i64) -> (Session, Time) {
    (Session { generation, rotated_at: START.micros(), ..opened() }, START.plus_seconds(age))
}

#[test]
fn reads_what_it_issued() {
    for generation in [1, 127, 128, 300, i64::MAX] {
        let token = Token::parse(&Token::issue(&acme(), SESSION, generation, &KEY)).unwrap();
        assert_eq!((token.app.as_str(), token.session_id.as_str(), token.generation), ("acme", SESSION, generation));
        assert!(token.verify(&KEY) && !token.verify(&[8; 32]));
    }
    assert!(!format!("{:?}", Token::parse(&Token::issue(&acme(), SESSION, 1, &KEY)).unwrap()).contains("tag"));
}

#[test]
fn the_text_is_stable() {
    // Computed with another implementation from the layout alone.
    assert_eq!(
        Token::issue(&acme(), SESSION, 1, &KEY),
        "AQRhY21lKHNlc18wMTk4ZjNhMC0wMDAwLTgwMDAtODAwMC0wMDAwMDAwMDAwMDEBoTwYR_doqdnpjxgpajDR8ZVbCv0"
    );
}

/// Rule 24: the whole opaque token is authenticated.
#[test]
fn rule_24_no_cut_grown_or_changed_token_is_read() {
    let text = Token::issue(&acme(), SESSION, 300, &KEY);
    for end in 0..text.len() {
        assert_eq!(Token::parse(&text[..end]).unwrap_err().reason(), "CREDENTIAL_MALFORMED", "cut at {end}");
    }
    for more in ["A", "AA", "AAAA", "=", " ", "\n"] {
        assert!(Token::parse(&format!("{text}{more}")).is_err(), "{more:?}");
    }
    for bad in ["", "not a token", "....", &"A".repeat(300), "apps/acme"] {
        assert!(Token::parse(bad).is_err(), "{bad}");
    }
}

/// Whoever can compute a checksum still cannot make a token, and odd encodings of the same token are not read.
#[test]
fn a_right_checksum_proves_nothing() {
    let sealed = |mut bytes: Vec<u8>| {
        bytes.extend_from_slice(&checksum(&bytes));
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    };
    let genuine = BASE64_URL_SAFE_NO_PAD.decode(Token::issue(&acme(), SESSION, 1, &KEY)).unwrap();
    let signed = &genuine[..genuine.len() - CHECKSUM_BYTES];
    for at in 0..signed.len() * 8 {
        let mut forged = signed.to_vec();
        forged[at / 8] ^= 1 << (at % 8);
        assert!(Token::parse(&sealed(forged)).map_or(true, |token| !token.verify(&KEY)), "bit {at}");
    }
    let mut long_form = body(&acme(), SESSION, 1);
    long_form.pop();
    long_form.extend([0x81, 0x00]);
    long_form.extend([0; TAG_BYTES]);
    assert!(Token::parse(&sealed(long_form)).is_err(), "a generation in two bytes that fits one");
    for generation in [0, i64::MIN] {
        assert!(Token::parse(&Token::issue(&acme(), SESSION, generation, &KEY)).is_err(), "{generation}");
    }
}

#[test]
fn a_token_of_one_app_session_or_generation_is_not_of_another() {
    let tag_of = |app: &str, session: &str, generation| {
        Token::parse(&Token::issue(&Tenant::parse(app).unwrap(), session, generation, &KEY)).unwrap().tag
    };
    let one = tag_of("acme", "ses_1", 1);
    assert!(one != tag_of("acmes", "es_1", 1) && one != tag_of("acme", "ses_2", 1) && one != tag_of("acme", "ses_1", 2));
}

#[test]
fn the_table_row_by_row() {
    use Decision::{Redeliver, Reused, Rotate};
    let fresh = |age| rotated_ago(5, age);
    let counted = |redelivered, redelivered_generation, age| {
        let (session, now) = rotated_ago(5, age);
        (Session { redelivered, redelivered_generation, ..session }, now)
    };
    let rows = [
        ("the present token", fresh(0), 5, Rotate),
        ("the present token, late", fresh(1_000_000), 5, Rotate),
        ("parallel tabs", fresh(0), 4, Redeliver { write: false }),
        ("parallel tabs, the last moment", fresh(10), 4, Redeliver { write: false }),
        ("lost answer", fresh(11), 4, Redeliver { write: true }),
        ("lost answer, the last moment", fresh(120), 4, Redeliver { write: true }),
        ("too late", fresh(121), 4, Reused),
        ("two behind", fresh(0), 3, Reused),
        ("long ago", fresh(0), 1, Reused),
        ("ahead", fresh(0), 6, Reused),
        ("far ahead", fresh(0), i64::MAX - 1, Reused),
        ("once a generation", counted(1, 5, 60), 4, Redeliver { write: false }),
        ("once a generation, after the second loss", counted(2, 5, 60), 4, Redeliver { write: false }),
        ("counted, but too late", counted(1, 5, 121), 4, Reused),
        ("second in a row", counted(1, 4, 60), 4, Redeliver { write: true }),
        ("third in a row", counted(2, 4, 60), 4, Reused),
        ("third in a row is still a parallel tab", counted(2, 4, 5), 4, Redeliver { write: false }),
    ];
    for (case, (session, now), generation, expected) in rows {
        assert_eq!(present(&session, generation, now), expected, "{case}");
    }
}

#[test]
fn a_clock_set_back_is_a_parallel_tab_at_worst() {
    let (session, now) = rotated_ago(5, -3_600);
    assert_eq!(present(&session, 4, now), Decision::Redeliver { write: false });
    assert_eq!(present(&session, 3, now), Decision::Reused);
}

#[test]
fn a_normally_used_generation_forgives() {
    let lost = opened().rotated(START).redelivered();
    let again = lost.rotated(START).redelivered();
    assert_eq!((again.redelivered, again.redelivered_generation), (2, 3));
    let normal = again.rotated(START);
    assert_eq!(normal.redelivered, 2, "generation 3 had been given again");
    assert_eq!(normal.rotated(START).redelivered, 0, "generation 4 had not");
}

/// What the server does with one token: the handler of refresh without its disk.
fn serve(session: &mut Session, generation: i64, now: Time) -> Option<i64> {
    match present(session, generation, now) {
        Decision::Rotate => *session = session.rotated(now),
        Decision::Redeliver { write: true } => *session = session.redelivered(),
        Decision::Redeliver { write: false } => {}
        Decision::Reused => {
            *session = session.ended(EndReason::RefreshReused, now);
            return None;
        }
    }
    Some(session.generation)
}

/// The rules of refresh written a second time, over the whole history instead of four numbers.
struct Model {
    /// When each generation began, and whether its token was given again as a lost answer.
    history: Vec<(i64, bool)>,
}

impl Model {
    fn answer(&mut self, generation: i64, now_seconds: i64) -> Option<i64> {
        let newest = i64::try_from(self.history.len()).unwrap();
        let (began, counted) = *self.history.last().unwrap();
        let age = now_seconds - began;
        if generation == newest {
            self.history.push((now_seconds, false));
            return Some(newest + 1);
        }
        if generation != newest - 1 || age > 120 {
            return None;
        }
        if age > 10 && !counted {
            let in_a_row = self.history.iter().rev().skip(1).take_while(|(_, lost)| *lost).count();
            if in_a_row >= 2 {
                return None;
            }
            self.history.last_mut().unwrap().1 = true;
        }
        Some(newest)
    }
}

proptest! {
    #[test]
    fn the_machine_agrees_with_the_model(steps in prop::collection::vec((0_i64..40, -1_i64..4), 1..60)) {
        let mut session = opened();
        let mut model = Model { history: vec![(0, false)] };
        let mut seconds = 0;
        for (gap, behind) in steps {
            seconds += gap;
            let generation = session.generation - behind;
            let served = serve(&mut session, generation, START.plus_seconds(seconds));
            prop_assert_eq!(served, model.answer(generation, seconds));
            if served.is_none() {
                break;
            }
        }
    }

    /// An honest client that loses at most two answers in a row and asks again within two minutes stays signed in.
    #[test]
    fn honest_clients_are_never_thrown_out(steps in prop::collection::vec((11_i64..300, 0_usize..3, 1_i64..110), 1..40)) {
        let mut session = opened();
        let (mut held, mut now, mut losses) = (1, START, 0);
        for (gap, lost, retry) in steps {
            now = now.plus_seconds(gap);
            let answer = serve(&mut session, held, now);
            prop_assert!(answer.is_some());
            let is_lost = lost == 2 && losses < 2;
            losses = if is_lost { losses + 1 } else { 0 };
            if is_lost {
                now = now.plus_seconds(retry);
                prop_assert_eq!(serve(&mut session, held, now), answer);
            }
            held = answer.unwrap();
        }
    }

    /// Sixty-four racers move one generation and all hold the same token.
    #[test]
    fn one_winner(racers in 2_usize..64, spread in 0_i64..10) {
        let mut session = opened();
        let held: Vec<Option<i64>> = (0..racers).map(|n| serve(&mut session, 1, START.plus_seconds(if n == 0 { 0 } else { spread }))).collect();
        prop_assert!(held.iter().all(|token| *token == Some(2)));
    }

    /// Thief and victim who go on from the same token, each in its own time, do not both live: the third meeting that is
    /// no parallel tab ends the session.
    #[test]
    fn a_thief_is_found_out(gaps in prop::collection::vec(11_i64..400, 12)) {
        let mut session = opened();
        let (mut held, mut now) = ([1_i64, 1], START);
        let survived = gaps.iter().enumerate().all(|(turn, gap)| {
            now = now.plus_seconds(*gap);
            serve(&mut session, held[turn % 2], now).map(|next| held[turn % 2] = next).is_some()
        });
        prop_assert!(!survived && session.end_reason == Some(EndReason::RefreshReused));
    }

    #[test]
    fn reading_is_total(text in "[A-Za-z0-9_-]{0,200}") {
        prop_assert!(Token::parse(&text).is_err());
    }

    #[test]
    fn varints_come_back(number: u64) {
        let mut bytes = Vec::new();
        push_varint(&mut bytes, number);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(read_varint(&mut rest), Some(number));
        prop_assert!(rest.is_empty());
    }
}
