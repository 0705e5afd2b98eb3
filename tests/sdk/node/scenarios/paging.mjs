// More objects than fit a page, read to their end in both directions.
import assert from 'node:assert/strict';
import { unique } from '../world.mjs';

const OBJECTS = 255;
const AT_ONCE = 8;

async function makeCustomers(stripe, email) {
  const made = new Set();
  let left = OBJECTS;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      made.add((await stripe.customers.create({ email })).id);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return made;
}

export default {
  'more than 250 objects are paged through in both directions': async ({ stripe }) => {
    const email = `${unique('page')}@example.com`;
    const older = await stripe.customers.create({ email: `older-${email}` });
    const made = await makeCustomers(stripe, email);
    assert.equal(made.size, OBJECTS);

    const forward = [];
    for await (const customer of stripe.customers.list({ email, limit: 100 })) {
      forward.push(customer.id);
    }
    assert.equal(forward.length, OBJECTS);
    assert.deepEqual(new Set(forward), made);

    const backward = [];
    const from = { email, limit: 100, ending_before: older.id };
    for await (const customer of stripe.customers.list(from)) {
      backward.push(customer.id);
    }
    assert.deepEqual(backward, [...forward].reverse());

    const some = await stripe.customers.list({ email, limit: 100 }).autoPagingToArray({ limit: 201 });
    assert.deepEqual(
      some.map((it) => it.id),
      forward.slice(0, 201),
    );
  },
};
