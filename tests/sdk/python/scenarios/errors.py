"""What the caller did wrong, told in the client's own classes."""

import re

import stripe
from world import refused, same


def invalid(ask, code, param):
    error = refused(ask, stripe.InvalidRequestError)
    same((error.http_status, error.code, error.param), (400, code, param))
    assert re.match(r"req_\w+$", error.request_id)


def unauthorised(world):
    stranger = world.client("sk_test_of_nobody")
    error = refused(stranger.balance.retrieve, stripe.AuthenticationError)
    same(error.http_status, 401)
    assert "sk_test_of_nobody" not in str(error)
    refused(
        lambda: stranger.payment_intents.create({"amount": 500, "currency": "usd"}),
        stripe.AuthenticationError,
    )


def missing(world):
    api = world.stripe
    cases = [
        (api.payment_intents.retrieve, "pi_nowhere", "payment_intent", "intent"),
        (api.payment_intents.cancel, "pi_nowhere", "payment_intent", "intent"),
        (api.refunds.retrieve, "re_nowhere", "refund", "refund"),
        (api.charges.retrieve, "ch_nowhere", "charge", "charge"),
        (api.customers.retrieve, "cus_nowhere", "customer", "id"),
        (api.disputes.retrieve, "dp_nowhere", "dispute", "dispute"),
        (api.events.retrieve, "evt_nowhere", "event", "id"),
    ]
    for ask, name, what, param in cases:
        error = refused(lambda: ask(name), stripe.InvalidRequestError)
        same((error.http_status, error.code, error.param), (404, "resource_missing", param))
        same(error.user_message, f"No such {what}: '{name}'")
    refund = {"payment_intent": "pi_nowhere"}
    invalid(lambda: api.refunds.create(refund), "resource_missing", "payment_intent")


def wrong_parameter(world):
    right = {"amount": 500, "currency": "usd"}
    long_key = "k" * 41
    cases = [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": 500}, "parameter_missing", "currency"),
        ({**right, "amount": "five"}, "parameter_invalid_integer", "amount"),
        ({**right, "amount": 49}, "amount_too_small", "amount"),
        ({**right, "amount": 100_000_000}, "amount_too_large", "amount"),
        ({**right, "colour": "red"}, "parameter_unknown", "colour"),
        (
            {**right, "return_url": "https://shop.example"},
            "payment_intent_invalid_parameter",
            "return_url",
        ),
        ({**right, "shipping": {"address": {"line1": "St"}}}, "parameter_missing", "shipping[name]"),
        ({**right, "metadata": {long_key: "v"}}, None, f"metadata[{long_key}]"),
    ]
    for params, code, param in cases:
        invalid(lambda: world.stripe.payment_intents.create(params), code, param)


def client_secret(world):
    intents = world.stripe.payment_intents
    made, other = (intents.create({"amount": 500, "currency": "usd"}) for _ in range(2))
    read = world.browser.payment_intents.retrieve(made.id, {"client_secret": made.client_secret})
    same((read.id, read.status, read.amount), (made.id, "requires_payment_method", 500))
    crossed = {"client_secret": other.client_secret}
    error = refused(
        lambda: world.browser.payment_intents.retrieve(made.id, crossed),
        stripe.InvalidRequestError,
    )
    same((error.http_status, error.param), (400, "client_secret"))
    invalid(
        lambda: world.browser.payment_intents.retrieve(made.id),
        "parameter_missing",
        "client_secret",
    )


def publishable(world):
    made = world.stripe.payment_intents.create({"amount": 500, "currency": "usd"})
    browser = world.browser
    for ask in [
        lambda: browser.payment_intents.create({"amount": 500, "currency": "usd"}),
        lambda: browser.payment_intents.list(),
        lambda: browser.payment_intents.cancel(made.id),
        lambda: browser.refunds.create({"payment_intent": made.id}),
        lambda: browser.customers.create({"name": "Nobody"}),
        lambda: browser.balance.retrieve(),
    ]:
        error = refused(ask, stripe.AuthenticationError)
        same((error.http_status, error.error.code), (401, "secret_key_required"))


SCENARIOS = {
    "a key that is none is an authentication error": unauthorised,
    "an object that there is not is missing": missing,
    "a parameter that is wrong is named": wrong_parameter,
    "a client secret opens its own intent to a publishable key": client_secret,
    "a publishable key changes nothing and lists nothing": publishable,
}
