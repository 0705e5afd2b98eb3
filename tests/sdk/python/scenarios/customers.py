"""Customers and the methods that they keep."""

import stripe
from world import plain, refused, same, unique, until


def life(world):
    customers = world.stripe.customers
    made = customers.create(
        {
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "phone": "+4612345",
            "address": {"line1": "Street 1", "city": "Stockholm", "country": "SE"},
            "metadata": {"level": "gold"},
            "preferred_locales": ["sv", "en"],
        }
    )
    assert type(made) is stripe.Customer
    same((made.name, made.address.city), ("Ada Lovelace", "Stockholm"))
    same(made.preferred_locales, ["sv", "en"])
    changed = customers.update(
        made.id, {"name": "Ada King", "description": "Countess", "metadata": {"level": ""}}
    )
    same((changed.name, changed.email), ("Ada King", "ada@example.com"))
    same(plain(changed.metadata), {})
    same(customers.retrieve(made.id).description, "Countess")
    same(customers.delete(made.id).deleted, True)
    same(customers.retrieve(made.id).deleted, True)
    late = {"name": "Nobody"}
    error = refused(lambda: customers.update(made.id, late), stripe.InvalidRequestError)
    same(error.code, "resource_missing")


def listed(world):
    email = f"{unique('list')}@example.com"
    made = world.stripe.customers.create({"email": email})
    world.stripe.customers.create({"email": f"other-{email}"})
    found = world.stripe.customers.list({"email": email})
    same((found.url, [it.id for it in found.data]), ("/v1/customers", [made.id]))


def searched(world):
    mark = unique("mark")
    made = world.stripe.customers.create(
        {"email": f"{mark}@example.com", "name": "Grace Hopper", "metadata": {"mark": mark}}
    )
    for query in [
        f"metadata['mark']:'{mark}'",
        f"email:'{mark}@example.com' AND name~'Hopp'",
    ]:
        found = until(query, lambda: world.stripe.customers.search({"query": query}).data)
        same([it.id for it in found], [made.id])


def method_life(world):
    methods = world.stripe.payment_methods
    customer = world.stripe.customers.create({"name": "Owner"})
    made = methods.create(
        {
            "type": "card",
            "card": {"number": "378282246310005", "exp_month": 11, "exp_year": 2039, "cvc": "1234"},
            "billing_details": {"name": "Jenny Rosen", "email": "jenny@example.com"},
            "metadata": {"a": "1"},
        }
    )
    assert type(made) is stripe.PaymentMethod
    same((made.card.brand, made.card.last4, made.card.exp_month), ("amex", "0005", 11))
    assert "number" not in made.card and "cvc" not in made.card
    methods.attach(made.id, {"customer": customer.id})
    changed = methods.update(
        made.id,
        {
            "billing_details": {"name": "Jenny Doe"},
            "card": {"exp_month": 12, "exp_year": 2041},
            "metadata": {"a": "", "b": "2"},
        },
    )
    details = changed.billing_details
    same((details.name, details.email), ("Jenny Doe", "jenny@example.com"))
    same((changed.card.exp_month, changed.card.exp_year), (12, 2041))
    same(plain(methods.retrieve(made.id).metadata), {"b": "2"})


def attached(world):
    methods, customers = world.stripe.payment_methods, world.stripe.customers
    customer = customers.create({"name": "Regular"})
    visa = methods.attach("pm_card_visa", {"customer": customer.id})
    same(visa.customer, customer.id)
    amex = methods.attach("pm_card_amex", {"customer": customer.id})
    every = methods.list({"customer": customer.id, "type": "card"})
    same([it.id for it in every.data], [amex.id, visa.id])
    first = customers.payment_methods.list(customer.id, {"limit": 1})
    same(([it.id for it in first.data], first.has_more), ([amex.id], True))
    paid = world.paid(1200, customer=customer.id, payment_method=visa.id)
    same((paid.status, paid.customer), ("succeeded", customer.id))
    foreign = refused(
        lambda: world.paid(1200, payment_method=amex.id), stripe.InvalidRequestError
    )
    same(foreign.param, "payment_method")
    same(methods.detach(visa.id).customer, None)
    same([it.id for it in customers.payment_methods.list(customer.id).data], [amex.id])
    reused = refused(lambda: world.paid(1200, payment_method=visa.id), stripe.InvalidRequestError)
    same(reused.http_status, 400)


SCENARIOS = {
    "a customer is created, read, changed and deleted": life,
    "customers are listed by their address": listed,
    "customers are found by what is known of them": searched,
    "a method is created, read and changed": method_life,
    "a method is attached, listed, paid with and detached": attached,
}
