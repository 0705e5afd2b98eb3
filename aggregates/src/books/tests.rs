use super::*;
use crate::testing::check_golden;
use chrono::TimeZone;
use proptest::prelude::*;
use strum::IntoEnumIterator;

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn at(year: i32, month: u32, day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(year, month, day, 0, 0, 0).unwrap()
}

fn close(through: &str, now: DateTime<Utc>) -> BooksCommand {
    BooksCommand::Close {
        merchant: "acme".parse().unwrap(),
        through: month(through),
        now,
    }
}

fn closed(through: &str) -> BooksEvent {
    BooksEvent::PeriodClosed {
        merchant: "acme".parse().unwrap(),
        through: month(through),
    }
}

fn books(through: &str) -> Books {
    let mut books = Books::default();
    books.apply(&closed(through));
    books
}

#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    for kind in BooksEventKind::iter() {
        let name: &'static str = kind.into();
        let event = match kind {
            BooksEventKind::PeriodClosed => closed("2026-10"),
            BooksEventKind::AccountMapped => BooksEvent::AccountMapped {
                merchant: "acme".parse().unwrap(),
                account: Account::StripeClearing,
                to: ChartAccount::new("1360", "Stripe, clearing").unwrap(),
            },
            BooksEventKind::AccountUnmapped => BooksEvent::AccountUnmapped {
                merchant: "acme".parse().unwrap(),
                account: Account::StripeClearing,
            },
        };
        check_golden("books", name, &event);
    }
}

#[test]
fn a_month_is_closed_once_it_has_ended_and_not_a_moment_before() {
    let none = Books::default();
    let last = at(2026, 11, 1) - chrono::TimeDelta::nanoseconds(1);
    assert_eq!(
        none.decide(close("2026-10", last)),
        Err(BooksError::NotEnded(month("2026-10")))
    );
    let events = none.decide(close("2026-10", at(2026, 11, 1)));
    assert_eq!(events, Ok(vec![closed("2026-10")]));
}

#[test]
fn a_closed_month_stays_closed_and_so_do_those_before_it() {
    let books = books("2026-10");
    for again in ["2026-10", "2026-09", "2020-01"] {
        assert_eq!(books.decide(close(again, at(2026, 12, 1))), Ok(vec![]));
    }
    let events = books.decide(close("2026-11", at(2026, 12, 1)));
    assert_eq!(events, Ok(vec![closed("2026-11")]));
}

#[test]
fn what_is_late_is_posted_in_the_first_open_month() {
    let closed = Some(month("2026-12"));
    assert_eq!(posting_month(at(2026, 3, 4), closed), month("2027-01"));
    assert_eq!(posting_month(at(2026, 12, 31), closed), month("2027-01"));
    assert_eq!(posting_month(at(2027, 2, 1), closed), month("2027-02"));
    assert_eq!(posting_month(at(2026, 3, 4), None), month("2026-03"));
}

fn map(account: Account, to: Option<(&str, &str)>) -> BooksCommand {
    BooksCommand::Map {
        merchant: "acme".parse().unwrap(),
        account,
        to: to.map(|(code, name)| ChartAccount::new(code, name).unwrap()),
    }
}

#[test]
fn an_account_has_one_name_in_the_merchants_chart_at_a_time_and_saying_it_again_changes_nothing() {
    let mut books = books("2026-10");
    let say = |books: &mut Books, command| {
        let events = books.decide(command).unwrap();
        events.iter().for_each(|it| books.apply(it));
        events.len()
    };
    let bank = || map(Account::Bank, Some(("1200", "Bank")));
    assert_eq!(say(&mut books, bank()), 1);
    assert_eq!(say(&mut books, bank()), 0);
    let renamed = map(Account::Bank, Some(("1201", "Bank")));
    assert_eq!(say(&mut books, renamed), 1);
    assert_eq!(books.chart()[&Account::Bank].code(), "1201");
    assert_eq!(say(&mut books, map(Account::Bank, None)), 1);
    assert_eq!(say(&mut books, map(Account::Bank, None)), 0);
    assert!(books.chart().is_empty());
    assert_eq!(books.closed_through(), Some(month("2026-10")));
}

#[test]
fn a_code_and_a_name_are_short_lines_of_text() {
    let (long, longer) = ("1".repeat(41), "x".repeat(201));
    for code in ["", " ", "12\n00", long.as_str()] {
        assert_eq!(
            ChartAccount::new(code, "Bank"),
            Err(NotAChartAccount::Code),
            "{code:?}"
        );
    }
    for name in ["", "\t", "a\u{0}b", longer.as_str()] {
        assert_eq!(
            ChartAccount::new("1200", name),
            Err(NotAChartAccount::Name),
            "{name:?}"
        );
    }
    assert_eq!(ChartAccount::new(" 1200 ", "Bank").unwrap().code(), "1200");
}

#[test]
fn a_month_has_one_spelling() {
    assert_eq!(month("2026-11").to_string(), "2026-11");
    for wrong in [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "2026-1",
        "+2026-01",
        "26-01",
        "0000-01",
        "2026-01-01",
    ] {
        assert_eq!(wrong.parse::<Month>(), Err(NotAMonth), "{wrong}");
    }
}

proptest! {
    /// Red when a late fact is posted in a month that is closed, or an early one later than it must.
    #[test]
    fn nothing_is_posted_in_a_closed_month(seconds in 0i64..4_000_000_000, closing in 0i64..4_000_000_000) {
        let moment = |it| DateTime::from_timestamp(it, 0).unwrap();
        let closed = Month::of(moment(closing));
        let posted = posting_month(moment(seconds), Some(closed));
        prop_assert!(posted > closed);
        prop_assert!(posted == Month::of(moment(seconds)) || posted == closed.next());
    }
}
