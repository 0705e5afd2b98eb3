use super::*;
use crate::money::Currency;
use crate::testing::check_golden;
use strum::IntoEnumIterator;

fn sek(minor: i64) -> Money {
    Money::new(minor, Currency::SEK)
}

fn listed(price: Money) -> Listed {
    Listed {
        merchant: "acme".parse().unwrap(),
        company: "11111111-1111-1111-1111-111111111111".to_owned(),
        number: 1,
        name: "Haircut".to_owned(),
        price,
    }
}

fn article(price: Money) -> Article {
    let mut article = Article::default();
    article.apply(&ArticleEvent::ArticleListed(Box::new(listed(price))));
    article
}

/// Red when listing again at the first price undoes what the article costs by now.
#[test]
fn listing_the_same_again_changes_nothing_and_another_under_its_number_is_refused() {
    let mut known = article(sek(250_00));
    known.apply(&ArticleEvent::ArticleRepriced { price: sek(300_00) });
    let again = |it: Listed| known.decide(ArticleCommand::List(Box::new(it)));
    assert_eq!(again(listed(sek(250_00))), Ok(vec![]));
    let other = again(listed(sek(300_00)));
    assert_eq!(other, Err(ArticleError::ListedDifferently));
}

/// Red when a new price overwrites the one before it.
#[test]
fn an_article_never_forgets_what_it_cost_before() {
    let mut known = article(sek(250_00));
    for price in [sek(300_00), sek(300_00), sek(200_00)] {
        for event in known.decide(ArticleCommand::Reprice { price }).unwrap() {
            known.apply(&event);
        }
    }
    let item = &known.facts().unwrap().item;
    assert_eq!(item.price, sek(200_00));
    assert_eq!(item.earlier, [sek(250_00), sek(300_00)]);
}

#[test]
fn a_rebate_may_be_negative_and_a_price_beyond_counting_may_not() {
    assert!(list(listed(sek(-50_00))).is_ok());
    assert!(list(listed(sek(0))).is_ok());
    for wrong in [sek(i64::MIN), sek(100_000_000), sek(-100_000_000)] {
        assert!(matches!(
            list(listed(wrong)),
            Err(ArticleError::Unpriceable(_))
        ));
    }
    let nameless = Listed {
        name: String::new(),
        ..listed(sek(1_00))
    };
    assert_eq!(list(nameless), Err(ArticleError::UnusableName));
}

#[test]
fn an_article_keeps_its_currency_and_none_that_is_not_listed_has_a_price() {
    let price = Money::new(10_00, Currency::GBP);
    let reprice = ArticleCommand::Reprice { price };
    assert!(matches!(
        article(sek(250_00)).decide(reprice.clone()),
        Err(ArticleError::Unpriceable(_))
    ));
    let unknown = Article::default().decide(reprice);
    assert_eq!(unknown, Err(ArticleError::NoSuchArticle));
}

/// Red when a field is renamed, a variant is added without its file, or a default changes what is written.
#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    for kind in ArticleEventKind::iter() {
        let event = match kind {
            ArticleEventKind::ArticleListed => {
                ArticleEvent::ArticleListed(Box::new(listed(sek(250_00))))
            }
            ArticleEventKind::ArticleRepriced => ArticleEvent::ArticleRepriced { price: sek(-1) },
        };
        let name: &'static str = kind.into();
        assert_eq!(event.event_type(), name);
        check_golden("article", name, &event);
    }
}

fn list(it: Listed) -> Result<Vec<ArticleEvent>, ArticleError> {
    Article::default().decide(ArticleCommand::List(Box::new(it)))
}
