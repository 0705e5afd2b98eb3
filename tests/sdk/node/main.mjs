// The life of payments through Stripe's own client for Node, unmodified. One line per scenario; exit code 1 when one
// is not as it should be. What it talks to is named by SDK_BASE, SDK_SECRET_KEY, SDK_PUBLISHABLE_KEY, SDK_ADMIN (the
// simulator's handles) and SDK_ACCOUNT; SDK_SKIP holds the names of scenarios that this server is not to be asked for.
import assert from 'node:assert/strict';
import { World } from './world.mjs';
import errors from './scenarios/errors.mjs';
import customers from './scenarios/customers.mjs';
import idempotency from './scenarios/idempotency.mjs';
import money from './scenarios/money.mjs';
import paging from './scenarios/paging.mjs';
import payments from './scenarios/payments.mjs';
import reading from './scenarios/reading.mjs';
import refunds from './scenarios/refunds.mjs';
import sessions from './scenarios/sessions.mjs';
import steps from './scenarios/steps.mjs';
import threeDSecure from './scenarios/three_d_secure.mjs';
import webhooks from './scenarios/webhooks.mjs';

// The last one moves the simulator's clock by days, which nobody else is to notice.
const all = {
  ...payments,
  ...steps,
  ...threeDSecure,
  ...refunds,
  ...customers,
  ...reading,
  ...sessions,
  ...errors,
  ...idempotency,
  ...webhooks,
  ...paging,
  ...money,
};

const world = new World();
const skipped = new Set((process.env.SDK_SKIP ?? '').split('\n').filter(Boolean));
const only = process.env.SDK_ONLY;
for (const name of skipped) {
  assert.ok(name in all, `there is no scenario to skip with the name: ${name}`);
}

const failed = [];
for (const [name, scenario] of Object.entries(all)) {
  if (only && !name.includes(only)) {
    continue;
  }
  if (skipped.has(name)) {
    console.log(`skipped  ${name}`);
    continue;
  }
  const begun = performance.now();
  try {
    await scenario(world);
    console.log(`ok       ${name} (${Math.round(performance.now() - begun)} ms)`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED   ${name}\n${error.stack}`);
  }
}
if (failed.length > 0) {
  console.log(`\n${failed.length} of ${Object.keys(all).length} scenarios failed:\n${failed.join('\n')}`);
  process.exit(1);
}
console.log(`\nall ${Object.keys(all).length - skipped.size} scenarios are as they should be`);
