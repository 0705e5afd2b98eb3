"""More objects than fit a page, read to their end in both directions."""

from concurrent.futures import ThreadPoolExecutor

from world import same, unique

OBJECTS = 255
AT_ONCE = 8


def both_directions(world):
    customers = world.stripe.customers
    email = f"{unique('page')}@example.com"
    older = customers.create({"email": f"older-{email}"})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = set(pool.map(lambda _: customers.create({"email": email}).id, range(OBJECTS)))
    same(len(made), OBJECTS)

    first = customers.list({"email": email, "limit": 100})
    forward = [it.id for it in first.auto_paging_iter()]
    same(len(forward), OBJECTS)
    same(set(forward), made)

    last = customers.list({"email": email, "limit": 100, "ending_before": older.id})
    backward = [it.id for it in last.auto_paging_iter()]
    same(backward, forward[::-1])


SCENARIOS = {
    "more than 250 objects are paged through in both directions": both_directions,
}
