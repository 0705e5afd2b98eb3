//! Idempotency keys: a claim and what it stands for came into being together, and its answer is of what the log holds.

use super::Check;
use crate::report::Invariant as I;

/// Claims with what they stand for told apart. An answer with `not_begun` left the key free; one that came with the claim itself
/// (`at_once`) was made of what was there before.
const CLAIMS: &str = "
    select c.ledger, c.scope, c.key, c.command_id::text as command, c.created_at, c.completed_at,
           c.context->>'payment' as payment, c.context->>'intention' as intention, c.context->>'request' as request,
           c.context->>'about' as about, c.answer is not null as answered,
           coalesce(c.answer->>'not_begun', 'false') = 'true' as not_begun,
           c.completed_at = c.created_at as at_once,
           (c.answer->>'version')::bigint as version
    from claims c";

pub(super) fn checks() -> Vec<Check> {
    let of = |what: &str| {
        what.replace("{claims}", &format!("({CLAIMS}) c"))
            .replace("{before}", &format!("({CLAIMS}) b"))
    };
    let mut checks: Vec<Check> = [UNKNOWN_INTENTION, TORN, REUSED]
        .map(|sql| Check::new(I::I2, of(sql)))
        .into();
    let answers = [
        ("payment", "payment"),
        ("stripe_request", "request"),
        ("order", "about"),
    ];
    for (kind, column) in answers {
        let sql = of(ANSWER_OF_NOTHING)
            .replace("{kind}", kind)
            .replace("{column}", column);
        checks.push(Check::new(I::I2, sql));
    }
    checks.push(Check::new(I::I2, TWICE));
    checks
}

/// The intention that a key was claimed with is in the log.
const UNKNOWN_INTENTION: &str = "
    select c.ledger as merchant, 'claims ' || c.scope as at, null as position,
           'the key stands for the intention ' || c.intention || ', which was never recorded' as what
    from {claims} left join audit_intentions i on i.merchant = c.ledger and i.intention::text = c.intention
    where c.intention is not null and i.intention is null and not coalesce(c.at_once, false)
      and not exists (select from audit_streams s where s.kind = 'payment' and s.id = c.payment and s.merchant <> c.ledger)";

/// The claim was committed with the intention, by the command that recorded it.
const TORN: &str = "
    select c.ledger as merchant, i.stream as at, i.position,
           'the key of ' || c.scope || ' was claimed by another command than recorded its intention' as what
    from {claims} join audit_intentions i on i.merchant = c.ledger and i.intention::text = c.intention
    where not coalesce(c.at_once, false) and (i.command <> c.command or i.recorded_at <> c.created_at)";

/// A key is used again only where its use before began nothing: the further uses are counted behind a line break.
const REUSED: &str = "
    select c.ledger as merchant, 'claims ' || c.scope as at, null as position,
           'the key was used again, though its use before stands' as what
    from {claims} left join {before} on b.ledger = c.ledger and b.scope = c.scope
         and b.key = split_part(c.key, E'\\n', 1) || case when split_part(c.key, E'\\n', 2) = '1' then ''
             else E'\\n' || (split_part(c.key, E'\\n', 2)::int - 1) end
    where c.key ~ E'\\n[0-9]{1,6}$' and not coalesce(b.not_begun, false)";

/// What a key was answered with is there, at the version that the answer was made of.
const ANSWER_OF_NOTHING: &str = "
    select c.ledger as merchant, 'claims ' || c.scope as at, s.position,
           'the key was answered with version ' || coalesce(c.version::text, '?') || ' of {kind} ' || c.{column} || ', which '
           || coalesce('has ' || s.version, 'is not there') as what
    from {claims} left join audit_streams s on s.merchant = c.ledger and s.id = c.{column} and ('{column}' = 'about' or s.kind = '{kind}')
    where c.{column} is not null and c.answered and not c.not_begun
      and ('{column}' <> 'about' or s.id is not null or exists (select from audit_streams o where o.id = c.about))
      and (s.id is null or c.version > s.version)
      and not exists (select from audit_streams o where o.id = c.{column} and o.merchant <> c.ledger)";

/// One command intends each thing of a payment once.
const TWICE: &str = "
    select merchant, min(stream) as at, max(position) as position,
           'one command asked for the ' || asks || ' ' || count(*) || ' times' as what
    from audit_intentions where asks in ('create', 'confirm', 'capture', 'refund') and command is not null
    group by merchant, subject, asks, command having count(*) > 1";
