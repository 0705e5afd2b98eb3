//! What describes the native API: a row for each operation, over the shapes in `openapi.json`.

use serde_json::{Map, Value, json};

use crate::http::openapi;

/// What an operation answers with: one thing, one that it may have made, a page, or the feed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    One(&'static str),
    /// What a run comes to, once it has ended.
    OfEnded(&'static str),
    Made(&'static str),
    Page(&'static str),
    /// A page that says as of which position it is, and what more.
    PageAsOf(&'static str, &'static str),
    Feed,
    /// Rows as a file.
    File,
    /// A report, in all of its forms.
    Report,
}
use Answers::{Feed, File, Made, OfEnded, One, Page, PageAsOf, Report};

/// Method, path, the operation's name, what it does, the scope it needs, what it answers with, and what it is told: the
/// parameters of its query, or the schema of its body and one that works.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Answers,
    Told,
);

#[derive(Clone, Copy)]
enum Told {
    Query(&'static [&'static str]),
    Body(&'static str, &'static str),
    /// The same, where a repeated request needs no key.
    Keyless(&'static str, &'static str),
    /// A bank's statement, and the parameters of the query.
    Statement(&'static [&'static str]),
    /// A body that may be left out, and says nothing.
    Nothing,
}
use Told::{Body, Keyless, Nothing, Query, Statement};

const READ: &str = "payments:read";
const WRITE: &str = "payments:write";
const LEDGER: &str = "ledger:read";
const ADMIN: &str = "admin";
const BOOKS: &str = "ledger:read";

const OF_ORDERS: &[&str] = &[
    "LedgerLimit",
    "LedgerAfter",
    "LedgerSource",
    "LedgerReference",
    "LedgerOrderStatus",
    "LedgerCustomer",
];
const OF_PAYMENTS: &[&str] = &[
    "LedgerLimit",
    "LedgerAfter",
    "LedgerPaymentStatus",
    "LedgerOrderId",
    "LedgerCreatedFrom",
    "LedgerCreatedBefore",
];
const OF_FEED: &[&str] = &[
    "LedgerLimit",
    "LedgerAfter",
    "LedgerFollow",
    "LedgerLastEventId",
];

const AS_OF: &[&str] = &["LedgerAsOf", "LedgerEffective"];
const OF_ENTRIES: &[&str] = &[
    "LedgerAccount",
    "LedgerCurrency",
    "LedgerPeriod",
    "LedgerLimit",
    "LedgerAfter",
    "LedgerAsOf",
    "LedgerEffective",
];
const OF_STATEMENT: &[&str] = &[
    "LedgerCurrencyNeeded",
    "LedgerLimit",
    "LedgerAfter",
    "LedgerAsOf",
    "LedgerEffective",
];
const OF_FIGURE: &[&str] = &[
    "LedgerAccountNeeded",
    "LedgerCurrencyNeeded",
    "LedgerPeriod",
    "LedgerLimit",
    "LedgerAfter",
    "LedgerAsOf",
    "LedgerEffective",
];

const OF_JOURNAL: &[&str] = &[
    "LedgerAccount",
    "LedgerCurrency",
    "LedgerPeriod",
    "LedgerOrderTold",
    "LedgerRecordedFrom",
    "LedgerRecordedBefore",
    "LedgerEffectiveFrom",
    "LedgerEffectiveBefore",
    "LedgerAsOf",
    "LedgerEffective",
    "LedgerChart",
];
const OF_TOTALS: &[&str] = &[
    "LedgerAccount",
    "LedgerCurrency",
    "LedgerPeriod",
    "LedgerAsOf",
    "LedgerEffective",
    "LedgerChart",
];
const OF_EVENTS: &[&str] = &[
    "LedgerOrderTold",
    "LedgerRecordedFrom",
    "LedgerRecordedBefore",
    "LedgerAsOf",
];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("get", "/ledger/v1/orders", "listOrders", "List orders", READ, Page("LedgerOrderListed"), Query(OF_ORDERS)),
    ("post", "/ledger/v1/orders", "placeOrder", "Place an order", WRITE, Made("LedgerOrder"), Body("LedgerOrderPlace", r#"{"source": "shop", "reference": "10", "currency": "usd", "lines": [{"name": "Shoes", "unit_minor": 1500, "quantity": 1}]}"#)),
    ("get", "/ledger/v1/orders/{id}", "getOrder", "Read an order", READ, One("LedgerOrder"), Query(&["LedgerAsOf"])),
    ("post", "/ledger/v1/orders/{id}/reprice", "repriceOrder", "Give an order another price", WRITE, One("LedgerOrder"), Body("LedgerOrderReprice", r#"{"currency": "usd", "lines": [{"name": "Shoes", "unit_minor": 1400, "quantity": 1}]}"#)),
    ("post", "/ledger/v1/orders/{id}/cancel", "cancelOrder", "Cancel an order, and whatever it could be paid by", WRITE, One("LedgerOrder"), Body("LedgerReason", r#"{"reason": "out of stock"}"#)),
    ("get", "/ledger/v1/orders/{id}/events", "orderEvents", "All that happened to an order and its payments", READ, Page("LedgerEvent"), Query(&[])),
    ("get", "/ledger/v1/payments", "listPayments", "List payments, newest first", READ, Page("LedgerPaymentListed"), Query(OF_PAYMENTS)),
    ("get", "/ledger/v1/payments/{id}", "getPayment", "Read a payment, by our id or by Stripe's", READ, One("LedgerPayment"), Query(&["LedgerAsOf"])),
    ("get", "/ledger/v1/payments/{id}/events", "paymentEvents", "All that happened to a payment", READ, Page("LedgerEvent"), Query(&[])),
    ("get", "/ledger/v1/parked", "listParked", "List what no machine could find out", READ, Page("LedgerParked"), Query(&["LedgerLimit", "LedgerAfter", "LedgerParkedState"])),
    ("get", "/ledger/v1/parked/{id}", "getParked", "Read a parked intention", READ, One("LedgerParked"), Query(&[])),
    ("post", "/ledger/v1/parked/{id}/settle", "settleParked", "Say what became of a parked intention; it counts once another key approves", WRITE, One("LedgerParked"), Body("LedgerSettlement", r#"{"outcome": "did_not_happen", "because": "Stripe's dashboard shows no such refund"}"#)),
    ("post", "/ledger/v1/parked/{id}/approve", "approveParked", "Approve what another key said became of it; Stripe is read first", "approve", One("LedgerParked"), Body("LedgerApproval", "{}")),
    ("get", "/ledger/v1/reconciliations", "listReconciliations", "List runs that compared the books with Stripe's, newest first; as of a point, those that had ended and compared what was recorded by then", LEDGER, Page("LedgerReconciliation"), Query(&["LedgerLimit", "LedgerAfter", "LedgerAsOf"])),
    ("post", "/ledger/v1/reconciliations", "openReconciliation", "Compare the books with Stripe's; what is open already goes on", WRITE, One("LedgerReconciliation"), Body("LedgerReconciliationOpen", "{}")),
    ("get", "/ledger/v1/reconciliations/{id}", "getReconciliation", "Read a run", LEDGER, One("LedgerReconciliation"), Query(&[])),
    ("get", "/ledger/v1/reconciliations/{id}/repeat", "repeatReconciliation", "Compare again what a run that has ended compared, from what was kept alone, and say whether it comes to the same report, to the byte", LEDGER, OfEnded("LedgerReconciliationRepeat"), Query(&[])),
    ("get", "/ledger/v1/reconciliation_breaks", "listBreaks", "List what does not agree; what agrees by now only where it is asked for", LEDGER, Page("LedgerBreak"), Query(&["LedgerLimit", "LedgerAfter", "LedgerBreakStatus"])),
    ("get", "/ledger/v1/reconciliation_breaks/{id}", "getBreak", "Read a break", LEDGER, One("LedgerBreak"), Query(&[])),
    ("post", "/ledger/v1/reconciliation_breaks/{id}/assign", "assignBreak", "Say whose it is to look into a break", WRITE, One("LedgerBreak"), Body("LedgerBreakOwner", r#"{"owner": "finance"}"#)),
    ("post", "/ledger/v1/reconciliation_breaks/{id}/resolve", "resolveBreak", "Give the reason of a break; it counts once another key approves", WRITE, One("LedgerBreak"), Body("LedgerReason", r#"{"reason": "refunded in Stripe's dashboard, ticket 12"}"#)),
    ("post", "/ledger/v1/reconciliation_breaks/{id}/approve", "approveBreak", "Agree to the reason that another key gave", "approve", One("LedgerBreak"), Body("LedgerApproval", "{}")),
    ("post", "/ledger/v1/reconciliation_breaks/{id}/refuse", "refuseBreak", "Do not agree to it: the break is open again", "approve", One("LedgerBreak"), Body("LedgerReason", r#"{"reason": "which ticket?"}"#)),
    ("get", "/ledger/v1/rebuilds", "listRebuilds", "List rebuilds of read models, the latest first", "ledger:read", Page("LedgerRebuildListed"), Query(&["LedgerLimit", "LedgerAfter"])),
    ("post", "/ledger/v1/rebuilds", "startRebuild", "Make read models again from the events, beside the live ones", "operator", Made("LedgerRebuild"), Body("LedgerRebuildStart", r#"{"projections": ["orders", "journal"], "dry_run": true}"#)),
    ("get", "/ledger/v1/rebuilds/{id}", "getRebuild", "Read a rebuild, with what it found of the own rows", "ledger:read", One("LedgerRebuild"), Query(&[])),
    ("get", "/ledger/v1/replay", "replay", "What the own read models were at a moment, made again from the events up to there alone, and whether what is live tells the same", "ledger:read", One("LedgerReplay"), Query(&["LedgerAsOfNeeded", "LedgerProjections"])),
    ("get", "/ledger/v1/events", "events", "The feed of the ledger: a page, lines of JSON, or server-sent events", "ledger:read", Feed, Query(OF_FEED)),
    ("get", "/ledger/v1/accounts", "listAccounts", "The chart of accounts", BOOKS, Page("LedgerAccount"), Query(&[])),
    ("get", "/ledger/v1/accounts/{id}/statement", "accountStatement", "The lines of an account in one currency, with what it stands at after each", BOOKS, PageAsOf("LedgerStatementLine", "opening_minor"), Query(OF_STATEMENT)),
    ("get", "/ledger/v1/entries", "listEntries", "The journal: entries in the order in which they were recorded, with the events that posted them", BOOKS, PageAsOf("LedgerEntry", ""), Query(OF_ENTRIES)),
    ("get", "/ledger/v1/balances", "balances", "What every account stands at, or stood at", BOOKS, One("LedgerBalances"), Query(AS_OF)),
    ("get", "/ledger/v1/trial-balance", "trialBalance", "The sums of all accounts, by currency", BOOKS, One("LedgerTrialBalance"), Query(AS_OF)),
    ("get", "/ledger/v1/explain", "explain", "Why an account stands where it does: its entries, who did it, and Stripe's objects", BOOKS, PageAsOf("LedgerEntry", "balance"), Query(OF_FIGURE)),
    ("get", "/ledger/v1/closings", "listClosings", "When the books were closed, by whom and why", BOOKS, Page("LedgerClosing"), Query(&[])),
    ("get", "/ledger/v1/periods/{month}", "getPeriod", "What a month came to on every account", BOOKS, One("LedgerMonth"), Query(AS_OF)),
    ("post", "/ledger/v1/periods/{month}/close", "closePeriod", "Close a month and all before it: what comes later is posted in a later one", ADMIN, One("LedgerMonth"), Keyless("LedgerBecause", r#"{"because": "the accountant has signed it"}"#)),
    ("post", "/ledger/v1/bank-statements", "importBankStatement", "Import a statement of the bank: camt.053, or CSV in the format that is told", WRITE, One("LedgerBankStatement"), Statement(&["LedgerBankAccount", "LedgerCsvFormat"])),
    ("get", "/ledger/v1/bank-lines", "listBankLines", "The lines of all statements", BOOKS, Page("LedgerBankLine"), Query(&["LedgerLimit", "LedgerAfter", "LedgerMatched"])),
    ("get", "/ledger/v1/bank-lines/{id}", "getBankLine", "Read a line", BOOKS, One("LedgerBankLine"), Query(&[])),
    ("post", "/ledger/v1/bank-lines/{id}/match", "matchBankLine", "Say which payout a line is", WRITE, One("LedgerBankLine"), Keyless("LedgerBankMatch", r#"{"payout": "po_1234XXX", "because": "the bank's advice names it"}"#)),
    ("post", "/ledger/v1/bank-lines/{id}/unmatch", "unmatchBankLine", "Say that a line is not the payout that it was matched with", WRITE, One("LedgerBankLine"), Keyless("LedgerBecause", r#"{"because": "the bank's advice names another"}"#)),
    ("get", "/ledger/v1/orders/{id}/explain", "explainOrder", "Why an order comes to what it comes to", BOOKS, One("LedgerExplanation"), Query(&["LedgerAsOf"])),
    ("get", "/ledger/v1/payments/{id}/explain", "explainPayment", "Why a payment comes to what it comes to, by our id or by Stripe's", BOOKS, One("LedgerExplanation"), Query(&["LedgerAsOf"])),
    ("get", "/ledger/v1/exports/journal", "exportJournal", "Every line of the journal, as a file", BOOKS, File, Query(OF_JOURNAL)),
    ("get", "/ledger/v1/exports/balances", "exportBalances", "What every account came to, as a file", BOOKS, File, Query(OF_TOTALS)),
    ("get", "/ledger/v1/exports/events", "exportEvents", "Every event, as a file; personal data stays sealed", BOOKS, File, Query(OF_EVENTS)),
    ("get", "/ledger/v1/exports/reconciliations/{id}", "exportReconciliation", "The report of a reconciliation that has ended", BOOKS, Report, Query(&[])),
    ("get", "/ledger/v1/chart", "getChart", "What the merchant's own books call our accounts", BOOKS, One("LedgerChart"), Query(&["LedgerAsOf"])),
    ("post", "/ledger/v1/chart/{id}", "mapAccount", "Say what an account is called", ADMIN, One("LedgerChart"), Keyless("LedgerChartAccount", r#"{"code": "1360", "name": "Stripe, clearing"}"#)),
    ("delete", "/ledger/v1/chart/{id}", "unmapAccount", "Take back what an account is called", ADMIN, One("LedgerChart"), Nothing),
    ("get", "/ledger/v1/merchants", "getMerchant", "Read the own merchant", ADMIN, One("LedgerMerchant"), Query(&[])),
    ("post", "/ledger/v1/merchants", "createMerchant", "Make a merchant, and its first key", "operator", Made("LedgerMerchant"), Body("LedgerMerchantCreate", r#"{"id": "shoes", "name": "Shoes", "stripe_account": "acct_shoes"}"#)),
    ("patch", "/ledger/v1/merchants", "updateMerchant", "Change the own merchant", ADMIN, One("LedgerMerchant"), Body("LedgerMerchantUpdate", r#"{"name": "Shoes"}"#)),
    ("get", "/ledger/v1/keys", "listKeys", "List keys, customers' tokens among them", ADMIN, Page("LedgerKey"), Query(&["LedgerLimit", "LedgerAfter", "LedgerKeyKind", "LedgerCustomer"])),
    ("post", "/ledger/v1/keys", "createKey", "Make a key; its secret is shown by this answer alone", ADMIN, Made("LedgerKey"), Body("LedgerKeyCreate", r#"{"kind": "native", "scopes": ["payments:read"]}"#)),
    ("get", "/ledger/v1/keys/{id}", "getKey", "Read a key, without its secret", ADMIN, One("LedgerKey"), Query(&[])),
    ("delete", "/ledger/v1/keys/{id}", "revokeKey", "End a key", ADMIN, One("LedgerKey"), Nothing),
    ("post", "/ledger/v1/keys/{id}/roll", "rollKey", "Put a new key in the place of one", ADMIN, Made("LedgerKey"), Body("LedgerKeyRoll", "{}")),
    ("get", "/ledger/v1/customers/tokens", "listCustomerTokens", "List the tokens of customers", ADMIN, Page("LedgerKey"), Query(&["LedgerLimit", "LedgerAfter", "LedgerCustomer"])),
    ("post", "/ledger/v1/customers/tokens", "createCustomerToken", "Make a token that speaks for one customer", ADMIN, Made("LedgerKey"), Body("LedgerTokenCreate", r#"{"customer": "customer-10"}"#)),
    ("delete", "/ledger/v1/customers/tokens/{id}", "revokeCustomerToken", "End a customer's token", ADMIN, One("LedgerKey"), Nothing),
    ("get", "/ledger/v1/offers", "listOffers", "List offers", READ, Page("LedgerOfferListed"), Query(&["LedgerLimit", "LedgerAfter", "LedgerWithdrawn"])),
    ("post", "/ledger/v1/offers", "publishOffer", "Publish an offer", WRITE, Made("LedgerOffer"), Body("LedgerOfferPublish", r#"{"number": "10311081", "currency": "gbp", "groups": [{"name": "combined", "products": [{"code": "core", "name": "Core cover", "price_minor": 8420}]}], "selection": []}"#)),
    ("get", "/ledger/v1/offers/{number}", "getOffer", "Read an offer", READ, One("LedgerOffer"), Query(&[])),
    ("get", "/ledger/v1/offers/{number}/prices", "offerPrices", "What an offer's products have cost", READ, Page("LedgerPrice"), Query(&[])),
    ("post", "/ledger/v1/offers/{number}/reprice", "repriceOffer", "Give products of an offer other prices", WRITE, One("LedgerOffer"), Body("LedgerOfferReprice", r#"{"currency": "gbp", "prices": [{"group": "combined", "code": "core", "price_minor": 8500}]}"#)),
    ("post", "/ledger/v1/offers/{number}/select", "selectOffer", "Select what is paid for where nothing else is asked for", WRITE, One("LedgerOffer"), Body("LedgerOfferSelect", r#"{"selection": [{"group": "combined", "code": "core"}]}"#)),
    ("post", "/ledger/v1/offers/{number}/withdraw", "withdrawOffer", "Take an offer back", WRITE, One("LedgerOffer"), Body("LedgerReason", r#"{"reason": "sold out"}"#)),
    ("get", "/ledger/v1/articles", "listArticles", "List articles", READ, Page("LedgerArticleListed"), Query(&["LedgerLimit", "LedgerAfter", "LedgerCompany"])),
    ("post", "/ledger/v1/articles", "publishArticle", "List an article for sale", WRITE, Made("LedgerArticle"), Body("LedgerArticlePublish", r#"{"company": "44444444-4444-4444-4444-444444444444", "number": 9, "name": "Shave", "currency": "sek", "price_minor": 15000}"#)),
    ("get", "/ledger/v1/articles/{company}/{number}", "getArticle", "Read an article", READ, One("LedgerArticle"), Query(&[])),
    ("get", "/ledger/v1/articles/{company}/{number}/prices", "articlePrices", "What an article has cost", READ, Page("LedgerPrice"), Query(&[])),
    ("post", "/ledger/v1/articles/{company}/{number}/reprice", "repriceArticle", "Give an article another price", WRITE, One("LedgerArticle"), Body("LedgerArticleReprice", r#"{"currency": "sek", "price_minor": 26000}"#)),
];

/// The answers that any operation may give beside its own, and those of what changes something.
const REFUSALS: [&str; 8] = ["400", "401", "403", "404", "406", "429", "500", "503"];
const OF_CHANGES: [&str; 5] = ["408", "409", "413", "415", "422"];

/// The fragment of the native API.
pub fn fragment() -> Value {
    let mut fragment = openapi::fragment(include_str!("openapi.json"));
    fragment["paths"] = json!({});
    for row in ROWS {
        fragment["paths"][row.1][row.0] = operation(row);
    }
    fragment
}

fn operation(&(method, path, name, summary, scope, answers, told): &Row) -> Value {
    let placed = path.split('/').filter_map(|part| part.strip_prefix('{'));
    let placed = placed.map(|part| {
        let part = part.trim_end_matches('}');
        json!({"name": part, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
    });
    let shared: &[&str] = match told {
        Query(parameters) | Statement(parameters) => parameters,
        Body(..) if method == "post" => &["IdempotencyKey"],
        Body(..) | Keyless(..) | Nothing => &[],
    };
    let shared = shared.iter().map(|it| refer("parameters", it));
    let mut operation = json!({
        "tags": ["Ledger"],
        "operationId": name,
        "summary": summary,
        "security": [{"ledgerKey": [scope]}],
        "parameters": placed.chain(shared).collect::<Vec<_>>(),
        "responses": responses(method, answers),
    });
    if let Body(schema, example) | Keyless(schema, example) = told {
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {
            "schema": refer("schemas", schema), "example": openapi::fragment(example),
        }}});
    }
    if let Statement(_) = told {
        let text = json!({"schema": {"type": "string"}});
        operation["requestBody"] =
            json!({"required": true, "content": {"application/xml": text, "text/csv": text}});
    }
    operation
}

fn responses(method: &str, answers: Answers) -> Map<String, Value> {
    let of = |schema: Value| json!({"description": "Done.", "content": {"application/json": {"schema": schema}}});
    let mut done = match answers {
        One(schema) | OfEnded(schema) | Made(schema) => of(refer("schemas", schema)),
        Page(schema) => of(page(schema)),
        PageAsOf(schema, more) => of(page_as_of(schema, more)),
        Feed => of(page("LedgerEvent")),
        File => file(&["application/x-ndjson", "text/csv"]),
        Report => {
            let mut report = file(&["application/x-ndjson", "text/csv", "text/html"]);
            report["content"]["application/json"]["schema"]["type"] = "object".into();
            report
        }
    };
    if answers == Feed {
        for media_type in ["application/x-ndjson", "text/event-stream"] {
            done["content"][media_type]["schema"]["type"] = "string".into();
        }
    }
    let mut all = Map::new();
    if let Made(_) = answers {
        let mut made = done.clone();
        made["description"] = "Made.".into();
        let location = json!({"description": "Where it is.", "schema": {"type": "string"}});
        made["headers"]["Location"] = location;
        all.insert("201".to_owned(), made);
        done["description"] = "It was there already, as it is asked for.".into();
    }
    all.insert("200".to_owned(), done);
    if matches!(answers, Report | OfEnded(_)) {
        all.insert("409".to_owned(), refer("responses", "Ledger409"));
    }
    let of_changes: &[&str] = if method == "get" { &[] } else { &OF_CHANGES };
    for status in REFUSALS.iter().chain(of_changes) {
        let refusal = refer("responses", &format!("Ledger{status}"));
        all.insert((*status).to_owned(), refusal);
    }
    all
}

/// A file, streamed: the connection is cut where it cannot be ended.
fn file(media: &[&str]) -> Value {
    let count = |what: &str| json!({"description": what, "schema": {"type": "integer"}});
    let mut file = json!({"description": "Done.", "headers": {
        "Ledger-Position": count("The last position of the ledger that is in it."),
        "Row-Count": count("How many rows it has; not told of a report."),
    }});
    for media_type in media {
        file["content"][*media_type]["schema"]["type"] = "string".into();
    }
    file
}

fn page(schema: &str) -> Value {
    json!({
        "type": "object",
        "required": ["object", "data", "has_more", "next"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": refer("schemas", schema)},
            "has_more": {"type": "boolean"},
            "next": {"type": ["string", "null"], "description": "To be given as `after`."},
        },
    })
}

/// A page that says up to which position of the ledger the whole goes.
fn page_as_of(schema: &str, more: &str) -> Value {
    let mut page = page(schema);
    let mut required = vec!["object", "data", "has_more", "next", "position"];
    page["properties"]["position"] =
        json!({"type": "integer", "description": "The last position of the ledger that is in it."});
    match more {
        "opening_minor" => {
            page["properties"][more] = json!({"type": "integer", "description": "Debits less credits before the first line of the page."});
            required.push(more);
        }
        "balance" => {
            page["properties"][more] = refer("schemas", "LedgerBalance");
            required.push(more);
        }
        _ => {}
    }
    page["required"] = json!(required);
    page
}

fn refer(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}
